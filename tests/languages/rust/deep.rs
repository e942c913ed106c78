// @ box: --stack 8MiB
#[allow(unconditional_recursion)]
fn down(n: u64, above: &[u64; 64]) -> u64 { let pad = [n; 64]; down(n + 1, &pad) + above[3] }
fn main() { println!("start"); println!("{}", down(0, &[0; 64])); }

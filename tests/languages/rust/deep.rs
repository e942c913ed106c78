// @ box: --stack 8MiB
#[allow(unconditional_recursion)]
fn down(n: u64) -> u64 { let pad = [n; 64]; std::hint::black_box(&pad); down(n + 1) + pad[3] }
fn main() { println!("start"); println!("{}", down(0)); }

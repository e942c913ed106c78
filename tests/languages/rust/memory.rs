// @ box: --memory 64MiB
// @ verdict: memory_limit
fn main() { let mut v = vec![]; loop { v.push(vec![v.len() as u8; 1 << 20]); } }

// @ box: --output 1MiB
// @ verdict: output_limit
fn main() { loop { println!("more of the same"); } }

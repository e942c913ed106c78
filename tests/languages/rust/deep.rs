// @ box: --stack 8MiB
fn read(from: &u64) -> u64 {
    // SAFETY: it is a reference.
    unsafe { std::ptr::read_volatile(from) }
}
fn down(n: u64, deepest: u64) -> u64 {
    let pad = [n; 64];
    if n == deepest { return read(&pad[5]); }
    // Read after the call: the frame is needed until then.
    down(n + 1, deepest) ^ read(&pad[3])
}
fn main() { println!("start"); println!("{}", down(0, std::env::args().count() as u64 * 1_000_000_000)); }

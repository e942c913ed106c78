// @ box: --processes 16 --cpu-time 1s
// @ verdict: cpu_limit
fn main() { loop { let _ = std::thread::Builder::new().spawn(|| loop { std::hint::spin_loop() }); } }

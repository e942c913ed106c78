use std::time::*;
fn main() { let a = Instant::now(); std::thread::sleep(Duration::from_millis(3)); println!("{} {}", a.elapsed() >= Duration::from_millis(3), SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() > 1_700_000_000); println!("{:?}", Duration::from_secs_f64(1.5)); }

fn main() {
    let sum: u64 = std::thread::spawn(|| (1..=10).sum()).join().unwrap();
    println!("sum {sum}");
    assert!(std::panic::catch_unwind(|| panic!("on purpose")).is_err());
}

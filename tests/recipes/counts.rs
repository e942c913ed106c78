use std::collections::HashMap;
use std::io::Read;

fn main() {
    let counts = HashMap::from([("a", 1)]);
    std::thread::spawn(move || println!("{counts:?}")).join().unwrap();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let caught = std::panic::catch_unwind(|| panic!("caught"));
    println!("{} {}", text.trim(), caught.is_err());
}

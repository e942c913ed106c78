// Threads, a caught panic, a hash map, standard input by lines.
use std::collections::HashMap;
use std::io::BufRead;
use std::sync::mpsc;

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let args: Vec<String> = std::env::args().skip(1).collect();
    println!("{args:?}");
    let (tx, rx) = mpsc::channel();
    let threads: Vec<_> = (0..4u64)
        .map(|i| {
            let tx = tx.clone();
            std::thread::spawn(move || tx.send((0..100_000u64).map(|x| x * i).sum::<u64>()).unwrap())
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    drop(tx);
    println!("{}", rx.iter().sum::<u64>());
    println!("{}", std::panic::catch_unwind(|| panic!("x")).is_err());
    let mut count: HashMap<String, usize> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        *count.entry(line.unwrap().split(' ').next().unwrap_or("").to_owned()).or_default() += 1;
    }
    let mut all: Vec<_> = count.into_iter().collect();
    all.sort();
    println!("{} {:?}", all.len(), all.first());
    std::process::exit(3);
}

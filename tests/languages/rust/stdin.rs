// @ stdin: megabytes
use std::{collections::BTreeMap, io};
fn main() { let mut m = BTreeMap::new(); let mut t = 0u64; for l in io::stdin().lines() { let l = l.unwrap(); let mut w = l.split_whitespace(); t += w.next().unwrap().parse::<u64>().unwrap(); *m.entry(w.last().unwrap().to_owned()).or_insert(0) += 1; } println!("{t} {m:?}"); }

use std::collections::*;
fn main() { let v: Vec<u8> = vec![7; 100 << 20]; let m: HashMap<u32, String> = (0..200_000).map(|i| (i, i.to_string())).collect(); let b: BTreeSet<u32> = (0..300_000).rev().collect(); let h: BinaryHeap<u32> = b.iter().copied().collect(); println!("{} {} {:?} {:?}", v.iter().map(|x| *x as u64).sum::<u64>(), m.len(), b.iter().next(), h.peek()); }

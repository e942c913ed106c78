//! Of an output exactly the first bytes are kept, as many as the limit says, however it is written; it is
//! told whether there was more; and the pump comes to its end.

use stockade::fuzzing::pump;

/// The first bytes: the limit, in sixteens, and whether more than it is cut; the size of a write; how often
/// the rest is written.
pub fn check(bytes: &[u8]) {
    let [sixteens, cut, size, times, rest @ ..] = bytes else { return };
    let cap = usize::from(*sixteens) * 16;
    let whole = rest.repeat(1 + usize::from(*times));
    let chunks: Vec<&[u8]> = whole.chunks(1 + usize::from(*size) * 64).collect();
    let pumped = pump(&chunks, cap as u64, cut & 1 == 1).unwrap();
    assert_eq!(pumped.kept, whole[..cap.min(whole.len())], "{} of {}", pumped.kept.len(), whole.len());
    assert_eq!(pumped.bytes, pumped.kept.len() as u64);
    assert_eq!(pumped.truncated, whole.len() > cap, "{} with a limit of {cap}", whole.len());
    assert!(pumped.finished);
}

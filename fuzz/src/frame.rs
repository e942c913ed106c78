//! A record is refused, or it is exactly what the set-up would have sent.

pub fn check(bytes: &[u8]) {
    if let Some(again) = stockade::fuzzing::frame(bytes) {
        assert_eq!(again, bytes);
    }
}

//! A text is JSON for a policy exactly when it is for serde_json, and says the same.

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let theirs = serde_json::from_str::<serde_json::Value>(text);
    match (stockade::fuzzing::read_json(text), theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{text:?}"),
        (Err(place), Err(_)) => {
            assert!(place.start <= place.end && place.end <= text.len(), "{text:?} {place:?}");
            assert!(text.is_char_boundary(place.start) && text.is_char_boundary(place.end));
        }
        (ours, theirs) => panic!("{text:?}: serde_json says {theirs:?}, we say {ours:?}"),
    }
}

//! Nothing that a terminal obeys gets through, however the output is cut.

use stockade::fuzzing::neutralise;

/// The first byte says how the rest is cut.
pub fn check(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let whole = neutralise(&[bytes]);
    let chunks: Vec<&[u8]> = bytes.chunks(usize::from(*cut).max(1)).collect();
    assert_eq!(neutralise(&chunks), whole, "cut into pieces of {cut}");
    assert!(whole.len() <= bytes.len() * 8, "{} bytes became {}", bytes.len(), whole.len());
    let text = String::from_utf8(whole).unwrap();
    let mut last = ' ';
    for c in text.chars() {
        assert!(last != '\r' || c == '\n', "a bare carriage return in {text:?}");
        assert!(!c.is_control() || matches!(c, '\n' | '\t' | '\r'), "{c:?} in {text:?}");
        assert!(!matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
        last = c;
    }
    assert_ne!(last, '\r');
    let harmless = |c: &char| *c == '\n' || *c == '\t' || c.is_alphanumeric();
    if let Ok(plain) = std::str::from_utf8(bytes)
        && plain.chars().all(|c| harmless(&c))
    {
        assert_eq!(text, plain);
    }
}

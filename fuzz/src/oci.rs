//! The documents of an image decide what is read, and nothing else: an image is
//! refused with words, or made. The input is three documents, split by NULs:
//! index, manifest and configuration, which are given the right digests.

use stockade::fuzzing::import_documents;

pub fn check(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let documents = [next(), next(), next()];
    if let Err(words) = import_documents(documents) {
        assert!(!words.is_empty() && !words.contains(|c: char| c.is_control()), "{words:?}");
    }
}

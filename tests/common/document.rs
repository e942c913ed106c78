//! Documents parts of which the code makes.

use std::fs;
use std::path::Path;

/// The lines between two marks of a document, or with `STOCKADE_WRITE_DOCS` the same, written; by the test
/// program that is named.
pub fn held(path: &str, begin: &str, end: &str, expected: &str, by: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(begin).expect("the mark where it begins");
    let (there, after) = rest.split_once(end).expect("the mark where it ends");
    if std::env::var_os("STOCKADE_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{begin}{expected}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(there, expected, "STOCKADE_WRITE_DOCS=1 cargo test --test {by} writes it");
}

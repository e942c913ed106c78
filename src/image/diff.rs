//! What differs between two images.

use std::collections::BTreeMap;

use serde::Serialize;

use super::manifest::{Entry, Manifest, What};

/// One path that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where.
    pub path: String,
    /// `added`, `removed` or `changed`.
    pub what: &'static str,
    /// In what respects a path changed that is in both: `type`, `mode`, `content`,
    /// `target`, `time`.
    pub respects: Vec<&'static str>,
    /// Bytes of the file before and after.
    pub bytes: [u64; 2],
}

/// Everything that differs, by path; then what differs in how they start.
#[must_use]
pub fn diff(before: &Manifest, after: &Manifest) -> (Vec<Difference>, Vec<&'static str>) {
    let index = |manifest: &'_ Manifest| -> BTreeMap<Vec<u8>, Entry> {
        manifest.entries().iter().map(|entry| (entry.path.clone(), entry.clone())).collect()
    };
    let (old, mut new) = (index(before), index(after));
    let mut all = Vec::new();
    for (path, entry) in &old {
        let shown = path.escape_ascii().to_string();
        match new.remove(path) {
            None => all.push(Difference {
                path: shown,
                what: "removed",
                respects: Vec::new(),
                bytes: [size(entry), 0],
            }),
            Some(other) => {
                let respects = respects(entry, &other);
                if !respects.is_empty() {
                    let bytes = [size(entry), size(&other)];
                    all.push(Difference { path: shown, what: "changed", respects, bytes });
                }
            }
        }
    }
    for (path, entry) in &new {
        let path = path.escape_ascii().to_string();
        all.push(Difference { path, what: "added", respects: Vec::new(), bytes: [0, size(entry)] });
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    let (a, b) = (before.header(), after.header());
    let start = [
        ("entry point", a.entry != b.entry),
        ("arguments", a.args != b.args),
        ("environment", a.env != b.env),
        ("policy", a.policy != b.policy),
    ];
    (all, start.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect())
}

fn size(entry: &Entry) -> u64 {
    if let What::File { size, .. } = entry.what { size } else { 0 }
}

fn respects(a: &Entry, b: &Entry) -> Vec<&'static str> {
    let mut respects = Vec::new();
    match (&a.what, &b.what) {
        (What::Dir { mode: a }, What::Dir { mode: b }) => respects.extend((a != b).then_some("mode")),
        (What::Symlink { target: a }, What::Symlink { target: b }) => {
            respects.extend((a != b).then_some("target"))
        }
        (What::File { mode: a, digest: x, .. }, What::File { mode: b, digest: y, .. }) => {
            respects.extend((a != b).then_some("mode"));
            respects.extend((x != y).then_some("content"));
        }
        _ => respects.push("type"),
    }
    respects.extend((a.mtime != b.mtime).then_some("time"));
    respects
}

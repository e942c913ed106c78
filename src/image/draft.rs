//! An image being put together: a tree in memory, whose contents are in the
//! store already.
//!
//! Guarantees: paths are absolute and normalised, parents are directories;
//! nothing of it exists on a path of the host before the manifest is checked
//! and laid out. So no name, link or order of entries can lead anywhere.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::digest::Digest;
use super::layout::{DIR_MODE, MADE_AT};
use super::manifest::{self, Entry, Header, Manifest, ManifestProblem, Step, What, check_path};
use super::store::Why;

/// One thing in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) what: What,
    pub(crate) mtime: i64,
    /// `None`: a directory that only leads to something.
    pub(crate) why: Option<Why>,
}

/// A tree that grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft(BTreeMap<Vec<u8>, Node>);

/// Why something cannot be put at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// The path is none.
    Path(&'static str),
    /// What lies above it is no directory, but this.
    Parent(Vec<u8>, &'static str),
    /// Something else is there.
    Taken(&'static str),
}

impl NoPlace {
    /// In words, to follow "the entry 'x': ".
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Path(what) => (*what).to_owned(),
            Self::Parent(path, what) => format!("'{}' above it is {what}", path.escape_ascii()),
            Self::Taken(what) => format!("{what} is there already"),
        }
    }
}

/// What a node is, with its article.
pub(crate) const fn kind(what: &What) -> &'static str {
    match what {
        What::Dir { .. } => "a directory",
        What::File { .. } => "a file",
        What::Symlink { .. } => "a symbolic link",
    }
}

impl Draft {
    /// A root directory and nothing in it.
    pub(crate) fn new() -> Self {
        let root = Node { what: What::Dir { mode: DIR_MODE }, mtime: MADE_AT, why: None };
        Self(BTreeMap::from([(b"/".to_vec(), root)]))
    }

    pub(crate) fn get(&self, path: &[u8]) -> Option<&Node> {
        self.0.get(path)
    }

    /// Everything, by path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &Node)> {
        self.0.iter()
    }

    /// Puts something in, with the directories above it. A directory that is
    /// there already takes the new mode and time; the same thing twice is fine.
    pub(crate) fn put(&mut self, path: &[u8], node: Node) -> Result<(), NoPlace> {
        check_path(path).map_err(NoPlace::Path)?;
        self.parents(path)?;
        match self.0.get_mut(path) {
            None => {
                self.0.insert(path.to_vec(), node);
            }
            Some(there) => match (&there.what, &node.what) {
                (What::Dir { .. }, What::Dir { .. }) => {
                    let why = there.why.take().or(node.why);
                    *there = Node { why, ..node };
                }
                (old, new) if old == new && there.mtime == node.mtime => {}
                (old, _) => return Err(NoPlace::Taken(kind(old))),
            },
        }
        Ok(())
    }

    /// Makes sure that there is a directory, with those above it.
    pub(crate) fn dir(&mut self, path: &[u8], why: Option<Why>) -> Result<(), NoPlace> {
        if let Some(Node { what: What::Dir { .. }, .. }) = self.0.get(path) {
            return Ok(());
        }
        self.put(path, Node { what: What::Dir { mode: DIR_MODE }, mtime: MADE_AT, why })
    }

    pub(crate) fn symlink(&mut self, path: &[u8], target: &[u8], why: Why) -> Result<(), NoPlace> {
        let what = What::Symlink { target: target.to_vec() };
        self.put(path, Node { what, mtime: MADE_AT, why: Some(why) })
    }

    /// The directories that lead to a path.
    fn parents(&mut self, path: &[u8]) -> Result<(), NoPlace> {
        let ends = (1..path.len()).filter(|at| path[*at] == b'/');
        for end in ends {
            let above = &path[..end];
            match self.0.get(above).map(|node| &node.what) {
                Some(What::Dir { .. }) => {}
                Some(other) => return Err(NoPlace::Parent(above.to_vec(), kind(other))),
                None => {
                    let node = Node { what: What::Dir { mode: DIR_MODE }, mtime: MADE_AT, why: None };
                    self.0.insert(above.to_vec(), node);
                }
            }
        }
        Ok(())
    }

    /// Takes away what is at a path, with everything below it; whether something was.
    pub(crate) fn remove(&mut self, path: &[u8]) -> bool {
        self.empty(path);
        path != b"/" && self.0.remove(path).is_some()
    }

    /// Takes away everything below a path.
    pub(crate) fn empty(&mut self, path: &[u8]) {
        self.retain_below(path, |_| false);
    }

    /// Takes away what is below a path, but for what is to be kept.
    pub(crate) fn retain_below(&mut self, path: &[u8], keep: impl Fn(&[u8]) -> bool) {
        let gone: Vec<Vec<u8>> = self.below(path).filter(|path| !keep(path)).cloned().collect();
        for path in gone {
            self.0.remove(&path);
        }
    }

    /// The paths below a path.
    pub(crate) fn below(&self, path: &[u8]) -> impl Iterator<Item = &Vec<u8>> {
        let prefix = if path == b"/" { b"/".to_vec() } else { [path, b"/"].concat() };
        // Everything that starts with the prefix lies between it and the same with
        // a last byte one higher, which is '0'.
        let mut end = prefix.clone();
        if let Some(last) = end.last_mut() {
            *last = b'0';
        }
        let range = (Bound::Excluded(prefix), Bound::Excluded(end));
        self.0.range(range).map(|(path, _)| path)
    }

    /// Where a path leads in this tree, links followed; never out of it.
    pub(crate) fn resolve(&self, path: &[u8]) -> Option<Vec<u8>> {
        manifest::walk(path, |path| {
            Some(match &self.0.get(path)?.what {
                What::Symlink { target } => Step::Link(target),
                _ => Step::Solid,
            })
        })
    }

    /// The files, with their digests.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Vec<u8>, u16, u64, &Digest)> {
        self.0.iter().filter_map(|(path, node)| match &node.what {
            What::File { mode, size, digest } => Some((path, *mode, *size, digest)),
            _ => None,
        })
    }

    /// The manifest, and why each thing is there.
    pub(crate) fn seal(self, header: Header) -> Result<(Manifest, BTreeMap<String, Why>), ManifestProblem> {
        let mut whys = BTreeMap::new();
        let mut entries = Vec::with_capacity(self.0.len());
        for (path, Node { what, mtime, why }) in self.0 {
            if let Some(why) = why {
                whys.insert(path.escape_ascii().to_string(), why);
            }
            entries.push(Entry { path, mtime, what });
        }
        Ok((Manifest::new(header, entries)?, whys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> Node {
        let what = What::File { mode: 0o444, size: bytes.len() as u64, digest: Digest::of(bytes) };
        Node { what, mtime: 0, why: Some(Why::Made) }
    }

    fn paths(draft: &Draft) -> Vec<String> {
        draft.iter().map(|(path, _)| path.escape_ascii().to_string()).collect()
    }

    #[test]
    fn draft_removal_takes_everything_below_and_nothing_beside() {
        let mut draft = Draft::new();
        for path in ["/a/b/c", "/a.x", "/a0", "/ab", "/a/d"] {
            draft.put(path.as_bytes(), file(b"x")).unwrap();
        }
        assert!(draft.remove(b"/a"));
        assert!(!draft.remove(b"/a"));
        assert_eq!(paths(&draft), ["/", "/a.x", "/a0", "/ab"]);
        draft.empty(b"/");
        assert_eq!(paths(&draft), ["/"]);
        assert!(!draft.remove(b"/"));
        assert_eq!(paths(&draft), ["/"]);
    }

    #[test]
    fn draft_refuses_what_would_go_through_a_link_or_a_file() {
        let mut draft = Draft::new();
        draft.symlink(b"/l", b"/etc", Why::Made).unwrap();
        draft.put(b"/f", file(b"x")).unwrap();
        assert_eq!(draft.put(b"/l/x", file(b"")), Err(NoPlace::Parent(b"/l".into(), "a symbolic link")));
        assert_eq!(draft.put(b"/f/x", file(b"")), Err(NoPlace::Parent(b"/f".into(), "a file")));
        assert_eq!(draft.put(b"/f", file(b"y")), Err(NoPlace::Taken("a file")));
        assert_eq!(draft.put(b"/f", file(b"x")), Ok(()));
        assert!(matches!(draft.put(b"/../x", file(b"")), Err(NoPlace::Path(_))));
        assert_eq!(draft.put(b"/etc/x", file(b"")), Ok(()));
    }

    #[test]
    fn draft_resolves_links_within_itself_only() {
        let mut draft = Draft::new();
        draft.put(b"/usr/lib/ld.so", file(b"x")).unwrap();
        draft.symlink(b"/lib", b"usr/lib", Why::Made).unwrap();
        draft.symlink(b"/usr/lib/up", b"../../../../lib/./ld.so", Why::Made).unwrap();
        draft.symlink(b"/abs", b"/lib/up", Why::Made).unwrap();
        draft.symlink(b"/loop", b"loop", Why::Made).unwrap();
        draft.symlink(b"/out", b"../../etc/passwd", Why::Made).unwrap();
        assert_eq!(draft.resolve(b"/abs"), Some(b"/usr/lib/ld.so".to_vec()));
        assert_eq!(draft.resolve(b"/lib/.."), Some(b"/usr".to_vec()));
        assert_eq!(draft.resolve(b"/loop"), None);
        assert_eq!(draft.resolve(b"/out"), None);
    }
}

//! The canonical manifest: everything an image is, as bytes with one spelling.
//!
//! Guarantees: two manifests that mean the same have the same bytes, and
//! [`Manifest::parse`] accepts those bytes only (what it accepts prints back to
//! its input); so the id, the SHA-256 of the bytes, names the content on every
//! machine and for every user. Nothing in a manifest leads out of its root:
//! parents are directories that come first, names are plain.
//!
//! There are no owners, no set-id or sticky bits, no extended attributes, no
//! devices, pipes or sockets: what cannot be said cannot be made.
//!
//! ```text
//! stockade-image/1
//! entry /box/program
//! arg {payload}
//! env LANG=C.UTF-8
//! policy sha256:…
//! d 0755 946684800 /
//! f 0444 1714176000 1926232 <64 hex digits> /lib/libc.so.6
//! l 946684800 libfoo.so.1 /lib/libfoo.so
//! ```
//!
//! One record a line, fields separated by one space, the path last. In paths,
//! targets and words, every byte outside `!` to `~`, and the backslash, is
//! written `\xHH`. `d` directory (mode, mtime, path), `f` file (mode, mtime,
//! size, SHA-256, path), `l` symbolic link (mtime, target, path). Header records
//! come first, in the order above, each optional; entries are sorted by the
//! bytes of their paths.

mod parse;
mod print;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::digest::Digest;

pub use parse::ParseProblem;

/// The first line.
pub const VERSION_LINE: &str = "stockade-image/1";

/// The most bytes of a manifest that are read: some 400,000 entries.
pub const MAX_BYTES: usize = 64 << 20;

/// The kernel's limits on a path (with its NUL) and on one name.
const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;

/// What an image holds, and how it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    header: Header,
    entries: Vec<Entry>,
}

/// How an image starts, so that two entry points never share an id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Absolute path of the program to start.
    pub entry: Option<Vec<u8>>,
    /// The argument template, in order.
    pub args: Vec<Vec<u8>>,
    /// The environment.
    pub env: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Digest of the policy it was made for.
    pub policy: Option<Digest>,
}

/// One file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Absolute and normalised; `/` is the root itself.
    pub path: Vec<u8>,
    /// Last change, in whole seconds since 1970.
    pub mtime: i64,
    /// What it is.
    pub what: What,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A directory.
    Dir {
        /// Permission bits, at most 0777.
        mode: u16,
    },
    /// A regular file.
    File {
        /// Permission bits, at most 0777.
        mode: u16,
        /// Its size in bytes.
        size: u64,
        /// Digest of its content.
        digest: Digest,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, not empty.
        target: Vec<u8>,
    },
}

impl Header {
    /// Its records, in the manifest's spelling: text without anything unprintable.
    #[must_use]
    pub fn to_text(&self) -> String {
        let bytes = Manifest { header: self.clone(), entries: Vec::new() }.to_bytes();
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// Reads what [`Header::to_text`] has written, and nothing else.
    ///
    /// # Errors
    /// The first line that is not canonical, and why.
    pub fn parse(text: &str) -> Result<Self, ParseProblem> {
        let whole = format!("{text}d 0755 0 /\n");
        let manifest = Manifest::parse(whole.as_bytes())?;
        match manifest.entries.len() {
            1 => Ok(manifest.header),
            _ => Err(ParseProblem::Line { line: 1, what: "entries in a header" }),
        }
    }
}

impl Entry {
    /// Its path, as one.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    /// Its path below the root: relative, empty for the root itself.
    #[must_use]
    pub fn relative(&self) -> &[u8] {
        self.path.strip_prefix(b"/").unwrap_or(&self.path)
    }
}

/// Why entries do not make a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestProblem {
    /// The entry or record, escaped.
    pub at: String,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for ManifestProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}': {}", self.at, self.what)
    }
}

impl std::error::Error for ManifestProblem {}

impl Manifest {
    /// Sorts and checks the entries.
    ///
    /// # Errors
    /// The first entry that no image can hold: see the head of this module.
    pub fn new(header: Header, mut entries: Vec<Entry>) -> Result<Self, ManifestProblem> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = Self { header, entries };
        manifest.check()?;
        Ok(manifest)
    }

    /// How it starts.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Its entries, by path; parents come before what they hold.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        print::print(self)
    }

    /// The image's name: the digest of the canonical bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Reads canonical bytes, and nothing else.
    ///
    /// # Errors
    /// The first line that is not canonical, and why.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseProblem> {
        parse::parse(bytes)
    }

    /// The rules that hold between and within records.
    fn check(&self) -> Result<(), ManifestProblem> {
        let problem = |at: &[u8], what| Err(ManifestProblem { at: at.escape_ascii().to_string(), what });
        if let Some(entry) = &self.header.entry
            && let Err(what) = check_path(entry)
        {
            return problem(entry, what);
        }
        for word in self.header.args.iter().chain(self.header.env.values()).chain(self.header.env.keys()) {
            if word.contains(&0) {
                return problem(word, "a word cannot hold a NUL");
            }
        }
        if let Some(name) = self.header.env.keys().find(|name| name.is_empty() || name.contains(&b'=')) {
            return problem(name, "not a name of an environment variable");
        }
        match self.entries.first() {
            Some(Entry { path, what: What::Dir { .. }, .. }) if path == b"/" => {}
            _ => return problem(b"/", "the first entry must be the root directory"),
        }
        let mut directories = HashSet::new();
        let mut last: Option<&[u8]> = None;
        for entry in &self.entries {
            let path = entry.path.as_slice();
            let checked = check_path(path).and_then(|()| check_what(&entry.what)).and_then(|()| {
                if last.is_some_and(|last| last >= path) {
                    Err("entries must be sorted by path, each path once")
                } else if path != b"/" && !directories.contains(parent(path)) {
                    Err("its parent is not a directory of the image")
                } else {
                    Ok(())
                }
            });
            if let Err(what) = checked {
                return problem(path, what);
            }
            if matches!(entry.what, What::Dir { .. }) {
                directories.insert(path);
            }
            last = Some(path);
        }
        Ok(())
    }
}

/// What is at a node of a tree, as far as walking to it goes.
pub(crate) enum Step<'t> {
    /// Something that is no link.
    Solid,
    /// A link, and where it points.
    Link(&'t [u8]),
}

/// Where a path leads in a tree, links followed, never out of it. `look` tells
/// what is at a path without links.
pub(crate) fn walk<'t>(path: &[u8], look: impl Fn(&[u8]) -> Option<Step<'t>>) -> Option<Vec<u8>> {
    /// As in the kernel.
    const MAX_LINKS: usize = 40;
    let names = |path: &[u8]| -> Vec<Vec<u8>> {
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
        names.rev().map(<[u8]>::to_vec).collect()
    };
    let mut here: Vec<u8> = b"/".to_vec();
    let mut ahead = names(path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == b".." {
            here.truncate(here.iter().rposition(|byte| *byte == b'/').filter(|at| *at > 0).unwrap_or(1));
            continue;
        }
        let mut next = here.clone();
        if next != b"/" {
            next.push(b'/');
        }
        next.extend_from_slice(&name);
        match look(&next)? {
            Step::Solid => here = next,
            Step::Link(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                if target.starts_with(b"/") {
                    here = b"/".to_vec();
                }
                ahead.extend(names(target));
            }
        }
    }
    look(&here).map(|_| here)
}

/// The entry that a path leads to, links followed, never out of the image.
#[must_use]
pub fn resolve<'m>(manifest: &'m Manifest, path: &[u8]) -> Option<&'m Entry> {
    let find = |path: &[u8]| {
        let entries = manifest.entries();
        entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok().and_then(|at| entries.get(at))
    };
    let look = |path: &[u8]| {
        Some(match &find(path)?.what {
            What::Symlink { target } => Step::Link(target),
            _ => Step::Solid,
        })
    };
    find(&walk(path, look)?)
}

/// The directory that holds this absolute path.
fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None | Some(0) => b"/",
        Some(at) => &path[..at],
    }
}

/// Whether this is an absolute, normalised path that the kernel takes.
pub(super) fn check_path(path: &[u8]) -> Result<(), &'static str> {
    let Some(rest) = path.strip_prefix(b"/") else { return Err("the path is not absolute") };
    if rest.is_empty() {
        return Ok(());
    }
    if path.len() > MAX_PATH {
        return Err("the path is longer than 4095 bytes");
    }
    for name in rest.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." | b".." => return Err("the path has an empty, '.' or '..' component"),
            _ if name.len() > MAX_NAME => return Err("a name is longer than 255 bytes"),
            _ if name.contains(&0) => return Err("a name holds a NUL"),
            _ => {}
        }
    }
    Ok(())
}

fn check_what(what: &What) -> Result<(), &'static str> {
    match what {
        What::Dir { mode } | What::File { mode, .. } if *mode > 0o777 => Err("the mode has bits above 0777"),
        What::File { size, .. } if i64::try_from(*size).is_err() => Err("the size is not one of a file"),
        What::Symlink { target } if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) => {
            Err("a link's target must have 1 to 4095 bytes, none of them NUL")
        }
        _ => Ok(()),
    }
}

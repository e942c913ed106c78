//! Trees: an image laid out, so that an overlay can be mounted over it.
//!
//! Guarantees: `trees/<hex>` exists only when it is complete (it is renamed into
//! place, whole) and was checked against its manifest by whoever made it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::at::{DIR_MODE, Dir, Stat};
use super::objects::{self, Wanted};
use super::scratch::Scratch;
use super::{Store, StoreProblem};
use crate::image::digest::Digest;
use crate::image::layout::Contents;
use crate::image::manifest::{Entry, Manifest, What};

/// The names in a tree's directory: the image, and the overlay's second lower
/// directory (one lower directory alone is EINVAL).
const ROOT: &str = "root";
const EMPTY: &str = "empty";

/// A tree of the store: what the launcher opens, and what it must find there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The directory that holds `root` and `empty`.
    pub path: PathBuf,
    /// Its device.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
}

/// What a tree's two uppermost directories looked like when it was made.
///
/// One stamp, whatever the number of files. It catches a tree that was removed,
/// replaced, renamed or restored, and names or modes that changed at its top.
/// It does not catch changes further down or in a file's bytes: only the
/// store's owner can make those, and [`Store::verify_stat`] and
/// [`Store::verify_full`] find them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeStamp {
    tree: [i64; 4],
    root: [i64; 4],
}

impl TreeStamp {
    fn new(tree: &Stat, root: &Stat) -> Self {
        // JSON has no unsigned numbers above i64 that everyone reads: bits are kept.
        let one = |s: &Stat| [s.dev.cast_signed(), s.ino.cast_signed(), s.ctime.0, s.ctime.1];
        Self { tree: one(tree), root: one(root) }
    }
}

impl Store {
    /// The tree of this digest and its stamp now; `None`: it is not here.
    pub fn tree(&self, digest: &Digest) -> Result<Option<(Tree, TreeStamp)>, StoreProblem> {
        let Some(trees) = self.top.dir(OsStr::new("trees"))? else { return Ok(None) };
        let name = OsString::from(digest.to_string());
        let Some(tree) = trees.dir(&name)? else { return Ok(None) };
        let stat = tree.stat_self()?;
        let Some(root) = tree.stat(OsStr::new(ROOT))? else { return Ok(None) };
        let path = tree.path().to_path_buf();
        Ok(Some((Tree { path, dev: stat.dev, ino: stat.ino }, TreeStamp::new(&stat, &root))))
    }

    /// Lays an image out, or finds it laid out and whole.
    ///
    /// # Errors
    /// The store cannot be written, or a source changed since it was hashed.
    pub(crate) fn materialise(
        &self,
        manifest: &Manifest,
        contents: &Contents,
    ) -> Result<(Tree, TreeStamp), StoreProblem> {
        let bytes = manifest.to_bytes();
        let digest = Digest::of(&bytes);
        let name = OsString::from(digest.to_string());
        let scratch = self.scratch()?;
        self.put_manifest(&digest, &bytes)?;
        let trees = self.top.ensure(OsStr::new("trees"))?;
        if trees.stat(&name)?.is_some() {
            if self.verify_full(&digest).is_ok_and(|checked| checked.is_clean())
                && let Some(found) = self.tree(&digest)?
            {
                return Ok(found);
            }
            // Out of the way, in one step; what runs on it keeps its open files.
            match trees.rename(&name, scratch.dir(), OsStr::new("damaged")) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(trees.problem("renameat", &name, errno)),
            }
        }
        self.lay_out(&scratch, manifest, contents)?;
        match scratch.dir().rename(OsStr::new("tree"), &trees, &name) {
            // Another writer was faster, with the same image: a tree is never empty.
            Ok(()) | Err(Errno::EEXIST | Errno::ENOTEMPTY) => {}
            Err(errno) => return Err(trees.problem("renameat", &name, errno)),
        }
        let found = self.tree(&digest)?;
        found.ok_or_else(|| trees.problem("openat", &name, Errno::ENOENT))
    }

    /// Makes the whole tree in the writer's own directory.
    fn lay_out(
        &self,
        scratch: &Scratch,
        manifest: &Manifest,
        contents: &Contents,
    ) -> Result<(), StoreProblem> {
        let tree = scratch.dir().make(OsStr::new("tree"), DIR_MODE)?;
        tree.make(OsStr::new(EMPTY), DIR_MODE)?;
        // Writable for us until it is full, whatever its final mode.
        tree.make(OsStr::new(ROOT), 0o700)?;
        for entry in manifest.entries().iter().skip(1) {
            let (parent, name) = open_parent(&tree, entry)?;
            match &entry.what {
                What::Dir { .. } => drop(parent.make(name, 0o700)?),
                What::Symlink { target } => parent.symlink(OsStr::from_bytes(target), name, entry.mtime)?,
                What::File { mode, digest, .. } => {
                    let Some(content) = contents.get(&entry.path) else {
                        return Err(parent.problem("openat", name, Errno::ENOENT));
                    };
                    let wanted = Wanted { digest: *digest, mode: *mode, mtime: entry.mtime, content };
                    self.place(scratch, &parent, name, wanted)?;
                }
            }
        }
        // Children before parents: filling a directory changes its time.
        for entry in manifest.entries().iter().rev() {
            if let What::Dir { mode } = entry.what {
                let dir = open_entry(&tree, entry)?;
                dir.set_mode(&dir, mode)?;
                dir.set_mtime(&dir, entry.mtime)?;
            }
        }
        tree.sync(&tree)
    }

    /// Puts one file into a tree: a link to its object where that is the same
    /// inode in every respect, a copy elsewhere.
    fn place(
        &self,
        scratch: &Scratch,
        parent: &Dir,
        name: &OsStr,
        wanted: Wanted<'_>,
    ) -> Result<(), StoreProblem> {
        let object = self.object(scratch, wanted)?;
        if object.stat.mode == wanted.mode && object.stat.mtime == (wanted.mtime, 0) {
            match object.dir.link(&object.name, parent, name) {
                Ok(()) => return Ok(()),
                // Too many links, no links here, not for this user, or another
                // writer has just replaced a damaged object.
                Err(Errno::EMLINK | Errno::EPERM | Errno::EXDEV | Errno::EOPNOTSUPP | Errno::ENOENT) => {}
                Err(errno) => return Err(parent.problem("linkat", name, errno)),
            }
        }
        objects::write(parent, name, wanted)
    }
}

/// The directory of the tree that holds this entry, and the entry's name in it.
fn open_parent<'e>(tree: &Dir, entry: &'e Entry) -> Result<(Dir, &'e OsStr), StoreProblem> {
    let mut parent = tree.existing(OsStr::new(ROOT))?;
    let mut names = entry.relative().split(|byte| *byte == b'/').peekable();
    let mut name = OsStr::new("");
    while let Some(next) = names.next() {
        name = OsStr::from_bytes(next);
        if names.peek().is_some() {
            parent = parent.existing(name)?;
        }
    }
    Ok((parent, name))
}

/// The directory of the tree that this entry is.
fn open_entry(tree: &Dir, entry: &Entry) -> Result<Dir, StoreProblem> {
    match entry.relative() {
        b"" => tree.existing(OsStr::new(ROOT)),
        _ => {
            let (parent, name) = open_parent(tree, entry)?;
            parent.existing(name)
        }
    }
}

//! Trees: an image laid out, so that an overlay can be mounted over it.
//!
//! Guarantees: `trees/<hex>` exists only when it is complete (it is renamed into
//! place, whole) and was checked against its manifest by whoever made it; one
//! that a box runs on is never removed, only moved aside, to `attic/`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::lstat;
use serde::{Deserialize, Serialize};

use super::at::{DIR_MODE, Dir, Stat};
use super::lock::{self, Hold};
use super::{Store, StoreProblem};
use crate::image::digest::Digest;
use crate::image::layout::Contents;
use crate::image::manifest::{Entry, Manifest, What};

/// The names in a tree's directory: the image, and the overlay's second lower
/// directory (one lower directory alone is EINVAL).
pub(super) const ROOT: &str = "root";
const EMPTY: &str = "empty";

/// Where trees go that are replaced while a box runs on them.
pub(super) const ATTIC: &str = "attic";

/// A tree of the store: what the launcher opens, and what it must find there.
/// It is not removed as long as this lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The directory that holds `root` and `empty`.
    pub path: PathBuf,
    /// Its device.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
    /// Keeps it there.
    pub hold: Hold,
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

    /// That of the tree at this path now; `None`: there is none.
    pub(crate) fn at(tree: &Path) -> Option<Self> {
        let stat = |path: &Path| lstat(path).ok().map(Stat::from);
        Some(Self::new(&stat(tree)?, &stat(&tree.join(ROOT))?))
    }
}

impl Store {
    /// The tree of this digest, held, and its stamp now; `None`: it is not here.
    ///
    /// # Errors
    /// It cannot be opened or locked.
    pub fn tree(&self, digest: &Digest) -> Result<Option<(Tree, TreeStamp)>, StoreProblem> {
        let Some(trees) = self.top.dir(OsStr::new("trees"))? else { return Ok(None) };
        let name = OsString::from(digest.to_string());
        let Some(tree) = trees.dir(&name)? else { return Ok(None) };
        let Some(hold) = lock::hold(&tree)? else { return Ok(None) };
        let stat = tree.stat_self()?;
        // It may have been moved away between the opening and the lock.
        if trees.stat(&name)?.is_none_or(|now| (now.dev, now.ino) != (stat.dev, stat.ino)) {
            return Ok(None);
        }
        let Some(root) = tree.stat(OsStr::new(ROOT))? else { return Ok(None) };
        let path = tree.path().to_path_buf();
        Ok(Some((Tree { path, dev: stat.dev, ino: stat.ino, hold }, TreeStamp::new(&stat, &root))))
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
        let mut writer = self.writer()?;
        let digest = writer.keep_manifest(manifest)?;
        if let Some(found) = self.whole_tree(&digest)? {
            return Ok(found);
        }
        for entry in manifest.entries() {
            let What::File { mode, digest, .. } = &entry.what else { continue };
            let Some(content) = contents.get(&entry.path) else {
                return Err(self.top.problem("openat", OsStr::from_bytes(&entry.path), Errno::ENOENT));
            };
            writer.put(content, *digest, *mode, entry.mtime)?;
        }
        writer.materialise(manifest)
    }

    /// The tree of this digest, if it is all that its manifest says; what is
    /// there and is not goes out of the way.
    pub(super) fn whole_tree(&self, digest: &Digest) -> Result<Option<(Tree, TreeStamp)>, StoreProblem> {
        let Some(found) = self.tree(digest)? else { return Ok(None) };
        if self.verify_full(digest).is_ok_and(|checked| checked.is_clean()) {
            return Ok(Some(found));
        }
        drop(found);
        self.retire(&OsString::from(digest.to_string()))?;
        Ok(None)
    }

    /// Takes a tree away: removed where nobody uses it, else moved to the attic,
    /// whole, until nobody does.
    pub(super) fn retire(&self, name: &OsStr) -> Result<(), StoreProblem> {
        let Some(trees) = self.top.dir(OsStr::new("trees"))? else { return Ok(()) };
        let Some(tree) = trees.dir(name)? else { return Ok(()) };
        let scratch = self.scratch()?;
        let lock = lock::alone(&tree)?;
        let (to, new) = match lock {
            Some(_) => (None, OsString::from("retired")),
            None => (Some(self.top.ensure(OsStr::new(ATTIC))?), scratch.unique(name)),
        };
        match trees.rename(name, to.as_ref().unwrap_or(scratch.dir()), &new) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(trees.problem("renameat", name, errno)),
        }
    }
}

/// An empty tree, in a writer's own directory.
pub(super) fn begin(scratch: &Dir) -> Result<Dir, StoreProblem> {
    scratch.remove(OsStr::new("tree"))?;
    let tree = scratch.make(OsStr::new("tree"), DIR_MODE)?;
    tree.make(OsStr::new(EMPTY), DIR_MODE)?;
    // Writable for us until it is full, whatever its final mode.
    tree.make(OsStr::new(ROOT), 0o700)?;
    Ok(tree)
}

/// Modes and times of directories. Children before parents: filling a directory
/// changes its time.
pub(super) fn finish(tree: &Dir, manifest: &Manifest) -> Result<(), StoreProblem> {
    let mut walker = Walker::new(tree.existing(OsStr::new(ROOT))?);
    for entry in manifest.entries().iter().rev() {
        if let What::Dir { mode } = entry.what {
            let opened;
            let dir = match entry.relative() {
                b"" => &walker.top,
                _ => {
                    let (parent, name) = walker.parent(entry)?;
                    opened = parent.existing(name)?;
                    &opened
                }
            };
            dir.set_mode(dir, mode)?;
            dir.set_mtime(dir, entry.mtime)?;
        }
    }
    Ok(())
}

/// Opens the directories that entries lie in, each once as long as they come in order.
pub(super) struct Walker {
    top: Dir,
    open: Vec<(Vec<u8>, Dir)>,
}

impl Walker {
    pub(super) const fn new(top: Dir) -> Self {
        Self { top, open: Vec::new() }
    }

    /// The directory of the tree that holds this entry, and the entry's name in it.
    pub(super) fn parent<'e>(&mut self, entry: &'e Entry) -> Result<(&Dir, &'e OsStr), StoreProblem> {
        let mut names: Vec<&[u8]> = entry.relative().split(|byte| *byte == b'/').collect();
        let name = OsStr::from_bytes(names.pop().unwrap_or_default());
        let same = names.iter().zip(&self.open).take_while(|(wanted, open)| **wanted == open.0).count();
        self.open.truncate(same);
        for wanted in names.iter().skip(same) {
            let above = self.open.last().map_or(&self.top, |open| &open.1);
            let next = above.existing(OsStr::from_bytes(wanted))?;
            self.open.push((wanted.to_vec(), next));
        }
        Ok((self.open.last().map_or(&self.top, |open| &open.1), name))
    }
}

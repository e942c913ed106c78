//! Putting an image into the store.
//!
//! Guarantees: what is put in is first complete and on the disk in the writer's
//! own directory, and gets its name in one step; until the writer is gone,
//! nothing of it is swept. See rename(2), syncfs(2).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};

use nix::errno::Errno;

use super::at::Dir;
use super::lock::Hold;
use super::objects::{self, Wanted, named, whole};
use super::scratch::Scratch;
use super::tree::{ROOT, Tree, TreeStamp};
use super::{Store, StoreProblem, errno_of};
use crate::image::digest::{Digest, Hasher};
use crate::image::layout::Content;
use crate::image::manifest::{Manifest, What};

/// Up to so many new files are put on the disk one by one; beyond it, a single
/// call for the whole file system costs less.
const FEW: usize = 16;

/// Read at once from an archive.
const PIECE: usize = 64 << 10;

/// Where a stream waits for its name.
const INCOMING: &str = "incoming";

/// Why a stream could not be put in.
#[derive(Debug)]
pub(crate) enum StreamProblem {
    /// The stream's fault.
    Read(io::Error),
    /// The store's.
    Store(StoreProblem),
}

impl From<StoreProblem> for StreamProblem {
    fn from(problem: StoreProblem) -> Self {
        Self::Store(problem)
    }
}

/// An object that has no name yet.
#[derive(Debug, Clone, Copy)]
struct Staged {
    digest: Digest,
    mode: u16,
    size: u64,
}

/// Somebody who puts something in.
#[derive(Debug)]
pub(crate) struct Writer<'s> {
    store: &'s Store,
    scratch: Scratch,
    stage: Dir,
    staged: BTreeMap<OsString, Staged>,
    /// Objects that were read, or written, in this session: they are whole.
    known: BTreeSet<OsString>,
    /// Bytes that may still come; not known before there is something new.
    room: Option<u64>,
    /// Whether a damaged object was replaced: trees may have it linked.
    replaced: bool,
    held: Hold,
}

impl Store {
    /// Begins to put something in.
    pub(crate) fn writer(&self) -> Result<Writer<'_>, StoreProblem> {
        let lock = self.lock_shared()?;
        let scratch = self.scratch()?;
        let stage = scratch.dir().make(OsStr::new("stage"), 0o700)?;
        Ok(Writer {
            store: self,
            scratch,
            stage,
            staged: BTreeMap::new(),
            known: BTreeSet::new(),
            room: None,
            replaced: false,
            held: Hold::by(lock),
        })
    }
}

impl Writer<'_> {
    /// The store it writes to.
    pub(crate) const fn store(&self) -> &Store {
        self.store
    }

    /// Keeps everything that was put in, named or not, longer than the writer lives.
    pub(crate) fn hold(&self) -> Hold {
        self.held.clone()
    }

    /// A file of the writer's own without a name, for what has to be read twice.
    pub(crate) fn spool(&self) -> Result<File, StoreProblem> {
        let name = OsStr::new("spool");
        let file = self.scratch.dir().create_for_both(name)?;
        self.scratch.dir().remove(name)?;
        Ok(file)
    }

    /// Why a spool could not be written.
    pub(crate) fn spool_problem(&self, errno: Errno) -> StoreProblem {
        self.scratch.dir().problem("write", OsStr::new("spool"), errno)
    }

    /// A fresh directory of the writer's own, for programs that make files.
    pub(crate) fn workshop(&self) -> Result<std::path::PathBuf, StoreProblem> {
        let name = OsStr::new("workshop");
        self.scratch.dir().remove(name)?;
        Ok(self.scratch.dir().make(name, 0o700)?.path().to_path_buf())
    }

    /// Puts a content in whose digest is known.
    pub(crate) fn put(
        &mut self,
        content: &Content,
        digest: Digest,
        mode: u16,
        mtime: i64,
    ) -> Result<(), StoreProblem> {
        let (name, mode) = named(&digest, mode);
        let size = content.size();
        if self.is_there(&name, Staged { digest, mode, size })? {
            return Ok(());
        }
        self.take_room(size)?;
        objects::write(&self.stage, &name, Wanted { digest, mode, mtime, content })?;
        self.staged.insert(name, Staged { digest, mode, size });
        Ok(())
    }

    /// Puts in what a stream has, to its end.
    pub(crate) fn put_stream(
        &mut self,
        from: &mut dyn Read,
        executable: bool,
        mtime: i64,
    ) -> Result<(Digest, u64), StreamProblem> {
        let incoming = OsStr::new(INCOMING);
        self.stage.remove(incoming)?;
        let mut file = self.stage.create(incoming)?;
        let mut hasher = Hasher::new();
        let mut size = 0;
        let mut piece = vec![0; PIECE];
        loop {
            let read = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StreamProblem::Read(error)),
            };
            self.take_room(read as u64)?;
            hasher.update(&piece[..read]);
            file.write_all(&piece[..read])
                .map_err(|error| self.stage.problem("write", incoming, errno_of(&error)))?;
            size += read as u64;
        }
        let digest = hasher.finish();
        let (name, mode) = named(&digest, if executable { 0o111 } else { 0 });
        if self.is_there(&name, Staged { digest, mode, size })? {
            self.stage.remove(incoming)?;
            self.room = self.room.map(|room| room.saturating_add(size));
            return Ok((digest, size));
        }
        self.stage.set_mode(&file, mode)?;
        self.stage.set_mtime(&file, mtime)?;
        let renamed = self.stage.rename(incoming, &self.stage, &name);
        renamed.map_err(|errno| self.stage.problem("renameat", &name, errno))?;
        self.staged.insert(name, Staged { digest, mode, size });
        Ok((digest, size))
    }

    /// Whether an object is in the store, whole, or about to be.
    fn is_there(&mut self, name: &OsStr, wanted: Staged) -> Result<bool, StoreProblem> {
        if self.staged.contains_key(name) || self.known.contains(name) {
            return Ok(true);
        }
        let Some(shelf) = self.store.shelf_if_there(name)? else { return Ok(false) };
        let there = whole(&shelf, name, wanted.mode, wanted.size, &wanted.digest)?.is_some();
        if there {
            self.known.insert(name.to_os_string());
        }
        Ok(there)
    }

    /// Counts new bytes against the store's cap.
    fn take_room(&mut self, bytes: u64) -> Result<(), StoreProblem> {
        let cap = self.store.cap();
        let room = match self.room {
            Some(room) => room,
            None if cap == u64::MAX => u64::MAX,
            None => cap.saturating_sub(self.store.used()?),
        };
        match room.checked_sub(bytes) {
            Some(left) => {
                self.room = Some(left);
                Ok(())
            }
            None => Err(StoreProblem::CapReached { path: self.store.path().to_path_buf(), cap }),
        }
    }

    /// Gives everything that was put in its name.
    pub(crate) fn commit(&mut self) -> Result<(), StoreProblem> {
        self.stage.remove(OsStr::new(INCOMING))?;
        if self.staged.len() > FEW {
            nix::unistd::syncfs(&self.stage)
                .map_err(|errno| self.stage.problem("syncfs", OsStr::new(""), errno))?;
        } else {
            for name in self.staged.keys() {
                let file = self.stage.open(name)?;
                let file = file.ok_or_else(|| self.stage.problem("openat", name, Errno::ENOENT))?;
                // A name that survives a power cut without its bytes would be an empty library.
                self.stage.sync(&file)?;
            }
        }
        for (name, staged) in std::mem::take(&mut self.staged) {
            self.place(&name, staged)?;
            self.known.insert(name);
        }
        if std::mem::take(&mut self.replaced) {
            self.store.forget_views()?;
        }
        Ok(())
    }

    /// One object gets its name.
    fn place(&mut self, name: &OsStr, staged: Staged) -> Result<(), StoreProblem> {
        let shelf = self.store.shelf(name)?;
        match self.stage.link(name, &shelf, name) {
            Ok(()) => return self.stage.remove(name),
            // Another writer's, or a damaged one. A good one is never replaced:
            // its inode must not vanish under a writer that is about to link it.
            Err(Errno::EEXIST) => {
                let Staged { digest, mode, size } = staged;
                if whole(&shelf, name, mode, size, &digest)?.is_some() {
                    return self.stage.remove(name);
                }
                self.replaced = true;
            }
            // No links here.
            Err(_) => {}
        }
        // A damaged one stays with those who have it linked.
        let renamed = self.stage.rename(name, &shelf, name);
        renamed.map_err(|errno| shelf.problem("renameat", name, errno))
    }

    /// Lays an image out whose contents are in the store, or finds it laid out
    /// and whole.
    pub(crate) fn materialise(&mut self, manifest: &Manifest) -> Result<(Tree, TreeStamp), StoreProblem> {
        self.commit()?;
        let digest = self.keep_manifest(manifest)?;
        let name = OsString::from(digest.to_string());
        let trees = self.store.top.ensure(OsStr::new("trees"))?;
        if let Some(found) = self.store.whole_tree(&digest)? {
            return Ok(found);
        }
        self.lay_out(manifest)?;
        // A tree that gets its name has no other writer's beside it: a few tries are plenty.
        for _ in 0..8 {
            match self.scratch.dir().rename(OsStr::new("tree"), &trees, &name) {
                // Another writer was faster, with the same image: a tree is never empty.
                Ok(()) | Err(Errno::EEXIST | Errno::ENOTEMPTY) => {}
                Err(errno) => return Err(trees.problem("renameat", &name, errno)),
            }
            if let Some(found) = self.store.tree(&digest)? {
                return Ok(found);
            }
        }
        Err(trees.problem("openat", &name, Errno::ENOENT))
    }

    /// Keeps a manifest, and answers its digest.
    pub(crate) fn keep_manifest(&self, manifest: &Manifest) -> Result<Digest, StoreProblem> {
        let bytes = manifest.to_bytes();
        let digest = Digest::of(&bytes);
        self.store.put_manifest(&digest, &bytes)?;
        Ok(digest)
    }

    /// Makes the whole tree in the writer's own directory.
    fn lay_out(&self, manifest: &Manifest) -> Result<(), StoreProblem> {
        let tree = super::tree::begin(self.scratch.dir())?;
        let mut walker = super::tree::Walker::new(tree.existing(OsStr::new(ROOT))?);
        let mut copies = 0;
        for entry in manifest.entries().iter().skip(1) {
            let (parent, name) = walker.parent(entry)?;
            match &entry.what {
                What::Dir { .. } => drop(parent.make(name, 0o700)?),
                What::Symlink { target } => {
                    parent.symlink(
                        std::os::unix::ffi::OsStrExt::from_bytes(target.as_slice()),
                        name,
                        entry.mtime,
                    )?;
                }
                What::File { mode, digest, size } => {
                    let wanted = (*digest, *mode, *size, entry.mtime);
                    copies += usize::from(self.place_in(parent, name, wanted)?);
                }
            }
        }
        super::tree::finish(&tree, manifest)?;
        if copies > 0 {
            return nix::unistd::syncfs(&tree).map_err(|errno| tree.problem("syncfs", OsStr::new(""), errno));
        }
        tree.sync(&tree)
    }

    /// Puts one file into a tree: a link to its object where that is the same
    /// inode in every respect, a copy elsewhere. Whether it is a copy.
    fn place_in(
        &self,
        parent: &Dir,
        name: &OsStr,
        (digest, mode, size, mtime): (Digest, u16, u64, i64),
    ) -> Result<bool, StoreProblem> {
        let (object, object_mode) = named(&digest, mode);
        let damaged = |why: &str| StoreProblem::Damaged {
            path: self.store.path().join("objects/sha256").join(objects::two(&object)).join(&object),
            why: why.to_owned(),
        };
        let shelf = self.store.shelf_if_there(&object)?.ok_or_else(|| damaged("it is missing"))?;
        let stat = shelf.stat(&object)?.ok_or_else(|| damaged("it is missing"))?;
        if stat.mode == mode && stat.mtime == (mtime, 0) {
            if !self.known.contains(&object) && whole(&shelf, &object, object_mode, size, &digest)?.is_none()
            {
                return Err(damaged("its bytes are not those of its name"));
            }
            match shelf.link(&object, parent, name) {
                Ok(()) => return Ok(false),
                Err(errno) if objects::copy_will_do(errno) => {}
                Err(errno) => return Err(parent.problem("linkat", name, errno)),
            }
        }
        let content = self.store.content(&digest, mode, size)?;
        match objects::write(parent, name, Wanted { digest, mode, mtime, content: &content }) {
            Ok(_) => Ok(true),
            Err(StoreProblem::Changed(_)) => Err(damaged("its bytes are not those of its name")),
            Err(problem) => Err(problem),
        }
    }
}

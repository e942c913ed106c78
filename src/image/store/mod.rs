//! The store: images kept between launches, each file once.
//!
//! ```text
//! objects/sha256/ab/<hex>      content, 0444; <hex>.x the same bytes, 0555
//! manifests/<hex>              canonical manifests, by their digest
//! trees/<hex>/root             the image laid out, hard links to the objects
//! trees/<hex>/empty            the second lower directory of the overlay
//! closures/<key>               what a set of needed libraries resolved to
//! tmp/<writer>/                one directory a writer, locked while it lives
//! ```
//!
//! Guarantees: what has its final name is complete, whatever was killed when
//! (everything is made under `tmp` and renamed); several writers never disturb
//! each other; no link inside the store is followed; a store that another user
//! owns or may write is not used at all.
//!
//! Relies on: a file system with atomic rename. Whoever runs as the store's
//! owner can change it (the box never does: it runs under ids of its own, on a
//! read-only overlay); [`Store::verify_full`] finds such changes.

pub(crate) mod at;
mod objects;
mod problem;
mod scratch;
#[cfg(test)]
mod tests;
mod tree;
mod verify;

use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::digest::Digest;
use super::manifest::{self, Manifest};
use at::{Dir, Stat};
pub use problem::StoreProblem;
pub use tree::{Tree, TreeStamp};
pub use verify::{Checked, Mismatch};

/// Root's store, unless it says otherwise.
const ROOT_STORE: &str = "/var/lib/stockade";

/// The most closures kept. Programs choose what they need, so that a hostile
/// series of them could otherwise fill the disk; beyond this, private copies.
const MAX_CLOSURES: usize = 4096;

/// The most bytes of an entry in `closures/`: it lists each library once.
const MAX_RECORD: u64 = 1 << 20;

/// A place for images, open.
#[derive(Debug)]
pub struct Store {
    top: Dir,
}

impl Store {
    /// Where the store is: the option, `STOCKADE_STORE`, else `stockade` in
    /// `$XDG_DATA_HOME`, else the caller's `~/.local/share/stockade` or root's
    /// `/var/lib/stockade`. An empty variable counts as unset, and so does a
    /// relative `XDG_DATA_HOME` or `HOME`.
    ///
    /// # Errors
    /// [`StoreProblem::NoPlace`]: a user without a home.
    pub fn locate(
        explicit: Option<&Path>,
        env: &dyn Fn(&str) -> Option<OsString>,
        euid: u32,
    ) -> Result<PathBuf, StoreProblem> {
        let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = explicit.map(Path::to_path_buf).or_else(|| set("STOCKADE_STORE")) {
            return Ok(path);
        }
        if let Some(data) = set("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
            return Ok(data.join("stockade"));
        }
        if euid == 0 {
            return Ok(ROOT_STORE.into());
        }
        match set("HOME").filter(|path| path.is_absolute()) {
            Some(home) => Ok(home.join(".local/share/stockade")),
            None => Err(StoreProblem::NoPlace),
        }
    }

    /// Opens the store at this path, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made or read, belongs to someone else, or can be written by
    /// someone else. The caller goes on without a store.
    pub fn open(path: &Path) -> Result<Self, StoreProblem> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let problem = |call, errno| StoreProblem::Call { call, path: path.to_path_buf(), errno };
        let fd = match open(path, flags, Mode::empty()) {
            Err(Errno::ENOENT) => {
                make_top(path)?;
                open(path, flags, Mode::empty())
            }
            opened => opened,
        };
        let fd = match fd {
            Ok(fd) => fd,
            Err(Errno::ENOTDIR) => return Err(StoreProblem::NotADirectory(path.to_path_buf())),
            Err(errno) => return Err(problem("open", errno)),
        };
        // The path is what the launcher opens again in its own mount namespace.
        let real = path.canonicalize().map_err(|error| problem("realpath", errno_of(&error)))?;
        let top = Dir::new(fd, real);
        check_owner(top.path(), &top.stat_self()?)?;
        Ok(Self { top })
    }

    /// Its path, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.top.path()
    }

    /// What a set of needs resolved to, as kept by [`Store::put_record`].
    pub(crate) fn record(&self, key: &Digest) -> Result<Option<Vec<u8>>, StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("closures"))? else { return Ok(None) };
        self.read(&dir, key, MAX_RECORD)
    }

    /// Keeps what a set of needs resolved to; replaces what was kept before.
    pub(crate) fn put_record(&self, key: &Digest, bytes: &[u8]) -> Result<(), StoreProblem> {
        let dir = self.top.ensure(OsStr::new("closures"))?;
        self.put(&dir, key, bytes, false)
    }

    /// Whether this closure may be kept: it is already, or there is room for one more.
    pub(crate) fn check_room(&self, key: &Digest) -> Result<(), StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("closures"))? else { return Ok(()) };
        let full = StoreProblem::Full { path: dir.path().to_path_buf(), closures: MAX_CLOSURES };
        let known = dir.stat(OsStr::new(&key.to_string()))?.is_some();
        if known || dir.names()?.len() < MAX_CLOSURES { Ok(()) } else { Err(full) }
    }

    /// The manifest of this digest; `None`: it is not here.
    ///
    /// # Errors
    /// It cannot be read, or its bytes are not those of its name.
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>, StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("manifests"))? else { return Ok(None) };
        let Some(bytes) = self.read(&dir, digest, manifest::MAX_BYTES as u64)? else { return Ok(None) };
        let damaged = |why: String| StoreProblem::Damaged { path: dir.path().join(digest.to_string()), why };
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(damaged(format!("its digest is {found}")));
        }
        Manifest::parse(&bytes).map(Some).map_err(|problem| damaged(problem.to_string()))
    }

    /// Keeps a manifest.
    fn put_manifest(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreProblem> {
        let dir = self.top.ensure(OsStr::new("manifests"))?;
        if self.read(&dir, digest, manifest::MAX_BYTES as u64)?.is_some_and(|kept| kept == bytes) {
            return Ok(());
        }
        self.put(&dir, digest, bytes, true)
    }

    /// A small file, whole; `None`: it is not here, or it is larger than any real one.
    fn read(&self, dir: &Dir, name: &Digest, most: u64) -> Result<Option<Vec<u8>>, StoreProblem> {
        let name = OsString::from(name.to_string());
        let Some(file) = dir.open(&name)? else { return Ok(None) };
        // Records have 1 to 3 KB: one call for most of them.
        let mut bytes = Vec::with_capacity(8192);
        let read = file.take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| dir.problem("read", &name, errno_of(&error)))?;
        Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= most))
    }

    /// Writes a small file under a temporary name, then gives it its own.
    fn put(&self, dir: &Dir, name: &Digest, bytes: &[u8], sync: bool) -> Result<(), StoreProblem> {
        let scratch = self.scratch()?;
        let name = OsString::from(name.to_string());
        let file = scratch.write(&name, bytes, 0o444)?;
        if sync {
            scratch.dir().sync(&file)?;
        }
        scratch.dir().rename(&name, dir, &name).map_err(|errno| dir.problem("renameat", &name, errno))
    }
}

/// Makes the top directory, and what is missing above it.
fn make_top(path: &Path) -> Result<(), StoreProblem> {
    let failed = |error: &std::io::Error| StoreProblem::Call {
        call: "mkdir",
        path: path.to_path_buf(),
        errno: errno_of(error),
    };
    let missing: Vec<&Path> = path.ancestors().take_while(|dir| !dir.exists()).collect();
    for dir in missing.into_iter().rev().filter(|dir| !dir.as_os_str().is_empty()) {
        match std::fs::create_dir(dir) {
            // The caller's umask may leave a directory that nobody can enter.
            Ok(()) => {
                let mode = Permissions::from_mode(u32::from(at::DIR_MODE));
                std::fs::set_permissions(dir, mode).map_err(|e| failed(&e))?;
            }
            // Another writer was faster.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed(&e)),
        }
    }
    Ok(())
}

/// Whoever else may write here decides what runs in the box.
fn check_owner(path: &Path, stat: &Stat) -> Result<(), StoreProblem> {
    let caller = nix::unistd::geteuid().as_raw();
    if stat.uid != caller {
        return Err(StoreProblem::Foreign { path: path.to_path_buf(), owner: stat.uid, caller });
    }
    if stat.mode & 0o022 != 0 {
        return Err(StoreProblem::WritableByOthers { path: path.to_path_buf(), mode: stat.mode });
    }
    Ok(())
}

pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

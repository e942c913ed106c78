//! The store: images kept between launches, each file once.
//!
//! ```text
//! objects/sha256/ab/<hex>      content, 0444; <hex>.x the same bytes, 0555
//! manifests/<hex>              canonical manifests, by their digest
//! trees/<hex>/root             the image laid out, hard links to the objects
//! trees/<hex>/empty            the second lower directory of the overlay
//! policies/<hex>               policies of images, as canonical JSON
//! refs/<name>                  a name, and the image that it means now
//! images/<hex>                 what an image is, in short
//! about/<hex>                  why each file is in it, and what was left out
//! closures/<key>               what a set of needed libraries resolved to
//! recipes/<key>                what a recipe resolved to on this host
//! views/<key>                  an image with the places that something is mounted on
//! attic/                       trees that were replaced while a box ran on them
//! lock                         held by writers (shared) and by the sweeper (alone)
//! tmp/<writer>/                one directory a writer, locked while it lives
//! ```
//!
//! An image is kept for ever if it has a name; others, and what is merely
//! remembered, go when room is needed, least recently used first.
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
mod cards;
mod gc;
mod lock;
mod objects;
mod problem;
mod refs;
mod scratch;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod view;
mod writer;

use std::collections::HashSet;
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
use crate::error::no_matter;
use at::{Dir, Stat};
pub use cards::{About, Card, LeftOut, Made, Package, Why};
pub use gc::{Collected, Limits};
pub use lock::Hold;
pub use problem::StoreProblem;
pub use refs::{Ref, RefProblem, check_name};
pub use tree::{Tree, TreeStamp};
pub use verify::{Checked, Mismatch};
pub(crate) use view::{Mounts, Summary, summarise};
pub(crate) use writer::{StreamProblem, Writer};

/// Root's store, unless it says otherwise.
const ROOT_STORE: &str = "/var/lib/stockade";

/// The most closures kept. Programs choose what they need, so that a hostile
/// series of them could otherwise fill the disk; beyond this, private copies.
const MAX_CLOSURES: usize = 4096;

/// The most bytes of an entry in `closures/`: it lists each library once.
const MAX_RECORD: u64 = 1 << 20;

/// The most bytes that a store holds unless its owner says otherwise: a few
/// compilers, and thousands of closures.
pub const DEFAULT_CAP: u64 = 20 << 30;

/// The time of last use is noted when the noted one is this old, in seconds: a
/// launch writes nothing as a rule.
const USE_NOTED: i64 = 3600;

/// A place for images, open.
#[derive(Debug)]
pub struct Store {
    top: Dir,
    cap: u64,
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
        Ok(Self { top, cap: DEFAULT_CAP })
    }

    /// The same store, which is not to hold more than so many bytes.
    #[must_use]
    pub fn with_cap(self, cap: u64) -> Self {
        Self { cap, ..self }
    }

    /// The most bytes that it may hold.
    #[must_use]
    pub const fn cap(&self) -> u64 {
        self.cap
    }

    /// How many bytes it holds: of every file once, however often it is linked.
    ///
    /// # Errors
    /// A directory of it cannot be read.
    pub fn used(&self) -> Result<u64, StoreProblem> {
        let mut seen = HashSet::new();
        let mut bytes = 0;
        for name in ["objects", "trees", "attic"] {
            if let Some(dir) = self.top.dir(OsStr::new(name))? {
                bytes += dir.bytes(&mut seen)?;
            }
        }
        Ok(bytes)
    }

    /// Its path, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.top.path()
    }

    /// What a set of needs resolved to, as kept by [`Store::put_record`].
    pub(crate) fn record(&self, key: &Digest) -> Result<Option<Vec<u8>>, StoreProblem> {
        self.recall("closures", key, MAX_RECORD)
    }

    /// What is remembered under a key.
    fn recall(&self, place: &str, key: &Digest, most: u64) -> Result<Option<Vec<u8>>, StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new(place))? else { return Ok(None) };
        self.read(&dir, OsStr::new(&key.to_string()), most)
    }

    /// Notes that what is remembered here is used, now and then.
    pub(crate) fn note_use(&self, place: &str, key: &Digest) {
        if let Ok(Some(dir)) = self.top.dir(OsStr::new(place)) {
            dir.note_use(OsStr::new(&key.to_string()), USE_NOTED);
        }
    }

    /// What a recipe resolved to, as kept by [`Store::put_recipe`].
    pub(crate) fn recipe(&self, key: &Digest) -> Result<Option<Vec<u8>>, StoreProblem> {
        self.recall("recipes", key, MAX_RECORD)
    }

    /// Keeps what a recipe resolved to.
    pub(crate) fn put_recipe(&self, key: &Digest, bytes: &[u8]) -> Result<(), StoreProblem> {
        let dir = self.top.ensure(OsStr::new("recipes"))?;
        self.put(&dir, OsStr::new(&key.to_string()), bytes, false)
    }

    /// Keeps what a set of needs resolved to; replaces what was kept before.
    pub(crate) fn put_record(&self, key: &Digest, bytes: &[u8]) -> Result<(), StoreProblem> {
        let dir = self.top.ensure(OsStr::new("closures"))?;
        self.put(&dir, OsStr::new(&key.to_string()), bytes, false)
    }

    /// Whether this closure may be kept: it is already, or there is room for one more.
    pub(crate) fn check_room(&self, key: &Digest) -> Result<(), StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("closures"))? else { return Ok(()) };
        let full = StoreProblem::Full { path: dir.path().to_path_buf(), closures: MAX_CLOSURES };
        let known = dir.stat(OsStr::new(&key.to_string()))?.is_some();
        if known || dir.names()?.len() < MAX_CLOSURES { Ok(()) } else { Err(full) }
    }

    /// Makes room where the cap is near: what is remembered and not used goes
    /// first. Never waits, and nothing that fails here matters to the caller.
    pub(crate) fn make_room(&self) {
        no_matter(self.sweep_temporaries(), "a leftover that cannot be removed is no reason to fail");
        let crowded = self.top.dir(OsStr::new("closures")).ok().flatten();
        let crowded =
            crowded.and_then(|dir| dir.names().ok()).is_some_and(|names| names.len() >= MAX_CLOSURES);
        if crowded || (self.cap < u64::MAX && self.used().is_ok_and(|used| used > self.cap / 10 * 9)) {
            let limits = Limits { bytes: self.cap / 4 * 3, closures: MAX_CLOSURES / 4 * 3, wait: false };
            no_matter(self.collect(&limits), "without room, the root is a private copy, and says so");
        }
    }

    /// The manifest of this digest; `None`: it is not here.
    ///
    /// # Errors
    /// It cannot be read, or its bytes are not those of its name.
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>, StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("manifests"))? else { return Ok(None) };
        let name = OsString::from(digest.to_string());
        let Some(bytes) = self.read(&dir, &name, manifest::MAX_BYTES as u64)? else { return Ok(None) };
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
        let name = OsString::from(digest.to_string());
        if self.read(&dir, &name, manifest::MAX_BYTES as u64)?.is_some_and(|kept| kept == bytes) {
            return Ok(());
        }
        self.put(&dir, &name, bytes, true)
    }

    /// A small file, whole; `None`: it is not here, or it is larger than any real one.
    fn read(&self, dir: &Dir, name: &OsStr, most: u64) -> Result<Option<Vec<u8>>, StoreProblem> {
        let Some(file) = dir.open(name)? else { return Ok(None) };
        // Records have 1 to 3 KB: one call for most of them.
        let mut bytes = Vec::with_capacity(8192);
        let read = file.take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| dir.problem("read", name, errno_of(&error)))?;
        Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= most))
    }

    /// Writes a small file under a temporary name, then gives it its own.
    fn put(&self, dir: &Dir, name: &OsStr, bytes: &[u8], sync: bool) -> Result<(), StoreProblem> {
        let scratch = self.scratch()?;
        let file = scratch.write(name, bytes, 0o444)?;
        if sync {
            scratch.dir().sync(&file)?;
        }
        scratch.dir().rename(name, dir, name).map_err(|errno| dir.problem("renameat", name, errno))
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

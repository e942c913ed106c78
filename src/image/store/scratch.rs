//! One directory under `tmp` for each writer, locked while the writer lives.
//!
//! Guarantees: what a dead writer left is told apart from what a live one is
//! making, in any process-id namespace, because the kernel drops the lock with
//! the writer. See flock(2).

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use super::at::{Dir, Stat};
use super::{Store, StoreProblem, errno_of};

/// How often a new name is tried when a sweeper took the directory away
/// between its making and its lock.
const TRIES: usize = 16;

/// A writer's own directory; removed with all it holds when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    tmp: Dir,
    dir: Dir,
    name: OsString,
    /// Holds the lock.
    _lock: File,
}

impl Scratch {
    pub(super) const fn dir(&self) -> &Dir {
        &self.dir
    }

    /// A name that nothing else has, made of this one.
    pub(super) fn unique(&self, name: &OsStr) -> OsString {
        let mut unique = name.to_os_string();
        unique.push("-");
        unique.push(&self.name);
        unique
    }

    /// Writes a whole file of exactly this mode.
    pub(super) fn write(&self, name: &OsStr, bytes: &[u8], mode: u16) -> Result<File, StoreProblem> {
        let mut file = self.dir.create(name)?;
        file.write_all(bytes).map_err(|error| self.dir.problem("write", name, errno_of(&error)))?;
        self.dir.set_mode(&file, mode)?;
        Ok(file)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is swept by a later writer.
        self.tmp.remove(&self.name).ok();
    }
}

impl Store {
    /// A fresh directory for this writer.
    pub(super) fn scratch(&self) -> Result<Scratch, StoreProblem> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let tmp = self.top.ensure(OsStr::new("tmp"))?;
        for _ in 0..TRIES {
            // The clock makes names differ between process-id namespaces; a clash is an error below, never shared.
            let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = OsString::from(format!("{}-{now}-{count}", std::process::id()));
            let dir = match tmp.make(&name, 0o700) {
                Ok(dir) => dir,
                Err(StoreProblem::Call { errno: Errno::EEXIST | Errno::ENOENT, .. }) => continue,
                Err(problem) => return Err(problem),
            };
            if let Some(lock) = try_lock(&dir)? {
                return Ok(Scratch { tmp, dir, name, _lock: lock });
            }
        }
        Err(tmp.problem("flock", OsStr::new(""), Errno::EAGAIN))
    }

    /// Removes what dead writers left behind; returns how many there were.
    ///
    /// # Errors
    /// `tmp` cannot be read. What cannot be removed is left alone.
    pub fn sweep_temporaries(&self) -> Result<usize, StoreProblem> {
        let Some(tmp) = self.top.dir(OsStr::new("tmp"))? else { return Ok(0) };
        let mut swept = 0;
        for name in tmp.names()? {
            // A writer may finish and remove its directory at any moment here.
            let Ok(Some(dir)) = tmp.dir(&name) else { continue };
            if let Ok(Some(_lock)) = try_lock(&dir)
                && tmp.remove(&name).is_ok()
            {
                swept += 1;
            }
        }
        Ok(swept)
    }
}

/// Takes the lock of a writer's directory; `None`: someone else has it, or the
/// directory has been removed meanwhile.
fn try_lock(dir: &Dir) -> Result<Option<File>, StoreProblem> {
    let failed = |call, error: &std::io::Error| dir.problem(call, OsStr::new(""), errno_of(error));
    let lock = File::from(dir.as_fd().try_clone_to_owned().map_err(|error| failed("dup", &error))?);
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(failed("flock", &error)),
    }
    let stat = Stat::of(&lock).map_err(|errno| dir.problem("fstat", OsStr::new(""), errno))?;
    Ok((stat.links > 0).then_some(lock))
}

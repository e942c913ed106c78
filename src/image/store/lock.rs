//! Locks: on a tree while a box runs on it, on the store while something is
//! put into it.
//!
//! Guarantees: a tree with a [`Hold`] is never removed, by whatever process;
//! what a writer has put in and nobody refers to yet is never swept. The kernel
//! drops a lock with its holder, so that no death leaves one behind. See
//! flock(2).

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::at::Dir;
use super::{Store, StoreProblem, errno_of};

/// The file that writers and the sweeper lock.
pub(super) const STORE_LOCK: &str = "lock";

/// Keeps a tree, or what a writer has put in, from being removed as long as it lives.
#[derive(Debug, Clone)]
pub struct Hold(#[expect(dead_code, reason = "its life is what counts")] Arc<File>);

/// Two holds on a tree are as good as one.
impl PartialEq for Hold {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Hold {}

fn of_dir(dir: &Dir) -> Result<File, StoreProblem> {
    let fd = dir.as_fd().try_clone_to_owned();
    fd.map(File::from).map_err(|error| dir.problem("dup", OsStr::new(""), errno_of(&error)))
}

fn taken(dir: &Dir, lock: File, tried: Result<(), TryLockError>) -> Result<Option<File>, StoreProblem> {
    match tried {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(dir.problem("flock", OsStr::new(""), errno_of(&error))),
    }
}

/// A shared lock on a directory; `None`: somebody is removing it.
pub(super) fn hold(dir: &Dir) -> Result<Option<Hold>, StoreProblem> {
    let lock = of_dir(dir)?;
    let tried = lock.try_lock_shared();
    Ok(taken(dir, lock, tried)?.map(|lock| Hold(Arc::new(lock))))
}

/// The lock of somebody who wants a directory alone; `None`: it is in use.
pub(super) fn alone(dir: &Dir) -> Result<Option<File>, StoreProblem> {
    let lock = of_dir(dir)?;
    let tried = lock.try_lock();
    taken(dir, lock, tried)
}

impl Hold {
    /// By this lock.
    pub(super) fn by(lock: File) -> Self {
        Self(Arc::new(lock))
    }
}

impl Store {
    /// The lock of whoever gives names or takes them away, with what is known of
    /// their images. Held for a moment only, by writers and sweepers alike.
    pub(super) fn lock_names(&self) -> Result<File, StoreProblem> {
        let names = self.top.ensure(OsStr::new("refs"))?;
        let lock = of_dir(&names)?;
        lock.lock().map_err(|error| names.problem("flock", OsStr::new(""), errno_of(&error)))?;
        Ok(lock)
    }

    /// The lock of a writer. Waits for a sweeper, which takes milliseconds.
    pub(super) fn lock_shared(&self) -> Result<File, StoreProblem> {
        let lock = self.top.lock_file(OsStr::new(STORE_LOCK))?;
        lock.lock_shared()
            .map_err(|error| self.top.problem("flock", OsStr::new(STORE_LOCK), errno_of(&error)))?;
        Ok(lock)
    }

    /// The lock of a sweeper; `None`: a writer is at work and `wait` is false.
    pub(super) fn lock_alone(&self, wait: bool) -> Result<Option<File>, StoreProblem> {
        let lock = self.top.lock_file(OsStr::new(STORE_LOCK))?;
        let tried = if wait { lock.lock().map_err(TryLockError::Error) } else { lock.try_lock() };
        taken(&self.top, lock, tried)
    }
}

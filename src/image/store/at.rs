//! Calls relative to a directory descriptor, which never follow a link.
//!
//! Guarantees: every name is one component (no `/`), every open has O_NOFOLLOW,
//! every directory of the store belongs to the caller and can be written by
//! nobody else; an error names the call and the path.
//!
//! See openat(2), linkat(2), unlinkat(2), path_resolution(7).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstat, fstatat, futimens,
    mkdirat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::StoreProblem;

/// Mode of the store's directories: readable by all, because the box's own ids
/// walk through a tree, and everything in the store is a copy of what all may read.
pub(super) const DIR_MODE: u16 = 0o755;

/// What lstat(2) says, without casts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) kind: SFlag,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) links: u64,
    pub(crate) size: u64,
    pub(crate) mtime: (i64, i64),
    pub(crate) ctime: (i64, i64),
}

impl From<FileStat> for Stat {
    fn from(stat: FileStat) -> Self {
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            kind,
            mode: u16::try_from(stat.st_mode & 0o7777).unwrap_or_default(),
            uid: stat.st_uid,
            links: stat.st_nlink,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            ctime: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl Stat {
    pub(crate) fn of(fd: impl AsFd) -> nix::Result<Self> {
        fstat(fd).map(Self::from)
    }

    pub(super) fn is(&self, kind: SFlag) -> bool {
        self.kind == kind
    }
}

/// An open directory, and its path for messages.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

type Done<T> = Result<T, StoreProblem>;

impl Dir {
    pub(super) const fn new(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn problem(&self, call: &'static str, name: &OsStr, errno: Errno) -> StoreProblem {
        StoreProblem::Call { call, path: self.path.join(name), errno }
    }

    pub(super) fn stat_self(&self) -> Done<Stat> {
        Stat::of(self).map_err(|errno| self.problem("fstat", OsStr::new(""), errno))
    }

    /// What is there by this name; `None`: nothing.
    pub(super) fn stat(&self, name: &OsStr) -> Done<Option<Stat>> {
        match fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.problem("fstatat", name, errno)),
        }
    }

    /// Opens a directory of the store itself; `None`: there is nothing by this name.
    pub(super) fn dir(&self, name: &OsStr) -> Done<Option<Dir>> {
        let Some(dir) = self.inner(name)? else { return Ok(None) };
        super::check_owner(&dir.path, &dir.stat_self()?)?;
        Ok(Some(dir))
    }

    /// Opens a directory of an image, which has the mode that its manifest says.
    pub(super) fn inner(&self, name: &OsStr) -> Done<Option<Dir>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = match openat(self, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                return Err(StoreProblem::NotADirectory(self.path.join(name)));
            }
            Err(errno) => return Err(self.problem("openat", name, errno)),
        };
        Ok(Some(Dir { fd, path: self.path.join(name) }))
    }

    /// Opens a directory that must be there.
    pub(super) fn existing(&self, name: &OsStr) -> Done<Dir> {
        self.inner(name)?.ok_or_else(|| self.problem("openat", name, Errno::ENOENT))
    }

    /// Makes a directory of exactly this mode, which must not be there.
    pub(super) fn make(&self, name: &OsStr, mode: u16) -> Done<Dir> {
        // Private until its mode is set, so that no umask and no instant between matters.
        mkdirat(self, name, Mode::S_IRWXU).map_err(|errno| self.problem("mkdirat", name, errno))?;
        let dir = match self.existing(name) {
            // The caller's umask takes even that.
            Err(StoreProblem::Call { errno: Errno::EACCES, .. }) => {
                fchmodat(self, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)
                    .map_err(|errno| self.problem("fchmodat", name, errno))?;
                self.existing(name)?
            }
            there => there?,
        };
        dir.set_mode(&dir, mode)?;
        Ok(dir)
    }

    /// Opens a directory of the store, and makes it where it is missing.
    pub(super) fn ensure(&self, name: &OsStr) -> Done<Dir> {
        if let Some(dir) = self.dir(name)? {
            return Ok(dir);
        }
        match self.make(name, DIR_MODE) {
            // Another writer was faster.
            Err(StoreProblem::Call { errno: Errno::EEXIST, .. }) => {
                self.dir(name)?.ok_or_else(|| self.problem("openat", name, Errno::ENOENT))
            }
            made => made,
        }
    }

    /// Opens a file for reading; a link, a pipe or a device is not opened.
    pub(super) fn open(&self, name: &OsStr) -> Done<Option<File>> {
        // O_NONBLOCK: a pipe put here by mistake must not stop the caller.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        match openat(self, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.problem("openat", name, errno)),
        }
    }

    /// Makes an empty file, which must not be there, open for writing.
    pub(super) fn create(&self, name: &OsStr) -> Done<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(self, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(|errno| self.problem("openat", name, errno))?;
        Ok(File::from(fd))
    }

    /// The same, open for reading, too.
    pub(super) fn create_for_both(&self, name: &OsStr) -> Done<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(self, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(|errno| self.problem("openat", name, errno))?;
        Ok(File::from(fd))
    }

    /// Opens a file that is only there to be locked, and makes it where it is missing.
    pub(super) fn lock_file(&self, name: &OsStr) -> Done<File> {
        let flags =
            OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = openat(self, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(|errno| self.problem("openat", name, errno))?;
        Ok(File::from(fd))
    }

    pub(super) fn symlink(&self, target: &OsStr, name: &OsStr, mtime: i64) -> Done<()> {
        symlinkat(target, self, name).map_err(|errno| self.problem("symlinkat", name, errno))?;
        let time = TimeSpec::new(mtime, 0);
        utimensat(self, name, &TimeSpec::UTIME_OMIT, &time, UtimensatFlags::NoFollowSymlink)
            .map_err(|errno| self.problem("utimensat", name, errno))
    }

    pub(super) fn read_link(&self, name: &OsStr) -> Done<OsString> {
        readlinkat(self, name).map_err(|errno| self.problem("readlinkat", name, errno))
    }

    /// A second name for a file, in another directory.
    pub(super) fn link(&self, name: &OsStr, to: &Dir, new: &OsStr) -> nix::Result<()> {
        linkat(self, name, to, new, AtFlags::empty())
    }

    pub(super) fn rename(&self, name: &OsStr, to: &Dir, new: &OsStr) -> nix::Result<()> {
        renameat(self, name, to, new)
    }

    /// Sets the mode of this directory or of a file in it; `umask` has no say.
    pub(super) fn set_mode(&self, fd: impl AsFd, mode: u16) -> Done<()> {
        fchmod(fd, Mode::from_bits_truncate(mode.into()))
            .map_err(|errno| self.problem("fchmod", OsStr::new(""), errno))
    }

    pub(super) fn set_mtime(&self, fd: impl AsFd, mtime: i64) -> Done<()> {
        futimens(fd, &TimeSpec::UTIME_OMIT, &TimeSpec::new(mtime, 0))
            .map_err(|errno| self.problem("futimens", OsStr::new(""), errno))
    }

    /// Waits until a file, or this directory's entries, are on the disk.
    pub(super) fn sync(&self, fd: impl AsFd) -> Done<()> {
        nix::unistd::fsync(fd).map_err(|errno| self.problem("fsync", OsStr::new(""), errno))
    }

    /// The names in it, sorted.
    pub(super) fn names(&self) -> Done<Vec<OsString>> {
        let problem = |errno| self.problem("getdents64", OsStr::new(""), errno);
        // A descriptor of its own: the position is shared by duplicates.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = nix::dir::Dir::openat(self, ".", flags, Mode::empty()).map_err(problem)?;
        let mut names = Vec::new();
        for entry in listing.iter() {
            let name = OsStr::from_bytes(entry.map_err(problem)?.file_name().to_bytes()).to_os_string();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Notes that a file is being used, where its last noted use is `after` seconds ago.
    pub(super) fn note_use(&self, name: &OsStr, after: i64) {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs().cast_signed();
        let Ok(Some(stat)) = self.stat(name) else { return };
        if now - stat.mtime.0 > after {
            let noted = utimensat(
                self,
                name,
                &TimeSpec::UTIME_OMIT,
                &TimeSpec::UTIME_NOW,
                UtimensatFlags::NoFollowSymlink,
            );
            crate::error::no_matter(noted, "a store that cannot be written forgets who used what");
        }
    }

    /// Bytes of the files below that are not in `seen`, on the disk.
    pub(super) fn bytes(&self, seen: &mut std::collections::HashSet<(u64, u64)>) -> Done<u64> {
        let mut bytes = 0;
        for name in self.names()? {
            // What others remove meanwhile takes no room.
            let Some(stat) = self.stat(&name)? else { continue };
            if stat.is(SFlag::S_IFDIR) {
                if let Some(dir) = self.inner(&name)? {
                    bytes += dir.bytes(seen)?;
                }
            } else if stat.links == 1 || seen.insert((stat.dev, stat.ino)) {
                bytes += stat.size.next_multiple_of(4096);
            }
        }
        Ok(bytes)
    }

    /// Removes what is there by this name, with all it holds; nothing there is fine.
    pub(super) fn remove(&self, name: &OsStr) -> Done<()> {
        let gone = |result| match result {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.problem("unlinkat", name, errno)),
        };
        match unlinkat(self, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR | Errno::EPERM) => {}
            other => return gone(other),
        }
        let Some(dir) = self.inner(name)? else { return Ok(()) };
        if dir.stat_self()?.mode & 0o700 != 0o700 {
            dir.set_mode(&dir, 0o700)?;
        }
        for inner in dir.names()? {
            dir.remove(&inner)?;
        }
        gone(unlinkat(self, name, UnlinkatFlags::RemoveDir))
    }
}

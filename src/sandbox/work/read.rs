//! The caller's side: a walk over a directory that may change meanwhile.

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use super::Brought;
use crate::policy::units::format_size;
use crate::sandbox::out::{Skipped, shown};
use crate::sandbox::plan::{PrivateEntry, PrivateKind};
use crate::sandbox::walk;
use crate::sys::Errno;
use crate::sys::fd::{self, Resolve};

/// Directories inside each other. Each costs two open descriptors.
const DEEPEST: usize = 128;

/// Bytes of a path below the place, so that it fits into a call together with it.
const LONGEST: usize = 4000;

/// Bytes of a page, which a file system in memory counts.
const PAGE: u64 = 4096;

/// Targets of links that are as long as this take a page.
const LONG_TARGET: usize = 128;

/// The place in the box.
pub struct Room<'a> {
    /// Where it is.
    pub at: &'a str,
    /// Its bytes.
    pub size: u64,
    /// Its files and directories.
    pub inodes: u64,
}

/// Why nothing is copied.
#[derive(Debug)]
pub enum Stop {
    /// There is too much of it.
    TooLarge {
        /// The place.
        at: String,
        /// Too much of what.
        what: &'static str,
        /// What to do about it.
        help: String,
    },
    /// It cannot be read.
    Failed {
        /// Below the directory.
        path: String,
        /// Why.
        error: io::Error,
    },
}

struct Walk<'a> {
    room: &'a Room<'a>,
    pack: &'a File,
    pages: u64,
    seen: u64,
    depth: usize,
    path: Vec<u8>,
    entries: Vec<PrivateEntry>,
    told: Brought,
}

/// Copies what is below `top` into `pack`, and tells what to make of it, parents first: no name twice in
/// one directory, and nothing below anything but a directory, whatever happens to the tree meanwhile.
///
/// # Errors
/// It is too large, or cannot be read.
pub fn read(top: &File, pack: &File, room: &Room<'_>) -> Result<(Vec<PrivateEntry>, Brought), Stop> {
    let told = Brought {
        at: room.at.to_owned(),
        method: "copy",
        directories: 0,
        files: 0,
        links: 0,
        bytes: 0,
        skipped: Vec::new(),
        skipped_count: 0,
    };
    let (path, entries) = (Vec::new(), Vec::new());
    let mut walk = Walk { room, pack, pages: 0, seen: 0, depth: 0, path, entries, told };
    walk.directory(top)?;
    Ok((walk.entries, walk.told))
}

/// What a failed look at one entry means for it alone: the tree may change while it is read.
fn reason(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EACCES | Errno::EPERM => "the caller may not read it",
        Errno::ENOENT => "it has gone while the tree was read",
        Errno::ELOOP | Errno::ENOTDIR | Errno::ESTALE => "it was exchanged while the tree was read",
        Errno::EXDEV => "another file system is mounted there",
        _ => return None,
    })
}

impl Walk<'_> {
    fn skip(&mut self, reason: &'static str) {
        self.told.skipped_count += 1;
        if self.told.skipped.len() < walk::MOST_LISTED {
            self.told.skipped.push(Skipped { path: shown(&self.path), reason });
        }
    }

    fn failed(&self, error: io::Error) -> Stop {
        let path = if self.path.is_empty() { ".".to_owned() } else { shown(&self.path) };
        Stop::Failed { path, error }
    }

    /// Leaves an entry out for a reason of its own; anything else is the end.
    fn skip_or_fail(&mut self, errno: Errno) -> Result<(), Stop> {
        match reason(errno) {
            Some(reason) => {
                self.skip(reason);
                Ok(())
            }
            None => Err(self.failed(errno.into())),
        }
    }

    fn too_large(&self, what: &'static str, field: &str, has: &str) -> Stop {
        let at = self.room.at.to_owned();
        let help = format!(
            "name a smaller directory, or a policy of your own with a larger `{field}` at {at} (it is {has})"
        );
        Stop::TooLarge { at, what, help }
    }

    /// Bytes that a file system in memory counts.
    fn take(&mut self, bytes: u64) -> Result<(), Stop> {
        // The size of a file is whatever its file system says.
        let all = bytes.checked_next_multiple_of(PAGE).and_then(|pages| self.pages.checked_add(pages));
        match all.filter(|all| *all <= self.room.size) {
            Some(all) => {
                self.pages = all;
                Ok(())
            }
            None => Err(self.too_large("it has more bytes", "size", &format_size(self.room.size))),
        }
    }

    /// One directory, in the order of its names.
    fn directory(&mut self, dir: &File) -> Result<(), Stop> {
        let listed = walk::names_in(dir, self.room.inodes - self.seen);
        let Some(names) = listed.map_err(|errno| self.failed(errno.into()))? else {
            return Err(self.too_large("it has more entries", "inodes", &self.room.inodes.to_string()));
        };
        self.seen += names.len() as u64;
        for name in names {
            let length = walk::enter(&mut self.path, &name);
            let done = self.entry(dir, &name);
            self.path.truncate(length);
            done?;
        }
        Ok(())
    }

    fn entry(&mut self, dir: &File, name: &CStr) -> Result<(), Stop> {
        if self.path.len() > LONGEST {
            self.skip("its path is too long");
            return Ok(());
        }
        // Looked at without opening: a fifo would wait, a device would do what it does.
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let place = match fd::openat2(dir.as_raw_fd(), name, flags, 0, Resolve::SEALED) {
            Ok(place) => File::from(place),
            Err(errno) => return self.skip_or_fail(errno),
        };
        let meta = place.metadata().map_err(|error| self.failed(error))?;
        let kind = meta.file_type();
        let reason = match () {
            () if kind.is_dir() => return self.below(dir, name, &meta),
            () if kind.is_file() => return self.file(dir, name, &meta),
            () if kind.is_symlink() => return self.link(&place, &meta),
            () if kind.is_fifo() => "a fifo",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        self.skip(reason);
        Ok(())
    }

    fn add(&mut self, kind: PrivateKind, meta: &Metadata) -> Result<(), Stop> {
        let path = CString::new(self.path.clone())
            .map_err(|_| self.failed(io::Error::from(io::ErrorKind::InvalidFilename)))?;
        // No set-id bit, no sticky bit; in the box all of it belongs to the box's user.
        let mode = meta.mode() & 0o777;
        let nanos = u32::try_from(meta.mtime_nsec()).unwrap_or(0);
        self.entries.push(PrivateEntry { path, kind, mode, mtime: meta.mtime(), nanos });
        Ok(())
    }

    fn below(&mut self, dir: &File, name: &CStr, meta: &Metadata) -> Result<(), Stop> {
        if self.depth == DEEPEST {
            self.skip("too many directories deep");
            return Ok(());
        }
        let inside = match walk::open_same(dir, name, libc::O_DIRECTORY, meta) {
            Ok(inside) => inside,
            Err(errno) => return self.skip_or_fail(errno),
        };
        self.add(PrivateKind::Dir, meta)?;
        self.told.directories += 1;
        self.depth += 1;
        let done = self.directory(&inside);
        self.depth -= 1;
        done
    }

    fn file(&mut self, dir: &File, name: &CStr, meta: &Metadata) -> Result<(), Stop> {
        self.take(meta.size())?;
        let from = match walk::open_same(dir, name, libc::O_NONBLOCK | libc::O_NOCTTY, meta) {
            Ok(from) => from,
            Err(errno) => return self.skip_or_fail(errno),
        };
        // What has grown meanwhile is cut, what has shrunk is shorter.
        let mut content = io::Read::take(&from, meta.size());
        let size = io::copy(&mut content, &mut &*self.pack).map_err(|error| self.failed(error))?;
        let offset = i64::try_from(self.told.bytes).unwrap_or(i64::MAX);
        self.told.bytes += size;
        self.told.files += 1;
        self.add(PrivateKind::Copy { from: self.pack.as_raw_fd(), offset, size }, meta)
    }

    fn link(&mut self, place: &File, meta: &Metadata) -> Result<(), Stop> {
        let target = nix::fcntl::readlinkat(place, c"").map_err(|errno| self.failed(errno.into()))?;
        if target.len() >= LONG_TARGET {
            self.take(PAGE)?;
        }
        let target = CString::new(target.into_vec())
            .map_err(|_| self.failed(io::Error::from(io::ErrorKind::InvalidFilename)))?;
        self.told.links += 1;
        self.add(PrivateKind::Link(target), meta)
    }
}

//! The box's side: a walk over a directory that nobody can change any more.

use std::ffi::CString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use serde::Serialize;

use super::OpenOut;
use super::names;
use super::place::{self, NoPlace};
use crate::sandbox::walk;
use crate::sys::Errno;
use crate::sys::fd::{self, Resolve};

/// Files that are collected: more than a compiler makes, and few enough to be
/// copied in a second.
const MOST_FILES: u64 = 10_000;

/// Entries that are looked at, so that a walk ends whatever is there.
const MOST_ENTRIES: u64 = 200_000;

/// Directories inside each other. Each costs two open descriptors.
const DEEPEST: usize = 32;

/// Something that was left where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Below the place in the box; `\xNN` is a byte that is no printable character.
    pub path: String,
    /// Why.
    pub reason: &'static str,
}

/// What came of one `--out`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// The place in the box.
    pub at: String,
    /// Regular files that are in the directory now.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What was left out: the first of it.
    pub skipped: Vec<Skipped>,
    /// How much was.
    pub skipped_count: u64,
}

/// The owner's permission bits: as root none of them would matter, and the same
/// box is to give the same files whoever calls.
const READ: u32 = 0o400;
const EXECUTE: u32 = 0o100;
const READ_AND_SEARCH: u32 = 0o500;

/// Why a walk ended before its end.
enum Stop {
    /// There is too much of it.
    Enough,
    /// The host's fault.
    Failed(io::Error),
}

/// A directory on the way, and the host's that stands for it once a file needs it.
struct Level {
    name: CString,
    host: Option<File>,
}

struct Walk<'a> {
    out: &'a OpenOut,
    path: Vec<u8>,
    levels: Vec<Level>,
    entries: u64,
    told: Collected,
}

/// Copies the regular files below `top`, the top of a file system in memory that
/// no process uses any more, into the host's directory.
///
/// # Errors
/// The host's directory cannot be written. What is in it until then stays.
pub fn collect(top: &File, out: &OpenOut) -> io::Result<Collected> {
    let told = Collected { at: out.at.clone(), files: 0, bytes: 0, skipped: Vec::new(), skipped_count: 0 };
    let mut walk = Walk { out, path: Vec::new(), levels: Vec::new(), entries: 0, told };
    match walk.directory(top) {
        Ok(()) | Err(Stop::Enough) => Ok(walk.told),
        Err(Stop::Failed(error)) => Err(error),
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno.into())
    }
}

impl Walk<'_> {
    fn skip(&mut self, reason: &'static str) {
        self.told.skipped_count += 1;
        if self.told.skipped.len() < walk::MOST_LISTED {
            self.told.skipped.push(Skipped { path: names::shown(&self.path), reason });
        }
    }

    /// One directory, in the order of its names.
    fn directory(&mut self, dir: &File) -> Result<(), Stop> {
        let Some(names) = walk::names_in(dir, MOST_ENTRIES - self.entries)? else {
            self.skip("too many entries: none is looked at from here on");
            return Err(Stop::Enough);
        };
        self.entries += names.len() as u64;
        for name in names {
            let length = walk::enter(&mut self.path, &name);
            let done = self.entry(dir, &name);
            self.path.truncate(length);
            done?;
        }
        Ok(())
    }

    fn entry(&mut self, dir: &File, name: &CString) -> Result<(), Stop> {
        if !names::is_safe(name.to_bytes()) {
            self.skip("its name has characters that no name on the host should have");
            return Ok(());
        }
        if self.path.len() > names::LONGEST {
            self.skip("its path is too long");
            return Ok(());
        }
        // Looked at without opening: a fifo would wait, a device would do what it does.
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let place = File::from(fd::openat2(dir.as_raw_fd(), name, flags, 0, Resolve::SEALED)?);
        let meta = place.metadata().map_err(Stop::Failed)?;
        let kind = meta.file_type();
        let reason = match () {
            () if kind.is_dir() => return self.below(dir, name, &meta),
            () if kind.is_file() => return self.file(dir, name, &meta),
            () if kind.is_symlink() => "a symbolic link",
            () if kind.is_fifo() => "a fifo",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        self.skip(reason);
        Ok(())
    }

    fn below(&mut self, dir: &File, name: &CString, meta: &Metadata) -> Result<(), Stop> {
        if self.levels.len() == DEEPEST {
            self.skip("too many directories deep");
            return Ok(());
        }
        if meta.mode() & READ_AND_SEARCH != READ_AND_SEARCH {
            self.skip("a directory that its owner may not read");
            return Ok(());
        }
        let inside = walk::open_same(dir, name, libc::O_DIRECTORY, meta)?;
        self.levels.push(Level { name: name.clone(), host: None });
        let done = self.directory(&inside);
        self.levels.pop();
        done
    }

    fn file(&mut self, dir: &File, name: &CString, meta: &Metadata) -> Result<(), Stop> {
        let size = meta.size();
        let reason = match () {
            () if meta.mode() & READ == 0 => Some("a file that its owner may not read"),
            () if self.told.files == MOST_FILES => Some("too many files"),
            // Holes and second names count as what they would be on the host.
            () if size > self.out.bytes => Some("larger than all that is collected"),
            () if size > self.out.bytes - self.told.bytes => Some("no room is left in what is collected"),
            () => None,
        };
        if let Some(reason) = reason {
            self.skip(reason);
            return Ok(());
        }
        let from = walk::open_same(dir, name, libc::O_NONBLOCK | libc::O_NOCTTY, meta)?;
        let executable = meta.mode() & EXECUTE != 0;
        match self.host().and_then(|to| place::put(to, name, &from, size, executable)) {
            Ok(()) => {
                self.told.files += 1;
                self.told.bytes += size;
                Ok(())
            }
            Err(NoPlace::Taken) => {
                self.skip("something else has its name on the host");
                Ok(())
            }
            Err(NoPlace::Failed(error)) => Err(Stop::Failed(error)),
        }
    }

    /// The host's directory for what is looked at, made when the first file needs it.
    fn host(&mut self) -> Result<&File, NoPlace> {
        let mut dir = &self.out.host;
        for level in &mut self.levels {
            let host = match level.host.take() {
                Some(host) => host,
                None => place::enter(dir, &level.name)?,
            };
            dir = level.host.insert(host);
        }
        Ok(dir)
    }
}

//! What the walks over directories have in common: of `--out`, over what a box has
//! made, and of `--work`, over what a caller has.

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;

use crate::sys::fd::{self, Resolve};
use crate::sys::{Errno, Result};

/// What was left out is listed up to here, and counted beyond.
pub const MOST_LISTED: usize = 100;

/// Names in a directory, sorted, so that the same files give the same result, and
/// each once: one that changes meanwhile may list a name twice. `None`: there are
/// more than `most`.
pub fn names_in(dir: &File, most: u64) -> Result<Option<Vec<CString>>> {
    // The position in a directory is the open file's: one of its own.
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let again = fd::openat2(dir.as_raw_fd(), c".", flags, 0, Resolve::SEALED)?;
    let mut names = Vec::new();
    for entry in nix::dir::Dir::from_fd(again)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if names.len() as u64 == most {
            return Ok(None);
        }
        names.push(name.to_owned());
    }
    names.sort_unstable();
    names.dedup();
    Ok(Some(names))
}

/// Goes down to a name, and answers how long the path was.
pub fn enter(path: &mut Vec<u8>, name: &CStr) -> usize {
    let length = path.len();
    if length > 0 {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
    length
}

/// Opens what was looked at, and nothing that has come in its place.
pub fn open_same(dir: &File, name: &CStr, flags: i32, meta: &Metadata) -> Result<File> {
    let flags = flags | libc::O_RDONLY | libc::O_NOFOLLOW;
    let file = File::from(fd::openat2(dir.as_raw_fd(), name, flags, 0, Resolve::SEALED)?);
    let found = fd::identity(file.as_fd())?;
    if (found.dev, found.ino) == (meta.dev(), meta.ino()) { Ok(file) } else { Err(Errno::ESTALE) }
}

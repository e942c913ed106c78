//! The host's side: directories that are entered through no link, files that
//! are whole or not there.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use crate::error::no_matter;
use crate::sys::fd::{self, Resolve};
use crate::sys::{Errno, time};

/// Permission bits before the caller's umask.
const PLAIN: u32 = 0o666;
const EXECUTABLE: u32 = 0o777;

/// Why a file has no place.
#[derive(Debug)]
pub enum NoPlace {
    /// A directory, or what is none, has its name on the host.
    Taken,
    /// The host's fault.
    Failed(io::Error),
}

impl From<Errno> for NoPlace {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno.into())
    }
}

impl From<io::Error> for NoPlace {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Whether files can be made there at all: better told before the run than after.
pub fn probe(dir: &File) -> io::Result<()> {
    let name = temporary()?;
    let made = create(dir, &name, PLAIN)?;
    drop(made);
    Ok(remove(dir, &name)?)
}

/// The directory of that name, made where it is missing.
pub fn enter(dir: &File, name: &CStr) -> Result<File, NoPlace> {
    match fd::mkdirat(dir.as_raw_fd(), name, EXECUTABLE) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(e) => return Err(e.into()),
    }
    match fd::openat2(dir.as_raw_fd(), name, libc::O_RDONLY | libc::O_DIRECTORY, 0, Resolve::BENEATH) {
        Ok(below) => Ok(File::from(below)),
        Err(Errno::ELOOP | Errno::ENOTDIR) => Err(NoPlace::Taken),
        Err(e) => Err(e.into()),
    }
}

/// Copies a file of `size` bytes into the place of that name, whose former file
/// it replaces at one stroke. A link that has the name is replaced, never followed.
pub fn put(dir: &File, name: &CStr, from: &File, size: u64, executable: bool) -> Result<(), NoPlace> {
    let temporary = temporary()?;
    let mut to = create(dir, &temporary, if executable { EXECUTABLE } else { PLAIN })?;
    let put = io::copy(&mut io::Read::take(from, size), &mut to).map_err(NoPlace::from).and_then(|_| {
        drop(to);
        let dirfd = dir.as_fd();
        nix::fcntl::renameat(dirfd, temporary.as_c_str(), dirfd, name).map_err(|e| match e {
            Errno::EISDIR | Errno::ENOTEMPTY | Errno::EEXIST => NoPlace::Taken,
            e => e.into(),
        })
    });
    if put.is_err() {
        no_matter(remove(dir, &temporary), "the first failure is the one to tell");
    }
    put
}

fn create(dir: &File, name: &CStr, mode: u32) -> io::Result<File> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    Ok(File::from(fd::openat2(dir.as_raw_fd(), name, flags, mode, Resolve::BENEATH)?))
}

fn remove(dir: &File, name: &CStr) -> Result<(), Errno> {
    nix::unistd::unlinkat(dir.as_fd(), name, nix::unistd::UnlinkatFlags::NoRemoveDir)
}

/// A name that nobody else has.
fn temporary() -> io::Result<CString> {
    let mut bytes = [0u8; 12];
    time::random(&mut bytes)?;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok(CString::new(format!(".stockade-{hex}"))?)
}

//! Objects: each content once, named by its digest.
//!
//! Guarantees: an object that is handed out has just been read and has the
//! bytes of its name; one that has not is replaced.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};

use nix::errno::Errno;
use nix::sys::stat::SFlag;

use super::at::{Dir, Stat};
use super::{Store, StoreProblem, errno_of};
use crate::image::digest::Digest;
use crate::image::layout::{Content, FILE_MODE, PROGRAM_MODE};

/// A file that is to be in the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) digest: Digest,
    pub(super) mode: u16,
    pub(super) mtime: i64,
    pub(super) content: &'a Content,
}

/// Name and mode of an object. Mode bits belong to the inode: an executable
/// twin is a second object.
pub(super) fn named(digest: &Digest, mode: u16) -> (OsString, u16) {
    let executable = mode & 0o111 != 0;
    let (suffix, mode) = if executable { (".x", PROGRAM_MODE) } else { ("", FILE_MODE) };
    (OsString::from(format!("{digest}{suffix}")), mode)
}

impl Store {
    /// The directory of an object, made where it is missing.
    pub(super) fn shelf(&self, name: &OsStr) -> Result<Dir, StoreProblem> {
        let dir = self.top.ensure(OsStr::new("objects"))?.ensure(OsStr::new("sha256"))?;
        dir.ensure(&two(name))
    }

    /// The directory of an object; `None`: it is not there, nor the object.
    pub(super) fn shelf_if_there(&self, name: &OsStr) -> Result<Option<Dir>, StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("objects"))? else { return Ok(None) };
        let Some(dir) = dir.dir(OsStr::new("sha256"))? else { return Ok(None) };
        dir.dir(&two(name))
    }

    /// The bytes of a file of an image, open.
    ///
    /// # Errors
    /// It is not in the store, or not of this size.
    pub(crate) fn content(&self, digest: &Digest, mode: u16, size: u64) -> Result<Content, StoreProblem> {
        let (name, _) = named(digest, mode);
        let damaged = |why: &str| StoreProblem::Damaged {
            path: self.path().join("objects/sha256").join(two(&name)).join(&name),
            why: why.to_owned(),
        };
        let shelf = self.shelf_if_there(&name)?.ok_or_else(|| damaged("it is missing"))?;
        let file = shelf.open(&name)?.ok_or_else(|| damaged("it is missing"))?;
        let stat = Stat::of(&file).map_err(|errno| shelf.problem("fstat", &name, errno))?;
        if !stat.is(SFlag::S_IFREG) || stat.size != size {
            return Err(damaged(&format!("it has {} bytes and should have {size}", stat.size)));
        }
        Ok(Content::Opened(file, size))
    }
}

/// The first two digits of an object's name.
pub(super) fn two(name: &OsStr) -> OsString {
    name.to_str().and_then(|name| name.get(..2)).unwrap_or_default().into()
}

/// Reads an object again; `None`: it is not there, or not what its name says.
pub(super) fn whole(
    dir: &Dir,
    name: &OsStr,
    mode: u16,
    size: u64,
    digest: &Digest,
) -> Result<Option<Stat>, StoreProblem> {
    let Some(stat) = dir.stat(name)? else { return Ok(None) };
    if !stat.is(SFlag::S_IFREG) || stat.mode != mode || stat.size != size {
        return Ok(None);
    }
    let Some(file) = dir.open(name)? else { return Ok(None) };
    let found = Content::Opened(file, size).digest();
    Ok(found.is_ok_and(|found| found == *digest).then_some(stat))
}

/// Writes a copy of exactly these bytes, mode and time. That it reaches the
/// disk before it gets its name is the caller's business.
pub(super) fn write(dir: &Dir, name: &OsStr, wanted: Wanted<'_>) -> Result<File, StoreProblem> {
    let mut file: File = dir.create(name)?;
    match wanted.content.copy(|piece| file.write_all(piece)) {
        Ok(digest) if digest == wanted.digest => {}
        Ok(_) => return Err(StoreProblem::Changed(dir.path().join(name))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(StoreProblem::Changed(dir.path().join(name)));
        }
        Err(error) => return Err(dir.problem("write", name, errno_of(&error))),
    }
    dir.set_mode(&file, wanted.mode)?;
    dir.set_mtime(&file, wanted.mtime)?;
    Ok(file)
}

/// Whether linking an object failed for a reason that a copy does not share: too
/// many links, none here, not for this user, or replaced meanwhile.
pub(super) const fn copy_will_do(errno: Errno) -> bool {
    matches!(errno, Errno::EMLINK | Errno::EPERM | Errno::EXDEV | Errno::EOPNOTSUPP | Errno::ENOENT)
}

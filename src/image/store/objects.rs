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
use super::scratch::Scratch;
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

/// Where an object lies.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) dir: Dir,
    pub(super) name: OsString,
    pub(super) stat: Stat,
}

impl Store {
    /// Makes sure that the object is there and whole.
    pub(super) fn object(&self, scratch: &Scratch, wanted: Wanted<'_>) -> Result<Object, StoreProblem> {
        // Mode bits belong to the inode: an executable twin is a second object.
        let (suffix, mode) = if wanted.mode & 0o111 == 0 { ("", FILE_MODE) } else { (".x", PROGRAM_MODE) };
        let hex = wanted.digest.to_string();
        let name = OsString::from(format!("{hex}{suffix}"));
        let dir = self.top.ensure(OsStr::new("objects"))?.ensure(OsStr::new("sha256"))?;
        let dir = dir.ensure(OsStr::new(hex.get(..2).unwrap_or_default()))?;
        if let Some(stat) = whole(&dir, &name, mode, wanted)? {
            return Ok(Object { dir, name, stat });
        }
        write(scratch.dir(), &name, Wanted { mode, ..wanted })?;
        let linked = scratch.dir().link(&name, &dir, &name);
        let faster = match linked {
            Ok(()) => dir.stat(&name)?,
            // Another writer's, or a damaged one. A good one is never replaced:
            // its inode must not vanish under a writer that is about to link it.
            Err(Errno::EEXIST) => whole(&dir, &name, mode, wanted)?,
            Err(_) => None,
        };
        if let Some(stat) = faster {
            scratch.dir().remove(&name)?;
            return Ok(Object { dir, name, stat });
        }
        // A damaged one stays with those who have it linked. Or there are no links here.
        let renamed = scratch.dir().rename(&name, &dir, &name);
        renamed.map_err(|errno| dir.problem("renameat", &name, errno))?;
        let stat = dir.stat(&name)?.ok_or_else(|| dir.problem("fstatat", &name, Errno::ENOENT))?;
        Ok(Object { dir, name, stat })
    }
}

/// Reads an object again; `None`: it is not what its name says.
fn whole(dir: &Dir, name: &OsStr, mode: u16, wanted: Wanted<'_>) -> Result<Option<Stat>, StoreProblem> {
    let Some(stat) = dir.stat(name)? else { return Ok(None) };
    let size = wanted.content.size();
    if !stat.is(SFlag::S_IFREG) || stat.mode != mode || stat.size != size {
        return Ok(None);
    }
    let Some(file) = dir.open(name)? else { return Ok(None) };
    let digest = Content::Opened(file, size).digest();
    Ok(digest.is_ok_and(|digest| digest == wanted.digest).then_some(stat))
}

/// Writes a copy of exactly these bytes, mode and time, and waits for the disk.
pub(super) fn write(dir: &Dir, name: &OsStr, wanted: Wanted<'_>) -> Result<(), StoreProblem> {
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
    // A name that survives a power cut without its bytes would be an empty library.
    dir.sync(&file)
}

//! The work tree: a directory of the caller's, copied into the box before anything of the payload's
//! exists.
//!
//! A snapshot in memory rather than an overlay over the directory itself: the host's files are in no
//! mount of the box, so that nothing inside can reach them; their owners need no place among the box's
//! ids; a rename, a link or a directory made anew is what it is everywhere; and room is counted exactly,
//! on every kernel. What is copied is read with the caller's rights and written with the box's.

mod read;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::out::Skipped;
use super::plan::PrivateEntry;
use super::root::{c_path, resolve};
use crate::error::{Error, Kind, Result, errno_text, io_text};
use crate::policy::model::{PathSource, Policy};
use crate::sys::fd::{self, Resolve};

/// What is to be copied into the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// A directory of the host.
    pub host: PathBuf,
    /// Absolute path in the box; `None`: the policy's path from `work`.
    pub at: Option<String>,
}

/// What was copied into the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Brought {
    /// The place in the box.
    pub at: String,
    /// How it got there.
    pub method: &'static str,
    /// Directories below the place.
    pub directories: u64,
    /// Regular files.
    pub files: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// What was left out: the first of it.
    pub skipped: Vec<Skipped>,
    /// How much was.
    pub skipped_count: u64,
}

/// One that was read.
#[derive(Debug)]
pub struct OpenWork {
    /// What is to be made of it, parents first.
    pub entries: Vec<PrivateEntry>,
    /// The content of the files, one after the other.
    pub pack: OwnedFd,
    /// For the report.
    pub told: Brought,
}

impl Work {
    /// Parses `DIR[:BOX]`.
    ///
    /// # Errors
    /// The directory's name is empty.
    pub fn parse(spec: &str, cwd: &Path) -> Result<Self> {
        let (host, at) = match spec.split_once(':') {
            Some((host, at)) => (host, Some(at.to_owned())),
            None => (spec, None),
        };
        if host.is_empty() {
            let message = format!("--work {spec}: the directory's name is empty");
            return Err(Error::new(Kind::Usage, message).help("name the directory itself: --work ."));
        }
        Ok(Self { host: cwd.join(host), at })
    }

    /// Reads the directory, as far as the policy has room for it.
    ///
    /// # Errors
    /// The policy has no place for it, or it cannot be read, or is too large.
    pub fn open(&self, policy: &Policy) -> Result<OpenWork> {
        let shown = format!("--work {}", self.host.display());
        let usage = |message: String| Error::new(Kind::Usage, message);
        let place = policy.paths.iter().find_map(|path| match path.from {
            PathSource::Work { size, inodes } => Some((path.at.as_str(), size, inodes)),
            _ => None,
        });
        let Some((at, size, inodes)) = place else {
            let message = format!("{shown}: the policy `{}` has no work tree", policy.name);
            return Err(usage(message).help("use `ci`, or a policy with a path from `work`"));
        };
        if let Some(asked) = self.at.as_deref().filter(|asked| *asked != at) {
            let message = format!("{shown}:{asked}: the work tree of the policy `{}` is {at}", policy.name);
            return Err(usage(message).help(format!("leave :{asked} out")));
        }
        let dir = open_dir(&self.host, &shown)?;
        let pack = new_pack().map_err(|e| {
            Error::new(Kind::Host, format!("{shown}: memfd_create: {}", errno_text(e as i32)))
        })?;
        let room = read::Room { at, size, inodes };
        let (entries, told) = read::read(&dir, &pack, &room).map_err(|stop| stop.error(&shown))?;
        Ok(OpenWork { entries, pack: pack.into(), told })
    }
}

impl OpenWork {
    /// Said in the notes where something was left out.
    pub fn note(&self) -> Option<String> {
        let first = self.told.skipped.first()?;
        let (path, reason) = (&first.path, first.reason);
        Some(match self.told.skipped_count {
            1 => format!("--work left {path} out: {reason}"),
            many => format!("--work left {many} entries out, the first is {path}: {reason}"),
        })
    }
}

/// Through no link that somebody else may have made.
fn open_dir(path: &Path, shown: &str) -> Result<File> {
    let failed = |errno: crate::sys::Errno| {
        let error = Error::new(Kind::Usage, format!("{shown}: {}", errno_text(errno as i32)));
        match errno {
            crate::sys::Errno::ENOTDIR => error.help("--work takes a directory"),
            _ => error,
        }
    };
    let path = resolve(path).map_err(|problem| problem.error(shown))?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let dir = fd::openat2(libc::AT_FDCWD, &c_path(&path)?, flags, 0, Resolve::NO_LINKS).map_err(failed)?;
    let dir = fd::above_stdio(dir).map_err(failed)?;
    Ok(File::from(dir))
}

fn new_pack() -> crate::sys::Result<File> {
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    Ok(File::from(fd::above_stdio(nix::sys::memfd::memfd_create(c"work", flags)?)?))
}

impl read::Stop {
    fn error(self, shown: &str) -> Error {
        match self {
            Self::TooLarge { at, what, help } => {
                Error::new(Kind::Usage, format!("{shown}: {what} than {at} of the policy has room for"))
                    .help(help)
            }
            Self::Failed { path, error } => {
                Error::new(Kind::Host, format!("{shown}: {path}: {}", io_text(&error)))
            }
        }
    }
}

#[cfg(test)]
mod tests;

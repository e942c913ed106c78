//! `--out DIR[:BOX]`: what a box has made, for its caller.
//!
//! The box writes into a file system in memory of its own and never sees the
//! host's directory. The supervisor opens the top of that file system before the
//! payload starts; the open directory keeps it alive when the box and its mount
//! namespace are gone. Then, with nobody left who could change anything, the
//! regular files are copied.
//!
//! Guarantees: nothing is followed on either side, no link, no mount and no
//! `..`; what is not a regular file is never opened for reading; names, depth,
//! number and bytes are bounded; what arrives belongs to the caller, has no
//! set-id bit, and is whole or not there. What was left out is told.
//!
//! # References
//! `openat2(2)`, `rename(2)`, `tmpfs(5)`

mod collect;
mod names;
mod place;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use collect::{Collected, Skipped, collect};
pub use names::shown;

use crate::error::{Error, Kind, Result, io_text};
use crate::policy::model::{Access, PathEntry, PathSource, Policy};

/// Where it is in the box where neither the request nor the policy says.
const USUAL: &str = "/out";

/// Bytes and files of one that the policy does not have.
const USUAL_BYTES: u64 = 64 << 20;
const USUAL_INODES: u64 = 4096;

/// What is to be collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    /// A directory of the host; made where it is missing.
    pub host: PathBuf,
    /// Absolute path in the box; `None`: the policy's path from `out`, else `/out`.
    pub at: Option<String>,
}

/// One that was found fit.
#[derive(Debug)]
pub struct OpenOut {
    /// The directory of the host.
    pub host: File,
    /// As it was named, for messages.
    pub shown: PathBuf,
    /// Absolute path in the box.
    pub at: String,
    /// Bytes that are collected at most: as many as the file system has.
    pub bytes: u64,
}

impl Out {
    /// Parses `DIR[:BOX]`.
    ///
    /// # Errors
    /// The path in the box is not absolute or not normal.
    pub fn parse(spec: &str) -> Result<Self> {
        let usage = |message: String| Error::new(Kind::Usage, message);
        let (host, at) = match spec.split_once(':') {
            Some((host, at)) => (host, Some(at.to_owned())),
            None => (spec, None),
        };
        if host.is_empty() {
            return Err(usage(format!("--out {spec}: the directory's name is empty")));
        }
        if let Some(at) = &at
            && (at == "/" || crate::policy::read::path_problem(at).is_some())
        {
            let message =
                format!("--out {spec}: the path in the box must be absolute, without '.', '..' or '//'");
            return Err(usage(message).help(format!("for example --out {host}:/out")));
        }
        Ok(Self { host: host.into(), at })
    }

    /// Opens the directory of the host, and makes sure that the policy has the place.
    ///
    /// # Errors
    /// The directory cannot be had, or the place is taken.
    pub fn open(&self, policy: &mut Policy) -> Result<OpenOut> {
        let shown = format!("--out {}", self.host.display());
        let at = match &self.at {
            Some(at) => at.clone(),
            None => usual_place(policy),
        };
        let bytes = match policy.paths.iter().find(|path| path.at == at) {
            None => {
                policy.paths.push(place_of_its_own(&at));
                policy.paths.sort_by(|a, b| a.at.cmp(&b.at));
                USUAL_BYTES
            }
            Some(PathEntry { from: PathSource::Out { size, .. }, .. }) => *size,
            Some(_) => {
                let message = format!("{shown}: {at} is something else in the policy `{}`", policy.name);
                return Err(Error::new(Kind::Usage, message)
                    .help(format!("name another place: --out {}:/PLACE", self.host.display())));
            }
        };
        let host = open_or_make(&self.host).map_err(|e| {
            let error = Error::new(Kind::Usage, format!("{shown}: {}", io_text(&e)));
            match e.raw_os_error() {
                Some(libc::ELOOP) => error.help("it is a symbolic link: name the directory itself"),
                Some(libc::ENOENT) => error.help("the directory itself is made, those above it are not"),
                Some(libc::ENOTDIR) => error.help("it is not a directory"),
                _ => error,
            }
        })?;
        place::probe(&host).map_err(|e| {
            Error::new(Kind::Usage, format!("{shown}: nothing can be written there: {}", io_text(&e)))
        })?;
        let host = crate::sys::fd::above_stdio(host.into())
            .map_err(|e| Error::new(Kind::Usage, format!("{shown}: {}", io_text(&e.into()))))?;
        let host = File::from(host);
        Ok(OpenOut { host, shown: self.host.clone(), at, bytes })
    }
}

/// Opens them all; each has a place and a directory of its own.
///
/// # Errors
/// As [`Out::open`], or two of them are one.
pub fn open_all(outs: &[Out], policy: &mut Policy) -> Result<Vec<OpenOut>> {
    use std::os::unix::fs::MetadataExt as _;
    let mut opened: Vec<OpenOut> = Vec::new();
    for out in outs {
        let new = out.open(policy)?;
        let identity = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
        let twice = opened.iter().find(|o| o.at == new.at || identity(&o.host) == identity(&new.host));
        if let Some(other) = twice {
            let message = format!(
                "--out {} ({}) and --out {} ({}) are one place",
                other.shown.display(),
                other.at,
                new.shown.display(),
                new.at
            );
            return Err(Error::new(Kind::Usage, message).help("name two directories: --out DIR:/BOX"));
        }
        opened.push(new);
    }
    Ok(opened)
}

/// The policy's own place, if it has one.
fn usual_place(policy: &Policy) -> String {
    let own = policy.paths.iter().find(|path| matches!(path.from, PathSource::Out { .. }));
    own.map_or_else(|| USUAL.to_owned(), |path| path.at.clone())
}

fn place_of_its_own(at: &str) -> PathEntry {
    PathEntry {
        at: at.to_owned(),
        from: PathSource::Out { size: USUAL_BYTES, inodes: USUAL_INODES },
        access: Access { read: true, write: true, create: true, execute: false },
        optional: false,
        comment: "asked for by --out".to_owned(),
    }
}

/// The last component is made where it is missing, and is never a link.
fn open_or_make(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let open = || std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    match open() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            match std::fs::create_dir(path) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
                _ => {}
            }
            open()
        }
        Err(e) if e.raw_os_error() == Some(libc::ENOTDIR) && path.is_symlink() => {
            Err(std::io::Error::from_raw_os_error(libc::ELOOP))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;

//! Which files of the host may go into a box.
//!
//! Guarantees: a path that resolves here was walked one name at a time, every
//! directory and link on the way belongs to root and can be changed by nobody
//! else; so no user of the host, and no payload, decides what a trusted name
//! means. See path_resolution(7).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::io_text;

/// The kernel's own limit on links in one walk.
const MAX_LINKS: usize = 40;

/// Whose files are trusted, and where their root is: the host's own, or a tree
/// that is read as if it were one.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    root: PathBuf,
    /// `None`: anybody's, because the caller has named them.
    owner: Option<u32>,
}

/// What a path led to.
#[derive(Debug)]
pub(crate) struct Walked {
    /// The end, without links.
    pub(crate) real: PathBuf,
    pub(crate) meta: Metadata,
    /// Links on the way, each where it lies, and where it points.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
}

/// Why a file of the host is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Distrust {
    /// It, or a directory above it, or a link to it, belongs to someone else.
    Owner(PathBuf, u32),
    /// It or a directory above it can be written by others than its owner.
    Writable(PathBuf, u32),
    /// Not everybody may read it: what the box shows, any user may see.
    Secret(PathBuf, u32),
    /// Not a regular file.
    Irregular(PathBuf),
    /// The call failed.
    Call(PathBuf, String),
    /// More links than the kernel follows.
    Links(PathBuf),
}

impl Distrust {
    pub(crate) fn help(&self) -> String {
        match self {
            Self::Owner(..) if root_is_missing() => {
                "root of the host does not exist in the user namespace that stockade runs in: run it outside"
                    .into()
            }
            Self::Owner(path, _) => format!("chown root {}", path.display()),
            // Such a directory is meant to be so: /tmp, /dev/shm.
            Self::Writable(path, mode) if mode & 0o1000 != 0 => {
                format!("leave out what lies below {}, or copy it to a place of root's", path.display())
            }
            Self::Writable(path, _) => format!("chmod go-w {}", path.display()),
            Self::Secret(path, _) => format!("chmod a+r {}", path.display()),
            Self::Call(_, why) if why.starts_with("EMFILE") => {
                "raise the limit on open files before stockade starts (ulimit -n)".into()
            }
            Self::Irregular(_) | Self::Links(_) | Self::Call(..) => {
                "install the package that holds the library again".into()
            }
        }
    }
}

/// Whether this is a user namespace in which not every id exists: what root owns outside
/// seems to be nobody's.
fn root_is_missing() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"])
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(path, uid) => write!(f, "{} belongs to uid {uid}, not to root", path.display()),
            Self::Writable(path, mode) => {
                write!(f, "{} can be written by others than root (mode {mode:04o})", path.display())
            }
            Self::Secret(path, mode) => {
                write!(f, "{} cannot be read by everybody (mode {mode:04o})", path.display())
            }
            Self::Irregular(path) => write!(f, "{} is not a regular file", path.display()),
            Self::Call(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Links(path) => {
                write!(f, "{} is behind more than {MAX_LINKS} symbolic links", path.display())
            }
        }
    }
}

/// A file that changed this short a time before it was looked at may change
/// again without a trace: the kernel's clock for files ticks every 1 to 10 ms.
const RACY_NS: i128 = 100_000_000;

/// A trusted file, open.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) file: File,
    /// Without links.
    pub(crate) real: PathBuf,
    pub(crate) stamp: State,
}

/// What identifies a file's state: a change of its content, mode or owner
/// changes at least one of these (ctime cannot be set back).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl State {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            ctime: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    pub(crate) const fn inode(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Last change of content, in whole seconds.
    pub(crate) const fn mtime(&self) -> i64 {
        self.mtime.0
    }

    /// Last change of anything, in nanoseconds since 1970.
    const fn changed(&self) -> i128 {
        self.ctime.0 as i128 * 1_000_000_000 + self.ctime.1 as i128
    }

    /// The clock by which files change.
    pub(crate) fn now() -> Option<i128> {
        i128::try_from(std::time::UNIX_EPOCH.elapsed().ok()?.as_nanos()).ok()
    }

    /// Whether a change after that moment would show.
    pub(crate) const fn is_settled(&self, now: i128) -> bool {
        self.changed() <= now - RACY_NS
    }

    /// Whether a change from now on would show.
    pub(crate) fn is_settled_now(&self) -> bool {
        Self::now().is_some_and(|now| self.is_settled(now))
    }
}

impl Host {
    /// This machine.
    pub(crate) fn system() -> Self {
        Self { root: "/".into(), owner: Some(0) }
    }

    /// Whether this is the machine's own root, whose programs can be started.
    pub(crate) fn is_system(&self) -> bool {
        self.root == Path::new("/")
    }

    /// A tree whose files all belong to this user.
    pub(crate) fn below(root: &Path, owner: u32) -> Self {
        Self { root: root.into(), owner: Some(owner) }
    }

    /// The same files, whoever owns them: for what the caller has named.
    pub(crate) fn whoevers(&self) -> Self {
        Self { root: self.root.clone(), owner: None }
    }

    /// Where this path lies for system calls.
    pub(crate) fn place(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The state of what is at this path, links followed; `None`: nothing.
    pub(crate) fn state(&self, path: &Path) -> Option<State> {
        let meta = if self.root == Path::new("/") {
            std::fs::metadata(path).ok()
        } else {
            // Links must not lead out of a root that is elsewhere.
            self.resolve(path).ok().flatten().map(|(_, meta)| meta)
        };
        meta.map(|meta| State::of(&meta))
    }

    /// Whether there is nothing at this path, not even a link.
    pub(crate) fn is_absent(&self, path: &Path) -> bool {
        matches!(self.stat(path), Ok(None))
    }

    /// The path without links, every step of it trusted; `None`: there is nothing.
    pub(crate) fn resolve(&self, path: &Path) -> Result<Option<(PathBuf, Metadata)>, Distrust> {
        Ok(self.walk(path)?.map(|walked| (walked.real, walked.meta)))
    }

    /// The same, with the links that were on the way.
    pub(crate) fn walk(&self, path: &Path) -> Result<Option<Walked>, Distrust> {
        let mut here = PathBuf::from("/");
        let mut meta = self.stat(&here)?;
        let mut ahead: VecDeque<OsString> = names(path).collect();
        let mut links = Vec::new();
        while let Some(name) = ahead.pop_front() {
            self.check(&here, meta.as_ref(), true)?;
            if name == ".." {
                here.pop();
                meta = self.stat(&here)?;
                continue;
            }
            let next = here.join(&name);
            let Some(found) = self.stat(&next)? else { return Ok(None) };
            if !found.is_symlink() {
                (here, meta) = (next, Some(found));
                continue;
            }
            if links.len() >= MAX_LINKS {
                return Err(Distrust::Links(path.into()));
            }
            self.check(&next, Some(&found), false)?;
            let call = |error: io::Error| Distrust::Call(next.clone(), io_text(&error));
            let target = std::fs::read_link(self.place(&next)).map_err(call)?;
            if target.is_absolute() {
                here = PathBuf::from("/");
                meta = self.stat(&here)?;
            }
            for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                ahead.push_front(name);
            }
            links.push((next, target));
        }
        self.check(&here, meta.as_ref(), true)?;
        Ok(meta.map(|meta| Walked { real: here, meta, links }))
    }

    /// Opens a file that may go into a box; `None`: there is nothing.
    pub(crate) fn open(&self, path: &Path) -> Result<Option<Trusted>, Distrust> {
        let Some((real, meta)) = self.resolve(path)? else { return Ok(None) };
        if !meta.is_file() {
            return Err(Distrust::Irregular(real));
        }
        if meta.mode() & 0o004 == 0 {
            return Err(Distrust::Secret(real, meta.mode() & 0o7777));
        }
        let call = |error: io::Error| Distrust::Call(real.clone(), io_text(&error));
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(self.place(&real)).map_err(call)?;
        let now = file.metadata().map_err(call)?;
        self.check(&real, Some(&now), true)?;
        let stamp = State::of(&now);
        Ok(Some(Trusted { file, real, stamp }))
    }

    /// What is at this path itself, be it a link; `None`: nothing.
    pub(crate) fn stat(&self, path: &Path) -> Result<Option<Metadata>, Distrust> {
        match std::fs::symlink_metadata(self.place(path)) {
            Ok(meta) => Ok(Some(meta)),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
            Err(error) => Err(Distrust::Call(path.into(), io_text(&error))),
        }
    }

    /// A link's mode means nothing (`mode` false); its directory's does.
    fn check(&self, path: &Path, meta: Option<&Metadata>, mode: bool) -> Result<(), Distrust> {
        let Some(meta) = meta else { return Ok(()) };
        let Some(owner) = self.owner else { return Ok(()) };
        if meta.uid() != owner {
            return Err(Distrust::Owner(path.into(), meta.uid()));
        }
        if mode && meta.mode() & 0o022 != 0 {
            return Err(Distrust::Writable(path.into(), meta.mode() & 0o7777));
        }
        Ok(())
    }
}

/// The names of a path that lead on, without the root and `.`.
fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some(OsStr::new("..").to_os_string()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

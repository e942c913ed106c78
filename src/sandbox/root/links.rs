//! Links on the way to something of the host: followed once, and only those that
//! nobody else could have put there.
//!
//! What is to be shown may be named through a link (`/bin`, `/var/run`), but a
//! link in a directory that others may write is theirs to point anywhere, in the
//! moment between a look and a mount.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Kind, io_text};

/// As many as the kernel follows.
const MOST: usize = 40;

/// Why a path leads nowhere that may be shown.
#[derive(Debug)]
pub enum Problem {
    /// It cannot be looked up.
    Io(io::Error),
    /// Somebody else may have made this link.
    Foreign(PathBuf),
}

impl Problem {
    /// In words.
    #[must_use]
    pub fn error(&self, shown: &str) -> Error {
        match self {
            Problem::Io(e) => Error::new(Kind::Usage, format!("{shown}: {}", io_text(e))),
            Problem::Foreign(link) => {
                let message =
                    format!("{shown}: {} is a link that somebody else may have made", link.display());
                Error::new(Kind::Usage, message)
                    .help("name what it leads to, or keep it in a directory that only you may write")
            }
        }
    }
}

impl From<io::Error> for Problem {
    fn from(e: io::Error) -> Self {
        Problem::Io(e)
    }
}

/// An absolute path without links, `.` or `..`.
///
/// # Errors
/// It is not there, or a link on the way may be somebody else's.
pub fn resolve(path: &Path) -> Result<PathBuf, Problem> {
    let mut done = PathBuf::from("/");
    let mut left: Vec<PathBuf> = parts(path);
    let mut followed = 0;
    while let Some(part) = left.pop() {
        if part.as_os_str() == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&part);
        let meta = fs::symlink_metadata(&next)?;
        if !meta.is_symlink() {
            done = next;
            continue;
        }
        followed += 1;
        if followed > MOST {
            return Err(io::Error::from_raw_os_error(libc::ELOOP).into());
        }
        if !is_trusted(meta.uid(), &fs::metadata(&done)?) {
            return Err(Problem::Foreign(next));
        }
        let target = fs::read_link(&next)?;
        if target.is_absolute() {
            done = PathBuf::from("/");
        }
        left.extend(parts(&target));
    }
    Ok(done)
}

/// The names of a path, last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let names = path.components().filter_map(|c| match c {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    });
    let mut names: Vec<PathBuf> = names.collect();
    names.reverse();
    names
}

/// Whether only host root and this process's user can have made a link in that directory.
fn is_trusted(owner: u32, dir: &fs::Metadata) -> bool {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let ours = |id: u32| id == 0 || id == uid;
    // Many users have a group of their own, and directories that it may write.
    let group_may = dir.mode() & 0o020 != 0 && dir.gid() != 0 && dir.gid() != gid;
    let others_may = dir.mode() & 0o002 != 0 || group_may;
    let sticky = dir.mode() & 0o1000 != 0;
    ours(owner) && ours(dir.uid()) && (!others_may || sticky)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn dir(mode: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        dir
    }

    #[test]
    fn link_of_ones_own_is_followed_wherever_it_leads() {
        let dir = dir(0o755);
        let real = dir.path().canonicalize().unwrap().join("real");
        assert_eq!(resolve(&dir.path().join("link")).unwrap(), real);
        symlink(dir.path().join("link/../link"), real.join("again")).unwrap();
        assert_eq!(resolve(&real.join("again")).unwrap(), real);
        assert_eq!(resolve(&real.join("./.././real")).unwrap(), real);
    }

    #[test]
    fn link_where_others_may_write_is_refused_and_a_directory_there_is_not() {
        for mode in [0o777, 0o757] {
            let dir = dir(mode);
            assert!(matches!(resolve(&dir.path().join("link")), Err(Problem::Foreign(_))), "{mode:o}");
            assert!(resolve(&dir.path().join("real")).is_ok());
        }
        // Where only its owner may take it away, as in /tmp.
        assert!(resolve(&dir(0o1777).path().join("link")).is_ok());
    }

    #[test]
    fn path_that_leads_nowhere_says_so() {
        let dir = dir(0o755);
        symlink("loop", dir.path().join("loop")).unwrap();
        let errno = |name: &str| match resolve(&dir.path().join(name)) {
            Err(Problem::Io(e)) => e.raw_os_error(),
            other => panic!("{other:?}"),
        };
        assert_eq!(errno("none"), Some(libc::ENOENT));
        assert_eq!(errno("loop"), Some(libc::ELOOP));
    }
}

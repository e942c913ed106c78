//! Why a store cannot be used. Never a reason not to run: the caller goes on
//! with a private copy and says so.

use std::fmt;
use std::path::PathBuf;

use nix::errno::Errno;

/// Why the store cannot be used, or cannot take an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreProblem {
    /// The caller has no home directory.
    NoPlace,
    /// It belongs to someone else.
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The caller.
        caller: u32,
    },
    /// Others than its owner may write in it.
    WritableByOthers {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u16,
    },
    /// A link, or a file, where a directory must be.
    NotADirectory(PathBuf),
    /// A system call failed.
    Call {
        /// Its name.
        call: &'static str,
        /// What it was called on.
        path: PathBuf,
        /// Its error.
        errno: Errno,
    },
    /// It holds as many closures as are kept.
    Full {
        /// Where they are.
        path: PathBuf,
        /// How many.
        closures: usize,
    },
    /// It would hold more bytes than it may.
    CapReached {
        /// Where it is.
        path: PathBuf,
        /// The most it may hold.
        cap: u64,
    },
    /// Something in it is not what its name says.
    Damaged {
        /// What.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// A file changed while it was copied.
    Changed(PathBuf),
}

impl StoreProblem {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoPlace => "set HOME or STOCKADE_STORE, or give --store".into(),
            Self::Foreign { .. } => "give --store a directory of your own".into(),
            Self::WritableByOthers { path, .. } => format!("chmod go-w {}", path.display()),
            Self::NotADirectory(path) => format!("remove or rename {}", path.display()),
            Self::Call { errno: Errno::EACCES | Errno::EPERM | Errno::EROFS, .. } => {
                "give --store a directory that you can write".into()
            }
            Self::Call { errno: Errno::ENOSPC | Errno::EDQUOT, .. } => "make room on that file system".into(),
            Self::Call { .. } => "check the file system, or give --store another directory".into(),
            Self::Full { path, .. } => format!("remove old entries of {}, or all", path.display()),
            Self::CapReached { .. } => {
                "remove images that are not needed (stockade image list, remove, gc), or raise STOCKADE_STORE_MAX"
                    .into()
            }
            Self::Damaged { path, .. } => format!("remove {}; it is made again", path.display()),
            Self::Changed(_) => "run it again when the system update is done".into(),
        }
    }
}

impl fmt::Display for StoreProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlace => f.write_str("there is no place for a store: the caller has no home directory"),
            Self::Foreign { path, owner, caller } => {
                write!(
                    f,
                    "the store {} belongs to uid {owner}, not to the caller (uid {caller})",
                    path.display()
                )
            }
            Self::WritableByOthers { path, mode } => {
                write!(f, "the store {} can be written by others (mode {mode:04o})", path.display())
            }
            Self::NotADirectory(path) => write!(f, "{} in the store is not a directory", path.display()),
            Self::Call { call, path, errno } => {
                write!(f, "{call}({}) in the store: {}", path.display(), errno.desc())
            }
            Self::Full { closures, .. } => {
                write!(f, "the store holds {closures} closures, the most it keeps")
            }
            Self::CapReached { path, cap } => {
                let cap = crate::policy::units::format_size(*cap);
                write!(f, "the store {} would hold more than {cap}", path.display())
            }
            Self::Damaged { path, why } => write!(f, "{} in the store is damaged: {why}", path.display()),
            Self::Changed(path) => write!(f, "{} changed while it was copied", path.display()),
        }
    }
}

impl std::error::Error for StoreProblem {}

//! Files and directories of the host that the caller asks for: `--ro`, `--rw`.
//!
//! Checked before the launch, so that what cannot work is told with its reason
//! rather than as an errno of the payload.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::links;
use crate::error::{Error, Kind, Result, io_text, no_matter};
use crate::sandbox::host::Host;
use crate::sandbox::plan::BindFrom;
use crate::sys;
use crate::sys::mount::Attr;

/// Something of the host that is to be seen inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// On the host.
    pub host: PathBuf,
    /// Absolute path in the box.
    pub at: String,
    /// Whether it may be written.
    pub write: bool,
}

/// One that was found fit.
#[derive(Debug)]
pub struct OpenBind {
    /// What was asked for.
    pub bind: Bind,
    /// The same without links in it.
    path: PathBuf,
    /// Device and inode of what was looked at.
    identity: (u64, u64),
    /// Whether it is a directory.
    pub dir: bool,
    /// As root: the supervisor's own clone.
    mount: Option<OwnedFd>,
    /// As root: whose it is, where only they may read it.
    owner: Option<(u32, u32)>,
}

/// Entries looked at when a tree is searched for sockets.
const SCAN_CAP: usize = 100_000;

impl Bind {
    /// Parses `HOST[:BOX]`. Without BOX it is seen at its own absolute path.
    ///
    /// # Errors
    /// The box path is not absolute or not normal.
    pub fn parse(spec: &str, write: bool, cwd: &Path) -> Result<Self> {
        let (host, at) = match spec.split_once(':') {
            Some((host, at)) => (host, Some(at)),
            None => (spec, None),
        };
        let option = if write { "--rw" } else { "--ro" };
        let usage = |message: String| Error::new(Kind::Usage, message);
        if host.is_empty() {
            return Err(usage(format!("{option} {spec}: the host path is empty")));
        }
        let absolute = cwd.join(host);
        let at = match at {
            Some(at) => at.to_owned(),
            None => {
                lexical(&absolute).ok_or_else(|| usage(format!("{option} {spec}: the path is not UTF-8")))?
            }
        };
        let at = if at.len() > 1 { at.trim_end_matches('/') } else { at.as_str() };
        let normal = at.starts_with('/')
            && at.len() > 1
            && at[1..].split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !normal || at.contains('\0') {
            let message =
                format!("{option} {spec}: the path in the box must be absolute, without '.', '..' or '//'");
            return Err(usage(message).help(format!("for example {option} {host}:/data")));
        }
        Ok(Self { host: absolute, at: at.to_owned(), write })
    }

    /// Attributes of its mount.
    #[must_use]
    pub fn attr(&self) -> Attr {
        let always = Attr::NOSUID.and(Attr::NODEV).and(Attr::NOEXEC);
        always.and(if self.write { Attr::NOSYMFOLLOW } else { Attr::RDONLY })
    }

    const fn option(&self) -> &'static str {
        if self.write { "--rw" } else { "--ro" }
    }

    /// Checks it and, as root, opens it.
    ///
    /// # Errors
    /// Why the payload could not use it, and what would help.
    pub fn open(&self, as_root: bool, sockets_allowed: bool) -> Result<OpenBind> {
        let shown = format!("{} {}", self.option(), self.host.display());
        let failed = |e: std::io::Error| Error::new(Kind::Usage, format!("{shown}: {}", io_text(&e)));
        let path = links::resolve(&self.host).map_err(|problem| problem.error(&shown))?;
        let place =
            sys::fd::openat2(libc::AT_FDCWD, &c_path(&path)?, libc::O_PATH, 0, sys::fd::Resolve::NO_LINKS)
                .map_err(|e| cannot(&shown, e))?;
        let place = File::from(place);
        let meta = place.metadata().map_err(failed)?;
        let kind = meta.file_type();
        if !kind.is_dir() && !kind.is_file() {
            let message = format!("{shown}: neither a regular file nor a directory");
            return Err(Error::new(Kind::Usage, message)
                .help("sockets, devices and fifos of the host are never shown inside"));
        }
        let mode = meta.permissions().mode();
        // As root the box runs under an id that owns nothing: the rights of others count.
        let needed = match (kind.is_dir(), self.write) {
            (true, true) => 0o7,
            (true, false) => 0o5,
            (false, true) => 0o6,
            (false, false) => 0o4,
        };
        // Its owner may read it: a clone in which the box's id is the owner's does the same.
        let owner_may = mode >> 6 & needed == needed;
        let others_may = mode & needed == needed;
        let owner = (as_root && !self.write && !others_may && owner_may).then(|| (meta.uid(), meta.gid()));
        let allowed = if as_root {
            others_may || owner.is_some()
        } else {
            use nix::unistd::AccessFlags as A;
            let flags = [(0o4, A::R_OK), (0o2, A::W_OK), (0o1, A::X_OK)];
            let wanted =
                flags.iter().filter(|(bit, _)| needed & bit != 0).fold(A::empty(), |f, (_, a)| f | *a);
            nix::unistd::access(&path, wanted).is_ok()
        };
        if !allowed {
            let verb = if self.write { "write" } else { "read" };
            let letters = [(0o4, 'r'), (0o2, 'w'), (0o1, 'x')];
            let bits: String = letters.iter().filter(|(b, _)| needed & b != 0).map(|(_, l)| *l).collect();
            // Whoever owns it is not helped by what its owner may.
            let who = match (as_root, meta.uid() == Host::get().uid) {
                (true, _) => "chmod o",
                (false, true) => "chmod u",
                (false, false) => "have its owner say: chmod o",
            };
            return Err(Error::new(Kind::Usage, format!("{shown}: the box's user cannot {verb} it"))
                .help(format!("{who}+{bits} {}", self.host.display())));
        }
        if sockets_allowed && kind.is_dir() {
            refuse_sockets(&path, &shown)?;
        }
        let mount = if as_root { clone_mount(&place, &shown)? } else { None };
        let identity = (meta.dev(), meta.ino());
        Ok(OpenBind { bind: self.clone(), path, identity, dir: kind.is_dir(), mount, owner })
    }
}

/// The supervisor's own clone: root of the box could not open what lies below
/// somebody's private directory.
fn clone_mount(place: &File, shown: &str) -> Result<Option<OwnedFd>> {
    match sys::mount::open_tree_clone(place.as_raw_fd(), c"", true) {
        Ok(mount) => sys::fd::above_stdio(mount).map(Some).map_err(|e| cannot(shown, e)),
        // Root of a container without CAP_SYS_ADMIN: the middle process opens it.
        Err(sys::Errno::EPERM) => Ok(None),
        Err(e) => Err(cannot(shown, e)),
    }
}

fn cannot(shown: &str, errno: sys::Errno) -> Error {
    Error::new(Kind::Usage, format!("{shown}: {}", crate::error::errno_text(errno as i32)))
}

impl OpenBind {
    /// As root, where only the owner may read it: shows it as the box's own. Never
    /// for something that may be written: the box could leave the owner a set-id file.
    ///
    /// # Errors
    /// The file system cannot do it (ext4 can since 5.12, tmpfs since 6.3).
    pub fn show_as_own(&self, host_ids: (u32, u32)) -> Result<()> {
        let (Some(owner), Some(mount)) = (self.owner, &self.mount) else { return Ok(()) };
        idmap(mount, owner, host_ids).map_err(|e| {
            let path = self.bind.host.display();
            let message = format!(
                "--ro {path}: only its owner may read it, and it cannot be shown as another's: {}",
                io_text(&e)
            );
            Error::new(Kind::Host, message).help(format!("chmod o+rX {path}, or give a copy"))
        })
    }

    /// The supervisor's clone, by number.
    #[must_use]
    pub fn mount_fd(&self) -> Option<std::os::fd::RawFd> {
        self.mount.as_ref().map(|m| m.as_raw_fd())
    }

    /// For the plan.
    ///
    /// # Errors
    /// The path has a NUL in it.
    pub fn from(&self) -> Result<BindFrom> {
        match &self.mount {
            Some(mount) => Ok(BindFrom::Mount(mount.as_raw_fd())),
            None => {
                let (dev, ino) = self.identity;
                Ok(BindFrom::Path { path: c_path(&self.path)?, dev, ino })
            }
        }
    }
}

/// A path as a C string.
///
/// # Errors
/// It has a NUL in it.
pub fn c_path(path: &Path) -> Result<std::ffi::CString> {
    std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::new(Kind::Usage, format!("the path {} has a NUL byte in it", path.display())))
}

/// A mount through which `from` on the file system shows as `to`.
fn idmap(mount: &OwnedFd, from: (u32, u32), to: (u32, u32)) -> std::io::Result<()> {
    // A user namespace exists as long as somebody is in it, or holds it open.
    let keeper = sys::clone::copy(libc::CLONE_NEWUSER, &(), |()| {
        // No other signal reaches it, whoever sends one to the whole group.
        no_matter(sys::process::die_with_parent(), "it is killed as soon as its namespace is held open");
        sys::process::sleep_until_killed()
    })?;
    let maps = || {
        let proc = format!("/proc/{}", keeper.pid);
        fs::write(format!("{proc}/uid_map"), format!("{} {} 1", from.0, to.0))?;
        fs::write(format!("{proc}/gid_map"), format!("{} {} 1", from.1, to.1))?;
        let userns = fs::File::open(format!("{proc}/ns/user"))?;
        Ok(sys::mount::set_idmap(mount.as_fd(), userns.as_fd())?)
    };
    let mapped = maps();
    sys::process::signal(keeper.pidfd.as_fd(), libc::SIGKILL)?;
    sys::process::wait(keeper.pidfd.as_fd(), true)?;
    mapped
}

/// Takes out `.` and `..` by the letters alone.
fn lexical(path: &Path) -> Option<String> {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out.into_os_string().into_string().ok()
}

/// A connect passes read-only binds, network namespaces and, before 7.1, Landlock.
fn refuse_sockets(dir: &Path, shown: &str) -> Result<()> {
    let mut stack = vec![dir.to_owned()];
    let mut seen = 0usize;
    while let Some(dir) = stack.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            seen += 1;
            if seen > SCAN_CAP {
                let message = format!("{shown}: more than {SCAN_CAP} entries to search for sockets");
                return Err(Error::new(Kind::Usage, message).help("bind a smaller directory"));
            }
            match entry.file_type() {
                Ok(kind) if kind.is_socket() => {
                    let message = format!("{shown}: {} is a socket", entry.path().display());
                    return Err(Error::new(Kind::Usage, message).help(
                        "this policy allows socket(2), and no layer stops a connect to a socket file",
                    ));
                }
                Ok(kind) if kind.is_dir() => stack.push(entry.path()),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_spec_gives_host_and_box_path() {
        let cwd = Path::new("/home/x");
        let bind = Bind::parse("data:/in", false, cwd).unwrap();
        assert_eq!((bind.host.as_path(), bind.at.as_str()), (Path::new("/home/x/data"), "/in"));
        assert_eq!(Bind::parse("/srv/t/", false, cwd).unwrap().at, "/srv/t");
        assert_eq!(Bind::parse("../y/./z", false, cwd).unwrap().at, "/home/y/z");
    }

    #[test]
    fn bind_spec_with_a_bad_box_path_is_refused() {
        let cwd = Path::new("/");
        for bad in [":/x", "a:", "a:rel", "a:/", "a:/..", "a:/x//y", "a:/x/./y"] {
            assert!(Bind::parse(bad, true, cwd).is_err(), "{bad}");
        }
        assert!(Bind::parse("a:/x", true, cwd).is_ok());
    }
}

//! What can be seen of the process whose call waits for its answer.
//!
//! Guarantees: what is read is the caller's and nobody else's: its directory in `/proc` is opened, then the
//! kernel says that it still waits, and everything is read through that directory. Nothing read here decides
//! anything: the caller can change it while it is being read.
//!
//! # References
//! `seccomp_unotify(2)`, `proc(5)`

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;

use crate::sys::fd::{self, Resolve};
use crate::sys::seccomp::{self, Notification};
use crate::sys::{self, Errno};

/// `PATH_MAX`: a longer path is no path.
const LONGEST: usize = 4096;

/// What the kernel maps at once: beyond it may be nothing.
const PAGE: u64 = 4096;

/// `AT_FDCWD` as the register has it.
const AT_FDCWD: i32 = libc::AT_FDCWD;

/// The caller of a call that waits.
pub struct Caller {
    dir: OwnedFd,
    mem: File,
    root: OwnedFd,
}

/// What a path leads to in the box.
pub enum Found {
    /// Something, at this path of the box, links followed.
    At(String),
    /// Nothing.
    Missing,
    /// It cannot be told.
    Unknown,
}

impl Caller {
    /// The caller of a notified call, if it still waits.
    pub fn of(listener: BorrowedFd<'_>, n: &Notification) -> Option<Self> {
        let path = CString::new(format!("/proc/{}", n.pid)).ok()?;
        let dir = fd::openat(libc::AT_FDCWD, &path, libc::O_PATH | libc::O_DIRECTORY, 0).ok()?;
        let mem = fd::openat(dir.as_raw_fd(), c"mem", libc::O_RDONLY, 0).ok()?;
        let root = fd::openat(dir.as_raw_fd(), c"root", libc::O_PATH | libc::O_DIRECTORY, 0).ok()?;
        seccomp::still_waits(listener, n.id).then(|| Self { dir, mem: File::from(mem), root })
    }

    /// The text at an address, up to its NUL.
    pub fn text(&self, address: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = address;
        while out.len() < LONGEST {
            let mut piece = [0u8; 256];
            // Not across a page: the next one may not be there.
            let room = usize::try_from(PAGE - at % PAGE).map_or(piece.len(), |left| left.min(piece.len()));
            let read = self.mem.read_at(&mut piece[..room], at).ok().filter(|n| *n > 0)?;
            if let Some(end) = piece[..read].iter().position(|b| *b == 0) {
                out.extend_from_slice(&piece[..end]);
                return Some(out);
            }
            out.extend_from_slice(&piece[..read]);
            at = at.checked_add(u64::try_from(read).ok()?)?;
        }
        None
    }

    /// The bytes at an address, if all can be read.
    pub fn bytes(&self, address: u64, count: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; count.min(LONGEST)];
        self.mem.read_exact_at(&mut out, address).ok()?;
        Some(out)
    }

    /// A path as the call means it, from the root of the box. `dirfd` is the register.
    pub fn absolute(&self, dirfd: Option<u64>, path: &[u8]) -> Option<Vec<u8>> {
        if path.starts_with(b"/") {
            return Some(path.to_vec());
        }
        let number = dirfd.map_or(AT_FDCWD, |fd| u32::try_from(fd & 0xffff_ffff).unwrap_or(0).cast_signed());
        let link = if number == AT_FDCWD { "cwd".to_owned() } else { format!("fd/{number}") };
        let base = fs::read_link(self.below(&link)).ok()?;
        let mut whole = base.as_os_str().as_bytes().to_vec();
        if !whole.starts_with(b"/") {
            return None;
        }
        if !path.is_empty() {
            whole.push(b'/');
            whole.extend_from_slice(path);
        }
        Some(whole)
    }

    /// Where a path of the box leads.
    pub fn resolve(&self, path: &[u8], follow: bool) -> Found {
        let Ok(path) = CString::new(self.own_names(path)) else { return Found::Unknown };
        let flags = libc::O_PATH | if follow { 0 } else { libc::O_NOFOLLOW };
        match fd::openat2(self.root.as_raw_fd(), &path, flags, 0, Resolve::IN_ROOT) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => Found::Missing,
            Err(_) => Found::Unknown,
            Ok(file) => match fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) {
                Ok(real) => match real.into_os_string().into_string() {
                    Ok(real) if real.starts_with('/') => Found::At(real),
                    _ => Found::Unknown,
                },
                Err(_) => Found::Unknown,
            },
        }
    }

    /// How many descriptors it has.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(self.below("fd")).map_or(0, Iterator::count)
    }

    /// `/proc/self` would be the reader's.
    fn own_names(&self, path: &[u8]) -> Vec<u8> {
        for name in [&b"/proc/self"[..], b"/proc/thread-self"] {
            if let Some(rest) = path.strip_prefix(name)
                && (rest.is_empty() || rest.starts_with(b"/"))
                && let Some(pid) = self.inner_pid()
            {
                return [b"/proc/", pid.as_bytes(), rest].concat();
            }
        }
        path.to_vec()
    }

    /// Its number in the box.
    fn inner_pid(&self) -> Option<String> {
        let status = fs::read_to_string(self.below("status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("NSpid:"))?;
        line.split_whitespace().last().map(str::to_owned)
    }

    fn below(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", self.dir.as_raw_fd())
    }
}

/// How an errno of the filter is called.
pub fn errno_name(errno: u16) -> String {
    format!("{:?}", sys::Errno::from_raw(i32::from(errno)))
}

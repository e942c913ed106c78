//! Trying, in processes that are thrown away.
//!
//! The functions marked "child only" run in a copy of this process: system calls
//! only, no allocation, no lock, no formatting. What they find goes through a
//! pipe, one record a call.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use seccompiler::sock_filter;

use crate::error::no_matter;
use crate::sandbox::landlock;
use crate::sandbox::namespaces::{AT_BIRTH, HOST_ID_BASE, OF_INIT};
use crate::sandbox::root::ROOT_ATTR;
use crate::sys::clone;
use crate::sys::landlock::RulesetAttr;
use crate::sys::mount::{self, Attr};
use crate::sys::{self, Errno, creds, fd, process};

/// Why a result of a child's is left: there is nobody to tell.
const NOBODY: &str = "what is missing from the pipe was not reached";

/// One thing that is tried in the new namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Tried {
    HostName,
    PidNs,
    CgroupNs,
    Private,
    Tmpfs,
    Attach,
    Overlay,
    ProcMount,
    NamespaceLimit,
    InnerNs,
    FurtherNs,
    Pivot,
    /// The one thing that a child of its own was made for.
    End,
}

/// What came of each thing that was tried.
#[derive(Debug, Clone, Default)]
pub struct Answers(Vec<(u32, i32)>);

impl Answers {
    /// Why a call failed; nothing if it worked or was not reached.
    pub fn of(&self, tried: Tried) -> Option<Errno> {
        let errno = self.0.iter().find(|r| r.0 == tried as u32)?.1;
        (errno != 0).then(|| Errno::from_raw(errno))
    }

    /// Whether it was made and worked.
    pub fn worked(&self, tried: Tried) -> bool {
        self.0.contains(&(tried as u32, 0))
    }
}

/// Everything the child in the new namespaces needs.
struct Namespaced {
    out: RawFd,
    go: RawFd,
    /// A directory with `root` and `empty` in it, on the store's file system.
    tree: Option<CString>,
    /// Whether the supervisor would be host root.
    as_root: bool,
}

/// The id of the box, as a policy has it.
const BOX_ID: u32 = 1000;

/// What became of the new namespaces.
#[derive(Debug, Clone)]
pub enum Namespaces {
    /// They cannot be made.
    Refused(Errno),
    /// Their ids cannot be mapped.
    Unmapped(Errno),
    /// What worked in them.
    Made(Answers),
}

/// Tries what M and P do, on a host directory `tree` for the overlay.
pub fn namespaces(tree: Option<&Path>) -> sys::Result<Namespaces> {
    let (out_read, out_write) = fd::pipe()?;
    let (go_read, go_write) = fd::pipe()?;
    let probe = Namespaced {
        out: out_write.as_raw_fd(),
        go: go_read.as_raw_fd(),
        tree: tree.and_then(|t| CString::new(t.as_os_str().as_bytes()).ok()),
        as_root: nix::unistd::geteuid().is_root(),
    };
    let child = match clone::copy(AT_BIRTH | OF_INIT, &probe, in_namespaces) {
        Ok(child) => child,
        Err(errno) => return Ok(Namespaces::Refused(errno)),
    };
    drop(out_write);
    drop(go_read);
    let mapped = write_maps(child.pid);
    let told = mapped.and_then(|()| fd::write(go_write.as_raw_fd(), &[1]));
    if told.is_err() {
        // It holds the other end of what it waits at.
        no_matter(process::signal(child.pidfd.as_fd(), libc::SIGKILL), NOBODY);
    }
    let answers = read_answers(&out_read);
    no_matter(process::wait(child.pidfd.as_fd(), true), NOBODY);
    Ok(match told {
        Ok(_) => Namespaces::Made(answers),
        Err(errno) => Namespaces::Unmapped(errno),
    })
}

/// The ids of a box, as a launch maps them.
fn write_maps(pid: i32) -> sys::Result<()> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let as_root = uid.is_root();
    let id = HOST_ID_BASE + pid.unsigned_abs();
    let (uid, gid) = if as_root { (id, id) } else { (uid.as_raw(), gid.as_raw()) };
    let write = |file: &str, content: String| {
        fs::write(format!("/proc/{pid}/{file}"), content)
            .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    if !as_root {
        write("setgroups", "deny".to_owned())?;
    }
    write("uid_map", format!("1000 {uid} 1"))?;
    write("gid_map", format!("1000 {gid} 1"))
}

fn read_answers(from: &OwnedFd) -> Answers {
    let mut answers = Answers::default();
    let mut record = [0u8; 8];
    while let Ok(8) = fd::read(from.as_raw_fd(), &mut record) {
        let [a, b, c, d, e, f, g, h] = record;
        answers.0.push((u32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h])));
    }
    answers
}

/// Child only: tells what came of a call; whether it worked.
fn tell<T>(out: RawFd, tried: Tried, answer: sys::Result<T>) -> bool {
    let errno = answer.as_ref().err().map_or(0, |e| *e as i32);
    let ([a, b, c, d], [e, f, g, h]) = ((tried as u32).to_ne_bytes(), errno.to_ne_bytes());
    no_matter(fd::write(out, &[a, b, c, d, e, f, g, h]), NOBODY);
    answer.is_ok()
}

/// Child only: everything that a launch does as M and P, as far as it can be had.
fn in_namespaces(probe: &'static Namespaced) -> ! {
    let out = probe.out;
    let mut byte = [0u8];
    if process::die_with_parent().is_err() || fd::read(probe.go, &mut byte) != Ok(1) {
        process::exit_now(1)
    }
    let host_proc = fd::openat(libc::AT_FDCWD, c"/proc", libc::O_PATH | libc::O_DIRECTORY, 0);
    tell(out, Tried::HostName, process::sethostname(b"probe"));
    let pid_ns = tell(out, Tried::PidNs, process::unshare(libc::CLONE_NEWPID));
    tell(out, Tried::CgroupNs, process::unshare(libc::CLONE_NEWCGROUP));
    tell(out, Tried::Private, mount::make_all_private());
    tell(out, Tried::Overlay, try_overlay(probe));
    if pid_ns {
        // Only a member of the pid namespace may mount its /proc.
        match clone::copy(0, probe, mount_proc) {
            Ok(child) => no_matter(process::wait(child.pidfd.as_fd(), true), NOBODY),
            Err(errno) => {
                tell::<()>(out, Tried::ProcMount, Err(errno));
            }
        }
    }
    if let Ok(proc) = &host_proc {
        tell(out, Tried::NamespaceLimit, write_limit(proc.as_raw_fd()));
    }
    try_root(probe);
    if let Ok(proc) = &host_proc {
        tell(out, Tried::InnerNs, inner_namespace(probe, proc.as_raw_fd()));
        tell(out, Tried::FurtherNs, process::unshare(libc::CLONE_NEWUSER));
    }
    process::exit_now(0)
}

/// Child only: the second user namespace, its ids mapped to themselves.
fn inner_namespace(probe: &Namespaced, proc: RawFd) -> sys::Result<()> {
    if probe.as_root {
        creds::clear_groups()?;
        creds::set_gid(BOX_ID)?;
        creds::set_uid(BOX_ID)?;
        process::set_dumpable(true)?;
    }
    process::unshare(libc::CLONE_NEWUSER)?;
    let maps = [
        (c"self/setgroups", &b"deny"[..]),
        (c"self/uid_map", b"1000 1000 1"),
        (c"self/gid_map", b"1000 1000 1"),
    ];
    for (file, content) in maps {
        let file = fd::openat(proc, file, libc::O_WRONLY, 0)?;
        fd::write(file.as_raw_fd(), content)?;
    }
    Ok(())
}

/// Child only: a tmpfs becomes the root, as a box's would.
fn try_root(probe: &Namespaced) {
    let made = new_tmpfs();
    tell(probe.out, Tried::Tmpfs, made.as_ref().map(drop).map_err(|e| *e));
    let Ok(made) = made else { return };
    let attached = fd::openat(libc::AT_FDCWD, c"/", libc::O_PATH, 0)
        .and_then(|place| mount::attach(made.as_fd(), place.as_fd()));
    if tell(probe.out, Tried::Attach, attached) {
        let pivot = || {
            mount::fchdir(made.as_fd())?;
            mount::pivot_root_to_cwd()?;
            mount::detach_cwd()
        };
        tell(probe.out, Tried::Pivot, pivot());
    }
}

/// Child only: an empty file system in memory, read-only in the end.
fn new_tmpfs() -> sys::Result<OwnedFd> {
    let fs = mount::fsopen(c"tmpfs")?;
    mount::fsconfig_string(fs.as_fd(), c"size", c"64k")?;
    mount::fsconfig_create(fs.as_fd())?;
    let made = mount::fsmount(fs.as_fd(), Attr::NOSUID)?;
    mount::set_attr(made.as_fd(), ROOT_ATTR, false)?;
    Ok(made)
}

/// Child only: an overlay as the root of a box is one.
fn try_overlay(probe: &Namespaced) -> sys::Result<()> {
    let Some(tree) = &probe.tree else { return Err(Errno::ENOENT) };
    mount::chdir(tree)?;
    let made = (|| {
        let fs = mount::fsopen(c"overlay")?;
        mount::fsconfig_string(fs.as_fd(), c"lowerdir", c"root:empty")?;
        mount::fsconfig_flag(fs.as_fd(), c"userxattr")?;
        mount::fsconfig_create(fs.as_fd())?;
        mount::fsmount(fs.as_fd(), ROOT_ATTR).map(drop)
    })();
    mount::chdir(c"/")?;
    made
}

/// Child only: pid 1 of the new pid namespace mounts its `/proc`.
fn mount_proc(probe: &'static Namespaced) -> ! {
    let made = (|| {
        let fs = mount::fsopen(c"proc")?;
        mount::fsconfig_string(fs.as_fd(), c"hidepid", c"invisible")?;
        mount::fsconfig_string(fs.as_fd(), c"subset", c"pid")?;
        mount::fsconfig_create(fs.as_fd())?;
        mount::fsmount(fs.as_fd(), Attr::RDONLY).map(drop)
    })();
    tell(probe.out, Tried::ProcMount, made);
    process::exit_now(0)
}

/// Child only: room for one more user namespace.
fn write_limit(proc: RawFd) -> sys::Result<()> {
    let file = fd::openat(proc, c"sys/user/max_user_namespaces", libc::O_WRONLY, 0)?;
    fd::write(file.as_raw_fd(), b"1").map(drop)
}

/// Runs one call in a child.
fn in_child(entry: fn(&'static RawFd) -> !) -> sys::Result<()> {
    let (out_read, out_write) = fd::pipe()?;
    let number = out_write.as_raw_fd();
    let child = clone::copy(0, &number, entry)?;
    drop(out_write);
    let answers = read_answers(&out_read);
    no_matter(process::wait(child.pidfd.as_fd(), true), NOBODY);
    match answers.of(Tried::End) {
        Some(errno) => Err(errno),
        None if answers.worked(Tried::End) => Ok(()),
        // It died of the call.
        None => Err(Errno::EIO),
    }
}

/// Whether a user namespace alone can be had, for telling why several cannot.
pub fn user_namespace_alone() -> sys::Result<()> {
    in_child(|out| {
        tell(*out, Tried::End, process::unshare(libc::CLONE_NEWUSER));
        process::exit_now(0)
    })
}

/// A session keyring of one's own.
pub fn keyring() -> sys::Result<()> {
    in_child(|out| {
        tell(*out, Tried::End, process::join_fresh_session_keyring());
        process::exit_now(0)
    })
}

/// Landlock enforced: opening a directory that no rule names must be refused.
pub fn landlock_refuses() -> sys::Result<()> {
    in_child(|out| {
        let restrict = || {
            let attr: RulesetAttr = landlock::prepare(1, Vec::new(), false).attr;
            sys::process::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
            let ruleset = sys::landlock::create_ruleset(&attr)?;
            sys::landlock::restrict_self(ruleset.as_fd(), 0)?;
            fd::openat(libc::AT_FDCWD, c"/", libc::O_RDONLY | libc::O_DIRECTORY, 0).map(drop)
        };
        tell(*out, Tried::End, restrict());
        process::exit_now(0)
    })
}

/// A filter that allows everything.
const ALLOW_ALL: [sock_filter; 1] = [sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }];

/// A filter, and one with a listener below it.
pub fn filters() -> sys::Result<()> {
    in_child(|out| {
        let install = || {
            sys::process::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
            let listener = sys::seccomp::install_with_listener(&ALLOW_ALL)?;
            std::mem::forget(listener);
            sys::seccomp::install(&ALLOW_ALL, [0; 3])
        };
        tell(*out, Tried::End, install());
        process::exit_now(0)
    })
}

/// The core limit that also stops a piped handler.
pub fn core_limit() -> sys::Result<()> {
    in_child(|out| {
        let answer = sys::limits::set(libc::RLIMIT_CORE, crate::sandbox::rlimits::CORE_NEVER);
        tell(*out, Tried::End, answer);
        process::exit_now(0)
    })
}

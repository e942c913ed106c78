//! Processes of a box that became children of the supervisor behind its back.
//!
//! A payload that may use `CLONE_PARENT` makes siblings of itself. They die with
//! the box, but only their parent can reap them, and pid 1 of the box does not
//! end before that. The filter refuses `CLONE_PARENT`; this is for policies that
//! do not, and for a middle process that died before it could report.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::procfs;
use crate::sys::{Errno, process};

/// How long is waited for those that have been killed before they are looked at again.
pub const PAUSE: Duration = Duration::from_millis(1);

/// A process of a box whose end somebody waits for, whichever box of this process it is of.
#[derive(Debug)]
pub struct Awaited(i32);

impl Awaited {
    /// Until it is dropped, no other box takes it for a stray of its own.
    pub fn new(pid: i32) -> Self {
        awaited().insert(pid);
        Self(pid)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        awaited().remove(&self.0);
    }
}

fn awaited() -> MutexGuard<'static, BTreeSet<i32>> {
    static AWAITED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
    AWAITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What tells a box's processes from other children of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The inode of its pid namespace.
    PidNamespace(u64),
    /// The inode of its outer user namespace.
    UserNamespace(u64),
}

impl Mark {
    fn file(self) -> (&'static str, u64) {
        match self {
            Mark::PidNamespace(inode) => ("pid", inode),
            Mark::UserNamespace(inode) => ("user", inode),
        }
    }
}

/// Inode of a namespace of a process, by its pid or as `/proc` calls it.
#[must_use]
pub fn namespace_inode(process: impl Display, name: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/ns/{name}")).ok().map(|m| m.ino())
}

/// Kills and reaps children that bear the mark, but for those in `known` and those
/// of other boxes. Answers how many there were.
///
/// A zombie shows no namespace any more. One whose pid has a place in a nested
/// pid namespace, and that nobody waits for, is taken for a stray as well: nothing
/// else makes such children of a supervisor.
pub fn reap(mark: Mark, known: &[i32]) -> usize {
    let (name, inode) = mark.file();
    let is_ours = |pid: &i32| match namespace_inode(*pid, name) {
        Some(found) => found == inode,
        None => nested_zombie(*pid),
    };
    let nobodys = |pid: &i32| !known.contains(pid) && !awaited().contains(pid);
    let mut ours: Vec<i32> =
        procfs::children("self").into_iter().flatten().filter(|pid| nobodys(pid) && is_ours(pid)).collect();
    ours.retain(|pid| {
        let killed = process::pidfd_open(*pid)
            .and_then(|pidfd| process::signal(pidfd.as_fd(), libc::SIGKILL))
            // Where a filter refuses those, the number does: it is a child's, which nobody else reaps.
            .or_else(|_| kill(Pid::from_raw(*pid), Signal::SIGKILL));
        // Who was not killed would be waited for without an end.
        matches!(killed, Ok(()) | Err(Errno::ESRCH))
    });
    // Not one after the other: one of them may be pid 1 of the rest.
    let mut reaped = 0;
    while !ours.is_empty() {
        ours.retain(|pid| match process::wait_pid(*pid, false) {
            Err(Errno::EAGAIN) => true,
            Err(_) => false,
            Ok(_) => {
                reaped += 1;
                false
            }
        });
        if !ours.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
    reaped
}

fn nested_zombie(pid: i32) -> bool {
    let Ok(status) = procfs::read(format!("/proc/{pid}/status")) else { return false };
    let status = super::posture::Status::parse(&status);
    let own = procfs::read("/proc/self/status").map(|s| super::posture::Status::parse(&s));
    let depth = |s: &super::posture::Status| s.get("NSpid").split(' ').count();
    status.get("State").starts_with('Z') && own.is_ok_and(|own| depth(&status) > depth(&own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clone::{Child, copy};

    /// Pid 1 of its own namespace, which has ended.
    fn zombie() -> Child {
        let made = copy(libc::CLONE_NEWUSER | libc::CLONE_NEWPID, &(), |_| process::exit_now(7)).unwrap();
        while process::has_ended(made.pidfd.as_fd()) == Ok(false) {
            std::thread::sleep(PAUSE);
        }
        made
    }

    #[test]
    fn reap_takes_whom_nobody_waits_for_and_leaves_those_of_other_boxes() {
        let (others, stray) = (zombie(), zombie());
        let mark = |child: &Child| Mark::PidNamespace(namespace_inode(child.pid, "pid").unwrap());
        let (mark_of_others, mark_of_stray) = (mark(&others), mark(&stray));
        let awaited = Awaited::new(others.pid);
        assert_eq!((reap(mark_of_others, &[]), reap(mark_of_stray, &[])), (0, 1));
        assert_eq!(process::wait(stray.pidfd.as_fd(), false).unwrap_err(), Errno::ECHILD);
        drop(awaited);
        assert_eq!(reap(mark_of_others, &[others.pid]), 0);
        assert_eq!(reap(mark_of_others, &[]), 1);
        assert_eq!(process::wait(others.pidfd.as_fd(), false).unwrap_err(), Errno::ECHILD);
    }
}

//! A box that is made before its job is known.
//!
//! Everything is done and attested but for what the job brings: the payload's
//! content, its arguments and its environment. P waits before its exec, with
//! every layer in force, for the words, which the supervisor hands to it and which
//! let it go; pid 1 has been acknowledged, and waits for the exec. M waits for
//! a payload. One that has come again and again is copied beforehand, and M has
//! nothing to do; if the job brings another one after all, that takes its place
//! before anything is executed. M writes it through a mount of its own, because
//! the one in the box is read-only from the start and was attested as such.
//! Either way M is killed before P is let go: a process that has been killed
//! executes nothing any more, and nobody waits for the rest of its end. Nobody
//! ever holds the file open for writing by then: the exec would be refused
//! (`ETXTBSY`).
//!
//! The words go where M, I and P share memory, which the payload's exec leaves
//! behind and pid 1 takes away.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, IntoRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::Ordering;

use super::child::{Failed, Steps};
use super::frame::Frame;
use super::order::Step;
use super::plan::{Late, MountKind, MountPlan, Plan};
use super::root;
use crate::sys::{self, Errno, fd, mount};

/// Room of the payload's directory before its size is known. Only M writes there,
/// and exactly as much as the job says.
pub const ROOM: u64 = 1 << 40;

/// Child only: the payload's file, with what is likely to be its content, and M's way to that.
pub fn make_payload(
    steps: Steps,
    late: &Late,
    dir: BorrowedFd<'_>,
    name: &CStr,
    mode: u32,
) -> Result<(), Failed> {
    let create = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    let apart = steps.call(Step::PayloadLater, || mount::open_tree_clone(dir.as_raw_fd(), c"", false))?;
    let file = steps.call(Step::PayloadCreate, || fd::openat(apart.as_raw_fd(), name, create, 0o600))?;
    let Plan { payload: likely, payload_size, .. } = *steps.plan;
    if likely >= 0 {
        steps.call(Step::PayloadCopy, || root::copy_all(file.as_raw_fd(), likely, 0, payload_size))?;
    }
    steps.call(Step::PayloadCreate, || fd::fchmod(file.as_raw_fd(), mode))?;
    steps.call(Step::PayloadCreate, || fd::close(file.into_raw_fd()))?;
    // What stays open is no more than the way: the end of the mount itself takes a while, and that of this
    // process is not to.
    let way = libc::O_PATH | libc::O_DIRECTORY;
    let place = steps.call(Step::PayloadCreate, || fd::openat(apart.as_raw_fd(), c".", way, 0))?;
    late.place.store(place.into_raw_fd(), Ordering::Relaxed);
    Ok(())
}

/// Child only: waits for a payload, and puts it into the box, in the place of what is there. There may
/// never come one.
pub fn receive(steps: Steps) -> Result<(), Failed> {
    let Some(late) = &steps.plan.late else { return Ok(()) };
    let (size, from) = steps.call(Step::ReceiveJob, || receive_size_and_file(late.job))?;
    let named = |mount: &'static MountPlan| match &mount.kind {
        MountKind::Payload { name, .. } => Some(name.as_c_str()),
        _ => None,
    };
    let name =
        steps.call(Step::PayloadAgain, || steps.plan.mounts.iter().find_map(named).ok_or(Errno::ENOENT))?;
    let anew = libc::O_WRONLY | libc::O_TRUNC | libc::O_NOFOLLOW;
    let place = late.place.load(Ordering::Relaxed);
    let file = steps.call(Step::PayloadAgain, || fd::openat(place, name, anew, 0))?;
    steps.call(Step::PayloadCopy, || root::copy_all(file.as_raw_fd(), from.as_raw_fd(), 0, size))?;
    // The exec is refused while anybody can write the program. This process is killed before it, too,
    // but that is no call that could be told to have failed.
    steps.call(Step::PayloadCopy, || fd::close(file.into_raw_fd()))?;
    steps.send(Step::JobFrame, Frame::Placed)
}

/// What M is told: the bytes of a payload, and the payload.
#[must_use]
pub fn message(size: u64) -> [u8; 8] {
    size.to_le_bytes()
}

fn receive_size_and_file(socket: RawFd) -> sys::Result<(u64, OwnedFd)> {
    let mut size = [0; 8];
    loop {
        match fd::recv_with_fd(socket, &mut size) {
            Ok((8, Some(file))) => return Ok((u64::from_le_bytes(size), file)),
            Ok((0, None)) => return Err(Errno::EPIPE),
            Ok(_) => return Err(Errno::EBADMSG),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

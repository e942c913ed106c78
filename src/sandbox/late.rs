//! A box that is made before its job is known.
//!
//! Everything is done and attested but for what the job brings: the payload's
//! content, its arguments and its environment. P waits before its exec, with
//! every layer in force; M waits for the job. A payload that has come again and
//! again is copied beforehand: if the job brings another one after all, that takes
//! its place before anything is executed. M writes the payload's copy through
//! a mount of its own, because the one in the box is read-only from the start and
//! was attested as such; then it ends, as it does in any other launch, before the
//! payload is let go. Nobody else ever holds the file open for writing: the exec
//! would be refused (`ETXTBSY`).
//!
//! The words go where M, I and P share memory, which the payload's exec leaves
//! behind and pid 1 takes away.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, IntoRawFd as _};
use std::sync::atomic::Ordering;

use super::child::{Failed, Steps};
use super::order::Step;
use super::plan::{Late, Plan};
use super::root;
use crate::sys::{fd, mount};

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
    steps.call(Step::PayloadCreate, || fd::fchmod(file.as_raw_fd(), mode))?;
    let Plan { payload: likely, payload_size, .. } = *steps.plan;
    if likely >= 0 {
        steps.call(Step::PayloadCopy, || root::copy_all(file.as_raw_fd(), likely, 0, payload_size))?;
    }
    late.file.store(file.into_raw_fd(), Ordering::Relaxed);
    Ok(())
}

/// Child only: waits for the job, and puts it into the box.
pub fn receive(steps: Steps) -> Result<(), Failed> {
    let Some(late) = &steps.plan.late else { return Ok(()) };
    let (size, from) = steps.call(Step::ReceiveJob, || late.words.receive(late.job))?;
    let file = late.file.load(Ordering::Relaxed);
    if file < 0 {
        return Ok(());
    }
    let is_filled = steps.plan.payload >= 0;
    if is_filled && from >= 0 {
        steps.call(Step::PayloadCopy, || fd::empty(file))?;
    }
    // Nothing comes along where the likely one is the right one.
    if from >= 0 || !is_filled {
        steps.call(Step::PayloadCopy, || root::copy_all(file, from, 0, size))?;
    }
    // The exec is refused while anybody can write the program. This process ends before it, too, but
    // the end of a process is no call that could be told to have failed.
    steps.call(Step::PayloadCopy, || fd::close(file))
}

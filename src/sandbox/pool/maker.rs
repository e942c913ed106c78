//! The threads that make boxes, and whose children these are: when such a thread
//! ends, so does every box that it has made.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;

use super::Shared;
use super::kind::Kind;
use super::shelf::Task;
use crate::error::{Result, no_matter};
use crate::sandbox::compile::{self, Ahead, Compiled, Request, Seen};
use crate::sandbox::launch::{self, Job, Launched, Stopped, Waiting};
use crate::sandbox::run::{self, Canceller};
use crate::sys::{process, signal};

/// A box that waits for its job. Dropped, it is destroyed.
#[derive(Debug)]
pub struct Ready(Option<Box<(Compiled, Waiting)>>);

impl Ready {
    /// Whether nobody has killed it meanwhile.
    pub fn is_whole(&self) -> bool {
        self.0.as_ref().is_some_and(|both| both.1.is_whole())
    }

    /// What of a job stays on this side of the box; `sha256` is the payload's, where it is known.
    ///
    /// # Errors
    /// A stream of the caller's cannot be used.
    pub fn equip(&mut self, request: Request, seen: &Seen, sha256: Option<String>) -> Result<()> {
        self.0.as_mut().map_or(Ok(()), |both| both.0.equip(request, seen, sha256))
    }

    /// Gives it its job.
    pub fn start(
        mut self,
        job: &Job<'_>,
        cancel: BorrowedFd<'_>,
    ) -> (Compiled, std::result::Result<Launched, Stopped>) {
        #[allow(clippy::unwrap_used, reason = "only this and drop take it, and each takes the whole")]
        let (mut compiled, waiting) = *self.0.take().unwrap();
        let launched = waiting.start(&mut compiled, job, cancel);
        (compiled, launched)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(both) = self.0.take() {
            let (mut compiled, waiting) = *both;
            waiting.destroy(&mut compiled);
            drop(run::remove(compiled.leaf.take()));
        }
    }
}

/// Makes boxes as long as the pool lives.
pub fn make_as_wanted(shared: &Shared) {
    no_matter(signal::set_mask(u64::MAX), "the caller's handlers are for other threads");
    let network = empty_network();
    let mut shelves = shared.lock();
    loop {
        match shelves.task() {
            Task::Make(kind, seen) => {
                drop(shelves);
                let made = make(&kind, &seen, network);
                shelves = shared.lock();
                let unwanted = shelves.made(&kind, made);
                shared.made.notify_all();
                if unwanted.is_some() {
                    drop(shelves);
                    drop(unwanted);
                    shelves = shared.lock();
                }
            }
            Task::Destroy(boxes) => {
                drop(shelves);
                drop(boxes);
                shelves = shared.lock();
            }
            Task::Rest(most) => shelves = shared.rest(shelves, most),
            Task::End => {
                let rest = shelves.rest();
                drop(shelves);
                drop(rest);
                return;
            }
        }
    }
}

/// An empty network namespace for this thread, and so for what it makes; answers its
/// inode. Root only: of somebody else's, a box would have rights over it.
pub fn empty_network() -> Option<u64> {
    process::unshare(libc::CLONE_NEWNET).ok()?;
    std::fs::metadata("/proc/thread-self/ns/net").ok().map(|meta| meta.ino())
}

/// One box; `None`: it cannot be made, and one that is made for its job will tell why.
pub fn make(kind: &Kind, seen: &Seen, network: Option<u64>) -> Option<Ready> {
    let network = network.filter(|_| kind.shares_network());
    let mut compiled = compile::assemble(kind.request(), seen.ahead(), Some(Ahead { network })).ok()?;
    let never = Canceller::new().ok()?;
    match launch::prepare(&mut compiled, crate::sandbox::Cancel::fd(&never).as_fd()) {
        Ok(waiting) => Some(Ready(Some(Box::new((compiled, waiting))))),
        Err(_) => {
            drop(run::remove(compiled.leaf.take()));
            None
        }
    }
}

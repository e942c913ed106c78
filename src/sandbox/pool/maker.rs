//! The threads that make boxes, and whose children these are: when such a thread
//! ends, so does every box that it has made.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use super::Shared;
use super::kind::Kind;
use super::payloads::Kept;
use super::shelf::{CALM_AFTER, Task};
use crate::error::{Result, no_matter};
use crate::sandbox::compile::{self, Ahead, Compiled, Request, Seen};
use crate::sandbox::launch::{self, Job, Launched, Stopped, Waiting};
use crate::sandbox::run::{self, Canceller};
use crate::sys::{process, signal};

/// A box that waits for its job. Dropped, it is destroyed.
#[derive(Debug)]
pub struct Ready {
    made: Option<Box<(Compiled, Waiting)>>,
    /// The payload that it has already.
    filled: Option<Arc<Kept>>,
}

impl Ready {
    /// Whether nobody has killed it meanwhile.
    pub fn is_whole(&self) -> bool {
        self.made.as_ref().is_some_and(|both| both.1.is_whole())
    }

    /// Whether it has this payload already.
    pub fn has(&self, payload: &Arc<Kept>) -> bool {
        self.filled.as_ref().is_some_and(|filled| Arc::ptr_eq(filled, payload))
    }

    /// Only the words of its job are missing.
    pub fn needs_no_payload(&self) {
        if let Some(both) = &self.made {
            both.1.needs_no_payload();
        }
    }

    /// What keeps the end of its mounts for later.
    pub fn take_mounts(&mut self) -> Option<File> {
        self.made.as_mut().and_then(|both| both.1.take_mounts())
    }

    /// What of a job stays on this side of the box; `sha256` is the payload's, where it is known.
    ///
    /// # Errors
    /// A stream of the caller's cannot be used.
    pub fn equip(&mut self, request: Request, seen: &Seen, sha256: Option<String>) -> Result<()> {
        self.made.as_mut().map_or(Ok(()), |both| both.0.equip(request, seen, sha256))
    }

    /// Gives it its job.
    pub fn start(
        mut self,
        job: &Job<'_>,
        cancel: BorrowedFd<'_>,
    ) -> (Compiled, std::result::Result<Launched, Stopped>) {
        #[allow(clippy::unwrap_used, reason = "only this and drop take it, and each takes the whole")]
        let (mut compiled, waiting) = *self.made.take().unwrap();
        let launched = waiting.start(&mut compiled, job, cancel);
        (compiled, launched)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(both) = self.made.take() {
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
            Task::Make { kind, seen, likely } => {
                drop(shelves);
                let made = make(&kind, &seen, likely, network);
                let unwanted = shared.lock().made(&kind, made);
                shared.made.notify_all();
                drop(unwanted);
                drop(shared.take_later());
                shelves = shared.lock();
            }
            Task::Destroy(boxes) => {
                drop(shelves);
                drop(boxes);
                shelves = shared.lock();
            }
            Task::Rest(most) => {
                let later = shared.take_later();
                let most = if later.is_empty() { most } else { most.or(Some(CALM_AFTER)) };
                shelves = shared.rest(shelves, most);
                if !later.is_empty() {
                    drop(shelves);
                    drop(later);
                    shelves = shared.lock();
                }
            }
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

/// One box, with the payload that is likely to come; `None`: it cannot be made, and one that is made for
/// its job will tell why.
pub fn make(kind: &Kind, seen: &Seen, likely: Option<Arc<Kept>>, network: Option<u64>) -> Option<Ready> {
    let network = network.filter(|_| kind.shares_network());
    let payload = likely.as_ref().map(|kept| kept.as_payload()).transpose().ok()?;
    let mut compiled =
        compile::assemble(kind.request(), seen.ahead(), Some(Ahead { network, payload })).ok()?;
    let never = Canceller::new().ok()?;
    match launch::prepare(&mut compiled, crate::sandbox::Cancel::fd(&never).as_fd()) {
        Ok(waiting) => Some(Ready { made: Some(Box::new((compiled, waiting))), filled: likely }),
        Err(_) => {
            drop(run::remove(compiled.leaf.take()));
            None
        }
    }
}

//! Boxes made ahead by the thread that uses them.
//!
//! A process that makes boxes has its memory copied, a little, for each. With
//! threads that write to that memory meanwhile, on other CPUs, most of the time of
//! a launch goes into telling these CPUs of it. A small process of a single thread
//! that makes a box, runs a job in it and makes the next is spared that.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::kind::Kind;
use super::maker;
use super::payloads::{Kept, Payloads};
use super::shelf::{Answer, Shelves, Task};
use super::{Taken, is_readable, serve};
use crate::error::Result;
use crate::image::Memory;
use crate::sandbox::compile::{Payload, Seen};
use crate::sandbox::run::{Builder, Outcome, Remains};
use crate::sandbox::supervise::Cancel;

/// A pool for a process of one thread: a box is made when there is time for it,
/// between two jobs. The boxes live no longer than the thread.
#[derive(Debug)]
pub struct Solo {
    shelves: RefCell<Shelves>,
    payloads: RefCell<Payloads>,
    closures: Memory,
    network: Option<u64>,
    /// What is left of boxes that have ended, until there is time.
    later: RefCell<Vec<Remains>>,
    /// Its boxes are children of this thread.
    stays: PhantomData<*mut ()>,
}

impl Solo {
    /// A pool that keeps one box ready of each kind in use. As root, this thread is in an empty
    /// network namespace from now on, which it shares with those of its boxes that can make no socket:
    /// it must not be the process's first thread, by whose namespaces boxes are attested.
    #[must_use]
    pub fn new() -> Self {
        let (shelves, network) = (RefCell::new(Shelves::new(1)), maker::empty_network());
        let (payloads, closures) = Default::default();
        Self { shelves, payloads, closures, network, later: RefCell::default(), stays: PhantomData }
    }

    /// Runs a job to its end; `cancel` can end it.
    ///
    /// # Errors
    /// As [`Builder::run`].
    pub fn run_with(&self, job: Builder, cancel: &dyn Cancel) -> Result<Outcome> {
        let kept = |payload: &Payload| self.payloads.borrow_mut().kept(payload);
        let served =
            serve(job, cancel, || {}, &self.closures, kept, |kind, seen, kept| self.take(kind, seen, kept));
        self.shelves.borrow_mut().done();
        let (outcome, remains, _) = served?;
        self.later.borrow_mut().push(remains);
        Ok(outcome)
    }

    /// Makes boxes for jobs like the last ones, until there are enough or `until` is readable.
    pub fn make_ahead(&self, until: BorrowedFd<'_>) {
        self.later.borrow_mut().clear();
        loop {
            if is_readable(until) {
                return;
            }
            let task = self.shelves.borrow_mut().task();
            match task {
                Task::Make { kind, seen, likely } => {
                    let made = maker::make(&kind, &seen, likely, self.network);
                    let unwanted = self.shelves.borrow_mut().made(&kind, made);
                    drop(unwanted);
                }
                Task::Destroy(boxes) => drop(boxes),
                Task::Rest(_) | Task::End => return,
            }
        }
    }

    fn take(&self, kind: Kind, seen: &Seen, payload: Option<&Arc<Kept>>) -> Taken<'static> {
        let mut shelves = self.shelves.borrow_mut();
        let at = shelves.find_or_add(kind, seen);
        let kind = shelves.ask(at, payload);
        loop {
            match shelves.take(&kind, false) {
                Answer::Box(ready) if ready.is_whole() => return Taken::Ready(ready, None),
                // Killed from outside while it waited.
                Answer::Box(ready) => {
                    drop(ready);
                    shelves.done();
                    shelves.ask_again(&kind);
                }
                Answer::Wait => break,
                Answer::Refused => return Taken::Nothing,
            }
        }
        drop(shelves.take(&kind, true));
        match maker::make(&kind, seen, payload.cloned(), self.network) {
            Some(ready) => Taken::Ready(ready, None),
            None => Taken::Nothing,
        }
    }
}

impl Default for Solo {
    fn default() -> Self {
        Self::new()
    }
}

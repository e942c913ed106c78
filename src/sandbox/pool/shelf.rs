//! Which boxes are there, which are wanted, and which of them next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kind::Kind;
use super::maker::Ready;
use super::payloads::Kept;
use crate::sandbox::compile::Seen;

/// A kind that was not asked for during so many jobs is forgotten, with its boxes.
const FORGET_AFTER: u64 = 64;

/// Jobs for which a kind whose box could not be made is left to itself.
const REFUSED_FOR: u64 = 16;

/// As long as there is a stock, a job has the machine for itself at first: most end within that time.
const CALM: Duration = Duration::from_millis(5);

/// And for a moment after its end: its report is on its way.
pub const CALM_AFTER: Duration = Duration::from_micros(500);

/// Boxes of one kind.
#[derive(Debug)]
struct Shelf {
    kind: Arc<Kind>,
    seen: Arc<Seen>,
    ready: VecDeque<Ready>,
    making: usize,
    /// Takers that wait.
    waiting: usize,
    /// Times it was asked for: a kind that comes once needs no stock.
    asked: usize,
    /// When it was last asked for, counted in jobs.
    last: u64,
    /// No box is tried before that job.
    refused_until: u64,
    /// The payload of the last job, where it was known, and whether it was that of the job before, too:
    /// then it is likely to come again.
    last_payload: Option<Arc<Kept>>,
    comes_again: bool,
}

/// All kinds.
#[derive(Debug)]
pub struct Shelves {
    shelves: Vec<Shelf>,
    jobs: u64,
    /// Jobs in boxes of this pool, and until when the last one that began or ended has the machine.
    running: usize,
    calm_until: Option<Instant>,
    most: usize,
    ended: bool,
}

/// What is there for a taker.
pub enum Answer {
    /// A box, now the taker's.
    Box(Ready),
    /// It is being made.
    Wait,
    /// None can be had.
    Refused,
}

/// How far a shelf is.
pub enum State {
    /// As many boxes as it is to have.
    Full(usize),
    /// Some are being made.
    Filling,
    /// None can be made.
    Refused,
}

/// What a maker is to do next.
pub enum Task {
    /// Make a box of this kind.
    Make {
        /// Which.
        kind: Arc<Kind>,
        /// What was found for it.
        seen: Arc<Seen>,
        /// The payload that is likely to come.
        likely: Option<Arc<Kept>>,
    },
    /// Destroy these.
    Destroy(Vec<Ready>),
    /// Wait, for so long at most.
    Rest(Option<Duration>),
    /// It is over.
    End,
}

impl Shelf {
    /// How many boxes are to be there, being made, or waited for.
    fn wanted(&self, share: usize) -> usize {
        self.waiting + self.asked.saturating_sub(1).min(share)
    }

    /// Whether there is too little to wait for a better moment: less than half, or somebody waits.
    fn is_low(&self, share: usize) -> bool {
        2 * self.ready.len() < share.max(2) || self.waiting > 0
    }

    fn lacks(&self, share: usize) -> bool {
        self.ready.len() + self.making < self.wanted(share)
    }
}

impl Shelves {
    pub const fn new(most: usize) -> Self {
        Self { shelves: Vec::new(), jobs: 0, running: 0, calm_until: None, most, ended: false }
    }

    pub fn find_or_add(&mut self, kind: Kind, seen: &Seen) -> usize {
        if let Some(at) = self.shelves.iter().position(|shelf| *shelf.kind == kind) {
            return at;
        }
        self.shelves.push(Shelf {
            kind: Arc::new(kind),
            seen: Arc::new(seen.ahead()),
            ready: VecDeque::new(),
            making: 0,
            waiting: 0,
            asked: 0,
            last: self.jobs,
            refused_until: 0,
            last_payload: None,
            comes_again: false,
        });
        self.shelves.len() - 1
    }

    /// Somebody wants a box from that shelf for this payload, where it is known, and waits until
    /// [`Shelves::take`] answers.
    pub fn ask(&mut self, at: usize, payload: Option<&Arc<Kept>>) -> Arc<Kind> {
        self.jobs += 1;
        let shelf = &mut self.shelves[at];
        let same = |last: &Arc<Kept>| payload.is_some_and(|payload| Arc::ptr_eq(last, payload));
        shelf.comes_again = shelf.last_payload.as_ref().is_some_and(same);
        shelf.last_payload = payload.cloned();
        (shelf.last, shelf.asked, shelf.waiting) = (self.jobs, shelf.asked + 1, shelf.waiting + 1);
        Arc::clone(&shelf.kind)
    }

    /// The box that was taken is of no use.
    pub fn ask_again(&mut self, kind: &Arc<Kind>) {
        if let Some(shelf) = self.shelf(kind) {
            shelf.waiting += 1;
        }
    }

    /// A full shelf is wanted.
    pub fn promise(&mut self, at: usize) -> Arc<Kind> {
        let (jobs, most) = (self.jobs, self.most);
        let shelf = &mut self.shelves[at];
        (shelf.last, shelf.asked) = (jobs, shelf.asked.max(most + 1));
        Arc::clone(&shelf.kind)
    }

    fn shelf(&mut self, kind: &Arc<Kind>) -> Option<&mut Shelf> {
        self.shelves.iter_mut().find(|shelf| Arc::ptr_eq(&shelf.kind, kind))
    }

    /// For somebody who has asked, and who no longer waits unless the answer says so.
    pub fn take(&mut self, kind: &Arc<Kind>, gives_up: bool) -> Answer {
        let (ended, jobs) = (self.ended, self.jobs);
        let Some(shelf) = self.shelf(kind) else { return Answer::Refused };
        if !gives_up {
            if let Some(ready) = shelf.ready.pop_front() {
                shelf.waiting -= 1;
                self.running += 1;
                self.calm_until = Instant::now().checked_add(CALM);
                return Answer::Box(ready);
            }
            if !ended && shelf.refused_until <= jobs {
                return Answer::Wait;
            }
        }
        shelf.waiting -= 1;
        Answer::Refused
    }

    /// Whether the next boxes of this kind do not wait for a better moment.
    pub fn is_low(&mut self, kind: &Arc<Kind>) -> bool {
        let share = self.share();
        self.shelf(kind).is_some_and(|shelf| shelf.is_low(share))
    }

    /// A job is over.
    pub fn done(&mut self) {
        self.running = self.running.saturating_sub(1);
        if self.running == 0 {
            self.calm_until = Instant::now().checked_add(CALM_AFTER);
        }
    }

    pub fn state_of(&mut self, kind: &Arc<Kind>) -> State {
        let (share, jobs) = (self.share(), self.jobs);
        match self.shelf(kind) {
            Some(shelf) if shelf.refused_until > jobs => State::Refused,
            Some(shelf) if shelf.ready.len() >= share => State::Full(shelf.ready.len()),
            Some(_) => State::Filling,
            None => State::Refused,
        }
    }

    /// Boxes ahead for each kind.
    fn share(&self) -> usize {
        self.most.div_ceil(self.shelves.len().max(1)).max(1)
    }

    /// What a maker is to do: those who wait come first, then the kind that was asked for last.
    pub fn task(&mut self) -> Task {
        if self.ended {
            return Task::End;
        }
        let jobs = self.jobs;
        let stale = |s: &Shelf| s.waiting == 0 && s.making == 0 && s.last + FORGET_AFTER < jobs;
        if self.shelves.iter().any(stale) {
            let gone = self.shelves.extract_if(.., |shelf| stale(shelf));
            return Task::Destroy(gone.flat_map(|shelf| shelf.ready).collect());
        }
        let share = self.share();
        if let Some(shelf) = self.shelves.iter_mut().find(|s| s.ready.len() > s.wanted(share).max(share)) {
            return Task::Destroy(shelf.ready.pop_front().into_iter().collect());
        }
        let open = self.shelves.iter_mut().filter(|s| s.refused_until <= jobs && s.lacks(share));
        let calm = self.calm_until.and_then(|until| until.checked_duration_since(Instant::now()));
        match open.max_by_key(|s| (s.waiting > s.ready.len() + s.making, s.last)) {
            Some(shelf) if calm.is_some() && !shelf.is_low(share) => Task::Rest(calm),
            Some(shelf) => {
                shelf.making += 1;
                let (kind, seen) = (Arc::clone(&shelf.kind), Arc::clone(&shelf.seen));
                Task::Make { kind, seen, likely: shelf.last_payload.clone().filter(|_| shelf.comes_again) }
            }
            None => Task::Rest(None),
        }
    }

    /// A box was made, or could not be. Answers it where nobody can want it any more.
    pub fn made(&mut self, kind: &Arc<Kind>, ready: Option<Ready>) -> Option<Ready> {
        let (ended, jobs) = (self.ended, self.jobs);
        let Some(shelf) = self.shelf(kind) else { return ready };
        shelf.making -= 1;
        match ready {
            Some(ready) if ended => return Some(ready),
            Some(ready) => shelf.ready.push_back(ready),
            None => shelf.refused_until = jobs + REFUSED_FOR,
        }
        None
    }

    /// No box is made any more.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The boxes that nobody will take.
    pub fn rest(&mut self) -> Vec<Ready> {
        self.shelves.iter_mut().flat_map(|shelf| shelf.ready.drain(..)).collect()
    }
}

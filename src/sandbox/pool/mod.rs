//! Boxes that are made before there is a job for them.
//!
//! A box of a pool is the box of any other run: its own user, mount, pid, ipc,
//! uts and cgroup namespaces, its own root, cgroup and pid 1, attested before the
//! payload runs, used once and destroyed. Only the order differs: it waits, with
//! everything in force, for the payload's content and words (see
//! [`super::late`]), and another one is made in its place meanwhile.
//!
//! Boxes are of one kind when everything but the job is the same: policy and
//! limits, image, root, missing layers, cgroup. The image is looked at for each
//! job, as in any run. What cannot be made ahead (files of the host that are
//! shown, a root copied for the run, explanations, more words than a message
//! holds) gets a box of its own.
//!
//! A network namespace of its own costs more than all the rest together. Where a
//! policy lets no socket be made at all, boxes of one maker share an empty one
//! that none of them has any right over; that takes root. Otherwise each has its
//! own.

mod kind;
mod maker;
mod payloads;
mod shelf;
mod solo;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};

use self::kind::Kind;
use self::maker::Ready;
use self::payloads::{Kept, Payloads};
use self::shelf::Shelves;
pub use self::solo::Solo;
use super::compile::{self, Payload, Request, Seen};
use super::launch::{self, Job, Stopped};
use super::run::{Begin, Builder, Canceller, Outcome, Remains, Running};
use super::supervise::Cancel;
use super::urgency::Behind;
use crate::error::{Error, Kind as ErrorKind, Result, io_text, no_matter};
use crate::image::Memory;
use crate::sys::words;

/// How often a caller that waits for a box looks whether it is still to wait.
const LOOK: Duration = Duration::from_millis(20);

/// Boxes that a taker finds dead before it has one made for its own job.
const MOST_BROKEN: usize = 3;

/// Boxes made ahead for jobs of any kind. See the module's documentation in
/// `docs/batch.md` for what makes two jobs of one kind.
///
/// ```
/// use stockade::policy::load_builtin;
/// use stockade::report::verdict::Verdict;
/// use stockade::sandbox::{Input, Output, Pool, Sandbox};
/// use stockade::Layer;
///
/// # fn main() -> Result<(), stockade::Error> {
/// let pool = Pool::new(2)?;
/// let policy = load_builtin("native")?;
/// for word in ["pear", "apple"] {
///     let job = Sandbox::builder(policy.clone(), "/usr/bin/cat")
///         .stdin(Input::Bytes(word.into()))
///         .stdout(Output::Capture)
///         .degrade(Layer::Cgroup);
///     let outcome = pool.run(job)?;
///     assert_eq!(outcome.report.verdict, Verdict::Ok);
///     assert_eq!(outcome.stdout, word.as_bytes());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    makers: Vec<JoinHandle<()>>,
}

/// What takers and makers share.
#[derive(Debug)]
struct Shared {
    shelves: Mutex<Shelves>,
    payloads: Mutex<Payloads>,
    closures: Memory,
    /// For makers: somebody wants a box, or it is over.
    wanted: Condvar,
    /// For takers: a box was made, or cannot be.
    made: Condvar,
    /// What is left of boxes that have ended: makers see to it.
    later: Mutex<Vec<Remains>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is dropped when there is time for it.
    fn take_later(&self) -> Vec<Remains> {
        std::mem::take(&mut *self.later.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A maker has nothing to do, for so long at most.
    fn rest<'a>(&self, shelves: MutexGuard<'a, Shelves>, most: Option<Duration>) -> MutexGuard<'a, Shelves> {
        let _behind = Behind::of_others();
        match most {
            None => self.wanted.wait(shelves).unwrap_or_else(PoisonError::into_inner),
            Some(most) => self.wanted.wait_timeout(shelves, most).unwrap_or_else(PoisonError::into_inner).0,
        }
    }

    /// A taker waits for a box, but not without looking up.
    fn wait<'a>(&self, shelves: MutexGuard<'a, Shelves>) -> MutexGuard<'a, Shelves> {
        self.made.wait_timeout(shelves, LOOK).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What a taker gets.
enum Taken<'a> {
    /// A box that was made ahead.
    Ready(Ready, Option<Turn<'a>>),
    /// None can be had: one of its own will tell why, or do better.
    Nothing,
    /// The caller wants an end.
    Cancelled,
}

/// A job in a box of the pool, until it is over.
struct Turn<'a> {
    shared: &'a Shared,
    stock_is_low: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.shared.lock().done();
        self.shared.wanted.notify_all();
    }
}

impl Pool {
    /// A pool that keeps up to `ready` boxes, shared among the kinds of jobs that
    /// come. Nothing is made before the first job, or [`Pool::warm_up`].
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(ready: usize) -> Result<Self> {
        let shared = Arc::new(Shared {
            shelves: Mutex::new(Shelves::new(ready)),
            payloads: Mutex::default(),
            closures: Memory::default(),
            wanted: Condvar::new(),
            made: Condvar::new(),
            later: Mutex::default(),
        });
        let cpus = usize::try_from(super::clock::usable_cpus()).unwrap_or(1);
        let mut pool = Self { shared, makers: Vec::new() };
        for _ in 0..cpus.min(ready.max(1)) {
            let shared = Arc::clone(&pool.shared);
            let maker = std::thread::Builder::new()
                .name("stockade-maker".to_owned())
                .spawn(move || maker::make_as_wanted(&shared))
                .map_err(|e| Error::new(ErrorKind::Host, format!("no thread: {}", io_text(&e))))?;
            pool.makers.push(maker);
        }
        Ok(pool)
    }

    /// Runs a job to its end on this thread, in a box that was made ahead where
    /// there can be one.
    ///
    /// # Errors
    /// As [`Builder::run`].
    pub fn run(&self, job: Builder) -> Result<Outcome> {
        let cancel = Canceller::new().map_err(|e| Error::new(ErrorKind::Host, io_text(&e)))?;
        self.run_with(job, &cancel, || {})
    }

    /// The same; `cancel` can end it, `started` is called when the payload runs.
    ///
    /// # Errors
    /// As [`Builder::run`].
    pub fn run_with(&self, job: Builder, cancel: &dyn Cancel, started: impl FnOnce()) -> Result<Outcome> {
        let kept = |payload: &Payload| {
            self.shared.payloads.lock().unwrap_or_else(PoisonError::into_inner).kept(payload)
        };
        let take = |kind, seen: &_, payload: Option<&_>| self.take(kind, seen, payload, cancel);
        let (outcome, remains, turn) = serve(job, cancel, started, &self.shared.closures, kept, take)?;
        self.shared.later.lock().unwrap_or_else(PoisonError::into_inner).push(remains);
        drop(turn);
        Ok(outcome)
    }

    /// Starts a job, supervised by a thread of its own; comes back when the payload
    /// runs, or when it cannot.
    ///
    /// # Errors
    /// As [`Builder::run`].
    pub fn spawn(self: &Arc<Self>, job: Builder) -> Result<Running> {
        let pool = Arc::clone(self);
        Running::start(move |cancel, tell| pool.run_with(job, cancel, tell))
    }

    /// Makes boxes for jobs like this one, and comes back when they wait. Answers how many do.
    ///
    /// # Errors
    /// Such a job would be refused, or cannot be prepared for.
    pub fn warm_up(&self, like: &Builder) -> Result<usize> {
        let request = like.request();
        let cannot = |why: &str| Error::new(ErrorKind::Host, format!("no box can be made ahead: {why}"));
        let unknown = || cannot("what it shows or keeps is not known before the job");
        if !Kind::is_known_before(request) {
            return Err(unknown());
        }
        let seen = compile::look(request, Some(&self.shared.closures))?;
        let kind = Kind::of(request, &seen).ok_or_else(unknown)?;
        let mut shelves = self.shared.lock();
        let at = shelves.find_or_add(kind, &seen);
        let kind = shelves.promise(at);
        self.shared.wanted.notify_all();
        loop {
            match shelves.state_of(&kind) {
                shelf::State::Full(count) => return Ok(count),
                shelf::State::Refused => return Err(cannot("a box of its own will tell the reason")),
                shelf::State::Filling => shelves = self.shared.wait(shelves),
            }
        }
    }

    /// A box for a job of this kind; waits while one is being made.
    fn take(&self, kind: Kind, seen: &Seen, payload: Option<&Arc<Kept>>, cancel: &dyn Cancel) -> Taken<'_> {
        let mut shelves = self.shared.lock();
        let at = shelves.find_or_add(kind, seen);
        let kind = shelves.ask(at, payload);
        let mut told_to_end = false;
        let mut broken = 0;
        loop {
            match shelves.take(&kind, told_to_end) {
                shelf::Answer::Box(ready) => {
                    let turn = Turn { shared: &self.shared, stock_is_low: shelves.is_low(&kind) };
                    drop(shelves);
                    if ready.is_whole() {
                        return Taken::Ready(ready, Some(turn));
                    }
                    // Killed from outside while it waited.
                    drop((ready, turn));
                    broken += 1;
                    if broken == MOST_BROKEN {
                        return Taken::Nothing;
                    }
                    shelves = self.shared.lock();
                    shelves.ask_again(&kind);
                    self.shared.wanted.notify_all();
                }
                shelf::Answer::Refused if told_to_end => return Taken::Cancelled,
                shelf::Answer::Refused => return Taken::Nothing,
                shelf::Answer::Wait => {
                    self.shared.wanted.notify_one();
                    shelves = self.shared.wait(shelves);
                    told_to_end = is_readable(cancel.fd());
                }
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().end();
        self.shared.wanted.notify_all();
        for maker in self.makers.drain(..) {
            no_matter(maker.join(), "its boxes die with it");
        }
    }
}

/// What came of a job, what is left of its box, and whose turn is over.
type Served<'a> = (Outcome, Remains, Option<Turn<'a>>);

/// Runs a job in the box that `take` finds for its kind, or in one of its own.
fn serve<'a>(
    job: Builder,
    cancel: &dyn Cancel,
    started: impl FnOnce(),
    closures: &Memory,
    kept: impl FnOnce(&Payload) -> Option<Arc<Kept>>,
    take: impl FnOnce(Kind, &Seen, Option<&Arc<Kept>>) -> Taken<'a>,
) -> Result<Served<'a>> {
    let begin = Begin::now()?;
    let request = job.into_request();
    let seen = compile::look(&request, Some(closures))?;
    let Some((kind, words)) = Kind::of(&request, &seen).zip(words_of(&request)?) else {
        return alone(begin, request, seen, cancel, started);
    };
    let kept = seen.payload().and_then(kept);
    match take(kind, &seen, kept.as_ref()) {
        Taken::Ready(mut ready, turn) => {
            let has_it = kept.as_ref().is_some_and(|kept| ready.has(kept));
            let payload = seen.payload().filter(|_| !has_it).map(|own| {
                let file = kept.as_ref().map_or(&own.file, |kept| &kept.file);
                (file.as_fd(), own.size)
            });
            if payload.is_none() {
                ready.needs_no_payload();
            }
            ready.equip(request, &seen, kept.as_ref().map(|kept| kept.sha256.clone()))?;
            let job = Job { words: &words, payload };
            let mounts = ready.take_mounts();
            let (compiled, launched) = ready.start(&job, cancel.fd());
            // Not before: while this job is on its way, nobody else needs the machine.
            if let Some(turn) = turn.as_ref().filter(|turn| turn.stock_is_low) {
                turn.shared.wanted.notify_all();
            }
            // The job's files stay open no longer than in any other run.
            drop(seen);
            let (outcome, mut remains) = begin.finish(compiled, launched, cancel, started);
            remains.mounts = mounts;
            Ok((outcome, remains, turn))
        }
        Taken::Nothing => alone(begin, request, seen, cancel, started),
        Taken::Cancelled => {
            let compiled = compile::assemble(request, seen, None)?;
            let (outcome, remains) = begin.finish(compiled, Err(Stopped::Cancelled), cancel, started);
            Ok((outcome, remains, None))
        }
    }
}

/// In a box of its own.
fn alone(
    begin: Begin,
    request: Request,
    seen: Seen,
    cancel: &dyn Cancel,
    started: impl FnOnce(),
) -> Result<Served<'static>> {
    let mut compiled = compile::assemble(request, seen, None)?;
    let launched = launch::launch(&mut compiled, cancel.fd());
    let (outcome, remains) = begin.finish(compiled, launched, cancel, started);
    Ok((outcome, remains, None))
}

/// The job's message; `None`: there are too many words for one.
fn words_of(request: &Request) -> Result<Option<Vec<u8>>> {
    let argv = compile::arguments(&request.policy, request.program.as_deref(), &request.args)?;
    let envp = compile::environment(&request.policy, &request.env)?;
    Ok(words::message(&argv, &envp))
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    nix::poll::poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

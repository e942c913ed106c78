//! A launch in two parts: a box that is made and looked at, and waits; and the
//! job that it is given.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::{Facts, Launched, Process, Stopped, TOO_EARLY, Underway, own_failure};
use crate::sandbox::cgroup::Counters;
use crate::sandbox::compile::{Compiled, LaterEnds};
use crate::sandbox::frame::Frame;
use crate::sandbox::late;
use crate::sandbox::order::{Step, own_step};
use crate::sys::fd;

/// A box in which everything is in force, and which waits for its job.
#[derive(Debug)]
pub struct Waiting {
    middle: Process,
    init: Process,
    payload: Process,
    listener: Option<OwnedFd>,
    facts: Facts,
    /// Nothing of the box uses anything from then on, until it has its job.
    baseline: Counters,
    tmpfs: Vec<fs::File>,
    payload_copy: Option<fs::File>,
    /// As long as this is open, the end of its last process does not wait for the end of its mounts,
    /// which takes as long as the kernel needs to know that nobody looks at them any more.
    mounts: Option<fs::File>,
}

/// What such a box is told.
#[derive(Debug)]
pub struct Job<'a> {
    /// As [`crate::sys::words::message`] makes it.
    pub words: &'a [u8],
    /// The payload and its bytes, where the box has not got it yet.
    pub payload: Option<(BorrowedFd<'a>, u64)>,
}

/// Makes a box whose job comes later.
///
/// # Errors
/// Nothing of the box is left then but its cgroup.
pub fn prepare(compiled: &mut Compiled, cancel: BorrowedFd<'_>) -> Result<Waiting, Stopped> {
    let mut underway = Underway::begin(compiled, cancel)?;
    let made = underway.follow().and_then(|()| Ok((underway.see_pid_one_done()?, underway.baseline()?)));
    match made {
        Ok((mounts, baseline)) => underway.waits(mounts, baseline),
        Err(stopped) => Err(underway.give_up(stopped)),
    }
}

impl Waiting {
    /// Whether all three processes still wait: whoever has ended was killed from outside.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let read = PollFlags::POLLIN;
        let all = [&self.middle, &self.init, &self.payload];
        let mut fds = all.map(|process| PollFd::new(process.pidfd.as_fd(), read));
        nix::poll::poll(&mut fds, PollTimeout::ZERO) == Ok(0)
    }

    /// What holds its mounts beyond its end. To be closed when there is time.
    pub fn take_mounts(&mut self) -> Option<fs::File> {
        self.mounts.take()
    }

    /// It has all that its job brings but the words: M has nothing left to do, and nobody is still making
    /// the box when the payload runs, as what has been killed executes nothing any more. Its end takes
    /// a while, which is not waited for: the sooner this is known, the better.
    pub fn needs_no_payload(&self) {
        self.middle.kill();
    }

    /// Gives it its job, and lets the payload go.
    ///
    /// # Errors
    /// Nothing of the box is left then but its cgroup.
    pub fn start(
        self,
        compiled: &mut Compiled,
        job: &Job<'_>,
        cancel: BorrowedFd<'_>,
    ) -> Result<Launched, Stopped> {
        let baseline = self.baseline;
        let mut underway = self.underway(compiled, cancel);
        match underway.place_payload(job).and_then(|()| underway.go(Some(job.words))) {
            Ok(started_ns) => underway.launched(baseline, started_ns),
            Err(stopped) => Err(underway.give_up(stopped)),
        }
    }

    /// Kills and reaps it: nothing is left then but its cgroup.
    pub fn destroy(self, compiled: &mut Compiled) {
        // Nobody is asked whether it is to go.
        let nobody = io::stdin();
        self.underway(compiled, nobody.as_fd()).tear_down();
    }

    fn underway<'a>(self, compiled: &'a mut Compiled, cancel: BorrowedFd<'a>) -> Underway<'a> {
        Underway {
            told: true,
            init: Some(self.init),
            payload: Some(self.payload),
            listener: self.listener,
            facts: self.facts,
            tmpfs: self.tmpfs,
            payload_copy: self.payload_copy,
            ..Underway::new(compiled, cancel, self.middle)
        }
    }
}

impl Underway<'_> {
    /// Pid 1 gives up the last it has, and what its end is to leave alone is held. Everything is looked
    /// at by then: what the box's processes share can no longer be looked into.
    fn see_pid_one_done(&mut self) -> Result<Option<fs::File>, Stopped> {
        let init = self.init.as_ref().map_or(0, |init| init.pid);
        let mounts = fs::File::open(format!("/proc/{init}/ns/mnt")).ok();
        self.acknowledge()?;
        self.expect(Frame::InitDone)?;
        Ok(mounts)
    }

    /// The job's payload, where the box has not got it: M writes it. Either way M is no longer needed.
    fn place_payload(&mut self, job: &Job<'_>) -> Result<(), Stopped> {
        if let Some((file, size)) = job.payload {
            let to = self.later_ends()?.payload.as_raw_fd();
            own_step(Step::HandJob, 0, || {
                Ok(fd::send_with_fds(to, &late::message(size), [file.as_raw_fd()], [0; 3])?)
            })
            .map_err(|e| own_failure(Step::HandJob, "", &e))?;
            self.is_placing = true;
            self.expect(Frame::Placed)?;
            self.is_placing = false;
        }
        self.middle.kill();
        Ok(())
    }

    /// Lets P go.
    pub(super) fn hand_words(&self, words: &[u8]) -> Result<(), Stopped> {
        let to = self.later_ends()?.gate.as_raw_fd();
        own_step(Step::HandWords, 0, || Ok(fd::write(to, words)?))
            .map(drop)
            .map_err(|e| own_failure(Step::HandWords, "", &e))
    }

    fn later_ends(&self) -> Result<&LaterEnds, Stopped> {
        self.compiled.job.as_ref().ok_or_else(|| Stopped::Failed("the box waits for no job".to_owned()))
    }

    /// Waits for this frame and no other.
    fn expect(&mut self, expected: Frame) -> Result<(), Stopped> {
        match self.next_frame()?.0 {
            frame if frame == expected => Ok(()),
            Frame::Failed { step, index, errno } => Err(self.failed(step, index, errno)),
            _ => Err(Stopped::Failed(TOO_EARLY.to_owned())),
        }
    }

    /// Everything is in force but what the job brings.
    fn waits(mut self, mounts: Option<fs::File>, baseline: Counters) -> Result<Waiting, Stopped> {
        let (Some(init), Some(payload)) = (self.init.take(), self.payload.take()) else {
            return Err(Stopped::Failed("a record from the set-up is missing".to_owned()));
        };
        let Self { middle, listener, facts, tmpfs, payload_copy, .. } = self;
        Ok(Waiting { middle, init, payload, listener, facts, baseline, tmpfs, payload_copy, mounts })
    }
}

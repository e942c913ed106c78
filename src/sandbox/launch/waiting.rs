//! A launch in two parts: a box that is made and looked at, and waits; and the
//! job that it is given.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::{Facts, Launched, Process, Stopped, Underway, describe};
use crate::sandbox::compile::Compiled;
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
    /// The payload, where there is one.
    pub payload: Option<BorrowedFd<'a>>,
}

/// Makes a box whose job comes later.
///
/// # Errors
/// Nothing of the box is left then but its cgroup.
pub fn prepare(compiled: &mut Compiled, cancel: BorrowedFd<'_>) -> Result<Waiting, Stopped> {
    let mut underway = Underway::begin(compiled, cancel)?;
    match underway.follow() {
        Ok(()) => underway.waits(),
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
        let mut underway = self.underway(compiled, cancel);
        let start = |underway: &mut Underway<'_>| {
            underway.hand(job)?;
            // Beside M: the payload's process does nothing meanwhile.
            let baseline = underway.baseline()?;
            underway.see_middle_off()?;
            Ok((baseline, underway.go()?))
        };
        match start(&mut underway) {
            Ok((baseline, started_ns)) => underway.launched(baseline, started_ns),
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
    /// The job's payload and words, to M.
    fn hand(&self, job: &Job<'_>) -> Result<(), Stopped> {
        let Some(to) = self.compiled.job.as_ref().map(|job| job.as_raw_fd()) else {
            return Err(Stopped::Failed("the box waits for no job".to_owned()));
        };
        let handed = own_step(Step::HandJob, 0, || {
            Ok(match job.payload {
                Some(file) => fd::send_with_fds(to, job.words, [file.as_raw_fd()], [0; 3]),
                None => fd::send_with_fds(to, job.words, [], [0; 3]),
            }?)
        });
        handed.map_err(|e| Stopped::Failed(describe(Step::HandJob, "", e.raw_os_error().unwrap_or(0))))
    }

    /// Everything is in force but what the job brings.
    fn waits(mut self) -> Result<Waiting, Stopped> {
        let (Some(init), Some(payload)) = (self.init.take(), self.payload.take()) else {
            return Err(Stopped::Failed("a record from the set-up is missing".to_owned()));
        };
        let Self { middle, listener, facts, tmpfs, payload_copy, .. } = self;
        let mounts = fs::File::open(format!("/proc/{}/ns/mnt", init.pid)).ok();
        Ok(Waiting { middle, init, payload, listener, facts, tmpfs, payload_copy, mounts })
    }
}

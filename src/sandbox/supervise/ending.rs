//! After the payload's end: the rest of the box goes, the counters are read, and
//! what is still in the pipes is handed on.

use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use nix::sys::time::TimeSpec;

use super::{HANGS, PATIENCE_NS, Supervisor};
use crate::error::{errno_text, io_text, no_matter};
use crate::report::evidence::{Evidence, StreamEvidence};
use crate::sandbox::meter::Meter;
use crate::sandbox::strays::{self, Mark};
use crate::sandbox::streams::Drain;
use crate::sandbox::{traces, urgency};
use crate::sys::{Errno, process, time};

/// How long pid 1 may linger before its strays are looked for.
const LINGER: Duration = Duration::from_millis(200);

/// How long what was killed in the cgroup may take before it is looked at again.
const BETWEEN_KILLS: Duration = Duration::from_millis(1);

/// How long a caller that wants an end still waits for those who read its streams.
const LAST_BYTES: Duration = Duration::from_millis(200);

/// How long a pump that has been told to stop may take to say what it has handed on.
const LAST_COUNT: Duration = Duration::from_millis(100);

impl Supervisor<'_> {
    /// Pid 1 dies and takes everything along; then it is waited for. Answers whether that is still to be
    /// done: where nobody else is left, everything has been counted, and it ends beside what comes next.
    pub(super) fn take_down(&mut self) -> bool {
        self.meter.look();
        self.kill_all();
        urgency::hurry_threads([self.launched.init.pid]);
        let nobody_left = match &self.meter {
            Meter::Cgroup { leaf, .. } => self.ended.is_some() && leaf.is_empty(),
            Meter::Watch(_) => false,
        };
        if !nobody_left {
            let deadline = time::monotonic_ns() + PATIENCE_NS;
            self.see_off(deadline);
            self.empty_leaf(deadline);
        }
        if self.ended.is_none() {
            self.ended_ns = self.since_start();
        }
        self.evidence.wall_ns = self.ended_ns;
        self.evidence.ended = self.ended.map(|(ended, _)| ended);
        self.evidence.payload = self.ended.map(|(_, usage)| usage).unwrap_or_default();
        nobody_left
    }

    /// Waits for the end of pid 1.
    pub(super) fn see_off(&mut self, deadline: u64) {
        let mark = Mark::PidNamespace(self.launched.facts.place.namespaces[2]);
        let known = [self.launched.init.pid, self.launched.payload.pid];
        loop {
            let mut fds = [PollFd::new(self.launched.init.pidfd.as_fd(), PollFlags::POLLIN)];
            match nix::poll::ppoll(&mut fds, Some(TimeSpec::from_duration(LINGER)), None) {
                Ok(n) if n > 0 => {
                    if let Err(e) = process::wait(self.launched.init.pidfd.as_fd(), true) {
                        self.fail(format!("waiting for pid 1 of the box: {}", errno_text(e as i32)));
                    }
                    break;
                }
                _ => {
                    // The payload itself, when its end was never waited for, holds pid 1 back as well.
                    if self.has_ended() {
                        strays::reap(mark, &known);
                    }
                }
            }
            if time::monotonic_ns() > deadline {
                self.fail(HANGS.to_owned());
                break;
            }
        }
    }

    /// Nothing is in the cgroup any more: pid 1 has taken it along. Should it ever not have been
    /// everything's pid 1, this ends the rest.
    fn empty_leaf(&self, deadline: u64) {
        let Meter::Cgroup { leaf, .. } = &self.meter else { return };
        while matches!(leaf.kill_the_rest(), Ok(false)) && time::monotonic_ns() < deadline {
            std::thread::sleep(BETWEEN_KILLS);
        }
    }

    /// Who has made a box ahead was killed before the payload ran: by now its end takes no time.
    pub(super) fn reap_middle(&mut self) {
        if let Some(middle) = self.launched.middle.take() {
            no_matter(process::wait(middle.pidfd.as_fd(), true), "somebody has reaped it already");
        }
    }

    /// Final counters.
    pub(super) fn collect(&mut self) {
        if let Some((_, usage)) = &self.ended {
            self.meter.payload_ended(usage);
        }
        match self.meter.counters() {
            Ok(c) => {
                let e = &mut self.evidence;
                (e.cpu_ns, e.user_ns, e.system_ns) = (c.cpu_ns, c.user_ns, c.system_ns);
                e.cpu_counts_all = self.meter.watch_every().is_none();
                e.memory_peak = Some(c.memory_peak);
                e.processes_peak = c.processes_peak;
                (e.oom_kills, e.forks_refused) = (c.oom_kills, c.forks_refused);
            }
            Err(e) => self.fail(format!("cannot read the box's counters: {}", io_text(&e))),
        }
        for file in &self.launched.tmpfs {
            let room = traces::room_left(file);
            self.evidence.tmp_full |= room.no_bytes;
            self.evidence.tmp_inodes_full |= room.no_inodes;
            self.evidence.file_at_limit |= traces::has_file_of(file, self.limits.file_size);
        }
        self.launched.tmpfs.clear();
    }

    /// The box is dead, so both streams end; what is still in the pipes is handed on however slow the
    /// caller's side is, unless the caller wants an end.
    pub(super) fn drain(&mut self) {
        if !self.told_to_end && !self.drain_until_told() {
            self.told_to_end = true;
            self.end_signal = self.cancel.signal();
        }
        if self.told_to_end {
            self.drain_for(LAST_BYTES);
        }
        if self.streams.drained() {
            return;
        }
        if self.told_to_end && self.evidence.cancelled_at_ns.is_none() {
            self.cancelled_at(self.since_start());
        }
        self.streams.abandon();
        self.drain_for(LAST_COUNT);
    }

    /// Hands on to the end; `false`: the caller wants one before.
    fn drain_until_told(&mut self) -> bool {
        while !self.streams.drained() {
            if self.drain_once(None) {
                return false;
            }
        }
        true
    }

    fn drain_for(&mut self, time: Duration) {
        let until = time::monotonic_ns() + super::ns(time);
        while !self.streams.drained() {
            let left = until.saturating_sub(time::monotonic_ns());
            if left == 0 {
                return;
            }
            self.drain_once(Some(Duration::from_nanos(left)));
        }
    }

    /// One wait; answers whether the caller wants an end.
    fn drain_once(&mut self, timeout: Option<Duration>) -> bool {
        let read = PollFlags::POLLIN;
        let mut fds = vec![PollFd::new(self.streams.wake_fd(), read)];
        let streams = [self.streams.stdout.interest(), self.streams.stderr.interest()];
        fds.extend(streams.into_iter().flatten().map(|(fd, flags)| PollFd::new(fd, flags)));
        if !self.told_to_end {
            fds.push(PollFd::new(self.cancel.fd(), read));
        }
        match nix::poll::ppoll(&mut fds, timeout.map(TimeSpec::from_duration), None) {
            Err(Errno::EINTR) => return false,
            Err(e) => {
                self.fail(format!("poll: {}", errno_text(e as i32)));
                return true;
            }
            Ok(_) => {}
        }
        if !self.told_to_end && fds.last().is_some_and(|fd| fd.any() == Some(true)) {
            return true;
        }
        self.streams.clear_wake();
        for ready in [self.streams.stdout.ready(), self.streams.stderr.ready()] {
            if let Err(e) = ready {
                self.fail(format!("cannot hand on the payload's output: {}", io_text(&e)));
                return true;
            }
        }
        false
    }

    pub(super) fn stream_evidence(&mut self) {
        let of = |s: &Drain| StreamEvidence { bytes: s.bytes(), truncated: s.truncated() };
        let evidence: &mut Evidence = &mut self.evidence;
        evidence.stdout = of(&self.streams.stdout);
        evidence.stderr = of(&self.streams.stderr);
        // The last bytes may have gone nowhere after the payload's end.
        if let Some(words) = self.streams.failure() {
            evidence.failure.get_or_insert(words);
        }
    }
}

//! The supervisor while a box runs: one loop that waits for the payload's end,
//! for refused calls, for the limits, for the streams and for the caller.
//!
//! A kill is recorded when it is decided. Nothing here ever waits for the caller's
//! side of a stream before the box is dead.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use nix::sys::time::TimeSpec;

use super::clock::{self, CpuClock, Look};
use super::frame::{FRAME_BYTES, Frame};
use super::launch::Launched;
use super::meter::{self, Meter};
use super::order::Step;
use super::strays::{self, Mark};
use super::streams::Streams;
use crate::error::{errno_text, io_text, no_matter};
use crate::policy::model::{Limits, OnOutput, OnViolation, Syscalls};
use crate::report::evidence::{Evidence, Kill, Rule, StreamEvidence, Violation};
use crate::sys::process::{Ended, Usage};
use crate::sys::{Errno, fd, process, seccomp, time};

/// Different refused calls that are kept; more are only counted against the limit.
const VIOLATIONS_KEPT: usize = 64;

/// How often memory is looked at where nothing else limits it.
const WATCH_EVERY: Duration = Duration::from_millis(10);

/// How long the kernel may take to choose whom to kill for memory, and how often to look.
const CHOOSING_NS: u64 = 200_000_000;
const CHOOSING_LOOK_NS: u64 = 1_000_000;

/// How long a box may take to go after its pid 1 was killed.
const TEARDOWN_PATIENCE_NS: u64 = 10_000_000_000;

/// How long pid 1 may linger before its strays are looked for.
const LINGER: Duration = Duration::from_millis(200);

/// Why the caller wants an end: what the descriptor that told so says.
pub trait Cancel: Sync {
    /// Readable when the caller wants an end.
    fn fd(&self) -> BorrowedFd<'_>;
    /// The signal that stands for it, if one does; takes note of it.
    fn signal(&self) -> Option<i32>;
}

/// What the loop needs.
pub struct Supervisor<'a> {
    pub launched: Launched,
    pub meter: Meter,
    pub streams: &'a mut Streams,
    pub limits: &'a Limits,
    pub syscalls: &'a Syscalls,
    pub cancel: &'a dyn Cancel,
    pub evidence: Evidence,
    seen: HashMap<(u32, [u64; 6]), usize>,
    violations: u64,
    exec_done: bool,
    /// Memory has run out, and until this moment the kernel may still be choosing whom to kill.
    choosing_until: Option<u64>,
    ended: Option<(Ended, Usage)>,
}

/// Which descriptor woke the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Payload,
    Init,
    Control,
    Listener,
    Memory,
    Cancel,
    Stdin,
    Stdout,
    Stderr,
    Pumps,
}

/// What the loop knows of the next moment it must look at something.
struct Next {
    cpu_at: u64,
    cpu_exact: bool,
    watch_at: u64,
}

impl<'a> Supervisor<'a> {
    pub fn new(
        launched: Launched,
        meter: Meter,
        streams: &'a mut Streams,
        limits: &'a Limits,
        syscalls: &'a Syscalls,
        cancel: &'a dyn Cancel,
    ) -> Self {
        Self {
            launched,
            meter,
            streams,
            limits,
            syscalls,
            cancel,
            evidence: Evidence { limits: Some(limits.clone()), ..Evidence::none() },
            seen: HashMap::new(),
            violations: 0,
            exec_done: false,
            choosing_until: None,
            ended: None,
        }
    }

    fn since_start(&self) -> u64 {
        time::monotonic_ns().saturating_sub(self.launched.started_ns)
    }

    /// Runs the box to its end. Answers the evidence, complete but for the cleanup, and the meter, whose
    /// cgroup is empty and can be removed.
    pub fn run(mut self) -> (Evidence, Meter, u64) {
        no_matter(time::exact_timers(), "kills are late by 50 µs then");
        if let Err(e) = self.watch_until_end() {
            self.fail(format!("the supervisor cannot watch the box: {}", io_text(&e)));
        }
        let end_ns = time::monotonic_ns();
        self.last_news();
        self.evidence.wall_ns = end_ns.saturating_sub(self.launched.started_ns);
        self.take_down();
        self.collect();
        let gone_ns = time::monotonic_ns();
        self.streams.stop_input();
        self.drain();
        self.stream_evidence();
        (self.evidence, self.meter, gone_ns.saturating_sub(end_ns))
    }

    fn fail(&mut self, words: String) {
        if self.evidence.failure.is_none() {
            self.evidence.failure = Some(words);
        }
        self.kill(Rule::Failure);
    }

    /// Decides a kill, and kills. Only the first decision counts.
    fn kill(&mut self, rule: Rule) {
        if self.evidence.kill.is_none() && self.ended.is_none() {
            self.evidence.kill = Some(Kill { rule, at_ns: self.since_start() });
        }
        self.kill_all();
    }

    /// Pid 1 takes every process of the box with it.
    fn kill_all(&mut self) {
        self.launched.init.kill();
        if let Meter::Cgroup { leaf, .. } = &self.meter {
            no_matter(leaf.kill(), "the end of pid 1 does it all the same");
        }
        self.launched.payload.kill();
    }

    /// Waits for whatever comes first, until the payload has ended.
    fn watch_until_end(&mut self) -> io::Result<()> {
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let clock = CpuClock::new(self.limits.cpu_ns, cpus.min(u64::from(self.limits.processes)));
        let mut next = Next { cpu_at: 0, cpu_exact: false, watch_at: 0 };
        self.look_at_cpu(&clock, &mut next, 0)?;
        while self.ended.is_none() {
            let now = self.since_start();
            if now >= self.limits.wall_ns && self.evidence.kill.is_none() {
                self.kill(Rule::WallTime);
            }
            if now >= next.cpu_at && self.evidence.kill.is_none() {
                self.look_at_cpu(&clock, &mut next, now)?;
            }
            if self.meter.watches_memory() && now >= next.watch_at {
                next.watch_at = now + u64::try_from(WATCH_EVERY.as_nanos()).unwrap_or(u64::MAX);
                if self.meter.watch() > self.limits.memory && self.evidence.kill.is_none() {
                    self.kill(Rule::Memory);
                }
            }
            if self.choosing_until.is_some() {
                self.look_at_memory(now);
            }
            for source in self.wait(self.timeout(&next))? {
                self.handle(source)?;
            }
        }
        Ok(())
    }

    fn timeout(&self, next: &Next) -> Option<Duration> {
        if self.evidence.kill.is_some() {
            // Nothing is left to decide; the payload's end is on its way.
            return None;
        }
        let watch = if self.meter.watches_memory() { next.watch_at } else { u64::MAX };
        let choosing = self.choosing_until.map_or(u64::MAX, |_| self.since_start() + CHOOSING_LOOK_NS);
        let at = next.cpu_at.min(self.limits.wall_ns).min(watch).min(choosing);
        Some(Duration::from_nanos(at.saturating_sub(self.since_start())))
    }

    fn look_at_cpu(&mut self, clock: &CpuClock, next: &mut Next, now: u64) -> io::Result<()> {
        let mut exact = next.cpu_exact;
        loop {
            if exact {
                clock::visit_cpus_of(&self.meter.processes());
            }
            match clock.after(self.meter.cpu_ns()?, exact) {
                Look::Over => self.kill(Rule::CpuTime),
                Look::Again { after, exact: true } if after.is_zero() => {
                    exact = true;
                    continue;
                }
                Look::Again { after, exact } => {
                    next.cpu_at = now.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
                    next.cpu_exact = exact;
                }
            }
            return Ok(());
        }
    }

    /// Polls everything that may have something to say.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Source>> {
        let read = PollFlags::POLLIN;
        let launched = &self.launched;
        let mut sources = Vec::with_capacity(10);
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(10);
        let mut push = |source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::new(fd, flags));
        };
        push(Source::Payload, launched.payload.pidfd.as_fd(), read);
        push(Source::Init, launched.init.pidfd.as_fd(), read);
        push(Source::Cancel, self.cancel.fd(), read);
        push(Source::Pumps, self.streams.wake_fd(), read);
        if !self.exec_done {
            push(Source::Control, launched.control.as_fd(), read);
        }
        if let Some(listener) = &launched.listener {
            push(Source::Listener, listener.as_fd(), read);
        }
        if let Meter::Cgroup { leaf, .. } = &self.meter
            && let Some((fd, flags)) = leaf.memory_event()
        {
            push(Source::Memory, fd, flags);
        }
        let streams = [
            (Source::Stdin, self.streams.stdin.interest()),
            (Source::Stdout, self.streams.stdout.interest()),
            (Source::Stderr, self.streams.stderr.interest()),
        ];
        for (source, interest) in streams {
            if let Some((fd, flags)) = interest {
                push(source, fd, flags);
            }
        }
        match nix::poll::ppoll(&mut fds, timeout.map(TimeSpec::from_duration), None) {
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
            Ok(_) => {}
        }
        Ok(sources.into_iter().zip(&fds).filter(|(_, fd)| fd.any() == Some(true)).map(|(s, _)| s).collect())
    }

    fn handle(&mut self, source: Source) -> io::Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        match source {
            Source::Payload => match process::wait(self.launched.payload.pidfd.as_fd(), false) {
                Ok(ended) => self.ended = Some(ended),
                Err(Errno::EAGAIN) => {}
                Err(e) => return Err(e.into()),
            },
            // Pid 1 never ends by itself; the payload's end follows from it at once.
            Source::Init if self.evidence.kill.is_none() && self.memory_ran_out() => self.kill(Rule::Memory),
            Source::Init if self.evidence.kill.is_none() => self.fail("pid 1 of the box died".to_owned()),
            Source::Init => self.wait_for_payload()?,
            Source::Control => self.exec_news(),
            Source::Listener => self.refused_call()?,
            Source::Memory => self.memory_event(),
            Source::Cancel => {
                self.evidence.cancelled_by = self.cancel.signal();
                self.kill(Rule::Cancelled);
                self.wait_for_payload()?;
            }
            Source::Stdin => self.streams.stdin.ready()?,
            Source::Stdout => self.output_ready(true)?,
            Source::Stderr => self.output_ready(false)?,
            Source::Pumps => {
                self.streams.clear_wake();
                self.check_output();
            }
        }
        Ok(())
    }

    /// After a kill: its end is certain.
    fn wait_for_payload(&mut self) -> io::Result<()> {
        self.ended = Some(process::wait(self.launched.payload.pidfd.as_fd(), true)?);
        Ok(())
    }

    fn memory_ran_out(&self) -> bool {
        self.meter.counters().is_ok_and(|c| c.oom_kills > 0)
    }

    /// Memory has run out. The kernel tells so before it has chosen whom to kill.
    fn memory_event(&mut self) {
        if let Meter::Cgroup { leaf, .. } = &self.meter {
            leaf.clear_memory_event();
        }
        let now = self.since_start();
        self.choosing_until = Some(now + CHOOSING_NS);
        self.look_at_memory(now);
    }

    /// The box as a whole is over when one of its processes was killed for memory.
    fn look_at_memory(&mut self, now: u64) {
        if self.memory_ran_out() {
            self.choosing_until = None;
            self.kill(Rule::Memory);
        } else if self.choosing_until.is_some_and(|until| now > until) {
            self.choosing_until = None;
        }
    }

    /// The payload has ended, perhaps without its exec: what was said before is still there to read.
    fn last_news(&mut self) {
        while !self.exec_done {
            let mut fds = [PollFd::new(self.launched.control.as_fd(), PollFlags::POLLIN)];
            match nix::poll::ppoll(&mut fds, Some(TimeSpec::from_duration(Duration::ZERO)), None) {
                Ok(n) if n > 0 => self.exec_news(),
                _ => return,
            }
        }
    }

    /// The control socket says that the exec failed, or, by its end, that it has happened.
    fn exec_news(&mut self) {
        let mut bytes = [0u8; FRAME_BYTES];
        match fd::read(self.launched.control.as_raw_fd(), &mut bytes) {
            Ok(0) | Err(_) => self.exec_done = true,
            Ok(n) => {
                if let Some(Frame::Failed { step, errno, .. }) = Frame::decode(&bytes[..n]) {
                    let line = step.line();
                    let words = format!("{}: {}: {}", line.name, line.call, errno_text(errno));
                    let help = super::verify::help(step, errno).map(|h| format!("\n  help: {h}"));
                    if matches!(step, Step::Exec | Step::WaitGate | Step::InitGate | Step::InitDumpable) {
                        self.evidence.setup_failed = Some(words + &help.unwrap_or_default());
                        self.kill_all();
                    }
                }
            }
        }
    }

    /// A call that the policy refuses: recorded, answered, and perhaps the end.
    fn refused_call(&mut self) -> io::Result<()> {
        let Some(listener) = &self.launched.listener else { return Ok(()) };
        let call = match seccomp::receive(listener.as_fd()) {
            Ok(call) => call,
            // The caller died meanwhile.
            Err(Errno::ENOENT | Errno::EINTR) => return Ok(()),
            // Nobody is left who could make a call.
            Err(_) => {
                self.launched.listener = None;
                return Ok(());
            }
        };
        self.violations += 1;
        let number = call.nr.unsigned_abs();
        let kept = self.evidence.violations.len();
        match self.seen.get(&(number, call.args)) {
            Some(at) => self.evidence.violations[*at].count += 1,
            None if kept < VIOLATIONS_KEPT => {
                self.seen.insert((number, call.args), kept);
                self.evidence.violations.push(Violation { number, args: call.args, count: 1 });
            }
            None => {}
        }
        let too_many = self.violations > u64::from(self.syscalls.max_violations);
        if self.syscalls.on_violation == OnViolation::Kill || too_many {
            self.kill(Rule::Violation);
            return Ok(());
        }
        match seccomp::refuse(listener.as_fd(), call.id, Errno::EPERM) {
            // The caller died meanwhile.
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn output_ready(&mut self, stdout: bool) -> io::Result<()> {
        let stream = if stdout { &mut self.streams.stdout } else { &mut self.streams.stderr };
        stream.ready()?;
        self.check_output();
        Ok(())
    }

    fn check_output(&mut self) {
        let over = self.streams.stdout.truncated() || self.streams.stderr.truncated();
        if over && self.limits.on_output == OnOutput::Kill && self.evidence.kill.is_none() {
            self.kill(Rule::Output);
        }
        let error = self.streams.stdout.error().map(|e| ("standard output", e));
        if let Some((which, errno)) = error.or(self.streams.stderr.error().map(|e| ("standard error", e))) {
            self.fail(format!("cannot write the payload's {which}: {}", errno_text(errno)));
        }
    }

    /// Pid 1 dies and takes everything along; then it is waited for.
    fn take_down(&mut self) {
        self.meter.watch();
        self.evidence.ended = self.ended.map(|(ended, _)| ended);
        self.evidence.payload = self.ended.map(|(_, usage)| usage).unwrap_or_default();
        self.kill_all();
        let deadline = time::monotonic_ns() + TEARDOWN_PATIENCE_NS;
        let mark = Mark::PidNamespace(self.launched.facts.place.namespaces[2]);
        let known = [self.launched.init.pid, self.launched.payload.pid];
        loop {
            let mut fds = [PollFd::new(self.launched.init.pidfd.as_fd(), PollFlags::POLLIN)];
            let polled = nix::poll::ppoll(&mut fds, Some(TimeSpec::from_duration(LINGER)), None);
            match polled {
                Ok(n) if n > 0 => {
                    if let Err(e) = process::wait(self.launched.init.pidfd.as_fd(), true) {
                        self.fail(format!("waiting for pid 1 of the box: {}", errno_text(e as i32)));
                    }
                    return;
                }
                _ => {
                    // The payload itself, when its end was never waited for, holds pid 1 back as well.
                    if self.ended.is_none()
                        && let Ok(ended) = process::wait(self.launched.payload.pidfd.as_fd(), false)
                    {
                        self.ended = Some(ended);
                        self.evidence.ended = Some(ended.0);
                    }
                    strays::reap(mark, &known);
                }
            }
            if time::monotonic_ns() > deadline {
                self.fail("the box does not end: a process of it hangs in the kernel".to_owned());
                return;
            }
        }
    }

    /// Final counters.
    fn collect(&mut self) {
        match self.meter.counters() {
            Ok(c) => {
                let e = &mut self.evidence;
                (e.cpu_ns, e.user_ns, e.system_ns) = (c.cpu_ns, c.user_ns, c.system_ns);
                e.cpu_counts_all = !self.meter.watches_memory();
                e.memory_peak = Some(c.memory_peak);
                e.processes_peak = c.processes_peak;
                (e.oom_kills, e.forks_refused) = (c.oom_kills, c.forks_refused);
            }
            Err(e) => self.fail(format!("cannot read the box's counters: {}", io_text(&e))),
        }
        for file in &self.launched.tmpfs {
            let (bytes, inodes) = meter::exhausted(file);
            self.evidence.tmp_full |= bytes;
            self.evidence.tmp_inodes_full |= inodes;
        }
        self.launched.tmpfs.clear();
    }

    /// The box is dead, so both streams end; what is still in the pipes is handed on however slow the
    /// caller's side is, unless the caller wants an end.
    fn drain(&mut self) {
        while !self.streams.drained() {
            let read = PollFlags::POLLIN;
            let mut fds =
                vec![PollFd::new(self.cancel.fd(), read), PollFd::new(self.streams.wake_fd(), read)];
            let stdout = self.streams.stdout.interest();
            let stderr = self.streams.stderr.interest();
            fds.extend([stdout, stderr].into_iter().flatten().map(|(fd, flags)| PollFd::new(fd, flags)));
            match nix::poll::ppoll(&mut fds, None, None) {
                Err(Errno::EINTR) => continue,
                Err(_) => return,
                Ok(_) => {}
            }
            if fds[0].any() == Some(true) {
                self.evidence.cancelled_by = self.cancel.signal();
                self.evidence
                    .kill
                    .get_or_insert(Kill { rule: Rule::Cancelled, at_ns: self.evidence.wall_ns });
                return;
            }
            self.streams.clear_wake();
            for stdout in [true, false] {
                let stream = if stdout { &mut self.streams.stdout } else { &mut self.streams.stderr };
                if stream.interest().is_some() && stream.ready().is_err() {
                    return;
                }
            }
        }
    }

    fn stream_evidence(&mut self) {
        let of = |s: &super::streams::Drain| StreamEvidence { bytes: s.bytes(), truncated: s.truncated() };
        self.evidence.stdout = of(&self.streams.stdout);
        self.evidence.stderr = of(&self.streams.stderr);
        // The last bytes may have gone nowhere after the payload's end.
        let errors = [("standard output", &self.streams.stdout), ("standard error", &self.streams.stderr)];
        for (which, stream) in errors {
            if let Some(errno) = stream.error() {
                let words = format!("cannot write the payload's {which}: {}", errno_text(errno));
                self.evidence.failure.get_or_insert(words);
            }
        }
    }
}

//! The supervisor while a box runs: one loop that waits for the payload's end,
//! for refused calls, for the limits, for the streams and for the caller.
//!
//! A kill is recorded when it is decided, and only of a payload that has not
//! ended by itself. Nothing here ever waits for the caller's side of a stream
//! before the box is dead.

mod ending;
mod refused;
mod sources;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use nix::sys::time::TimeSpec;

use self::sources::Source;
use super::clock::{self, CpuClock, Look};
use super::explain::Explainer;
use super::frame::{FRAME_BYTES, Frame};
use super::launch::Launched;
use super::meter::Meter;
use super::streams::Streams;
use super::traces;
use super::urgency::{self, Ahead};
use crate::error::{errno_text, io_text, no_matter, with_help};
use crate::policy::model::{Limits, OnOutput, Syscalls};
use crate::report::evidence::{Evidence, Kill, Rule};
use crate::sys::process::{Ended, Usage};
use crate::sys::{Errno, fd, process, time};

/// How long the kernel may take to choose whom to kill for memory, and how often to look.
const CHOOSING_NS: u64 = 200_000_000;
const CHOOSING_LOOK_NS: u64 = 1_000_000;

/// How long a killed payload, and then its box, may take to go.
const PATIENCE_NS: u64 = 10_000_000_000;

/// What is said of one that takes longer.
const HANGS: &str = "the box does not end: a process of it hangs in the kernel";

/// Why the caller wants an end: what the descriptor that told so says.
pub trait Cancel: Sync {
    /// Readable when the caller wants an end.
    fn fd(&self) -> BorrowedFd<'_>;
    /// The signal that stands for it, if one does; takes note of it.
    fn signal(&self) -> Option<i32>;
}

/// What the loop needs.
pub struct Supervisor<'a> {
    launched: Launched,
    control: BorrowedFd<'a>,
    meter: Meter,
    streams: &'a mut Streams,
    limits: &'a Limits,
    syscalls: &'a Syscalls,
    cancel: &'a dyn Cancel,
    evidence: Evidence,
    explainer: Option<Explainer>,
    seen: HashMap<(u32, [u64; 6]), usize>,
    violations: u64,
    /// Whether the control socket has come to its end.
    news_are_over: bool,
    /// The caller has said that it wants an end, perhaps with a signal.
    told_to_end: bool,
    end_signal: Option<i32>,
    /// When everything of the box was killed for the first time.
    killed_ns: Option<u64>,
    /// Memory has run out, and until this moment the kernel may still be choosing whom to kill.
    choosing_until: Option<u64>,
    ended: Option<(Ended, Usage)>,
    ended_ns: u64,
    ahead: Option<Ahead>,
}

/// What a box that has ended came to.
pub struct Supervised {
    /// The whole evidence.
    pub evidence: Evidence,
    /// What has counted, and is of no more use.
    pub meter: Meter,
    /// The processes that it was, none of which is alive.
    pub launched: Launched,
    /// Directories of its cgroup that could not be removed.
    pub left: Vec<String>,
    /// How long it took to go after its payload.
    pub teardown_ns: u64,
    /// Who took notes.
    pub explainer: Option<Explainer>,
}

/// What the loop knows of the next moment it must look at something.
struct Next {
    cpu_at: u64,
    cpu_exact: bool,
    watch_at: u64,
}

impl Next {
    /// What has just begun has used nothing, which is as exact as it gets: the first look comes when it
    /// could have. Many a program is over before.
    fn after_the_start(clock: &CpuClock, meter: &Meter) -> Self {
        let (cpu_at, cpu_exact) = match clock.after(0, true) {
            Look::Again { after, exact } => (ns(after), exact),
            Look::Over => (0, true),
        };
        Self { cpu_at, cpu_exact, watch_at: meter.watch_every().map_or(0, ns) }
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl<'a> Supervisor<'a> {
    pub fn new(
        (launched, control): (Launched, BorrowedFd<'a>),
        meter: Meter,
        streams: &'a mut Streams,
        limits: &'a Limits,
        syscalls: &'a Syscalls,
        cancel: &'a dyn Cancel,
    ) -> Self {
        Self {
            launched,
            control,
            meter,
            streams,
            limits,
            syscalls,
            cancel,
            evidence: Evidence { limits: Some(limits.clone()), ..Evidence::none() },
            explainer: None,
            seen: HashMap::new(),
            violations: 0,
            news_are_over: false,
            told_to_end: false,
            end_signal: None,
            killed_ns: None,
            choosing_until: None,
            ended: None,
            ended_ns: 0,
            ahead: None,
        }
    }

    /// Takes note of what the policy stands in the way of.
    pub fn explaining(mut self, explainer: Option<Explainer>) -> Self {
        self.explainer = explainer;
        self
    }

    fn since_start(&self) -> u64 {
        time::monotonic_ns().saturating_sub(self.launched.started_ns)
    }

    /// Runs the box to its end.
    pub fn run(mut self) -> Supervised {
        no_matter(time::exact_timers(), "kills are late by 50 µs then");
        self.ahead = Some(Ahead::of_others());
        if let Err(e) = self.watch_until_end() {
            self.fail(format!("the supervisor cannot watch the box: {}", io_text(&e)));
        }
        self.last_news();
        let pid_one_goes = self.take_down();
        self.collect();
        self.reap_middle();
        let left = self.meter.remove();
        if pid_one_goes {
            self.see_off(time::monotonic_ns() + PATIENCE_NS);
        }
        let teardown_ns = self.since_start().saturating_sub(self.ended_ns);
        self.ahead = None;
        self.streams.stop_input();
        self.drain();
        self.stream_evidence();
        let Self { evidence, meter, launched, explainer, .. } = self;
        Supervised { evidence, meter, launched, left, teardown_ns, explainer }
    }

    fn fail(&mut self, words: String) {
        if self.evidence.failure.is_none() {
            self.evidence.failure = Some(words);
        }
        self.kill(Rule::Failure);
    }

    /// Decides a kill, and kills. Only the first decision counts, and only while there is something to kill.
    fn kill(&mut self, rule: Rule) {
        if self.evidence.kill.is_none() && !self.has_ended() {
            self.evidence.kill = Some(Kill { rule, at_ns: self.since_start() });
            self.evidence.descriptors_used_up =
                traces::use_up_descriptors(&self.meter.processes(), u64::from(self.limits.open_files));
        }
        self.kill_all();
    }

    /// Pid 1 takes every process of the box with it.
    fn kill_all(&mut self) {
        self.killed_ns.get_or_insert_with(time::monotonic_ns);
        self.launched.init.kill();
        if let Meter::Cgroup { leaf, .. } = &self.meter {
            no_matter(leaf.kill(), "the end of pid 1 does it all the same");
        }
        if self.ended.is_none() {
            self.launched.payload.kill();
            urgency::hurry(self.launched.payload.pid);
        }
    }

    /// Whether the payload has ended; takes note of how and when it did.
    fn has_ended(&mut self) -> bool {
        if self.ended.is_none() && process::has_ended(self.launched.payload.pidfd.as_fd()) == Ok(true) {
            self.ended_ns = self.since_start();
            // Reaping may have to wait, busily, for what the last thread of it has not finished yet:
            // on this CPU, where it comes only after whoever goes ahead.
            self.ahead = None;
            // What is left of the box can end meanwhile, where the kernel has counted what it used.
            self.last_news();
            if matches!(self.meter, Meter::Cgroup { .. }) {
                self.launched.init.kill();
            }
            self.ended = process::wait(self.launched.payload.pidfd.as_fd(), false).ok();
        }
        self.ended.is_some()
    }

    /// Waits for whatever comes first, until the payload has ended.
    fn watch_until_end(&mut self) -> io::Result<()> {
        let cpus = clock::usable_cpus();
        let clock = CpuClock::new(self.limits.cpu_ns, cpus.min(u64::from(self.limits.processes)));
        let mut next = Next::after_the_start(&clock, &self.meter);
        while self.ended.is_none() {
            match self.killed_ns {
                None => self.look_at_limits(&clock, &mut next)?,
                Some(since) if time::monotonic_ns() - since > PATIENCE_NS => {
                    self.fail(HANGS.to_owned());
                    return Ok(());
                }
                Some(_) => {}
            }
            for (source, events) in self.wait(self.timeout(&next))? {
                if self.ended.is_none() {
                    self.handle(source, events)?;
                }
            }
        }
        Ok(())
    }

    /// Kills for every limit that has been reached.
    fn look_at_limits(&mut self, clock: &CpuClock, next: &mut Next) -> io::Result<()> {
        let now = self.since_start();
        if now >= self.limits.wall_ns {
            self.kill(Rule::WallTime);
            return Ok(());
        }
        if self.choosing_until.is_some() {
            self.look_at_memory(now);
        }
        if let Some(every) = self.meter.watch_every()
            && now >= next.watch_at
        {
            next.watch_at = now + ns(every);
            if self.meter.over_memory(self.limits.memory) {
                self.kill(Rule::Memory);
                return Ok(());
            }
        }
        if now >= next.cpu_at { self.look_at_cpu(clock, next, now) } else { Ok(()) }
    }

    fn look_at_cpu(&mut self, clock: &CpuClock, next: &mut Next, now: u64) -> io::Result<()> {
        let mut exact = next.cpu_exact;
        loop {
            if exact {
                clock::account_for(&self.meter.processes());
            }
            match clock.after(self.meter.cpu_ns()?, exact) {
                Look::Over => self.kill(Rule::CpuTime),
                Look::Again { after, exact: true } if after.is_zero() => {
                    exact = true;
                    continue;
                }
                Look::Again { after, exact } => {
                    next.cpu_at = now.saturating_add(ns(after));
                    next.cpu_exact = exact;
                }
            }
            return Ok(());
        }
    }

    /// How long nothing needs to be looked at.
    fn timeout(&self, next: &Next) -> Duration {
        if let Some(since) = self.killed_ns {
            return Duration::from_nanos((since + PATIENCE_NS).saturating_sub(time::monotonic_ns()) + 1);
        }
        let watch = self.meter.watch_every().map_or(u64::MAX, |_| next.watch_at);
        let choosing = self.choosing_until.map_or(u64::MAX, |_| self.since_start() + CHOOSING_LOOK_NS);
        let at = next.cpu_at.min(self.limits.wall_ns).min(watch).min(choosing);
        Duration::from_nanos(at.saturating_sub(self.since_start()))
    }

    fn handle(&mut self, source: Source, events: PollFlags) -> io::Result<()> {
        match source {
            Source::Payload => {
                if !self.has_ended() {
                    return Err(io::Error::other("the payload was reaped by somebody else"));
                }
            }
            Source::Init => self.pid_one_ended(),
            Source::Listener => self.refused_call(events)?,
            Source::Memory => self.memory_event(),
            Source::Cancel => self.cancelled(),
            Source::Stdin => self.streams.stdin.ready()?,
            Source::Stdout => {
                self.streams.stdout.ready()?;
                self.check_output();
            }
            Source::Stderr => {
                self.streams.stderr.ready()?;
                self.check_output();
            }
            Source::Pumps => {
                self.streams.clear_wake();
                self.check_output();
            }
        }
        Ok(())
    }

    /// The caller wants an end. A payload that is being killed already keeps its own verdict.
    fn cancelled(&mut self) {
        self.told_to_end = true;
        self.end_signal = self.cancel.signal();
        self.kill(Rule::Cancelled);
        if let Some(Kill { rule: Rule::Cancelled, at_ns }) = self.evidence.kill {
            self.cancelled_at(at_ns);
        }
    }

    /// The caller's wish has changed what came of the run.
    fn cancelled_at(&mut self, at_ns: u64) {
        self.evidence.cancelled_at_ns = Some(at_ns);
        self.evidence.cancelled_by = self.end_signal;
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

    /// Pid 1 never ends by itself, unless the last of its set-up fails; the payload's end follows from its
    /// own at once.
    fn pid_one_ended(&mut self) {
        self.last_news();
        match () {
            () if self.killed_ns.is_some() => {}
            () if self.memory_ran_out() => self.kill(Rule::Memory),
            () => self.fail("pid 1 of the box died".to_owned()),
        }
    }

    /// A process of the box has ended, perhaps before the exec: what it has said of that is still there to
    /// read. Nobody looks before: a process that fails ends, too.
    fn last_news(&mut self) {
        while !self.news_are_over {
            let mut fds = [PollFd::new(self.control, PollFlags::POLLIN)];
            match nix::poll::ppoll(&mut fds, Some(TimeSpec::from_duration(Duration::ZERO)), None) {
                Ok(n) if n > 0 => self.exec_news(),
                _ => return,
            }
        }
    }

    /// The control socket says that the exec failed, or, by its end, that nobody is left to say so.
    fn exec_news(&mut self) {
        let mut bytes = [0u8; FRAME_BYTES];
        match fd::recv_with_fd(self.control.as_raw_fd(), &mut bytes) {
            Err(Errno::EINTR) => {}
            Ok((0, _)) | Err(_) => self.news_are_over = true,
            Ok((n, _)) => {
                if let Some(Frame::Failed { step, errno, .. }) = Frame::decode(&bytes[..n]) {
                    let line = step.line();
                    // What it was about is in the plan, which is the caller's.
                    let call = line.call.replace(" {}", "");
                    let words = format!("{}: {call}: {}", line.name, errno_text(errno));
                    // The first one is the cause of what the others say.
                    let words = with_help(&words, super::verify::help(step, errno).as_deref());
                    self.evidence.setup_failed.get_or_insert(words);
                    self.kill_all();
                }
            }
        }
    }

    fn check_output(&mut self) {
        let over = self.streams.stdout.truncated() || self.streams.stderr.truncated();
        if over && self.limits.on_output == OnOutput::Kill && self.evidence.kill.is_none() {
            self.kill(Rule::Output);
        }
        if let Some(words) = self.streams.failure() {
            self.fail(words);
        }
    }
}

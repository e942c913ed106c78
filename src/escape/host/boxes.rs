//! Boxes in which probes run: made, watched, and what came out of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::super::outcome::Saw;
use super::super::pace;
use super::super::probe::{Job, Order, Target};
use super::Caller;
use crate::error::no_matter;
use crate::policy::model::{OnViolation, Policy};
use crate::policy::{Overrides, model::OnOutput};
use crate::report::Report;
use crate::report::verdict::Verdict;
use crate::sandbox::{Bind, Builder, Input, Out, Outcome, Output, Running, Sandbox, StoreChoice};
use crate::sys;

/// The least CPU time, wall time and memory that a box with a probe gets, if the policy gives it.
const WALL: Duration = Duration::from_secs(15);

/// What is particular about one box.
#[derive(Default)]
pub struct Setup {
    /// Limits that are lower than the policy's.
    pub limits: Overrides,
    /// Directories of the host.
    pub binds: Vec<Bind>,
    /// A directory of the host for what the box makes.
    pub out: Option<std::path::PathBuf>,
    /// Where the probe may write, if not where the policy says.
    pub scratch: Option<String>,
    /// The file that is the payload, if not the probe's own.
    pub program: Option<std::path::PathBuf>,
    /// The store, if not the battery's own.
    pub store: Option<StoreChoice>,
    /// Words for the payload instead of those that make it a probe.
    pub words: Option<Vec<String>>,
}

impl Setup {
    /// With this time from start to end.
    pub fn wall(mut self, wall: Duration) -> Self {
        self.limits.wall_ns = u64::try_from(wall.as_nanos()).ok();
        self
    }

    /// With this processor time.
    pub fn cpu(mut self, cpu: Duration) -> Self {
        self.limits.cpu_ns = u64::try_from(cpu.as_nanos()).ok();
        self
    }

    /// With this memory.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.limits.memory = Some(bytes);
        self
    }

    /// With a directory of the host.
    pub fn bind(mut self, bind: Bind) -> Self {
        self.binds.push(bind);
        self
    }
}

/// What came out of a box.
#[derive(Debug, Default)]
pub struct Ran {
    /// What each probe saw, by its order.
    pub saws: BTreeMap<String, Saw>,
    /// The probe that had begun and not ended, and the steps it had taken.
    pub broken: Option<(String, usize, String)>,
    /// Whether all was done.
    pub complete: bool,
    /// The report, where there was a run at all.
    pub report: Option<Report>,
    /// Why there was none.
    pub refused: Option<String>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Ran {
    /// The verdict's name, `refused` where there was no run.
    pub fn verdict(&self) -> String {
        self.report.as_ref().map_or("refused".to_owned(), |r| r.verdict.name().to_owned())
    }

    /// The reason, in words.
    pub fn reason(&self) -> String {
        match (&self.report, &self.refused) {
            (Some(report), _) => report.reason.clone(),
            (None, Some(why)) => why.clone(),
            (None, None) => String::new(),
        }
    }

    /// Whether there was no box, whatever the stage.
    pub fn was_refused(&self) -> bool {
        self.report.as_ref().is_none_or(|r| r.verdict == Verdict::SetupFailed)
    }

    /// What a probe saw, or why nothing came of it.
    pub fn saw(&self, order: &str) -> Result<Saw, String> {
        self.saws.get(order).cloned().ok_or_else(|| format!("{}: {}", self.verdict(), self.reason()))
    }

    /// Reads what probes said.
    pub fn read(mut self, stdout: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&stdout).into_owned();
        for line in text.lines() {
            let (tag, rest) = line.split_once(' ').unwrap_or((line, ""));
            match tag {
                "B" => self.broken = Some((rest.to_owned(), 0, String::new())),
                "S" => {
                    let mut words = rest.splitn(3, ' ');
                    let step = words.nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
                    let what = words.next().unwrap_or_default().to_owned();
                    if let Some((_, taken, shown)) = &mut self.broken {
                        (*taken, *shown) = (step, what);
                    }
                }
                "R" => {
                    if let Some((id, json)) = rest.split_once(' ')
                        && let Ok(saw) = serde_json::from_str(json)
                    {
                        self.saws.insert(id.to_owned(), saw);
                        self.broken = None;
                    }
                }
                "E" => self.complete = true,
                _ => {}
            }
        }
        self.stdout = stdout;
        self
    }

    /// What came out of a run.
    pub fn of(outcome: crate::error::Result<Outcome>, stdout: Vec<u8>) -> Self {
        match outcome {
            Ok(outcome) => {
                let stdout = if stdout.is_empty() { outcome.stdout } else { stdout };
                Self { report: Some(outcome.report), stderr: outcome.stderr, ..Self::default() }.read(stdout)
            }
            Err(error) => Self { refused: Some(error.to_string()), ..Self::default() },
        }
    }
}

/// A box whose probe has something to wait for.
pub struct Live {
    running: Running,
    stdin: File,
    stdout: File,
    said: Vec<u8>,
}

impl Live {
    /// Waits for the probe to be ready; `false` when it has ended, or takes long.
    pub fn ready(&mut self, most: Duration) -> bool {
        let begin = Instant::now();
        let mut buf = [0u8; 4096];
        while begin.elapsed() < pace::stretched(most) {
            if self.said.windows(8).any(|w| w == b"W ready\n") {
                return true;
            }
            let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&self.stdout), PollFlags::POLLIN)];
            match nix::poll::poll(&mut fds, PollTimeout::from(50u8)) {
                Ok(n) if n > 0 => match self.stdout.read(&mut buf) {
                    Ok(0) | Err(_) => return false,
                    Ok(n) => self.said.extend(&buf[..n]),
                },
                _ => {}
            }
        }
        false
    }

    /// Lets the probe go on, and waits for its end.
    pub fn finish(mut self) -> Ran {
        no_matter(self.stdin.write_all(b"\n"), "it has ended already");
        self.end()
    }

    /// Kills the box, and waits for its end.
    pub fn kill(self) -> Ran {
        self.running.kill();
        self.end()
    }

    fn end(self) -> Ran {
        let Self { running, stdin, mut stdout, mut said } = self;
        drop(stdin);
        let ended = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| read_while(&mut stdout, &mut said, &ended));
            let outcome = running.wait();
            ended.store(true, Ordering::Relaxed);
            outcome
        });
        Ran::of(outcome, said)
    }
}

/// Reads to the end of the stream, or of the box: what outlives it may hold the other end.
fn read_while(stream: &mut File, said: &mut Vec<u8>, ended: &AtomicBool) {
    let mut buf = [0u8; 4096];
    loop {
        let last = ended.load(Ordering::Relaxed);
        let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(stream), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, PollTimeout::from(20u8)) {
            Ok(n) if n > 0 => match stream.read(&mut buf) {
                Ok(0) | Err(_) => return,
                Ok(n) => said.extend(&buf[..n]),
            },
            _ if last => return,
            _ => {}
        }
    }
}

impl Caller {
    /// The policy that is tested, with the probe as its program and within time.
    pub fn policy(&self, limits: &Overrides) -> Result<Policy, String> {
        let own = &self.policy.limits;
        let wall = u64::try_from(WALL.as_nanos()).unwrap_or(u64::MAX);
        let at_most = |asked: Option<u64>, policy: u64| asked.map(|a| a.min(policy));
        let stretched = |asked: Option<u64>| asked.map(pace::stretched_ns);
        let limits = Overrides {
            wall_ns: at_most(stretched(limits.wall_ns.or(Some(wall))), own.wall_ns),
            cpu_ns: at_most(stretched(limits.cpu_ns), own.cpu_ns),
            memory: at_most(limits.memory, own.memory),
            file_size: at_most(limits.file_size, own.file_size),
            output: at_most(limits.output, own.output),
            processes: limits.processes.map(|p| p.min(own.processes)),
            // The probe's lines must not end the box.
            on_output: limits.on_output.or(Some(OnOutput::Cut)),
            ..limits.clone()
        };
        let mut policy = self.policy.with_overrides(&limits).map_err(|e| e.to_string())?;
        // A box that ended at the first violation would leave the rest of a probe untried. The filter is
        // the same; only the supervisor goes on.
        policy.syscalls.on_violation = OnViolation::Refuse;
        policy.syscalls.max_violations = u32::MAX;
        Ok(policy)
    }

    fn builder(&self, policy: Policy, setup: &Setup) -> Builder {
        let program = setup.program.clone().unwrap_or_else(|| self.exe.clone());
        let words = setup.words.clone().unwrap_or_else(|| vec![super::super::probe::ARGUMENT.to_owned()]);
        let store = setup.store.clone().unwrap_or_else(|| StoreChoice::At(self.store()));
        let mut builder = Sandbox::builder(policy, program).args(words).store(store).digest(false);
        for bind in &setup.binds {
            builder = builder.bind(bind.clone());
        }
        if let Some(host) = &setup.out {
            builder = builder.out(Out { host: host.clone(), at: Some(super::outputs::AT.to_owned()) });
        }
        for layer in &self.degrade {
            builder = builder.degrade(*layer);
        }
        if let Some(cgroup) = &self.cgroup {
            builder = builder.cgroup(cgroup);
        }
        builder
    }

    /// What probes in a box of this kind attack.
    pub fn target(&self, policy: &Policy, setup: &Setup) -> Target {
        let mut target = self.inside.clone();
        target.facts.processes = u64::from(policy.limits.processes);
        target.facts.open_files = u64::from(policy.limits.open_files);
        target.facts.memory = policy.limits.memory;
        target.facts.file_size = policy.limits.file_size;
        let writable = policy.paths.iter().filter(|p| p.access.write && p.access.create);
        target.facts.scratch = writable.filter_map(|p| p.from.memory()).next();
        target.facts.mounts.extend(setup.binds.iter().map(|b| b.at.clone()));
        target.writable.extend(setup.binds.iter().filter(|b| b.write).map(|b| b.at.clone()));
        if let Some(scratch) = &setup.scratch {
            target.scratch = Some(scratch.clone());
        }
        target
    }

    fn job(&self, policy: &Policy, orders: &[Order], setup: &Setup) -> Job {
        Job { target: self.target(policy, setup), orders: orders.to_vec() }
    }

    /// Runs probes in one box, to its end.
    pub fn run(&self, orders: &[Order], setup: &Setup) -> Ran {
        let policy = match self.policy(&setup.limits) {
            Ok(policy) => policy,
            Err(refused) => return Ran { refused: Some(refused), ..Ran::default() },
        };
        let job = self.job(&policy, orders, setup).encode();
        self.finish(policy, setup, Input::Bytes(job))
    }

    fn finish(&self, policy: Policy, setup: &Setup, stdin: Input) -> Ran {
        let builder = self.builder(policy, setup).stdin(stdin);
        Ran::of(self.run_box(builder.stdout(Output::Capture).stderr(Output::Capture)), Vec::new())
    }

    /// Runs a box whose standard input, the job, comes from somewhere particular.
    pub fn run_with(&self, setup: &Setup, stdin: Input) -> Ran {
        match self.policy(&setup.limits) {
            Ok(policy) => self.finish(policy, setup, stdin),
            Err(refused) => Ran { refused: Some(refused), ..Ran::default() },
        }
    }

    /// A box with one probe, not started yet.
    pub fn prepare(&self, id: &str, setup: &Setup) -> Result<Builder, String> {
        let policy = self.policy(&setup.limits)?;
        let job = self.job(&policy, &[Order { id: id.to_owned(), skip: 0 }], setup).encode();
        Ok(self.builder(policy, setup).stdin(Input::Bytes(job)))
    }

    /// Runs one probe in a box of its own.
    pub fn run_one(&self, id: &str, setup: &Setup) -> Ran {
        self.run(&[Order { id: id.to_owned(), skip: 0 }], setup)
    }

    /// Starts one probe in a box of its own, and comes back while it runs.
    pub fn start(&self, id: &str, setup: &Setup) -> Result<Live, String> {
        let policy = self.policy(&setup.limits)?;
        let job = self.job(&policy, &[Order { id: id.to_owned(), skip: 0 }], setup).encode();
        let words = |e: sys::Errno| crate::error::errno_text(e as i32);
        let (in_read, in_write) = sys::fd::pipe().map_err(words)?;
        let (out_read, out_write): (OwnedFd, OwnedFd) = sys::fd::pipe().map_err(words)?;
        let builder = self.builder(policy, setup).stdin(Input::File(in_read)).stdout(Output::File(out_write));
        let running = self.spawn_box(builder).map_err(|e| e.to_string())?;
        let mut stdin = File::from(in_write);
        stdin.write_all(&job).map_err(|e| crate::error::io_text(&e))?;
        Ok(Live { running, stdin, stdout: File::from(out_read), said: Vec::new() })
    }
}

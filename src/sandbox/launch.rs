//! The supervisor's side of a launch: makes M, follows the frames, attests, and
//! lets the payload go.

mod gone_wrong;
mod looks;
mod waiting;

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use self::gone_wrong::{LAST_WORDS_MS, died};
use self::looks::unreadable;
pub use self::waiting::{Job, Waiting, prepare};
use super::blockers::{self, Switches};
use super::cgroup::{Counters, LeafLimits};
use super::child;
use super::compile::Compiled;
use super::frame::{Built, FRAME_BYTES, Frame, Ready, Stripped};
use super::host::Host;
use super::namespaces::{HOST_ID_BASE, at_birth};
use super::order::{Step, own_step};
use super::posture::{self, Difference, SeenPlace, SeenSelf};
use super::small;
use super::spread;
use super::strays::{self, Awaited};
use super::urgency;
use super::verify;
use crate::error::{errno_text, io_text, no_matter, with_help};
use crate::sys::{self, Errno, clone, fd, process, time};

/// How long a set-up may take: copying a payload of hundreds of megabytes on an
/// emulated machine is slow, a process that hangs is not worth waiting for.
const PATIENCE_MS: u16 = 60_000;

/// Index of the word to M that its maps are written, behind those of the maps.
const MAPS_WRITTEN: usize = 3;

/// What is said of a frame that nobody waits for.
const TOO_EARLY: &str = "a record from the set-up came too early";

/// How often one process looks for what others have left.
const SWEEP_EVERY_NS: u64 = 1_000_000_000;

/// A process of the box that is the supervisor's own child.
#[derive(Debug)]
pub struct Process {
    /// Its pid as the supervisor sees it.
    pub pid: i32,
    /// A descriptor for it.
    pub pidfd: OwnedFd,
    _awaited: Awaited,
}

impl Process {
    fn open(pid: i32) -> sys::Result<Self> {
        Ok(Self::new(pid, process::pidfd_open(pid)?))
    }

    fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, _awaited: Awaited::new(pid) }
    }

    /// Kills it; that it has ended already is just as well.
    pub fn kill(&self) {
        no_matter(process::signal(self.pidfd.as_fd(), libc::SIGKILL), "it has ended already");
    }
}

/// Why a box did not come to be.
#[derive(Debug)]
pub enum Stopped {
    /// A step failed: words that name it.
    Failed(String),
    /// The caller's wish.
    Cancelled,
}

/// What was learnt on the way.
#[derive(Debug, Default)]
pub struct Facts {
    /// From M.
    pub built: Option<Built>,
    /// From P, before its restrictions.
    pub stripped: Option<Stripped>,
    /// From P, before its exec.
    pub ready: Option<Ready>,
    /// The first look.
    pub place: SeenPlace,
    /// The second look.
    pub selves: SeenSelf,
    /// Host ids of the box.
    pub host_ids: (u32, u32),
    /// CPU time of P right before its exec, where there is no cgroup that counts.
    pub before_ns: u64,
}

/// A box whose payload runs.
#[derive(Debug)]
pub struct Launched {
    /// M, where it has been killed and its end was not waited for.
    pub middle: Option<Process>,
    /// Pid 1.
    pub init: Process,
    /// The payload.
    pub payload: Process,
    /// Where refused calls are told.
    pub listener: Option<OwnedFd>,
    /// What was learnt on the way.
    pub facts: Facts,
    /// Counters right before the exec.
    pub baseline: Counters,
    /// When the payload was let go, monotonic nanoseconds.
    pub started_ns: u64,
    /// Directories of the box in memory, open for the evidence.
    pub tmpfs: Vec<fs::File>,
    /// The private copy of the payload, for its digest.
    pub payload_copy: Option<fs::File>,
    /// What is collected in the end: the places of [`Compiled::outs`], in their order.
    pub outs: Vec<fs::File>,
}

/// Everything that exists while a launch is under way, and that must go when it fails.
struct Underway<'a> {
    compiled: &'a mut Compiled,
    cancel: BorrowedFd<'a>,
    middle: Process,
    middle_reaped: bool,
    /// Whether M was told to go on: from then on it makes processes.
    told: bool,
    /// Whether M has been given a payload, and has not said yet that it is in its place.
    is_placing: bool,
    /// Whether a process has said what it failed at: what follows from that is no cause.
    cause_known: bool,
    /// How long to wait for somebody to say so.
    last_words_ms: u16,
    userns: Option<u64>,
    init: Option<Process>,
    payload: Option<Process>,
    payload_gone: bool,
    listener: Option<OwnedFd>,
    facts: Facts,
    differences: Vec<Difference>,
    tmpfs: Vec<fs::File>,
    payload_copy: Option<fs::File>,
    outs: Vec<fs::File>,
}

/// Launches a compiled box. `cancel` is readable when the caller wants an end.
///
/// # Errors
/// Nothing of the box is left then but its cgroup.
pub fn launch(compiled: &mut Compiled, cancel: BorrowedFd<'_>) -> Result<Launched, Stopped> {
    let mut underway = Underway::begin(compiled, cancel)?;
    match underway.follow().and_then(|()| Ok((underway.baseline()?, underway.go(None)?))) {
        Ok((baseline, started_ns)) => underway.launched(baseline, started_ns),
        Err(stopped) => Err(underway.give_up(stopped)),
    }
}

fn clone_middle(compiled: &Compiled) -> Result<Process, Stopped> {
    let failed = |e: Errno| Stopped::Failed(clone_help(e));
    let made = own_step(Step::CloneMiddle, 0, || {
        let plan = &compiled.plan;
        let namespaces = at_birth(plan);
        let made = small::copy(namespaces, plan, child::middle);
        Ok(made.unwrap_or_else(|| clone::copy(namespaces, plan, child::middle))?)
    });
    let made = made.map_err(|e| failed(Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))))?;
    Ok(Process::new(made.pid, made.pidfd))
}

/// The commonest refusal of all deserves its reasons.
fn clone_help(errno: Errno) -> String {
    let call = describe(Step::CloneMiddle, "", errno as i32);
    with_help(&call, Some(&Switches::read().no_user_namespace(errno).help()))
}

/// A failed call in words.
fn describe(step: Step, subject: &str, errno: i32) -> String {
    let line = step.line();
    let call = line.call.replace("{}", subject);
    format!("{}: {call} ({}): {}", line.name, line.who, errno_text(errno))
}

/// A call of the supervisor itself has failed.
fn own_failure(step: Step, subject: &str, e: &io::Error) -> Stopped {
    Stopped::Failed(describe(step, subject, e.raw_os_error().unwrap_or(0)))
}

/// Waits until one of these has something to say, but not for ever.
fn wait_for(fds: &mut [PollFd<'_>], whom: &str) -> Result<(), Stopped> {
    loop {
        match nix::poll::poll(fds, PollTimeout::from(PATIENCE_MS)) {
            Err(Errno::EINTR) => {}
            Err(e) => return Err(Stopped::Failed(format!("poll: {}", errno_text(e as i32)))),
            Ok(0) => return Err(Stopped::Failed(format!("the {whom} did not end within {PATIENCE_MS} ms"))),
            Ok(_) => return Ok(()),
        }
    }
}

impl<'a> Underway<'a> {
    fn begin(compiled: &'a mut Compiled, cancel: BorrowedFd<'a>) -> Result<Self, Stopped> {
        let middle = clone_middle(compiled)?;
        compiled.for_children.clear();
        let userns = strays::namespace_inode(middle.pid, "user");
        Ok(Self { userns, ..Self::new(compiled, cancel, middle) })
    }

    fn new(compiled: &'a mut Compiled, cancel: BorrowedFd<'a>, middle: Process) -> Self {
        Self {
            compiled,
            cancel,
            middle,
            middle_reaped: false,
            told: false,
            is_placing: false,
            cause_known: false,
            last_words_ms: 0,
            userns: None,
            init: None,
            payload: None,
            payload_gone: false,
            listener: None,
            facts: Facts::default(),
            differences: Vec::new(),
            tmpfs: Vec::new(),
            payload_copy: None,
            outs: Vec::new(),
        }
    }

    /// Maps, frames and looks.
    fn follow(&mut self) -> Result<(), Stopped> {
        self.write_maps()?;
        spread::elsewhere(self.compiled.plan.cpus, self.middle.pid);
        self.tell(Step::WriteMaps)?;
        self.told = true;
        self.make_leaf()?;
        // Read now, needed when the box waits for it.
        no_matter(posture::Own::get(), "it is read again, and the failure told");
        let mut init_ready = false;
        while !init_ready || self.facts.ready.is_none() || self.facts.built.is_none() {
            let (frame, passed) = self.next_frame()?;
            match frame {
                Frame::InitPid(pid) => self.init = Some(self.open(pid)?),
                Frame::PayloadPid(pid) => self.payload = Some(self.open(pid)?),
                Frame::Built(built) => self.facts.built = Some(built),
                Frame::Stripped(stripped) => {
                    self.facts.stripped = Some(stripped);
                    self.first_look()?;
                    self.sweep_at_times();
                }
                Frame::Listener => self.listener = passed,
                Frame::Failed { step, index, errno } => return Err(self.failed(step, index, errno)),
                Frame::Ready(ready) => self.facts.ready = Some(ready),
                Frame::InitReady => init_ready = true,
                Frame::InitDone | Frame::Placed => return Err(Stopped::Failed(TOO_EARLY.to_owned())),
            }
        }
        if self.compiled.plan.late.is_none() {
            self.see_middle_off()?;
        }
        self.second_look()?;
        self.judge()
    }

    /// What has been used so far, by the set-up.
    fn baseline(&mut self) -> Result<Counters, Stopped> {
        match &self.compiled.leaf {
            Some(leaf) => own_step(Step::Attest, 0, || leaf.baseline())
                .map_err(|e| unreadable("the cgroup's counters", &e)),
            None => {
                let payload = self.payload.as_ref().map_or(0, |p| p.pid);
                self.facts.before_ns = time::process_cpu_ns(payload).unwrap_or(0);
                Ok(Counters::default())
            }
        }
    }

    /// The word to go; answers when that was. Where the job comes later, it is the job's words.
    fn go(&mut self, words: Option<&[u8]>) -> Result<u64, Stopped> {
        if let (Some(cpu), Some(payload)) = (self.compiled.cpu, &self.payload) {
            own_step(Step::PinCpu, cpu, || pin(payload.pid, cpu))
                .map_err(|e| own_failure(Step::PinCpu, &format!("CPU {cpu}"), &e))?;
        }
        let started_ns = time::monotonic_ns();
        match words {
            None => self.acknowledge()?,
            Some(words) => self.hand_words(words)?,
        }
        Ok(started_ns)
    }

    /// All is well: pid 1 may go on. It has nothing to do that would be urgent.
    fn acknowledge(&self) -> Result<(), Stopped> {
        if let Some(init) = &self.init {
            urgency::no_hurry(init.pid);
        }
        self.tell(Step::Acknowledge)
    }

    fn open(&mut self, pid: i32) -> Result<Process, Stopped> {
        Process::open(pid).map_err(|e| {
            // M makes the same call, and is about to say so in its own words.
            self.last_words_ms = LAST_WORDS_MS;
            Stopped::Failed(format!("pidfd_open({pid}): {}", errno_text(e as i32)))
        })
    }

    /// One byte: M waits for the maps, I for the acknowledgement.
    fn tell(&self, step: Step) -> Result<(), Stopped> {
        let index = usize::from(step == Step::WriteMaps) * MAPS_WRITTEN;
        own_step(step, index, || Ok(fd::write(self.compiled.control.as_raw_fd(), &[1])?))
            .map(drop)
            .map_err(|e| own_failure(step, "one byte", &e))
    }

    fn write_maps(&mut self) -> Result<(), Stopped> {
        let host = Host::get();
        let pid = self.middle.pid;
        let plan = &self.compiled.plan;
        let (uid, gid) = if plan.as_root {
            let id = HOST_ID_BASE + pid.unsigned_abs();
            (id, id)
        } else {
            (host.uid, host.gid)
        };
        self.facts.host_ids = (uid, gid);
        let write = |index: usize, file: &str, content: String| {
            let path = format!("/proc/{pid}/{file}");
            own_step(Step::WriteMaps, index, || fs::write(&path, &content)).map_err(|e| {
                let errno = e.raw_os_error().unwrap_or(0);
                let help = blockers::no_maps(plan.as_root, Errno::from_raw(errno)).help();
                let what = describe(Step::WriteMaps, &format!("{content:?} to {path}"), errno);
                Stopped::Failed(with_help(&what, Some(&help)))
            })
        };
        if !plan.as_root {
            write(0, "setgroups", "deny".to_owned())?;
        }
        write(1, "uid_map", format!("{} {uid} 1", plan.uid))?;
        write(2, "gid_map", format!("{} {gid} 1", plan.gid))?;
        // The mounts are the very ones that M has inherited.
        for bind in self.compiled.binds.drain(..) {
            bind.show_as_own((uid, gid)).map_err(|e| Stopped::Failed(e.to_string()))?;
        }
        Ok(())
    }

    /// While M builds the root.
    fn make_leaf(&mut self) -> Result<(), Stopped> {
        let Some(world) = &self.compiled.world else { return Ok(()) };
        let limits = &self.compiled.policy.limits;
        let limits = LeafLimits { memory: limits.memory, processes: limits.processes };
        let leaf = world.make_leaf(limits).map_err(|e| {
            let line = e.step.line();
            let call = line.call.replace("{}", &e.what);
            let words = format!("{}: {call}: {}", line.name, io_text(&e.error));
            let help = verify::help(e.step, e.error.raw_os_error().unwrap_or(0));
            Stopped::Failed(with_help(&words, help.as_deref()))
        })?;
        self.compiled.cgroup_lines = leaf.expected_lines();
        let handed = own_step(Step::HandLeaf, 0, || leaf.hand_over(self.compiled.control.as_raw_fd()));
        self.compiled.leaf = Some(leaf);
        handed.map_err(|e| own_failure(Step::HandLeaf, "", &e))
    }

    /// While P restricts itself: what supervisors that were killed have left goes. Who launches one box
    /// after the other does not look for it each time.
    fn sweep_at_times(&self) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let (now, last) = (time::monotonic_ns(), LAST.load(Ordering::Relaxed));
        if last != 0 && now.saturating_sub(last) < SWEEP_EVERY_NS {
            return;
        }
        LAST.store(now, Ordering::Relaxed);
        if let Some(world) = &self.compiled.world {
            world.sweep();
        }
        if let Some(store) = &self.compiled.store {
            no_matter(store.sweep_temporaries(), "the next start tries again");
        }
    }

    /// The next frame; the caller's wish, a process that died silently and one that hangs end the wait.
    fn next_frame(&mut self) -> Result<(Frame, Option<OwnedFd>), Stopped> {
        let control = self.compiled.control.as_fd();
        // M may end once it has done its part; the others may not end at all.
        let middle = Some(&self.middle).filter(|_| self.facts.built.is_none() || self.is_placing);
        let watched = [middle, self.payload.as_ref(), self.init.as_ref()];
        let read = PollFlags::POLLIN;
        let mut fds = vec![PollFd::new(control, read), PollFd::new(self.cancel, read)];
        fds.extend(watched.into_iter().flatten().map(|p| PollFd::new(p.pidfd.as_fd(), read)));
        wait_for(&mut fds, "set-up")?;
        if fds[0].any() != Some(true) {
            if fds[1].any() == Some(true) {
                return Err(Stopped::Cancelled);
            }
            // What it has said may have come while the others were looked at.
            let mut said = [PollFd::new(control, read)];
            if nix::poll::poll(&mut said, PollTimeout::ZERO).unwrap_or(0) == 0 {
                return Err(Stopped::Failed(self.silent_death()));
            }
        }
        let mut bytes = [0u8; FRAME_BYTES];
        let (n, passed) = fd::recv_with_fd(control.as_raw_fd(), &mut bytes)
            .map_err(|e| Stopped::Failed(format!("recvmsg: {}", errno_text(e as i32))))?;
        if n == 0 {
            return Err(Stopped::Failed(self.silent_death()));
        }
        match Frame::decode(&bytes[..n]) {
            Some(frame) => Ok((frame, passed)),
            None => Err(Stopped::Failed("a record from the set-up makes no sense".to_owned())),
        }
    }

    /// M has nothing left to do but its exit, and is gone before the payload runs: nobody is still making
    /// the box then, and pid 1 takes away the memory that the two share.
    fn see_middle_off(&mut self) -> Result<(), Stopped> {
        let mut fds = [PollFd::new(self.middle.pidfd.as_fd(), PollFlags::POLLIN)];
        wait_for(&mut fds, "middle process")?;
        self.middle_reaped = true;
        let Ok((end, _)) = process::wait(self.middle.pidfd.as_fd(), false) else {
            // Somebody has reaped it already.
            return Ok(());
        };
        died("middle process", &end).map_or(Ok(()), |words| Err(Stopped::Failed(words)))
    }

    /// The payload is on its way.
    fn launched(mut self, baseline: Counters, started_ns: u64) -> Result<Launched, Stopped> {
        let (Some(init), Some(payload)) = (self.init.take(), self.payload.take()) else {
            return Err(Stopped::Failed("a record from the set-up is missing".to_owned()));
        };
        Ok(Launched {
            middle: (!self.middle_reaped).then_some(self.middle),
            init,
            payload,
            listener: self.listener.take(),
            facts: self.facts,
            baseline,
            started_ns,
            tmpfs: self.tmpfs,
            payload_copy: self.payload_copy,
            outs: self.outs,
        })
    }
}

/// Before its exec the payload is one thread, whose mask all that it starts inherits.
fn pin(pid: i32, cpu: usize) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(pid), &cpus)?)
}

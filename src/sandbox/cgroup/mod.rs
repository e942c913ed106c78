//! The cgroup of a box: limits on, and counters of, all its processes together.
//!
//! Two kinds of host are served in the same shape: controllers on the unified
//! hierarchy (v2), and on hierarchies of their own (v1). Whatever is written is
//! read back; a limit that is not in force is a refusal.
//!
//! Only the payload and its descendants are in the leaf. Pid 1 of the box and
//! the process that builds the root are not: neither is billed or counted.
//!
//! # References
//! `cgroups(7)`, the kernel's `cgroup-v1/` and `cgroup-v2` documents

mod dir;
pub use dir::{name_of_own, unescape};
mod v1;
mod v2;
pub use v2::has_stepped_down;

use std::os::fd::{AsFd as _, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::child::{Failed, Steps};
use super::order::Step;
use super::plan::{ENTRY_FDS, Entry, Plan};
use crate::error::no_matter;
use crate::sys::clone::Cgroup;
use crate::sys::{Errno, fd, process};

/// Prefix of every leaf's name. The supervisor's pid and start time follow, so
/// that a later start can tell which leaves have lost their owner.
pub const PREFIX: &str = "stockade-";

/// Child only: the descriptors of the leaf, where it is entered in this way: M needs them to have P born
/// there, P to go there itself, which it need not know before. Pid 1 reads from the same socket, but not
/// before P has joined it.
pub fn receive(steps: Steps, step: Step, entry: Entry) -> Result<(), Failed> {
    let plan = steps.plan;
    if plan.entry != entry {
        return Ok(());
    }
    let received = steps.call(step, || {
        let mut byte = [0u8; 1];
        match fd::recv_with_fds::<ENTRY_FDS>(plan.control, &mut byte)? {
            (1, fds) if fds[0] >= 0 => Ok(fds),
            // The supervisor has gone, or has sent something else.
            _ => Err(Errno::EPIPE),
        }
    })?;
    for (place, fd) in plan.entry_fds.iter().zip(received) {
        place.store(fd, Ordering::Relaxed);
    }
    Ok(())
}

/// Child only: where P is born.
pub fn birth_place(plan: &Plan) -> Cgroup {
    match plan.entry {
        Entry::Clone => Cgroup::Leaf(plan.entry_fds[0].load(Ordering::Relaxed)),
        Entry::Tasks | Entry::None => Cgroup::Inherit,
    }
}

/// Child only: v1: takes the leaf's descriptors, and goes there. On v2 the process was born there.
pub fn enter(steps: Steps) -> Result<(), Failed> {
    if steps.plan.entry != Entry::Tasks {
        return Ok(());
    }
    receive(steps, Step::TakeLeaf, Entry::Tasks)?;
    let files = steps.plan.entry_fds.iter().map(|fd| fd.load(Ordering::Relaxed));
    for (i, file) in files.take_while(|fd| *fd >= 0).enumerate() {
        steps.nth(Step::EnterLeaf, i, || match fd::write(file, b"0") {
            Ok(1) => Ok(()),
            Ok(_) => Err(Errno::EIO),
            Err(e) => Err(e),
        })?;
        // The limit on descriptors comes before they are all closed.
        steps.nth(Step::EnterLeaf, i, || fd::close(file))?;
    }
    Ok(())
}

/// Child only: a cgroup namespace rooted in the leaf. On v2 the process was born in it.
pub fn own_namespace(steps: Steps) -> Result<(), Failed> {
    if steps.plan.entry == Entry::Clone {
        return Ok(());
    }
    steps.call(Step::CgroupNs, || process::unshare(libc::CLONE_NEWCGROUP))
}

/// What a leaf limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafLimits {
    /// Bytes, swap included.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u32,
}

/// Why there is no cgroup, and what would give one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// What was found.
    pub reason: String,
    /// What to do.
    pub help: String,
}

/// A step of making a leaf that failed.
#[derive(Debug)]
pub struct LeafError {
    /// Which step.
    pub step: Step,
    /// The file or directory.
    pub path: PathBuf,
    /// What was to be written, or read back.
    pub what: String,
    /// What the kernel said.
    pub error: std::io::Error,
}

/// Which hierarchies this host has its controllers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Each controller on its own.
    V1,
    /// Unified.
    V2,
}

impl Version {
    /// As in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        }
    }
}

/// Where leaves can be made on this host.
#[derive(Debug)]
pub struct World(Kind);

#[derive(Debug)]
enum Kind {
    V1(v1::Hierarchies),
    V2(v2::Parent),
}

/// For how long a place that was found is taken for the right one: a process that launches one box after
/// the other does not read all of its mounts for each.
const SAME_FOR: Duration = Duration::from_secs(1);

/// As [`find`], a moment ago perhaps.
///
/// # Errors
/// What is missing, and the command that would give it.
pub fn find_again(explicit: Option<&Path>) -> Result<Arc<World>, Unavailable> {
    if let Some((asked, at, world)) = &*last_found()
        && asked.as_deref() == explicit
        && at.elapsed() < SAME_FOR
    {
        return Ok(Arc::clone(world));
    }
    let world = Arc::new(find(explicit)?);
    if world.version() == Version::V2 {
        // Who has stepped down in the hierarchy for this goes back up at its end.
        return Ok(world);
    }
    *last_found() = Some((explicit.map(Path::to_owned), Instant::now(), Arc::clone(&world)));
    Ok(world)
}

/// What was asked for, when, and what was found.
type Found = (Option<PathBuf>, Instant, Arc<World>);

fn last_found() -> MutexGuard<'static, Option<Found>> {
    static LAST: Mutex<Option<Found>> = Mutex::new(None);
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds where leaves can be made: `explicit` (v2 only), or what the caller's own
/// place in the hierarchies allows.
///
/// # Errors
/// What is missing, and the command that would give it.
pub fn find(explicit: Option<&Path>) -> Result<World, Unavailable> {
    let mounts = dir::cgroup_mounts();
    if let Some(path) = explicit {
        return v2::explicit(path, &mounts).map(|p| World(Kind::V2(p)));
    }
    match v1::find(&dir::own_cgroups(), &mounts) {
        Ok(Some(hierarchies)) => Ok(World(Kind::V1(hierarchies))),
        Err(unavailable) => Err(unavailable),
        Ok(None) => v2::find(&mounts).map(|p| World(Kind::V2(p))),
    }
}

/// A number of its own for each leaf of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl World {
    /// Which version it is.
    #[must_use]
    pub const fn version(&self) -> Version {
        match self.0 {
            Kind::V1(_) => Version::V1,
            Kind::V2(_) => Version::V2,
        }
    }

    /// How a payload gets into a leaf.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        match self.0 {
            Kind::V1(_) => Entry::Tasks,
            Kind::V2(_) => Entry::Clone,
        }
    }

    /// Where leaves are made, for people.
    #[must_use]
    pub fn place(&self) -> &Path {
        match &self.0 {
            Kind::V1(h) => h.place(),
            Kind::V2(p) => p.place(),
        }
    }

    /// Makes a leaf with its limits in force.
    ///
    /// # Errors
    /// The step that failed; nothing is left behind.
    pub fn make_leaf(&self, limits: LeafLimits) -> Result<Leaf, LeafError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = dir::name_of_own(&number.to_string());
        let made = match &self.0 {
            Kind::V1(h) => h.make_leaf(&name, limits).map(|l| Leaf(LeafKind::V1(l))),
            Kind::V2(p) => p.make_leaf(&name, limits).map(|l| Leaf(LeafKind::V2(l))),
        };
        // It may have gone since it was found.
        made.inspect_err(|_| *last_found() = None)
    }

    /// Removes empty leaves whose supervisor is dead. Answers how many went.
    pub fn sweep(&self) -> usize {
        match &self.0 {
            Kind::V1(h) => h.places().map(dir::sweep).sum(),
            Kind::V2(p) => dir::sweep(p.place()),
        }
    }
}

/// What the counters of a leaf say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// CPU time, nanoseconds.
    pub cpu_ns: u64,
    /// The part in user mode.
    pub user_ns: u64,
    /// The part in the kernel.
    pub system_ns: u64,
    /// Highest memory use, bytes.
    pub memory_peak: u64,
    /// Processes killed because memory ran out.
    pub oom_kills: u64,
    /// Highest number of processes and threads, where the kernel counts it.
    pub processes_peak: Option<u64>,
    /// Forks refused by the limit.
    pub forks_refused: u64,
}

/// The cgroup of one box.
#[derive(Debug)]
pub struct Leaf(LeafKind);

#[derive(Debug)]
enum LeafKind {
    V1(v1::Leaf),
    V2(v2::Leaf),
}

impl Leaf {
    /// Hands M the descriptors through which the payload gets in.
    ///
    /// # Errors
    /// M is not there any more.
    pub fn hand_over(&self, socket: RawFd) -> std::io::Result<()> {
        let send = |fds: &[RawFd]| match *fds {
            [a] => fd::send_with_fds(socket, &[1], [a], [0; 3]),
            [a, b] => fd::send_with_fds(socket, &[1], [a, b], [0; 3]),
            [a, b, c] => fd::send_with_fds(socket, &[1], [a, b, c], [0; 3]),
            _ => Err(Errno::EINVAL),
        };
        Ok(match &self.0 {
            LeafKind::V1(l) => send(&l.tasks()),
            LeafKind::V2(l) => send(&[l.dir_fd()]),
        }?)
    }

    /// Lines that `/proc/<payload>/cgroup` must have, as the supervisor sees them.
    #[must_use]
    pub fn expected_lines(&self) -> Vec<String> {
        match &self.0 {
            LeafKind::V1(l) => l.expected_lines(),
            LeafKind::V2(l) => l.expected_lines(),
        }
    }

    /// Counters so far; the peak starts anew where the kernel allows it.
    ///
    /// # Errors
    /// A counter that cannot be read.
    pub fn baseline(&self) -> std::io::Result<Counters> {
        match &self.0 {
            LeafKind::V1(l) => l.baseline(),
            LeafKind::V2(l) => l.baseline(),
        }
    }

    /// CPU time so far, nanoseconds; cheap.
    ///
    /// # Errors
    /// The counter cannot be read.
    pub fn cpu_ns(&self) -> std::io::Result<u64> {
        match &self.0 {
            LeafKind::V1(l) => l.cpu_ns(),
            LeafKind::V2(l) => l.cpu_ns(),
        }
    }

    /// All counters.
    ///
    /// # Errors
    /// A counter that cannot be read.
    pub fn counters(&self) -> std::io::Result<Counters> {
        match &self.0 {
            LeafKind::V1(l) => l.counters(),
            LeafKind::V2(l) => l.counters(),
        }
    }

    /// Becomes ready (`POLLIN` on v1, `POLLPRI` on v2) when memory runs out.
    #[must_use]
    pub fn memory_event(&self) -> Option<(BorrowedFd<'_>, nix::poll::PollFlags)> {
        match &self.0 {
            LeafKind::V1(l) => l.memory_event(),
            LeafKind::V2(l) => l.memory_event(),
        }
    }

    /// Takes note of a memory event, so that the next one shows.
    pub fn clear_memory_event(&self) {
        match &self.0 {
            LeafKind::V1(l) => l.clear_memory_event(),
            LeafKind::V2(l) => l.clear_memory_event(),
        }
    }

    /// Kills everything in it at once, where the kernel can (v2).
    ///
    /// # Errors
    /// `cgroup.kill` cannot be written.
    pub fn kill(&self) -> std::io::Result<()> {
        match &self.0 {
            LeafKind::V1(_) => Ok(()),
            LeafKind::V2(l) => l.kill(),
        }
    }

    /// Whether the kernel counts no process in it, not even one that is still to be waited for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            LeafKind::V1(l) => l.is_empty(),
            LeafKind::V2(l) => l.is_empty(),
        }
    }

    /// Processes in it, as the supervisor sees them.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn processes(&self) -> std::io::Result<Vec<i32>> {
        match &self.0 {
            LeafKind::V1(l) => l.processes(),
            LeafKind::V2(l) => l.processes(),
        }
    }

    /// Kills, one by one, what is in it after the end of pid 1, which takes everything along; answers
    /// whether it is empty.
    ///
    /// # Errors
    /// The list cannot be read, or one of them cannot be held.
    pub fn kill_the_rest(&self) -> std::io::Result<bool> {
        if self.is_empty() {
            return Ok(true);
        }
        let mut held = Vec::new();
        for pid in self.processes()? {
            match process::pidfd_open(pid) {
                Ok(pidfd) => held.push((pid, pidfd)),
                // It has ended since.
                Err(Errno::ESRCH) => {}
                Err(e) => return Err(e.into()),
            }
        }
        if held.is_empty() {
            return Ok(true);
        }
        // A number may have gone to somebody else before it was opened: what still is in the list is not.
        let still = self.processes()?;
        for (_, pidfd) in held.iter().filter(|(pid, _)| still.contains(pid)) {
            no_matter(process::signal(pidfd.as_fd(), libc::SIGKILL), "it has ended");
        }
        Ok(false)
    }

    /// Removes it; answers what could not be removed.
    #[must_use]
    pub fn remove(&mut self) -> Vec<String> {
        let left = match &mut self.0 {
            LeafKind::V1(l) => l.remove(),
            LeafKind::V2(l) => l.remove(),
        };
        left.into_iter().map(|path| path.display().to_string()).collect()
    }
}

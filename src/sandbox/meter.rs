//! What a box uses while it runs: from its cgroup, or, where the caller has said
//! that this will do, from watching its processes.
//!
//! Watching is an estimate: a process that lives for less than a look is only
//! seen in what its parent waited for. Reports of such runs say `degraded`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use nix::sys::statfs::fstatfs;

use super::cgroup::{Counters, Leaf};
use crate::sys::time;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// Where the numbers come from.
#[derive(Debug)]
pub enum Meter {
    /// The kernel's counters of the whole box, less what they showed before the exec.
    Cgroup {
        /// The box's cgroup.
        leaf: Leaf,
        /// Before the exec.
        baseline: Counters,
    },
    /// Looks at each process of the box.
    Watch {
        /// Inode of the box's pid namespace.
        pidns: u64,
        /// Pid 1 of the box and the payload: where the look starts.
        roots: [i32; 2],
        /// File systems of the box in memory.
        tmpfs: Vec<fs::File>,
        /// The payload's CPU time before its exec.
        before_ns: u64,
        /// Highest memory seen.
        memory_peak: u64,
        /// Highest number of processes seen.
        processes_peak: u64,
        /// Highest CPU time seen: it never goes back.
        cpu_ns: u64,
    },
}

impl Meter {
    /// Processes of the box, pid 1 not counted.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        match self {
            Meter::Cgroup { leaf, .. } => leaf.processes().unwrap_or_default(),
            Meter::Watch { pidns, roots, .. } => descendants(*pidns, *roots),
        }
    }

    /// CPU time used so far.
    ///
    /// # Errors
    /// The counter cannot be read.
    pub fn cpu_ns(&mut self) -> io::Result<u64> {
        match self {
            Meter::Cgroup { leaf, baseline } => Ok(leaf.cpu_ns()?.saturating_sub(baseline.cpu_ns)),
            Meter::Watch { .. } => {
                self.watch();
                Ok(self.watched_cpu())
            }
        }
    }

    const fn watched_cpu(&self) -> u64 {
        match self {
            Meter::Watch { cpu_ns, .. } => *cpu_ns,
            Meter::Cgroup { .. } => 0,
        }
    }

    /// Whether memory must be watched by looking, because nothing else limits it.
    #[must_use]
    pub const fn watches_memory(&self) -> bool {
        matches!(self, Meter::Watch { .. })
    }

    /// One look at every process; answers the memory in use now.
    pub fn watch(&mut self) -> u64 {
        let pids = self.processes();
        let Meter::Watch { tmpfs, before_ns, memory_peak, processes_peak, cpu_ns, .. } = self else {
            return 0;
        };
        let memory =
            pids.iter().map(|pid| resident(*pid)).sum::<u64>() + tmpfs.iter().map(used_bytes).sum::<u64>();
        let now: u64 = pids.iter().map(|pid| cpu_of(*pid)).sum();
        *memory_peak = (*memory_peak).max(memory);
        *processes_peak = (*processes_peak).max(pids.iter().map(|pid| threads_of(*pid)).sum());
        *cpu_ns = (*cpu_ns).max(now.saturating_sub(*before_ns));
        memory
    }

    /// Everything at the end.
    ///
    /// # Errors
    /// A counter cannot be read.
    pub fn counters(&self) -> io::Result<Counters> {
        match self {
            Meter::Cgroup { leaf, baseline } => {
                let end = leaf.counters()?;
                Ok(Counters {
                    cpu_ns: end.cpu_ns.saturating_sub(baseline.cpu_ns),
                    user_ns: end.user_ns.saturating_sub(baseline.user_ns),
                    system_ns: end.system_ns.saturating_sub(baseline.system_ns),
                    oom_kills: end.oom_kills.saturating_sub(baseline.oom_kills),
                    forks_refused: end.forks_refused.saturating_sub(baseline.forks_refused),
                    ..end
                })
            }
            Meter::Watch { memory_peak, processes_peak, cpu_ns, .. } => Ok(Counters {
                cpu_ns: *cpu_ns,
                user_ns: *cpu_ns,
                memory_peak: *memory_peak,
                processes_peak: Some(*processes_peak),
                ..Counters::default()
            }),
        }
    }
}

/// The payload, its descendants, and whoever pid 1 has inherited.
fn descendants(pidns: u64, roots: [i32; 2]) -> Vec<i32> {
    let [init, payload] = roots;
    let mut stack = vec![init, payload];
    let mut found = Vec::new();
    while let Some(pid) = stack.pop() {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        let in_box = fs::metadata(format!("/proc/{pid}/ns/pid")).is_ok_and(|m| m.ino() == pidns);
        if in_box && pid != init && !found.contains(&pid) {
            found.push(pid);
        }
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            stack.extend(children.split_whitespace().filter_map(|p| p.parse::<i32>().ok()));
        }
    }
    found
}

fn resident(pid: i32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut fields = statm.split(' ').skip(1).filter_map(|f| f.trim().parse::<u64>().ok());
    let (resident, shared) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
    // What is shared is the image's files, which a cgroup would bill once.
    resident.saturating_sub(shared) * PAGE
}

fn threads_of(pid: i32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, |d| d.count() as u64)
}

/// Its own clock, and what its ended children used.
fn cpu_of(pid: i32) -> u64 {
    /// `cutime` and `cstime` are in these.
    const CLOCK_TICK_NS: u64 = 10_000_000;
    let own = time::process_cpu_ns(pid).unwrap_or(0);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ended: u64 = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().skip(13).take(2).filter_map(|f| f.parse::<u64>().ok()).sum())
        .unwrap_or(0);
    own + ended * CLOCK_TICK_NS
}

fn used_bytes(file: &fs::File) -> u64 {
    fstatfs(file).map_or(0, |s| {
        let block = u64::try_from(s.block_size()).unwrap_or(PAGE);
        s.blocks().saturating_sub(s.blocks_free()) * block
    })
}

/// Whether a file system in memory has no byte, and no inode, left.
#[must_use]
pub fn exhausted(file: &fs::File) -> (bool, bool) {
    fstatfs(file).map_or((false, false), |s| (s.blocks_free() == 0, s.files_free() == 0))
}

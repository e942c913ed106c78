//! What a box uses while it runs: from its cgroup, or, where the caller has said
//! that this will do, from watching its processes.

use std::io;
use std::time::Duration;

use super::cgroup::{Counters, Leaf};
use super::watch::Watch;
use crate::sys::process::Usage;

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
    Watch(Watch),
}

impl Meter {
    /// Takes away what has counted; answers what stays all the same.
    #[must_use]
    pub fn remove(&mut self) -> Vec<String> {
        match self {
            Meter::Cgroup { leaf, .. } => leaf.remove(),
            Meter::Watch(_) => Vec::new(),
        }
    }

    /// Processes of the box, pid 1 not counted.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        match self {
            Meter::Cgroup { leaf, .. } => leaf.processes().unwrap_or_default(),
            Meter::Watch(watch) => watch.processes(),
        }
    }

    /// How many processes and threads it has besides this process.
    #[must_use]
    pub fn tasks_but(&self, init: i32) -> usize {
        let threads = |pid: i32| std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        self.processes().into_iter().filter(|pid| *pid != init).map(threads).sum()
    }

    /// CPU time used so far.
    ///
    /// # Errors
    /// The counter cannot be read.
    pub fn cpu_ns(&mut self) -> io::Result<u64> {
        match self {
            Meter::Cgroup { leaf, baseline } => Ok(leaf.cpu_ns()?.saturating_sub(baseline.cpu_ns)),
            Meter::Watch(watch) => {
                watch.look();
                Ok(watch.cpu_ns())
            }
        }
    }

    /// How soon to look at the memory again, where nothing but looking limits it.
    #[must_use]
    pub fn watch_every(&self) -> Option<Duration> {
        match self {
            Meter::Cgroup { .. } => None,
            Meter::Watch(watch) => Some(watch.every()),
        }
    }

    /// One look at every process, where there is nothing better.
    pub fn look(&mut self) {
        if let Meter::Watch(watch) = self {
            watch.look();
        }
    }

    /// One look; answers whether there is more memory in use than that.
    pub fn over_memory(&mut self, limit: u64) -> bool {
        match self {
            Meter::Cgroup { .. } => false,
            Meter::Watch(watch) => {
                watch.look();
                watch.over(limit)
            }
        }
    }

    /// What the kernel says of the payload at its end, its waited-for descendants included.
    pub fn payload_ended(&mut self, usage: &Usage) {
        if let Meter::Watch(watch) = self {
            watch.payload_ended(usage);
        }
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
            Meter::Watch(watch) => Ok(watch.counters()),
        }
    }
}

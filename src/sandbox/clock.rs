//! When to look at the CPU time of a box again.
//!
//! There is no fixed tick. The next moment at which the limit can be crossed
//! follows from what is left and from how many CPUs the box can use. The
//! kernel's counter of a running task only moves at the tick or when the task
//! leaves its CPU, so close to the limit the supervisor *visits* the CPUs on
//! which the box runs: where the supervisor runs, nobody else does, and whoever
//! was displaced has been accounted for. The reading is then exact, and nothing
//! of it shows inside.

use super::procfs;
use crate::error::no_matter;
use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Readings lag by a tick a CPU at most: 10 ms at the slowest rate in use.
const TICK_NS: u64 = 10_000_000;

/// Closer than this is not waited for: a box that sleeps right below its limit
/// would otherwise be looked at without a pause.
const SHORTEST_NS: u64 = 200_000;

/// Decides when to look, and how closely.
#[derive(Debug)]
pub struct CpuClock {
    limit_ns: u64,
    cpus: u64,
}

/// How to look next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The limit is used up.
    Over,
    /// Look again after this time.
    Again {
        /// How long to wait.
        after: Duration,
        /// Whether the reading must be exact then.
        exact: bool,
    },
}

impl CpuClock {
    /// For a box that can use this many CPUs.
    #[must_use]
    pub fn new(limit_ns: u64, cpus: u64) -> Self {
        Self { limit_ns, cpus: cpus.max(1) }
    }

    /// After a reading of `used_ns`, exact or lagging.
    #[must_use]
    pub fn after(&self, used_ns: u64, exact: bool) -> Look {
        let Some(left) = self.limit_ns.checked_sub(used_ns).filter(|left| *left > 0) else {
            return Look::Over;
        };
        // More than a lagging reading can be behind. Far from the limit such a one is good enough
        // to wait until shortly before it; what is waited for up to the limit itself must be exact.
        let near = 2 * TICK_NS * self.cpus;
        let close = left <= 2 * near;
        if close && !exact {
            return Look::Again { after: Duration::ZERO, exact: true };
        }
        let wait = if close { left / self.cpus } else { (left - near) / self.cpus };
        Look::Again { after: Duration::from_nanos(wait.max(SHORTEST_NS)), exact: close }
    }
}

/// On how many CPUs this process, and with it what it starts, may run.
#[must_use]
pub fn usable_cpus() -> u64 {
    let counted = |set: CpuSet| (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).count();
    match sched_getaffinity(Pid::from_raw(0)) {
        Ok(set) => counted(set) as u64,
        // More than the set has room for.
        Err(_) => std::thread::available_parallelism().map_or(u64::MAX, |n| n.get() as u64),
    }
}

/// Runs on every CPU that a thread of these processes last ran on, so that all of
/// them have been accounted for when it returns.
pub fn visit_cpus_of(pids: &[i32]) {
    let own = Pid::from_raw(0);
    let Ok(home) = sched_getaffinity(own) else { return };
    let mut visited = CpuSet::new();
    for cpu in pids.iter().flat_map(|pid| cpus_of(*pid)) {
        let mut one = CpuSet::new();
        if visited.is_set(cpu).unwrap_or(true) || one.set(cpu).is_err() {
            continue;
        }
        // A CPU that this thread may not use is one whose reading lags by a tick.
        if sched_setaffinity(own, &one).is_ok() && visited.set(cpu).is_err() {
            break;
        }
    }
    if visited != CpuSet::new() {
        no_matter(sched_setaffinity(own, &home), "only CPUs that have gone away can refuse their old mask");
    }
}

/// CPUs that the running threads of a process are on.
fn cpus_of(pid: i32) -> Vec<usize> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| procfs::read(thread.path().join("stat")).ok())
        .filter_map(|stat| {
            // After the name: state is the first field, the CPU the 37th.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let running = fields.next()? == "R";
            let cpu = fields.nth(35)?.parse().ok()?;
            running.then_some(cpu)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn clock_far_from_the_limit_waits_for_most_of_it() {
        let clock = CpuClock::new(1_000 * MS, 1);
        assert_eq!(clock.after(0, false), Look::Again { after: Duration::from_millis(980), exact: false });
        // Two CPUs use it up twice as fast.
        let clock = CpuClock::new(1_000 * MS, 2);
        assert_eq!(clock.after(0, false), Look::Again { after: Duration::from_millis(480), exact: false });
    }

    #[test]
    fn clock_near_the_limit_wants_an_exact_reading_and_waits_for_the_rest() {
        let clock = CpuClock::new(1_000 * MS, 1);
        assert_eq!(clock.after(985 * MS, false), Look::Again { after: Duration::ZERO, exact: true });
        assert_eq!(
            clock.after(985 * MS, true),
            Look::Again { after: Duration::from_millis(15), exact: true }
        );
    }

    #[test]
    fn clock_waits_for_the_limit_only_by_an_exact_reading() {
        let clock = CpuClock::new(1_000 * MS, 2);
        // By now it may be 20 ms more, and the limit 10 ms sooner.
        assert_eq!(clock.after(940 * MS, false), Look::Again { after: Duration::ZERO, exact: true });
        assert_eq!(
            clock.after(940 * MS, true),
            Look::Again { after: Duration::from_millis(30), exact: true }
        );
    }

    #[test]
    fn clock_right_below_the_limit_does_not_spin() {
        let clock = CpuClock::new(1_000 * MS, 4);
        let Look::Again { after, exact } = clock.after(1_000 * MS - 1, true) else { panic!("not over") };
        assert!(exact);
        assert_eq!(after, Duration::from_nanos(SHORTEST_NS));
    }

    #[test]
    fn clock_at_the_limit_is_over_even_when_the_limit_is_zero() {
        assert_eq!(CpuClock::new(1_000, 1).after(1_000, true), Look::Over);
        assert_eq!(CpuClock::new(1_000, 1).after(1_001, false), Look::Over);
        assert_eq!(CpuClock::new(0, 1).after(0, true), Look::Over);
    }

    #[test]
    fn clock_always_ends() {
        for cpus in [1, 2, 64] {
            let clock = CpuClock::new(10_000 * MS, cpus);
            let (mut used, mut exact, mut looks) = (0, false, 0);
            // A box with one running thread on a machine with many CPUs.
            loop {
                match clock.after(used, exact) {
                    Look::Over => break,
                    Look::Again { after, exact: next } => {
                        used += u64::try_from(after.as_nanos()).unwrap();
                        exact = next;
                        looks += 1;
                    }
                }
                assert!(looks < 2_000, "{cpus} cpus");
            }
            assert!(used - 10_000 * MS <= SHORTEST_NS, "overshoot {}", used - 10_000 * MS);
        }
    }
}

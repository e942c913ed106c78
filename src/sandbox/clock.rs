//! When to look at the CPU time of a box again.
//!
//! There is no fixed tick. The next moment at which the limit can be crossed
//! follows from what is left and from how many CPUs the box can use. The
//! kernel's counter of a running task only moves at the tick, when the task
//! leaves its CPU, and when it is put into its queue anew. So close to the limit the
//! supervisor *visits* the CPUs on which the box runs: where the supervisor runs,
//! nobody else does, and whoever was displaced has been accounted for and gets no
//! further before the supervisor sleeps. One that cannot go ahead of others would
//! wait for its turn there, while the box runs on. It gives each running thread of
//! the box slices that are a nanosecond longer or shorter: that puts the thread back
//! into its queue, at once and wherever it runs. Where the kernel has no slices to
//! give (before Linux 6.12), it visits as well. Either way the reading is exact, and
//! what shows of it inside is that nanosecond, to those who may ask for it.
//!
//! # References
//! `sched_setattr(2)`, `sched(7)`

use super::procfs;
use crate::error::no_matter;
use crate::sys::sched::Attributes;
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

/// Has every running thread of these processes accounted for when it returns.
pub fn account_for(pids: &[i32]) {
    let goes_ahead = Attributes::of(0).is_ok_and(|own| own.is_real_time());
    let running = pids.iter().flat_map(|pid| running_threads(*pid));
    let lagging = running.filter(|(tid, _)| goes_ahead || !put_back(*tid));
    visit(lagging.map(|(_, cpu)| cpu));
}

/// Takes a thread from its queue and puts it back. A payload that renices itself in
/// this very moment may have to do so again.
fn put_back(tid: i32) -> bool {
    let other = Attributes::of(tid).ok().and_then(Attributes::in_other_slices);
    other.is_some_and(|attributes| attributes.give(tid).is_ok())
}

/// Runs on each of these CPUs.
fn visit(cpus: impl Iterator<Item = usize>) {
    let own = Pid::from_raw(0);
    let Ok(home) = sched_getaffinity(own) else { return };
    let mut visited = CpuSet::new();
    for cpu in cpus {
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

/// Threads of a process that run or are about to, each with its CPU.
fn running_threads(pid: i32) -> Vec<(i32, usize)> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| {
            let stat = procfs::read(thread.path().join("stat")).ok()?;
            // After the name: state is the first field, the CPU the 37th.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let running = fields.next()? == "R";
            let cpu = fields.nth(35)?.parse().ok()?;
            running.then_some((thread.file_name().to_str()?.parse().ok()?, cpu))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Puts a process, or with 0 this thread, on the first or the second of the CPUs that it may use.
    fn on_cpu(pid: i32, which: usize) -> Option<()> {
        let usable = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let mut one = CpuSet::new();
        one.set((0..CpuSet::count()).filter(|cpu| usable.is_set(*cpu) == Ok(true)).nth(which)?).unwrap();
        sched_setaffinity(Pid::from_raw(pid), &one).unwrap();
        Some(())
    }

    /// How many of 100 readings of a busy process on another CPU are ahead, after `account`, of one right
    /// before it. It may not be running each time, and a tick may come between.
    #[allow(clippy::print_stderr)] // of a test that cannot run
    fn ahead(account: impl Fn(i32) + Sync) -> Option<usize> {
        let mut busy =
            std::process::Command::new("/bin/sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let pid = i32::try_from(busy.id()).unwrap();
        let used = || crate::sys::time::process_cpu_ns(pid).unwrap();
        let count = || {
            on_cpu(pid, 1)?;
            on_cpu(0, 0)?;
            let ahead = (0..100).filter(|_| {
                std::thread::sleep(Duration::from_micros(5_300));
                let before = used();
                account(pid);
                used() > before
            });
            Some(ahead.count())
        };
        let counted = std::thread::scope(|scope| scope.spawn(count).join().unwrap());
        busy.kill().unwrap();
        busy.wait().unwrap();
        if counted.is_none() {
            eprintln!("skipped: there is one CPU, on which nothing else runs while this does");
        }
        counted
    }

    #[test]
    fn clock_accounts_for_what_is_running() {
        let Some(alone) = ahead(|_| {}) else { return };
        let accounted = ahead(|pid| account_for(&[pid])).unwrap();
        assert!(accounted > 3 * alone + 3, "{accounted} of 100, {alone} by themselves");
    }

    #[test]
    fn clock_accounts_without_a_visit_where_there_are_slices() {
        if Attributes::of(0).unwrap().in_other_slices().is_none() {
            assert!(!put_back(0));
            return;
        }
        let Some(alone) = ahead(|_| {}) else { return };
        let accounted = ahead(|pid| assert!(put_back(pid))).unwrap();
        assert!(accounted > 3 * alone + 3, "{accounted} of 100, {alone} by themselves");
    }

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

//! Watching the processes of a box that has no cgroup.
//!
//! An estimate, and reports of such runs say `degraded`. CPU time: a process that
//! lives for less than a look is only known from what its parent waited for.
//! Memory: looked at every 10 ms, more often close to the limit, so that a fast
//! writer can get beyond it before it is killed.
//!
//! # References
//! `proc_pid_status(5)`, `proc_pid_stat(5)`, `proc_pid_smaps(5)`

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use nix::sys::statfs::fstatfs;

use super::cgroup::Counters;
use super::procfs;
use super::strays::namespace_inode;
use crate::sys::process::Usage;
use crate::sys::time;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// How often memory is looked at, far from the limit and close to it.
const EVERY_NS: u64 = 10_000_000;
const EVERY_CLOSE_NS: u64 = 1_000_000;

/// Bytes a nanosecond that a program may come to hold: page faults on several CPUs.
const FASTEST_GROWTH: u64 = 8;

/// Looking takes at most one part in so many of a CPU.
const SHARE: u64 = 5;

/// Before the first look.
#[derive(Debug)]
pub struct Start {
    /// Inode of the box's pid namespace.
    pub pidns: u64,
    /// Pid 1 of the box and the payload: where the look starts.
    pub roots: [i32; 2],
    /// File systems of the box in memory.
    pub tmpfs: Vec<fs::File>,
    /// The payload's CPU time before its exec, from its clock.
    pub before_ns: u64,
    /// The payload's usage before its exec.
    pub before: Usage,
    /// Bytes of memory allowed.
    pub limit: u64,
}

/// What was seen so far.
#[derive(Debug)]
pub struct Watch {
    start: Start,
    /// Bytes in its file systems before it ran: a work tree is not the payload's doing.
    tmpfs_before: u64,
    ledger: Ledger,
    cpu_ns: u64,
    user_ns: Option<u64>,
    memory: u64,
    memory_peak: u64,
    processes_peak: u64,
    cost_ns: u64,
}

impl Watch {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(start: Start) -> Self {
        Self {
            tmpfs_before: start.tmpfs.iter().map(used_bytes).sum(),
            start,
            ledger: Ledger::default(),
            cpu_ns: 0,
            user_ns: None,
            memory: 0,
            memory_peak: 0,
            // The payload itself, however short it lives.
            processes_peak: 1,
            cost_ns: 0,
        }
    }

    /// The payload, its descendants, and whoever pid 1 has inherited.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        descendants(self.start.pidns, self.start.roots)
    }

    /// Highest CPU time seen: it never goes back.
    #[must_use]
    pub const fn cpu_ns(&self) -> u64 {
        self.cpu_ns
    }

    /// How soon to look again: close to the limit sooner, but never so often that the looking
    /// itself becomes the load.
    #[must_use]
    pub fn every(&self) -> Duration {
        let left = self.start.limit.saturating_sub(self.memory) / FASTEST_GROWTH;
        Duration::from_nanos(left.clamp(EVERY_CLOSE_NS, EVERY_NS).max(self.cost_ns * SHARE))
    }

    /// One look at every process.
    pub fn look(&mut self) {
        let begin = time::monotonic_ns();
        let pids = self.processes();
        let (mut memory, mut threads) = (self.in_tmpfs(), 0);
        self.ledger.begin();
        for pid in &pids {
            let read = |name: &str| procfs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let status = read("status");
            memory += kib(&status, "RssAnon:") + kib(&status, "RssShmem:");
            threads += field(&status, "Threads:");
            if let Some(stat) = Stat::parse(&read("stat")) {
                // The clock counts to the nanosecond what the file counts in ticks.
                let own_ns = time::process_cpu_ns(*pid).unwrap_or(0);
                self.ledger.note(*pid, own_ns, stat);
            }
        }
        self.cpu_ns = self.cpu_ns.max(self.ledger.total_ns().saturating_sub(self.start.before_ns));
        self.processes_peak = self.processes_peak.max(threads);
        // What is shared was counted for each of those who share it: only worth a closer look where
        // it would decide something.
        self.memory = if memory > self.start.limit { self.closely(&pids).min(memory) } else { memory };
        self.memory_peak = self.memory_peak.max(self.memory);
        self.cost_ns = time::monotonic_ns().saturating_sub(begin);
    }

    /// Whether the last look saw more memory than that.
    #[must_use]
    pub const fn over(&self, limit: u64) -> bool {
        self.memory > limit
    }

    fn in_tmpfs(&self) -> u64 {
        let used: u64 = self.start.tmpfs.iter().map(used_bytes).sum();
        used.saturating_sub(self.tmpfs_before)
    }

    /// Every page once, whoever shares it.
    fn closely(&self, pids: &[i32]) -> u64 {
        let of = |pid: &i32| {
            let read = |name: &str| procfs::read(format!("/proc/{pid}/{name}")).ok();
            let anonymous = kib(&read("smaps_rollup")?, "Pss_Anon:");
            Some(anonymous + shared_memory(&read("smaps")?))
        };
        // One that cannot be looked at is taken for what it seemed to be.
        let seen: Option<u64> = pids.iter().map(of).sum();
        seen.map_or(u64::MAX, |bytes| bytes + self.in_tmpfs())
    }

    /// The payload and all that it and its descendants have waited for, to the microsecond.
    pub fn payload_ended(&mut self, usage: &Usage) {
        let before = &self.start.before;
        let user = usage.user_ns.saturating_sub(before.user_ns);
        let total = user + usage.system_ns.saturating_sub(before.system_ns);
        self.cpu_ns = self.cpu_ns.max(total);
        let share = u128::from(self.cpu_ns) * u128::from(user) / u128::from(total.max(1));
        self.user_ns = u64::try_from(share).ok();
    }

    /// Everything at the end.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let user_ns = self.user_ns.unwrap_or(self.cpu_ns).min(self.cpu_ns);
        Counters {
            cpu_ns: self.cpu_ns,
            user_ns,
            system_ns: self.cpu_ns - user_ns,
            memory_peak: self.memory_peak,
            processes_peak: Some(self.processes_peak),
            ..Counters::default()
        }
    }
}

/// What of `/proc/<pid>/stat` is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    /// When it was started: with its pid it names it for good.
    start: u64,
    /// CPU time of the children that it has waited for.
    waited_ns: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        /// `cutime` and `cstime` are in these.
        const TICK_NS: u64 = 10_000_000;
        // After the name, which may hold anything: state is the first field.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
        Some(Self { start: number(19)?, waited_ns: (number(13)? + number(14)?) * TICK_NS })
    }
}

/// CPU time of processes that come and go.
///
/// Two counts, both of which can only be too low: what every process ever seen had used when it was
/// last seen, and what the living ones and those whom they waited for have used.
#[derive(Debug, Default)]
struct Ledger {
    living: HashMap<(i32, u64), u64>,
    before: HashMap<(i32, u64), u64>,
    gone_ns: u64,
    waited_ns: u64,
}

impl Ledger {
    /// A new look.
    fn begin(&mut self) {
        // Whoever was not seen in the last look any more has gone.
        self.gone_ns += self.before.values().sum::<u64>();
        self.before = std::mem::take(&mut self.living);
        self.waited_ns = 0;
    }

    fn note(&mut self, pid: i32, own_ns: u64, stat: Stat) {
        let before = self.before.remove(&(pid, stat.start)).unwrap_or(0);
        self.living.insert((pid, stat.start), own_ns.max(before));
        self.waited_ns += stat.waited_ns;
    }

    fn total_ns(&self) -> u64 {
        let living: u64 = self.living.values().sum();
        let gone = self.gone_ns + self.before.values().sum::<u64>();
        living + gone.max(self.waited_ns)
    }
}

fn descendants(pidns: u64, roots: [i32; 2]) -> Vec<i32> {
    let [init, payload] = roots;
    let in_box = |pid: i32| namespace_inode(pid, "pid") == Some(pidns);
    // Pid 1 has one thread, and becomes the parent of orphans.
    let Ok(mut stack) = procfs::pids(format!("/proc/{init}/task/{init}/children")) else {
        // Where `/proc` has `hidepid`, it does not show a user pid 1 of the box.
        return everybody().into_iter().filter(|pid| in_box(*pid)).collect();
    };
    stack.push(payload);
    let mut found = Vec::new();
    while let Some(pid) = stack.pop() {
        let Some(children) = procfs::children(pid) else { continue };
        if in_box(pid) && !found.contains(&pid) {
            found.push(pid);
        }
        stack.extend(children);
    }
    found
}

fn everybody() -> Vec<i32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The first number after a name, of a file of `name number …` lines; 0 where there is none.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn kib(text: &str, name: &str) -> u64 {
    field(text, name) * 1024
}

/// Bytes of memory shared between processes that belongs to no file, each one's part of it. What is
/// mapped of `/tmp`, and of the program, lies in file systems in memory, which are counted as such.
fn shared_memory(smaps: &str) -> u64 {
    let mut counts = false;
    let mut sum = 0;
    for line in smaps.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if first.ends_with(':') {
            if counts && first == "Pss:" {
                sum += kib(line, "Pss:");
            }
        } else {
            // Where it lies, rights, offset, device, inode, name.
            let name = line.split_whitespace().nth(5).unwrap_or_default();
            counts = name == "/dev/zero" || name.starts_with("/memfd:") || name.starts_with("/SYSV");
        }
    }
    sum
}

fn used_bytes(file: &fs::File) -> u64 {
    fstatfs(file).map_or(0, |s| {
        let block = u64::try_from(s.block_size()).unwrap_or(PAGE);
        s.blocks().saturating_sub(s.blocks_free()) * block
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn stat(start: u64, waited_ns: u64) -> Stat {
        Stat { start, waited_ns }
    }

    #[test]
    fn ledger_keeps_what_the_gone_had_used_when_last_seen() {
        let mut ledger = Ledger::default();
        ledger.begin();
        ledger.note(10, 5 * MS, stat(1, 0));
        ledger.note(11, 7 * MS, stat(2, 0));
        assert_eq!(ledger.total_ns(), 12 * MS);
        // 11 has gone, nobody waited for it; another process has its number.
        ledger.begin();
        ledger.note(10, 6 * MS, stat(1, 0));
        ledger.note(11, MS, stat(9, 0));
        assert_eq!(ledger.total_ns(), 14 * MS);
        ledger.begin();
        ledger.note(10, 6 * MS, stat(1, 0));
        assert_eq!(ledger.total_ns(), 14 * MS);
        ledger.begin();
        assert_eq!(ledger.total_ns(), 14 * MS);
    }

    #[test]
    fn ledger_counts_the_waited_for_once() {
        let mut ledger = Ledger::default();
        ledger.begin();
        ledger.note(10, 5 * MS, stat(1, 0));
        ledger.note(11, 7 * MS, stat(2, 0));
        // Its parent has waited for it, when it had used more than was seen.
        ledger.begin();
        ledger.note(10, 5 * MS, stat(1, 20 * MS));
        assert_eq!(ledger.total_ns(), 25 * MS);
    }

    #[test]
    fn payload_that_was_never_looked_at_counts_as_a_process() {
        let start = Start {
            pidns: 0,
            roots: [i32::MAX; 2],
            tmpfs: Vec::new(),
            before_ns: 0,
            before: Usage::default(),
            limit: 1 << 20,
        };
        let mut watch = Watch::new(start);
        assert_eq!(watch.counters().processes_peak, Some(1));
        watch.look();
        assert_eq!(watch.counters().processes_peak, Some(1));
    }

    #[test]
    fn stat_is_read_after_the_last_parenthesis() {
        let text = "7 (a) R) S 1 7 7 0 -1 4194304 1 2 3 4 50 60 7 8 20 0 1 0 4242 9 10 11";
        assert_eq!(Stat::parse(text), Some(Stat { start: 4242, waited_ns: 150 * MS }));
        assert_eq!(Stat::parse("7 (a"), None);
    }

    #[test]
    fn shared_memory_is_that_of_no_file() {
        let smaps = "7f00-7f10 rw-s 00000000 00:01 1 /dev/zero (deleted)\nSize: 64 kB\nPss: 40 kB\nPss_Dirty: 40 kB\n\
                     7f10-7f20 rw-s 00000000 00:22 5 /tmp/file\nPss: 100 kB\n\
                     7f20-7f30 rw-p 00000000 00:00 0\nPss: 1000 kB\n\
                     7f30-7f40 rw-s 00000000 00:01 2 /memfd:x (deleted)\nPss: 2 kB\n";
        assert_eq!(shared_memory(smaps), 42 * 1024);
    }

    #[test]
    fn field_is_that_of_the_whole_name() {
        let status = "Threads:\t3\nRssAnon:\t     12 kB\nRssAnonymous: 5 kB\n";
        assert_eq!(
            (field(status, "Threads:"), kib(status, "RssAnon:"), kib(status, "RssShmem:")),
            (3, 12288, 0)
        );
    }
}

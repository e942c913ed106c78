//! Raw facts at the end of a run.

use crate::policy::model::Limits;
use crate::sys::process::{Ended, Usage};

/// Why the supervisor killed a box, or what a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// CPU time of the whole box.
    CpuTime,
    /// Time since the acknowledged exec.
    WallTime,
    /// Memory of the whole box.
    Memory,
    /// Bytes of an output stream.
    Output,
    /// A refused system call that the policy kills for, or too many of them.
    Violation,
    /// The caller's wish.
    Cancelled,
    /// The supervisor cannot go on.
    Failure,
    /// The program ended by itself.
    Ended,
}

impl Rule {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Rule::CpuTime,
        Rule::WallTime,
        Rule::Memory,
        Rule::Output,
        Rule::Violation,
        Rule::Cancelled,
        Rule::Failure,
        Rule::Ended,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Rule::CpuTime => "cpu_time",
            Rule::WallTime => "wall_time",
            Rule::Memory => "memory",
            Rule::Output => "output",
            Rule::Violation => "violation",
            Rule::Cancelled => "cancelled",
            Rule::Failure => "failure",
            Rule::Ended => "ended",
        }
    }
}

/// A kill, recorded when it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// Why.
    pub rule: Rule,
    /// When, nanoseconds after the start.
    pub at_ns: u64,
}

/// One output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamEvidence {
    /// Bytes handed on.
    pub bytes: u64,
    /// Whether there was more than the limit.
    pub truncated: bool,
}

/// One kind of refused call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// x86-64 call number.
    pub number: u32,
    /// Its arguments.
    pub args: [u64; 6],
    /// How often exactly this was tried.
    pub count: u64,
}

/// Everything that is known when a box is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// How the payload ended; `None` when it was never started or never seen to end.
    pub ended: Option<Ended>,
    /// The step of the set-up that failed, in words.
    pub setup_failed: Option<String>,
    /// What went wrong in the supervisor while the box ran.
    pub failure: Option<String>,
    /// The first kill that was decided.
    pub kill: Option<Kill>,
    /// When the caller's wish for an end took effect: it killed the box, or cut off what was still to
    /// be handed on. Nanoseconds after the start.
    pub cancelled_at_ns: Option<u64>,
    /// The signal with which stockade itself was told to stop.
    pub cancelled_by: Option<i32>,
    /// From the acknowledged exec to the payload's end, nanoseconds.
    pub wall_ns: u64,
    /// CPU time of the whole box, nanoseconds, the set-up's subtracted.
    pub cpu_ns: u64,
    /// The part in user mode.
    pub user_ns: u64,
    /// The part in the kernel.
    pub system_ns: u64,
    /// Whether `cpu_ns` counts every process of the box (a cgroup) or only those waited for.
    pub cpu_counts_all: bool,
    /// The payload's own usage, its waited-for children's included.
    pub payload: Usage,
    /// Highest memory use of the box.
    pub memory_peak: Option<u64>,
    /// Highest number of processes and threads.
    pub processes_peak: Option<u64>,
    /// Processes of the box killed because memory ran out.
    pub oom_kills: u64,
    /// Forks refused by the limit.
    pub forks_refused: u64,
    /// Whether a process of the box had no descriptor left when the box was killed.
    pub descriptors_used_up: bool,
    /// Whether a file in the box's memory was as large as a file may be at the end.
    pub file_at_limit: bool,
    /// Whether `/tmp` and its like had no byte left at the end.
    pub tmp_full: bool,
    /// Whether they had no inode left.
    pub tmp_inodes_full: bool,
    /// Standard output.
    pub stdout: StreamEvidence,
    /// Standard error.
    pub stderr: StreamEvidence,
    /// Refused calls, by kind.
    pub violations: Vec<Violation>,
    /// The limits in force.
    pub limits: Option<Limits>,
}

impl Evidence {
    /// Of a run that never came to be.
    #[must_use]
    pub fn none() -> Self {
        Self {
            ended: None,
            setup_failed: None,
            failure: None,
            kill: None,
            cancelled_at_ns: None,
            cancelled_by: None,
            wall_ns: 0,
            cpu_ns: 0,
            user_ns: 0,
            system_ns: 0,
            cpu_counts_all: false,
            payload: Usage::default(),
            memory_peak: None,
            processes_peak: None,
            oom_kills: 0,
            forks_refused: 0,
            descriptors_used_up: false,
            file_at_limit: false,
            tmp_full: false,
            tmp_inodes_full: false,
            stdout: StreamEvidence::default(),
            stderr: StreamEvidence::default(),
            violations: Vec::new(),
            limits: None,
        }
    }
}

//! The verdict: a pure function of the evidence.
//!
//! A final counter above its limit is that limit's verdict even when the program
//! ended by itself. A kill that the supervisor decided was recorded when it was
//! decided; nothing is inferred from a signal alone.

use std::fmt;

use super::evidence::{Evidence, Rule};
use crate::policy::model::OnOutput;
use crate::sys::process::Ended;

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Ended by itself with status 0.
    Ok,
    /// Ended by itself with another status.
    NonzeroExit,
    /// Died of a signal that no limit sent.
    Signaled,
    /// Used up its wall time.
    WallLimit,
    /// Used up its CPU time.
    CpuLimit,
    /// Wrote more than it may.
    OutputLimit,
    /// Memory ran out.
    MemoryLimit,
    /// Made a call that the policy kills for.
    Violation,
    /// The caller stopped it.
    Cancelled,
    /// It was never started.
    SetupFailed,
    /// The supervisor failed.
    SandboxFailure,
}

impl Verdict {
    /// Every verdict, from the weakest to the strongest.
    pub const ALL: [Verdict; 11] = [
        Verdict::Ok,
        Verdict::NonzeroExit,
        Verdict::Signaled,
        Verdict::WallLimit,
        Verdict::CpuLimit,
        Verdict::OutputLimit,
        Verdict::MemoryLimit,
        Verdict::Violation,
        Verdict::Cancelled,
        Verdict::SetupFailed,
        Verdict::SandboxFailure,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::NonzeroExit => "nonzero_exit",
            Verdict::Signaled => "signaled",
            Verdict::WallLimit => "wall_limit",
            Verdict::CpuLimit => "cpu_limit",
            Verdict::OutputLimit => "output_limit",
            Verdict::MemoryLimit => "memory_limit",
            Verdict::Violation => "violation",
            Verdict::Cancelled => "cancelled",
            Verdict::SetupFailed => "setup_failed",
            Verdict::SandboxFailure => "sandbox_failure",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Verdict {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

/// A verdict, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What became of the run.
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: Rule,
    /// When it was decided, nanoseconds after the start.
    pub at_ns: u64,
    /// Whether the supervisor killed the box for it.
    pub killed: bool,
    /// In words.
    pub reason: String,
}

/// Name of a signal, real-time ones included.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(known) => known.as_str().to_owned(),
        // The C library keeps 32 and 33 for itself; what programs call SIGRTMIN is 34.
        Err(_) if (34..=64).contains(&signal) => format!("SIGRTMIN+{}", signal - 34),
        Err(_) => format!("SIG{signal}"),
    }
}

/// Seconds with three decimals, cut, so that nothing seems to reach what it did not.
fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns % 1_000_000_000 / 1_000_000)
}

/// What became of a run.
#[must_use]
pub fn classify(evidence: &Evidence) -> Decision {
    let killed_for = |rule: Rule| evidence.kill.filter(|k| k.rule == rule);
    let decision = |verdict: Verdict, rule: Rule, reason: String| {
        let kill = killed_for(rule);
        let at_ns = kill.map_or(evidence.wall_ns, |k| k.at_ns);
        Decision { verdict, rule, at_ns, killed: kill.is_some(), reason }
    };
    if let Some(failure) = &evidence.failure {
        return decision(Verdict::SandboxFailure, Rule::Failure, failure.clone());
    }
    if let Some(failed) = &evidence.setup_failed {
        return decision(Verdict::SetupFailed, Rule::Failure, failed.clone());
    }
    if let Some(at_ns) = evidence.cancelled_at_ns {
        let by = evidence.cancelled_by.map_or_else(|| "by the caller".to_owned(), signal_name);
        let reason = format!("cancelled ({by}) after {}", seconds(at_ns));
        return Decision { at_ns, ..decision(Verdict::Cancelled, Rule::Cancelled, reason) };
    }
    let Some(ended) = evidence.ended else {
        let words = "the payload was not seen to end".to_owned();
        return decision(Verdict::SandboxFailure, Rule::Failure, words);
    };
    limits_and_violations(evidence, &decision).unwrap_or_else(|| by_itself(ended, &decision))
}

/// Everything that outranks how the payload ended.
fn limits_and_violations(
    evidence: &Evidence,
    decision: &impl Fn(Verdict, Rule, String) -> Decision,
) -> Option<Decision> {
    let killed_for = |rule: Rule| evidence.kill.is_some_and(|k| k.rule == rule);
    let sigsys = evidence.ended == Some(Ended::Signaled(libc::SIGSYS));
    if killed_for(Rule::Violation) || sigsys {
        let what = match evidence.violations.last() {
            Some(v) if killed_for(Rule::Violation) => {
                format!("killed for the system call {}", super::model::call_name(v.number))
            }
            _ => "died of SIGSYS: a system call that no program here may make".to_owned(),
        };
        return Some(decision(Verdict::Violation, Rule::Violation, what));
    }
    if evidence.oom_kills > 0 || killed_for(Rule::Memory) {
        let limit = evidence.limits.as_ref().map_or(0, |l| l.memory);
        let reason = if evidence.oom_kills > 0 {
            format!("memory ran out at {limit} bytes: {} process(es) killed for it", evidence.oom_kills)
        } else {
            format!("memory use passed {limit} bytes")
        };
        return Some(decision(Verdict::MemoryLimit, Rule::Memory, reason));
    }
    let limits = evidence.limits.as_ref();
    // A payload may write beyond the limit and end before it can be killed for it.
    let over = (evidence.stdout.truncated || evidence.stderr.truncated)
        && limits.is_some_and(|l| l.on_output == OnOutput::Kill);
    if killed_for(Rule::Output) || over {
        let limit = limits.map_or(0, |l| l.output);
        let stream = if evidence.stdout.truncated { "standard output" } else { "standard error" };
        return Some(decision(
            Verdict::OutputLimit,
            Rule::Output,
            format!("{stream} went beyond {limit} bytes"),
        ));
    }
    if killed_for(Rule::CpuTime) || limits.is_some_and(|l| evidence.cpu_ns > l.cpu_ns) {
        let limit = seconds(limits.map_or(0, |l| l.cpu_ns));
        let reason = format!("cpu time {limit} used up after {} of wall time", seconds(evidence.wall_ns));
        return Some(decision(Verdict::CpuLimit, Rule::CpuTime, reason));
    }
    if killed_for(Rule::WallTime) || limits.is_some_and(|l| evidence.wall_ns > l.wall_ns) {
        let limit = seconds(limits.map_or(0, |l| l.wall_ns));
        let reason = format!("wall time {limit} used up, {} of cpu time", seconds(evidence.cpu_ns));
        return Some(decision(Verdict::WallLimit, Rule::WallTime, reason));
    }
    None
}

/// How the payload ended, where nothing outranks it.
fn by_itself(ended: Ended, decision: &impl Fn(Verdict, Rule, String) -> Decision) -> Decision {
    match ended {
        Ended::Signaled(signal) => {
            let reason = format!("died of {}", signal_name(signal));
            decision(Verdict::Signaled, Rule::Ended, reason)
        }
        Ended::Exited(0) => decision(Verdict::Ok, Rule::Ended, "ended with status 0".to_owned()),
        Ended::Exited(code) => {
            decision(Verdict::NonzeroExit, Rule::Ended, format!("ended with status {code}"))
        }
    }
}

/// Limits that were reached, whatever the verdict.
#[must_use]
pub fn limits_hit(evidence: &Evidence) -> Vec<&'static str> {
    let killed_for = |rule: Rule| evidence.kill.is_some_and(|k| k.rule == rule);
    let limits = evidence.limits.as_ref();
    let over = |value: u64, limit: fn(&crate::policy::model::Limits) -> u64| {
        limits.is_some_and(|l| value > limit(l))
    };
    let facts = [
        ("cpu_time", killed_for(Rule::CpuTime) || over(evidence.cpu_ns, |l| l.cpu_ns)),
        ("wall_time", killed_for(Rule::WallTime) || over(evidence.wall_ns, |l| l.wall_ns)),
        ("memory", killed_for(Rule::Memory) || evidence.oom_kills > 0),
        ("processes", evidence.forks_refused > 0),
        ("open_files", evidence.descriptors_used_up),
        ("file_size", evidence.file_at_limit || evidence.ended == Some(Ended::Signaled(libc::SIGXFSZ))),
        ("output", killed_for(Rule::Output) || evidence.stdout.truncated || evidence.stderr.truncated),
        ("tmp", evidence.tmp_full),
        ("tmp_inodes", evidence.tmp_inodes_full),
    ];
    facts.into_iter().filter(|(_, hit)| *hit).map(|(name, _)| name).collect()
}

/// The exit status of `stockade run`.
#[must_use]
pub fn exit_status(evidence: &Evidence, decision: &Decision) -> u8 {
    let signal_status = |signal: i32| u8::try_from(128 + signal).unwrap_or(u8::MAX);
    match decision.verdict {
        Verdict::SandboxFailure | Verdict::SetupFailed => 125,
        Verdict::Cancelled => signal_status(evidence.cancelled_by.unwrap_or(libc::SIGTERM)),
        Verdict::Violation
        | Verdict::MemoryLimit
        | Verdict::OutputLimit
        | Verdict::CpuLimit
        | Verdict::WallLimit => 124,
        Verdict::Signaled | Verdict::NonzeroExit | Verdict::Ok => match evidence.ended {
            Some(Ended::Exited(code)) => code,
            Some(Ended::Signaled(signal)) => signal_status(signal),
            None => 125,
        },
    }
}

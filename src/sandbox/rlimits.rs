//! Limits of each process, soft and hard alike.
//!
//! They stand behind the cgroup: exact where they are the only mechanism
//! (descriptors, file size, stack, core), a second wall elsewhere.
//!
//! # References
//! `getrlimit(2)`

use super::child::{Failed, Steps};
use super::order::Step;
use super::plan::Rlimit;
use crate::policy::model::{Limits, Stack};
use crate::sys::{self, Errno, limits};

/// The value of `RLIMIT_CORE` that also stops a piped core handler, which 0 does
/// not: see `core(5)` and `fs/coredump.c`.
pub const CORE_NEVER: u64 = 1;

/// Seconds that `RLIMIT_CPU` gives beyond the limit: it only acts when the
/// supervisor cannot.
const CPU_BACKSTOP_SECONDS: u64 = 1;

/// Queued signals and POSIX timers of the box.
const SIGPENDING: u64 = 256;

const NANOSECOND: u64 = 1_000_000_000;

/// The limits of a policy, for a box with a cgroup that counts its processes, or without one.
#[must_use]
pub fn prepare(policy: &Limits, counted: bool) -> Vec<Rlimit> {
    let set = |resource: u32, value: u64| Rlimit { resource, value, without_inner: 0, instead: None };
    let cpu = policy.cpu_ns.div_ceil(NANOSECOND).saturating_add(CPU_BACKSTOP_SECONDS);
    let stack = match policy.stack {
        Stack::Memory => policy.memory,
        Stack::Bytes(bytes) => bytes,
    };
    // A cgroup counts the forks that it refuses, this limit does not, and it is asked first: it must
    // not refuse what the cgroup would, not even while each process has a fork under way.
    let processes = u64::from(policy.processes) * if counted { 2 } else { 1 };
    vec![
        Rlimit { instead: Some(0), ..set(libc::RLIMIT_CORE, CORE_NEVER) },
        set(libc::RLIMIT_CPU, cpu),
        set(libc::RLIMIT_FSIZE, policy.file_size),
        set(libc::RLIMIT_NOFILE, u64::from(policy.open_files)),
        set(libc::RLIMIT_STACK, stack),
        // Processes are counted for each user namespace; pid 1 is in the outer one.
        Rlimit { without_inner: 1, ..set(libc::RLIMIT_NPROC, processes) },
        set(libc::RLIMIT_MEMLOCK, 0),
        set(libc::RLIMIT_MSGQUEUE, 0),
        set(libc::RLIMIT_SIGPENDING, SIGPENDING),
        set(libc::RLIMIT_NICE, 0),
        set(libc::RLIMIT_RTPRIO, 0),
    ]
}

/// Child only: sets them all; answers the core limit in force.
pub fn apply(steps: Steps, inner: bool) -> Result<u32, Failed> {
    let mut core = 0;
    for (i, limit) in steps.plan.rlimits.iter().enumerate() {
        let value = limit.value + if inner { 0 } else { limit.without_inner };
        let in_force = steps.nth(Step::Rlimit, i, || set_or_instead(limit, value))?;
        if limit.resource == libc::RLIMIT_CORE {
            core = u32::try_from(in_force).unwrap_or(u32::MAX);
        }
    }
    Ok(core)
}

/// Child only: one limit, or what takes its place where it is refused.
fn set_or_instead(limit: &Rlimit, value: u64) -> sys::Result<u64> {
    match (limits::set(limit.resource, value), limit.instead) {
        (Err(Errno::EPERM), Some(instead)) => limits::set(limit.resource, instead).map(|()| instead),
        (answer, _) => answer.map(|()| value),
    }
}

/// Name of a limit, as in the manual page.
#[must_use]
pub fn name(resource: u32) -> &'static str {
    match resource {
        libc::RLIMIT_CORE => "RLIMIT_CORE",
        libc::RLIMIT_CPU => "RLIMIT_CPU",
        libc::RLIMIT_FSIZE => "RLIMIT_FSIZE",
        libc::RLIMIT_NOFILE => "RLIMIT_NOFILE",
        libc::RLIMIT_STACK => "RLIMIT_STACK",
        libc::RLIMIT_NPROC => "RLIMIT_NPROC",
        libc::RLIMIT_MEMLOCK => "RLIMIT_MEMLOCK",
        libc::RLIMIT_MSGQUEUE => "RLIMIT_MSGQUEUE",
        libc::RLIMIT_SIGPENDING => "RLIMIT_SIGPENDING",
        libc::RLIMIT_NICE => "RLIMIT_NICE",
        libc::RLIMIT_RTPRIO => "RLIMIT_RTPRIO",
        _ => "RLIMIT_?",
    }
}

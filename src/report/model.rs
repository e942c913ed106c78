//! The document: `stockade.report/1`. Fields are only ever added.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::evidence::{Evidence, Violation};
use super::explanation::Explanation;
use super::verdict::{Decision, Verdict, limits_hit, signal_name};
use crate::Layer;
use crate::policy::model::{Limits, OnOutput, Stack};
use crate::sandbox::{Brought, Collected};
use crate::sys::process::Ended;

/// Name and version of the document.
pub const SCHEMA: &str = "stockade.report/1";

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecidedBy {
    /// The rule.
    pub rule: &'static str,
    /// Nanoseconds after the start.
    pub at_ns: u64,
    /// Whether the box was killed for it.
    pub killed: bool,
}

/// What was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageReport {
    /// CPU time of the whole box.
    pub cpu_ns: u64,
    /// The part in user mode.
    pub user_ns: u64,
    /// The part in the kernel.
    pub system_ns: u64,
    /// Whether the two parts are counted or sampled by the tick.
    pub split: &'static str,
    /// From the acknowledged exec to the payload's end.
    pub wall_ns: u64,
    /// Highest memory use of the box.
    pub memory_peak_bytes: Option<u64>,
    /// Highest number of processes and threads.
    pub processes_peak: Option<u64>,
    /// Processes killed because memory ran out.
    pub oom_kills: u64,
    /// Forks refused by the limit.
    pub forks_refused: u64,
    /// Context switches of the payload and its waited-for children.
    pub context_switches: u64,
    /// The payload's own CPU time, its waited-for children's included.
    pub payload_cpu_ns: u64,
    /// Bytes of standard input handed in.
    pub stdin_bytes: u64,
    /// Bytes of standard output handed on.
    pub stdout_bytes: u64,
    /// Bytes of standard error handed on.
    pub stderr_bytes: u64,
    /// Whether standard output was cut.
    pub stdout_truncated: bool,
    /// Whether standard error was cut.
    pub stderr_truncated: bool,
}

/// The limits in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitsReport {
    cpu_ns: u64,
    wall_ns: u64,
    memory_bytes: u64,
    processes: u32,
    open_files: u32,
    file_size_bytes: u64,
    output_bytes: u64,
    on_output: &'static str,
    stack_bytes: u64,
}

impl From<&Limits> for LimitsReport {
    fn from(l: &Limits) -> Self {
        Self {
            cpu_ns: l.cpu_ns,
            wall_ns: l.wall_ns,
            memory_bytes: l.memory,
            processes: l.processes,
            open_files: l.open_files,
            file_size_bytes: l.file_size,
            output_bytes: l.output,
            on_output: match l.on_output {
                OnOutput::Kill => "kill",
                OnOutput::Cut => "cut",
            },
            stack_bytes: match l.stack {
                Stack::Memory => l.memory,
                Stack::Bytes(bytes) => bytes,
            },
        }
    }
}

/// One kind of refused call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViolationReport {
    /// Its name.
    pub syscall: String,
    /// Its number.
    pub number: u32,
    /// Its arguments, as the filter saw them.
    pub args: [String; 6],
    /// How often.
    pub count: u64,
    /// What was done.
    pub action: &'static str,
}

/// Whether a layer is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The kernel confirmed it.
    Enforced,
    /// Not in full, and the request said that this will do.
    Degraded,
    /// Never looked at: the run ended before.
    Unknown,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerReport {
    /// Whether it is in force.
    pub status: Status,
    /// What the kernel said.
    pub kernel: Map<String, Value>,
}

/// A policy, by name and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyReport {
    /// Its name.
    pub name: String,
    /// SHA-256 of the resolved policy.
    pub digest: String,
}

/// The root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageReport {
    /// Its id.
    pub id: String,
    /// Files in it.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Programs besides the loader.
    pub programs: u64,
    /// How it was looked at before the run: `stamp`, `stat`, `full`, or `copied`
    /// where the root is a private copy that was compared while it was made.
    pub verified: &'static str,
}

/// The payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PayloadReport {
    /// SHA-256 of the copy that ran, in hex.
    pub sha256: Option<String>,
    /// Bytes.
    pub bytes: u64,
    /// File name.
    pub name: String,
}

/// The host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostReport {
    /// Kernel release.
    pub kernel: String,
    /// Landlock's ABI; 0 where there is none.
    pub landlock_abi: u32,
    /// `v1`, `v2` or `none`.
    pub cgroup: &'static str,
    /// Effective user id of stockade.
    pub uid: u32,
}

/// What was left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CleanupReport {
    /// Nothing.
    pub ok: bool,
    /// What.
    pub left: Vec<String>,
}

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Version of stockade.
    pub stockade: &'static str,
    /// Of this run.
    pub id: String,
    /// What became of it.
    pub verdict: Verdict,
    /// In words.
    pub reason: String,
    /// What decided.
    pub decided_by: DecidedBy,
    /// The payload's own status, where it ended by itself.
    pub exit_code: Option<u8>,
    /// The signal it died of.
    pub signal: Option<String>,
    /// What was used.
    pub usage: Option<UsageReport>,
    /// From the request to the acknowledged exec.
    pub setup_ns: u64,
    /// From the payload's end to the box's.
    pub teardown_ns: u64,
    /// The limits in force.
    pub limits: Option<LimitsReport>,
    /// Those that were reached.
    pub limits_hit: Vec<&'static str>,
    /// Refused calls.
    pub violations: Vec<ViolationReport>,
    /// Every layer, by name.
    pub layers: BTreeMap<&'static str, LayerReport>,
    /// Layers that are not there in full.
    pub degraded: Vec<Layer>,
    /// Facts worth knowing that weaken nothing.
    pub notes: Vec<String>,
    /// The policy.
    pub policy: Option<PolicyReport>,
    /// The root file system.
    pub image: Option<ImageReport>,
    /// The payload.
    pub payload: Option<PayloadReport>,
    /// The host.
    pub host: HostReport,
    /// What was left behind.
    pub cleanup: CleanupReport,
    /// What was copied into the box before it ran, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<Brought>,
    /// What was collected, where that was asked for and the box ran to an end of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<Collected>>,
    /// What the policy stood in the way of, where that was asked for: the likely cause first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanations: Option<Vec<Explanation>>,
    /// The exit status that `stockade run` gives for it.
    #[serde(skip)]
    pub exit_status: u8,
}

/// Name of a call, or its number where it has none here.
#[must_use]
pub fn call_name(number: u32) -> String {
    match syscalls::Sysno::new(number as usize) {
        Some(known) => known.name().to_owned(),
        None => format!("#{number}"),
    }
}

impl ViolationReport {
    /// Of one kind of refused call.
    #[must_use]
    pub fn new(violation: &Violation, action: &'static str) -> Self {
        Self {
            syscall: call_name(violation.number),
            number: violation.number,
            args: violation.args.map(|a| format!("{a:#x}")),
            count: violation.count,
            action,
        }
    }
}

/// The parts of a report that follow from the evidence alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The verdict and its grounds.
    pub decision: Decision,
    /// The payload's own status.
    pub exit_code: Option<u8>,
    /// The signal it died of.
    pub signal: Option<String>,
    /// Limits that were reached.
    pub limits_hit: Vec<&'static str>,
    /// Exit status of `stockade run`.
    pub exit_status: u8,
}

/// Judges the evidence.
#[must_use]
pub fn judge(evidence: &Evidence) -> Judged {
    let decision = super::verdict::classify(evidence);
    // What ended before it was the payload has no end of the payload's.
    let ended = evidence.ended.filter(|_| evidence.setup_failed.is_none());
    let (exit_code, signal) = match ended {
        Some(Ended::Exited(code)) => (Some(code), None),
        Some(Ended::Signaled(signal)) => (None, Some(signal_name(signal))),
        None => (None, None),
    };
    let exit_status = super::verdict::exit_status(evidence, &decision);
    Judged { decision, exit_code, signal, limits_hit: limits_hit(evidence), exit_status }
}

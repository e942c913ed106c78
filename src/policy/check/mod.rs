//! From the parts of a policy to the policy: what the parts say about each
//! other.
//!
//! Guarantees: what comes out is runnable as far as the policy alone can tell.

mod calls;
mod command;
mod paths;

use super::digest;
use super::findings::{Collector, Finding};
use super::model::{Limits, PayloadPlace, Policy, Syscalls, User};
use super::read::{Document, Field, RawLimits};
use super::suggest;

/// What a document turned out to be.
#[derive(Debug)]
pub(super) enum Checked {
    /// A policy that can be run.
    Runnable(Box<Policy>),
    /// A policy that is good, and has no command: only to be extended.
    Partial,
}

/// Judges a merged document. `None` if there are findings.
pub(super) fn check(document: &Document, collector: &mut Collector) -> Option<Checked> {
    let before = collector.count();
    missing(document, collector);
    let paths = paths::check(document, collector);
    let (allow, violations) = calls::check(document, collector);
    let runnable = command::check(document, paths.as_deref(), collector);
    if collector.count() > before {
        return None;
    }
    if !runnable {
        return Some(Checked::Partial);
    }
    let syscalls = Syscalls {
        on_violation: *document.on_violation.good()?,
        max_violations: *document.max_violations.good()?,
        allow: allow?,
        violations: violations?,
    };
    let policy = Policy {
        name: document.name.good()?.clone(),
        comment: document.comment.good()?.clone(),
        image: document.image.good()?.clone(),
        payload: payload(document)?,
        command: document.command.good()?.iter().map(|w| w.value.clone()).collect(),
        argv0: document.argv0.good().cloned(),
        user: User { uid: *document.uid.good()?, gid: *document.gid.good()? },
        hostname: document.hostname.good()?.clone(),
        cwd: document.cwd.good()?.clone(),
        env: document.env.good().cloned().unwrap_or_default(),
        paths: paths?,
        network: *document.network.good()?,
        landlock_min_abi: *document.min_abi.good()?,
        exec: *document.exec.good()?,
        wx: *document.wx.good()?,
        syscalls,
        limits: limits(&document.limits)?,
        degrade: document.degrade.good().cloned().unwrap_or_default(),
        digest: String::new(),
    };
    let digest = digest(&policy);
    Some(Checked::Runnable(Box::new(Policy { digest, ..policy })))
}

/// Says what nobody wrote. What makes a policy runnable is
/// [`command::check`]'s.
fn missing(document: &Document, collector: &mut Collector) {
    let d = document;
    let mut names: Vec<&str> = [
        ("version", d.version.is_absent()),
        ("name", d.name.is_absent()),
        ("comment", d.comment.is_absent()),
        ("user.uid", d.uid.is_absent()),
        ("user.gid", d.gid.is_absent()),
        ("hostname", d.hostname.is_absent()),
        ("cwd", d.cwd.is_absent()),
        ("paths", d.paths.is_absent()),
        ("network", d.network.is_absent()),
        ("landlock", d.min_abi.is_absent()),
        ("exec", d.exec.is_absent()),
        ("wx", d.wx.is_absent()),
        ("syscalls.on_violation", d.on_violation.is_absent()),
        ("syscalls.max_violations", d.max_violations.is_absent()),
        ("syscalls.allow", d.allow.is_absent()),
    ]
    .into_iter()
    .filter(|(_, absent)| *absent)
    .map(|(name, _)| name)
    .collect();
    let limits: Vec<String> = if d.limits_bad { Vec::new() } else { d.limits.missing() }
        .into_iter()
        .map(|name| format!("limits.{name}"))
        .collect();
    names.extend(limits.iter().map(String::as_str));
    if names.is_empty() {
        return;
    }
    let finding = Finding::at(d.open, format!("this policy has no {}", suggest::list(&names)));
    let own = ["version", "name", "comment"];
    collector.say(if names.iter().all(|n| own.contains(n)) {
        finding.help("every policy says this itself")
    } else {
        finding.help("nothing has a default: write it, or start from a built-in policy with `extends`")
    });
}

fn payload(document: &Document) -> Option<PayloadPlace> {
    document.payload.good().cloned()
}

fn limits(raw: &RawLimits) -> Option<Limits> {
    Some(Limits {
        cpu_ns: *raw.cpu_time.good()?,
        wall_ns: *raw.wall_time.good()?,
        memory: *raw.memory.good()?,
        processes: *raw.processes.good()?,
        open_files: *raw.open_files.good()?,
        file_size: *raw.file_size.good()?,
        output: *raw.output.good()?,
        on_output: *raw.on_output.good()?,
        stack: *raw.stack.good()?,
    })
}

/// Whether a field was written at all, good or bad.
fn given<T>(field: &Field<T>) -> bool {
    !field.is_absent()
}

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
        verify: document.verify.good().copied().unwrap_or_default(),
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
    let mut names: Vec<&str> = Vec::new();
    let mut note = |absent: bool, name: &'static str| {
        if absent {
            names.push(name);
        }
    };
    note(d.version.is_absent(), "version");
    note(d.name.is_absent(), "name");
    note(d.comment.is_absent(), "comment");
    let user = [(d.uid.is_absent(), "user.uid"), (d.gid.is_absent(), "user.gid")];
    group(&user, "user", &mut note);
    note(d.hostname.is_absent(), "hostname");
    note(d.cwd.is_absent(), "cwd");
    note(d.paths.is_absent(), "paths");
    note(d.network.is_absent(), "network");
    note(d.min_abi.is_absent(), "landlock");
    note(d.exec.is_absent(), "exec");
    note(d.wx.is_absent(), "wx");
    let syscalls = [
        (d.on_violation.is_absent(), "syscalls.on_violation"),
        (d.max_violations.is_absent(), "syscalls.max_violations"),
        (d.allow.is_absent(), "syscalls.allow"),
    ];
    group(&syscalls, "syscalls", &mut note);
    if !d.limits_bad {
        group(&d.limits.absent(), "limits", &mut note);
    }
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

/// Notes the parts that are absent, or the whole if all are.
fn group(parts: &[(bool, &'static str)], whole: &'static str, note: &mut impl FnMut(bool, &'static str)) {
    if parts.iter().all(|p| p.0) {
        note(true, whole);
    } else {
        for (absent, name) in parts {
            note(*absent, name);
        }
    }
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

//! Processes that outlive, hide, forge their end, or cannot be ended.

use std::time::Duration;

use super::{Steps, Target, files, in_child, refuse, say, step};
use crate::error::no_matter;
use crate::escape::outcome::{Saw, name};
use crate::sys::process::{self, exit_now};
use crate::sys::signal::{self, Disposition};
use crate::sys::{self, probe};

const FOREVER: Duration = Duration::from_secs(3600);

/// Where a process that should be dead shows that it is not.
fn heartbeat(target: &Target) -> String {
    match (&target.scratch, target.inside()) {
        (_, true) => "/data/heartbeat".to_owned(),
        (Some(dir), false) => format!("{dir}/heartbeat"),
        (None, false) => "/nowhere".to_owned(),
    }
}

/// A process that nothing but the box's end should end: a session and a parent
/// of its own, no stream, no signal at the parent's death.
fn daemon(target: &Target) -> sys::Result<()> {
    match probe::fork()? {
        0 => {
            no_matter(process::setsid(), "the next lines count");
            if probe::fork() == Ok(0) {
                no_matter(process::prctl(libc::PR_SET_PDEATHSIG, 0, 0), "none is inherited anyway");
                no_matter(process::set_name(c"daemon"), "a name");
                for stream in 0..3 {
                    no_matter(sys::fd::close(stream), "it may be closed");
                }
                for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
                    no_matter(signal::set_disposition(signal, Disposition::Ignore), "it ends all the same");
                }
                files::heart(&heartbeat(target))
            }
            exit_now(0)
        }
        pid => {
            no_matter(process::wait_pid(pid, true), "somebody has reaped it");
            Ok(())
        }
    }
}

/// PS-06: a daemon; the payload itself ends.
pub fn leave_daemon(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for _ in 0..3 {
        saw.step("daemon", daemon(target));
    }
    super::rest(Duration::from_millis(100));
    saw
}

/// PS-05: a daemon, and a payload that waits for its launcher to be killed.
pub fn survive_launcher(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    refuse!(saw, "prctl(PDEATHSIG, 0)", SYS_prctl, libc::PR_SET_PDEATHSIG, 0, 0, 0, 0);
    saw.step("daemon", daemon(target));
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGPIPE] {
        saw.step("ignore a signal", signal::set_disposition(signal, Disposition::Ignore));
    }
    say("W ready");
    files::heart(&heartbeat(target))
}

/// PS-07: a sibling, which the supervisor might take for the payload.
pub fn make_sibling(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    for high in [0i64, 1 << 32] {
        let flags = i64::from(flags) | high;
        let made = probe::call(libc::SYS_clone, &[flags.into(), 0.into(), 0.into(), 0.into(), 0.into()]);
        if made == Ok(0) {
            exit_now(0);
        }
        let what = format!("clone(PARENT|{high:#x})");
        // In the box what counts is whose status is reported.
        if target.inside() {
            saw.step(what, made);
        } else {
            saw.must_refuse(what, libc::SYS_clone, made);
        }
    }
    super::rest(Duration::from_millis(20));
    if target.inside() {
        say(&format!("R PS-07 {}", serde_json::to_string(&saw).unwrap_or_default()));
        exit_now(42);
    }
    saw
}

/// PS-08: many orphans, kept from pid 1.
pub fn hide_orphans(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    refuse!(saw, "prctl(SUBREAPER)", SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if !target.inside() {
        no_matter(process::prctl(libc::PR_SET_CHILD_SUBREAPER, 0, 0), "it ends now");
        return saw;
    }
    for _ in 0..10 {
        saw.step("daemon", daemon(target));
    }
    saw
}

/// PS-10, DS-09: does nothing, for ever, in the way that the order names.
pub fn wait_for_ever(_: &Target, steps: &mut Steps<'_>) -> Saw {
    say("W ready");
    let mut saw = Saw::new();
    match steps.variant() {
        "stop" => {
            no_matter(probe::call(libc::SYS_kill, &[own().into(), libc::SIGSTOP.into()]), "then it sleeps")
        }
        "pause" => no_matter(probe::call(libc::SYS_pause, &[]), "then it sleeps"),
        "futex" => {
            let word = probe::Room::default();
            no_matter(
                probe::call(libc::SYS_futex, &[(&word).into(), 0.into(), 0.into(), 0.into()]),
                "then it sleeps",
            );
        }
        "read" => {
            let mut byte = [0u8];
            no_matter(sys::fd::read(0, &mut byte), "then it sleeps");
        }
        "poll" => {
            no_matter(probe::call(libc::SYS_poll, &[0.into(), 0.into(), (-1).into()]), "then it sleeps")
        }
        // The parent of a vfork waits in the kernel for a child that sleeps.
        "vfork" => no_matter(probe::fork(), "both sleep"),
        _ => {}
    }
    super::rest(FOREVER);
    saw.leak("it woke up by itself");
    saw
}

fn own() -> i64 {
    probe::call(libc::SYS_getpid, &[]).map_or(0, |pid| i64::try_from(pid).unwrap_or(0))
}

/// PS-12: ends as the order names: `exit-N` or `signal-N`.
pub fn end_as(_: &Target, steps: &mut Steps<'_>) -> Saw {
    let (kind, number) = steps.variant().split_once('-').unwrap_or(("", ""));
    let number: i32 = number.parse().unwrap_or(0);
    if kind == "exit" {
        exit_now(number);
    }
    no_matter(signal::set_disposition(number, Disposition::Default), "it may have no other");
    no_matter(probe::call(libc::SYS_kill, &[own().into(), number.into()]), "it goes on then");
    super::rest(Duration::from_millis(200));
    Saw::new()
}

/// PS-13, DS-15: crashes with much mapped, and looks at what was written.
pub fn dump_core(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let unlimited = [u64::MAX; 2].map(u64::to_le_bytes).concat();
    step!(saw, "prlimit64(CORE)", SYS_prlimit64, 0, libc::RLIMIT_CORE, unlimited.as_slice(), 0);
    let soft_only = [1u64 << 20, u64::MAX].map(u64::to_le_bytes).concat();
    step!(saw, "prlimit64(CORE, soft)", SYS_prlimit64, 0, libc::RLIMIT_CORE, soft_only.as_slice(), 0);
    if !target.inside() {
        // Its own hard limit may be lower than unlimited.
        let now = probe::Room::default();
        step!(saw, "prlimit64 asked", SYS_prlimit64, 0, libc::RLIMIT_CORE, 0, &now);
        let hard = u64::from_le_bytes(now.bytes()[8..16].try_into().unwrap_or_default());
        let raised = [hard, hard].map(u64::to_le_bytes).concat();
        step!(saw, "prlimit64(CORE, hard)", SYS_prlimit64, 0, libc::RLIMIT_CORE, raised.as_slice(), 0);
        if let Some(dir) = &target.scratch {
            no_matter(std::env::set_current_dir(dir), "the core goes elsewhere");
        }
    }
    match probe::fork() {
        Ok(0) => {
            no_matter(process::set_dumpable(true), "the policy may not have it");
            no_matter(signal::set_disposition(libc::SIGSEGV, Disposition::Default), "it has no other");
            no_matter(probe::call(libc::SYS_kill, &[own().into(), libc::SIGSEGV.into()]), "it goes on then");
            exit_now(0)
        }
        Ok(pid) => {
            let status = probe::Room::default();
            step!(saw, "wait4", SYS_wait4, pid, &status, 0, 0);
            let status = i32::from_le_bytes(status.bytes()[..4].try_into().unwrap_or_default());
            saw.note("core dumped", if libc::WCOREDUMP(status) { "yes" } else { "no" });
            if libc::WCOREDUMP(status) {
                saw.leak("a core was dumped");
            }
        }
        Err(errno) => saw.note("fork", name(errno)),
    }
    for dir in [".", "/box", "/tmp", "/"] {
        let cores = std::fs::read_dir(dir).into_iter().flatten().flatten();
        for core in cores.filter(|e| e.file_name().to_string_lossy().starts_with("core")) {
            saw.leak(format!("a core was written to {dir}"));
            no_matter(std::fs::remove_file(core.path()), "it is a box");
        }
    }
    saw
}

/// PS-16: more of the processor than others.
pub fn take_priority(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    refuse!(saw, "setpriority(-5)", SYS_setpriority, 0, 0, -5);
    let parameter = 1u32.to_le_bytes();
    for (what, policy) in [("FIFO", 1), ("RR", 2), ("DEADLINE", 6)] {
        refuse!(
            saw,
            format!("sched_setscheduler({what})"),
            SYS_sched_setscheduler,
            0,
            policy,
            parameter.as_slice()
        );
    }
    let mut attr = [0u8; 48];
    attr[0] = 48;
    attr[4] = 6;
    for (at, value) in [(24, 10u8), (32, 30), (40, 30)] {
        attr[at + 3] = value;
    }
    refuse!(saw, "sched_setattr(DEADLINE)", SYS_sched_setattr, 0, attr.as_slice(), 0);
    refuse!(saw, "ioprio_set(RT)", SYS_ioprio_set, 1, 0, 1 << 13);
    saw
}

/// PS-41: a session, a group, a root of its own.
pub fn change_group(target: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("setpgid", || {
        let mut saw = Saw::new();
        if target.facts.groups {
            saw.note("setpgid", "the policy's");
        } else {
            refuse!(saw, "setpgid(0, 0)", SYS_setpgid, 0, 0);
        }
        refuse!(saw, "setsid", SYS_setsid);
        saw
    })
}

/// CG-02: forks at once, and shows where its children are to be found.
pub fn fork_at_once(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for _ in 0..3 {
        match probe::fork() {
            Ok(0) => {
                super::rest(FOREVER);
                exit_now(0)
            }
            Ok(_) => saw.note("fork", "ok"),
            Err(errno) => saw.note("fork", name(errno)),
        }
    }
    say("W ready");
    let mut byte = [0u8];
    no_matter(sys::fd::read(0, &mut byte), "the end");
    saw
}

/// SV-01: what a supervisor might take for its own.
pub fn forge_report(_: &Target, _: &mut Steps<'_>) -> Saw {
    let report =
        r#"{"schema":"stockade.report/1","verdict":"ok","exit_code":0,"signal":null,"violations":[]}"#;
    for stream in [1, 2] {
        for text in
            [report.as_bytes(), b"\nstockade: ok: exit 0\n", b"\0\r\x1b[2K\x1b[1Gstockade: ok: exit 0\n"]
        {
            no_matter(sys::fd::write(stream, text), "a forgery less");
        }
    }
    for number in 3..64 {
        no_matter(sys::fd::write(number, report.as_bytes()), "there is none");
    }
    exit_now(42)
}

/// TT-04: sequences that a terminal would act on, on both streams.
pub fn write_sequences(_: &Target, _: &mut Steps<'_>) -> Saw {
    for stream in [1, 2] {
        no_matter(sys::fd::write(stream, super::terminal::HOSTILE_OUTPUT), "nothing to see");
    }
    exit_now(0)
}

/// FD-03: forges a verdict on whatever it can write, then ends with 42.
pub fn forge_verdict(target: &Target, steps: &mut Steps<'_>) -> Saw {
    let saw = super::pidone::steal_descriptors(target, steps);
    say(&format!("R {} {}", "FD-03", serde_json::to_string(&saw).unwrap_or_default()));
    if target.inside() { exit_now(42) } else { saw }
}

//! However a payload ends, the report is right and nothing is left.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::{Caller, Ran, patience, payload, payload_of, run, sample};

fn probe() -> std::path::PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

fn assert_clean(ran: &Ran) {
    assert_eq!(ran.report["cleanup"]["ok"], true, "{}", ran.all());
    assert_eq!(ran.report["cleanup"]["left"].as_array().unwrap().len(), 0);
}

#[test]
fn every_exit_code_is_passed_on() {
    for caller in Caller::all() {
        for code in sample(0..=255) {
            let ran = run(caller, probe()).args(["exit", &code.to_string()]).go();
            assert_eq!(ran.status, code, "{}", ran.all());
            assert_eq!(ran.report["exit_code"], code);
            assert_eq!(ran.verdict(), if code == 0 { "ok" } else { "nonzero_exit" });
            assert_clean(&ran);
        }
    }
}

#[test]
fn every_signal_is_told_by_its_name() {
    // What does nothing by default, and what stops.
    let harmless: BTreeSet<i32> =
        [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH].into_iter().collect();
    let stopping: BTreeSet<i32> =
        [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].into_iter().collect();
    for caller in Caller::all() {
        for signal in sample(1..=64) {
            let begin = Instant::now();
            let ran = run(caller, probe())
                .options(["--wall-time", "400ms"])
                .args(["signal", &signal.to_string()])
                .go();
            if harmless.contains(&signal) {
                assert_eq!((ran.verdict(), ran.status), ("nonzero_exit", 99), "{signal} {}", ran.all());
            } else if signal == libc::SIGTSTP || signal == libc::SIGTTIN || signal == libc::SIGTTOU {
                // An orphaned process group is not stopped by the terminal's signals.
                assert_eq!((ran.verdict(), ran.status), ("nonzero_exit", 99), "{signal} {}", ran.all());
            } else if stopping.contains(&signal) {
                assert_eq!((ran.verdict(), ran.status), ("wall_limit", 124), "{signal} {}", ran.all());
                assert!(begin.elapsed() < patience(Duration::from_secs(5)));
            } else if signal == libc::SIGSYS {
                assert_eq!((ran.verdict(), ran.status), ("violation", 124), "{signal} {}", ran.all());
            } else {
                assert_eq!((ran.verdict(), ran.status), ("signaled", 128 + signal), "{signal} {}", ran.all());
                let name = ran.report["signal"].as_str().unwrap();
                match signal {
                    1..=31 => {
                        let known = nix::sys::signal::Signal::try_from(signal).unwrap();
                        assert_eq!(name, known.as_str());
                    }
                    32 | 33 => assert_eq!(name, format!("SIG{signal}")),
                    _ => assert_eq!(name, format!("SIGRTMIN+{}", signal - 34)),
                }
                assert_eq!(ran.report["exit_code"], serde_json::Value::Null);
            }
            assert_clean(&ran);
        }
    }
}

#[test]
fn abort_is_sigabrt_not_a_crash_of_pid_1() {
    for caller in Caller::all() {
        let ran = run(caller, probe()).args(["abort"]).go();
        assert_eq!(ran.report["signal"], "SIGABRT", "{}", ran.all());
        assert_eq!(ran.status, 134);
    }
}

#[test]
fn orphan_that_holds_stdout_does_not_hold_up_the_end() {
    for caller in Caller::all() {
        let begin = Instant::now();
        let ran = run(caller, probe()).args(["orphan"]).go();
        assert_eq!((ran.status, ran.text().as_str()), (5, "parent done\n"), "{}", ran.all());
        assert!(begin.elapsed() < patience(Duration::from_secs(5)));
        assert_clean(&ran);
    }
}

#[test]
fn sibling_of_the_payload_is_refused_and_confuses_nobody() {
    for caller in Caller::all() {
        let ran = run(caller, probe()).args(["sibling"]).go();
        assert_eq!((ran.status, ran.text().as_str()), (42, "clone-parent EPERM\n"), "{}", ran.all());
        assert_eq!(ran.report["violations"][0]["syscall"], "clone");
        assert_clean(&ran);
    }
}

#[test]
fn payload_that_stops_itself_ends_at_the_wall_limit() {
    for caller in Caller::all() {
        let ran = run(caller, probe()).options(["--wall-time", "300ms"]).args(["stop"]).go();
        assert_eq!((ran.verdict(), ran.status), ("wall_limit", 124), "{}", ran.all());
        assert_eq!(ran.report["limits_hit"], serde_json::json!(["wall_time"]));
        assert_eq!(ran.report["decided_by"]["killed"], true);
        assert_clean(&ran);
    }
}

#[test]
fn payload_cannot_forge_its_own_report() {
    let forged = r#"{"schema":"stockade.report/1","verdict":"ok","exit_code":0}"#;
    let forger = common::payload_of(
        "forger",
        &format!(
            r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {{
    const char text[] = {forged:?};
    for (int fd = 0; fd < 1024; fd++) write(fd, text, sizeof text - 1);
    return 42;
}}"#
        ),
        &[],
    );
    for caller in Caller::all() {
        let ran = run(caller, &forger).go();
        assert_eq!((ran.status, ran.verdict()), (42, "nonzero_exit"), "{}", ran.all());
        assert_eq!(ran.report["exit_code"], 42);
        // Its streams, and nothing else, have it.
        assert_eq!(ran.text(), forged);
        assert_eq!(ran.stderr, forged);
    }
}

/// Until the supervisor of this pid, or the one that it becomes, has a child with the payload's name.
fn wait_for_payload(supervisor: u32) {
    let begin = Instant::now();
    let text = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let runs = || {
        let threads = std::fs::read_dir(format!("/proc/{supervisor}/task")).into_iter().flatten().flatten();
        let children = threads.map(|t| text(format!("{}/children", t.path().display()))).collect::<String>();
        children.split_whitespace().any(|pid| text(format!("/proc/{pid}/comm")) == "program\n")
    };
    while !runs() {
        assert!(begin.elapsed() < patience(Duration::from_secs(10)), "no payload came to run");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn cancelling_signals_end_the_run_with_a_report() {
    for caller in Caller::all() {
        for (signal, name) in [
            (nix::sys::signal::Signal::SIGINT, 2),
            (nix::sys::signal::Signal::SIGTERM, 15),
            (nix::sys::signal::Signal::SIGHUP, 1),
            (nix::sys::signal::Signal::SIGQUIT, 3),
        ] {
            let (mut command, report) = run(caller, probe()).args(["sleep"]).command();
            let mut child = command.stdin(std::process::Stdio::null()).spawn().unwrap();
            wait_for_payload(child.id());
            let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
            nix::sys::signal::kill(pid, signal).unwrap();
            let status = child.wait().unwrap();
            assert_eq!(status.code(), Some(128 + name), "{caller:?} {signal}");
            let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
            assert_eq!(report["verdict"], "cancelled");
            assert_eq!(report["cleanup"]["ok"], true);
        }
    }
}

#[test]
fn signal_that_the_caller_ignores_does_not_cancel() {
    let caller = Caller::all()[0];
    let run = run(caller, probe()).options(["--wall-time", "700ms"]).args(["sleep"]);
    let mut command = run.through("trap '' HUP; exec \"$@\"").command().0;
    let mut child = command.stdin(std::process::Stdio::null()).spawn().unwrap();
    wait_for_payload(child.id());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(124));
}

/// The first thread ends before another one, which ends the program.
const LEADER_ENDS_FIRST: &str = r#"
#include <pthread.h>
#include <unistd.h>
#include <sys/syscall.h>
static void *last(void *none) {
    sleep(1);
    write(1, "last\n", 5);
    syscall(SYS_exit_group, 5);
    return none;
}
int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, 0, last, 0)) return 1;
    syscall(SYS_exit, 0);
}
"#;

/// A supervisor with real-time priority that reaps while the last thread is still on its way out waits
/// for it busily, on the CPU that the thread needs, until the kernel takes real-time threads theirs away:
/// 0.95 s of each second.
#[test]
fn program_whose_first_thread_ends_first_is_reaped_at_once() {
    const RUNS: usize = 12;
    let program = payload_of("leader-ends-first", LEADER_ENDS_FIRST, &["-static", "-pthread"]);
    for caller in Caller::all() {
        let mut late = Vec::new();
        for _ in 0..RUNS {
            let ran = run(caller, &program).go();
            assert_eq!((ran.status, ran.verdict()), (5, "nonzero_exit"), "{caller:?}: {}", ran.all());
            let wall = ran.report["usage"]["wall_ns"].as_u64().unwrap();
            assert!(wall >= 1_000_000_000, "{wall}");
            if wall > 1_800_000_000 {
                late.push(wall);
            }
        }
        // A busy machine may be late at times.
        assert!(late.len() <= RUNS / 6, "{caller:?}: {late:?}");
    }
}

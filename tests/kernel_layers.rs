//! What this kernel can do is in force, and what it cannot do is named.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod kernel_support;

use common::{Caller, payload, run};
use kernel_support::{all_enforced, throw_away_guest};
use serde_json::json;

fn probe() -> std::path::PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn landlock_of_this_kernel_is_in_force_and_what_it_lacks_is_named() {
    throw_away_guest();
    let ran = run(Caller::Root, probe()).args(["status"]).go();
    assert!(all_enforced(&ran), "{}", ran.all());
    let kernel = &ran.report["layers"]["landlock"]["kernel"];
    assert_eq!(kernel["trial"], "EACCES");
    let release = ran.report["host"]["kernel"].as_str().unwrap().to_owned();
    let (abi, missing) = match release.split('.').take(2).collect::<Vec<_>>().join(".").as_str() {
        "6.1" => (
            2,
            json!([
                "truncate",
                "tcp",
                "ioctl_dev",
                "scope_signal",
                "scope_abstract_unix_socket",
                "audit_flags",
                "resolve_unix"
            ]),
        ),
        "6.12" => (6, json!(["audit_flags", "resolve_unix"])),
        other => panic!("which Landlock has Linux {other}?"),
    };
    assert_eq!((&kernel["abi"], &kernel["missing"]), (&json!(abi), &missing));
    assert_eq!(ran.report["host"]["landlock_abi"], abi);
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn signal_to_pid_1_is_refused_by_landlock_or_has_no_effect() {
    throw_away_guest();
    let ran = run(Caller::Root, probe()).args(["pid1"]).go();
    let scoped = ran.report["host"]["landlock_abi"].as_u64().unwrap() >= 6;
    assert_eq!(
        ran.text().lines().next(),
        Some(if scoped { "kill EPERM" } else { "kill ok" }),
        "{}",
        ran.all()
    );
    // Pid 1 lives on, or the payload could not have come to its own end.
    assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{}", ran.all());
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn overlay_is_the_root_and_proc_is_there() {
    throw_away_guest();
    let ran = run(Caller::Root, probe()).args(["exit", "0"]).go();
    assert_eq!(ran.report["layers"]["root"]["kernel"]["backend"], "overlay", "{}", ran.all());
    assert_eq!(ran.report["layers"]["proc"]["kernel"]["proc"], "subset=pid,hidepid=invisible");
    assert_eq!(ran.report["notes"], json!([]));
}

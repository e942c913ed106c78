//! A kernel without Landlock: refused, or, where the caller says so, run and told.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod kernel_support;

use common::{payload, run};
use kernel_support::{BOTH, assert_told_alike, doctor, in_cgroup, own_cgroup, throw_away_guest};
use serde_json::json;

fn probe() -> std::path::PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn run_without_landlock_is_refused_with_the_way_out() {
    throw_away_guest();
    for caller in BOTH {
        let ran = run(caller, probe()).args(["exit", "0"]).go();
        assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
        let expected = "stockade: error: Landlock is switched off on this host\n  help: add 'landlock' to the kernel's \
                        lsm= boot parameter; --degrade landlock runs without it\n";
        assert_eq!(ran.stderr, expected);
        assert!(ran.stdout.is_empty());
        assert_eq!(ran.report["host"]["landlock_abi"], 0);
        assert_told_alike(&ran, &doctor(caller, &in_cgroup(own_cgroup(caller).path())), "landlock");
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn run_that_may_be_without_landlock_says_that_it_was() {
    throw_away_guest();
    for caller in BOTH {
        let degraded = if caller.has_cgroup() { json!(["landlock"]) } else { json!(["landlock", "cgroup"]) };
        let ran = run(caller, probe()).options(["--degrade", "landlock"]).args(["exec", "/box/program"]).go();
        assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{}", ran.all());
        assert_eq!(ran.report["degraded"], degraded);
        let layer = &ran.report["layers"]["landlock"];
        assert_eq!(layer["status"], "degraded");
        assert_eq!(layer["kernel"]["reason"], "Landlock is switched off on this host");
        assert_eq!((&layer["kernel"]["abi"], &layer["kernel"]["rules"]), (&json!(0), &json!(0)));
        let others = ran.report["layers"].as_object().unwrap().iter();
        let weak: Vec<&String> =
            others.filter(|(_, l)| l["status"] != "enforced").map(|(name, _)| name).collect();
        assert_eq!(weak.len(), degraded.as_array().unwrap().len(), "{weak:?}");
        // What else stands in the way still does: the filter refuses a second program.
        assert!(ran.text().starts_with("execve EACCES\n"), "{}", ran.text());
    }
}

//! Controllers on cgroup v1 hierarchies of their own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod kernel_support;

use std::path::Path;

use common::{Caller, payload, run};
use kernel_support::{all_enforced, throw_away_guest};

fn probe() -> std::path::PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn box_of_root_is_in_each_of_the_three_hierarchies() {
    throw_away_guest();
    let ran = run(Caller::Root, probe()).args(["cat", "/proc/self/cgroup"]).go();
    assert_eq!(ran.status, 0, "{}", ran.all());
    assert!(all_enforced(&ran), "{}", ran.all());
    assert_eq!(ran.report["host"]["cgroup"], "v1");
    let paths = ran.report["layers"]["cgroup"]["kernel"]["paths"].as_array().unwrap();
    let leaves: Vec<(&str, &str)> =
        paths.iter().map(|p| p.as_str().unwrap().split_once(":/").expect("a leaf")).collect();
    let controllers: Vec<&str> = leaves.iter().map(|(controller, _)| *controller).collect();
    assert_eq!(controllers, ["cpuacct", "memory", "pids"]);
    for (controller, leaf) in leaves {
        assert!(leaf.starts_with("stockade-"), "{leaf}");
        assert!(!Path::new("/sys/fs/cgroup").join(controller).join(leaf).exists(), "{leaf} is left");
    }
    // From inside each is the root.
    for line in ran.text().lines() {
        assert!(line.ends_with(":/"), "{line}");
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn limits_of_memory_and_processes_hold() {
    throw_away_guest();
    let ran = run(Caller::Root, probe()).options(["--memory", "32MiB"]).args(["alloc-child", "64"]).go();
    assert_eq!((ran.status, ran.verdict()), (124, "memory_limit"), "{}", ran.all());
    let ran = run(Caller::Root, probe()).options(["--processes", "5"]).args(["forks", "9"]).go();
    assert_eq!(ran.text(), "4 EAGAIN\n", "{}", ran.all());
    let ran = run(Caller::Root, probe()).args(["alloc", "40"]).go();
    let peak = ran.report["usage"]["memory_peak_bytes"].as_u64().unwrap();
    assert!((40 << 20..44 << 20).contains(&peak), "{peak}");
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn user_is_refused_and_told_what_would_help() {
    throw_away_guest();
    let ran = run(Caller::User, probe()).whole().args(["exit", "0"]).go();
    assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
    let expected = "stockade: error: no cgroup for the box: the cgroup v1 directory /sys/fs/cgroup/memory cannot be \
                    written\n  help: run as root, or have root make you directories of your own in the memory, pids \
                    and cpuacct hierarchies; --degrade cgroup runs without limits on the whole box\n";
    assert_eq!(ran.stderr, expected);
    let ran = run(Caller::User, probe()).args(["exit", "0"]).go();
    assert_eq!((ran.status, &ran.report["degraded"]), (0, &serde_json::json!(["cgroup"])), "{}", ran.all());
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn cgroup_that_is_named_needs_controllers_on_the_unified_hierarchy() {
    throw_away_guest();
    let run = run(Caller::Root, probe()).options(["--cgroup", "/sys/fs/cgroup/unified"]).args(["exit", "0"]);
    let ran = run.go();
    assert_eq!(ran.status, 125, "{}", ran.all());
    let first = ran.stderr.lines().next().unwrap();
    let expected = "stockade: error: no cgroup for the box: the cgroup /sys/fs/cgroup/unified does not have the memory \
                    and pids controllers";
    assert_eq!(first, expected);
}

//! Every step of the set-up fails once with every errno that it may have: the
//! report names the step, the payload never runs, and nothing is left. Where there
//! is another way, it is taken, told, and as well attested.
#![cfg(feature = "fault-injection")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod faults_support;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use common::{Caller, Ran, is_root, leaves_of, run};
use faults_support::{CANARY, alone, canary, children, errnos, v2};
use serde_json::{Value, json};
use stockade::Layer;
use stockade::sandbox::order::{ORDER, Step, Who};

/// Checks all, then tells of all that failed.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    fn check(&mut self, caller: Caller, step: Step, way: Way, fault: &str, errno: &str) {
        // Where the inner namespace is refused, so is any other.
        let more = if step == Step::InnerUserNs { ",no-user-namespace:EPERM" } else { "" };
        let fault = &format!("{fault}{more}");
        let checked = AssertUnwindSafe(|| check(caller, step, way, fault, errno));
        if std::panic::catch_unwind(checked).is_err() {
            self.0.push(format!("{caller:?} {fault}"));
        }
    }
}

impl Drop for Failures {
    fn drop(&mut self) {
        assert!(self.0.is_empty() || std::thread::panicking(), "failed: {:#?}", self.0);
    }
}

/// What a step needs to be reached at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Plain,
    /// No store: the root is a private copy.
    Private,
    /// A directory of the host is shown.
    Bind,
    /// The loopback device is wanted.
    Loopback,
    /// There is no overlay.
    NoOverlay,
    /// A directory of the host is copied.
    Work,
}

/// How to reach a step; `None`: this caller never makes it.
fn way_to(step: Step, caller: Caller) -> Option<Way> {
    let root = caller == Caller::Root;
    match step {
        Step::BindTree | Step::BindTreeFlags => Some(Way::NoOverlay),
        Step::RootTmpfs | Step::CopyRoot => Some(Way::Private),
        // Root clones what is shown before there is a box.
        Step::BindOpen if root => None,
        Step::BindOpen | Step::BindFlags => Some(Way::Bind),
        Step::LoopbackUp => Some(Way::Loopback),
        Step::WorkCopy => Some(Way::Work),
        // Only in boxes made ahead, and where a CPU is asked for.
        Step::PayloadLater | Step::ReceiveJob | Step::PayloadAgain | Step::JobFrame => None,
        Step::InitDone | Step::HandJob | Step::HandWords | Step::PinCpu => None,
        Step::FsIds | Step::Groups if !root => None,
        Step::MakeLeaf | Step::SetLimit | Step::HandLeaf if !root => None,
        Step::TakeLeaf | Step::EnterLeaf if !root || v2() => None,
        Step::ReceiveLeaf if !root || !v2() => None,
        _ => Some(Way::Plain),
    }
}

/// What becomes of the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// Refused, and the step is named.
    Refused,
    /// Refused for a layer that is not as planned, unless that layer may be missing.
    LayerMissing(Layer),
    /// The locked bind takes the overlay's place.
    Bind,
    /// There is no `/proc`.
    NoProc,
    /// The note says so, every layer is in force.
    Noted(&'static str),
    /// What should fail has failed.
    Good,
}

fn outcome(step: Step) -> Outcome {
    match step {
        Step::OverlayOpen
        | Step::OverlayLower
        | Step::OverlayUserXattr
        | Step::OverlayCreate
        | Step::OverlayMount => Outcome::Bind,
        Step::ProcOpen | Step::ProcMount => Outcome::NoProc,
        Step::Keyring => Outcome::Noted("no fresh session keyring"),
        Step::InnerUserNs => Outcome::Noted("the payload shares the user namespace of pid 1"),
        Step::LimitUserNs => Outcome::LayerMissing(Layer::UserNs),
        Step::LandlockTrial => Outcome::LayerMissing(Layer::Landlock),
        Step::NoMoreUserNs => Outcome::Good,
        _ => Outcome::Refused,
    }
}

fn loopback_policy() -> String {
    let path = common::work().join("loopback.json");
    let policy = json!({
        "version": 1, "name": "loop", "comment": "a test", "extends": "native",
        "network": { "mode": "loopback" },
    });
    std::fs::write(&path, policy.to_string()).unwrap();
    path.display().to_string()
}

fn work_policy() -> String {
    let path = common::work().join("work-tree.json");
    let policy = json!({
        "version": 1, "name": "works", "comment": "a test", "extends": "native",
        "paths+": [{ "at": "/work", "from": "work", "size": "1MiB", "inodes": 10000,
                     "access": ["read", "write", "create"], "comment": "a test" }],
    });
    std::fs::write(&path, policy.to_string()).unwrap();
    path.display().to_string()
}

/// One run with these faults.
fn with_faults(caller: Caller, way: Way, faults: &str, more: &[&str]) -> Ran {
    let mut options: Vec<String> = more.iter().map(|s| (*s).to_owned()).collect();
    let mut faults = faults.to_owned();
    match way {
        Way::Plain => {}
        Way::Private => options.extend(["--store".into(), "/proc/nowhere".into()]),
        Way::Bind => options.extend(["--ro".into(), "/etc/alternatives:/mnt".into()]),
        Way::Loopback => options.extend(["-p".into(), loopback_policy()]),
        Way::Work => {
            options.extend(["-p".into(), work_policy(), "--work".into(), "/etc/alternatives".into()]);
        }
        Way::NoOverlay => faults.push_str(",overlay-create:EPERM"),
    }
    let ran = run(caller, canary())
        .options(options.iter().map(String::as_str))
        .env("STOCKADE_INJECT", &faults)
        .go();
    assert_eq!(leaves_of(ran.pid), Vec::<String>::new(), "{faults} {}", ran.all());
    let orphans = children();
    assert!(orphans.is_empty(), "{faults} leaves processes {orphans:?} {}", ran.all());
    assert_eq!(ran.report["cleanup"], json!({ "ok": true, "left": [] }), "{faults} {}", ran.all());
    let tmp = caller.home().join("store/tmp");
    assert_eq!(std::fs::read_dir(tmp).map_or(0, Iterator::count), 0, "{faults} leaves temporaries");
    ran
}

fn assert_refused(ran: &Ran, what: &str, words: &str) {
    assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{what} {}", ran.all());
    assert!(ran.stdout.is_empty(), "{what}: the payload ran {}", ran.all());
    let reason = ran.report["reason"].as_str().unwrap();
    assert!(reason.starts_with(words), "{what}: {reason}");
    assert!(ran.stderr.contains(reason.lines().next().unwrap()), "{what}: {} {reason}", ran.stderr);
    assert_eq!(ran.report["exit_code"], Value::Null, "{what}");
    assert_eq!(ran.report["signal"], Value::Null, "{what}");
}

/// It ran, under every layer but those.
fn assert_ran(ran: &Ran, what: &str, degraded: &[Layer]) {
    assert_eq!((ran.status, ran.text().as_str()), (0, CANARY), "{what} {}", ran.all());
    let names: Vec<&str> = degraded.iter().map(|l| l.name()).collect();
    let mut seen: Vec<&str> =
        ran.report["degraded"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    // An ordinary user's runs are without a cgroup here.
    seen.retain(|l| *l != "cgroup" || names.contains(l));
    assert_eq!(seen, names, "{what} {}", ran.all());
    for layer in Layer::ALL.iter().filter(|l| !degraded.contains(l) && **l != Layer::Cgroup) {
        assert_eq!(ran.report["layers"][layer.name()]["status"], "enforced", "{what} {layer} {}", ran.all());
    }
}

fn notes(ran: &Ran) -> String {
    let notes = ran.report["notes"].as_array().unwrap();
    notes.iter().map(|n| n.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

fn check(caller: Caller, step: Step, way: Way, fault: &str, errno: &str) {
    let what = format!("{caller:?} {fault}");
    let ran = with_faults(caller, way, fault, &[]);
    let name = step.line().name;
    match outcome(step) {
        Outcome::Refused => {
            assert_refused(&ran, &what, &format!("{name}: "));
            assert!(ran.report["reason"].as_str().unwrap().contains(errno), "{what} {}", ran.all());
        }
        Outcome::LayerMissing(layer) => {
            let words = "attest: the kernel does not show what the plan expects: ";
            assert_refused(&ran, &what, &format!("{words}{layer}: "));
            let ran = with_faults(caller, way, fault, &["--degrade", layer.name()]);
            assert_ran(&ran, &what, &[layer]);
            assert_eq!(ran.report["layers"][layer.name()]["status"], "degraded", "{what}");
        }
        Outcome::Bind => {
            assert_ran(&ran, &what, &[]);
            assert_eq!(ran.report["layers"]["root"]["kernel"]["backend"], "bind", "{what} {}", ran.all());
            assert!(notes(&ran).contains("the root is a locked read-only bind"), "{what} {}", ran.all());
            assert!(notes(&ran).contains(errno), "{what} {}", ran.all());
        }
        Outcome::NoProc => {
            assert_ran(&ran, &what, &[]);
            assert_eq!(ran.report["layers"]["proc"]["kernel"]["proc"], "absent", "{what} {}", ran.all());
            assert!(notes(&ran).contains("no /proc in the box"), "{what} {}", ran.all());
        }
        Outcome::Noted(words) => {
            assert_ran(&ran, &what, &[]);
            assert!(notes(&ran).contains(words) && notes(&ran).contains(errno), "{what} {}", ran.all());
        }
        Outcome::Good => assert_ran(&ran, &what, &[]),
    }
}

#[test]
fn every_step_that_fails_is_named_or_replaced_and_nothing_is_left() {
    let _alone = alone();
    let mut failures = Failures::default();
    for caller in Caller::all() {
        // The control: without a fault it runs, and each way to reach a step works.
        for way in [Way::Plain, Way::Private, Way::Bind, Way::Loopback, Way::NoOverlay, Way::Work] {
            assert_ran(&with_faults(caller, way, "", &[]), &format!("{caller:?} {way:?}"), &[]);
        }
        let mut unreached = Vec::new();
        for line in ORDER {
            let Some(way) = way_to(line.step, caller) else {
                unreached.push(line.name);
                continue;
            };
            for errno in errnos(line.step) {
                failures.check(caller, line.step, way, &format!("{}:{errno}", line.name), errno);
            }
        }
        // Only of boxes that are made ahead of their job, or pinned.
        let of_pools = [
            "payload-later",
            "receive-job",
            "payload-again",
            "job-frame",
            "init-done",
            "hand-job",
            "hand-words",
            "pin-cpu",
        ];
        let as_root: &[&str] =
            if v2() { &["take-leaf", "enter-leaf", "bind"] } else { &["receive-leaf", "bind"] };
        let as_user = &[
            "cgroup-leaf",
            "cgroup-limit",
            "hand-leaf",
            "receive-leaf",
            "take-leaf",
            "fs-ids",
            "enter-leaf",
            "groups",
        ];
        let expected = if caller == Caller::Root { as_root } else { as_user };
        let expected: BTreeSet<&str> = expected.iter().copied().chain(of_pools).collect();
        assert_eq!(unreached.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn every_single_call_of_a_step_can_fail() {
    let _alone = alone();
    let v1_only = |n| if v2() { 0 } else { n };
    let mut failures = Failures::default();
    for caller in Caller::all() {
        let root = caller == Caller::Root;
        // Step, calls of it that a plain run makes at the least.
        let counted = [
            ("cgroup-leaf", if root { 1 + v1_only(2) } else { 0 }),
            ("cgroup-limit", if root { 1 + v1_only(1) } else { 0 }),
            ("pipes", 2),
            ("id-maps", 4),
            ("stdio", 3),
            ("mount-tmpfs", 2),
            ("device", 5),
            ("enter-leaf", if root { v1_only(3) } else { 0 }),
            ("inner-maps", 3),
            ("rlimit", 11),
            ("bounding", 40),
            ("landlock-open", 5),
            ("landlock-rule", 5),
            ("attest", 5),
        ];
        for (name, calls) in counted {
            for index in 0..calls {
                // As root the groups may stay changeable, so that there is no such map to write;
                // without a cgroup there are no counters to read.
                let absent = index == 0 && name == if root { "id-maps" } else { "attest" }
                    // Places and devices have the same names of steps, but not all the same numbers.
                    || (name == "mount-tmpfs" && index > 0);
                if !absent {
                    let step = Step::from_name(name).unwrap();
                    failures.check(caller, step, Way::Plain, &format!("{name}#{index}:EIO"), "EIO");
                }
            }
        }
    }
}

#[test]
fn both_roots_failing_is_told_by_the_second() {
    let _alone = alone();
    for caller in Caller::all() {
        for second in ["bind-root", "bind-root-flags"] {
            let ran = with_faults(caller, Way::Plain, &format!("overlay-create:EPERM,{second}:EINVAL"), &[]);
            assert_refused(&ran, second, &format!("{second}: "));
        }
    }
}

#[test]
fn bind_root_without_the_inner_namespace_is_degraded_because_its_flags_are_not_locked() {
    let _alone = alone();
    for caller in Caller::all() {
        let faults = "overlay-create:EPERM,inner-user-namespace:EPERM,no-user-namespace:EPERM";
        let ran = with_faults(caller, Way::Plain, faults, &[]);
        assert_refused(&ran, faults, "attest: the kernel does not show what the plan expects: root: ");
        let ran = with_faults(caller, Way::Plain, faults, &["--degrade", "root"]);
        assert_ran(&ran, faults, &[Layer::Root]);
    }
}

#[test]
fn fault_that_does_not_exist_is_an_error_of_the_test() {
    let _alone = alone();
    let ran = run(Caller::all()[0], canary()).env("STOCKADE_INJECT", "overlay:EPREM").go();
    assert_eq!(ran.status, 125);
    assert!(ran.stderr.contains("no such fault: 'overlay:EPREM'"), "{}", ran.stderr);
}

#[test]
fn every_process_has_steps_of_its_own() {
    for who in [Who::Supervisor, Who::Middle, Who::Init, Who::Payload] {
        assert!(ORDER.iter().any(|line| line.who == who), "{who}");
    }
    assert!(is_root() || Caller::all().len() == 1);
}

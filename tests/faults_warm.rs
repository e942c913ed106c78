//! Every step of a box that is made ahead fails once with every errno that it may have:
//! its job is told what `run` would tell, or gets a box of its own; nothing is left.
#![cfg(feature = "fault-injection")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batch_support;
mod common;
mod faults_support;

use std::fs;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;

use batch_support::{Done, command, finish, lasting, lines};
use common::{Caller, Ran, run};
use faults_support::{CANARY, alone, canary, children, errnos, v2};
use serde_json::{Value, json};
use stockade::sandbox::order::{ORDER, Step};

/// Of each batch: the box of the first is made as it comes, that of the second could be ready.
const JOBS: usize = 2;

fn said(caller: Caller, job: usize) -> std::path::PathBuf {
    caller.home().join(format!("warm-fault-{job}"))
}

/// A batch in which each box has these faults; nothing may be left of it.
fn batch_with(caller: Caller, faults: &str, options: &[&str]) -> Done {
    let job = |i| json!({ "id": i, "program": canary(), "stdout": said(caller, i) });
    let options = [&["--in-order", "--slots", "2"], options].concat();
    let mut child = command(caller, &options).env("STOCKADE_INJECT", faults).spawn().unwrap();
    let jobs: Vec<Value> = (0..JOBS).map(job).collect();
    child.stdin.take().unwrap().write_all(lines(&jobs).as_bytes()).unwrap();
    let done = finish(child);
    assert_eq!(done.answers.len(), JOBS, "{faults}: {}", done.stderr);
    let orphans = children();
    assert!(orphans.is_empty(), "{faults} leaves processes {orphans:?}");
    let tmp = caller.home().join("store/tmp");
    assert_eq!(fs::read_dir(tmp).map_or(0, Iterator::count), 0, "{faults} leaves temporaries");
    done
}

fn run_with(caller: Caller, faults: &str) -> Ran {
    run(caller, canary()).env("STOCKADE_INJECT", faults).go()
}

/// Pids, and names of cgroups, are never the same.
fn without_numbers(reason: &Value) -> String {
    let digits = |c: char| if c.is_ascii_digit() { '#' } else { c };
    let mut text: String = reason.as_str().unwrap().chars().map(digits).collect();
    while text.contains("##") {
        text = text.replace("##", "#");
    }
    text
}

/// The report of each job is this one, and its payload ran only where it says so.
fn assert_like(done: &Done, caller: Caller, ran: &Ran, what: &str) {
    for i in 0..done.answers.len() {
        assert_answer_like(done, i, caller, ran, what);
    }
}

fn assert_answer_like(done: &Done, i: usize, caller: Caller, ran: &Ran, what: &str) {
    let answer = &done.answers[i];
    let ok = ran.status == 0;
    assert_eq!(ran.text(), if ok { CANARY } else { "" }, "{what}");
    assert_eq!(answer["exit_status"], ran.status, "{what}: {answer:#}");
    let reasons = [&answer["report"]["reason"], &ran.report["reason"]].map(without_numbers);
    assert_eq!(reasons[0], reasons[1], "{what}");
    assert_eq!(lasting(&answer["report"]), lasting(&ran.report), "{what}");
    assert_eq!(answer["report"]["cleanup"], json!({ "ok": true, "left": [] }), "{what}");
    assert_eq!(fs::read_to_string(said(caller, i)).unwrap(), ran.text(), "{what}");
}

/// The job was not run, and the report names the step and why it failed.
fn assert_refused(done: &Done, i: usize, caller: Caller, (name, errno): (&str, &str), what: &str) {
    let answer = &done.answers[i];
    assert_eq!(answer["exit_status"], 125, "{what}: {answer:#}");
    let report = &answer["report"];
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("{name}: ")) && reason.contains(errno), "{what}: {reason}");
    assert_eq!((&report["verdict"], &report["exit_code"]), (&json!("setup_failed"), &Value::Null));
    assert_eq!(report["cleanup"], json!({ "ok": true, "left": [] }), "{what}");
    assert_eq!(fs::read_to_string(said(caller, i)).unwrap(), "", "{what}");
}

/// What becomes of a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The same as of a run, whose every box has the fault.
    LikeRun,
    /// The same as without the fault: the box made ahead does not take the step, or the job gets a box of
    /// its own, which does not.
    LikeNoFault,
    /// Refused, and the step is named: no run takes it, or it waits for a word that the launch may have
    /// sent by then or not.
    Refused,
    /// One or the other: whether the box is seen to have failed depends on when it is looked at.
    OwnBoxOrRefused,
}

/// `None`: neither run nor batch of this caller takes the step.
fn fate(step: Step, root: bool) -> Option<Fate> {
    match step {
        Step::PayloadLater | Step::InitDone | Step::InitGate => Some(Fate::LikeNoFault),
        // A box that has the program already does not need it any more.
        Step::ReceiveJob | Step::PayloadAgain | Step::JobFrame | Step::HandJob => Some(Fate::OwnBoxOrRefused),
        Step::HandWords | Step::InitWait | Step::WaitGate => Some(Fate::Refused),
        // Taken where the caller asks for something that these jobs do not.
        Step::BindTree | Step::BindTreeFlags | Step::RootTmpfs | Step::CopyRoot | Step::WorkCopy => None,
        Step::BindOpen | Step::BindFlags | Step::LoopbackUp | Step::PinCpu => None,
        Step::FsIds | Step::Groups if !root => None,
        Step::MakeLeaf | Step::SetLimit | Step::HandLeaf if !root => None,
        Step::TakeLeaf | Step::EnterLeaf if !root || v2() => None,
        Step::ReceiveLeaf if !root || !v2() => None,
        _ => Some(Fate::LikeRun),
    }
}

fn check(caller: Caller, step: Step, fate: Fate, errno: &str) {
    let name = step.line().name;
    let more = if step == Step::InnerUserNs { ",no-user-namespace:EPERM" } else { "" };
    let faults = format!("{name}:{errno}{more}");
    let what = format!("{caller:?} {faults}");
    let done = batch_with(caller, &faults, &[]);
    match fate {
        Fate::LikeRun => assert_like(&done, caller, &run_with(caller, &faults), &what),
        Fate::LikeNoFault => assert_like(&done, caller, &run_with(caller, ""), &what),
        Fate::Refused => {
            for i in 0..done.answers.len() {
                assert_refused(&done, i, caller, (name, errno), &what);
            }
        }
        Fate::OwnBoxOrRefused => {
            let ran = run_with(caller, "");
            for i in 0..done.answers.len() {
                match done.answers[i]["exit_status"] == 125 {
                    true => assert_refused(&done, i, caller, (name, errno), &what),
                    false => assert_answer_like(&done, i, caller, &ran, &what),
                }
            }
        }
    }
}

#[test]
fn every_step_of_a_box_made_ahead_that_fails_is_told_or_its_job_has_another_box() {
    let _alone = alone();
    let mut failed = Vec::new();
    for caller in Caller::all() {
        // The control.
        assert_like(&batch_with(caller, "", &[]), caller, &run_with(caller, ""), "no fault");
        assert_eq!(run_with(caller, "").status, 0);
        for line in ORDER {
            let Some(fate) = fate(line.step, caller == Caller::Root) else { continue };
            // One of them, and all with STOCKADE_TEST_FULL: what becomes of a run is tried with all elsewhere.
            let all = std::env::var_os("STOCKADE_TEST_FULL").is_some();
            for errno in &errnos(line.step)[..if all { errnos(line.step).len() } else { 1 }] {
                let checked = AssertUnwindSafe(|| check(caller, line.step, fate, errno));
                if std::panic::catch_unwind(checked).is_err() {
                    failed.push(format!("{caller:?} {}:{errno}", line.name));
                }
            }
        }
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

#[test]
fn cpu_that_cannot_be_given_is_told() {
    let _alone = alone();
    for caller in Caller::all() {
        for errno in errnos(Step::PinCpu) {
            let done = batch_with(caller, &format!("pin-cpu:{errno}"), &["--pin"]);
            for answer in &done.answers {
                let reason = answer["report"]["reason"].as_str().unwrap();
                assert!(reason.starts_with("pin-cpu: ") && reason.contains(errno), "{reason}");
                assert_eq!(answer["exit_status"], 125);
            }
        }
    }
}

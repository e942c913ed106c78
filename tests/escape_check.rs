//! The escape check as anybody runs it: nothing leaks, and it says what it knows.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;
mod escape_support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{Caller, by_shell, full, held, is_root, patience, skip, slow, stockade};
use escape_support::{attack_time, ids, most_important, tell};
use serde_json::Value;
use stockade::escape::{all, document};
use stockade::policy::{builtin_names, load_builtin};

/// `stockade escape-check` by this caller.
fn check(caller: Caller, options: &[&str]) -> Output {
    let mut command = caller.command(stockade());
    command.arg("escape-check").args(options);
    if !caller.has_cgroup() {
        command.args(["--degrade", "cgroup"]);
    }
    command.stdin(Stdio::null()).output().unwrap()
}

fn json(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"))
}

/// What a check came to, and its status. Without a cgroup the limits on a box as a whole are looked at now and
/// then, which is late where others use the machine: an attack that got past one, or that was over before
/// anybody looked (CG-06), is tried again by itself.
fn settled(caller: Caller, policy: &str, options: &[&str]) -> (Value, Option<i32>) {
    let time = attack_time();
    let fixed = ["-p", policy, "--attack-time", &time, "--format", "json"];
    let out = check(caller, &[&fixed[..], options].concat());
    let mut value = json(&out);
    let mut status = out.status.code();
    let held = ids(&value, "held");
    let leaked = ids(&value, "leaked");
    let more: Vec<&str> = options.iter().copied().filter(|option| *option == "--warm").collect();
    for attack in value["attacks"].as_array_mut().unwrap() {
        let sampled = attack["layers"].as_array().unwrap().contains(&"cgroup".into());
        let id = attack["id"].as_str().unwrap().to_owned();
        let missed = attack["outcome"] == "inconclusive" && id == "CG-06";
        if !(attack["outcome"] == "leaked" || missed) || !sampled || caller.has_cgroup() {
            continue;
        }
        let again = || check(caller, &[&fixed[..], &["--only", id.as_str()], &more].concat());
        if (0..3).any(|_| ids(&json(&again()), "held") == [id.as_str()]) {
            attack["outcome"] = "held".into();
        }
    }
    if !leaked.is_empty() && ids(&value, "leaked").is_empty() {
        status = Some(0);
        value["summary"]["leaked"] = 0.into();
    }
    if ids(&value, "held") != held {
        value["summary"]["held"] = ids(&value, "held").len().into();
    }
    (value, status)
}

/// What cannot be tried without root, or without a cgroup; nobody's list is longer.
const USER_MAY_NOT_KNOW: [&str; 10] =
    ["FS-06", "FS-07", "FS-12", "NS-11", "SV-15", "CG-02", "CG-04", "CG-05", "CG-10", "DS-22"];

/// Attacks in the words of the contract: all of them, or a part.
fn battery(caller: Caller, policy: &str, part: Option<&str>, more: &[&str]) {
    let whole = part.is_none();
    let only = part.map_or_else(Vec::new, |part| vec!["--only", part]);
    let (value, status) = settled(caller, policy, &[only.as_slice(), more].concat());
    if whole {
        tell(caller, if more.is_empty() { "as it is" } else { "made ahead" }, &value);
    }
    let tried = value["attacks"].as_array().unwrap();
    let told: Vec<&Value> = tried.iter().filter(|a| a["outcome"] != "held").collect();
    assert_eq!(ids(&value, "leaked"), Vec::<String>::new(), "{caller:?} {policy}: {told:#?}");
    let unknown = ids(&value, "inconclusive");
    let may: &[&str] = if caller == Caller::Root { &[] } else { &USER_MAY_NOT_KNOW };
    assert!(unknown.iter().all(|id| may.contains(&id.as_str())), "{caller:?} {policy}: {told:#?}");
    assert_eq!(status, Some(0), "{told:#?}");
    assert!(!whole || tried.len() >= 170, "{}", tried.len());
    let names: BTreeSet<&str> = tried.iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(names.len(), tried.len());
    for attack in tried {
        assert!(!attack["saw"].as_str().unwrap().is_empty(), "{attack}");
        assert!(!attack["layers"].as_array().unwrap().is_empty(), "{attack}");
    }
    let summary = &value["summary"];
    let held = tried.len() - unknown.len();
    assert_eq!((&summary["leaked"], &summary["held"]), (&Value::from(0), &Value::from(held)));
    assert_eq!(summary["policy"], policy);
    eprintln!("{caller:?}: {summary}");
}

/// Only one at a time: some attacks measure how long others take.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn battery_leaks_nothing_whoever_runs_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for caller in Caller::all() {
        // Under an emulator: a part.
        let part = most_important();
        battery(caller, "native", (!full()).then_some(&part), &[]);
    }
}

/// What one box could do to another, or see of it, and what is looked at from outside.
const OF_NEIGHBOURS: &str =
    "IL,CG,KY,PS-01,PS-02,PS-06,PS-08,PS-40,NS-07,NS-11,FD-09,FS-01,SK-01,DS-01,DS-03,SV-13,SV-15";

/// The same from boxes that are made ahead, beside one at work and others that wait. All of it where
/// `STOCKADE_TEST_FULL` is set.
#[test]
fn battery_leaks_nothing_from_boxes_made_ahead() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let part = std::env::var_os("STOCKADE_TEST_FULL").is_none().then_some(OF_NEIGHBOURS);
    for caller in Caller::all() {
        battery(caller, "native", part, &["--warm"]);
    }
}

#[test]
fn warm_check_says_so_and_a_cold_one_does_not() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (options, warm) in [(&["--warm"][..], true), (&[], false)] {
        let out = check(Caller::all()[0], &[&["--only", "IL-01", "--format", "json"], options].concat());
        assert_eq!(json(&out)["summary"]["warm"], warm, "{out:?}");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(said.contains("boxes made ahead"), warm, "{said}");
    }
}

/// Directories of checks, wherever they may be made.
fn rooms(caller: Caller) -> BTreeSet<PathBuf> {
    let places = [PathBuf::from("/var/tmp"), PathBuf::from("/tmp"), caller.home()];
    let entries = places.iter().flat_map(|dir| fs::read_dir(dir).unwrap().flatten());
    entries
        .filter(|e| e.file_name().to_string_lossy().starts_with("stockade-escape-"))
        .map(|e| e.path())
        .collect()
}

#[test]
fn battery_leaves_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for caller in Caller::all() {
        let before = rooms(caller);
        let out = check(caller, &["--only", "FS-01,FS-10,PS-06,KY-01,TT-01"]);
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        // What somebody else's check has made meanwhile goes with it.
        let left = || rooms(caller).difference(&before).cloned().collect::<Vec<PathBuf>>();
        let begin = Instant::now();
        while !left().is_empty() && begin.elapsed() < patience(Duration::from_secs(120)) {
            std::thread::sleep(Duration::from_secs(1));
        }
        assert_eq!(left(), Vec::<PathBuf>::new());
    }
}

#[test]
fn json_of_some_attacks_has_these_and_no_others() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let out = check(Caller::all()[0], &["--only", "ns-03", "KY", "--format", "json"]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let value = json(&out);
    assert_eq!(ids(&value, "held"), ["NS-03", "KY-01", "KY-02", "KY-04"]);
    let clone3 = value["attacks"].as_array().unwrap().iter().find(|a| a["id"] == "NS-03").unwrap();
    assert!(clone3["saw"].as_str().unwrap().contains("ENOSYS"), "{clone3}");
    assert!(clone3["layers"].as_array().unwrap().contains(&"seccomp".into()), "{clone3}");
    assert_eq!(clone3["control"]["worked"], true);
}

#[test]
fn junit_and_table_name_the_attack_and_what_became_of_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let out = check(Caller::all()[0], &["--only", "KX-01", "--format", "junit"]);
    let xml = String::from_utf8(out.stdout).unwrap();
    assert!(xml.contains(r#"tests="1" failures="0" errors="0" skipped="0""#), "{xml}");
    assert!(xml.contains(r#"<testcase classname="escape.KX" name="KX-01: "#), "{xml}");
    let out = check(Caller::all()[0], &["--only", "KX-01"]);
    let table = String::from_utf8(out.stdout).unwrap();
    assert!(table.lines().any(|l| l.trim_start().starts_with("KX-01  held")), "{table}");
    assert!(table.contains("1 held, 0 leaked, 0 inconclusive in "), "{table}");
}

#[test]
fn every_policy_that_can_be_run_holds_what_depends_on_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let own = Caller::all()[0].home().join("own-policy.json");
    let text =
        r#"{"version": 1, "name": "own", "comment": "a test", "extends": "native", "hostname": "elsewhere"}"#;
    fs::write(&own, text).unwrap();
    // The whole battery looks at `native`.
    let mut policies: Vec<&str> =
        builtin_names().filter(|name| *name != "native" && load_builtin(name).is_ok()).collect();
    policies.push(own.to_str().unwrap());
    assert!(policies.len() >= 5, "{policies:?}");
    if slow() > 1 {
        // Each takes minutes there: one that starts programs, one that does not.
        policies.retain(|name| ["ci", "python"].contains(name));
        assert_eq!(policies.len(), 2);
    }
    for policy in &policies {
        let (value, status) = settled(Caller::all()[0], policy, &["--only", &most_important()]);
        assert_eq!(status, Some(0), "{policy}: {value:#}");
        assert_eq!(ids(&value, "leaked"), Vec::<String>::new(), "{policy}: {value:#}");
        let unknown = ids(&value, "inconclusive");
        assert_eq!(unknown, Vec::<String>::new(), "{policy}: {value:#}");
        assert!(ids(&value, "held").len() >= 40, "{policy}: {value:#}");
    }
}

#[test]
fn policy_that_cannot_be_run_is_told_with_what_to_do() {
    let out = check(Caller::User, &["-p", "base"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(125), "{said}");
    assert!(said.contains("cannot be run") && said.contains("help: name it in `extends`"), "{said}");
}

/// Reads the file like any program that knows nothing of it: prints each test's name and what it has.
const READ_JUNIT: &str = "
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.stdin).getroot()
suites = [root] if root.tag == 'testsuite' else list(root)
for suite in suites:
    assert suite.tag == 'testsuite', suite.tag
    tests = suite.findall('testcase')
    counts = [len(tests)] + [sum(t.find(k) is not None for t in tests) for k in ('failure', 'error', 'skipped')]
    assert counts == [int(suite.get(k)) for k in ('tests', 'failures', 'errors', 'skipped')], (counts, suite.attrib)
    for test in tests:
        assert test.get('classname') and float(test.get('time')) >= 0, test.attrib
        print(test.get('name').split(':')[0], *[child.tag for child in test if child.tag != 'system-out'])
";

#[test]
fn junit_is_xml_whose_counts_are_those_of_its_tests() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // One that is never judged in the time it has, and is a skipped test then.
    for (options, shown) in [
        (&["--only", "KX-01,KY-01,TT-04"][..], "TT-04\nKY-01\nKX-01\n"),
        (&["--only", "KX-01,KY-01", "--attack-time", "1ms"], "KY-01 skipped\nKX-01 skipped\n"),
    ] {
        let out = check(Caller::all()[0], &[options, &["--format", "junit"]].concat());
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        let mut python = Command::new("python3");
        python.args(["-c", READ_JUNIT]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut python) = python.spawn() else { return skip("python3 reads the file") };
        python.stdin.take().unwrap().write_all(&out.stdout).unwrap();
        let read = python.wait_with_output().unwrap();
        assert!(read.status.success(), "{read:?}");
        assert_eq!(String::from_utf8_lossy(&read.stdout), shown, "{out:?}");
    }
}

#[test]
fn what_cannot_be_checked_is_told_with_its_status() {
    for (options, words) in [
        (&["--only", "XX-01"][..], "there is no attack 'XX-01'"),
        (&["--only", "OU-03"], "OU-03 is not tried: "),
        (&["-p", "no-such-policy"], "no-such-policy"),
        (&["-p", "/no/such/policy.json"], "ENOENT"),
        (&["--format", "xml"], "xml"),
        (&["--degrade", "everything"], "everything"),
    ] {
        let out = check(Caller::User, options);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(125), "{options:?}: {said}");
        assert!(said.contains(words), "{options:?}: {said}");
        assert!(out.stdout.is_empty(), "{options:?}");
    }
}

#[test]
fn check_where_no_box_can_be_had_is_refused_with_what_to_do() {
    let caller = Caller::User;
    if caller.has_cgroup() {
        return skip("this user has a cgroup of their own");
    }
    let mut command = caller.command(stockade());
    let out = command.args(["escape-check", "--only", "KX-01"]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(125), "{said}");
    assert!(out.stdout.is_empty(), "{}", String::from_utf8_lossy(&out.stdout));
    let (message, help) = said.split_once("\n  help: ").expect("what to do");
    assert!(message.starts_with("stockade: error: ") && message.contains("cgroup"), "{said}");
    assert!(help.contains("--degrade cgroup"), "{said}");
    // The positive control: with just that, it runs.
    let out = check(caller, &["--only", "KX-01", "--format", "json"]);
    assert_eq!((out.status.code(), ids(&json(&out), "held")), (Some(0), vec!["KX-01".to_owned()]));
}

#[test]
fn descriptors_in_proc_are_held_where_a_masked_proc_leaves_boxes_none() {
    if !is_root() {
        return skip("only root can mask /proc");
    }
    let mut command = Caller::Root.command(stockade());
    command.args(["escape-check", "--only", "PR-14", "--format", "json"]);
    let masks = r#"mount -t tmpfs none /proc/tty && exec "$@""#;
    for (script, answer) in [(masks, "/proc/self/fd: ENOENT"), (r#"exec "$@""#, "/proc/self/fd")] {
        let mut run = by_shell(&format!("exec unshare -m sh -c '{script}' sh \"$@\""), &command);
        let value = json(&run.stdin(Stdio::null()).output().unwrap());
        assert_eq!(ids(&value, "held"), ["PR-14"], "{value:#}");
        let saw = value["attacks"][0]["saw"].as_str().unwrap();
        assert!(saw.starts_with(answer), "{saw}");
        assert_eq!(saw == answer, script == masks, "{saw}");
    }
}

#[test]
fn list_shows_every_attack_and_tries_none() {
    let out = check(Caller::User, &["--list"]);
    assert_eq!(out.status.code(), Some(0));
    let text = String::from_utf8(out.stdout).unwrap();
    let shown: Vec<&str> =
        text.lines().filter(|l| !l.starts_with(' ')).map(|l| &l[..l.find([' ', '*']).unwrap()]).collect();
    assert_eq!(shown, all().iter().map(|a| a.id).collect::<Vec<_>>());
}

#[test]
fn list_for_programs_has_what_only_names_also_where_it_is_not_tried() {
    let out = check(Caller::User, &["--list", "--only", "ky,OU-03", "--format", "json"]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let value = json(&out);
    let attacks = value["attacks"].as_array().unwrap();
    let ids: Vec<&str> = attacks.iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["OU-03", "KY-01", "KY-02", "KY-04"]);
    assert_eq!((&attacks[1]["most_important"], &attacks[1]["not_applicable"]), (&true.into(), &Value::Null));
    assert_eq!(attacks[1]["layers"], serde_json::json!(["seccomp", "keyring"]));
    assert!(attacks[0]["not_applicable"].is_string(), "{value}");
}

#[test]
fn check_that_would_try_nothing_is_refused() {
    for (options, why) in [
        (&["--only", ""][..], "--only names no attack"),
        (&["--list", "--only", ","], "--only names no attack"),
        (&["--only", "KY-01", "--attack-time", "0s"], "without any time no attack comes to its end"),
        (&["--list", "--format", "junit"], "a list of attacks is no result of tests"),
    ] {
        let out = check(Caller::User, options);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(125), &b""[..]), "{said}");
        assert!(said.contains(why) && said.contains("help: "), "{options:?}: {said}");
    }
}

#[test]
fn payload_of_the_check_does_nothing_without_an_order() {
    for words in [
        &["escape-probe"][..],
        &["escape-probe", "caller"],
        &["escape-probe", "victim"],
        &["escape-probe", "closed", "7", "/bin/true"],
        &["escape-probe", "masked", "/bin/true"],
        &["escape-probe", "limited", "/bin/true"],
        &["escape-probe", "uncontrolled", "/bin/true"],
    ] {
        for input in [&b""[..], b"stockade-escape!", b"anything else at all, and a lot of it: 0123456789"] {
            let mut child = Command::new(stockade())
                .args(words)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            drop(child.stdin.take().unwrap().write_all(input));
            let out = child.wait_with_output().unwrap();
            assert_eq!(out.status.code(), Some(125), "{words:?}: {out:?}");
        }
    }
}

#[test]
fn progress_is_shown_on_a_terminal_only() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let out = check(Caller::User, &["--only", "FS-01"]);
    assert!(!out.stderr.contains(&b'\r') && !out.stderr.contains(&0x1b), "{out:?}");
}

/// The table of the document is that of the code.
#[test]
fn document_has_the_table_of_the_code() {
    const BEGIN: &str = "<!-- attacks -->\n";
    const END: &str = "<!-- end of attacks -->";
    held("docs/escape-check.md", BEGIN, END, &document::markdown(), "escape_check");
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/escape-check.md")).unwrap();
    let before = text.split_once(BEGIN).unwrap().0;
    let tried = all().iter().filter(|a| a.not_applicable().is_none()).count();
    assert!(before.contains(&format!("{tried} attacks")), "the document must say: {tried} attacks");
}

/// Names of the test functions in the tree.
fn tests() -> BTreeSet<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = fs::read_dir(dir).unwrap().flatten().map(|e| e.path());
    let texts =
        files.filter(|p| p.extension().is_some_and(|e| e == "rs")).map(|p| fs::read_to_string(p).unwrap());
    let names = |text: String| -> Vec<String> {
        let after =
            |line: &str| line.strip_prefix("fn ").and_then(|l| l.split_once('(')).map(|(n, _)| n.to_owned());
        let lines: Vec<&str> = text.lines().collect();
        lines.windows(2).filter(|w| w[0].starts_with("#[")).filter_map(|w| after(w[1])).collect()
    };
    texts.flat_map(names).collect()
}

#[test]
fn every_known_attack_names_what_shows_that_it_is_stopped() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/known-attacks.md");
    let text = fs::read_to_string(path).unwrap();
    let tests = tests();
    let tried: BTreeSet<&str> = all().iter().filter(|a| a.not_applicable().is_none()).map(|a| a.id).collect();
    let mut rows = 0;
    for line in text.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| known as")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        for shown in cells[3].split(", ") {
            assert!(tried.contains(shown) || tests.contains(shown), "'{shown}' shows nothing: {line}");
        }
        rows += 1;
    }
    assert!(rows >= 50, "{rows}");
}

#[cfg(not(any(feature = "ablation", feature = "fault-injection")))]
#[test]
fn program_without_test_features_cannot_be_told_to_leave_anything_out() {
    let program = fs::read(env!("CARGO_BIN_EXE_stockade")).unwrap();
    let has = |words: &str| program.windows(words.len()).any(|w| w == words.as_bytes());
    // A word that it does have, or this would find nothing in any file.
    assert!(has("STOCKADE_STORE"));
    for words in ["STOCKADE_ABLATE", "STOCKADE_BREAK", "STOCKADE_INJECT"] {
        assert!(!has(words), "{words}");
    }
    let out = Command::new(stockade())
        .env("STOCKADE_ABLATE", "seccomp")
        .args(["escape-check", "--only", "SC-01,KX-01", "--degrade", "cgroup"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stdout));
}

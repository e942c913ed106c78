//! The escape check as anybody runs it: nothing leaks, and it says what it knows.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use std::sync::{Mutex, PoisonError};

use common::{Caller, slow, stockade};
use serde_json::Value;
use stockade::Layer;
use stockade::escape::{all, document};

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

fn ids(value: &Value, outcome: &str) -> Vec<String> {
    let attacks = value["attacks"].as_array().unwrap().iter();
    attacks.filter(|a| a["outcome"] == outcome).map(|a| a["id"].as_str().unwrap().to_owned()).collect()
}

/// What cannot be tried without root, or without a cgroup; nobody's list is longer.
const USER_MAY_NOT_KNOW: [&str; 10] =
    ["FS-06", "FS-07", "FS-12", "NS-11", "SV-15", "CG-02", "CG-04", "CG-05", "CG-10", "DS-22"];

/// The most important attacks.
fn stars() -> String {
    let stars: Vec<&str> =
        all().iter().filter(|a| a.star && a.not_applicable().is_none()).map(|a| a.id).collect();
    stars.join(",")
}

/// The whole battery, in the words of the contract.
fn battery(caller: Caller, policy: &str, more: &[&str]) {
    // Under an emulator: the most important ones, the sweep of numbers and the replay of arguments.
    let only = format!("{},FS-21,SC,SA", stars());
    let whole = slow() == 1;
    let options: &[&str] = if whole { &[] } else { &["--only", &only] };
    let out = check(caller, &[&["-p", policy, "--format", "json"], options, more].concat());
    let value = json(&out);
    let tried = value["attacks"].as_array().unwrap();
    let told: Vec<&Value> = tried.iter().filter(|a| a["outcome"] != "held").collect();
    assert_eq!(ids(&value, "leaked"), Vec::<String>::new(), "{caller:?} {policy}: {told:#?}");
    let unknown = ids(&value, "inconclusive");
    let may: &[&str] = if caller == Caller::Root { &[] } else { &USER_MAY_NOT_KNOW };
    assert!(unknown.iter().all(|id| may.contains(&id.as_str())), "{caller:?} {policy}: {told:#?}");
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
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
    eprintln!("{caller:?}: {}", String::from_utf8_lossy(&out.stderr).trim());
}

/// Only one at a time: some attacks measure how long others take.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn battery_leaks_nothing_whoever_runs_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for caller in Caller::all() {
        battery(caller, "native", &[]);
    }
}

/// The same from boxes that were made ahead, while others wait beside them.
#[test]
fn battery_leaks_nothing_from_warm_boxes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for caller in Caller::all() {
        battery(caller, "native", &["--warm"]);
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
        let left: Vec<PathBuf> = rooms(caller).difference(&before).cloned().collect();
        assert_eq!(left, Vec::<PathBuf>::new());
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
fn every_policy_that_ships_holds_the_starred_attacks() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stars = stars();
    let own = Caller::all()[0].home().join("own-policy.json");
    let text =
        r#"{"version": 1, "name": "own", "comment": "a test", "extends": "native", "hostname": "elsewhere"}"#;
    fs::write(&own, text).unwrap();
    for policy in ["strict", own.to_str().unwrap()] {
        let out = check(Caller::all()[0], &["-p", policy, "--only", &stars, "--format", "json"]);
        let value = json(&out);
        assert_eq!(out.status.code(), Some(0), "{policy}: {value:#}");
        assert!(ids(&value, "held").len() >= 24, "{policy}: {value:#}");
    }
}

#[test]
fn what_cannot_be_checked_is_told_with_its_status() {
    for (options, words) in [
        (&["--only", "XX-01"][..], "there is no attack 'XX-01'"),
        (&["--only", "OU-01"], "OU-01 is not tried: "),
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
fn list_shows_every_attack_and_tries_none() {
    let out = check(Caller::User, &["--list"]);
    assert_eq!(out.status.code(), Some(0));
    let text = String::from_utf8(out.stdout).unwrap();
    let shown: Vec<&str> =
        text.lines().filter(|l| !l.starts_with(' ')).map(|l| &l[..l.find([' ', '*']).unwrap()]).collect();
    assert_eq!(shown, all().iter().map(|a| a.id).collect::<Vec<_>>());
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/escape-check.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the table begins");
    let (there, after) = rest.split_once(END).expect("the mark where it ends");
    let table = document::markdown();
    if std::env::var_os("STOCKADE_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(there, table, "STOCKADE_WRITE_DOCS=1 cargo test --test escape_check writes it");
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

/// The rows of the golden table: an attack, and a mark for each layer.
fn golden() -> Vec<(String, Vec<char>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ablation.txt");
    let text = fs::read_to_string(path).unwrap();
    let (head, rows) = text.split_once('\n').unwrap();
    let names: Vec<&str> = Layer::ALL.iter().map(|l| l.name()).collect();
    assert_eq!(head.split(' ').collect::<Vec<_>>(), names);
    let rows = rows.lines().map(|l| l.split_once(' ').unwrap());
    rows.map(|(id, marks)| (id.to_owned(), marks.chars().collect())).collect()
}

/// Layers without which an attack leaks.
fn alone(marks: &[char]) -> Vec<&'static str> {
    Layer::ALL.iter().zip(marks).filter(|(_, m)| **m == 'X').map(|(l, _)| l.name()).collect()
}

/// Heads of the columns, in the order of the layers.
const COLUMNS: [&str; 17] = [
    "usr", "mnt", "pid", "net", "ipc", "uts", "cgn", "root", "cap", "nnp", "ll", "sec", "cg", "rl", "fd",
    "key", "proc",
];

/// The golden table as a heat map that a web view of the tree shows.
fn heat_map() -> String {
    let golden = golden();
    assert_eq!(COLUMNS.len(), Layer::ALL.len());
    let mut out = String::from("\n| layer | column | attacks that it holds alone |\n|---|---|---|\n");
    for (layer, column) in Layer::ALL.iter().zip(COLUMNS) {
        let held = golden.iter().filter(|(_, marks)| alone(marks).contains(&layer.name()));
        let ids: Vec<&str> = held.map(|(id, _)| id.as_str()).collect();
        let list =
            if ids.is_empty() { "none".to_owned() } else { format!("{}: {}", ids.len(), ids.join(" ")) };
        out.push_str(&format!("| `{}` | {column} | {list} |\n", layer.name()));
    }
    let line = "---|".repeat(COLUMNS.len());
    out.push_str(&format!("\n| id | attack | {} |\n|---|---|{line}\n", COLUMNS.join(" | ")));
    for (id, marks) in &golden {
        let attack = all().into_iter().find(|a| a.id == id).unwrap();
        let cell = |mark: &char| match mark {
            '.' => "·",
            'o' => "🟨",
            'X' => "🟥",
            _ => "⬜",
        };
        let cells: Vec<&str> = marks.iter().map(cell).collect();
        let star = if attack.star { " ★" } else { "" };
        let vector = attack.vector.replace('|', "\\|");
        out.push_str(&format!("| {id}{star} | {vector} | {} |\n", cells.join(" | ")));
    }
    out.push('\n');
    out
}

#[test]
fn heat_map_is_that_of_the_golden_table_and_explains_what_one_layer_holds_alone() {
    const BEGIN: &str = "<!-- heat map -->\n";
    const END: &str = "<!-- end of heat map -->";
    let tried: Vec<&str> = all().iter().filter(|a| a.not_applicable().is_none()).map(|a| a.id).collect();
    let golden = golden();
    assert_eq!(golden.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), tried);
    for (id, marks) in &golden {
        assert_eq!(marks.len(), Layer::ALL.len(), "{id}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ablation.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the map begins");
    let (there, after) = rest.split_once(END).expect("the mark where it ends");
    let map = heat_map();
    if std::env::var_os("STOCKADE_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{map}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(there, map, "STOCKADE_WRITE_DOCS=1 cargo test --test escape_check writes it");
    // The most important ones that one layer holds alone are explained, with that layer, and no others.
    let section = before.split_once("## Held by one layer alone").expect("the section").1;
    let rows = section.lines().filter_map(|l| l.strip_prefix("| ")).map(|l| l.split(" | "));
    let explained: Vec<(String, String)> = rows
        .filter_map(|mut cells| Some((cells.next()?.to_owned(), cells.next()?.to_owned())))
        .filter(|(id, _)| all().iter().any(|a| a.id == id))
        .collect();
    let mut single: Vec<(String, String)> = golden
        .iter()
        .filter(|(id, marks)| all().iter().any(|a| a.id == id && a.star) && !alone(marks).is_empty())
        .map(|(id, marks)| {
            let names: Vec<String> = alone(marks).iter().map(|name| format!("`{name}`")).collect();
            (id.clone(), names.join(", "))
        })
        .collect();
    let mut explained = explained;
    explained.sort();
    single.sort();
    assert_eq!(explained, single);
}

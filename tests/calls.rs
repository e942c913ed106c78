//! Every call that a policy allows is needed by a program, or says why it is there.
//!
//! `tests/golden/calls.txt` says which program needs which call. That is proved
//! by taking the call out and running the program: a sample each time, all of
//! them with `STOCKADE_CALLS=all`.
//!
//! `STOCKADE_WRITE_CALLS=all` (or names of policies with commas between) finds
//! all of it out anew, as root: which calls the programs make, by the kernel's
//! tracing, and then which of them make a difference.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod calls_support;
mod common;
mod corpus;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use calls_support::golden::{self, Calls, Use};
use calls_support::{allowed, control, difference, differs_again, missing, policies, programs, record};
use common::{Caller, skip};
use serde_json::Value;
use stockade::policy::{Policy, builtin_names, builtin_text};

/// Calls that are taken out of a policy each time: few where a program takes seconds, or its image.
fn samples(policy: &str) -> usize {
    match policy {
        "ci" | "java" | "node" | "compile-c" => 1,
        _ if policy.starts_with("compile-") => 0,
        _ => 3,
    }
}

fn written() -> Option<String> {
    std::env::var("STOCKADE_WRITE_CALLS").ok()
}

#[test]
fn call_that_a_program_needs_is_allowed_and_every_other_is_listed() {
    if written().is_some() {
        return;
    }
    let golden = golden::read();
    let shipped: BTreeSet<&str> = policies().iter().map(|(name, _)| *name).collect();
    assert_eq!(golden.keys().map(String::as_str).collect::<BTreeSet<_>>(), shipped);
    let mut wrong = Vec::new();
    for (name, policy) in policies() {
        let allowed: BTreeSet<String> = allowed(&policy).into_iter().collect();
        let known = &golden[name];
        for (call, found) in known.iter().filter(|(call, _)| !allowed.contains(*call)) {
            wrong.push(match found {
                Use::Needed(program) => format!("{name} does not allow {call}, which {program} needs"),
                Use::Used(program) => format!("{name} does not allow {call}, which {program} calls"),
                Use::Unused => format!("{name} does not allow {call} any more: take it off the list"),
            });
        }
        for call in allowed.iter().filter(|call| !known.contains_key(*call)) {
            wrong.push(format!("{name} allows {call}, and the list does not say who needs it"));
        }
    }
    assert!(wrong.is_empty(), "{}\n(STOCKADE_WRITE_CALLS=all writes the list)", wrong.join("\n"));
}

/// Which of them are proved this time: all, or some from everywhere in the list.
fn chosen<T>(policy: &str, all: Vec<T>) -> Vec<T> {
    if std::env::var("STOCKADE_CALLS").is_ok_and(|v| v == "all") {
        return all;
    }
    let samples = samples(policy);
    let step = all.len().div_ceil(samples.max(1)).max(1);
    all.into_iter().skip(step / 2).step_by(step).take(samples).collect()
}

#[test]
fn program_without_a_call_that_it_needs_comes_to_something_else() {
    if written().is_some() {
        return;
    }
    let golden = golden::read();
    let callers = Caller::all();
    let mut proved = 0;
    for (number, (name, policy)) in policies().into_iter().enumerate() {
        let caller = callers[number % callers.len()];
        let needed = golden[name].iter().filter_map(|(call, found)| match found {
            Use::Needed(program) => Some((call, program)),
            _ => None,
        });
        for (call, program) in chosen(name, needed.collect()) {
            if let Some(missing) = missing(program) {
                skip(&missing);
                continue;
            }
            let (good, _) = control(caller, name, program);
            assert!(good.is_own(), "{name}: {program}: {}", good.words());
            let differs = difference(caller, (name, &policy), call, program);
            assert!(
                differs.is_some(),
                "{caller:?} {name} without {call}: {program} still comes to {}",
                good.words()
            );
            proved += 1;
        }
    }
    eprintln!("{proved} calls were taken out");
    assert!(proved >= 20, "only {proved} calls were taken out");
}

/// What `extends` a policy, and can be run: itself, or those that have its rules.
fn heirs(name: &str) -> Vec<&'static str> {
    let parent = |name: &str| -> Option<String> {
        let value: Value = serde_json::from_str(builtin_text(name).unwrap()).unwrap();
        value["extends"].as_str().map(str::to_owned)
    };
    let descends = |mut one: String| loop {
        if one == name {
            return true;
        }
        match parent(&one) {
            Some(above) => one = above,
            None => return false,
        }
    };
    policies().iter().map(|(one, _)| *one).filter(|one| descends((*one).to_owned())).collect()
}

/// Rules as they are written in a policy's own file: their calls, and their comment.
fn own_rules(name: &str) -> Vec<(Vec<String>, String)> {
    let value: Value = serde_json::from_str(builtin_text(name).unwrap()).unwrap();
    let rules =
        [&value["syscalls"]["allow"], &value["syscalls+"]["allow"]].into_iter().filter_map(Value::as_array);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rules
        .flatten()
        .map(|rule| (rule["calls"].as_array().unwrap().iter().map(text).collect(), text(&rule["comment"])))
        .collect()
}

fn names_it(comment: &str, call: &str) -> bool {
    comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == call)
}

/// Calls of a policy's own rules that no program makes under it or an heir, with their comments.
fn unused(golden: &Calls, name: &str) -> Vec<(String, String)> {
    let heirs = heirs(name);
    assert!(!heirs.is_empty(), "{name}");
    let mut found = Vec::new();
    for (calls, comment) in own_rules(name) {
        let idle = |call: &&String| heirs.iter().all(|heir| golden[*heir].get(*call) == Some(&Use::Unused));
        found.extend(calls.iter().filter(idle).map(|call| (call.clone(), comment.clone())));
    }
    found
}

#[test]
fn call_that_no_program_makes_says_in_its_comment_why_it_is_allowed() {
    if written().is_some() {
        return;
    }
    let golden = golden::read();
    let mut silent = Vec::new();
    for name in builtin_names() {
        for (call, comment) in unused(&golden, name) {
            if !names_it(&comment, &call) {
                silent.push(format!("policies/{name}.json: no program makes {call}, and its comment does not name it: \"{comment}\""));
            }
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn document_lists_every_call_of_every_policy() {
    if written().is_some() {
        return;
    }
    let golden = golden::read();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/calls.md");
    let text = document(&golden);
    if std::env::var_os("STOCKADE_WRITE_DOCS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == text,
        "STOCKADE_WRITE_DOCS=1 writes docs/calls.md"
    );
}

const INTRODUCTION: &str = "\
# Which calls a policy needs

For each policy that can be run, what the programs of its corpus (`tests/languages/`, tools of the host,
compilations, a job with `make`) make of the calls that it allows:

- **needed**: taken out of the policy, a program comes to something else: another output, another status;
- **used**: programs make the call, and come to the same without it, since nothing depends on it, or their
  libraries do something else when it answers `ENOSYS`, which may be slower, less exact or another call of
  the list (`exit` for `exit_group`, and the other way round);
- **unused**: no program makes it under this policy. Those that no program makes under any policy are listed
  at the end with the reason for which they are allowed.

`cargo test --test calls` takes some of the needed calls out and runs the programs, all of them with
`STOCKADE_CALLS=all`; a policy that loses a needed call fails it with the call's name.
This page is generated from `tests/golden/calls.txt`, which names a program for each call.
";

/// The page: a table of numbers, lists for each policy, reasons.
fn document(golden: &Calls) -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n| policy | needed | used | unused |\n|---|---|---|---|\n");
    let sorted = |calls: &BTreeMap<String, Use>| {
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        for (call, found) in calls {
            let at = match found {
                Use::Needed(_) => 0,
                Use::Used(_) => 1,
                Use::Unused => 2,
            };
            lists[at].push(format!("`{call}`"));
        }
        lists
    };
    for (policy, calls) in golden {
        let [needed, used, unused] = sorted(calls).map(|list| list.len());
        writeln!(text, "| `{policy}` | {needed} | {used} | {unused} |").unwrap();
    }
    for (policy, calls) in golden {
        writeln!(text, "\n## {policy}").unwrap();
        for (word, list) in ["needed", "used", "unused"].into_iter().zip(sorted(calls)) {
            if !list.is_empty() {
                writeln!(text, "\n{word}: {}", list.join(", ")).unwrap();
            }
        }
    }
    text.push_str("\n## Allowed although no program of the corpus makes them\n\n");
    text.push_str("| in | call | why |\n|---|---|---|\n");
    for name in builtin_names() {
        for (call, comment) in unused(golden, name) {
            writeln!(text, "| `{name}` | `{call}` | {} |", comment.replace('|', "\\|")).unwrap();
        }
    }
    text
}

/// Finds everything out about one policy.
fn find_out(name: &str, policy: &Policy) -> BTreeMap<String, Use> {
    let programs = programs(name);
    let steady = |program: &&String| {
        if let Some(missing) = missing(program) {
            panic!("{missing}");
        }
        let fits = |policy: &str| control(Caller::Root, policy, program).0;
        // Under `strict`: what does no more than it lets.
        (name != "strict" || fits("native") == fits(name))
            && calls_support::outcome(Caller::Root, name, program, "60s").0 == fits(name)
    };
    let mut makers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut made: Vec<(String, BTreeSet<String>)> = programs
        .iter()
        .filter(steady)
        .map(|program| (program.clone(), record::calls(name, program)))
        .collect();
    assert!(!made.is_empty(), "{name}: no program has the same outcome twice");
    // One that makes many calls can be the witness of many.
    made.sort_by_key(|(_, calls)| std::cmp::Reverse(calls.len()));
    for (program, calls) in &made {
        for call in calls {
            makers.entry(call.clone()).or_default().push(program.clone());
        }
    }
    let allowed = allowed(policy);
    let open = Mutex::new(allowed.iter());
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(call) = { open.lock().unwrap().next() } {
                    let all = makers.get(call).map_or(&[][..], Vec::as_slice);
                    let differs = |program: &&String| {
                        let bad = difference(Caller::Root, (name, policy), call, program);
                        let again = || differs_again(Caller::Root, (name, policy), call, program);
                        bad.is_some() && again()
                    };
                    let what = match (all.iter().find(differs), all.first()) {
                        (Some(program), _) => Use::Needed(program.clone()),
                        (None, Some(program)) => Use::Used(program.clone()),
                        (None, None) => Use::Unused,
                    };
                    found.lock().unwrap().insert(call.clone(), what);
                }
            });
        }
    });
    eprintln!("{name}: {} programs of {}, {} calls", made.len(), programs.len(), allowed.len());
    found.into_inner().unwrap()
}

#[test]
fn list_is_written_anew_where_that_is_asked_for() {
    let Some(wanted) = written() else { return };
    let mut calls = golden::read();
    calls.retain(|name, _| policies().iter().any(|(known, _)| known == name));
    for (name, policy) in policies() {
        if wanted == "all" || wanted.split(',').any(|one| one == name) {
            calls.insert(name.to_owned(), find_out(name, &policy));
            golden::write(&calls);
        }
    }
}

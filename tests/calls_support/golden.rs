//! `tests/golden/calls.txt`: for each call of each policy that can be run,
//! whether a program needs it, and which one shows that.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What the programs of the corpus make of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// This one comes to something else without it.
    Needed(String),
    /// This one calls it, and none comes to something else without.
    Used(String),
    /// None calls it.
    Unused,
}

/// By policy and call.
pub type Calls = BTreeMap<String, BTreeMap<String, Use>>;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/calls.txt")
}

const HEAD: &str = "\
# Calls that policies allow, and what the programs of tests/languages make of them.
# needed PROGRAM: it comes to something else where this call is ENOSYS.
# used PROGRAM: it makes the call, and no program comes to something else without.
# unused: no program makes it.
# STOCKADE_WRITE_CALLS=all cargo test --test calls, as root, writes this anew.
";

/// Reads it.
pub fn read() -> Calls {
    let mut calls = Calls::new();
    let text = fs::read_to_string(path()).unwrap_or_default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (policy, call, found) = match words[..] {
            [policy, call, "needed", program] => (policy, call, Use::Needed(program.to_owned())),
            [policy, call, "used", program] => (policy, call, Use::Used(program.to_owned())),
            [policy, call, "unused"] => (policy, call, Use::Unused),
            _ => panic!("{}: '{line}'", path().display()),
        };
        let old = calls.entry(policy.to_owned()).or_default().insert(call.to_owned(), found);
        assert_eq!(old, None, "twice: {line}");
    }
    calls
}

/// Writes it.
pub fn write(calls: &Calls) {
    let mut text = HEAD.to_owned();
    for (policy, calls) in calls {
        for (call, found) in calls {
            let said = match found {
                Use::Needed(program) => format!("needed {program}"),
                Use::Used(program) => format!("used {program}"),
                Use::Unused => "unused".to_owned(),
            };
            writeln!(text, "{policy} {call} {said}").unwrap();
        }
    }
    fs::write(path(), text).unwrap();
}

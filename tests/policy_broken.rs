//! Every policy in `tests/policies/broken` is refused with exactly the
//! findings in the file beside it.
//!
//! After a change of words: `STOCKADE_BLESS=1 cargo test --test policy_broken`
//! writes the files anew; read the diff before it is committed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn broken() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/broken");
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    files
}

/// The lines that differ, with a sign before each.
fn difference(expected: &str, found: &str) -> String {
    let mut out = String::new();
    for line in expected.lines().filter(|l| !found.lines().any(|f| f == *l)) {
        writeln!(out, "  - {line}").unwrap();
    }
    for line in found.lines().filter(|l| !expected.lines().any(|e| e == *l)) {
        writeln!(out, "  + {line}").unwrap();
    }
    if out.is_empty() {
        out.push_str("  the lines are the same in another order or number\n");
    }
    out
}

#[test]
fn broken_policies_are_refused_with_exactly_these_findings() {
    let bless = std::env::var_os("STOCKADE_BLESS").is_some();
    let mut wrong = String::new();
    let files = broken();
    assert!(files.len() >= 60, "only {} broken policies were found", files.len());
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy();
        let findings = match stockade::policy::parse(&name, &fs::read(file).unwrap()) {
            Ok(policy) => {
                writeln!(wrong, "{name}: accepted as {}", policy.digest).unwrap();
                continue;
            }
            Err(findings) => findings.to_string(),
        };
        let expectation = file.with_extension("txt");
        if bless {
            fs::write(&expectation, &findings).unwrap();
        }
        let expected = fs::read_to_string(&expectation).unwrap_or_default();
        if expected != findings {
            writeln!(wrong, "{name}:\n{}", difference(&expected, &findings)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Findings without a policy would never be looked at again.
#[test]
fn expectation_beside_no_policy_is_a_mistake() {
    let files = broken();
    let directory = files.first().and_then(|f| f.parent()).unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let twin =
            path.with_extension(if path.extension().is_some_and(|e| e == "txt") { "json" } else { "txt" });
        assert!(twin.exists(), "{} has no {}", path.display(), twin.display());
    }
}

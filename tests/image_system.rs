//! The closure of every dynamic program of this system, against the loader's own word.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test stops at the first surprise, and says why it was skipped"
)]

mod image_support;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use image_support::skip;
use stockade::image::elf::{self, Interpreter};
use stockade::image::needs;

/// Where the answers may differ, and why; everything else must be equal.
///
/// 1. A program with a RPATH or RUNPATH of its own is refused when it rests on
///    it: an untrusted program's search path is never followed. The loader
///    finds at least one of its libraries outside the system's directories
///    (on Debian: the systemd tools' and man's private libraries).
/// 2. `libgcc_s.so.1` is added when a program or library can unwind stacks:
///    glibc opens it by itself, so the loader's list does not have it.
const OWN_PATH: &str = "is not followed";
const UNWINDER: &str = "libgcc_s.so.1";

const SYSTEM: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// What the loader would load for a trusted program; name to file.
fn loader_says(program: &Path) -> Option<BTreeMap<PathBuf, PathBuf>> {
    let output =
        Command::new(Interpreter::Glibc.path()).arg("--list").arg(program).env_clear().output().unwrap();
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let mut libraries = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, rest)) = line.trim().split_once(" => ") {
            let path = rest.split(" (").next().unwrap();
            libraries.insert(PathBuf::from(name), std::fs::canonicalize(path).unwrap());
        }
    }
    Some(libraries)
}

#[test]
fn every_system_program_has_the_closure_that_the_loader_reports() {
    if !Path::new(Interpreter::Glibc.path()).exists() {
        return skip("every_system_program", "no glibc loader on this host");
    }
    let (mut same, mut refused, mut unwinder, mut wrong) = (0, Vec::new(), 0, Vec::new());
    for entry in std::fs::read_dir("/usr/bin").unwrap() {
        let path = entry.unwrap().path();
        let Ok(file) = File::open(&path) else { continue };
        let Ok(elf) = elf::inspect(&file) else { continue };
        if elf.interpreter != Some(Interpreter::Glibc) {
            continue;
        }
        let Some(expected) = loader_says(&path) else { continue };
        let found = match needs(&file) {
            Ok(found) => found,
            Err(error) if error.message().contains(OWN_PATH) => {
                let own = |file: &PathBuf| {
                    !SYSTEM.iter().any(|dir| file.parent() == Path::new(dir).canonicalize().ok().as_deref())
                };
                assert!(elf.rpath.is_some() || elf.runpath.is_some(), "{}: {error}", path.display());
                assert!(expected.values().any(own), "{} needs nothing of its own: {error}", path.display());
                refused.push(path);
                continue;
            }
            Err(error) => {
                wrong.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        let mut found: BTreeMap<PathBuf, PathBuf> =
            found.into_iter().map(|need| (need.name, std::fs::canonicalize(need.path).unwrap())).collect();
        if !expected.contains_key(Path::new(UNWINDER)) && found.remove(Path::new(UNWINDER)).is_some() {
            unwinder += 1;
        }
        if found == expected {
            same += 1;
        } else {
            wrong.push(format!("{}:\n  found {found:?}\n  loader {expected:?}", path.display()));
        }
    }
    eprintln!(
        "{same} programs with the loader's own set ({unwinder} of them with libgcc_s.so.1 besides), \
         {} refused for their RPATH or RUNPATH: {refused:?}",
        refused.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(same >= 20, "only {same} programs were compared");
}

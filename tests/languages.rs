//! Real programs of each language behave in the box as they do bare, and what
//! the box refuses is refused in each language.
//!
//! `corpus` says what there is and how it is built.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;
mod corpus;

use std::fs;
use std::path::PathBuf;

use common::{Caller, leaves_of, run, sample, skip};
use corpus::{Language, Program, java_bare, java_jar, java_program, language, sources};

/// In the box: the same output and status as bare, or the verdict that the program says.
fn compare(caller: Caller, policy: &str, program: &Program, bare: impl Fn(&Program) -> (i32, bool, String)) {
    let options = ["--policy", policy].into_iter();
    let own = program.directive("box").unwrap_or_default().split_whitespace();
    let ran = run(caller, &program.file)
        .options(options.chain(own))
        .args(program.args.iter().map(String::as_str))
        .stdin(program.stdin())
        .go();
    let what = format!("{caller:?} {policy} {}", program.name);
    if let Some(verdict) = program.directive("verdict") {
        assert_eq!(ran.verdict(), verdict, "{what}: {}", ran.all());
        if let Some(limit) = verdict.strip_suffix("_limit") {
            assert_eq!(ran.status, 124, "{what}: {}", ran.all());
            let name = match limit {
                "cpu" => "cpu_time",
                "wall" => "wall_time",
                other => other,
            };
            let hit = ran.report["limits_hit"].as_array().unwrap();
            assert!(hit.iter().any(|l| l == name), "{what}: {}", ran.all());
        }
        assert_eq!(ran.report["cleanup"]["ok"], true, "{what}: {}", ran.all());
        assert_eq!(leaves_of(ran.pid), [""; 0], "{what}");
        return;
    }
    let (status, signaled, stdout) = bare(program);
    assert_eq!(ran.status, status, "{what}: bare\n{stdout}\nbox {}", ran.all());
    let verdict = match status {
        _ if signaled => "signaled",
        0 => "ok",
        _ => "nonzero_exit",
    };
    assert_eq!(ran.verdict(), verdict, "{what}: {}", ran.all());
    // Where the runtime names its file, the box has another name for it.
    let own = program.file.to_str().unwrap();
    assert_eq!(ran.text(), stdout.replace(own, "/box/main"), "{what}: {}", ran.all());
    assert_eq!(ran.report["violations"].as_array().map(Vec::len), Some(0), "{what}: {}", ran.all());
}

fn each_program(language: &Language, callers: &[Caller]) {
    if let Some(missing) = language.missing() {
        return skip(&missing);
    }
    let all = sources(language.name, language.extension);
    let ordinary: Vec<PathBuf> = all.into_iter().filter(|p| p.file_stem().unwrap() != "refused").collect();
    assert!(ordinary.len() >= language.programs, "{} has {}", language.name, ordinary.len());
    for (number, source) in sample(ordinary).into_iter().enumerate() {
        let program = language.program(&source);
        let caller = callers[number % callers.len()];
        compare(caller, language.policy, &program, |program| language.bare(program, &[]));
    }
}

/// What must be refused: everything that the program tries. Bare, it can do what it tries there.
fn refusals(caller: Caller, policy: &str, program: &Program, bare: impl Fn(&Program) -> (i32, bool, String)) {
    let (status, _, control) = bare(program);
    assert_eq!(status, 0, "{}: {control}", program.name);
    assert!(control.lines().count() >= 3, "{control}");
    assert!(control.lines().all(|line| line.ends_with(" allowed")), "bare: {control}");
    let made = program.file.with_file_name("made");
    assert!(made.exists(), "bare it can write");
    fs::remove_file(&made).unwrap();
    let ran = run(caller, &program.file)
        .options(["--policy", policy, "--wall-time", "20s"])
        .args(program.args.iter().map(String::as_str))
        .go();
    assert_eq!(ran.status, 0, "{policy}: {}", ran.all());
    assert!(ran.text().lines().count() > control.lines().count(), "{policy}: {}", ran.all());
    assert!(ran.text().lines().all(|line| line.ends_with(" refused")), "{policy}: {}", ran.all());
    assert!(!made.exists());
    assert_eq!(ran.report["cleanup"]["ok"], true, "{policy}: {}", ran.all());
}

macro_rules! languages {
    ($($name:ident $same:ident $refused:ident),+ $(,)?) => {$(
        #[test]
        fn $same() {
            each_program(language(stringify!($name)), &Caller::all());
        }

        #[test]
        fn $refused() {
            let language = language(stringify!($name));
            if let Some(missing) = language.missing() {
                return skip(&missing);
            }
            let all = sources(language.name, language.extension);
            let source = all.iter().find(|p| p.file_stem().unwrap() == "refused").unwrap();
            let program = language.program(source);
            for caller in Caller::all() {
                refusals(caller, language.policy, &program, |program| language.bare(program, &["bare"]));
            }
        }
    )+};
}

languages! {
    c c_programs_run_as_bare c_program_is_refused_what_it_tries,
    cpp cpp_programs_run_as_bare cpp_program_is_refused_what_it_tries,
    rust rust_programs_run_as_bare rust_program_is_refused_what_it_tries,
    go go_programs_run_as_bare go_program_is_refused_what_it_tries,
    python python_programs_run_as_bare python_program_is_refused_what_it_tries,
    node node_programs_run_as_bare node_program_is_refused_what_it_tries,
    perl perl_programs_run_as_bare perl_program_is_refused_what_it_tries,
    ruby ruby_programs_run_as_bare ruby_program_is_refused_what_it_tries,
    lua lua_programs_run_as_bare lua_program_is_refused_what_it_tries,
}

#[test]
fn java_programs_run_as_bare() {
    let Some(jar) = java_jar() else { return };
    let mut all = sources("java", "java");
    all.retain(|p| !["Refused", "Dispatch"].iter().any(|name| p.file_stem().unwrap() == *name));
    assert!(all.len() >= 12, "{}", all.len());
    let callers = Caller::all();
    for (number, source) in sample(all).into_iter().enumerate() {
        let program = java_program(&jar, &source);
        compare(callers[number % callers.len()], "java", &program, |program| java_bare(program, &[]));
    }
}

#[test]
fn java_program_is_refused_what_it_tries() {
    let Some(jar) = java_jar() else { return };
    let sources = sources("java", "java");
    let source = sources.iter().find(|p| p.file_stem().unwrap() == "Refused").unwrap();
    for caller in Caller::all() {
        refusals(caller, "java", &java_program(&jar, source), |program| java_bare(program, &["bare"]));
    }
}

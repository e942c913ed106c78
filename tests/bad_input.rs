//! Whatever is handed over, it is refused with its reason and the right status, or
//! it runs as always; nothing is left either way.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{Caller, Ran, leaves_of, patience, payload, payload_of, run, work};
use serde_json::{Value, json};

fn probe() -> PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

/// Nothing is left of a run.
fn assert_clean(ran: &Ran, caller: Caller, what: &str) {
    assert_eq!(leaves_of(ran.pid), Vec::<String>::new(), "{what} {}", ran.all());
    // The tests beside this one write to the same store.
    let until = Instant::now() + patience(Duration::from_secs(10));
    loop {
        let tmp = fs::read_dir(caller.home().join("store/tmp"));
        let tmp: Vec<_> = tmp.into_iter().flatten().flatten().collect();
        if tmp.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "{what} {tmp:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    if !ran.report.is_null() {
        assert_eq!(ran.report["cleanup"], json!({ "ok": true, "left": [] }), "{what} {}", ran.all());
    }
}

/// Refused before anything ran, with these words.
fn assert_refused(ran: &Ran, caller: Caller, status: i32, words: &str, what: &str) {
    assert_eq!(ran.status, status, "{what} {}", ran.all());
    assert!(ran.stderr.contains(words), "{what}: {words:?} is not in {:?}", ran.stderr);
    assert!(ran.stdout.is_empty(), "{what} {}", ran.all());
    if !ran.report.is_null() {
        assert_eq!(ran.verdict(), "setup_failed", "{what} {}", ran.all());
        assert_eq!((&ran.report["exit_code"], &ran.report["signal"]), (&Value::Null, &Value::Null), "{what}");
    }
    assert_clean(ran, caller, what);
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = work().join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The probe with some bytes changed.
fn patched(name: &str, at: u64, bytes: &[u8]) -> PathBuf {
    let path = file(name, &fs::read(probe()).unwrap());
    File::options().write(true).open(&path).unwrap().write_all_at(bytes, at).unwrap();
    path
}

#[test]
fn what_is_no_program_is_refused_with_its_reason() {
    let whole = fs::read(probe()).unwrap();
    let fifo = work().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    let link = work().join("dangling");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    let cases: Vec<(PathBuf, i32, &str)> = vec![
        (work().join("nothing"), 127, "ENOENT"),
        (work().join("nothing/below"), 127, "ENOENT"),
        (PathBuf::from("sort"), 127, "PROGRAM is a file, not a command"),
        (link, 127, "ENOENT"),
        (work().to_path_buf(), 126, "is a directory, not a program"),
        (fifo, 126, "is a fifo, not a program"),
        ("/dev/zero".into(), 126, "is a device, not a program"),
        (file("empty", b""), 126, "an empty file"),
        (file("text", b"hello\n"), 126, "a text file"),
        (file("script", b"#!/bin/sh\necho\n"), 126, "a script for 'sh'"),
        (file("short", &whole[..40]), 126, "truncated"),
        (file("headers", &whole[..100]), 126, "truncated"),
        (file("half", &whole[..whole.len() / 2]), 126, "truncated"),
        (patched("arm", 18, &[0xb7, 0]), 126, "not for x86-64"),
        (patched("i386", 4, &[1]), 126, "32-bit"),
        (patched("other-end", 5, &[2]), 126, ""),
        (patched("object", 16, &[1, 0]), 126, ""),
        (patched("core", 16, &[4, 0]), 126, ""),
        (patched("many-headers", 56, &[0xff, 0xff]), 126, ""),
        (patched("far-headers", 32, &[0xff; 8]), 126, ""),
        (patched("odd-headers", 54, &[1, 0]), 126, ""),
    ];
    for caller in Caller::all() {
        for (program, status, words) in &cases {
            let ran = run(caller, program).go();
            assert_refused(&ran, caller, *status, words, &program.display().to_string());
            assert!(ran.stderr.starts_with("stockade: error: "), "{}", ran.stderr);
        }
        if caller == Caller::User {
            let private = file("private", &whole);
            fs::set_permissions(&private, fs::Permissions::from_mode(0o000)).unwrap();
            assert_refused(&run(caller, &private).go(), caller, 126, "EACCES", "unreadable");
        }
    }
}

#[test]
fn program_that_asks_for_files_of_the_host_is_refused() {
    let library = work().join("libown.so");
    fs::write(work().join("own.c"), "int own(void) { return 0; }").unwrap();
    common::compile(&work().join("own.c"), &library, &["-shared", "-fPIC"]);
    let text = "int own(void);\nint main(void) { return own(); }";
    let at_path = payload_of("by_path", text, &[library.to_str().unwrap()]);
    let runpath = format!("-Wl,-rpath,{}", work().display());
    let search = format!("-L{}", work().display());
    let by_runpath = payload_of("by_runpath", text, &[&search, "-lown", &runpath]);
    let by_name = payload_of("by_name", text, &[&search, "-lown"]);
    for caller in Caller::all() {
        for (program, words) in
            [(&at_path, "which is a path"), (&by_runpath, "libown.so"), (&by_name, "libown.so")]
        {
            assert_refused(&run(caller, program).go(), caller, 126, words, &program.display().to_string());
        }
    }
}

/// The same each time.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn damaged_program_is_refused_or_ends_as_a_program() {
    let whole = fs::read(payload("hello.c", &["-static"])).unwrap();
    let mut state = 2026;
    let (mut refused, mut ran_at_all) = (0, 0);
    for caller in Caller::all() {
        for round in 0..120 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random(&mut state) % 6 {
                // The headers, mostly: they are at the start of the file.
                let within = if random(&mut state).is_multiple_of(4) { bytes.len() } else { 0x300 };
                let at = usize::try_from(random(&mut state)).unwrap() % within;
                bytes[at] = u8::try_from(random(&mut state) & 0xff).unwrap();
            }
            let what = format!("{caller:?} round {round}");
            let program = file("damaged", &bytes);
            let ran = run(caller, &program).options(["--cpu-time", "300ms", "--wall-time", "600ms"]).go();
            assert!(!ran.report.is_null(), "{what}: no report: {}", ran.all());
            assert_ne!(ran.verdict(), "sandbox_failure", "{what} {}", ran.all());
            if ran.verdict() == "setup_failed" {
                assert!([125, 126].contains(&ran.status), "{what} {}", ran.all());
                assert!(ran.stderr.starts_with("stockade: "), "{what} {}", ran.all());
                refused += 1;
            } else {
                ran_at_all += 1;
            }
            assert_clean(&ran, caller, &what);
        }
    }
    assert!(refused > 10 && ran_at_all > 10, "{refused} were refused, {ran_at_all} ran");
}

#[test]
fn limits_that_are_none_are_refused() {
    let cases = [
        ("--cpu-time", "0s", "is zero"),
        ("--cpu-time", "0", "has no unit"),
        ("--cpu-time", "1", "has no unit"),
        ("--cpu-time", "-1s", "is negative"),
        ("--cpu-time", "99999999999999999999s", "is too large"),
        ("--cpu-time", "unlimited", "there is no unlimited"),
        ("--wall-time", "0ms", "is zero"),
        ("--wall-time", "", "is empty"),
        ("--wall-time", "1 s", ""),
        ("--memory", "0B", "is zero"),
        ("--memory", "-1", "is negative"),
        ("--memory", "64", "has no unit"),
        ("--memory", "1KB", "has an unknown unit"),
        ("--memory", "64KiB", "is too small"),
        ("--memory", "99999999999GiB", "is too large"),
        ("--memory", "16777216TiB", "is too large"),
        ("--processes", "0", "is zero"),
        ("--processes", "-1", "is not a whole number"),
        ("--processes", "4294967296", "is not a whole number"),
        ("--processes", "4294967295", "is too large"),
        ("--open-files", "0", "is zero"),
        ("--open-files", "2", "is too small"),
        ("--open-files", "2000000000", "is too large"),
        ("--file-size", "1", "has no unit"),
        ("--output", "-5B", "is negative"),
        ("--stack", "0B", "is zero"),
        ("--stack", "unlimited", "unlimited"),
        ("--tmp", "0B", "is zero"),
        ("--tmp", "1B", "is too small"),
    ];
    for caller in Caller::all() {
        for (option, value, words) in cases {
            let ran = run(caller, probe()).options([option, value]).args(["exit", "0"]).go();
            assert_refused(&ran, caller, 125, words, &format!("{option} {value:?}"));
            assert!(ran.stderr.contains(option), "{option} {value}: {}", ran.stderr);
        }
        // The control: the least that is one.
        let least = [
            "--cpu-time",
            "1s",
            "--memory",
            "1MiB",
            "--processes",
            "1",
            "--open-files",
            "8",
            "--tmp",
            "4KiB",
        ];
        let ran = run(caller, probe()).options(least).args(["exit", "7"]).go();
        assert_eq!((ran.status, ran.verdict()), (7, "nonzero_exit"), "{}", ran.all());
    }
}

#[test]
fn wrong_words_on_the_command_line_are_refused() {
    let broken = work().join("broken.json");
    fs::write(&broken, "{ \"version\": 1, \"name\": \"x\", }").unwrap();
    let wrong = work().join("wrong.json");
    fs::write(&wrong, r#"{"version":1,"name":"x","comment":"c","extends":"native","limits":{"cpu_time":5}}"#)
        .unwrap();
    let cases = [
        (vec!["--nosuch"], "unexpected argument '--nosuch'"),
        (vec!["--policy", "nosuch"], "there is no policy `nosuch`"),
        (vec!["--policy", "/nosuch.json"], "ENOENT"),
        (vec!["--policy", broken.to_str().unwrap()], "broken.json"),
        (vec!["--policy", wrong.to_str().unwrap()], "cpu_time"),
        (vec!["--policy", "/"], "EISDIR"),
        (vec!["--degrade", "everything"], "unknown layer 'everything'"),
        (vec!["--env", "NAME"], "NAME=VALUE"),
        (vec!["--stdin", "/nosuch"], "ENOENT"),
        (vec!["--stdin", "/"], "EISDIR"),
        (vec!["--stdout", "/nosuch/x"], "ENOENT"),
        (vec!["--ro", "/nosuch"], "ENOENT"),
        (vec!["--cgroup", "/nosuch"], "ENOENT"),
    ];
    for caller in Caller::all() {
        for (options, words) in &cases {
            if options[0] == "--cgroup" && !caller.has_cgroup() {
                // Who says that there need be none is not refused for a wrong one.
                continue;
            }
            let ran = run(caller, probe()).options(options.iter().copied()).args(["exit", "0"]).go();
            assert_refused(&ran, caller, 125, words, &options.join(" "));
        }
        // What follows the program is the program's.
        let ran = run(caller, probe()).args(["args", "--nosuch", "--memory", "0"]).go();
        assert!(ran.text().ends_with("args\n--nosuch\n--memory\n0\n"), "{}", ran.all());
    }
}

#[test]
fn report_that_cannot_be_written_is_refused_before_anything_runs() {
    for caller in Caller::all() {
        for (place, words) in [
            ("/nosuch/report.json", "ENOENT"),
            ("/", "not a file's name"),
            ("/tmp", "is a directory"),
            ("/dev/null", "not a regular file"),
            ("fd:1", "descriptors 0 to 2 are the payload's streams"),
            ("fd:99", "EBADF"),
            ("fd:x", "not a descriptor's number"),
        ] {
            let canary = caller.home().join("canary");
            let mut command = caller.command(common::stockade());
            let into = canary.to_str().unwrap();
            command.args(["run", "--degrade", "cgroup", "--report", place, "--stdout", into, "--"]);
            let out = command.arg(probe()).args(["args"]).output().unwrap();
            let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(125), "{place} {stderr}");
            assert!(stderr.contains(words), "{place} {stderr}");
            assert!(!canary.exists(), "{place}");
        }
    }
}

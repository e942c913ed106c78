//! Real programs behave in the box as they do bare.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

use common::{Caller, bare, megabytes, payload, run, sample, skip, slow};

fn same_as_bare(caller: Caller, program: &Path, args: &[&str], stdin: &[u8]) {
    let (status, stdout) = bare(program, args, stdin);
    let ran = run(caller, program).args(args.iter().copied()).stdin(stdin).go();
    let what = format!("{caller:?} {} {args:?}", program.display());
    assert_eq!(ran.status, status, "{what}: {}", ran.all());
    assert!(ran.stdout == stdout, "{what}: {} bytes, bare {}", ran.stdout.len(), stdout.len());
    assert_eq!(ran.stderr, "", "{what}");
}

#[test]
fn host_programs_give_the_same_output_and_status() {
    let text = megabytes();
    let cases: &[(&str, &[&str])] = &[
        ("/usr/bin/sort", &[]),
        ("/usr/bin/sort", &["-n", "-k3"]),
        ("/usr/bin/wc", &[]),
        ("/usr/bin/sha256sum", &[]),
        ("/usr/bin/md5sum", &["-"]),
        ("/usr/bin/awk", &["{ s += $1 } END { print s, NR }"]),
        ("/usr/bin/base64", &[]),
        ("/usr/bin/od", &["-x"]),
        ("/usr/bin/uniq", &["-c"]),
        ("/usr/bin/cut", &["-d", " ", "-f", "2-"]),
        ("/usr/bin/tr", &["a-f", "A-F"]),
        ("/usr/bin/head", &["-n", "7"]),
        ("/usr/bin/tail", &["-n", "7"]),
        ("/usr/bin/grep", &["-c", "line 1"]),
        ("/usr/bin/sed", &["-n", "s/line/LINE/p"]),
        ("/usr/bin/seq", &["1", "3", "100000"]),
        ("/usr/bin/factor", &["600851475143"]),
        ("/usr/bin/expr", &["6", "*", "7"]),
        ("/usr/bin/printf", &["%05d %s\\n", "42", "x"]),
        ("/usr/bin/tac", &[]),
        ("/usr/bin/cksum", &[]),
        ("/usr/bin/gzip", &["-c"]),
        ("/usr/bin/true", &[]),
        ("/usr/bin/false", &[]),
        ("/usr/bin/diff", &["-", "/box/none"]),
    ];
    let there: Vec<_> = cases.iter().filter(|(program, _)| Path::new(program).exists()).collect();
    assert!(there.len() >= 15, "only {} programs are there to try", there.len());
    for caller in Caller::all() {
        for (program, args) in sample(there.clone()) {
            if *program == "/usr/bin/diff" {
                let ran = run(caller, program).args(args.iter().copied()).go();
                assert_eq!(ran.status, 2, "{}", ran.all());
            } else {
                same_as_bare(caller, Path::new(program), args, &text);
            }
        }
    }
}

#[test]
fn gzip_output_of_the_box_unpacks_to_its_input() {
    let text = megabytes();
    let packed = run(Caller::all()[0], "/usr/bin/gzip").stdin(text.clone()).go();
    assert_eq!(packed.status, 0, "{}", packed.all());
    let unpacked = run(Caller::all()[0], "/usr/bin/gzip").args(["-dc"]).stdin(packed.stdout).go();
    assert!(unpacked.stdout == text);
}

#[test]
fn c_and_cpp_programs_static_and_dynamic_run_as_bare() {
    let programs: Vec<(PathBuf, &[&str])> = vec![
        (payload("words.cpp", &["-O2"]), &[]),
        (payload("words.cpp", &["-O2", "-static"]), &[]),
        (payload("throws.cpp", &["-O1"]), &["5"]),
        (payload("throws.cpp", &["-O1", "-static"]), &["5"]),
        (payload("threads.cpp", &["-O1", "-pthread"]), &["8"]),
        (payload("threads.cpp", &["-O1", "-pthread", "-static"]), &["8"]),
        (payload("threads.cpp", &["-O1", "-pthread", "-static-pie"]), &["3"]),
        (payload("libc.c", &["-lm"]), &["a", "b c", ""]),
        (payload("libc.c", &["-static", "-lm"]), &["a"]),
        (payload("libc.c", &["-no-pie", "-lm"]), &[]),
    ];
    let text = megabytes();
    for caller in Caller::all() {
        for (program, args) in sample(&programs) {
            same_as_bare(caller, program, args, &text);
        }
    }
}

#[test]
fn rust_program_with_threads_and_a_caught_panic_runs_as_bare() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads/program.rs");
    for flags in [&["-O"][..], &["-O", "-C", "target-feature=+crt-static"][..]] {
        let out = common::work().join(format!("rust-{}", flags.len()));
        let built = std::process::Command::new("rustc")
            .args(flags)
            .args(["--edition", "2021", "-o"])
            .arg(&out)
            .arg(&source)
            .status();
        if !built.is_ok_and(|s| s.success()) {
            return skip("rustc does not build here");
        }
        for caller in Caller::all() {
            same_as_bare(caller, &out, &["x", "y"], &megabytes());
        }
    }
}

#[test]
fn private_program_of_root_runs_although_the_box_user_owns_nothing() {
    if !common::is_root() {
        return skip("needs root");
    }
    let copy = common::work().join("private");
    std::fs::copy(payload("libc.c", &["-lm"]), &copy).unwrap();
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let ran = run(Caller::Root, &copy).go();
    assert_eq!(ran.status, 0, "{}", ran.all());
}

#[test]
fn program_without_an_execute_bit_runs_from_its_copy() {
    let copy = common::work().join("no-x");
    std::fs::copy(payload("libc.c", &["-static", "-lm"]), &copy).unwrap();
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    for caller in Caller::all() {
        let ran = run(caller, &copy).go();
        assert_eq!(ran.status, 0, "{}", ran.all());
    }
}

#[test]
fn megabytes_pass_through_stdin_and_stdout_unchanged() {
    let mut bytes = megabytes();
    bytes.extend((0..=255u8).cycle().take((5 << 20) / slow() as usize));
    for caller in Caller::all() {
        let ran = run(caller, payload("probe.c", &[])).args(["copy"]).stdin(bytes.clone()).go();
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert!(ran.stdout == bytes, "{} of {} bytes", ran.stdout.len(), bytes.len());
        assert_eq!(ran.report["usage"]["stdin_bytes"], bytes.len());
        assert_eq!(ran.report["usage"]["stdout_bytes"], bytes.len());
    }
}

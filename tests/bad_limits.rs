//! Callers with small limits of their own: a run that goes well, or one that is
//! refused with what to do; never a hang, a panic or a death without a report.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{Caller, Ran, leaves_of, patience, payload, run};

/// Too little for the stack of any thread.
const NO_THREADS: &str = "ulimit -d 1500";

fn probe() -> PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

fn under(caller: Caller, limit: &str, options: &[&str], args: &[&str]) -> Ran {
    let script = format!("{limit}; exec \"$@\"");
    let run = run(caller, probe()).options(options.iter().copied()).args(args.iter().copied());
    run.through(&format!("exec /bin/bash -c '{script}' bash \"$@\"")).go()
}

#[test]
fn program_runs_and_has_its_digest_where_no_thread_can_be_had() {
    for caller in Caller::all() {
        // Neither a stream that is open nor a digest has a thread here.
        let ran = under(caller, NO_THREADS, &["--stdin", "/dev/null"], &["exit", "3"]);
        assert_eq!((ran.status, ran.verdict()), (3, "nonzero_exit"), "{}", ran.all());
        let without = ran.report["payload"]["sha256"].clone();
        let ran = under(caller, "true", &[], &["exit", "3"]);
        assert_eq!(ran.report["payload"]["sha256"], without, "{}", ran.all());
        assert_eq!(without.as_str().map(str::len), Some(64), "{}", ran.all());
    }
}

#[test]
fn output_that_no_thread_can_hand_on_is_a_failure_and_no_hang() {
    for caller in Caller::all() {
        let begin = Instant::now();
        let ran = under(caller, NO_THREADS, &["--wall-time", "20s"], &["args"]);
        assert_eq!((ran.status, ran.verdict()), (125, "sandbox_failure"), "{}", ran.all());
        assert!(ran.stderr.contains("EAGAIN"), "{}", ran.all());
        assert!(begin.elapsed() < patience(Duration::from_secs(15)), "{:?}", begin.elapsed());
        assert_eq!(leaves_of(ran.pid), Vec::<String>::new(), "{}", ran.all());
        let ran = under(caller, "true", &[], &["args"]);
        assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{}", ran.all());
    }
}

#[test]
fn limit_below_that_of_the_policy_is_refused_with_the_way_out() {
    for caller in Caller::all() {
        for (limit, words, enough) in [
            ("ulimit -n 64", "RLIMIT_NOFILE", ["--open-files", "64"]),
            ("ulimit -s 1024", "RLIMIT_STACK", ["--stack", "1MiB"]),
            ("ulimit -t 5", "RLIMIT_CPU", ["--cpu-time", "1s"]),
            ("ulimit -f 16384", "RLIMIT_FSIZE", ["--file-size", "1MiB"]),
        ] {
            let ran = under(caller, limit, &["--cpu-time", "30s"], &["exit", "3"]);
            if ran.status == 3 {
                common::skip("this caller may raise limits");
                continue;
            }
            assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{limit}: {}", ran.all());
            assert!(ran.stderr.contains(words), "{limit}: {}", ran.stderr);
            assert!(ran.stderr.contains("help: the caller's own hard limit is lower"), "{}", ran.stderr);
            let ran = under(caller, limit, &enough, &["exit", "3"]);
            assert_eq!((ran.status, ran.verdict()), (3, "nonzero_exit"), "{limit}: {}", ran.all());
        }
    }
}

#[test]
fn caller_that_may_write_no_file_hears_why_and_is_not_killed() {
    for caller in Caller::all() {
        // One block of a KiB: neither the program's copy nor a report fits.
        let ran = under(caller, "ulimit -f 1", &[], &["exit", "3"]);
        assert_eq!(ran.status, 125, "{}", ran.all());
        assert!(ran.stderr.contains("ulimit -f"), "{}", ran.stderr);
        assert!(ran.stderr.contains("cannot write the report: EFBIG"), "{}", ran.stderr);
        assert_eq!(leaves_of(ran.pid), Vec::<String>::new());
        // The payload itself still dies of it.
        let ran = under(caller, "ulimit -f 16384", &["--file-size", "1000B"], &["bigfile", "2000"]);
        assert_eq!((ran.status, ran.verdict()), (128 + 25, "signaled"), "{}", ran.all());
    }
}

#[test]
fn caller_without_descriptors_is_told_so() {
    for caller in Caller::all() {
        for few in ["ulimit -n 4", "ulimit -n 16"] {
            let ran = under(caller, few, &[], &["exit", "3"]);
            assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{few}: {}", ran.all());
            assert!(ran.stderr.contains("EMFILE") && ran.stderr.contains("ulimit -n"), "{}", ran.stderr);
        }
    }
}

#[test]
fn wrong_words_replace_the_report_of_an_earlier_run() {
    for caller in Caller::all() {
        let place = caller.home().join("words.json");
        for (words, reason) in [
            (vec!["--nosuch"], "unexpected argument '--nosuch' found"),
            (vec!["--memory", "64"], "size `64` has no unit"),
        ] {
            fs::write(&place, "{\"verdict\": \"ok\"}").unwrap();
            let mut command = caller.command(common::stockade());
            command.args(["run", "--report"]).arg(&place).args(&words).arg(probe());
            let out = command.args(["exit", "0"]).output().unwrap();
            assert_eq!(out.status.code(), Some(125), "{words:?}");
            let report: serde_json::Value = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
            assert_eq!(report["verdict"], "setup_failed", "{words:?}");
            assert!(report["reason"].as_str().unwrap().contains(reason), "{report}");
        }
        // What stands behind the program is the program's.
        fs::remove_file(&place).unwrap();
        let mut command = caller.command(common::stockade());
        command.args(["run", "--nosuch", "--"]).arg(probe()).arg("--report").arg(&place);
        assert_eq!(command.output().unwrap().status.code(), Some(125));
        assert!(!place.exists());
    }
}

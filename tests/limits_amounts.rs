//! How much: what is billed to a program, and what the supervisor itself takes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Caller, Ran, patience, payload, payload_of, run, skip, work};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

fn corpus() -> PathBuf {
    payload("corpus.c", &["-static", "-pthread"])
}

fn usage(ran: &Ran, field: &str) -> u64 {
    ran.report["usage"][field].as_u64().unwrap_or_else(|| panic!("{field} {}", ran.all()))
}

/// Native, but output beyond the limit is cut and the program goes on.
fn cutting_policy() -> String {
    let path = work().join("cutting.json");
    let policy = json!({
        "version": 1, "name": "cutting", "comment": "a test", "extends": "native",
        "limits": { "on_output": "cut" },
    });
    fs::write(&path, policy.to_string()).unwrap();
    path.display().to_string()
}

#[test]
fn fork_bomb_is_gone_within_a_second_of_its_limit() {
    for caller in Caller::all() {
        for bomb in ["bomb", "bomb-sessions", "bomb-threads"] {
            let begin = Instant::now();
            let ran = run(caller, corpus())
                .options(["--processes", "16", "--wall-time", "500ms", "--cpu-time", "20s"])
                .args([bomb])
                .go();
            assert_eq!((ran.status, ran.verdict()), (124, "wall_limit"), "{bomb} {}", ran.all());
            let limit = ran.report["limits"]["wall_ns"].as_u64().unwrap();
            let gone = usage(&ran, "wall_ns") + ran.report["teardown_ns"].as_u64().unwrap();
            assert!(gone - limit < 1_000_000_000, "{bomb}: {} ns after the limit", gone - limit);
            // Seen from outside, with the time to start it.
            assert!(begin.elapsed() < patience(Duration::from_secs(3)), "{bomb}: {:?}", begin.elapsed());
            assert_eq!(ran.report["cleanup"], json!({ "ok": true, "left": [] }));
        }
    }
}

/// The most memory that a process had at any time, KiB, as long as it runs.
fn watch_memory(child: &mut Child) -> u64 {
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
        };
        // Without the pages of the program file, of which a debug build has very many.
        if let (Some(all), Some(file)) = (kib("VmRSS:"), kib("RssFile:")) {
            most = most.max(all.saturating_sub(file));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    most
}

#[test]
fn supervisor_stays_small_however_much_is_written() {
    for caller in Caller::all() {
        let bytes = 10 * 1024 * MIB;
        let policy = cutting_policy();
        let limits = ["-p", &policy, "--output", "1MiB", "--cpu-time", "200s", "--wall-time", "400s"];
        let (mut command, report) =
            run(caller, corpus()).options(limits).args(["out", "1", &bytes.to_string()]).command();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            out.read_to_end(&mut all).unwrap();
            all
        });
        let most = watch_memory(&mut child);
        let all = reader.join().unwrap();
        let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
        // It wrote all of it: it ended by itself.
        assert_eq!((report["verdict"].as_str(), &report["exit_code"]), (Some("ok"), &json!(0)), "{report:#}");
        assert_eq!(report["limits_hit"], json!(["output"]));
        assert_eq!(report["usage"]["stdout_truncated"], true);
        assert_eq!(report["usage"]["stdout_bytes"], MIB);
        assert!(all.len() as u64 == MIB && all.iter().all(|b| *b == b'x'), "{} bytes", all.len());
        assert!(most > 100 && most < 16 * 1024, "{caller:?}: {most} KiB");
    }
}

/// What the program itself says of its CPU time, ns, and of its memory, KiB.
fn bare(program: &Path, args: &[&str]) -> (u64, u64) {
    let out = std::process::Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|n| n.parse::<u64>().unwrap());
    (numbers.next().unwrap() * 1000, numbers.next().unwrap())
}

/// A fixed amount of work, of which others on the machine take the least of its pace: integers. With an
/// argument: memory. Prints its CPU time in µs and its memory.
const WORK: &str = r#"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
int main(int argc, char **argv) {
    size_t size = 160ul << 20;
    unsigned x = 1;
    if (argc > 1) memset(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, size);
    else for (long i = 0; i < 300000000; i++) x = x * 1664525 + 1013904223;
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("%ld %ld\n", (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec, u.ru_maxrss);
    return x == 42;
}"#;

#[test]
fn usage_of_a_fixed_workload_is_that_of_the_same_workload_bare() {
    const ROUNDS: usize = 25;
    let work = payload_of("work", WORK, &["-static"]);
    for caller in Caller::all() {
        let (mut least, mut boxed) = (u64::MAX, u64::MAX);
        // Without a cgroup the program is looked at from time to time, which costs it some of its caches.
        let percent = if caller.has_cgroup() { 2 } else { 8 };
        let apart = |a: u64, b: u64| a.abs_diff(b) * 100 > percent * a.min(b);
        // Other work on the machine only ever adds to either.
        for _ in 0..ROUNDS {
            least = least.min(bare(&work, &[]).0);
            let ran = run(caller, &work).go();
            assert_eq!(ran.verdict(), "ok", "{}", ran.all());
            boxed = boxed.min(usage(&ran, "cpu_ns"));
            if !apart(least, boxed) {
                break;
            }
        }
        if caller.has_cgroup() {
            let bytes = bare(&work, &["memory"]).1 * 1024;
            let ran = run(caller, &work).args(["memory"]).go();
            let peak = usage(&ran, "memory_peak_bytes");
            assert!(!apart(peak, bytes), "{peak} bytes in the box, {bytes} bare: {}", ran.all());
        }
        assert!(!apart(least, boxed), "{caller:?}: {boxed} ns in the box, {least} bare");
    }
}

/// Not worth running: the program, made larger by so much that nobody reads.
fn padded(program: &Path, size: u64) -> PathBuf {
    let path = work().join(format!("padded-{size}"));
    fs::copy(program, &path).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
    path
}

#[test]
fn payload_larger_than_its_memory_limit_runs_because_its_copy_is_not_billed() {
    let large = padded(&corpus(), 80 * MIB);
    for caller in Caller::all() {
        let least = |program: &Path| {
            let of_one = |_| {
                let ran = run(caller, program).options(["--memory", "64MiB"]).args(["touch", "8"]).go();
                assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{}", ran.all());
                (usage(&ran, "cpu_ns"), usage(&ran, "memory_peak_bytes"))
            };
            let all: Vec<(u64, u64)> = (0..5).map(of_one).collect();
            (all.iter().map(|(cpu, _)| *cpu).min().unwrap(), all.iter().map(|(_, peak)| *peak).min().unwrap())
        };
        let (small, large) = (least(&corpus()), least(&large));
        if caller.has_cgroup() {
            assert!(large.1.abs_diff(small.1) < MIB, "{caller:?}: {large:?} {small:?}");
        } else {
            // Looks at it meet more or less of what it touches, but never 80 MiB.
            assert!(large.1 < 16 * MIB, "{caller:?}: {large:?} {small:?}");
        }
        // Copying takes tens of milliseconds.
        assert!(large.0 < small.0 + 5_000_000, "{caller:?}: {large:?} {small:?}");
        // The limit itself holds.
        if caller.has_cgroup() {
            let ran = run(caller, padded(&corpus(), 80 * MIB))
                .options(["--memory", "64MiB"])
                .args(["touch", "80"])
                .go();
            assert_eq!(ran.verdict(), "memory_limit", "{}", ran.all());
        }
    }
    if !Caller::all().iter().any(|caller| caller.has_cgroup()) {
        skip("limits of memory need cgroups, which root has");
    }
}

#[test]
fn set_up_is_not_billed() {
    for caller in Caller::all() {
        let of_one = |_| {
            let ran = run(caller, corpus()).args(["exit", "0"]).go();
            assert_eq!(ran.verdict(), "ok", "{}", ran.all());
            (usage(&ran, "cpu_ns"), ran.report["setup_ns"].as_u64().unwrap())
        };
        let least = (0..9).map(of_one).min().unwrap();
        // An exec and its page faults; setting up takes several milliseconds.
        assert!(least.0 > 50_000 && least.0 < 2_000_000, "{caller:?}: {least:?}");
    }
}

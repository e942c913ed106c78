//! Programs whose end is known: each way to die, each limit, and each way to
//! escape one. Verdict, status, end and `limits_hit` are exact, whatever else the
//! machine has to do: every CPU is kept busy meanwhile.
//!
//! `STOCKADE_CORPUS_TIMES=20` runs each so often.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::sync::{Arc, Mutex, Weak};

use common::{Caller, Load, leaves_of, payload, run};
use serde_json::{Value, json};

/// How the program itself came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exit(i32),
    Signal(&'static str),
    /// Whichever comes first: its own end, or the kill. The verdict is the same.
    Either(i32),
}

use End::{Either, Exit, Signal};

const KILLED: End = Signal("SIGKILL");

/// Options, the program's arguments, and what must come of them.
struct Case {
    options: &'static str,
    args: &'static str,
    verdict: &'static str,
    end: End,
    hit: &'static [&'static str],
    /// Only a cgroup sees it.
    counted: bool,
}

const fn case(
    options: &'static str,
    args: &'static str,
    verdict: &'static str,
    end: End,
    hit: &'static [&'static str],
) -> Case {
    Case { options, args, verdict, end, hit, counted: false }
}

/// A case that needs the counters of a cgroup.
const fn counted(
    options: &'static str,
    args: &'static str,
    verdict: &'static str,
    end: End,
    hit: &'static [&'static str],
) -> Case {
    Case { options, args, verdict, end, hit, counted: true }
}

const CPU: &str = "--cpu-time 150ms";
const WALL: &str = "--wall-time 200ms";
const MEMORY: &str = "--memory 32MiB";
/// More room in files than in memory.
const ROOM: &str = "--memory 32MiB --tmp 128MiB --file-size 128MiB";
const FEW: &str = "--processes 12 --cpu-time 150ms";
const FEW_WALL: &str = "--processes 12 --wall-time 300ms";
const OUTPUT: &str = "--output 64KiB";

const BY_ITSELF: &[Case] = &[
    case("", "exit 0", "ok", Exit(0), &[]),
    case("", "exit 1", "nonzero_exit", Exit(1), &[]),
    case("", "exit 124", "nonzero_exit", Exit(124), &[]),
    case("", "exit 125", "nonzero_exit", Exit(125), &[]),
    case("", "exit 126", "nonzero_exit", Exit(126), &[]),
    case("", "exit 127", "nonzero_exit", Exit(127), &[]),
    case("", "exit 128", "nonzero_exit", Exit(128), &[]),
    case("", "exit 134", "nonzero_exit", Exit(134), &[]),
    case("", "exit 137", "nonzero_exit", Exit(137), &[]),
    case("", "exit 143", "nonzero_exit", Exit(143), &[]),
    case("", "exit 255", "nonzero_exit", Exit(255), &[]),
    case("", "null", "signaled", Signal("SIGSEGV"), &[]),
    case("", "divide", "signaled", Signal("SIGFPE"), &[]),
    case("", "illegal", "signaled", Signal("SIGILL"), &[]),
    case("", "trap", "signaled", Signal("SIGTRAP"), &[]),
    case("", "abort", "signaled", Signal("SIGABRT"), &[]),
    case("", "bus", "signaled", Signal("SIGBUS"), &[]),
    case("", "alarm", "signaled", Signal("SIGALRM"), &[]),
    case("", "itimer prof", "signaled", Signal("SIGPROF"), &[]),
    case("", "itimer virtual", "signaled", Signal("SIGVTALRM"), &[]),
    case("", "raise 9", "signaled", Signal("SIGKILL"), &[]),
    case("", "raise 15", "signaled", Signal("SIGTERM"), &[]),
    case("", "raise 24", "signaled", Signal("SIGXCPU"), &[]),
    case("", "raise 34", "signaled", Signal("SIGRTMIN+0"), &[]),
    case("", "raise 64", "signaled", Signal("SIGRTMIN+30"), &[]),
    case("", "raise 17", "nonzero_exit", Exit(99), &[]),
    case("", "raise 31", "violation", Signal("SIGSYS"), &[]),
    case("--stack 1MiB", "stack 64", "signaled", Signal("SIGSEGV"), &[]),
    case("", "thread-exit", "nonzero_exit", Exit(7), &[]),
    case("", "child-killed 9", "ok", Exit(0), &[]),
    case("", "child-killed 11", "ok", Exit(0), &[]),
    case("", "child-killed 24", "ok", Exit(0), &[]),
    case("", "group-killed", "signaled", Signal("SIGKILL"), &[]),
    case("", "killed-by-child", "signaled", Signal("SIGKILL"), &[]),
    case("", "orphan", "nonzero_exit", Exit(5), &[]),
    case("", "daemons 5", "ok", Exit(0), &[]),
    case("", "stopped-child", "nonzero_exit", Exit(3), &[]),
    // Input that has ended.
    case("", "read", "ok", Exit(0), &[]),
];

const CPU_TIME: &[Case] = &[
    case(CPU, "spin", "cpu_limit", KILLED, &["cpu_time"]),
    case(CPU, "spin-ignoring", "cpu_limit", KILLED, &["cpu_time"]),
    case(CPU, "spin-xcpu", "cpu_limit", KILLED, &["cpu_time"]),
    case(CPU, "spin-system", "cpu_limit", KILLED, &["cpu_time"]),
    case(CPU, "spin-naps", "cpu_limit", KILLED, &["cpu_time"]),
    case(CPU, "spin-threads 4", "cpu_limit", KILLED, &["cpu_time"]),
    case(CPU, "leader-gone", "cpu_limit", KILLED, &["cpu_time"]),
    case(CPU, "spin-children 4", "cpu_limit", KILLED, &["cpu_time"]),
    case(CPU, "spin-grandchild", "cpu_limit", KILLED, &["cpu_time"]),
    case(CPU, "spin-many", "cpu_limit", KILLED, &["cpu_time"]),
    // Right above, ending by itself; and below, by what a host may take from its guest at one stroke.
    case("--cpu-time 100ms", "spin 0.101", "cpu_limit", Either(0), &["cpu_time"]),
    case("--cpu-time 100ms", "spin 0.101 3", "cpu_limit", Either(3), &["cpu_time"]),
    case("--cpu-time 100ms", "child-time 0.101", "cpu_limit", Either(0), &["cpu_time"]),
    case("--cpu-time 100ms", "spin 0.060", "ok", Exit(0), &[]),
    case("--cpu-time 100ms", "spin 0.060 3", "nonzero_exit", Exit(3), &[]),
    case("--cpu-time 100ms", "child-time 0.060", "ok", Exit(0), &[]),
];

const WALL_TIME: &[Case] = &[
    case(WALL, "pause", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "pause-ignoring", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "futex", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "deadlock", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "poll", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "sigsuspend", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "pipe", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "vfork-pause", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "wait-child", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "stop", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "stop-child", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "stop-group", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "zombies 10", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "spin", "wall_limit", KILLED, &["wall_time"]),
    case(WALL, "nap 0.201", "wall_limit", Either(0), &["wall_time"]),
    case("--wall-time 1s", "nap 0.1", "ok", Exit(0), &[]),
    case("--wall-time 1s", "nap 0.1 6", "nonzero_exit", Exit(6), &[]),
];

const SPACE: &[Case] = &[
    counted(MEMORY, "touch 64", "memory_limit", KILLED, &["memory"]),
    case(MEMORY, "touch 20", "ok", Exit(0), &[]),
    // What is not touched is not used.
    case(MEMORY, "reserve 1024", "ok", Exit(0), &[]),
    counted(MEMORY, "grow 64", "memory_limit", KILLED, &["memory"]),
    counted(MEMORY, "populate 64", "memory_limit", KILLED, &["memory"]),
    counted(MEMORY, "touch-child 64", "memory_limit", Either(0), &["memory"]),
    counted(MEMORY, "touch-grandchild 64", "memory_limit", Either(0), &["memory"]),
    counted(MEMORY, "touch-unwaited 64", "memory_limit", KILLED, &["memory"]),
    counted(MEMORY, "touch-again 64", "memory_limit", KILLED, &["memory"]),
    case(MEMORY, "touch-many 10 8", "memory_limit", KILLED, &["memory"]),
    case(MEMORY, "touch-thread 64", "memory_limit", KILLED, &["memory"]),
    counted(MEMORY, "share 64", "memory_limit", KILLED, &["memory"]),
    counted(MEMORY, "tables 256", "memory_limit", KILLED, &["memory"]),
    counted(MEMORY, "sparse 256", "memory_limit", KILLED, &["memory"]),
    counted(MEMORY, "stack 64", "memory_limit", KILLED, &["memory"]),
    counted(ROOM, "fill 64", "memory_limit", KILLED, &["memory"]),
    counted(ROOM, "fill-child 64", "memory_limit", Either(0), &["memory"]),
    case(ROOM, "fill 16", "ok", Exit(0), &[]),
    counted("--memory 16MiB --open-files 4096", "pipes", "memory_limit", KILLED, &["memory"]),
    case("--tmp 1MiB", "fill 2", "nonzero_exit", Exit(libc::ENOSPC), &["tmp"]),
    case("--tmp 4MiB", "fill 2", "ok", Exit(0), &[]),
    case("", "inodes", "nonzero_exit", Exit(libc::ENOSPC), &["tmp_inodes"]),
    case("--file-size 1MiB", "big 2", "signaled", Signal("SIGXFSZ"), &["file_size"]),
    case("--file-size 1MiB", "big 2 ignore", "nonzero_exit", Exit(libc::EFBIG), &["file_size"]),
    case("--file-size 1MiB", "big-child 2", "ok", Exit(0), &["file_size"]),
    case("--file-size 4MiB", "big 2", "ok", Exit(0), &[]),
    // A refusal that leaves no trace.
    case("--file-size 1MiB", "truncate 2", "nonzero_exit", Exit(libc::EFBIG), &[]),
    // Three are the streams.
    case("--open-files 32", "files", "nonzero_exit", Exit(29), &[]),
    case(
        "--open-files 32 --wall-time 200ms",
        "files stay",
        "wall_limit",
        KILLED,
        &["wall_time", "open_files"],
    ),
];

const CROWDS: &[Case] = &[
    case("--processes 12", "forks 11", "ok", Exit(0), &[]),
    case("--processes 12", "forks 12", "nonzero_exit", Exit(libc::EAGAIN), &["processes"]),
    case("--processes 12", "bomb-sleepers", "nonzero_exit", Exit(libc::EAGAIN), &["processes"]),
    case(FEW, "bomb", "cpu_limit", KILLED, &["cpu_time", "processes"]),
    case(FEW, "bomb-sessions", "cpu_limit", KILLED, &["cpu_time", "processes"]),
    case(FEW, "bomb-threads", "cpu_limit", KILLED, &["cpu_time", "processes"]),
    case(FEW_WALL, "bomb", "wall_limit", KILLED, &["wall_time", "processes"]),
    case(FEW_WALL, "bomb-quiet", "wall_limit", KILLED, &["wall_time", "processes"]),
    case(FEW_WALL, "bomb-vfork 50", "wall_limit", KILLED, &["wall_time", "processes"]),
    case(FEW, "bomb-vfork 5", "cpu_limit", KILLED, &["cpu_time"]),
    case(FEW, "bomb-flee", "ok", Exit(0), &[]),
];

const FLOODS: &[Case] = &[
    case(OUTPUT, "out 1 0x100000000", "output_limit", KILLED, &["output"]),
    case(OUTPUT, "out 2 0x100000000", "output_limit", KILLED, &["output"]),
    case(OUTPUT, "bytes 1 0x100000000", "output_limit", KILLED, &["output"]),
    case(OUTPUT, "both", "output_limit", KILLED, &["output"]),
    case(OUTPUT, "flood-children 4", "output_limit", KILLED, &["output"]),
    case(OUTPUT, "flood-ignoring", "output_limit", KILLED, &["output"]),
    case(OUTPUT, "out 1 65536", "ok", Exit(0), &[]),
    case(OUTPUT, "out 2 65536", "ok", Exit(0), &[]),
    case(OUTPUT, "out 1 65537", "output_limit", Either(0), &["output"]),
    case(OUTPUT, "bytes 2 65537", "output_limit", Either(0), &["output"]),
];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// What a run is asked for beyond its end.
fn check_streams(case: &Case, report: &Value) -> Result<(), String> {
    let cut: Vec<bool> = ["stdout", "stderr"]
        .iter()
        .map(|stream| {
            let bytes = report["usage"][format!("{stream}_bytes")].as_u64().unwrap();
            let truncated = report["usage"][format!("{stream}_truncated")] == true;
            let limit = report["limits"]["output_bytes"].as_u64().unwrap();
            if truncated == (bytes == limit) || (!truncated && bytes <= limit) {
                Ok(truncated)
            } else {
                Err(format!("{stream}: {bytes} of {limit}, truncated: {truncated}"))
            }
        })
        .collect::<Result<_, _>>()?;
    if cut.contains(&true) == case.hit.contains(&"output") { Ok(()) } else { Err("wrongly cut".to_owned()) }
}

fn check(caller: Caller, case: &Case) -> Result<(), String> {
    let ran = run(caller, payload("corpus.c", &["-static", "-pthread"]))
        .options(words(case.options))
        .args(words(case.args))
        .go();
    let report = &ran.report;
    let wrong = |what: &str| {
        let (end, usage) = ([&report["exit_code"], &report["signal"]], &report["usage"]);
        let told = format!("{} {} {end:?} {}", report["verdict"], report["limits_hit"], report["reason"]);
        let case = format!("{caller:?} {} {}", case.options, case.args);
        Err(format!("{case}: {what}: status {} {told} {usage} {}", ran.status, ran.stderr))
    };
    let hit: Vec<&str> = case
        .hit
        .iter()
        .copied()
        // Who may fork is then for each process's own limit, which keeps no count.
        .filter(|hit| *hit != "processes" || caller.has_cgroup())
        .collect();
    if report["verdict"] != case.verdict {
        return wrong("verdict");
    }
    if report["limits_hit"] != json!(hit) {
        return wrong("limits_hit");
    }
    let end_is_right = match case.end {
        Exit(code) => report["exit_code"] == code && report["signal"].is_null(),
        Signal(name) => report["signal"] == name && report["exit_code"].is_null(),
        Either(code) => {
            (report["exit_code"] == code && report["signal"].is_null())
                || (report["signal"] == "SIGKILL" && report["exit_code"].is_null())
        }
    };
    if !end_is_right {
        return wrong("end");
    }
    let status = match (case.verdict, case.end) {
        ("ok" | "nonzero_exit", Exit(code)) => code,
        ("signaled", Signal(name)) => 128 + number(name),
        _ => 124,
    };
    if ran.status != status {
        return wrong("status");
    }
    if let Err(what) = check_streams(case, report) {
        return wrong(&what);
    }
    let left = leaves_of(ran.pid);
    if report["cleanup"] != json!({ "ok": true, "left": [] }) || !left.is_empty() {
        return wrong(&format!("left {left:?}"));
    }
    Ok(())
}

fn number(name: &str) -> i32 {
    match name.strip_prefix("SIGRTMIN+") {
        Some(n) => 34 + n.parse::<i32>().unwrap(),
        None => name.parse::<nix::sys::signal::Signal>().unwrap() as i32,
    }
}

/// The same for all tests that run at the same time.
fn load() -> Arc<Load> {
    static LOAD: Mutex<Weak<Load>> = Mutex::new(Weak::new());
    let mut shared = LOAD.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let load = Arc::new(Load::on_all_cpus());
        *shared = Arc::downgrade(&load);
        load
    })
}

fn check_all(cases: &[Case]) {
    let times: usize = std::env::var("STOCKADE_CORPUS_TIMES").map_or(1, |n| n.parse().unwrap());
    let _load = load();
    let mut wrong = Vec::new();
    for _ in 0..times {
        for caller in Caller::all() {
            let cases = cases.iter().filter(|case| !case.counted || caller.has_cgroup());
            wrong.extend(cases.filter_map(|case| check(caller, case).err()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn program_that_ends_by_itself_is_told_by_its_own_end() {
    check_all(BY_ITSELF);
}

#[test]
fn program_beyond_its_cpu_time_is_cpu_limit() {
    check_all(CPU_TIME);
}

#[test]
fn program_beyond_its_wall_time_is_wall_limit() {
    check_all(WALL_TIME);
}

#[test]
fn program_that_runs_out_of_space_is_told_of_what() {
    check_all(SPACE);
}

#[test]
fn program_that_multiplies_is_ended_by_its_limits() {
    check_all(CROWDS);
}

#[test]
fn program_that_floods_is_cut_exactly_at_the_limit() {
    check_all(FLOODS);
}

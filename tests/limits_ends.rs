//! The launcher is killed, stopped, or told to end at any moment: nothing of a box
//! outlives it, and what cannot vanish with it is swept at the next start.
//!
//! `STOCKADE_KILLS=500` is how many launches are killed at random moments.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{Caller, leaves_of, patience, pause, payload, payload_of, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// What a launcher leaves is found by what is new on the machine: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn probe() -> PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// A program of a name that no other process on this machine has.
fn marked() -> (PathBuf, String) {
    let name = format!("mark{}", std::process::id() % 100_000);
    let program = payload_of(
        &name,
        "#include <unistd.h>\nint main(void) { if (!fork()) { setsid(); for (;;) pause(); } for (;;) {} }",
        &["-static"],
    );
    (program, name)
}

/// Processes of boxes of this test program, the set-up's among them: those whose executable is the
/// program that is run, or the launcher itself.
fn processes(program: &Path) -> Vec<String> {
    let of = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let ours =
            [common::work().to_str()?, program.file_name()?.to_str()?].iter().any(|n| command.contains(n));
        // Whose parent has gone is reaped by whoever inherits it, if anybody does.
        (ours && state != 'Z' && pid != nix::unistd::getpid().as_raw())
            .then(|| format!("{pid} {command} {stat}"))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

/// Waits until there is none left.
fn gone_within(usual: Duration, program: &Path) -> Result<(), Vec<String>> {
    let until = Instant::now() + patience(usual);
    loop {
        let left = processes(program);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(left);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// Where stores and reports of a caller have their temporaries.
fn temporaries(caller: Caller) -> Vec<String> {
    let names = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let home = caller.home();
    names(home.join("store/tmp"))
        .chain(names(home).filter(|path| path.to_string_lossy().ends_with("tmp")))
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn box_of_a_killed_launcher_is_gone_within_two_seconds_and_its_leaf_at_the_next_start() {
    let _alone = alone();
    let (program, name) = marked();
    for caller in Caller::all() {
        let (mut command, _) = run(caller, &program).command();
        let mut child = quiet(&mut command).spawn().unwrap();
        let until = Instant::now() + patience(Duration::from_secs(10));
        // The launcher, pid 1, the program and its child.
        while processes(&program).iter().filter(|p| p.split(' ').nth(1) == Some(&name)).count() < 2 {
            assert!(Instant::now() < until, "it does not start: {:?}", processes(&program));
            pause(2);
        }
        send(&child, Signal::SIGKILL);
        child.wait().unwrap();
        gone_within(Duration::from_secs(2), &program).unwrap_or_else(|left| panic!("{caller:?}: {left:?}"));
        let leaves = leaves_of(child.id());
        assert_eq!(!leaves.is_empty(), caller.has_cgroup(), "{leaves:?}");
        let next = run(caller, probe()).args(["exit", "0"]).go();
        assert_eq!(next.verdict(), "ok", "{}", next.all());
        assert_eq!(leaves_of(child.id()), Vec::<String>::new());
    }
}

/// Not to be guessed, and the same each time.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// How a launcher that was interrupted ended.
struct Ended {
    pid: u32,
    /// Its cgroups that were left just then.
    leaves: usize,
    code: Option<i32>,
    report: Value,
}

/// Launches that are sent a signal after any time of a launch; answers how each ended.
fn interrupted(caller: Caller, signal: Signal, times: u64, seed: u64) -> Vec<Ended> {
    let (program, _) = marked();
    let one = |_| {
        let begin = Instant::now();
        let ran = run(caller, probe()).args(["exit", "0"]).go();
        assert_eq!(ran.verdict(), "ok", "{}", ran.all());
        begin.elapsed()
    };
    // The first one has more to do.
    let whole = (0..4).map(one).min().unwrap();
    let mut state = seed;
    let most = u64::try_from(whole.as_micros()).unwrap() * 3 / 2;
    (0..times)
        .map(|number| {
            // Now and then everything is to be made anew.
            let store = caller.home().join(format!("store-{signal}-{}", number % 20));
            let (mut command, report) =
                run(caller, &program).env("STOCKADE_STORE", store.to_str().unwrap()).command();
            let mut child = quiet(&mut command).process_group(0).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(random(&mut state) % most));
            send(&child, signal);
            let status = child.wait().unwrap();
            let report = fs::read(&report).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
            // Before the next one sweeps them.
            let leaves = leaves_of(child.id()).len();
            Ended { pid: child.id(), leaves, code: status.code(), report }
        })
        .collect()
}

fn times() -> u64 {
    std::env::var("STOCKADE_KILLS").map_or(60, |n| n.parse().unwrap())
}

#[test]
fn launches_killed_at_random_moments_leave_nothing_after_the_next_start() {
    let _alone = alone();
    let (program, _) = marked();
    for caller in Caller::all() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let kill = |seed| interrupted(caller, Signal::SIGKILL, times() / Caller::all().len() as u64, seed);
        let mut ended = kill(42);
        // Where others use the machine, the moments may not be those that matter.
        for seed in 43..47 {
            if caller.has_cgroup() && ended.iter().all(|e| e.leaves == 0) {
                ended.extend(kill(seed));
            }
        }
        assert!(ended.iter().all(|e| e.code.is_none() && e.report.is_null()));
        gone_within(Duration::from_secs(2), &program).unwrap_or_else(|left| panic!("{caller:?}: {left:?}"));
        let left = ended.iter().filter(|e| e.leaves > 0).count();
        assert!(left > 0 || !caller.has_cgroup(), "no launch was killed while it had a cgroup");
        for number in 0..20 {
            let store = caller.home().join(format!("store-SIGKILL-{number}"));
            let next =
                run(caller, probe()).env("STOCKADE_STORE", store.to_str().unwrap()).args(["exit", "0"]).go();
            assert_eq!(next.verdict(), "ok", "{}", next.all());
            assert_eq!(next.report["notes"], serde_json::json!([]), "{}", next.all());
            let tmp: Vec<_> = fs::read_dir(store.join("tmp")).into_iter().flatten().flatten().collect();
            assert!(tmp.is_empty(), "{tmp:?}");
        }
        let leaves: Vec<String> = ended.iter().flat_map(|e| leaves_of(e.pid)).collect();
        assert_eq!(leaves, Vec::<String>::new(), "{caller:?}");
        assert_eq!(temporaries(caller), Vec::<String>::new(), "{caller:?}");
        assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
    }
}

#[test]
fn launches_told_to_end_at_random_moments_say_so_and_leave_nothing() {
    let _alone = alone();
    let (program, _) = marked();
    for caller in Caller::all() {
        let ended = interrupted(caller, Signal::SIGTERM, times() / Caller::all().len() as u64, 7);
        let mut cancelled = 0;
        for Ended { pid, code, report, .. } in &ended {
            match code {
                // Before it could take care of signals.
                None => assert!(report.is_null(), "{report:#}"),
                Some(143) => {
                    assert_eq!(report["verdict"], "cancelled", "{report:#}");
                    assert_eq!(report["cleanup"]["ok"], true, "{report:#}");
                    cancelled += 1;
                }
                other => panic!("{other:?} {report:#}"),
            }
            assert_eq!(leaves_of(*pid), Vec::<String>::new(), "{report:#}");
        }
        assert!(cancelled > ended.len() / 4, "only {cancelled} of {}", ended.len());
        gone_within(Duration::from_secs(2), &program).unwrap_or_else(|left| panic!("{caller:?}: {left:?}"));
        assert_eq!(temporaries(caller), Vec::<String>::new(), "{caller:?}");
    }
}

#[test]
fn spinning_program_of_a_stopped_supervisor_ends_by_its_rlimit_and_the_verdict_is_right() {
    let _alone = alone();
    for caller in Caller::all() {
        let (mut command, report) =
            run(caller, probe()).options(["--cpu-time", "500ms"]).args(["spin"]).command();
        let mut child = quiet(&mut command).spawn().unwrap();
        let begin = Instant::now();
        let children = || {
            let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
            let state = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Those that run.
            list.split_whitespace().filter(|pid| state(pid).contains("(program) R")).count()
        };
        while children() == 0 {
            assert!(begin.elapsed() < patience(Duration::from_secs(10)), "{caller:?}: it does not start");
            pause(5);
        }
        send(&child, Signal::SIGSTOP);
        let begin = Instant::now();
        // ceil(limit) + 1 s of CPU time.
        while children() > 0 {
            assert!(begin.elapsed() < patience(Duration::from_secs(12)), "{caller:?}: it spins for ever");
            pause(20);
        }
        assert!(
            begin.elapsed() > Duration::from_millis(1500),
            "{:?}: the limit itself ended it",
            begin.elapsed()
        );
        assert_eq!(child.try_wait().unwrap(), None);
        send(&child, Signal::SIGCONT);
        let status = child.wait().unwrap();
        let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        assert_eq!((status.code(), report["verdict"].as_str()), (Some(124), Some("cpu_limit")), "{report:#}");
        assert_eq!(report["limits_hit"], serde_json::json!(["cpu_time"]));
        let cpu = report["usage"]["cpu_ns"].as_u64().unwrap();
        // The kernel samples for this limit, tick by tick.
        assert!((1_400_000_000..3_000_000_000).contains(&cpu), "{report:#}");
    }
}

#[test]
fn signals_end_a_run_that_only_waits_for_its_reader() {
    let _alone = alone();
    for caller in Caller::all() {
        for (signal, number) in
            [(Signal::SIGINT, 2), (Signal::SIGTERM, 15), (Signal::SIGHUP, 1), (Signal::SIGQUIT, 3)]
        {
            let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
            // Ends at once, by itself; its bytes do not fit into the pipe.
            let (mut command, report) = run(caller, probe()).args(["flood", "1", "120000"]).command();
            let mut child = command.stdin(Stdio::null()).stdout(write).stderr(Stdio::null()).spawn().unwrap();
            drop(command);
            pause(300);
            assert_eq!(child.try_wait().unwrap(), None);
            send(&child, signal);
            let begin = Instant::now();
            let status = child.wait().unwrap();
            assert!(begin.elapsed() < patience(Duration::from_secs(2)), "{:?}", begin.elapsed());
            assert_eq!(status.code(), Some(128 + number));
            let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
            assert_eq!(report["verdict"], "cancelled", "{report:#}");
            drop(read);
        }
    }
}

//! Launchers that are killed at any moment, and launches without end: nothing
//! survives, nothing grows.
//!
//! `STOCKADE_STORM=1000` and `STOCKADE_SOAK=20000` are the full numbers; without
//! them a part of each runs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{Caller, is_root, leaves_of, payload_of, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stockade::Layer;
use stockade::report::verdict::Verdict;
use stockade::sandbox::{Input, Output, Sandbox, StoreChoice};

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().map_or(usual, |n| n.parse().expect("a number"))
}

/// Numbers that look random, the same ones each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Processes with this among their arguments.
fn with_argument(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str().and_then(|n| n.parse::<u32>().ok()));
    pids.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(word).then(|| format!("{pid}: {line}"))
    })
    .collect()
}

fn within(most: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < most {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    holds()
}

/// A program that forks, and whose children ignore what can be ignored.
const FORKS: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    for (int s = 1; s < 32; s++) signal(s, SIG_IGN);
    for (int i = 0; i < 4; i++) if (fork() == 0) for (;;) pause();
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
"#;

/// One after the other: a copy of a program cannot be executed while somebody else's new process
/// still has it open for writing.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn storm_of_kills_leaves_no_process_and_no_cgroup() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let program = payload_of("storm", FORKS, &["-static"]);
    let times = number("STOCKADE_STORM", 60);
    for caller in Caller::all() {
        let word = format!("storm-of-{}-{caller:?}", std::process::id());
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (mut pids, mut ends) = (Vec::new(), [0usize; 3]);
        for n in 0..times {
            let (mut command, report) =
                run(caller, &program).options(["--wall-time", "20s"]).args([word.as_str()]).command();
            let mut child =
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let pid = child.id();
            // From before its first call to long after the payload's exec.
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            let which = n % 3;
            let signal = [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT][which];
            kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
            let status = child.wait().unwrap();
            // A signal that came before anybody was there to catch it kills.
            let ended = status.code() == Some(128 + signal as i32) || status.signal() == Some(signal as i32);
            assert!(ended, "{caller:?} {signal}: {status:?}");
            ends[which] += 1;
            drop(fs::remove_file(report));
            pids.push(pid);
        }
        assert_eq!(ends.iter().sum::<usize>(), times);
        // The next start sweeps what a launcher that was killed could not.
        let swept = run(caller, &program).options(["--wall-time", "200ms"]).go();
        assert_eq!(swept.verdict(), "wall_limit", "{}", swept.all());
        assert!(
            within(Duration::from_secs(10), || with_argument(&word).is_empty()),
            "{:#?}",
            with_argument(&word)
        );
        let left: Vec<String> = pids.iter().flat_map(|pid| leaves_of(*pid)).collect();
        if !left.is_empty() {
            let again = run(caller, &program).options(["--wall-time", "200ms"]).go();
            assert_eq!(again.verdict(), "wall_limit", "{}", again.all());
        }
        let left: Vec<String> = pids.iter().flat_map(|pid| leaves_of(*pid)).collect();
        assert_eq!(left, Vec::<String>::new(), "{caller:?}");
        eprintln!("{caller:?}: {times} launchers killed");
    }
}

/// What must not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    descriptors: usize,
    threads: usize,
    children: usize,
    mounts: usize,
    store: usize,
    leaves: usize,
}

fn files_below(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|e| 1 + if e.file_type().is_ok_and(|t| t.is_dir()) { files_below(&e.path()) } else { 0 })
        .sum()
}

fn size(store: &Path) -> Size {
    let count = |dir: &str| fs::read_dir(dir).unwrap().count();
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let children = |task: fs::DirEntry| {
        fs::read_to_string(task.path().join("children")).unwrap_or_default().split_whitespace().count()
    };
    Size {
        descriptors: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
        children: tasks.map(children).sum(),
        mounts: fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count(),
        store: files_below(store),
        leaves: leaves_of(std::process::id()).len(),
    }
}

/// The size when it has stopped changing: a thread that was waited for shows for a moment longer.
fn settled(store: &Path) -> Size {
    let mut last = size(store);
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(100));
        let now = size(store);
        if now == last {
            break;
        }
        last = now;
    }
    last
}

/// Resident kibibytes of this process.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn soak_of_parallel_launches_grows_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const THREADS: usize = 8;
    const MAY_GROW_KIB: usize = 8 * 1024;
    let program = payload_of("soak", "int main(void) { return 7; }", &["-static"]);
    let store = tempfile::tempdir_in(common::work()).unwrap();
    let times = number("STOCKADE_SOAK", 240);
    let policy = stockade::policy::load_builtin("native").unwrap();
    let launch = || {
        let mut builder = Sandbox::builder(policy.clone(), &program)
            .store(StoreChoice::At(store.path().to_owned()))
            .stdin(Input::Null)
            .stdout(Output::Capture)
            .stderr(Output::Capture);
        if !is_root() {
            builder = builder.degrade(Layer::Cgroup);
        }
        let report = builder.run().unwrap().report;
        assert_eq!((report.verdict, report.exit_code), (Verdict::NonzeroExit, Some(7)), "{}", report.reason);
        assert!(report.cleanup.ok, "{:?}", report.cleanup);
    };
    let round = |launches: usize| {
        let left = AtomicUsize::new(launches);
        let one_less = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while one_less().is_ok() {
                        launch();
                    }
                });
            }
        });
    };
    // What is made once is made now.
    round(times / 10);
    let (before, memory) = (settled(store.path()), resident());
    let begin = Instant::now();
    round(times);
    let after = settled(store.path());
    let grown = resident().saturating_sub(memory);
    eprintln!(
        "{times} launches in {:.1} s, {grown} KiB more resident, {after:?}",
        begin.elapsed().as_secs_f64()
    );
    assert_eq!(after, before);
    assert!(grown <= MAY_GROW_KIB, "{grown} KiB more than after the first tenth");
}

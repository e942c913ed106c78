//! The library's pool: boxes that wait, what becomes of them, and that none is used twice.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{Caller, is_template, leaves_of, patience, payload, work};
use stockade::Layer;
use stockade::policy::{Overrides, Policy, load_builtin};
use stockade::report::verdict::Verdict;
use stockade::sandbox::{Builder, Input, Output, Pool, Sandbox, StoreChoice};

/// Children of this process are counted, so one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own() -> Caller {
    if common::is_root() { Caller::Root } else { Caller::User }
}

fn job(policy: &Policy, program: &Path) -> Builder {
    let store = StoreChoice::At(work().join("pool-store"));
    let job = Sandbox::builder(policy.clone(), program).store(store).stdout(Output::Capture);
    if own().has_cgroup() { job } else { job.degrade(Layer::Cgroup) }
}

fn native() -> Policy {
    load_builtin("native").unwrap()
}

/// Processes that this one has made and not waited for.
fn children() -> BTreeSet<i32> {
    all_children().filter(|pid| !is_template(*pid)).collect()
}

fn all_children() -> impl Iterator<Item = i32> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks.flat_map(move |task| of(task).split_whitespace().map(|p| p.parse().unwrap()).collect::<Vec<i32>>())
}

fn templates() -> Vec<i32> {
    all_children().filter(|pid| is_template(*pid)).collect()
}

#[test]
fn pool_warmed_up_has_boxes_that_wait_and_dropped_has_none() {
    let _alone = alone();
    let cat = Path::new("/usr/bin/cat");
    let pool = Pool::new(3).unwrap();
    assert_eq!(children().len(), 0, "nothing is made before it is wanted");
    assert_eq!(pool.warm_up(&job(&native(), cat)).unwrap(), 3);
    // The process that writes the payload, pid 1 and the payload's process of each.
    assert_eq!(children().len(), 9);
    let outcome = pool.run(job(&native(), cat).stdin(Input::Bytes(b"through\n".to_vec()))).unwrap();
    assert_eq!((outcome.report.verdict, outcome.stdout.as_slice()), (Verdict::Ok, b"through\n".as_slice()));
    assert_eq!(pool.warm_up(&job(&native(), cat)).unwrap(), 3);
    drop(pool);
    assert_eq!(all_children().count(), 0);
    assert_eq!(leaves_of(std::process::id()), Vec::<String>::new());
}

/// A kill is on its way for a moment; only this process can see them off.
fn wait_for_the_end_of<'a>(pids: impl Iterator<Item = &'a i32> + Clone) {
    let dead = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ");
    let until = Instant::now() + patience(Duration::from_secs(5));
    while !pids.clone().all(dead) {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn pool_box_that_was_killed_while_it_waited_is_not_used() {
    let _alone = alone();
    let echo = Path::new("/usr/bin/echo");
    let pool = Pool::new(2).unwrap();
    let with = |word: &str| job(&native(), echo).args([word]);
    assert_eq!(pool.warm_up(&with("")).unwrap(), 2);
    let killed = children();
    // Pid 1 of a box does not end before its other process was waited for.
    let is_init = |pid: &&i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "init\n";
    let of_init: BTreeSet<i32> = killed.iter().filter(is_init).copied().collect();
    assert_eq!((killed.len(), of_init.len()), (6, 2));
    for pid in &killed {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    wait_for_the_end_of(killed.iter().filter(|pid| !of_init.contains(pid)));
    for word in ["first", "second", "third"] {
        let outcome = pool.run(with(word)).unwrap();
        assert_eq!(outcome.report.verdict, Verdict::Ok, "{}", outcome.report.reason);
        assert_eq!(outcome.stdout, format!("{word}\n").into_bytes());
        assert!(outcome.report.cleanup.ok);
    }
    drop(pool);
    assert_eq!(all_children().count(), 0);
}

/// Processes of boxes by what they are: the one that brings the job, pid 1, and the payload's.
fn roles() -> [Vec<i32>; 3] {
    let mut roles = [const { Vec::new() }; 3];
    for pid in children() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let Some(line) = status.lines().find_map(|l| l.strip_prefix("NSpid:")) else { continue };
        let numbers: Vec<&str> = line.split_whitespace().collect();
        match numbers.as_slice() {
            [_] => roles[0].push(pid),
            [.., "1"] => roles[1].push(pid),
            _ => roles[2].push(pid),
        }
    }
    roles
}

fn kill(pid: i32) {
    let (pid, signal) = (nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    // It may have ended meanwhile: only this process reaps it.
    assert!(matches!(nix::sys::signal::kill(pid, signal), Ok(()) | Err(nix::errno::Errno::ESRCH)));
}

#[test]
fn pool_box_of_which_one_process_was_killed_is_not_used() {
    let _alone = alone();
    let echo = Path::new("/usr/bin/echo");
    for role in 0..3 {
        let pool = Pool::new(2).unwrap();
        assert_eq!(pool.warm_up(&job(&native(), echo)).unwrap(), 2);
        let roles = roles();
        assert_eq!(roles[role].len(), 2, "{role}");
        roles[role].iter().for_each(|pid| kill(*pid));
        // Pid 1 takes the payload's process along, and ends after it.
        wait_for_the_end_of(roles[if role == 1 { 2 } else { role }].iter());
        for word in ["first", "second", "third"] {
            let outcome = pool.run(job(&native(), echo).args([word])).unwrap();
            assert_eq!(outcome.report.verdict, Verdict::Ok, "{role}: {}", outcome.report.reason);
            assert_eq!(outcome.stdout, format!("{word}\n").into_bytes());
            assert!(outcome.report.cleanup.ok);
        }
        drop(pool);
        assert_eq!(children().len(), 0);
        assert_eq!(leaves_of(std::process::id()), Vec::<String>::new());
    }
}

/// Threads that run jobs while processes of boxes are killed, and jobs of each.
const THREADS: usize = 3;
const JOBS: usize = 25;

/// Jobs in boxes whose processes are killed at any moment: each is told what came of its own, none hangs.
#[test]
fn pool_under_a_storm_of_kills_answers_every_job_and_leaves_nothing() {
    let _alone = alone();
    let pool = Pool::new(2).unwrap();
    let running = AtomicUsize::new(THREADS);
    let verdicts = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while running.load(Ordering::Relaxed) > 0 {
                let roles = roles();
                // The one that brings the job twice as often: only it knows the others at first.
                let role = &roles[[0, 1, 0, 2][round % 4]];
                let templates = if round % 9 == 0 { templates() } else { Vec::new() };
                let one = role.get(round % 5).or_else(|| role.last());
                one.into_iter().chain(&templates).for_each(|pid| kill(*pid));
                round += 1;
                std::thread::sleep(Duration::from_millis(2 + (round % 7) as u64));
            }
        });
        for thread in 0..THREADS {
            let (pool, running, verdicts) = (&pool, &running, &verdicts);
            scope.spawn(move || {
                for i in 0..JOBS {
                    verdicts.lock().unwrap().insert(job_in_a_storm(pool, &format!("{thread}-{i}")));
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    assert!(verdicts.into_inner().unwrap().contains("ok"), "nothing ran to its end");
    drop(pool);
    assert_eq!(all_children().count(), 0);
    assert_eq!(leaves_of(std::process::id()), Vec::<String>::new());
}

fn job_in_a_storm(pool: &Pool, word: &str) -> &'static str {
    let outcome = pool.run(job(&native(), Path::new("/usr/bin/echo")).args([word])).unwrap();
    let report = &outcome.report;
    match report.verdict {
        Verdict::Ok => assert_eq!(outcome.stdout, format!("{word}\n").into_bytes()),
        Verdict::Signaled => assert_eq!(report.signal.as_deref(), Some("SIGKILL")),
        Verdict::SetupFailed => assert!(!report.reason.is_empty() && outcome.stdout.is_empty()),
        other => panic!("{other:?}: {}", report.reason),
    }
    assert!(report.cleanup.ok, "{:?}", report.cleanup.left);
    report.verdict.name()
}

#[test]
fn pool_jobs_of_many_threads_and_kinds_keep_their_words_and_limits() {
    let _alone = alone();
    let probe = payload("probe.c", &["-static", "-pthread"]);
    let pool = Arc::new(Pool::new(2).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (pool, probe) = (&pool, &probe);
            scope.spawn(move || {
                for round in 0..6u64 {
                    let memory = (32 + 8 * thread) << 20;
                    let limits = Overrides { memory: Some(memory), ..Overrides::default() };
                    let policy = native().with_overrides(&limits).unwrap();
                    let code = (10 * thread + round).to_string();
                    let outcome = pool.run(job(&policy, probe).args(["exit", &code])).unwrap();
                    assert_eq!(outcome.report.exit_code.map(|c| c.to_string()), Some(code));
                    let report = serde_json::to_value(&outcome.report).unwrap();
                    assert_eq!(report["limits"]["memory_bytes"], memory);
                }
            });
        }
    });
    drop(pool);
    assert_eq!(all_children().count(), 0);
    assert_eq!(leaves_of(std::process::id()), Vec::<String>::new());
}

#[test]
fn pool_box_is_never_used_twice() {
    let _alone = alone();
    let neighbour = payload("neighbour.c", &["-static"]);
    let pool = Pool::new(2).unwrap();
    pool.warm_up(&job(&native(), &neighbour)).unwrap();
    for _ in 0..4 {
        let left = pool.run(job(&native(), &neighbour).args(["leave"])).unwrap();
        assert!(String::from_utf8_lossy(&left.stdout).starts_with("file: ok\n"), "the control");
        let seen = pool.run(job(&native(), &neighbour).args(["look"])).unwrap();
        assert!(String::from_utf8_lossy(&seen.stdout).starts_with("file: ENOENT\n"));
    }
}

/// The size of the program in each box that waits; `None`: only root can look into one.
fn sizes_that_wait() -> Option<BTreeSet<u64>> {
    let size = |pid: &i32| fs::metadata(format!("/proc/{pid}/root/box/program"));
    let sizes: Vec<_> = roles()[2].iter().map(size).collect();
    if !common::is_root() {
        let refused = |size: std::io::Result<_>| size.unwrap_err().raw_os_error();
        assert!(sizes.into_iter().all(|size| refused(size) == Some(libc::EACCES)));
        return None;
    }
    Some(sizes.into_iter().map(|size| size.unwrap().len()).collect())
}

#[test]
fn pool_box_filled_with_what_came_before_runs_what_comes() {
    let _alone = alone();
    let says = |word: &str, room: usize| {
        let text = format!(
            "#include <stdio.h>\n#include <sys/stat.h>\nvolatile char room[{room}] = {{1}};\n\
             int main(void) {{ struct stat s; return stat(\"/box/program\", &s) || printf(\"{word} %ld\", s.st_size) < 0; }}\n"
        );
        common::payload_of(&format!("pool-{word}"), &text, &["-static"])
    };
    let (large, small) = (says("large", 300_000), says("small", 1));
    let size = |program: &Path| fs::metadata(program).unwrap().len();
    let digest = |program: &Path| {
        let output = std::process::Command::new("sha256sum").arg(program).output().unwrap();
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    let digests = [digest(&large), digest(&small)];
    // What was changed a moment ago is read anew for each job.
    std::thread::sleep(Duration::from_millis(300));
    let pool = Pool::new(2).unwrap();
    let run = |program: &Path| {
        let outcome = pool.run(job(&native(), program).digest(true)).unwrap();
        assert_eq!(outcome.report.verdict, Verdict::Ok, "{}", outcome.report.reason);
        let payload = outcome.report.payload.unwrap();
        assert_eq!(payload.bytes, size(program));
        (String::from_utf8(outcome.stdout).unwrap(), payload.sha256.unwrap())
    };
    let expected = |is_large: bool| {
        let (word, program) = if is_large { ("large", &large) } else { ("small", &small) };
        (format!("{word} {}", size(program)), digests[usize::from(!is_large)].clone())
    };
    for _ in 0..6 {
        assert_eq!(run(&large), expected(true));
        pool.warm_up(&job(&native(), &large)).unwrap();
    }
    let sizes = sizes_that_wait();
    assert!(sizes.is_none_or(|sizes| sizes == [size(&large)].into()), "the one that comes again and again");
    // Smaller and larger than what is there; nothing of either is left in the other.
    for round in 0..12 {
        let is_large = round % 5 == 4;
        let program = if is_large { &large } else { &small };
        assert_eq!(run(program), expected(is_large), "{round}");
        pool.warm_up(&job(&native(), program)).unwrap();
    }
    run(&large);
    run(&small);
    for _ in 0..4 {
        run(&large);
        run(&small);
        pool.warm_up(&job(&native(), &small)).unwrap();
    }
    let sizes = sizes_that_wait();
    assert!(sizes.is_none_or(|sizes| sizes == [0].into()), "what comes in turns is not guessed");
}

#[test]
fn pool_networks_are_shared_only_where_no_socket_can_be_made() {
    let _alone = alone();
    let networks = |policy: &Policy| {
        let pool = Pool::new(1).unwrap();
        let run = || {
            let outcome = pool.run(job(policy, Path::new("/usr/bin/true"))).unwrap();
            assert_eq!(outcome.report.verdict, Verdict::Ok, "{}", outcome.report.reason);
            outcome.report.layers["net_ns"].kernel["inode"].as_u64().unwrap()
        };
        // All at one time, so that no number is used again: each job finds another box that waits.
        let all: Vec<u64> = (0..4).map(|_| run()).collect();
        let own = std::os::unix::fs::MetadataExt::ino(&fs::metadata("/proc/self/ns/net").unwrap());
        assert!(!all.contains(&own));
        all.windows(2).all(|pair| pair[0] == pair[1])
    };
    let mut with_pairs: serde_json::Value =
        serde_json::from_str(stockade::policy::builtin_text("native").unwrap()).unwrap();
    let pairs = serde_json::json!({
        "calls": ["socketpair"],
        "if": [
            { "arg": "domain", "eq": "AF_UNIX" },
            { "arg": "type", "masked": "0xf", "in": ["SOCK_STREAM", "SOCK_SEQPACKET"] },
        ],
        "comment": "so that something like a socket can be made",
    });
    with_pairs["syscalls+"] = serde_json::json!({ "allow": [pairs] });
    let with_pairs = stockade::policy::parse("pairs.json", with_pairs.to_string().as_bytes()).unwrap();
    assert_eq!(networks(&native()), common::is_root());
    assert!(!networks(&with_pairs), "not even as root");
}

#[test]
fn pool_job_that_is_killed_from_outside_says_so() {
    let _alone = alone();
    let pool = Arc::new(Pool::new(1).unwrap());
    let sleep = job(&native(), Path::new("/usr/bin/sleep")).args(["60"]);
    pool.warm_up(&sleep).unwrap();
    let running = pool.spawn(sleep).unwrap();
    let begin = Instant::now();
    running.kill();
    let outcome = running.wait().unwrap();
    assert_eq!(outcome.report.verdict, Verdict::Cancelled);
    assert!(begin.elapsed() < patience(Duration::from_secs(5)));
}

/// Whoever has made a box can do nothing any more when its program runs: also where it had to bring that.
#[test]
fn pool_box_has_nobody_who_made_it_when_its_program_runs() {
    let _alone = alone();
    let sleep = Path::new("/usr/bin/sleep");
    let pool = Arc::new(Pool::new(1).unwrap());
    let state = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    };
    let lives = |pid: &&i32| state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'));
    for round in 0..4 {
        pool.warm_up(&job(&native(), sleep)).unwrap();
        let makers = roles()[0].clone();
        assert_eq!(makers.iter().filter(lives).count(), 1, "the control");
        let running = pool.spawn(job(&native(), sleep).args(["0.3"])).unwrap();
        // What has been killed needs a moment to be gone, but executes nothing in it.
        let until = Instant::now() + patience(Duration::from_millis(200));
        while makers.iter().any(|pid| lives(&pid)) {
            assert!(Instant::now() < until, "round {round}: one of {makers:?} lives");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(running.wait().unwrap().report.verdict, Verdict::Ok);
    }
}

//! `stockade batch`: jobs in lines, reports in lines, each in a box never used before.
//!
//! Also runs on other kernels with --full.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batch_support;
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use batch_support::{Done, batch, command, finish, lasting, lines, start, verdicts};
use common::{Caller, leaves_of, patience, payload, payload_of, run, stretched};
use serde_json::{Value, json};

fn probe() -> PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

#[test]
fn batch_report_of_a_job_is_that_of_a_run() {
    let probe = probe();
    let jobs: [(&Path, &[&str], &[&str]); 9] = [
        (&probe, &["exit", "0"], &[]),
        (&probe, &["exit", "7"], &[]),
        (&probe, &["signal", "11"], &[]),
        (&probe, &["signal", "6"], &[]),
        (Path::new("/usr/bin/env"), &[], &[]),
        (Path::new("/usr/bin/sleep"), &["20"], &["wall_time", "300ms"]),
        (&probe, &["exit", "0"], &["memory", "32MiB"]),
        (Path::new("/usr/bin/sort"), &["/etc/passwd"], &[]),
        (Path::new("/etc/passwd"), &[], &[]),
    ];
    for caller in Caller::all() {
        // Three of each: the first of a kind, and such as wait in a box already.
        let mut input = Vec::new();
        for _ in 0..3 {
            for (program, args, limit) in &jobs {
                // As those of a run are, in a guest.
                let mut limits = json!({ "cpu_time": stretched("10s"), "wall_time": stretched("30s") });
                if let [name, value] = limit {
                    limits[*name] = json!(stretched(value));
                }
                input
                    .push(json!({ "program": program, "args": args, "env": { "B": "2" }, "limits": limits }));
            }
        }
        let done = batch(caller, &["--in-order", "--slots", "2"], &lines(&input));
        assert_eq!(done.answers.len(), input.len(), "{}", done.stderr);
        for (i, (program, args, limit)) in jobs.iter().enumerate() {
            let mut one = run(caller, *program).args(args.iter().copied()).options(["--env", "B=2"]);
            if let [name, value] = limit {
                one = one.options([format!("--{}", name.replace('_', "-")).as_str(), value]);
            }
            let ran = one.go();
            for round in 0..3 {
                let report = &done.answers[round * jobs.len() + i]["report"];
                assert_eq!(lasting(report), lasting(&ran.report), "{program:?} {args:?}, round {round}");
            }
        }
        assert_eq!(done.status, 1, "the last program is none");
    }
}

#[test]
fn batch_job_gets_its_streams_words_and_environment() {
    for caller in Caller::all() {
        let home = caller.home();
        fs::write(home.join("in.txt"), "pear\napple\n").unwrap();
        let mut input = Vec::new();
        for i in 0..6 {
            let text = "x".repeat(i * 300);
            input.push(json!({ "id": i, "program": "/usr/bin/sort", "stdin": "in.txt", "stdout": format!("sorted-{i}") }));
            let echo = json!({ "id": format!("e{i}"), "program": "/usr/bin/echo", "args": [i.to_string(), "", text], "stdout": format!("echo-{i}") });
            input.push(echo);
            input.push(json!({ "program": "/usr/bin/env", "env": { "NUMBER": i.to_string() }, "stdout": format!("env-{i}") }));
        }
        let done = batch(caller, &[], &lines(&input));
        assert_eq!((done.status, done.answers.len()), (0, input.len()), "{}", done.stderr);
        for i in 0..6 {
            let read = |name: &str| fs::read_to_string(home.join(format!("{name}-{i}"))).unwrap();
            assert_eq!(read("sorted"), "apple\npear\n");
            assert_eq!(read("echo"), format!("{i}  {}\n", "x".repeat(i * 300)));
            let env = read("env");
            assert!(env.lines().any(|line| line == format!("NUMBER={i}")), "{env}");
            assert_eq!(env.matches("NUMBER=").count(), 1, "{env}");
        }
        let ids: BTreeSet<String> = done.answers.iter().map(|a| a["id"].to_string()).collect();
        assert_eq!(ids.len(), 13, "{ids:?}");
        assert!(ids.contains("null") && ids.contains("5") && ids.contains("\"e5\""));
    }
}

#[test]
fn batch_words_beyond_a_message_reach_the_program_all_the_same() {
    let caller = Caller::all()[0];
    let long = "y".repeat(100_000);
    let job = |i: usize| json!({ "program": "/usr/bin/echo", "args": [long, i.to_string()], "stdout": format!("long-{i}") });
    let done = batch(caller, &["--slots", "1"], &lines(&[job(0), job(1), job(2)]));
    assert_eq!(verdicts(&done), ["ok"; 3]);
    for i in 0..3 {
        assert_eq!(
            fs::read_to_string(caller.home().join(format!("long-{i}"))).unwrap(),
            format!("{long} {i}\n")
        );
    }
}

#[test]
fn batch_bad_line_is_answered_with_its_number_and_the_rest_go_on() {
    for caller in Caller::all() {
        let input = format!(
            "{}\n\n{}\n{}\nnonsense\n{}",
            json!({ "id": 1, "program": probe(), "args": ["exit", "0"] }),
            json!({ "id": "two", "programme": "x" }),
            json!({ "id": 3, "program": "./missing" }),
            json!({ "id": 4, "program": probe(), "args": ["exit", "3"] }),
        );
        let done = batch(caller, &["--in-order"], &input);
        let brief: Vec<Value> = done
            .answers
            .iter()
            .map(|a| json!([a["line"], a["id"], a["report"]["verdict"], a["exit_status"]]))
            .collect();
        let expected = [
            json!([1, 1, "ok", 0]),
            json!([3, "two", null, null]),
            json!([4, 3, "setup_failed", 127]),
            json!([5, null, null, null]),
            json!([6, 4, "nonzero_exit", 3]),
        ];
        assert_eq!(brief, expected, "{}", done.stderr);
        let error = |i: usize| done.answers[i]["error"].as_str().unwrap();
        assert!(error(1).starts_with("line 3, column 23: unknown field `programme`"), "{}", error(1));
        assert!(error(3).starts_with("line 5, column 2: expected ident"), "{}", error(3));
        assert_eq!(done.answers[2]["report"]["reason"], "./missing: ENOENT, no such file or directory");
        assert_eq!(done.status, 1);
    }
}

#[test]
fn batch_in_order_holds_quick_reports_until_the_slow_one_is_there() {
    let caller = Caller::all()[0];
    // Longer than two quick ones take, boxes and all, wherever this runs.
    let long = patience(Duration::from_millis(700)).as_secs_f64().to_string();
    let slow = json!({ "id": 0, "program": "/usr/bin/sleep", "args": [long] });
    let quick = |i: u32| json!({ "id": i, "program": probe(), "args": ["exit", "0"] });
    let jobs = lines(&[slow, quick(1), quick(2)]);
    let ids = |done: &Done| done.answers.iter().map(|a| a["id"].as_u64().unwrap()).collect::<Vec<_>>();
    let ordered = batch(caller, &["--in-order", "--slots", "2"], &jobs);
    assert_eq!(ids(&ordered), [0, 1, 2]);
    // The control: as they finish, the slow one comes last.
    let free = batch(caller, &["--slots", "2"], &jobs);
    assert_eq!(ids(&free), [1, 2, 0]);
}

#[test]
fn batch_without_jobs_ends_at_once() {
    for caller in Caller::all() {
        let empty = batch(caller, &["--slots", "4"], "\n\n");
        assert_eq!((empty.status, empty.answers.len(), empty.stderr.as_str()), (0, 0, ""));
        let mut closed = command(caller, &["--slots", "4"]);
        let output = closed.stdin(Stdio::null()).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
        // More slots than jobs.
        let one =
            batch(caller, &["--slots", "8"], &lines(&[json!({ "program": probe(), "args": ["exit", "0"] })]));
        assert_eq!((one.status, verdicts(&one)), (0, vec!["ok"]));
        assert_eq!(leaves_of(one.pid), Vec::<String>::new());
    }
}

#[test]
fn batch_thousand_jobs_have_a_thousand_boxes() {
    let caller = Caller::all()[0];
    let jobs: Vec<Value> = (0..1000)
        .map(|i| json!({ "id": i, "program": probe(), "args": ["exit", (i % 7).to_string()] }))
        .collect();
    let done = batch(caller, &["--in-order", "--slots", "3"], &lines(&jobs));
    assert_eq!((done.status, done.answers.len()), (0, 1000), "{}", done.stderr);
    let mut runs = BTreeSet::new();
    for (i, answer) in done.answers.iter().enumerate() {
        let report = &answer["report"];
        assert_eq!(
            (answer["id"].as_u64(), report["exit_code"].as_u64()),
            (Some(i as u64), Some(i as u64 % 7))
        );
        assert_eq!(report["cleanup"]["ok"], true);
        if i % 100 == 0 {
            for (layer, shown) in report["layers"].as_object().unwrap() {
                let degraded = layer == "cgroup" && !caller.has_cgroup();
                assert_eq!(shown["status"] == "enforced", !degraded, "{layer}: {shown}");
            }
        }
        runs.insert(report["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(runs.len(), 1000);
}

/// Reads answers until there are so many.
fn read_some(child: &mut Child, count: usize) -> Vec<Value> {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut answers = Vec::new();
    while answers.len() < count {
        let mut line = String::new();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "{answers:?}");
        answers.push(serde_json::from_str(&line).unwrap());
    }
    child.stdout = Some(out.into_inner());
    answers
}

/// Of a process that lives: its parent, its group and its session.
fn family(pid: u32) -> Option<[u32; 3]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, state) = stat.rsplit_once(") ").filter(|(_, state)| !state.starts_with('Z'))?;
    let mut fields = state.split(' ').skip(1).map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??])
}

/// The processes of its slots, after which their boxes' cgroups are named.
fn slots_of(batch: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| family(*pid).is_some_and(|[parent, ..]| parent == batch)).collect()
}

/// Leaves of the boxes that these slots have made.
fn leaves_of_all(slots: &[u32]) -> Vec<String> {
    slots.iter().flat_map(|pid| leaves_of(*pid)).collect()
}

fn send(child: &Child, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn batch_interrupted_cancels_what_runs_and_leaves_nothing() {
    for caller in Caller::all() {
        let mut jobs = vec![json!({ "id": "first", "program": probe(), "args": ["exit", "0"] })];
        let sleeper = json!({ "id": "slow", "program": "/usr/bin/sleep", "args": ["60"], "limits": { "wall_time": "100s" } });
        jobs.extend(std::iter::repeat_n(sleeper, 20));
        let mut child = start(caller, &["--slots", "2", "--in-order"], &lines(&jobs));
        assert_eq!(read_some(&mut child, 1)[0]["report"]["verdict"], "ok");
        std::thread::sleep(patience(Duration::from_millis(400)));
        let slots = slots_of(child.id());
        assert_eq!((slots.len(), leaves_of_all(&slots).is_empty()), (2, !caller.has_cgroup()));
        let begin = Instant::now();
        send(&child, nix::sys::signal::Signal::SIGINT);
        let done = finish(child);
        assert!(begin.elapsed() < patience(Duration::from_secs(10)), "{:?}", begin.elapsed());
        assert_eq!(done.status, 128 + libc::SIGINT, "{}", done.stderr);
        assert_eq!(verdicts(&done), ["cancelled", "cancelled"], "{:?}", done.answers);
        let by: Vec<_> = done.answers.iter().map(|a| &a["exit_status"]).collect();
        assert_eq!(by, [128 + libc::SIGINT, 128 + libc::SIGINT]);
        assert_eq!(leaves_of_all(&slots), Vec::<String>::new());
    }
}

#[test]
fn batch_slots_have_sessions_of_their_own_and_end_with_its_group() {
    use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
    let callers = Caller::all().into_iter().flat_map(|caller| [(caller, SIGTERM), (caller, SIGKILL)]);
    for (caller, signal) in callers {
        let mut child = command(caller, &["--slots", "2"]).process_group(0).spawn().unwrap();
        let pid = child.id();
        let mut stdin = child.stdin.take().unwrap();
        let quick = json!({ "program": probe(), "args": ["exit", "0"] });
        let slow = json!({ "program": "/usr/bin/sleep", "args": ["60"], "limits": { "wall_time": "100s" } });
        stdin.write_all(lines(&[quick, slow.clone(), slow]).as_bytes()).unwrap();
        assert_eq!(read_some(&mut child, 1)[0]["report"]["verdict"], "ok");
        std::thread::sleep(patience(Duration::from_millis(400)));
        let [_, group, session] = family(pid).unwrap();
        assert!(group == pid && session != pid, "{group} {session}");
        let slots = slots_of(pid);
        assert_eq!(slots.len(), 2);
        for slot in &slots {
            assert_eq!(family(*slot), Some([pid, *slot, *slot]));
        }
        // As a terminal tells it, or as whoever ends a group for good.
        let group = nix::unistd::Pid::from_raw(i32::try_from(group).unwrap());
        nix::sys::signal::killpg(group, signal).unwrap();
        let done = finish(child);
        drop(stdin);
        if signal == SIGTERM {
            assert_eq!(done.status, 128 + libc::SIGTERM, "{}", done.stderr);
            assert_eq!(verdicts(&done), ["cancelled", "cancelled"], "{:?}", done.answers);
        } else {
            assert_eq!(done.status, -libc::SIGKILL);
        }
        let until = Instant::now() + patience(Duration::from_secs(20));
        while slots.iter().any(|slot| family(*slot).is_some()) {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn batch_killed_leaves_no_process() {
    for caller in Caller::all() {
        let text = "#include <unistd.h>\nint main(void) { for (;;) pause(); }";
        let sleeper = payload_of("batch-sleeper", text, &["-static"]);
        let job = json!({ "program": sleeper, "limits": { "wall_time": "100s" } });
        let child = start(caller, &["--slots", "3"], &lines(&vec![job; 9]));
        let pid = child.id();
        let until = Instant::now() + patience(Duration::from_secs(20));
        let sleeping = || {
            let all = fs::read_dir("/proc").unwrap().flatten();
            all.filter(|p| {
                fs::read(p.path().join("cmdline")).is_ok_and(|c| c.starts_with(b"batch-sleeper\0"))
            })
            .count()
        };
        while sleeping() < 3 {
            assert!(Instant::now() < until, "{} run", sleeping());
            std::thread::sleep(Duration::from_millis(20));
        }
        let slots = slots_of(pid);
        assert_eq!((slots.len(), leaves_of_all(&slots).is_empty()), (3, !caller.has_cgroup()));
        send(&child, nix::sys::signal::Signal::SIGKILL);
        assert_eq!(finish(child).status, -libc::SIGKILL);
        let ours = || {
            let all = fs::read_dir("/proc").unwrap().flatten();
            let of = |stat: String| stat.contains(&format!(" {pid} ")) || stat.contains("batch-sleeper");
            all.filter(|p| {
                let stat = fs::read_to_string(p.path().join("stat")).unwrap_or_default();
                // A zombie holds nothing, and goes when the host's pid 1 looks.
                !stat.contains(") Z ") && of(stat)
            })
            .count()
        };
        while ours() > 0 {
            assert!(Instant::now() < until, "{} left", ours());
            std::thread::sleep(Duration::from_millis(20));
        }
        // The next start removes the cgroups.
        let until = Instant::now() + patience(Duration::from_secs(20));
        loop {
            assert_eq!(
                batch(caller, &[], &lines(&[json!({ "program": probe(), "args": ["exit", "0"] })])).status,
                0
            );
            if leaves_of_all(&slots).is_empty() {
                break;
            }
            assert!(Instant::now() < until, "{:?}", leaves_of_all(&slots));
        }
    }
}

/// Children of a process, whichever of its threads has made them.
fn children_of(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks.flat_map(|t| of(t).split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn batch_killed_with_fifty_boxes_that_wait_leaves_no_process() {
    const SLOTS: usize = 50;
    for caller in Caller::all() {
        let mut child = command(caller, &["--slots", &SLOTS.to_string()]).spawn().unwrap();
        let pid = child.id();
        let mut stdin = child.stdin.take().unwrap();
        // Long enough for each slot to have a second one, and so a box ahead of a third.
        let job = json!({ "program": "/usr/bin/sleep", "args": ["0.5"], "limits": { "wall_time": "100s" } });
        stdin.write_all(lines(&vec![job; 3 * SLOTS]).as_bytes()).unwrap();
        let answers = read_some(&mut child, 3 * SLOTS);
        assert!(answers.iter().all(|a| a["report"]["verdict"] == "ok"), "{answers:?}");
        // Of each box the process that brings the job, pid 1 and the payload's.
        let until = Instant::now() + patience(Duration::from_secs(60));
        let workers = children_of(pid);
        let waiting = || workers.iter().flat_map(|w| children_of(w.parse().unwrap())).collect::<Vec<_>>();
        while waiting().len() < 3 * SLOTS * 9 / 10 {
            assert!(Instant::now() < until, "{} processes", waiting().len());
            std::thread::sleep(Duration::from_millis(20));
        }
        let all = [workers.clone(), waiting()].concat();
        let leaves = || workers.iter().flat_map(|w| leaves_of(w.parse().unwrap())).collect::<Vec<_>>();
        assert_eq!(leaves().is_empty(), !caller.has_cgroup(), "{caller:?}");
        send(&child, nix::sys::signal::Signal::SIGKILL);
        assert_eq!(finish(child).status, -libc::SIGKILL);
        drop(stdin);
        let lives = |pid: &&String| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // A zombie holds nothing, and goes when the host's pid 1 looks.
            !stat.is_empty() && !stat.contains(") Z ")
        };
        while all.iter().any(|pid| lives(&pid)) {
            assert!(Instant::now() < until, "{} live", all.iter().filter(lives).count());
            std::thread::sleep(Duration::from_millis(20));
        }
        // The next start removes the cgroups.
        while !leaves().is_empty() {
            assert!(Instant::now() < until, "{:?}", leaves());
            assert_eq!(run(caller, probe()).args(["exit", "0"]).go().status, 0);
        }
    }
}

#[test]
fn batch_whose_reports_nobody_reads_stops() {
    for caller in Caller::all() {
        let job = json!({ "program": probe(), "args": ["exit", "0"] });
        let slow = json!({ "program": "/usr/bin/sleep", "args": ["60"], "limits": { "wall_time": "100s" } });
        let mut jobs = vec![slow];
        jobs.extend(vec![job; 200]);
        let mut child = start(caller, &["--slots", "2"], &lines(&jobs));
        let slots = slots_of(child.id());
        drop(child.stdout.take());
        let begin = Instant::now();
        let done = finish(child);
        assert!(begin.elapsed() < patience(Duration::from_secs(20)), "{:?}", begin.elapsed());
        assert_eq!(done.status, 125);
        assert_eq!(done.stderr.trim(), "stockade: error: cannot write a report: EPIPE, broken pipe");
        assert_eq!(leaves_of_all(&slots), Vec::<String>::new());
    }
}

#[test]
fn batch_whose_slot_is_killed_says_so_and_leaves_nothing() {
    for caller in Caller::all() {
        let sleeper = payload_of(
            "batch-orphan",
            "#include <unistd.h>\nint main(void) { for (;;) pause(); }",
            &["-static"],
        );
        let job = json!({ "id": 5, "program": sleeper, "limits": { "wall_time": "100s" } });
        let child = start(caller, &["--slots", "1"], &lines(&vec![job; 3]));
        let until = Instant::now() + patience(Duration::from_secs(20));
        let runs = || {
            let all = fs::read_dir("/proc").unwrap().flatten();
            all.filter(|p| fs::read(p.path().join("cmdline")).is_ok_and(|c| c.starts_with(b"batch-orphan\0")))
                .count()
        };
        while runs() == 0 {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(20));
        }
        let slots = slots_of(child.id());
        assert_eq!(slots.len(), 1);
        let slot = nix::unistd::Pid::from_raw(i32::try_from(slots[0]).unwrap());
        nix::sys::signal::kill(slot, nix::sys::signal::Signal::SIGKILL).unwrap();
        let done = finish(child);
        assert_eq!(done.status, 125, "{}", done.stderr);
        assert!(done.stderr.contains("the process of a slot has died"), "{}", done.stderr);
        assert_eq!(verdicts(&done), ["sandbox_failure"], "{:?}", done.answers);
        assert_eq!((&done.answers[0]["line"], &done.answers[0]["id"]), (&json!(1), &json!(5)));
        while runs() > 0 {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn batch_program_that_changes_between_jobs_runs_as_it_then_is() {
    for caller in Caller::all() {
        let text = |code: u8| format!("int main(void) {{ return {code}; }}");
        let first = payload_of("batch-first", &text(11), &["-static"]);
        let second = payload_of("batch-second", &text(12), &["-static"]);
        let program = caller.home().join("batch-changes");
        let sha256 = |path: &Path| {
            let out = Command::new("sha256sum").arg(path).output().unwrap();
            String::from_utf8(out.stdout).unwrap().split(' ').next().unwrap().to_owned()
        };
        let mut child = command(caller, &["--slots", "1"]).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Three of each: looked at, kept, and taken from what is kept.
        for (built, code) in [(&first, 11), (&second, 12), (&first, 11)] {
            fs::copy(built, &program).unwrap();
            std::thread::sleep(Duration::from_millis(250));
            for _ in 0..3 {
                stdin.write_all(lines(&[json!({ "program": program })]).as_bytes()).unwrap();
                let answer = &read_some(&mut child, 1)[0];
                assert_eq!(answer["report"]["exit_code"], code, "{answer}");
                assert_eq!(answer["report"]["payload"]["sha256"], sha256(built));
            }
        }
        let slots = slots_of(child.id());
        assert_eq!((slots.len(), leaves_of_all(&slots).is_empty()), (1, !caller.has_cgroup()));
        drop(stdin);
        assert_eq!(finish(child).status, 0);
        // Nor of the box that waited for a job.
        assert_eq!(leaves_of_all(&slots), Vec::<String>::new());
    }
}

#[test]
fn batch_option_that_cannot_be_is_refused_before_any_job() {
    for (options, words) in [
        (&["--slots", "0"][..], "'0' is not a whole number from 1 to 1024"),
        (&["--policy", "nosuch"], "nosuch"),
        (&["--degrade", "nosuch"], "nosuch"),
    ] {
        let done = batch(Caller::all()[0], options, &lines(&[json!({ "program": probe() })]));
        assert_eq!((done.status, done.answers.len()), (125, 0), "{options:?}");
        assert!(done.stderr.contains(words), "{}", done.stderr);
    }
}

#[test]
fn batch_pinned_program_keeps_to_one_cpu() {
    let text = r#"
        #define _GNU_SOURCE
        #include <sched.h>
        #include <stdio.h>
        int main(void) {
            cpu_set_t set;
            sched_getaffinity(0, sizeof set, &set);
            printf("%d\n", CPU_COUNT(&set));
        }"#;
    let count = payload_of("count-cpus", text, &["-static"]);
    let own = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
    let cpus = (0..nix::sched::CpuSet::count()).filter(|cpu| own.is_set(*cpu) == Ok(true)).count();
    for caller in Caller::all() {
        for (options, expected) in [(&["--pin"][..], 1), (&[], cpus)] {
            let jobs: Vec<Value> =
                (0..4).map(|i| json!({ "program": count, "stdout": format!("cpus-{i}") })).collect();
            let done = batch(caller, options, &lines(&jobs));
            assert_eq!(verdicts(&done), ["ok"; 4], "{:?}", done.answers);
            for i in 0..4 {
                let said = fs::read_to_string(caller.home().join(format!("cpus-{i}"))).unwrap();
                assert_eq!(said.trim(), expected.to_string());
            }
        }
    }
}

/// Each line of a file as name and rest.
fn said(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    let pair = |line: &str| line.split_once(": ").map(|(a, b)| (a.to_owned(), b.to_owned()));
    text.lines().filter_map(pair).collect()
}

#[test]
fn batch_neighbours_see_nothing_of_each_other() {
    let neighbour = payload("neighbour.c", &["-static"]);
    for caller in Caller::all() {
        let home = caller.home();
        let leave =
            |i: u32| json!({ "program": neighbour, "args": ["leave", "2"], "stdout": format!("left-{i}") });
        let look = |i: u32| json!({ "program": neighbour, "args": ["look"], "stdout": format!("seen-{i}") });
        // While two that leave things sleep, others look; and so do those that come after them.
        let mut jobs = vec![leave(0), leave(1)];
        jobs.extend((0..6).map(look));
        let done = batch(caller, &["--slots", "3"], &lines(&jobs));
        assert_eq!((done.status, verdicts(&done)), (0, vec!["ok"; 8]), "{}", done.stderr);
        for i in 0..2 {
            let left = said(&home.join(format!("left-{i}")));
            let of = |name: &str| left.iter().find(|(n, _)| n == name).map(|(_, what)| what.as_str());
            // The control: what can be done at all was done.
            assert_eq!(of("file"), Some("ok"), "{left:?}");
            for refused in ["shm", "socket", "lock", "name"] {
                assert_eq!(of(refused), Some("ENOSYS"), "{left:?}");
            }
        }
        for i in 0..6 {
            let seen = said(&home.join(format!("seen-{i}")));
            let of = |name: &str| seen.iter().find(|(n, _)| n == name).map(|(_, what)| what.as_str());
            assert_eq!(of("file"), Some("ENOENT"), "{seen:?}");
            for refused in ["shm", "socket", "lock"] {
                assert_eq!(of(refused), Some("ENOSYS"), "{seen:?}");
            }
            assert_eq!(of("kill"), Some("ESRCH"), "{seen:?}");
            assert_eq!(of("processes"), Some("1, others: 0, own: 2"), "{seen:?}");
            assert_eq!(of("descriptor"), None, "{seen:?}");
        }
        let network = |a: &Value| a["report"]["layers"]["net_ns"]["kernel"]["inode"].as_u64().unwrap();
        let own = |a: &Value, ns: &str| a["report"]["layers"][ns]["kernel"]["inode"].as_u64().unwrap();
        for a in &done.answers {
            assert_ne!(network(a), 0);
            assert_ne!(own(a, "pid_ns"), own(a, "user_ns"));
        }
    }
}

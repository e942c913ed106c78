//! Fifos as the payload's streams: whoever is at the other end, or is not, no run
//! and no batch waits for it longer than its limits allow.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Caller, patience, payload, run};
use nix::sys::stat::Mode;
use serde_json::{Value, json};

fn probe() -> PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

/// One that every caller may use.
fn fifo(caller: Caller, name: &str) -> PathBuf {
    let path = caller.home().join(name);
    nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o666)).unwrap();
    std::os::unix::fs::chown(&path, Some(owner(&caller.home())), None).unwrap();
    path
}

fn owner(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).unwrap().uid()
}

#[test]
fn fifo_without_a_writer_holds_up_no_kill_and_one_that_comes_late_is_heard() {
    for caller in Caller::all() {
        let fifo = fifo(caller, "fifo-in");
        let options = ["--wall-time", "500ms", "--stdin", fifo.to_str().unwrap()];
        let ran = run(caller, "/usr/bin/cat").options(options).go();
        assert_eq!((ran.status, ran.verdict()), (124, "wall_limit"), "{}", ran.all());
        let writer = {
            let fifo = fifo.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                File::options().write(true).open(fifo).unwrap().write_all(b"late\n").unwrap();
            })
        };
        let options = ["--wall-time", "20s", "--stdin", fifo.to_str().unwrap()];
        let ran = run(caller, "/usr/bin/cat").options(options).go();
        assert_eq!((ran.status, ran.text().as_str()), (0, "late\n"), "{}", ran.all());
        writer.join().unwrap();
        fs::remove_file(fifo).unwrap();
    }
}

#[test]
fn fifo_without_a_reader_is_refused_and_one_that_comes_late_gets_everything() {
    for caller in Caller::all() {
        let fifo = fifo(caller, "fifo-out");
        let options = ["--stdout", fifo.to_str().unwrap()];
        let ran = run(caller, probe()).options(options).args(["exit", "0"]).go();
        assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
        assert!(ran.stderr.contains("nobody reads this fifo"), "{}", ran.stderr);
        let reader = {
            let fifo = fifo.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                let mut text = String::new();
                File::open(fifo).unwrap().read_to_string(&mut text).unwrap();
                text
            })
        };
        let ran = run(caller, "/usr/bin/echo").options(options).args(["late"]).go();
        assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{}", ran.all());
        assert_eq!(reader.join().unwrap(), "late\n");
        fs::remove_file(fifo).unwrap();
    }
}

#[test]
fn batch_job_whose_fifo_nobody_writes_ends_at_its_limit_or_when_the_batch_is_told() {
    for caller in Caller::all() {
        let fifo = fifo(caller, "fifo-batch");
        let mut command = caller.command(common::stockade());
        command.args(["batch", "--slots", "1", "--in-order", "--degrade", "cgroup"]);
        let mut batch = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let job = |id: &str, wall: &str| json!({ "id": id, "program": "/usr/bin/cat", "stdin": &fifo, "limits": { "wall_time": wall } });
        let jobs = format!("{}\n{}\n", job("limit", "500ms"), job("told", "300s"));
        let mut stdin = batch.stdin.take().unwrap();
        stdin.write_all(jobs.as_bytes()).unwrap();
        let mut answers = std::io::BufReader::new(batch.stdout.take().unwrap());
        let mut answer = || -> Value {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut answers, &mut line).unwrap();
            serde_json::from_str(&line).unwrap()
        };
        assert_eq!(answer()["report"]["verdict"], "wall_limit");
        std::thread::sleep(Duration::from_millis(300));
        let begin = Instant::now();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(batch.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert_eq!(answer()["report"]["verdict"], "cancelled");
        assert_eq!(batch.wait().unwrap().code(), Some(143));
        assert!(begin.elapsed() < patience(Duration::from_secs(10)), "{:?}", begin.elapsed());
        drop(stdin);
        fs::remove_file(fifo).unwrap();
    }
}

//! Batches that tests run, and what came of them.
#![allow(dead_code, reason = "no test needs everything")]

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::common::{Caller, stockade};

/// A batch of `caller`.
pub fn command(caller: Caller, options: &[&str]) -> Command {
    let mut command = caller.command(stockade());
    command.arg("batch").args(options);
    if !caller.has_cgroup() {
        command.args(["--degrade", "cgroup"]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a batch came to.
pub struct Done {
    pub pid: u32,
    pub status: i32,
    pub answers: Vec<Value>,
    pub stderr: String,
}

/// Runs one to its end.
pub fn batch(caller: Caller, options: &[&str], input: &str) -> Done {
    finish(start(caller, options, input))
}

/// Starts one, which is told its jobs meanwhile.
pub fn start(caller: Caller, options: &[&str], input: &str) -> Child {
    let mut child = command(caller, options).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    child
}

/// Waits for its end.
pub fn finish(child: Child) -> Done {
    let pid = child.id();
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    Done {
        pid,
        status: out.status.code().unwrap_or_else(|| -out.status.signal().unwrap_or(0)),
        answers: text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// As a batch reads them.
pub fn lines(jobs: &[Value]) -> String {
    jobs.iter().map(|job| format!("{job}\n")).collect()
}

/// In the order of the answers.
pub fn verdicts(done: &Done) -> Vec<&str> {
    done.answers.iter().map(|a| a["report"]["verdict"].as_str().unwrap_or("none")).collect()
}

/// The report without what differs from run to run.
pub fn lasting(report: &Value) -> Value {
    let mut report = report.clone();
    for volatile in ["id", "setup_ns", "teardown_ns", "usage", "decided_by", "reason"] {
        report.as_object_mut().unwrap().remove(volatile);
    }
    for (_, layer) in report["layers"].as_object_mut().unwrap() {
        let kernel = layer["kernel"].as_object_mut().unwrap();
        for volatile in ["inode", "host_uid", "host_gid", "paths"] {
            kernel.remove(volatile);
        }
    }
    report
}

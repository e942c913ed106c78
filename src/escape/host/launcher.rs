//! The launcher itself: started badly, on bad hosts, and killed.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::super::outcome::Saw;
use super::super::probe::{ARGUMENT, Job, MAGIC, Order, terminal};
use super::super::table::Attack;
use super::canary::digest;
use super::ends::still_beats;
use super::groups::{Member, box_processes};
use super::limits::forty_two;
use super::{Caller, Setup, as_nobody, wait_until};
use crate::Layer;
use crate::error::{io_text, no_matter};

type Seen = Result<Saw, String>;

fn words(e: std::io::Error) -> String {
    io_text(&e)
}

/// A run of the launcher by its command line.
struct Line {
    command: Command,
    report: PathBuf,
}

impl Caller {
    /// `stockade run`, with a report, from within `role` where there is one.
    fn line(&self, role: &[&str], options: &[&str], payload: &Path, job: bool) -> Line {
        let mut command = Command::new(&self.exe);
        if !role.is_empty() {
            command.arg(ARGUMENT).args(role).arg(&self.exe);
        }
        let report = self.dir.join("open").join("report.json");
        no_matter(fs::remove_file(&report), "there is none");
        let store = if role.first() == Some(&"masked") {
            self.dir.join("control/scratch/store")
        } else {
            self.store()
        };
        command.args(["run", "--report"]).arg(&report).arg("--store").arg(store);
        for layer in &self.degrade {
            // A test of what happens without a cgroup must not be told that this will do.
            if role.first() != Some(&"uncontrolled") || *layer != Layer::Cgroup {
                command.args(["--degrade", layer.name()]);
            }
        }
        if let Some(cgroup) = &self.cgroup {
            command.arg("--cgroup").arg(cgroup);
        }
        command.args(options).arg("--").arg(payload);
        if job {
            command.arg(ARGUMENT);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("NO_COLOR", "1").current_dir(self.dir.join("open"));
        Line { command, report }
    }

    fn order(&self, id: &str) -> Vec<u8> {
        let target = match self.policy(&Setup::default().limits) {
            Ok(policy) => self.target(&policy, &Setup::default()),
            Err(_) => self.inside.clone(),
        };
        Job { target, orders: vec![Order { id: id.to_owned(), skip: 0 }] }.encode()
    }

    /// The little program under the policy that ships: 42 where all is well.
    fn little(&self, role: &[&str], options: &[&str]) -> Result<(Output, Value), String> {
        let line = self.line(role, options, &forty_two(self)?, false);
        let stdin = if role.is_empty() { Vec::new() } else { MAGIC.to_vec() };
        line.go(&stdin)
    }
}

impl Line {
    fn start(&mut self, stdin: &[u8]) -> Result<Child, String> {
        let mut child = self.command.spawn().map_err(words)?;
        if let Some(mut pipe) = child.stdin.take() {
            no_matter(pipe.write_all(stdin), "it says so itself");
        }
        Ok(child)
    }

    /// To its end; the report is null where there is none.
    fn go(mut self, stdin: &[u8]) -> Result<(Output, Value), String> {
        let child = self.start(stdin)?;
        let out = child.wait_with_output().map_err(words)?;
        let text = fs::read(&self.report).unwrap_or_default();
        Ok((out, serde_json::from_slice(&text).unwrap_or(Value::Null)))
    }
}

fn status(out: &Output) -> String {
    out.status.code().map_or_else(|| format!("{}", out.status), |code| code.to_string())
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).trim().to_owned()
}

/// The same command where nothing is wrong, as the control of the others.
fn works(caller: &Caller) -> Result<(), String> {
    let (out, _) = caller.little(&[], &[])?;
    if out.status.code() == Some(42) {
        Ok(())
    } else {
        Err(format!("a plain run does not work: {}", said(&out)))
    }
}

/// NS-12.
pub fn no_user_namespaces(caller: &Caller, _: &Attack) -> Seen {
    works(caller)?;
    let (out, report) = caller.little(&["limited"], &[])?;
    let text = said(&out);
    if String::from_utf8_lossy(&out.stdout).starts_with("X ") {
        return Err("such a host cannot be made here".to_owned());
    }
    let mut saw = Saw::new();
    saw.note("the status", status(&out));
    if out.status.code() == Some(42) || report["exit_code"] == 42 {
        saw.leak("the payload ran without a user namespace");
    }
    saw.note("the message", if text.contains("namespace") { "user namespace" } else { "another one" });
    Ok(saw)
}

/// PR-15: as an ordinary user in a namespace whose `/proc` is masked.
pub fn masked_proc(caller: &Caller, _: &Attack) -> Seen {
    works(caller)?;
    // As host root, its files would belong to nobody in that namespace.
    let dir = caller.dir.join("control/scratch");
    let report = dir.join("report.json");
    let mut command = Command::new(&caller.exe);
    command.arg(ARGUMENT).arg("masked").arg(&caller.exe);
    command.args(["run", "--degrade", "cgroup", "--report"]).arg(&report);
    command.arg("--store").arg(dir.join("store")).arg("--").arg(forty_two(caller)?).current_dir(&dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    as_nobody(&mut command);
    let (out, report) = Line { command, report }.go(MAGIC)?;
    if out.stdout.starts_with(b"X ") || report["exit_code"] != 42 {
        let why = String::from_utf8_lossy(&out.stdout).into_owned();
        return Err(format!("nothing runs on such a host here: {why}{}", said(&out)));
    }
    let mut saw = Saw::new();
    let proc = report["layers"]["proc"]["kernel"]["proc"].as_str().unwrap_or("unknown").to_owned();
    if proc != "absent" {
        saw.leak(format!("the box's /proc is {proc}, although this host refuses to mount one"));
    }
    saw.note("the box's /proc", proc);
    Ok(saw)
}

/// FD-06: every combination of closed streams.
pub fn closed_streams(caller: &Caller, _: &Attack) -> Seen {
    works(caller)?;
    let precious = caller.dir.join("open/precious");
    let before = digest(&precious);
    let mut saw = Saw::new();
    for mask in 0..8u8 {
        let (out, report) = caller.little(&["closed", &mask.to_string()], &[])?;
        saw.note(format!("closed {mask:03b}"), status(&out));
        if report["exit_code"] != 42 {
            saw.leak(format!("with streams {mask:03b} closed the report says {}", report["verdict"]));
        }
        if digest(&precious) != before {
            saw.leak("a file of the host was written instead of a stream");
        }
    }
    Ok(saw)
}

/// A terminal of its own, both ends.
fn pty() -> Result<(nix::pty::PtyMaster, OwnedFd), String> {
    use nix::fcntl::OFlag;
    let errno = |e: nix::Error| crate::error::errno_text(e as i32);
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = nix::pty::posix_openpt(flags).map_err(errno)?;
    nix::pty::grantpt(&master).map_err(errno)?;
    nix::pty::unlockpt(&master).map_err(errno)?;
    let path = nix::pty::ptsname_r(&master).map_err(errno)?;
    let slave = nix::fcntl::open(
        path.as_str(),
        OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    );
    Ok((master, slave.map_err(errno)?))
}

/// TT-04: what a payload writes, on a terminal and into a pipe; and a name.
pub fn terminal_output(caller: &Caller, attack: &Attack) -> Seen {
    let order = caller.order(attack.id);
    let (out, _) = caller.line(&[], &[], &caller.exe, true).go(&order)?;
    let hostile = terminal::HOSTILE_OUTPUT;
    if !out.stdout.ends_with(hostile) {
        return Err("the sequences did not arrive in a pipe".to_owned());
    }
    let mut saw = Saw::new();
    saw.note("in a pipe", "as they are");
    let (master, slave) = pty()?;
    let mut line = caller.line(&[], &[], &caller.exe, true);
    let copy = || slave.try_clone().map_err(words);
    line.command.stdout(Stdio::from(copy()?)).stderr(Stdio::from(copy()?));
    let mut child = line.start(&order)?;
    drop(line);
    let shown = read_terminal(&master, &mut child);
    drop(slave);
    let acted = shown.iter().any(|b| *b == 0x1b || *b == 0x9b || *b == 0x07);
    if shown.is_empty() {
        return Err("nothing arrived on the terminal".to_owned());
    }
    if acted {
        saw.leak("an escape sequence of the payload reached the terminal");
    }
    saw.note("on a terminal", "shown, not acted on");
    // A file's name ends up in messages.
    let name = caller.dir.join(OsString::from_vec(b"x\x1b]0;owned\x07".to_vec()));
    fs::copy(forty_two(caller)?, &name).map_err(words)?;
    let (out, _) = caller.line(&[], &["-v"], &name, false).go(&[])?;
    let (missing, _) = caller.line(&[], &[], &name.with_extension("none"), false).go(&[])?;
    for stderr in [&out.stderr, &missing.stderr] {
        if stderr.contains(&0x1b) || stderr.contains(&0x07) {
            saw.leak("a file's name reached the terminal as it is");
        }
    }
    Ok(saw)
}

/// Everything that arrives until the child has ended.
fn read_terminal(master: &nix::pty::PtyMaster, child: &mut Child) -> Vec<u8> {
    use nix::poll::{PollFd, PollFlags, PollTimeout};
    let mut all = Vec::new();
    let mut buf = [0u8; 4096];
    loop {
        let ended = matches!(child.try_wait(), Ok(Some(_)));
        let mut fds = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        let ready = nix::poll::poll(&mut fds, PollTimeout::from(20u8)).unwrap_or(0);
        if ready > 0 {
            match crate::sys::fd::read(master.as_raw_fd(), &mut buf) {
                Ok(n) if n > 0 => all.extend(&buf[..n]),
                _ => return all,
            }
        } else if ended {
            return all;
        }
    }
}

/// PS-05: SIGKILL for the launcher, while a daemon beats and the payload waits.
pub fn killed_launcher(caller: &Caller, attack: &Attack) -> Seen {
    let dir = caller.fresh("killed")?;
    let bind = format!("{}:/data", dir.display());
    let mut line = caller.line(&[], &["--rw", &bind], &caller.exe, true);
    let mut child = line.start(&caller.order(attack.id))?;
    let begun = wait_until(Duration::from_secs(10), || dir.join("heartbeat").exists());
    let beats = begun && still_beats(&dir);
    no_matter(child.kill(), "it has ended already");
    no_matter(child.wait(), "somebody has reaped it");
    if !beats {
        return Err("no heart was seen to beat before the launcher was killed".to_owned());
    }
    let mut saw = Saw::new();
    let stopped = wait_until(Duration::from_secs(1), || !still_beats(&dir));
    saw.note("hearts within a second", if stopped { "stopped" } else { "beat on" });
    if !stopped {
        saw.leak("a process of the box outlives the launcher");
    }
    Ok(saw)
}

/// CG-03.
pub fn no_cgroup(caller: &Caller, _: &Attack) -> Seen {
    let mut saw = Saw::new();
    let (out, report) = caller.little(&["uncontrolled"], &[])?;
    if String::from_utf8_lossy(&out.stdout).starts_with("X ") {
        return Err("such a host cannot be made here".to_owned());
    }
    saw.note("the status", status(&out));
    if out.status.code() == Some(42) || report["exit_code"] == 42 {
        saw.leak("the payload ran without the limits of its policy");
    }
    saw.note("the message", if said(&out).contains("cgroup") { "cgroup" } else { "another one" });
    if caller.is_root() {
        let (out, report) = caller.little(&["uncontrolled"], &["--degrade", "cgroup"])?;
        let told = report["degraded"].as_array().is_some_and(|d| d.iter().any(|l| l == "cgroup"));
        if out.status.code() != Some(42) {
            return Err(format!("with --degrade cgroup it does not run: {}", said(&out)));
        }
        saw.note("the report", if told { "degraded" } else { "says nothing" });
    }
    Ok(saw)
}

/// IL-09: what others on the host see of a box's processes.
pub fn visible_words(caller: &Caller, _: &Attack) -> Seen {
    let secret = format!("{}-env", caller.token);
    let holds = |pid: &str, file: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        bytes.windows(secret.len()).any(|w| w == secret.as_bytes())
    };
    if !holds("self", "environ") {
        return Err("the caller's own environment does not hold the secret".to_owned());
    }
    let mut live = caller.start("CG-02", &Setup::default())?;
    let ready = live.ready(Duration::from_secs(10));
    let look =
        |one: Member| ["environ", "cmdline", "comm"].map(|file| (file, holds(&one.pid.to_string(), file)));
    let seen: Vec<_> = box_processes().into_iter().map(|one| (one, one.is_init(), look(one))).collect();
    let ran = live.finish();
    let seen: Vec<_> = seen.into_iter().filter(|(one, ..)| one.may_be_of(&ran)).collect();
    if !ready || seen.is_empty() {
        return Err("no process of the box was seen".to_owned());
    }
    let mut saw = Saw::new();
    let mut read = 0;
    for (_, is_init, files) in seen {
        for (file, holds) in files {
            read += 1;
            if holds {
                let which = if is_init { "pid 1" } else { "the payload" };
                saw.leak(format!("{file} of {which} holds a secret of the caller"));
            }
        }
    }
    saw.note(format!("secrets in {read} files"), if saw.effect.is_some() { "some" } else { "none" });
    Ok(saw)
}

const POLICY: &str = r#"{"version": 1, "name": "reach", "comment": "a test", "extends": "native"}"#;

/// SV-05: the policy lies where the payload may write.
pub fn policy_in_reach(caller: &Caller, _: &Attack) -> Seen {
    let (reached, elsewhere) = (caller.fresh("policy-in-reach")?, caller.fresh("policy-elsewhere")?);
    let mut saw = Saw::new();
    for (dir, good) in [(&elsewhere, true), (&reached, false)] {
        let policy = dir.join("policy.json");
        fs::write(&policy, POLICY).map_err(words)?;
        let (policy, bind) = (policy.display().to_string(), format!("{}:/data", reached.display()));
        let (out, report) = caller.little(&[], &["-p", &policy, "--rw", &bind])?;
        if good && out.status.code() != Some(42) {
            return Err(format!("with the policy elsewhere it does not run either: {}", said(&out)));
        }
        saw.note(if good { "elsewhere" } else { "in reach" }, status(&out));
        if !good && report["exit_code"] == 42 {
            saw.leak("the payload could rewrite the policy of its next run");
        }
    }
    Ok(saw)
}

/// SV-06: links, a fifo, and a directory that the payload may write.
pub fn report_in_reach(caller: &Caller, _: &Attack) -> Seen {
    let dir = caller.fresh("report")?;
    let precious = caller.dir.join("open/precious");
    let before = digest(&precious);
    let mut saw = Saw::new();
    for kind in ["link", "dangling", "fifo", "hard link"] {
        let path = dir.join("report.json");
        no_matter(fs::remove_file(&path), "there is none");
        match kind {
            "link" => symlink(&precious, &path).map_err(words)?,
            "dangling" => symlink(dir.join("made-by-the-launcher"), &path).map_err(words)?,
            "fifo" => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)
                .map_err(|e| crate::error::errno_text(e as i32))?,
            _ => fs::hard_link(&precious, &path).map_err(words)?,
        }
        let mut command = Command::new(&caller.exe);
        command.args(["run", "--report"]).arg(&path).arg("--store").arg(caller.store());
        for layer in &caller.degrade {
            command.args(["--degrade", layer.name()]);
        }
        command.arg("--").arg(forty_two(caller)?).stdin(Stdio::null());
        let out = command.output().map_err(words)?;
        saw.note(kind, status(&out));
        if digest(&precious) != before {
            saw.leak(format!("the report was written through a {kind}"));
        }
        if dir.join("made-by-the-launcher").exists() {
            saw.leak("the report was written where a link led");
        }
    }
    saw.note("the file behind", "unchanged");
    Ok(saw)
}

/// SV-07: programs and libraries that the caller's variables name.
pub fn evil_path(caller: &Caller, _: &Attack) -> Seen {
    let dir = caller.fresh("evil")?;
    let flag = dir.join("was-called");
    let script = format!("#!/bin/sh\n: > {}\n", flag.display());
    let names = [
        "newuidmap",
        "newgidmap",
        "modprobe",
        "mount",
        "umount",
        "ip",
        "sh",
        "ld.so",
        "sysctl",
        "cgexec",
        "setpriv",
    ];
    for name in names {
        let path = dir.join(name);
        fs::write(&path, &script).map_err(words)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(words)?;
    }
    let called = Command::new(dir.join("newuidmap")).status().map_err(words)?;
    if !called.success() || !flag.exists() {
        return Err("the planted helpers do not run".to_owned());
    }
    fs::remove_file(&flag).map_err(words)?;
    let mut line = caller.line(&[], &[], &forty_two(caller)?, false);
    for variable in ["PATH", "TMPDIR", "XDG_RUNTIME_DIR", "LOCPATH", "GCONV_PATH", "RUST_LOG", "HOME"] {
        line.command.env(variable, &dir);
    }
    let (out, _) = line.go(&[])?;
    let mut saw = Saw::new();
    saw.note("the status", status(&out));
    saw.note("helpers called", if flag.exists() { "some" } else { "none" });
    if flag.exists() {
        saw.leak("a program that the caller's PATH names was started");
    }
    Ok(saw)
}

/// SV-10: the reader of the output goes away.
pub fn reader_gone(caller: &Caller, attack: &Attack) -> Seen {
    let mut line = caller.line(&[], &[], &caller.exe, true);
    let mut child = line.start(&caller.order(&format!("{}=out", attack.id)))?;
    let Some(mut stdout) = child.stdout.take() else { return Err("no stream".to_owned()) };
    let mut first = [0u8; 64];
    let read = stdout.read(&mut first).map_err(words)?;
    drop(stdout);
    if read == 0 {
        return Err("nothing was written".to_owned());
    }
    let ended = wait_until(Duration::from_secs(5), || matches!(child.try_wait(), Ok(Some(_))));
    let mut saw = Saw::new();
    saw.note("the launcher", if ended { "ended" } else { "runs on" });
    if !ended {
        no_matter(child.kill(), "it has ended already");
        no_matter(child.wait(), "somebody has reaped it");
        saw.leak("the run goes on without anybody to read it");
    }
    Ok(saw)
}

/// SV-01: a report on the payload's own streams.
pub fn forged_report(caller: &Caller, attack: &Attack) -> Seen {
    let (out, report) = caller.line(&[], &[], &caller.exe, true).go(&caller.order(attack.id))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if !text.contains("stockade.report/1") {
        return Err(format!("the forgery did not arrive: {}", said(&out)));
    }
    let mut saw = Saw::new();
    saw.note("the forgery", "seen");
    saw.note("the status", status(&out));
    let verdict = report["verdict"].as_str().unwrap_or("none").to_owned();
    let code = report["exit_code"].to_string();
    saw.note("the report", format!("{verdict} {code}"));
    if out.status.code() != Some(42) || verdict != "nonzero_exit" {
        saw.leak(format!("the report says {verdict}, the status {}", status(&out)));
    }
    Ok(saw)
}

/// SV-14: this program as the payload, told to run something.
pub fn nested(caller: &Caller, _: &Attack) -> Seen {
    works(caller)?;
    let words = ["run", "--store", "/tmp/store", "--degrade", "cgroup", "--", "/box/program", "--version"];
    let setup = Setup { words: Some(words.map(str::to_owned).to_vec()), ..Setup::default() };
    let ran = caller.run_with(&setup, crate::sandbox::Input::Null);
    let code = ran.report.as_ref().and_then(|r| r.exit_code);
    let mut saw = Saw::new();
    saw.note("the status", code.map_or_else(|| ran.verdict(), |c| c.to_string()));
    let text = String::from_utf8_lossy(&ran.stdout);
    if text.contains("stockade 0") || code == Some(0) {
        saw.leak("a box was made inside a box");
    }
    Ok(saw)
}

//! On a terminal: what is written is made harmless, and the terminal itself is
//! neither handed over nor changed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use common::{Caller, patience, pause, payload, payload_of, run};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;
use nix::sys::termios::{Termios, tcgetattr};

/// A terminal of its own, as the session leader's controlling one.
struct Terminal {
    ours: File,
    theirs: OwnedFd,
    seen: Vec<u8>,
}

/// The next program has this terminal as its own.
const AS_ITS_OWN: &str = "exec setsid --ctty \"$@\"";

impl Terminal {
    fn new() -> Self {
        // Nobody who is started meanwhile may keep it open.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let ours = posix_openpt(flags).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname_r(&ours).unwrap();
        let theirs = nix::fcntl::open(name.as_str(), flags, Mode::empty()).unwrap();
        Self { ours: File::from(OwnedFd::from(ours)), theirs, seen: Vec::new() }
    }

    /// Runs it on all three streams, or with a standard output elsewhere.
    fn start(&self, run: common::Run) -> (Child, std::path::PathBuf) {
        let (mut command, report) = run.through(AS_ITS_OWN).command();
        let end = || self.theirs.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        (child, report)
    }

    fn attributes(&self) -> Termios {
        tcgetattr(self.theirs.as_fd()).unwrap()
    }

    /// Reads until the program has ended, and what is there then.
    fn read_until_end(&mut self, child: &mut Child) -> i32 {
        let until = Instant::now() + patience(Duration::from_secs(20));
        loop {
            let status = child.try_wait().unwrap();
            self.read_some();
            if let Some(status) = status {
                return status.code().unwrap();
            }
            assert!(Instant::now() < until, "it does not end");
        }
    }

    fn read_until(&mut self, text: &str) {
        let until = Instant::now() + patience(Duration::from_secs(20));
        while !self.text().contains(text) {
            self.read_some();
            assert!(Instant::now() < until, "{:?} never came: {:?}", text, self.text());
        }
    }

    fn read_some(&mut self) {
        let mut fds = [PollFd::new(self.ours.as_fd(), PollFlags::POLLIN)];
        while nix::poll::poll(&mut fds, 20u8).unwrap() > 0 {
            let mut some = [0; 4096];
            let n = self.ours.read(&mut some).unwrap();
            self.seen.extend_from_slice(&some[..n]);
            fds = [PollFd::new(self.ours.as_fd(), PollFlags::POLLIN)];
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    fn foreground(&self) -> i32 {
        nix::unistd::tcgetpgrp(&self.ours).unwrap().as_raw()
    }
}

const HARMFUL: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    const char text[] = "\033]0;title\007\033[2Jwrong\rright\n";
    write(1, text, sizeof text - 1);
    write(2, text, sizeof text - 1);
    if (argc > 1) { char line[100] = ""; read(0, line, sizeof line - 1); printf("%d %s", isatty(0) | isatty(1) | isatty(2), line); }
    return 0;
}"#;

const HARMLESS: &str = "^[]0;title^G^[[2Jwrong^Mright\r\n";

#[test]
fn escape_codes_are_shown_on_a_terminal_and_pass_unchanged_elsewhere() {
    let program = payload_of("harmful", HARMFUL, &["-static"]);
    let raw = "\u{1b}]0;title\u{7}\u{1b}[2Jwrong\rright\n";
    for caller in Caller::all() {
        let mut terminal = Terminal::new();
        let (mut child, report) = terminal.start(run(caller, &program).options(["--quiet"]));
        assert_eq!(terminal.read_until_end(&mut child), 0, "{}", terminal.text());
        assert_eq!(terminal.text(), HARMLESS.repeat(2));
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        // Counted is what the program wrote.
        assert_eq!(report["usage"]["stdout_bytes"], raw.len());

        let ran = run(caller, &program).go();
        assert_eq!((ran.text().as_str(), ran.stderr.as_str()), (raw, raw), "{}", ran.all());

        // Each stream by itself: one is a file here.
        let file = caller.home().join("out");
        let mut terminal = Terminal::new();
        let to_file = run(caller, &program).options(["--quiet", "--stdout", file.to_str().unwrap()]);
        let (mut child, _) = terminal.start(to_file);
        assert_eq!(terminal.read_until_end(&mut child), 0, "{}", terminal.text());
        assert_eq!(
            (terminal.text().as_str(), std::fs::read_to_string(&file).unwrap().as_str()),
            (HARMLESS, raw)
        );
    }
}

#[test]
fn verdict_is_told_on_a_terminal_unless_it_is_to_be_quiet() {
    for caller in Caller::all() {
        let mut terminal = Terminal::new();
        let (mut child, _) =
            terminal.start(run(caller, payload("probe.c", &["-static", "-pthread"])).args(["exit", "3"]));
        assert_eq!(terminal.read_until_end(&mut child), 3);
        assert!(terminal.text().contains("nonzero_exit"), "{}", terminal.text());
    }
}

#[test]
fn terminal_is_neither_handed_over_nor_changed() {
    let program = payload_of("harmful", HARMFUL, &["-static"]);
    for caller in Caller::all() {
        let mut terminal = Terminal::new();
        let before = terminal.attributes();
        let (mut child, _) = terminal.start(run(caller, &program).options(["--quiet"]).args(["ask"]));
        terminal.read_until(HARMLESS);
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(terminal.foreground(), pid, "{caller:?}: somebody else is in the foreground");
        assert_eq!(terminal.attributes(), before);
        terminal.ours.write_all(b"typed\n").unwrap();
        terminal.read_until("0 typed\r\n");
        assert_eq!(terminal.read_until_end(&mut child), 0);
        assert_eq!(terminal.attributes(), before);
    }
}

#[test]
fn interrupt_typed_at_the_terminal_cancels() {
    for caller in Caller::all() {
        let mut terminal = Terminal::new();
        let program = payload_of("harmful", HARMFUL, &["-static"]);
        let (mut child, report) = terminal.start(run(caller, &program).options(["--quiet"]).args(["ask"]));
        terminal.read_until(HARMLESS);
        // Stopping is not for a supervisor.
        terminal.ours.write_all(b"\x1a").unwrap();
        pause(100);
        assert_eq!(child.try_wait().unwrap(), None);
        terminal.ours.write_all(b"\x03").unwrap();
        assert_eq!(terminal.read_until_end(&mut child), 130, "{}", terminal.text());
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        assert_eq!(report["verdict"], "cancelled", "{report:#}");
        assert!(report["reason"].as_str().unwrap().contains("SIGINT"), "{report:#}");
    }
}

#[test]
fn terminal_that_hangs_up_ends_the_run() {
    for caller in Caller::all() {
        let mut terminal = Terminal::new();
        let program = payload("probe.c", &["-static", "-pthread"]);
        let (mut child, report) = terminal.start(run(caller, program).args(["sleep"]));
        pause(300);
        assert_eq!(child.try_wait().unwrap(), None, "{}", terminal.text());
        terminal.read_some();
        drop(terminal);
        let until = Instant::now() + patience(Duration::from_secs(5));
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code().unwrap();
            }
            assert!(Instant::now() < until, "it does not end");
            pause(5);
        };
        assert_eq!(status, 129);
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        assert_eq!(report["verdict"], "cancelled", "{report:#}");
    }
}

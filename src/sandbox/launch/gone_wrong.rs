//! A launch that went wrong: what was the cause, and nothing is left of it.

use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{Shutdown, shutdown};

use super::{Process, Stopped, Underway, describe};
use crate::error::{no_matter, with_help};
use crate::report::verdict::signal_name;
use crate::sandbox::frame::{FRAME_BYTES, Frame};
use crate::sandbox::order::Step;
use crate::sandbox::strays::{self, Mark};
use crate::sandbox::verify;
use crate::sys::process::Ended;
use crate::sys::{Errno, fd, process};

/// How long M may take to make two processes while a failed launch is taken down.
pub const LAST_WORDS_MS: u16 = 2_000;

/// Why it does not matter when a wait fails during a teardown.
const REAPED: &str = "somebody has reaped it already";

impl Underway<'_> {
    pub(super) fn give_up(&mut self, stopped: Stopped) -> Stopped {
        let stopped = self.first_cause(stopped);
        self.tear_down();
        stopped
    }

    /// What the supervisor stumbled over may be no more than the end of a process that had said before
    /// what it failed at.
    fn first_cause(&mut self, stopped: Stopped) -> Stopped {
        if self.cause_known || matches!(stopped, Stopped::Cancelled) {
            return stopped;
        }
        while let Some(frame) = self.next_report(self.last_words_ms) {
            if let Frame::Failed { step, index, errno } = frame {
                return Stopped::Failed(self.describe(step, index, errno));
            }
            self.take_note(frame);
        }
        stopped
    }

    /// A process that has to be killed when the launch is given up.
    fn take_note(&mut self, frame: Frame) {
        match frame {
            Frame::InitPid(pid) => self.init = Process::open(pid).ok(),
            Frame::PayloadPid(pid) => self.payload = Process::open(pid).ok(),
            _ => {}
        }
    }

    /// A process has ended, and nobody has said why.
    pub(super) fn silent_death(&mut self) -> String {
        let ended = |process: &Process| process::wait(process.pidfd.as_fd(), false).ok().map(|(e, _)| e);
        let mut deaths = Vec::new();
        if let Some(end) = self.payload.as_ref().and_then(ended) {
            deaths.push(("payload process", end));
            self.payload = None;
            self.payload_gone = true;
        }
        if let Some(end) = self.init.as_ref().and_then(ended) {
            deaths.push(("pid 1 of the box", end));
            self.init = None;
        }
        if let Some(end) = ended(&self.middle) {
            deaths.push(("middle process", end));
            self.middle_reaped = true;
        }
        let words = deaths.iter().filter_map(|(who, ended)| died(who, ended));
        let words: Vec<String> = words.collect();
        if words.is_empty() { "the set-up ended without a word".to_owned() } else { words.join(", ") }
    }

    /// A process has said what it failed at.
    pub(super) fn failed(&mut self, step: Step, index: u32, errno: i32) -> Stopped {
        self.cause_known = true;
        Stopped::Failed(self.describe(step, index, errno))
    }

    /// A failed step in words: what its index was about is known here.
    fn describe(&self, step: Step, index: u32, errno: i32) -> String {
        let subject = verify::subject(&self.compiled.plan, step, index as usize);
        with_help(&describe(step, &subject, errno), verify::help(step, errno).as_deref())
    }

    /// Kills and reaps whatever exists.
    pub(super) fn tear_down(&mut self) {
        // Nobody is told anything any more: M may wait for the leaf.
        no_matter(shutdown(self.compiled.control.as_raw_fd(), Shutdown::Write), "M does not listen then");
        // Between the maps and its second clone M does nothing else that can block: letting it come to its
        // reports leaves nobody unknown.
        while self.told && self.payload.is_none() && !self.payload_gone {
            match self.next_report(LAST_WORDS_MS) {
                Some(frame) => self.take_note(frame),
                None => break,
            }
        }
        self.middle.kill();
        if !self.middle_reaped {
            no_matter(process::wait(self.middle.pidfd.as_fd(), true), REAPED);
        }
        let rest = [&self.payload, &self.init];
        rest.into_iter().flatten().for_each(Process::kill);
        // The payload first: pid 1 does not end before it is reaped.
        if let Some(payload) = &self.payload {
            no_matter(process::wait(payload.pidfd.as_fd(), true), REAPED);
        }
        if self.init.is_none() || self.payload.is_none() {
            self.reap_unknown();
        }
        if let Some(init) = &self.init {
            no_matter(process::wait(init.pidfd.as_fd(), true), REAPED);
        }
    }

    /// M was killed before it could name all that it had made. Pid 1 does not end before those are reaped.
    fn reap_unknown(&self) {
        let Some(inode) = self.userns else { return };
        loop {
            strays::reap(Mark::UserNamespace(inode), &[]);
            match &self.init {
                Some(init) if process::has_ended(init.pidfd.as_fd()) == Ok(false) => {
                    std::thread::sleep(strays::PAUSE);
                }
                _ => return,
            }
        }
    }

    /// What is still to be said; `None` once M has ended, or for so long nothing was said.
    fn next_report(&self, within_ms: u16) -> Option<Frame> {
        let control = self.compiled.control.as_fd();
        let read = PollFlags::POLLIN;
        let mut fds = [PollFd::new(control, read), PollFd::new(self.middle.pidfd.as_fd(), read)];
        loop {
            match nix::poll::poll(&mut fds, PollTimeout::from(within_ms)) {
                Err(Errno::EINTR) => {}
                Ok(n) if n > 0 && fds[0].any() == Some(true) => break,
                _ => return None,
            }
        }
        let mut bytes = [0u8; FRAME_BYTES];
        let (n, _) = fd::recv_with_fd(control.as_raw_fd(), &mut bytes).ok()?;
        Frame::decode(&bytes[..n])
    }
}

/// How a process of the set-up ended, unless it was as it should.
pub fn died(who: &str, ended: &Ended) -> Option<String> {
    match ended {
        Ended::Signaled(s) => Some(format!("the {who} died of {}", signal_name(*s))),
        Ended::Exited(0) => None,
        Ended::Exited(code) => Some(format!("the {who} ended with status {code}")),
    }
}

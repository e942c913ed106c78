//! Calls that the policy refuses: recorded, answered, and perhaps the end.

use std::io;
use std::os::fd::AsFd as _;

use nix::poll::PollFlags;

use super::Supervisor;
use crate::policy::model::OnViolation;
use crate::report::evidence::{Rule, Violation};
use crate::sys::{Errno, seccomp};

/// Different refused calls that are kept; more are only counted against the limit.
const VIOLATIONS_KEPT: usize = 64;

impl Supervisor<'_> {
    /// One call that waits for its answer.
    pub(super) fn refused_call(&mut self, events: PollFlags) -> io::Result<()> {
        let Some(listener) = &self.launched.listener else { return Ok(()) };
        if !events.contains(PollFlags::POLLIN) {
            // Nobody is left who could make a call; asking again and again would only take the CPU
            // from those who are still to die.
            self.launched.listener = None;
            return Ok(());
        }
        let call = match seccomp::receive(listener.as_fd()) {
            Ok(call) => call,
            // The caller died meanwhile.
            Err(Errno::ENOENT | Errno::EINTR) => return Ok(()),
            Err(_) => {
                self.launched.listener = None;
                return Ok(());
            }
        };
        self.record(call.nr.unsigned_abs(), call.args);
        let too_many = self.violations > u64::from(self.syscalls.max_violations);
        if self.syscalls.on_violation == OnViolation::Kill || too_many {
            self.kill(Rule::Violation);
            return Ok(());
        }
        let Some(listener) = &self.launched.listener else { return Ok(()) };
        match seccomp::refuse(listener.as_fd(), call.id, Errno::EPERM) {
            // The caller died meanwhile.
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn record(&mut self, number: u32, args: [u64; 6]) {
        self.violations += 1;
        let kept = self.evidence.violations.len();
        match self.seen.get(&(number, args)) {
            Some(at) => self.evidence.violations[*at].count += 1,
            None if kept < VIOLATIONS_KEPT => {
                self.seen.insert((number, args), kept);
                self.evidence.violations.push(Violation { number, args, count: 1 });
            }
            None => {}
        }
    }
}

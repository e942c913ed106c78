//! Calls that the policy refuses: recorded, answered, and perhaps the end.

use std::io;
use std::os::fd::AsFd as _;

use nix::poll::PollFlags;

use super::Supervisor;
use crate::policy::model::OnViolation;
use crate::report::evidence::{Rule, Violation};
use crate::sandbox::seccomp::Reply;
use crate::sys::seccomp::Notification;
use crate::sys::{self, Errno, seccomp};

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
        let reply = match &mut self.explainer {
            None => Reply::Violation,
            Some(explainer) => {
                let reply = explainer.reply(&call);
                let (meter, init) = (&self.meter, self.launched.init.pid);
                explainer.look(listener.as_fd(), &call, reply, || meter.tasks_but(init));
                reply
            }
        };
        let answered = match reply {
            Reply::Violation => return self.violation(&call),
            Reply::Proceed => seccomp::proceed(listener.as_fd(), call.id),
            Reply::Fail(errno) => {
                seccomp::refuse(listener.as_fd(), call.id, Errno::from_raw(i32::from(errno)))
            }
        };
        still_there(answered)
    }

    /// A call that the policy calls a violation.
    fn violation(&mut self, call: &Notification) -> io::Result<()> {
        self.record(call.nr.unsigned_abs(), call.args);
        let too_many = self.violations > u64::from(self.syscalls.max_violations);
        if self.syscalls.on_violation == OnViolation::Kill || too_many {
            self.kill(Rule::Violation);
            return Ok(());
        }
        let Some(listener) = &self.launched.listener else { return Ok(()) };
        still_there(seccomp::refuse(listener.as_fd(), call.id, Errno::EPERM))
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

/// The caller may have died meanwhile.
fn still_there(answered: sys::Result<()>) -> io::Result<()> {
    match answered {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

//! What a process inherits from its caller without anybody having meant it:
//! ignored signals, a terminal, a personality, a umask.

use super::child::{Failed, Steps};
use super::order::Step;
use super::plan::Plan;
use crate::sys::signal::{self, Disposition};
use crate::sys::{self, Errno, fd, process};

/// Highest signal number of the kernel.
const LAST_SIGNAL: i32 = 64;

/// Permission bits taken from what the payload creates.
const UMASK: u32 = 0o022;

/// Child only: the supervisor may have died before the parent-death signal was set.
pub fn check_parent(steps: Steps) -> Result<(), Failed> {
    steps.call(Step::ParentGone, || supervisor_lives(steps.plan))
}

/// Child only: an error where nobody holds the other end of the control socket.
pub fn supervisor_lives(plan: &Plan) -> sys::Result<()> {
    if fd::hung_up(plan.control)? { Err(Errno::EPIPE) } else { Ok(()) }
}

/// Child only: what is made for the box has the modes that the plan says.
pub fn modes_as_planned(steps: Steps) -> Result<(), Failed> {
    steps.call(Step::MiddleUmask, || process::umask(0))
}

/// Child only: back to what a program may expect.
pub fn reset(steps: Steps) -> Result<(), Failed> {
    for signal in 1..=LAST_SIGNAL {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        steps.nth(Step::Signals, signal.unsigned_abs() as usize, || {
            signal::set_disposition(signal, Disposition::Default)
        })?;
    }
    steps.call(Step::Personality, process::reset_personality)?;
    steps.call(Step::Umask, || process::umask(UMASK))
}

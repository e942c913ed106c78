//! Deciding in time, and dying in time, on a machine that has other work to do.
//!
//! A limit is only as exact as the moment at which the supervisor gets a CPU to
//! look at it, and a kill takes as long as it takes the killed process to get a
//! CPU for its own end. On a busy machine each costs several slices of the others:
//! 10 to 40 ms with four times as many busy processes as CPUs. So the thread that
//! supervises, and a payload that has been killed, go ahead of the rest: with
//! real-time priority where that is allowed (`CAP_SYS_NICE`), else in smaller
//! slices, which helps a little. Neither has much to do: the one sleeps until
//! there is something to decide, the other never comes back to its own code.
//!
//! # References
//! `sched(7)`

use std::fs;

use crate::error::no_matter;
use crate::sys::Errno;
use crate::sys::sched::Attributes;

/// Why it does not matter when a thread stays where it is.
const AS_BEFORE: &str = "it gets its CPU later then";

/// The calling thread goes ahead of others for as long as this lives.
#[derive(Debug)]
pub struct Ahead {
    before: Option<Attributes>,
}

impl Ahead {
    /// From now on. What the thread starts meanwhile does not go ahead.
    #[must_use]
    pub fn of_others() -> Self {
        let before = Attributes::of(0).ok().filter(|b| !b.is_real_time());
        if let Some(before) = before {
            let made = Attributes::real_time().give(0).or_else(|_| before.in_small_pieces().give(0));
            no_matter(made, AS_BEFORE);
        }
        Self { before }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let back = before.give(0).or_else(|_| before.reset_on_fork().give(0));
            no_matter(back, "whoever may take a priority may give it back");
        }
    }
}

/// The calling thread, which waits for work that is not urgent, takes no CPU from whoever wakes it.
#[derive(Debug)]
pub struct Behind {
    before: Option<Attributes>,
}

impl Behind {
    /// From now on. What the thread starts meanwhile stays behind as well.
    #[must_use]
    pub fn of_others() -> Self {
        let ordinary = |before: &Attributes| before.is_ordinary() && Attributes::patient().give(0).is_ok();
        Self { before: Attributes::of(0).ok().filter(ordinary) }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            no_matter(before.give(0), "whoever may wait may stop waiting");
        }
    }
}

/// Pid 1 of a box has a last thing to do when the payload is executed: it does not take the CPU from that.
pub fn no_hurry(init: i32) {
    no_matter(Attributes::patient().give(init), "the payload begins a little later then");
}

/// Lets a process that has been killed, and is not yet waited for, come to its end.
///
/// Only after the kill: from then on none of its threads runs a line of its own
/// code. Its pid cannot be another's before it is waited for. A thread's number
/// could be, in theory: once all other numbers have been used since the line before.
pub fn hurry(killed: i32) {
    let Ok(threads) = fs::read_dir(format!("/proc/{killed}/task")) else { return };
    hurry_threads(threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse().ok()));
}

/// The same for threads that are known, as that of pid 1 of a box is.
pub fn hurry_threads(tids: impl IntoIterator<Item = i32>) {
    let mut allowed = true;
    for tid in tids {
        if allowed && Attributes::real_time().give(tid) != Err(Errno::EPERM) {
            continue;
        }
        allowed = false;
        no_matter(Attributes::of(tid).and_then(|a| a.in_small_pieces().give(tid)), AS_BEFORE);
    }
}

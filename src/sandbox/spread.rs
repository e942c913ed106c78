//! On which CPUs a launch begins its processes.
//!
//! Supervisor, M and pid 1 each have about half a millisecond of work at the same
//! time. A kernel that expects whoever makes or wakes a process to sleep soon puts
//! it on that one's CPU, or packs what is new onto few CPUs: then one of them does
//! all the work, and the others are idle. So the supervisor sends M to another CPU
//! before it wakes it, and M its first child. M may go anywhere again as soon as it
//! runs, and says the same of pid 1 when the root is built: pid 1 itself could say so
//! before it is sent away. Whatever else a box runs never has other CPUs than the
//! caller.
//!
//! Only where somebody waits for the box. What makes boxes ahead does better with
//! one CPU for each.
//!
//! # References
//! `sched_setaffinity(2)`

use crate::error::no_matter;
use crate::sys::sched::Cpus;

/// Why it does not matter when a process stays where it is.
const LATER: &str = "it begins later then";

/// The CPUs of the calling thread, where there is a choice.
#[must_use]
pub fn choice() -> Option<Cpus> {
    Cpus::of_caller().ok().filter(|cpus| cpus.count() > 1)
}

/// Child too: a process that does not run yet begins on another CPU than the
/// caller's, and stays away from that one until it may go anywhere.
pub fn elsewhere(cpus: Option<Cpus>, pid: i32) {
    let others = cpus.and_then(|cpus| cpus.but_this().ok());
    if let Some(others) = others.filter(|others| others.count() > 0) {
        no_matter(others.give(pid), LATER);
    }
}

/// Child only: a process that may have been sent elsewhere may go anywhere; 0 is
/// the caller.
pub fn anywhere(cpus: Option<Cpus>, pid: i32) {
    if let Some(cpus) = cpus {
        no_matter(cpus.give(pid), "only CPUs that have gone away can refuse it");
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn elsewhere_is_any_cpu_but_the_callers_until_it_may_go_anywhere() {
        let Some(cpus) = choice() else { return };
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let of_child = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let allowed = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed:")).unwrap().to_owned();
            allowed.chars().filter_map(|c| c.to_digit(16)).map(u32::count_ones).sum::<u32>()
        };
        let before = of_child();
        elsewhere(Some(cpus), pid);
        let sent = of_child();
        anywhere(Some(cpus), pid);
        let moved = of_child();
        no_matter(child.kill(), "it is reaped below");
        child.wait().unwrap();
        assert_eq!((before, sent, moved), (cpus.count(), cpus.count() - 1, cpus.count()));
    }

    #[test]
    fn a_thread_that_was_sent_elsewhere_may_go_anywhere_again() {
        let Some(cpus) = choice() else { return };
        std::thread::spawn(move || {
            elsewhere(Some(cpus), 0);
            assert_eq!(Cpus::of_caller().unwrap().count(), cpus.count() - 1);
            anywhere(Some(cpus), 0);
            assert_eq!(Cpus::of_caller(), Ok(cpus));
        })
        .join()
        .unwrap();
    }
}

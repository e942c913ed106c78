//! How a payload ends, and what should end with it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::outcome::Saw;
use super::super::pace;
use super::super::table::Attack;
use super::binds::bind_of;
use super::{Caller, Ran, Setup};

type Seen = Result<Saw, String>;

/// Within this, a heart that beats beats several times.
const BEATS: Duration = Duration::from_millis(150);

fn beat(dir: &Path) -> Option<u64> {
    fs::read_to_string(dir.join("heartbeat")).ok()?.trim().parse().ok()
}

/// Whether what beats in this directory still does.
pub fn still_beats(dir: &Path) -> bool {
    let before = beat(dir);
    std::thread::sleep(pace::stretched(BEATS));
    before != beat(dir)
}

/// Runs the attack's probe, whose processes beat; they must have stopped.
fn beating(caller: &Caller, attack: &Attack) -> Seen {
    let dir = caller.fresh("hearts")?;
    let setup = Setup::default().wall(Duration::from_secs(5)).bind(bind_of(&dir, "/data", true));
    let ran = caller.run_one(attack.id, &setup);
    let mut saw = ran.saw(attack.id)?;
    if still_beats(&dir) {
        saw.leak("a process of the box outlives it");
    }
    let forked = saw.answers.iter().any(|a| a.what == "daemon" && a.answer == "ok");
    if forked && beat(&dir).is_none() {
        return Err("no heart was ever seen to beat".to_owned());
    }
    saw.note("hearts", "stopped");
    if let Some(report) = &ran.report
        && !report.cleanup.ok
    {
        saw.leak(format!("left behind: {}", report.cleanup.left.join(", ")));
    }
    Ok(saw)
}

/// PS-06.
pub fn daemon(caller: &Caller, attack: &Attack) -> Seen {
    beating(caller, attack)
}

/// PS-08.
pub fn orphans(caller: &Caller, attack: &Attack) -> Seen {
    beating(caller, attack)
}

/// PS-07: the payload's own status is 42, its sibling's 0.
pub fn sibling(caller: &Caller, attack: &Attack) -> Seen {
    let ran = caller.run_one(attack.id, &Setup::default());
    let mut saw = ran.saw(attack.id)?;
    let code = ran.report.as_ref().and_then(|r| r.exit_code);
    if code != Some(42) {
        saw.leak(format!("the status is {code:?}, not the payload's own 42"));
    }
    Ok(saw)
}

/// Most often enough to start in.
const ENOUGH: Duration = Duration::from_millis(200);

/// A payload that never ends by itself.
fn endless(caller: &Caller, order: &str) -> Seen {
    let started = |ran: &Ran| ran.stdout.windows(7).any(|w| w == b"W ready");
    let run = |wall: Duration| caller.run_one(order, &Setup::default().wall(wall));
    let mut ran = run(ENOUGH);
    if !started(&ran) {
        // The machine is busy.
        ran = run(10 * ENOUGH);
    }
    if !started(&ran) {
        return Err(format!("the probe did not start: {}: {}", ran.verdict(), ran.reason()));
    }
    let mut saw = Saw::new();
    saw.note(order.split_once('=').map_or(order, |(_, variant)| variant), ran.verdict());
    if ran.complete {
        saw.leak("it ended by itself, as if nothing had been");
    }
    Ok(saw)
}

/// PS-10.
pub fn stopped(caller: &Caller, attack: &Attack) -> Seen {
    endless(caller, &format!("{}=stop", attack.id))
}

/// PS-14.
pub fn vfork(caller: &Caller, attack: &Attack) -> Seen {
    endless(caller, &format!("{}=vfork", attack.id))
}

/// Several ways to wait for ever.
pub fn all_ways(caller: &Caller, attack: &Attack) -> Seen {
    let mut saw = Saw::new();
    for way in ["sleep", "pause", "futex", "read", "poll"] {
        saw.join(endless(caller, &format!("{}={way}", attack.id))?);
    }
    Ok(saw)
}

/// PS-12: codes and signals that somebody might take for the launcher's.
pub fn codes(caller: &Caller, attack: &Attack) -> Seen {
    let mut saw = Saw::new();
    let mut compared = 0;
    for code in [1u8, 2, 42, 124, 125, 126, 127, 128, 130, 137, 139, 143, 159, 254, 255] {
        let ran = caller.run_one(&format!("{}=exit-{code}", attack.id), &Setup::default());
        let report = ran.report.as_ref().ok_or_else(|| ran.reason())?;
        compared += 1;
        if report.exit_code != Some(code) || ran.verdict() != "nonzero_exit" {
            saw.leak(format!("exit {code} is reported as {}: {}", ran.verdict(), ran.reason()));
        }
    }
    for signal in [1, 2, 3, 4, 6, 7, 8, 9, 11, 13, 14, 15, 34, 64] {
        let ran = caller.run_one(&format!("{}=signal-{signal}", attack.id), &Setup::default());
        let report = ran.report.as_ref().ok_or_else(|| ran.reason())?;
        // A policy without kill(2): nothing was sent.
        if report.exit_code == Some(0) {
            continue;
        }
        compared += 1;
        let wanted = crate::report::verdict::signal_name(signal);
        if report.signal.as_deref() != Some(wanted.as_str()) || ran.verdict() != "signaled" {
            saw.leak(format!("{wanted} is reported as {}: {}", ran.verdict(), ran.reason()));
        }
    }
    saw.note(format!("{compared} ends"), "as itself");
    Ok(saw)
}

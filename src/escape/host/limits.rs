//! Attacks on what a box may use: each ends with a verdict, and in time.

use std::fs;
use std::time::{Duration, Instant};

use super::super::outcome::{Place, Saw};
use super::super::pace;
use super::super::probe::files;
use super::super::table::Attack;
use super::{Caller, Ran, Setup, ends};
use crate::policy::model::OnOutput;
use crate::sys::probe;
use crate::sys::probe::Room;

type Seen = Result<Saw, String>;

/// Memory of boxes that are to run out of it.
const LITTLE: u64 = 48 << 20;

/// How much this process may grow while a payload floods it.
const GROWTH: u64 = 32 << 20;

/// What the probe saw, or, where it did not live to say so, the verdict.
fn saw_or_verdict(ran: &Ran, order: &str, what: &str) -> Seen {
    if let Some(saw) = ran.saws.get(order) {
        return Ok(saw.clone());
    }
    if ran.report.is_none() || ran.was_refused() {
        return Err(ran.reason());
    }
    let mut saw = Saw::new();
    saw.note(what, ran.verdict());
    Ok(saw)
}

/// DS-01: forks and threads.
pub fn processes(caller: &Caller, attack: &Attack) -> Seen {
    let mut saw = Saw::new();
    for variant in ["forks", "threads"] {
        let order = format!("{}={variant}", attack.id);
        let ran = caller.run_one(&order, &Setup::default().wall(Duration::from_secs(5)));
        saw.join(saw_or_verdict(&ran, &order, variant)?);
    }
    Ok(saw)
}

/// DS-02: nine kinds of memory.
pub fn memory(caller: &Caller, attack: &Attack) -> Seen {
    let control = caller.control(&format!("{}=private", attack.id), Place::Outside)?;
    if control.effect.is_none() {
        return Err(format!("beside the box there is no more either: {}", control.text()));
    }
    let mut saw = Saw::new();
    for variant in ["private", "shared", "stack", "tables", "file", "scratch", "pipes", "sockets", "children"]
    {
        let order = format!("{}={variant}", attack.id);
        let ran = caller.run_one(&order, &Setup::default().memory(LITTLE).wall(Duration::from_secs(6)));
        let mut seen = saw_or_verdict(&ran, &order, variant)?;
        // The payload may have lived to tell, while another process of the box was killed for it.
        if ran.verdict() == "memory_limit" {
            seen = Saw::new();
            seen.note(variant, "memory_limit");
        }
        saw.join(seen);
    }
    Ok(saw)
}

/// CG-06: a helper is killed for memory, the payload ends with 0.
pub fn child_bursts(caller: &Caller, attack: &Attack) -> Seen {
    let ran = caller.run_one(attack.id, &Setup::default().memory(LITTLE).wall(Duration::from_secs(6)));
    let mut saw = Saw::new();
    saw.note("the verdict", ran.verdict());
    if ran.verdict() == "ok" {
        let killed = ran.report.as_ref().and_then(|r| r.usage.as_ref()).map_or(0, |u| u.oom_kills);
        if killed > 0 {
            saw.leak("ok, although a process was killed for memory");
        } else {
            return Err("no second process, or memory enough".to_owned());
        }
    }
    Ok(saw)
}

/// CG-08: a grandchild burns, the payload sleeps.
pub fn unwaited_time(caller: &Caller, attack: &Attack) -> Seen {
    let setup = Setup::default().cpu(Duration::from_millis(200)).wall(Duration::from_secs(4));
    let ran = caller.run_one(attack.id, &setup);
    if ran.was_refused() {
        return Err(ran.reason());
    }
    let mut saw = Saw::new();
    saw.note("the verdict", ran.verdict());
    if ran.complete || ran.verdict() == "wall_limit" {
        saw.leak(format!("processor time was not counted: {}", ran.verdict()));
    }
    Ok(saw)
}

/// CG-09: the same program, first and second.
pub fn page_cache(caller: &Caller, attack: &Attack) -> Seen {
    let mut peaks = Vec::new();
    let mut saw = Saw::new();
    for _ in 0..3 {
        let ran = caller.run_one(attack.id, &Setup::default());
        let usage = ran.report.as_ref().and_then(|r| r.usage.as_ref()).ok_or_else(|| ran.reason())?;
        peaks.extend(usage.memory_peak_bytes);
        saw.note("the verdict", ran.verdict());
    }
    let (Some(least), Some(most)) = (peaks.iter().min(), peaks.iter().max()) else {
        return Err("no peak was measured".to_owned());
    };
    if *most > least * 2 + (8 << 20) {
        saw.leak(format!("the peak is {least} bytes once and {most} another time"));
    }
    saw.note("the peaks", "like each other");
    Ok(saw)
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// DS-07: floods on each stream and on both, in large and small pieces.
pub fn output(caller: &Caller, attack: &Attack) -> Seen {
    let mut saw = Saw::new();
    let before = resident();
    for variant in ["out", "error", "both", "bytes"] {
        let mut setup = Setup::default().wall(Duration::from_secs(8));
        setup.limits.output = Some(1 << 20);
        setup.limits.on_output = Some(OnOutput::Kill);
        let ran = caller.run_one(&format!("{}={variant}", attack.id), &setup);
        let usage = ran.report.as_ref().and_then(|r| r.usage.as_ref()).ok_or_else(|| ran.reason())?;
        if usage.stdout_bytes.max(usage.stderr_bytes) == 0 {
            return Err("nothing was written".to_owned());
        }
        saw.note(variant, ran.verdict());
        let most = 1u64 << 20;
        if ran.stdout.len() as u64 > most || ran.stderr.len() as u64 > most {
            saw.leak(format!("{variant}: more than the limit was handed on"));
        }
    }
    if resident().saturating_sub(before) > GROWTH {
        saw.leak("the supervisor grew with the output");
    }
    saw.note("the supervisor's memory", "bounded");
    Ok(saw)
}

/// DS-08: the payload ends, its child keeps the stream.
pub fn held_stream(caller: &Caller, attack: &Attack) -> Seen {
    let begin = Instant::now();
    let ran = caller.run_one(attack.id, &Setup::default().wall(Duration::from_secs(8)));
    let mut saw = ran.saw(attack.id)?;
    if begin.elapsed() > pace::stretched(Duration::from_secs(4)) {
        saw.leak("the run waited for a stream that an orphan held open");
    }
    saw.note("the end", "in time");
    Ok(saw)
}

/// DS-09.
pub fn sleeps(caller: &Caller, attack: &Attack) -> Seen {
    ends::all_ways(caller, attack)
}

/// A payload that keeps the kernel busy in the way of the variant.
fn busy(caller: &Caller, attack: &Attack, variant: &str) -> Seen {
    let order = format!("{}={variant}", attack.id);
    let run = |times: u32| {
        let (cpu, wall) = (Duration::from_millis(400), Duration::from_secs(4));
        caller.run_one(&order, &Setup::default().cpu(cpu * times).wall(wall * times).memory(LITTLE * 2))
    };
    let started = |ran: &Ran| ran.stdout.windows(7).any(|w| w == b"W ready");
    let mut ran = run(1);
    if !started(&ran) {
        // The machine is busy.
        ran = run(3);
    }
    if !started(&ran) {
        return Err(format!("the probe did not start: {}", ran.reason()));
    }
    let mut saw = saw_or_verdict(&ran, &order, variant)?;
    if ran.verdict() == "sandbox_failure" {
        saw.leak(ran.reason());
    }
    Ok(saw)
}

/// DS-17.
pub fn names(caller: &Caller, attack: &Attack) -> Seen {
    busy(caller, attack, "names")
}

/// DS-18.
pub fn mappings(caller: &Caller, attack: &Attack) -> Seen {
    busy(caller, attack, "mappings")
}

/// DS-21.
pub fn locks(caller: &Caller, attack: &Attack) -> Seen {
    busy(caller, attack, "locks")
}

/// DS-23.
pub fn barriers(caller: &Caller, attack: &Attack) -> Seen {
    busy(caller, attack, "barriers")
}

/// DS-20.
pub fn zombies(caller: &Caller, attack: &Attack) -> Seen {
    let begin = Instant::now();
    let ran = caller.run_one(attack.id, &Setup::default().wall(Duration::from_secs(8)));
    let mut saw = saw_or_verdict(&ran, attack.id, "the verdict")?;
    if begin.elapsed() > pace::stretched(Duration::from_secs(6)) {
        saw.leak("the verdict came late");
    }
    saw.note("the verdict", "in time");
    Ok(saw)
}

/// Lines of the kernel's log.
fn log_lines() -> Result<Vec<String>, String> {
    const READ_ALL: i32 = 3;
    let room = Room::default();
    let read = probe::call(libc::SYS_syslog, &[READ_ALL.into(), (&room).into(), probe::ROOM.into()]);
    let length = read.map_err(|e| format!("the kernel's log: {}", crate::error::errno_text(e as i32)))?;
    let bytes = room.bytes();
    let text = String::from_utf8_lossy(&bytes[..usize::try_from(length).unwrap_or(0)]).into_owned();
    Ok(text.lines().map(str::to_owned).collect())
}

/// DS-22: thousands of refusals, and what the host writes down of them.
pub fn log(caller: &Caller, attack: &Attack) -> Seen {
    let before = log_lines()?;
    let ran = caller.run_one(attack.id, &Setup::default());
    let after = log_lines()?;
    let last = before.last().cloned().unwrap_or_default();
    let new = after.iter().rev().take_while(|line| **line != last).count();
    let mut saw = ran.saw(attack.id)?;
    // Other boxes and the host itself may have something to say at the same time.
    const FEW: usize = 100;
    if new > FEW {
        saw.leak(format!("{new} new lines in the kernel's log"));
    }
    saw.note("the kernel's log", "few lines");
    Ok(saw)
}

/// DS-24: as many files as there may be, and how long their end takes.
pub fn teardown(caller: &Caller, attack: &Attack) -> Seen {
    let ran = caller.run_one(attack.id, &Setup::default());
    let report = ran.report.as_ref().ok_or_else(|| ran.reason())?;
    let mut saw = ran.saw(attack.id)?;
    if report.teardown_ns > pace::stretched_ns(1_000_000_000) {
        saw.leak(format!("taking the box away took {} ms", report.teardown_ns / 1_000_000));
    }
    saw.note("taking the box away", "in time");
    Ok(saw)
}

/// A program that ends with 42, for runs of the launcher itself.
pub fn forty_two(caller: &Caller) -> Result<std::path::PathBuf, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = caller.dir.join("forty-two");
    if !path.exists() {
        fs::write(&path, files::EXITS_WITH_42).map_err(|e| crate::error::io_text(&e))?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, mode).map_err(|e| crate::error::io_text(&e))?;
    }
    Ok(path)
}

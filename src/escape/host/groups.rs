//! The box's cgroup, looked at from the host.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::outcome::Saw;
use super::super::table::Attack;
use super::{Caller, Ran, Setup};
use crate::error::{io_text, no_matter};

type Seen = Result<Saw, String>;

/// Names of leaves begin so.
const LEAF: &str = "stockade-";

/// Processes that are in another pid namespace than this one, and descend from it.
pub fn box_processes() -> Vec<i32> {
    let namespace = |pid: &str| fs::metadata(format!("/proc/{pid}/ns/pid")).map(|m| m.ino()).ok();
    let own = namespace("self");
    let mut found = Vec::new();
    let mut stack: Vec<String> = vec![std::process::id().to_string()];
    while let Some(pid) = stack.pop() {
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            for child in list.split_whitespace() {
                stack.push(child.to_owned());
                if namespace(child) != own
                    && let Ok(number) = child.parse()
                {
                    found.push(number);
                }
            }
        }
    }
    found
}

/// Whether a process is pid 1 of its namespace.
pub fn is_init(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|l| l.strip_prefix("NSpid:"))
        .is_some_and(|l| l.split_whitespace().last() == Some("1"))
}

fn cgroup_of(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

/// Paths of a box's cgroup as its report has them, such as `memory:/a/b`.
fn paths(ran: &Ran) -> Vec<String> {
    let report = ran.report.as_ref();
    let paths = report.and_then(|r| r.layers.get("cgroup")).and_then(|l| l.kernel.get("paths"));
    let list = paths.and_then(|p| p.as_array()).cloned().unwrap_or_default();
    list.iter().filter_map(|p| p.as_str()).map(str::to_owned).collect()
}

/// NS-11: what the host sees of the path, and what the box does.
pub fn path(caller: &Caller, attack: &Attack) -> Seen {
    let ran = caller.run_one(attack.id, &Setup::default());
    if !paths(&ran).iter().any(|p| p.contains(LEAF)) {
        return Err(format!("the box has no cgroup here: {}", ran.reason()));
    }
    ran.saw(attack.id)
}

/// A box with a probe that waits, and its processes but for pid 1.
fn waiting(caller: &Caller, attack: &Attack) -> Result<(super::Live, Vec<i32>), String> {
    let mut live = caller.start(attack.id, &Setup::default())?;
    if !live.ready(Duration::from_secs(10)) {
        let ran = live.kill();
        return Err(format!("the probe did not get ready: {}: {}", ran.verdict(), ran.reason()));
    }
    let processes: Vec<i32> = box_processes().into_iter().filter(|pid| !is_init(*pid)).collect();
    Ok((live, processes))
}

/// CG-02: every process of the box, its children too, is in its leaf.
pub fn from_the_start(caller: &Caller, attack: &Attack) -> Seen {
    let (live, processes) = waiting(caller, attack)?;
    let places: Vec<String> = processes.iter().map(|pid| cgroup_of(*pid)).collect();
    let ran = live.finish();
    let mut saw = ran.saw(attack.id)?;
    let expected = paths(&ran);
    if expected.is_empty() {
        return Err(format!("the box has no cgroup here: {}", ran.reason()));
    }
    if places.is_empty() {
        return Err("no process of the box was seen".to_owned());
    }
    for (pid, place) in processes.iter().zip(&places) {
        let missing = expected.iter().find(|path| !place.lines().any(|line| line.ends_with(path.as_str())));
        if let Some(path) = missing {
            saw.leak(format!("process {pid} of the box is not in {path}"));
        }
    }
    saw.note(format!("{} processes of the box", places.len()), "all in it");
    Ok(saw)
}

/// Directories on this host that a leaf's path may stand for.
fn directories(path: &str) -> Vec<PathBuf> {
    let Some((controllers, below)) = path.split_once(':') else { return Vec::new() };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let wanted: Vec<&str> = controllers.split(',').filter(|c| !c.is_empty()).collect();
    mounts
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            let kind = right.next()?;
            let options = right.nth(1)?;
            let at = left.split(' ').nth(4)?;
            let fits = match wanted.as_slice() {
                [] => kind == "cgroup2",
                all => kind == "cgroup" && all.iter().all(|c| options.split(',').any(|o| o == *c)),
            };
            fits.then(|| Path::new(at).join(below.trim_start_matches('/')))
        })
        .filter(|dir| dir.parent().is_some_and(Path::exists))
        .collect()
}

/// CG-05: what the leaf says about swap.
pub fn swap(caller: &Caller, attack: &Attack) -> Seen {
    let (live, processes) = waiting(caller, attack)?;
    let lines: Vec<String> =
        processes.first().map(|pid| cgroup_of(*pid)).unwrap_or_default().lines().map(str::to_owned).collect();
    let mut limited = None;
    let mut known = false;
    for line in lines {
        let Some((_, path)) = line.split_once(':') else { continue };
        for dir in directories(path) {
            let read = |file: &str| fs::read_to_string(dir.join(file)).ok().map(|t| t.trim().to_owned());
            let memory = read("memory.limit_in_bytes").or_else(|| read("memory.max"));
            let Some(memory) = memory else { continue };
            known |= memory.parse::<u64>().is_ok_and(|m| m <= caller.policy.limits.memory);
            let with_swap = read("memory.memsw.limit_in_bytes").and_then(|m| m.parse::<u64>().ok());
            limited = Some(match with_swap {
                Some(both) => both <= caller.policy.limits.memory,
                None => read("memory.swappiness").or_else(|| read("memory.swap.max")).as_deref() == Some("0"),
            });
        }
    }
    let ran = live.finish();
    let mut saw = ran.saw(attack.id)?;
    match (known, limited) {
        (true, Some(true)) => saw.note("swap", "limited"),
        (true, _) => saw.leak("swap is not limited"),
        (false, _) => return Err("the box's memory limit was not found on this host".to_owned()),
    }
    Ok(saw)
}

/// CG-04: the next leaf's directory is there already.
pub fn name_taken(caller: &Caller, attack: &Attack) -> Seen {
    let first = caller.run_one(attack.id, &Setup::default());
    let names = paths(&first);
    let next: Vec<PathBuf> = names
        .iter()
        .filter_map(|path| {
            let (front, number) = path.rsplit_once('-')?;
            Some(format!("{front}-{}", number.parse::<u64>().ok()? + 1))
        })
        .flat_map(|path| directories(&path))
        .collect();
    if next.is_empty() {
        return Err(format!("the box has no cgroup here: {}", first.reason()));
    }
    let made: Vec<&PathBuf> = next.iter().filter(|dir| fs::create_dir(dir).is_ok()).collect();
    // Held as a box's own are, or a supervisor in another pid namespace sweeps them away.
    let held: Vec<fs::File> = made.iter().filter_map(|dir| fs::File::open(dir).ok()).collect();
    for dir in &held {
        no_matter(dir.try_lock(), "then somebody may sweep it away, which is told below");
    }
    let second = caller.run_one(attack.id, &Setup::default());
    for dir in &made {
        fs::remove_dir(dir).map_err(|e| format!("the directory that was made: {}", io_text(&e)))?;
    }
    drop(held);
    if made.is_empty() {
        return Err("the next cgroup's directory could not be made".to_owned());
    }
    let third = caller.run_one(attack.id, &Setup::default());
    if third.was_refused() {
        return Err(format!("without it no box runs either: {}", third.reason()));
    }
    let mut saw = Saw::new();
    saw.note("the next box", second.verdict());
    if !second.was_refused() && !second.reason().contains("mkdir") {
        saw.leak("a box runs in a cgroup that somebody else has made");
    }
    Ok(saw)
}

/// Leaves of this process that are there now.
fn leaves(ran: &Ran) -> Vec<PathBuf> {
    let prefix = format!("{LEAF}{}-", std::process::id());
    let parents = paths(ran).into_iter().filter_map(|path| {
        let (front, _) = path.rsplit_once('/')?;
        Some(if front.ends_with(':') { format!("{front}/") } else { front.to_owned() })
    });
    parents
        .flat_map(|path| directories(&path))
        .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix)))
        .collect()
}

/// CG-10: many boxes that leave pages in the cache, and what is left of them.
pub fn leftovers(caller: &Caller, attack: &Attack) -> Seen {
    let first = caller.run_one(attack.id, &Setup::default());
    if paths(&first).is_empty() {
        return Err(format!("the box has no cgroup here: {}", first.reason()));
    }
    let mut live = caller.start("CG-02", &Setup::default())?;
    live.ready(Duration::from_secs(10));
    let during = leaves(&first).len();
    drop(live.finish());
    if during == 0 {
        return Err("the cgroup of a box that runs was not found".to_owned());
    }
    for _ in 0..12 {
        caller.run_one(attack.id, &Setup::default());
    }
    let mut saw = Saw::new();
    // Those of this very process: others may be running boxes of theirs.
    let own = crate::sandbox::cgroup::name_of_own("");
    let is_own =
        |leaf: &PathBuf| leaf.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own));
    let left: Vec<PathBuf> = leaves(&first).into_iter().filter(is_own).collect();
    saw.note("cgroups of boxes that have ended", if left.is_empty() { "none" } else { "some" });
    if let Some(one) = left.first() {
        saw.leak(format!("{} is left", one.display()));
    }
    Ok(saw)
}

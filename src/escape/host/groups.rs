//! The box's cgroup, looked at from the host.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::outcome::Saw;
use super::super::table::Attack;
use super::{Caller, Ran, Setup};
use crate::error::{io_text, no_matter};
use crate::sandbox::procfs;

type Seen = Result<Saw, String>;

/// Names of leaves begin so.
const LEAF: &str = "stockade-";

/// A process of a box, of whichever: some may wait for their jobs.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// As this process sees it.
    pub pid: i32,
    /// Its pid namespace, where that may be looked at.
    namespace: Option<u64>,
}

impl Member {
    /// Whether it is pid 1 of its namespace.
    pub fn is_init(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status
            .lines()
            .find_map(|l| l.strip_prefix("NSpid:"))
            .is_some_and(|l| l.split_whitespace().last() == Some("1"))
    }

    /// Whether it was one of the box that ran, which says in its report who it is.
    pub fn is_of(&self, ran: &Ran) -> bool {
        self.namespace.is_some() && self.namespace == pid_namespace(ran)
    }

    /// Whether it may have been one of it: it is not known to be another's.
    pub fn may_be_of(&self, ran: &Ran) -> bool {
        self.namespace.is_none() || self.is_of(ran)
    }
}

fn pid_namespace(ran: &Ran) -> Option<u64> {
    ran.report.as_ref()?.layers.get("pid_ns")?.kernel.get("inode")?.as_u64()
}

/// Processes that are in another pid namespace than this one, and descend from it.
pub fn box_processes() -> Vec<Member> {
    let namespace = |pid: u32| fs::metadata(format!("/proc/{pid}/ns/pid")).map(|m| m.ino()).ok();
    let own = namespace(std::process::id());
    let mut found = Vec::new();
    let mut stack = vec![std::process::id()];
    while let Some(parent) = stack.pop() {
        for pid in procfs::children(parent).into_iter().flatten() {
            stack.push(pid.unsigned_abs());
            let namespace = namespace(pid.unsigned_abs());
            if namespace != own {
                found.push(Member { pid, namespace });
            }
        }
    }
    found
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
fn waiting(caller: &Caller, attack: &Attack) -> Result<(super::Live, Vec<Member>), String> {
    let mut live = caller.start(attack.id, &Setup::default())?;
    if !live.ready(Duration::from_secs(10)) {
        let ran = live.kill();
        return Err(format!("the probe did not get ready: {}: {}", ran.verdict(), ran.reason()));
    }
    let processes: Vec<Member> = box_processes().into_iter().filter(|one| !one.is_init()).collect();
    Ok((live, processes))
}

/// CG-02: every process of the box, its children too, is in its leaf.
pub fn from_the_start(caller: &Caller, attack: &Attack) -> Seen {
    let (live, processes) = waiting(caller, attack)?;
    let places: Vec<(Member, String)> = processes.iter().map(|one| (*one, cgroup_of(one.pid))).collect();
    let ran = live.finish();
    let places: Vec<&(Member, String)> = places.iter().filter(|(one, _)| one.is_of(&ran)).collect();
    let mut saw = ran.saw(attack.id)?;
    let expected = paths(&ran);
    if expected.is_empty() {
        return Err(format!("the box has no cgroup here: {}", ran.reason()));
    }
    if places.is_empty() {
        return Err("no process of the box was seen".to_owned());
    }
    for (Member { pid, .. }, place) in &places {
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

/// Whether the memory limit of a process's cgroup is the box's, and whether it is one of swap, too.
fn limit_of_swap(caller: &Caller, pid: i32) -> (bool, Option<bool>) {
    let (mut known, mut limited) = (false, None);
    for line in cgroup_of(pid).lines() {
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
    (known, limited)
}

/// CG-05: what the leaf says about swap.
pub fn swap(caller: &Caller, attack: &Attack) -> Seen {
    let (live, processes) = waiting(caller, attack)?;
    let limits: Vec<_> = processes.iter().map(|one| (*one, limit_of_swap(caller, one.pid))).collect();
    let ran = live.finish();
    let mut saw = ran.saw(attack.id)?;
    let of_the_box = limits.into_iter().find(|(one, _)| one.is_of(&ran)).map(|(_, limits)| limits);
    match of_the_box {
        Some((true, Some(true))) => saw.note("swap", "limited"),
        Some((true, _)) => saw.leak("swap is not limited"),
        _ => return Err("the box's memory limit was not found on this host".to_owned()),
    }
    Ok(saw)
}

/// CG-04: the next leaf's directory is there already.
pub fn name_taken(caller: &Caller, attack: &Attack) -> Seen {
    if caller.pool.is_some() {
        return names_taken_ahead(caller, attack);
    }
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

/// A leaf's path without its number, and the number.
fn numbered(path: &str) -> Option<(&str, u64)> {
    let (front, number) = path.rsplit_once('-')?;
    Some((front, number.parse().ok()?))
}

/// Jobs after which boxes must have passed the names that were taken: a pool leaves a kind to itself
/// for a while when one of its boxes cannot be made.
const JOBS: usize = 40;

/// The same where boxes are made ahead: it is not the next job that meets the name, but the next box.
fn names_taken_ahead(caller: &Caller, attack: &Attack) -> Seen {
    let first = caller.run_one(attack.id, &Setup::default());
    let ahead = leaves(&first);
    let last = ahead.iter().filter_map(|dir| Some(numbered(dir.to_str()?)?.1)).max();
    let Some(last) = last else {
        return Err(format!("no cgroup of a box that waits was found: {}", first.reason()));
    };
    let (mut taken, mut dirs) = (Vec::new(), Vec::new());
    for number in last + 1..=last + 3 {
        let beside = paths(&first).into_iter().filter_map(|path| {
            let (front, _) = numbered(&path)?;
            Some(format!("{front}-{number}"))
        });
        for path in beside {
            dirs.extend(directories(&path).into_iter().filter(|dir| fs::create_dir(dir).is_ok()));
            taken.push(path);
        }
    }
    let held: Vec<fs::File> = dirs.iter().filter_map(|dir| fs::File::open(dir).ok()).collect();
    for dir in &held {
        no_matter(dir.try_lock(), "then somebody may sweep it away, which is told below");
    }
    let mut saw = Saw::new();
    let mut passed = false;
    for _ in 0..JOBS {
        let ran = caller.run_one(attack.id, &Setup::default());
        let used = paths(&ran);
        if used.iter().any(|path| taken.contains(path)) {
            saw.leak("a box runs in a cgroup that somebody else has made");
        }
        passed |= used.iter().filter_map(|path| numbered(path)).any(|(_, number)| number > last + 3);
        if passed {
            break;
        }
    }
    for dir in &dirs {
        fs::remove_dir(dir).map_err(|e| format!("a directory that was made: {}", io_text(&e)))?;
    }
    drop(held);
    if dirs.is_empty() {
        return Err("the next cgroups' directories could not be made".to_owned());
    }
    if !passed && saw.effect.is_none() {
        return Err("no box has come after the names that were taken".to_owned());
    }
    // What could not be made ahead is not tried again at once: the attacks that follow want it again.
    let again = |_| {
        caller.run_one(attack.id, &Setup::default());
        caller.warm_up().is_ok()
    };
    if !(0..JOBS).any(again) {
        return Err("without the names no box is made ahead either".to_owned());
    }
    saw.note("boxes made meanwhile", "other names");
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
    let mut ended = paths(&first);
    for _ in 0..12 {
        ended.extend(paths(&caller.run_one(attack.id, &Setup::default())));
    }
    let mut saw = Saw::new();
    // Those of this very process: others may be running boxes of theirs.
    let own = crate::sandbox::cgroup::name_of_own("");
    let is_own =
        |leaf: &PathBuf| leaf.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own));
    let mut left: Vec<PathBuf> = leaves(&first).into_iter().filter(is_own).collect();
    if caller.pool.is_some() {
        // The others are those of boxes that have not begun.
        let ended: Vec<PathBuf> = ended.iter().flat_map(|path| directories(path)).collect();
        left.retain(|leaf| ended.contains(leaf));
    }
    saw.note("cgroups of boxes that have ended", if left.is_empty() { "none" } else { "some" });
    if let Some(one) = left.first() {
        saw.leak(format!("{} is left", one.display()));
    }
    Ok(saw)
}

//! Controllers on hierarchies of their own: memory, pids and cpuacct.
//!
//! # References
//! The kernel's `admin-guide/cgroup-v1/memory.rst`, `pids.rst`, `cpuacct.rst`

use crate::error::no_matter;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::poll::PollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::dir::{self, Made, Mount, Own};
use super::{Counters, LeafError, LeafLimits, Unavailable};
use crate::sandbox::procfs;

/// The controllers a box needs, in the order of [`Hierarchies`].
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpuacct"];
const MEMORY: usize = 0;
const PIDS: usize = 1;
const CPUACCT: usize = 2;

/// The caller's own directory in each hierarchy.
#[derive(Debug)]
pub struct Hierarchies {
    places: [PathBuf; 3],
    /// `controllers` field and own path of each, as in `/proc/<pid>/cgroup`.
    lines: [(String, String); 3],
}

/// `Ok(None)`: the controllers are not on v1 here.
pub fn find(own: &Own, mounts: &[Mount]) -> Result<Option<Hierarchies>, Unavailable> {
    let find_one = |controller: &str| {
        let (controllers, path) = own.iter().find(|(c, _)| c.iter().any(|c| c == controller))?;
        let mount = mounts.iter().find(|m| !m.v2 && m.options.iter().any(|o| o == controller))?;
        let place = dir::place_below(mount, path)?;
        Some((place, (controllers.join(","), path.clone()), mount.read_only))
    };
    let Some(memory) = find_one(CONTROLLERS[MEMORY]) else { return Ok(None) };
    let unavailable = |reason: String| Unavailable {
        reason,
        help: "mount the memory, pids and cpuacct hierarchies, or boot with the unified hierarchy only; \
               --degrade cgroup runs without limits on the whole box"
            .to_owned(),
    };
    let missing = |c: &str| unavailable(format!("memory is on cgroup v1 here, but {c} is not mounted"));
    let pids = find_one(CONTROLLERS[PIDS]).ok_or_else(|| missing(CONTROLLERS[PIDS]))?;
    let cpuacct = find_one(CONTROLLERS[CPUACCT]).ok_or_else(|| missing(CONTROLLERS[CPUACCT]))?;
    for (place, _, read_only) in [&memory, &pids, &cpuacct] {
        if !place.exists() {
            let reason = format!(
                "the cgroup v1 directory {} does not show: something is mounted over it",
                place.display()
            );
            return Err(unavailable(reason));
        }
        let writable = nix::unistd::access(place.as_path(), nix::unistd::AccessFlags::W_OK);
        if *read_only || writable.is_err() {
            return Err(Unavailable {
                reason: format!("the cgroup v1 directory {} cannot be written", place.display()),
                help: "run as root, or have root make you directories of your own in the memory, pids and \
                       cpuacct hierarchies; --degrade cgroup runs without limits on the whole box"
                    .to_owned(),
            });
        }
    }
    Ok(Some(Hierarchies { places: [memory.0, pids.0, cpuacct.0], lines: [memory.1, pids.1, cpuacct.1] }))
}

impl Hierarchies {
    /// Where memory leaves are made.
    pub fn place(&self) -> &Path {
        &self.places[MEMORY]
    }

    /// Where leaves are made, in each hierarchy once.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        self.places.iter().map(PathBuf::as_path)
    }

    /// Makes a directory in each hierarchy and sets its limits.
    pub fn make_leaf(&self, name: &str, limits: LeafLimits) -> Result<Leaf, LeafError> {
        let memory = Made::new(&self.places[MEMORY], name, MEMORY)?;
        let bytes = limits.memory.to_string();
        let at_most = |seen: &str| {
            let page = 4096;
            seen.parse::<u64>().is_ok_and(|seen| seen <= limits.memory && seen + page > limits.memory)
        };
        memory.set("memory.limit_in_bytes", &bytes, at_most)?;
        if memory.has("memory.memsw.limit_in_bytes") {
            memory.set("memory.memsw.limit_in_bytes", &bytes, at_most)?;
        } else {
            memory.set("memory.swappiness", "0", |seen| seen == "0")?;
        }
        // Hierarchies may be mounted together: then one directory serves them all.
        let pids = self.other(name, PIDS)?;
        let processes = limits.processes.to_string();
        pids.as_ref().unwrap_or(&memory).set("pids.max", &processes, |seen| seen == processes)?;
        let cpuacct = self.other(name, CPUACCT)?;
        Leaf::open(memory, pids, cpuacct, self.leaf_lines(name))
    }

    fn other(&self, name: &str, which: usize) -> Result<Option<Made>, LeafError> {
        if self.places[..which].contains(&self.places[which]) {
            return Ok(None);
        }
        Made::new(&self.places[which], name, which).map(Some)
    }

    fn leaf_lines(&self, name: &str) -> Vec<String> {
        let lines = self.lines.iter().map(|(controllers, path)| {
            format!("{controllers}:{}/{name}", if path == "/" { "" } else { path })
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines.dedup();
        lines
    }
}

/// The three directories of one box, with their files open.
#[derive(Debug)]
pub struct Leaf {
    memory: Made,
    pids: Option<Made>,
    cpuacct: Option<Made>,
    tasks: Vec<File>,
    usage: File,
    stat: File,
    peak: File,
    oom_control: File,
    pids_peak: Option<File>,
    pids_events: File,
    pids_current: File,
    event: Option<EventFd>,
    lines: Vec<String>,
}

impl Leaf {
    fn open(
        memory: Made,
        pids: Option<Made>,
        cpuacct: Option<Made>,
        lines: Vec<String>,
    ) -> Result<Self, LeafError> {
        let pids_dir = pids.as_ref().unwrap_or(&memory);
        let cpu_dir = cpuacct.as_ref().unwrap_or(&memory);
        let dirs = [Some(&memory), pids.as_ref(), cpuacct.as_ref()];
        let tasks = dirs.into_iter().flatten().map(|d| d.open_write("tasks")).collect::<Result<_, _>>()?;
        let oom_control = memory.open("memory.oom_control")?;
        Ok(Self {
            tasks,
            usage: cpu_dir.open("cpuacct.usage")?,
            stat: cpu_dir.open("cpuacct.stat")?,
            peak: memory.open_both("memory.max_usage_in_bytes")?,
            event: register(&memory, &oom_control),
            oom_control,
            pids_peak: pids_dir.has("pids.peak").then(|| pids_dir.open("pids.peak")).transpose()?,
            pids_events: pids_dir.open("pids.events")?,
            pids_current: pids_dir.open("pids.current")?,
            lines,
            memory,
            pids,
            cpuacct,
        })
    }

    pub fn tasks(&self) -> Vec<RawFd> {
        self.tasks.iter().map(|f| f.as_raw_fd()).collect()
    }

    pub fn expected_lines(&self) -> Vec<String> {
        self.lines.clone()
    }

    pub fn baseline(&self) -> io::Result<Counters> {
        self.peak.write_at(b"0", 0)?;
        self.counters()
    }

    pub fn cpu_ns(&self) -> io::Result<u64> {
        dir::number(&self.usage)
    }

    pub fn counters(&self) -> io::Result<Counters> {
        let cpu_ns = self.cpu_ns()?;
        let (user_ns, system_ns) = split(cpu_ns, &dir::read_at_start(&self.stat)?);
        Ok(Counters {
            cpu_ns,
            user_ns,
            system_ns,
            memory_peak: dir::number(&self.peak)?,
            oom_kills: dir::keyed(&dir::read_at_start(&self.oom_control)?, "oom_kill"),
            processes_peak: self.pids_peak.as_ref().map(dir::number).transpose()?,
            forks_refused: dir::keyed(&dir::read_at_start(&self.pids_events)?, "max"),
        })
    }

    pub fn memory_event(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.event.as_ref().map(|e| (e.as_fd(), PollFlags::POLLIN))
    }

    pub fn clear_memory_event(&self) {
        if let Some(event) = &self.event {
            no_matter(event.read(), "an empty counter is as good as a cleared one");
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(dir::number(&self.pids_current), Ok(0))
    }

    pub fn processes(&self) -> io::Result<Vec<i32>> {
        procfs::pids(self.pids.as_ref().unwrap_or(&self.memory).path().join("cgroup.procs"))
    }

    pub fn remove(&mut self) -> Vec<PathBuf> {
        self.event = None;
        let all = [Some(&mut self.memory), self.pids.as_mut(), self.cpuacct.as_mut()];
        all.into_iter().flatten().filter_map(Made::remove).collect()
    }
}

/// User and system time are samples of the tick: scaled to the exact total.
fn split(total: u64, stat: &str) -> (u64, u64) {
    let (user, system) = (dir::keyed(stat, "user"), dir::keyed(stat, "system"));
    let sum = u128::from(user) + u128::from(system);
    if sum == 0 {
        return (total, 0);
    }
    let user = u64::try_from(u128::from(total) * u128::from(user) / sum).unwrap_or(total);
    (user, total - user)
}

/// An event that fires when memory runs out. Without it the end is noticed all the same, later.
fn register(memory: &Made, oom_control: &File) -> Option<EventFd> {
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).ok()?;
    let mut control = memory.open_write("cgroup.event_control").ok()?;
    let line = format!("{} {}", event.as_fd().as_raw_fd(), oom_control.as_raw_fd());
    control.write_all(line.as_bytes()).ok()?;
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_scales_samples_to_the_total() {
        assert_eq!(split(1000, "user 3\nsystem 1\n"), (750, 250));
        assert_eq!(split(1000, "user 0\nsystem 0\n"), (1000, 0));
        assert_eq!(split(0, "user 5\nsystem 5\n"), (0, 0));
    }

    #[test]
    fn find_without_v1_controllers_leaves_it_to_v2() {
        let own = dir::parse_own("0::/x\n");
        let mounts = dir::parse_mounts("30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        assert!(find(&own, &mounts).unwrap().is_none());
    }

    #[test]
    fn find_with_memory_but_no_pids_says_so() {
        let own = dir::parse_own("1:memory:/\n");
        let mounts = dir::parse_mounts("30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup c rw,memory\n");
        let unavailable = find(&own, &mounts).unwrap_err();
        assert!(unavailable.reason.contains("pids"), "{unavailable:?}");
    }
}

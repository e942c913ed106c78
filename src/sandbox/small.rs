//! Boxes that are made from a small copy of their supervisor.
//!
//! The first process of a box is a copy of its supervisor, which has the more to
//! copy the more memory it has touched: 0.3 ms where that is little, 2 ms and more
//! from 50 MiB on. So a thread that launches again keeps a [`Template`]: a copy
//! that has thrown away all but programs and libraries. A box that is made from it
//! gets the plan, byte for byte, and nothing else of the supervisor's memory.
//!
//! Whatever a box has from the process that makes it, but its memory and its
//! descriptors, it has from the template, as it was when that was made. [`Standing`]
//! is all of it that the kernel shows; a template is used only as long as nothing of
//! it has changed. (What does not show is a Landlock domain: one that a thread enters
//! between two launches does not hold for its boxes while the template lives.)
//!
//! A template ends with its thread. It is no child that `waitpid(2)` tells of, unless
//! it is asked with `__WALL`.
//!
//! # References
//! `proc_pid_maps(5)`, `proc_pid_status(5)`

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::cgroup;
use super::plan::Plan;
use super::procfs;
use super::strays::namespace_inode;
use crate::sys::clone::Child;
use crate::sys::sched::Attributes;
use crate::sys::template::{Pieces, Room, Template};
use crate::sys::{self, Errno, limits};

/// Resource limits that a kernel knows.
const LIMITS: usize = 16;

/// Lines of `/proc/thread-self/status` that say what a child would inherit.
const INHERITED: [&str; 12] = [
    "Uid:",
    "Gid:",
    "Groups:",
    "Cap",
    "NoNewPrivs:",
    "Seccomp:",
    "Seccomp_filters:",
    "Cpus_allowed:",
    "Mems_allowed:",
    "SigIgn:",
    "Speculation_Store_Bypass:",
    "SpeculationIndirectBranch:",
];

/// What else a child would inherit, or be in.
const FILES: [&str; 2] = ["cgroup", "oom_score_adj"];
const NAMESPACES: [&str; 8] =
    ["cgroup", "ipc", "mnt", "net", "pid_for_children", "time_for_children", "user", "uts"];
const DIRECTORIES: [&str; 2] = ["/", "."];

/// What a child of this thread has from it, beside its memory and its descriptors.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    inherited: String,
    files: [Option<String>; FILES.len()],
    namespaces: [Option<u64>; NAMESPACES.len()],
    directories: [Option<(u64, u64)>; DIRECTORIES.len()],
    limits: [Option<(u64, u64)>; LIMITS],
    scheduling: Option<Attributes>,
}

impl Standing {
    fn now() -> Self {
        let read = |name: &str| procfs::read(format!("/proc/thread-self/{name}")).ok();
        let is_inherited = |line: &&str| INHERITED.iter().any(|key| line.starts_with(key));
        let status = read("status").unwrap_or_default();
        Self {
            inherited: status.lines().filter(is_inherited).collect(),
            files: FILES.map(read),
            namespaces: NAMESPACES.map(|name| namespace_inode("thread-self", name)),
            directories: DIRECTORIES.map(|path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))),
            limits: std::array::from_fn(|i| limits::get(0, u32::try_from(i).ok()?).ok()),
            scheduling: Attributes::of(0).ok(),
        }
    }
}

/// What a thread knows of itself.
#[derive(Debug, Default)]
struct Known {
    has_launched: bool,
    /// It cannot be had here, and is not asked for again.
    is_refused: bool,
    template: Option<(Standing, Template)>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// The first process of a box, made from a small copy of this process; `None`: only a copy of this process
/// itself will do.
pub fn copy(namespaces: i32, plan: &Plan, entry: fn(&'static Plan) -> !) -> Option<sys::Result<Child>> {
    KNOWN.try_with(|known| known.try_borrow_mut().ok()?.copy(namespaces, plan, entry)).ok()?
}

impl Known {
    fn copy(
        &mut self,
        namespaces: i32,
        plan: &Plan,
        entry: fn(&'static Plan) -> !,
    ) -> Option<sys::Result<Child>> {
        let is_first = !std::mem::replace(&mut self.has_launched, true);
        // One more process in the supervisor's cgroup would stand in the way of its way back.
        if is_first || self.is_refused || cgroup::has_stepped_down() {
            return None;
        }
        let standing = Standing::now();
        self.template.take_if(|(then, template)| *then != standing || !template.is_there());
        if self.template.is_none() {
            let made = Template::new(Room::new().ok()?, &kept_now()?);
            self.is_refused = matches!(made, Err(Errno::EPERM | Errno::E2BIG));
            self.template = Some((standing, made.ok()?));
        }
        let (_, template) = self.template.as_ref()?;
        let mut pieces = Pieces::default();
        plan.pieces(&mut pieces);
        let child = template.copy(namespaces, plan, pieces, entry);
        if child.is_none() {
            self.template = None;
        }
        child
    }
}

/// What a template of this process keeps: ranges of memory in which programs and libraries are, with their
/// variables.
pub fn kept_now() -> Option<Vec<(usize, usize)>> {
    Some(kept(&procfs::read("/proc/self/maps").ok()?))
}

fn kept(maps: &str) -> Vec<(usize, usize)> {
    let lines: Vec<Line<'_>> = maps.lines().filter_map(Line::parse).collect();
    let mut code: Vec<&str> = lines.iter().filter(|line| line.executes).map(|line| line.name).collect();
    code.sort_unstable();
    let mut kept: Vec<(usize, usize)> = Vec::new();
    for line in lines.iter().filter(|line| line.is_private) {
        let is_program = line.name.starts_with('/') && code.binary_search(&line.name).is_ok();
        let is_kernels = ["[vdso]", "[vvar]", "[vvar_vclock]"].contains(&line.name);
        // Variables that are zero at first have no file, and lie right behind those that have one.
        let is_zeroes = line.name.is_empty() && kept.last().is_some_and(|(_, end)| *end == line.range.0);
        if is_program || is_kernels || is_zeroes {
            kept.push(line.range);
        }
    }
    kept
}

/// A line of `maps`.
struct Line<'a> {
    range: (usize, usize),
    executes: bool,
    is_private: bool,
    name: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (from, to) = words.next()?.split_once('-')?;
        let mode = words.next()?.as_bytes();
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(Self {
            range: (address(from)?, address(to)?),
            executes: mode.get(2) == Some(&b'x'),
            is_private: mode.get(3) == Some(&b'p'),
            name: words.nth(3).unwrap_or("").trim_start(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_their_variables_are_kept_and_nothing_else() {
        let maps = "\
1000-2000 r--p 00000000 fe:00 7 /opt/a program
2000-3000 r-xp 00001000 fe:00 7 /opt/a program
3000-4000 rw-p 00002000 fe:00 7 /opt/a program
4000-6000 rw-p 00000000 00:00 0 \n\
7000-8000 rw-p 00000000 00:00 0 [heap]
9000-a000 rw-p 00000000 00:00 0 \n\
a000-b000 r--p 00000000 fe:00 8 /var/data
b000-c000 r-xs 00000000 fe:00 9 /opt/shared
c000-d000 rwxp 00000000 00:00 0 \n\
e000-f000 r-xp 00000000 00:00 0 [vdso]
f000-10000 rw-p 00000000 00:00 0 [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
";
        let expected =
            [(0x1000, 0x2000), (0x2000, 0x3000), (0x3000, 0x4000), (0x4000, 0x6000), (0xe000, 0xf000)];
        assert_eq!(kept(maps), expected);
    }

    #[test]
    fn standing_is_told_by_what_a_child_would_inherit() {
        let same = || {
            let before = Standing::now();
            assert_eq!(before, Standing::now());
            before
        };
        std::thread::spawn(move || {
            let before = same();
            Attributes::patient().give(0).unwrap();
            assert_ne!(before, Standing::now());
            let before = same();
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
            std::env::set_current_dir("/proc").unwrap();
            assert_ne!(before, Standing::now());
            let before = same();
            super::super::capabilities::no_new_privs().unwrap();
            assert_ne!(before, Standing::now());
        })
        .join()
        .unwrap();
    }
}

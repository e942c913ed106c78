//! What of the host can be read, measured or heard.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::{Duration, Instant};

use super::{Steps, Target, c, read_some, refuse, say, step};
use crate::error::no_matter;
use crate::escape::outcome::{Place, Saw, name};
use crate::escape::pace;
use crate::sys::probe::Room;
use crate::sys::{fd, probe};

/// The most of one file that is read.
const MOST: usize = 1 << 18;

/// The most files that are read.
const MOST_FILES: usize = 20_000;

/// IL-05: every byte that can be read.
pub fn sweep(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let mut found = |what: String, bytes: &[u8]| {
        if target.finds(bytes) {
            saw.leak(format!("{what} holds a secret of the host"));
        }
    };
    for (name, value) in std::env::vars_os() {
        found(format!("variable {}", name.to_string_lossy()), value.as_encoded_bytes());
    }
    for (i, word) in std::env::args_os().enumerate() {
        found(format!("argument {i}"), word.as_encoded_bytes());
    }
    let room = Room::default();
    if probe::call(libc::SYS_uname, &[(&room).into()]).is_ok() {
        found("uname".to_owned(), &room.bytes()[..390]);
    }
    if let Ok(cwd) = std::env::current_dir() {
        found("the working directory".to_owned(), cwd.as_os_str().as_encoded_bytes());
    }
    let mut read = 0usize;
    let mut stack = vec![target.root.clone()];
    if target.place == Place::Inside {
        stack.push("/proc/self".to_owned());
    }
    let mut seen = std::collections::HashSet::new();
    while let Some(dir) = stack.pop() {
        if !seen.insert(dir.clone()) || read > MOST_FILES {
            continue;
        }
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let shown = path.display().to_string();
            found(format!("the name {shown}"), entry.file_name().as_encoded_bytes());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_symlink() {
                if let Ok(to) = std::fs::read_link(&path) {
                    found(format!("the link {shown}"), to.as_os_str().as_encoded_bytes());
                }
            } else if kind.is_dir() {
                // One's own memory and descriptors hold the order itself.
                if !shown.ends_with("/task") && !shown.ends_with("/map_files") {
                    stack.push(shown);
                }
            } else if kind.is_file() && !shown.ends_with("/mem") && !shown.ends_with("/pagemap") {
                read += 1;
                if let Ok(bytes) = read_some(&shown, MOST) {
                    found(shown, &bytes);
                }
            }
        }
    }
    saw.note("a sweep over every file", if saw.effect.is_some() { "a secret" } else { "no secret" });
    saw
}

/// IL-04: the launcher's environment, its own and what lies beside it.
pub fn read_environments(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for (name, value) in std::env::vars_os() {
        if target.finds(value.as_encoded_bytes()) {
            saw.leak(format!("variable {} holds a secret of the caller", name.to_string_lossy()));
        }
    }
    for pid in ["self", "1", "2", "3", "thread-self"] {
        super::look_for_secret(&mut saw, target, &format!("/proc/{pid}/environ"));
    }
    saw.note("variables", if saw.effect.is_some() { "a secret" } else { "no secret" });
    saw
}

/// IL-06: names of this machine.
pub fn read_names(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let room = Room::default();
    if step!(saw, "uname", SYS_uname, &room).is_some() {
        let bytes = room.bytes();
        let field = |i: usize| {
            let field = &bytes[i * 65..(i + 1) * 65];
            String::from_utf8_lossy(field.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
        };
        let (node, domain) = (field(1), field(5));
        let as_planned = node == target.facts.hostname;
        saw.note("host name", if as_planned { "as planned" } else { "another one" });
        if !as_planned {
            saw.leak(format!("the host name is {node}"));
        }
        if domain != "(none)" && !domain.is_empty() {
            saw.leak(format!("the domain name is {domain}"));
        }
    }
    saw
}

/// IL-02: which pages of a shared file are in memory.
pub fn probe_page_cache(target: &Target, _: &mut Steps<'_>) -> Saw {
    const CACHESTAT: i64 = 451;
    const RWF_NOWAIT: i32 = 8;
    let mut saw = Saw::new();
    let file = fd::openat(libc::AT_FDCWD, &c(&target.program), libc::O_RDONLY, 0);
    let Some(file) = saw.step("open", file) else { return saw };
    let (number, room) = (file.as_raw_fd(), Room::default());
    refuse!(saw, "mincore", SYS_mincore, 0x1000, 4096, &room);
    let iov = [room.address(), 16].map(u64::to_le_bytes).concat();
    refuse!(saw, "preadv2(NOWAIT)", SYS_preadv2, number, iov.as_slice(), 1, 0, 0, RWF_NOWAIT);
    let range = [0u64, 4096].map(u64::to_le_bytes).concat();
    let asked = probe::call(CACHESTAT, &[number.into(), range.as_slice().into(), (&room).into(), 0.into()]);
    saw.must_refuse("cachestat", CACHESTAT, asked);
    refuse!(saw, "fadvise64(DONTNEED)", SYS_fadvise64, number, 0, 0, 4);
    refuse!(saw, "readahead", SYS_readahead, number, 0, 4096);
    saw.answers.retain(|seen| seen.nr.is_some());
    saw
}

/// IL-03: memory shared with whoever has the same.
pub fn merge_memory(_: &Target, _: &mut Steps<'_>) -> Saw {
    super::in_child("merge", || {
        const MADV_MERGEABLE: i32 = 12;
        const PR_SET_MEMORY_MERGE: i32 = 67;
        let mut saw = Saw::new();
        // On no memory: the kernel takes it as long as the advice is known.
        refuse!(saw, "madvise(MERGEABLE)", SYS_madvise, 0x1000, 0, MADV_MERGEABLE);
        refuse!(saw, "prctl(MEMORY_MERGE)", SYS_prctl, PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
        saw
    })
}

/// What boxes have in common with each other and the host: a device, and the file of a namespace that
/// they have none of their own of.
const COMMON: [&str; 2] = ["/dev/null", "/proc/self/ns/time"];

/// IL-01: locks and notices on files that other boxes have as well. The order
/// says which side: `tell` locks and waits, `hear` looks.
pub fn talk_by_files(target: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let path = if target.inside() { "/etc/passwd".to_owned() } else { target.precious() };
    let file = fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDONLY, 0);
    let Some(file) = saw.step("open", file) else { return saw };
    let mut files = vec![file];
    // A policy that gives locks gives these.
    if target.inside() && !target.facts.locks {
        let common = COMMON.iter().map(|path| fd::openat(libc::AT_FDCWD, &c(path), libc::O_RDONLY, 0));
        files.extend(common.flatten());
    }
    if steps.variant() == "tell" {
        for file in &files {
            lock_for_others(&mut saw, file.as_raw_fd());
        }
        say("W ready");
        open_until_told(&c(&path));
        return saw;
    }
    for file in &files {
        look_for_locks(&mut saw, file.as_raw_fd());
    }
    let watch = step!(saw, "inotify_init1", SYS_inotify_init1, libc::O_NONBLOCK);
    if let Some(watch) = watch {
        const IN_OPEN: i32 = 0x20;
        step!(saw, "inotify_add_watch", SYS_inotify_add_watch, watch, c(&path).as_c_str(), IN_OPEN);
        let heard = i32::try_from(watch).is_ok_and(hears);
        if heard {
            saw.leak("another box is seen to open a file");
        }
        saw.note(OPENS, if heard { "seen" } else { "none" });
    }
    saw
}

fn lock_for_others(saw: &mut Saw, number: RawFd) {
    // struct flock, for a read lock on the first byte.
    let read_lock = [0u64, 0, 1, 0].map(u64::to_le_bytes).concat();
    step!(saw, "flock", SYS_flock, number, libc::LOCK_EX | libc::LOCK_NB);
    step!(saw, "fcntl(SETLK)", SYS_fcntl, number, libc::F_SETLK, read_lock.as_slice());
    step!(saw, "fcntl(OFD_SETLK)", SYS_fcntl, number, 37, read_lock.as_slice());
}

fn look_for_locks(saw: &mut Saw, number: RawFd) {
    let flock = step!(saw, "flock", SYS_flock, number, libc::LOCK_EX | libc::LOCK_NB);
    if flock.is_none() && saw.answers.last().is_some_and(|s| s.answer == "EAGAIN") {
        saw.leak("a lock of another box is seen by flock");
    }
    // Would a write lock be in anybody's way?
    let asked = Room::of(&[1u64, 0, 1, 0].map(u64::to_le_bytes).concat());
    if step!(saw, "fcntl(GETLK)", SYS_fcntl, number, libc::F_GETLK, &asked).is_some() {
        let kind = u16::from_le_bytes(asked.bytes()[..2].try_into().unwrap_or_default());
        // F_UNLCK is 2.
        if kind != 2 {
            saw.leak("a lock of another box is seen by fcntl");
        }
    }
}

/// What is noted of another's opening of a file.
pub const OPENS: &str = "opens by others";

/// How often a file is opened that another box may watch, and how long is listened for it.
const BETWEEN: Duration = Duration::from_millis(5);
const LISTENS: Duration = Duration::from_millis(300);

/// Whether a watch that never blocks tells of anything.
fn hears(watch: i32) -> bool {
    let begin = Instant::now();
    let mut event = [0u8; 512];
    while begin.elapsed() < pace::stretched(LISTENS) {
        if fd::read(watch, &mut event).is_ok_and(|n| n > 0) {
            return true;
        }
        super::rest(BETWEEN);
    }
    false
}

/// Opens a file again and again, until there is something on standard input. In another process:
/// whoever closes a file gives up its locks.
fn open_until_told(path: &CStr) {
    let child = probe::fork();
    if child == Ok(0) {
        loop {
            no_matter(
                fd::openat(libc::AT_FDCWD, path, libc::O_RDONLY, 0),
                "the other side says what it sees",
            );
            super::rest(BETWEEN);
        }
    }
    let mut byte = [0u8];
    no_matter(fd::read(0, &mut byte), "the end");
    if let Ok(child) = child {
        super::kill(child);
    }
}

/// IL-08: counters of a file system that others use as well. The order says
/// which side: `tell` fills its own, `hear` says what it sees.
pub fn talk_by_counters(target: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    if steps.variant() == "tell" {
        for n in 0..64 {
            let path = c(&format!("{dir}/counter-{n}"));
            if let Ok(file) = fd::openat(libc::AT_FDCWD, &path, libc::O_CREAT | libc::O_WRONLY, 0o600) {
                no_matter(fd::write(file.as_raw_fd(), &[1u8; 4096]), "a block less");
            }
        }
        say("W ready");
        let mut byte = [0u8];
        no_matter(fd::read(0, &mut byte), "the end");
        return saw;
    }
    let room = Room::default();
    if step!(saw, "statfs", SYS_statfs, c(dir).as_c_str(), &room).is_some() {
        let bytes = room.bytes();
        let field = |i: usize| u64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().unwrap_or_default());
        // struct statfs: type, block size, blocks, free, available, files, free files.
        saw.note("used blocks", (field(2) - field(3)).to_string());
        saw.note("used inodes", (field(5) - field(6)).to_string());
        if field(2) - field(3) > 8 {
            saw.leak("what another box has written shows");
        }
    }
    saw
}

/// NS-07: uses up what is counted for each user, or tries to have some of it.
pub fn use_up_user(target: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let wanted = if steps.variant() == "tell" { target.facts.processes } else { target.facts.processes / 2 };
    let mut made = Vec::new();
    let mut end = None;
    while (made.len() as u64) < wanted && end.is_none() {
        match probe::fork() {
            Ok(0) => {
                super::rest(std::time::Duration::from_secs(60));
                crate::sys::process::exit_now(0)
            }
            Ok(pid) => made.push(pid),
            Err(errno) => end = Some(errno),
        }
    }
    if steps.variant() == "tell" {
        say("W ready");
        let mut byte = [0u8];
        no_matter(fd::read(0, &mut byte), "the end");
    } else {
        saw.note("its own share", end.map_or("ok".to_owned(), name));
        if let Some(errno) = end {
            saw.leak(format!("another box has used up its share ({})", name(errno)));
        }
    }
    made.into_iter().for_each(super::kill);
    saw
}

/// The order of a box that others are attacked beside.
pub const NEIGHBOUR: &str = "neighbour";

/// A box at work beside the one that is attacked from: a secret is in its memory and
/// in its file, it holds a lock, and at its end it tells whether anybody came near it.
pub fn live_beside(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let secret: Vec<u8> = target.token.iter().map(|b| !*b).collect();
    let kept = Room::of(&secret);
    let dir = target.scratch.as_deref();
    let file = dir.map(|dir| format!("{dir}/{NEIGHBOUR}"));
    if let Some(file) = &file {
        saw.io_step("its file", std::fs::write(file, &secret));
    }
    let lock = fd::openat(libc::AT_FDCWD, &c(&target.program), libc::O_RDONLY, 0);
    if let Ok(lock) = &lock {
        step!(saw, "its lock", SYS_flock, lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB);
    }
    say("W ready");
    let mut byte = [0u8];
    no_matter(fd::read(0, &mut byte), "the end");
    if !kept.bytes().starts_with(&secret) {
        saw.leak("the memory of the box beside it was changed");
    }
    if let Some(file) = &file
        && read_some(file, MOST).ok().as_deref() != Some(secret.as_slice())
    {
        saw.leak("the file of the box beside it was changed");
    }
    let names = |dir: &str| std::fs::read_dir(dir).map_or(0, |list| list.flatten().count());
    if dir.is_some_and(|dir| names(dir) != 1) {
        saw.leak("the box beside it has files that are not its own");
    }
    let is_process = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    if processes.filter(|entry| is_process(&entry.file_name())).count() > 1 {
        saw.leak("the box beside it sees a process that is not its own");
    }
    saw
}

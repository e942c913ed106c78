//! Pid 1 of the box, and the processes of the host by their numbers.

use std::os::fd::AsRawFd as _;

use super::{Steps, Target, c, look_for_secret, read_some, refuse, step};
use crate::escape::outcome::Saw;
use crate::sys::probe::{Arg, Room};
use crate::sys::{fd, probe};

/// `PTRACE_SEIZE`, which leaves its target running.
const PTRACE_SEIZE: i32 = 0x4206;

/// Reads another process's memory at an address; answers the bytes.
fn read_memory(saw: &mut Saw, what: &str, pid: i32, address: u64) -> Vec<u8> {
    let into = Room::default();
    let local = [into.address(), 256].map(u64::to_le_bytes).concat();
    let remote = [address, 256].map(u64::to_le_bytes).concat();
    let result = probe::call(
        libc::SYS_process_vm_readv,
        &[pid.into(), local.as_slice().into(), 1.into(), remote.as_slice().into(), 1.into(), 0.into()],
    );
    saw.must_refuse(what, libc::SYS_process_vm_readv, result).map(|_| into.bytes()).unwrap_or_default()
}

/// The process that the box is built around, or, for the control, an ordinary one.
fn first(target: &Target) -> i32 {
    if target.inside() { 1 } else { target.victim.0 }
}

/// PR-01: everything that pid 1 could be read or driven by.
pub fn take_over_init(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let pid = first(target);
    for file in [
        "environ",
        "maps",
        "mem",
        "root",
        "cwd",
        "exe",
        "io",
        "auxv",
        "stack",
        "syscall",
        "smaps",
        "fd",
        "map_files",
    ] {
        let path = format!("/proc/{pid}/{file}");
        let flags = if matches!(file, "fd" | "map_files" | "root" | "cwd") { libc::O_DIRECTORY } else { 0 };
        let opened = fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDONLY | flags, 0);
        saw.must_fail(&path, opened);
        if file == "environ" {
            look_for_secret(&mut saw, target, &path);
        }
    }
    refuse!(saw, "ptrace(SEIZE)", SYS_ptrace, PTRACE_SEIZE, pid, 0, 0);
    let address = if target.inside() { 0x40_0000 } else { target.victim.1 };
    read_memory(&mut saw, "process_vm_readv", pid, address);
    // Where it is let through, to a place where nothing is: what is after it must live.
    let own = Room::default();
    let from = [own.address(), 8].map(u64::to_le_bytes).concat();
    let to = [if target.inside() { address } else { 8 }, 8].map(u64::to_le_bytes).concat();
    refuse!(saw, "process_vm_writev", SYS_process_vm_writev, pid, from.as_slice(), 1, to.as_slice(), 1, 0);
    refuse!(saw, "kcmp", SYS_kcmp, pid, pid, 0, 0, 0);
    refuse!(saw, "get_robust_list", SYS_get_robust_list, pid, &Room::default(), &Room::default());
    saw
}

/// PR-02: words of the launcher's command line.
pub fn read_command_lines(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let listed: Vec<String> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| n.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    let mut pids: Vec<String> = (1..32).map(|n: i32| n.to_string()).collect();
    pids.extend(listed);
    pids.push(target.victim.0.to_string());
    let mut seen = 0;
    for pid in pids {
        for file in ["cmdline", "environ", "comm"] {
            let Ok(bytes) = read_some(&format!("/proc/{pid}/{file}"), 1 << 16) else { continue };
            seen += 1;
            if target.finds(&bytes) {
                saw.leak(format!("/proc/{pid}/{file} shows a secret of the caller"));
            }
        }
    }
    saw.note("command lines", if saw.effect.is_some() { "a secret" } else { "no secret" });
    if seen == 0 {
        saw.note("command lines", "none can be read");
    }
    saw
}

/// FD-03: the descriptors of pid 1, and of whoever else can be named.
pub fn steal_descriptors(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for pid in [first(target), target.victim.0] {
        let opened = step!(saw, format!("pidfd_open({})", who(target, pid)), SYS_pidfd_open, pid, 0);
        let pidfd = opened.map_or(-1, |n| i64::try_from(n).unwrap_or(-1));
        for number in 0..12 {
            let what = format!("pidfd_getfd({}, {number})", who(target, pid));
            let got = refuse!(saw, what, SYS_pidfd_getfd, pidfd, number, 0);
            if let Some(stolen) = got {
                step!(saw, "write a verdict", SYS_write, stolen, b"ok\n".as_slice(), 3);
            }
        }
        for number in 0..12 {
            let path = format!("/proc/{pid}/fd/{number}");
            let opened = fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDWR | libc::O_NONBLOCK, 0);
            saw.must_fail(format!("open descriptor {number} of {}", who(target, pid)), opened);
        }
    }
    let low = if target.inside() { 3 } else { 90 };
    for number in low..1024 {
        let written = fd::write(number, b"ok\n");
        if written.is_ok() {
            saw.leak(format!("descriptor {number} can be written"));
        }
    }
    saw
}

fn who(target: &Target, pid: i32) -> &'static str {
    if pid == first(target) { "pid 1" } else { "a process of the host" }
}

/// SA-08: calls that take a process, on pid 1.
pub fn change_init(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let pid = first(target);
    let zero = [0u64; 2].map(u64::to_le_bytes).concat();
    let old = Room::default();
    refuse!(saw, "prlimit64(CPU)", SYS_prlimit64, pid, libc::RLIMIT_CPU, zero.as_slice(), 0);
    refuse!(saw, "prlimit64(FSIZE)", SYS_prlimit64, pid, libc::RLIMIT_FSIZE, zero.as_slice(), 0);
    refuse!(saw, "prlimit64 asked", SYS_prlimit64, pid, libc::RLIMIT_CPU, 0, &old);
    refuse!(saw, "sched_setaffinity", SYS_sched_setaffinity, pid, 8, [1u8, 0, 0, 0, 0, 0, 0, 0].as_slice());
    refuse!(saw, "sched_setscheduler", SYS_sched_setscheduler, pid, 0, [0u8; 4].as_slice());
    refuse!(saw, "sched_setparam", SYS_sched_setparam, pid, [0u8; 4].as_slice());
    let attr = {
        let mut bytes = [0u8; 48];
        bytes[0] = 48;
        bytes
    };
    refuse!(saw, "sched_setattr", SYS_sched_setattr, pid, attr.as_slice(), 0);
    refuse!(saw, "setpriority", SYS_setpriority, 0, pid, 19);
    refuse!(saw, "ioprio_set", SYS_ioprio_set, 1, pid, 0x6000);
    refuse!(
        saw,
        "migrate_pages",
        SYS_migrate_pages,
        pid,
        64,
        [1u8, 0, 0, 0, 0, 0, 0, 0].as_slice(),
        [1u8, 0, 0, 0, 0, 0, 0, 0].as_slice()
    );
    refuse!(saw, "move_pages", SYS_move_pages, pid, 0, 0, 0, 0, 0);
    refuse!(saw, "setpgid", SYS_setpgid, pid, pid);
    saw
}

/// SA-09: signals with forged senders.
pub fn forge_signals(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let pid = first(target);
    // struct siginfo: signo, errno, code SI_QUEUE, then pid, uid, status as for a child's end.
    let info = {
        let mut words = [0u32; 32];
        words[0] = u32::try_from(libc::SIGURG).unwrap_or(0);
        words[2] = libc::SI_QUEUE.cast_unsigned();
        words[4] = 2;
        words.map(u32::to_le_bytes).concat()
    };
    refuse!(saw, "rt_sigqueueinfo", SYS_rt_sigqueueinfo, pid, libc::SIGURG, info.as_slice());
    refuse!(saw, "rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, pid, pid, libc::SIGURG, info.as_slice());
    let pidfd = step!(saw, "pidfd_open", SYS_pidfd_open, pid, 0);
    let pidfd = pidfd.map_or(-1, |n| i64::try_from(n).unwrap_or(-1));
    refuse!(saw, "pidfd_send_signal", SYS_pidfd_send_signal, pidfd, libc::SIGURG, 0, 0);
    saw
}

/// PS-40: an end of pid 1, and with it of the box, as the payload's own doing.
pub fn signal_init(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let pid = first(target);
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGSTOP] {
        for (what, nr, args) in [
            ("kill", libc::SYS_kill, vec![Arg::from(pid), signal.into()]),
            ("tkill", libc::SYS_tkill, vec![pid.into(), signal.into()]),
            ("tgkill", libc::SYS_tgkill, vec![pid.into(), pid.into(), signal.into()]),
        ] {
            let what = format!("{what}(pid 1, {signal})");
            let sent = probe::call(nr, &args);
            // The kernel takes a signal for pid 1 and drops it: what counts is that the box goes on.
            if target.inside() {
                saw.step(what, sent);
            } else {
                saw.must_fail(what, sent);
                return saw;
            }
        }
    }
    saw
}

/// PS-01: the memory of a process of the host.
pub fn read_victim(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let (pid, address) = target.victim;
    let bytes = read_memory(&mut saw, "process_vm_readv", pid, address);
    if target.finds(&bytes) {
        saw.leak("memory of a process of the host was read");
    }
    refuse!(saw, "ptrace(SEIZE)", SYS_ptrace, PTRACE_SEIZE, pid, 0, 0);
    let path = format!("/proc/{pid}/mem");
    if let Some(mem) = saw.step(&path, fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDONLY, 0)) {
        let into = Room::default();
        // An address of another process may look like one of this one: as two halves.
        let low = Arg::Num(0);
        let sought = probe::call(libc::SYS_lseek, &[mem.as_raw_fd().into(), low, 0.into()]);
        saw.step("lseek", sought);
        step!(saw, "read", SYS_read, mem.as_raw_fd(), &into, 64);
    }
    look_for_secret(&mut saw, target, &format!("/proc/{pid}/environ"));
    saw
}

/// PS-02: signals to processes of the host.
pub fn signal_host(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let pid = target.victim.0;
    refuse!(saw, "kill(victim)", SYS_kill, pid, 0);
    refuse!(saw, "kill(victim's group)", SYS_kill, -pid, 0);
    refuse!(saw, "tkill(victim)", SYS_tkill, pid, 0);
    if !target.inside() {
        return saw;
    }
    // Whoever answers must be of the box: itself, its children, pid 1.
    let mut others = 0;
    for pid in 3..32768 {
        let seen = probe::call(libc::SYS_kill, &[pid.into(), 0.into()]);
        let there = seen.is_ok() || seen == Err(crate::sys::Errno::EPERM) && filter_allows_kill();
        if there && i64::from(pid) != own_pid() {
            others += 1;
        }
    }
    saw.note("processes besides its own", if others == 0 { "none" } else { "some" });
    if others > 0 {
        saw.leak(format!("{others} other processes answer"));
    }
    saw
}

fn own_pid() -> i64 {
    probe::call(libc::SYS_getpid, &[]).map_or(0, |pid| i64::try_from(pid).unwrap_or(0))
}

/// `EPERM` may be the filter's answer: then it says nothing of a process.
fn filter_allows_kill() -> bool {
    probe::call(libc::SYS_kill, &[Arg::Num(own_pid().cast_unsigned()), 0.into()]).is_ok()
}

/// TT-08: the caller's process group and terminal.
pub fn signal_group(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let ours = crate::sys::signal::set_disposition(libc::SIGUSR2, crate::sys::signal::Disposition::Ignore);
    saw.step("ignore SIGUSR2", ours);
    step!(saw, "kill(own group, SIGUSR2)", SYS_kill, 0, libc::SIGUSR2);
    let group = 1u32.to_le_bytes();
    for number in 0..3 {
        refuse!(saw, format!("TIOCSPGRP on {number}"), SYS_ioctl, number, 0x5410, group.as_slice());
    }
    refuse!(saw, "setpgid(0, 1)", SYS_setpgid, 0, 1);
    saw
}

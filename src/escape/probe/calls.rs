//! The filter itself: other entries, other numbers, other widths.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::{Replay, Steps, Target, in_child, refuse, step};
use crate::error::no_matter;
use crate::escape::outcome::{Saw, name};
use crate::sys::probe::{Arg, Room};
use crate::sys::{self, probe};

/// The bit that marks numbers of the x32 table.
const X32: i64 = 0x4000_0000;

/// FS-21: every number that the policy never allows, with null arguments.
///
/// The first is -1, so that what takes a descriptor, a process or a command
/// takes none.
pub fn sweep_numbers(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let mut answers: std::collections::BTreeMap<String, u32> = std::collections::BTreeMap::new();
    for (nr, expected) in &target.facts.refused {
        if !target.inside() && !HARMLESS_OUTSIDE.contains(nr) {
            continue;
        }
        let answer = probe::call(i64::from(*nr), &[Arg::Num(u64::MAX)]);
        let answer = answer.map_or_else(name, |_| "ok".to_owned());
        let wanted = if expected == "notified" { "EPERM" } else { expected.as_str() };
        if answer != wanted {
            saw.leak(format!("call {nr} was answered {answer}, not {wanted}"));
        }
        *answers.entry(answer).or_default() += 1;
    }
    for (answer, count) in answers {
        saw.note(format!("{count} numbers"), answer);
    }
    saw
}

/// Numbers that are tried beside the box as well: they show that the kernel
/// answers something else there. None of them does anything with -1.
const HARMLESS_OUTSIDE: [u32; 12] = [29, 64, 68, 73, 101, 161, 165, 248, 298, 317, 321, 425];

/// What is tried through other entries and tables: `getpid`, and what is denied.
const DENIED: [i64; 21] = [
    libc::SYS_getpid,
    libc::SYS_ptrace,
    libc::SYS_socket,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_bpf,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_init_module,
    libc::SYS_memfd_create,
    libc::SYS_chmod,
    libc::SYS_setuid,
    libc::SYS_clone3,
];

/// A call that must be fatal: the answer, where there is one, is what matters.
fn fatal(saw: &mut Saw, steps: &mut Steps<'_>, what: &str, make: impl Fn() -> sys::Result<u64>) {
    if !steps.next(what) {
        return;
    }
    let seen = in_child(what, || {
        let mut saw = Saw::new();
        saw.note(what, make().map_or_else(name, |_| "ok".to_owned()));
        saw
    });
    if seen.answers.iter().any(|a| a.what == what && a.answer == "ok") {
        saw.leak(format!("{what} was carried out"));
    }
    saw.join(seen);
}

/// SC-01: the x32 table, which a filter that goes by numbers alone does not see.
pub fn x32_table(_: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for nr in DENIED {
        let args: &[Arg<'_>] = if nr == libc::SYS_getpid { &[] } else { &[Arg::Num(u64::MAX)] };
        fatal(&mut saw, steps, &format!("x32 call {nr}"), || probe::call(nr | X32, args));
    }
    for nr in 512..548 {
        fatal(&mut saw, steps, &format!("x32 call {nr}"), || probe::call(nr | X32, &[Arg::Num(u64::MAX)]));
    }
    saw
}

/// SC-02: the 32-bit entry, which has numbers of its own.
pub fn i386_entry(_: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for (what, nr) in [
        ("getpid", 20u32),
        ("socketcall", 102),
        ("ptrace", 26),
        ("execve", 11),
        ("clone", 120),
        ("mount", 21),
        ("io_uring_setup", 425),
    ] {
        fatal(&mut saw, steps, &format!("int 0x80 {what}"), || probe::call_32bit(nr, [0; 3]));
    }
    saw
}

/// SC-40: numbers that are none.
pub fn foreign_numbers(_: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for nr in [-1, 1i64 << 31, (1 << 31) | 39, X32 | 1023, 0x7fff_ffff, X32, -2] {
        fatal(&mut saw, steps, &format!("call {nr:#x}"), || probe::call(nr, &[Arg::Num(u64::MAX)]));
    }
    saw
}

/// SC-41: the upper half of the register that holds the number.
pub fn wide_numbers(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for nr in [libc::SYS_ptrace, libc::SYS_mount, libc::SYS_unshare, libc::SYS_socket] {
        for high in [1i64 << 32, 0x7fff_ffff_0000_0000] {
            let what = format!("call {:#x}", nr | high);
            // The kernel takes the lower half: it must be answered as the plain number is.
            let plain = probe::call(nr, &[Arg::Num(u64::MAX)]);
            let wide = probe::call(nr | high, &[Arg::Num(u64::MAX)]);
            if wide != plain {
                saw.leak(format!("{what} is answered differently from the plain number"));
            }
            saw.must_refuse(what, nr, wide);
        }
    }
    saw
}

/// SC-05: a filter of its own, whose listener decides what other processes see.
pub fn install_filter(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("filter", || {
        let mut saw = Saw::new();
        // BPF_RET | BPF_K, SECCOMP_RET_ALLOW
        let code = Room::of(&0x7fff_0000_0000_0006u64.to_le_bytes());
        let program = [1u64, code.address()].map(u64::to_le_bytes).concat();
        const NEW_LISTENER: u32 = 1 << 3;
        step!(saw, "prctl(NO_NEW_PRIVS)", SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        refuse!(saw, "seccomp(NEW_LISTENER)", SYS_seccomp, 1, NEW_LISTENER, program.as_slice());
        refuse!(saw, "seccomp(FILTER)", SYS_seccomp, 1, 0, program.as_slice());
        refuse!(saw, "prctl(SECCOMP)", SYS_prctl, libc::PR_SET_SECCOMP, 2, program.as_slice(), 0, 0);
        saw
    })
}

/// SC-06: a refused call whose path changes while it is being looked at.
pub fn change_under_notification(_: &Target, _: &mut Steps<'_>) -> Saw {
    static STOP: AtomicBool = AtomicBool::new(false);
    static PATH: [AtomicU8; 2] = [AtomicU8::new(b'/'), AtomicU8::new(0)];
    in_child("two threads", || {
        let mut saw = Saw::new();
        let thread = std::thread::Builder::new().spawn(|| {
            while !STOP.load(Ordering::Relaxed) {
                PATH[0].store(b'/', Ordering::Relaxed);
                PATH[0].store(b'x', Ordering::Relaxed);
            }
        });
        saw.note("a second thread", if thread.is_ok() { "ok" } else { "none" });
        for _ in 0..50 {
            let made = probe::call(libc::SYS_chroot, &[Arg::Shifting(&PATH)]);
            if made.is_ok() {
                saw.leak("chroot was let through");
            }
        }
        refuse!(saw, "chroot", SYS_chroot, c"/");
        STOP.store(true, Ordering::Relaxed);
        if let Ok(thread) = thread {
            no_matter(thread.join(), "it has nothing to say");
        }
        saw
    })
}

/// SC-08: a fatal call in one thread, and what the others do afterwards.
pub fn outlive_a_thread(_: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    if !steps.next("fatal call in a thread") {
        return saw;
    }
    let seen = in_child("fatal call in a thread", || {
        let mut saw = Saw::new();
        let thread = std::thread::Builder::new().spawn(|| {
            no_matter(probe::call(X32 | libc::SYS_getpid, &[]), "it is fatal, or is no call");
        });
        match thread {
            Ok(thread) => {
                no_matter(thread.join(), "it is dead");
                super::rest(std::time::Duration::from_millis(5));
                saw.note("the process afterwards", "alive");
            }
            Err(_) => saw.note("fatal call in a thread", "no second thread"),
        }
        saw
    });
    if seen.answers.iter().any(|a| a.answer == "alive") {
        saw.leak("the process went on without its thread");
    }
    saw.join(seen);
    saw
}

/// SC-13: a denied object by way of a ring.
pub fn open_by_ring(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let parameters = Room::default();
    let ring = refuse!(saw, "io_uring_setup", SYS_io_uring_setup, 4, &parameters);
    if let Some(ring) = ring {
        refuse!(saw, "io_uring_enter", SYS_io_uring_enter, ring, 1, 0, 0, 0, 0);
    }
    let context = Room::default();
    refuse!(saw, "io_setup", SYS_io_setup, 16, &context);
    refuse!(saw, "io_submit", SYS_io_submit, 0, 0, 0);
    saw
}

/// SA-01, SA-02: each argument rule, with bits that the kernel does not look at.
pub fn replay_widths(target: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let mut compared = 0u32;
    let mut kinds = std::collections::BTreeSet::new();
    for replay in &target.facts.replays {
        if !steps.next(&replay.what) {
            continue;
        }
        let Replay { nr, what, index, args, same } = replay;
        let make = |value: u64| {
            let mut args = args.map(Arg::Num);
            args[*index] = Arg::Num(value);
            probe::call(i64::from(*nr), &args).map_or_else(name, |_| "ok".to_owned())
        };
        let plain = make(args[*index]);
        for other in same {
            let answer = make(*other);
            compared += 1;
            if answer != plain {
                saw.leak(format!("{what}: {:#x} is answered {plain}, {other:#x} {answer}", args[*index]));
            }
        }
        kinds.insert(plain);
    }
    saw.note(format!("{compared} comparisons"), if saw.effect.is_some() { "different" } else { "same" });
    if kinds.len() < 2 && compared > 0 {
        saw.note("answers of plain values", "all alike");
    }
    saw
}

/// SA-04: other calls for what one call is denied for. What the policy gives by one of them, it gives.
pub fn synonyms(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let groups: &[(&str, &[i64])] = &[
        ("programs", &[libc::SYS_execveat]),
        (
            "memory of others",
            &[
                libc::SYS_ptrace,
                libc::SYS_process_vm_readv,
                libc::SYS_process_vm_writev,
                libc::SYS_process_madvise,
                libc::SYS_process_mrelease,
                libc::SYS_kcmp,
                libc::SYS_pidfd_getfd,
            ],
        ),
        (
            "mounts",
            &[
                libc::SYS_mount,
                libc::SYS_umount2,
                libc::SYS_fsopen,
                libc::SYS_fsmount,
                libc::SYS_fsconfig,
                libc::SYS_fspick,
                libc::SYS_move_mount,
                libc::SYS_open_tree,
                libc::SYS_mount_setattr,
            ],
        ),
        ("roots", &[libc::SYS_chroot, libc::SYS_pivot_root]),
        ("namespaces", &[libc::SYS_unshare, libc::SYS_setns, libc::SYS_clone3]),
        ("handles", &[libc::SYS_name_to_handle_at, libc::SYS_open_by_handle_at]),
        ("modes", &[libc::SYS_chmod, libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchmodat2]),
        ("owners", &[libc::SYS_chown, libc::SYS_lchown, libc::SYS_fchown, libc::SYS_fchownat]),
        ("links", &[libc::SYS_link, libc::SYS_linkat, libc::SYS_symlink, libc::SYS_symlinkat]),
        ("nodes", &[libc::SYS_mknod, libc::SYS_mknodat]),
        (
            "attributes",
            &[libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_removexattr, 463, 466],
        ),
        (
            "sockets",
            &[
                libc::SYS_socket,
                libc::SYS_bind,
                libc::SYS_connect,
                libc::SYS_listen,
                libc::SYS_accept,
                libc::SYS_accept4,
            ],
        ),
        (
            "messages",
            &[
                libc::SYS_sendto,
                libc::SYS_sendmsg,
                libc::SYS_sendmmsg,
                libc::SYS_recvfrom,
                libc::SYS_recvmsg,
                libc::SYS_recvmmsg,
            ],
        ),
        (
            "rings",
            &[
                libc::SYS_io_uring_setup,
                libc::SYS_io_uring_enter,
                libc::SYS_io_uring_register,
                libc::SYS_io_setup,
                libc::SYS_io_submit,
            ],
        ),
        ("keys", &[libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key]),
        (
            "ids",
            &[
                libc::SYS_setuid,
                libc::SYS_setgid,
                libc::SYS_setresuid,
                libc::SYS_setresgid,
                libc::SYS_setreuid,
                libc::SYS_setregid,
                libc::SYS_setgroups,
                libc::SYS_setfsuid,
                libc::SYS_setfsgid,
                libc::SYS_capset,
            ],
        ),
        (
            "watching",
            &[
                libc::SYS_inotify_init,
                libc::SYS_inotify_init1,
                libc::SYS_inotify_add_watch,
                libc::SYS_fanotify_init,
            ],
        ),
        ("locks", &[libc::SYS_flock]),
        ("the page cache", &[libc::SYS_mincore, libc::SYS_fadvise64, libc::SYS_readahead, 451]),
        ("pipes and files", &[libc::SYS_splice, libc::SYS_tee, libc::SYS_vmsplice]),
        (
            "System V",
            &[libc::SYS_shmget, libc::SYS_shmat, libc::SYS_semget, libc::SYS_msgget, libc::SYS_mq_open],
        ),
        (
            "time",
            &[libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_adjtimex, libc::SYS_clock_adjtime],
        ),
        (
            "schedulers",
            &[
                libc::SYS_sched_setscheduler,
                libc::SYS_sched_setparam,
                libc::SYS_sched_setattr,
                libc::SYS_sched_setaffinity,
                libc::SYS_setpriority,
                libc::SYS_ioprio_set,
            ],
        ),
        (
            "signals with words",
            &[libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo, libc::SYS_pidfd_send_signal],
        ),
        ("openat2", &[libc::SYS_openat2]),
        ("writing with flags", &[libc::SYS_preadv2, libc::SYS_pwritev2]),
        ("the whole disk", &[libc::SYS_sync, libc::SYS_syncfs]),
    ];
    for (group, members) in groups {
        for nr in *members {
            if target.facts.refused.iter().any(|(refused, _)| i64::from(*refused) == *nr) {
                let answer = probe::call(*nr, &[Arg::Num(u64::MAX)]);
                saw.must_refuse(format!("{group}: call {nr}"), *nr, answer);
            }
        }
    }
    saw
}

/// SA-06: commands of `fcntl`, on no descriptor.
pub fn fcntl_commands(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    // SETOWN, SETSIG, SETOWN_EX, OFD locks, SETLEASE, NOTIFY, SETPIPE_SZ, ADD_SEALS, hints.
    for command in [8u64, 10, 15, 36, 37, 38, 1024, 1026, 1031, 1033, 1035, 1036, 1037, 1038] {
        for high in [0u64, 1 << 32, 1 << 63] {
            let answer = probe::call(libc::SYS_fcntl, &[(-1).into(), (command | high).into(), 0.into()]);
            saw.must_refuse(format!("fcntl({:#x})", command | high), libc::SYS_fcntl, answer);
        }
    }
    saw
}

/// SA-40: options of `prctl` that change what a process is.
pub fn prctl_options(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("prctl", || {
        let mut saw = Saw::new();
        for (what, option, value) in [
            ("SET_PDEATHSIG", libc::PR_SET_PDEATHSIG, u64::MAX),
            ("SET_DUMPABLE", libc::PR_SET_DUMPABLE, 7),
            ("SET_MM", libc::PR_SET_MM, u64::MAX),
            ("SET_TSC", libc::PR_SET_TSC, 77),
            ("SET_PTRACER", libc::PR_SET_PTRACER, 0),
            ("SET_CHILD_SUBREAPER", libc::PR_SET_CHILD_SUBREAPER, 1),
            ("SET_MEMORY_MERGE", 67, 1),
            ("SET_SPECULATION_CTRL", libc::PR_SET_SPECULATION_CTRL, 99),
            ("SET_NO_NEW_PRIVS", libc::PR_SET_NO_NEW_PRIVS, 0),
            ("SCHED_CORE", 62, 99),
            ("SET_SYSCALL_USER_DISPATCH", 59, 99),
        ] {
            refuse!(saw, format!("prctl({what})"), SYS_prctl, option, value, 0, 0, 0);
        }
        saw
    })
}

/// SC-42: what the filter says of itself.
pub fn read_filter(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let into = Room::default();
    // PTRACE_SECCOMP_GET_FILTER of itself, its metadata, and the actions the kernel has.
    refuse!(saw, "ptrace(SECCOMP_GET_FILTER)", SYS_ptrace, 0x420c, 0, 0, &into);
    refuse!(saw, "seccomp(GET_ACTION_AVAIL)", SYS_seccomp, 2, 0, &into);
    refuse!(saw, "seccomp(GET_NOTIF_SIZES)", SYS_seccomp, 3, 0, &into);
    step!(saw, "prctl(GET_NO_NEW_PRIVS)", SYS_prctl, libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    saw.answers.retain(|seen| seen.nr.is_some());
    saw
}

//! Parts of the kernel that most programs never need, and that were broken often.

use std::os::fd::AsRawFd as _;

use super::{Steps, Target, c, in_child, refuse, step};
use crate::escape::outcome::{Saw, name};
use crate::sys::probe::{Room, Writable};
use crate::sys::{fd, probe};

/// KX-01: asynchronous calls, which no filter sees one by one.
pub fn io_uring(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let parameters = Room::default();
    let ring = refuse!(saw, "io_uring_setup", SYS_io_uring_setup, 8, &parameters);
    let ring = ring.map_or(-1, |n| i64::try_from(n).unwrap_or(-1));
    refuse!(saw, "io_uring_enter", SYS_io_uring_enter, ring, 0, 0, 0, 0, 0);
    // IORING_REGISTER_PROBE.
    refuse!(saw, "io_uring_register", SYS_io_uring_register, ring, 8, &Room::default(), 64);
    saw
}

/// KX-02: programs in the kernel.
pub fn bpf(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    // r0 = 0; exit
    let code = Room::of(&[0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
    let licence = Room::of(b"GPL\0");
    // union bpf_attr of BPF_PROG_LOAD: a socket filter of two instructions.
    let mut attr = [0u8; 128];
    attr[..4].copy_from_slice(&1u32.to_le_bytes());
    attr[4..8].copy_from_slice(&2u32.to_le_bytes());
    attr[8..16].copy_from_slice(&code.address().to_le_bytes());
    attr[16..24].copy_from_slice(&licence.address().to_le_bytes());
    refuse!(saw, "bpf(PROG_LOAD)", SYS_bpf, 5, &Room::of(&attr), 128);
    let map = [2u32, 4, 4, 1, 0].map(u32::to_le_bytes).concat();
    refuse!(saw, "bpf(MAP_CREATE)", SYS_bpf, 0, &Room::of(&map), 72);
    refuse!(saw, "bpf(-1)", SYS_bpf, -1, &Room::default(), 8);
    saw
}

/// KX-03: counters of the processor.
pub fn perf_events(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for (what, kind) in [("hardware", 0u32), ("software", 1), ("tracepoint", 2), ("raw", 4)] {
        // struct perf_event_attr: type, size, config, …, disabled|exclude_kernel|exclude_hv.
        let mut attr = [0u8; 128];
        attr[..4].copy_from_slice(&kind.to_le_bytes());
        attr[4..8].copy_from_slice(&128u32.to_le_bytes());
        attr[40] = 0b0110_0001;
        refuse!(saw, format!("perf_event_open({what})"), SYS_perf_event_open, &Room::of(&attr), 0, -1, -1, 0);
    }
    saw
}

/// KX-11: where memory lies.
pub fn memory_placement(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let (page, status, nodes) = (Room::default(), Room::default(), [1u8, 0, 0, 0, 0, 0, 0, 0]);
    let pages = Room::of(&page.address().to_le_bytes());
    refuse!(saw, "move_pages", SYS_move_pages, 0, 1, &pages, 0, &status, 0);
    refuse!(saw, "mbind", SYS_mbind, &page, 0, 0, nodes.as_slice(), 8, 0);
    refuse!(saw, "set_mempolicy", SYS_set_mempolicy, 0, 0, 0);
    refuse!(saw, "get_mempolicy", SYS_get_mempolicy, &status, 0, 0, 0, 0);
    refuse!(saw, "migrate_pages", SYS_migrate_pages, 0, 8, nodes.as_slice(), nodes.as_slice());
    refuse!(saw, "set_mempolicy_home_node", SYS_set_mempolicy_home_node, &page, 0, 0, 0);
    saw
}

/// KX-15: calls that hardly anything uses any more.
pub fn old_calls(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let room = Room::default();
    refuse!(saw, "remap_file_pages", SYS_remap_file_pages, 0, 0, 0, 0, 0);
    refuse!(saw, "lookup_dcookie", SYS_lookup_dcookie, 0, &room, 64);
    refuse!(saw, "uselib", SYS_uselib, 0);
    refuse!(saw, "sysfs", SYS_sysfs, 3, 0, 0);
    refuse!(saw, "ustat", SYS_ustat, 0, &room);
    refuse!(saw, "nfsservctl", SYS_nfsservctl, 0, 0, 0);
    refuse!(saw, "_sysctl", SYS__sysctl, 0);
    // Numbers without a name in libc: create_module, get_kernel_syms, query_module.
    for nr in [174i64, 177, 178] {
        let answer = probe::call(nr, &[]);
        saw.must_refuse(format!("call {nr}"), nr, answer);
    }
    refuse!(saw, "vserver", SYS_vserver, 0, 0, 0, 0, 0);
    refuse!(saw, "afs_syscall", SYS_afs_syscall, 0);
    refuse!(saw, "epoll_ctl_old", SYS_epoll_ctl_old, 0);
    refuse!(saw, "epoll_wait_old", SYS_epoll_wait_old, 0);
    refuse!(saw, "set_thread_area", SYS_set_thread_area, 0);
    refuse!(saw, "get_thread_area", SYS_get_thread_area, 0);
    saw
}

/// KX-16: so many restrictions of its own that a helper's would fail.
pub fn stack_restrictions(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("landlock", || {
        let mut saw = Saw::new();
        let attr = Room::of(&[1u64, 0].map(u64::to_le_bytes).concat());
        step!(saw, "prctl(NO_NEW_PRIVS)", SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let made = refuse!(saw, "landlock_create_ruleset", SYS_landlock_create_ruleset, &attr, 8, 0);
        let ruleset = made.map_or(-1, |n| i64::try_from(n).unwrap_or(-1));
        refuse!(saw, "landlock_restrict_self", SYS_landlock_restrict_self, ruleset, 0);
        saw
    })
}

/// KX-40: faults of the kernel that the payload decides when to resolve.
pub fn userfaultfd(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    refuse!(saw, "userfaultfd", SYS_userfaultfd, libc::O_NONBLOCK);
    refuse!(saw, "userfaultfd(USER_MODE_ONLY)", SYS_userfaultfd, libc::O_NONBLOCK | 1);
    saw.must_fail("/dev/userfaultfd", fd::openat(libc::AT_FDCWD, c"/dev/userfaultfd", libc::O_RDONLY, 0));
    saw
}

/// KX-41: code for the kernel.
pub fn kernel_modules(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    refuse!(saw, "init_module", SYS_init_module, 0, 0, 0);
    refuse!(saw, "finit_module", SYS_finit_module, -1, 0, 0);
    refuse!(saw, "delete_module", SYS_delete_module, 0, 0);
    refuse!(saw, "kexec_load", SYS_kexec_load, 0, 17, 0, 0);
    refuse!(saw, "kexec_file_load", SYS_kexec_file_load, -1, -1, 0, 0, 0xffff);
    saw
}

/// KX-42: the machine itself. Every argument is invalid.
pub fn drive_machine(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    refuse!(saw, "reboot", SYS_reboot, 0, 0, 0, 0);
    refuse!(saw, "swapon", SYS_swapon, 0, 0);
    refuse!(saw, "swapoff", SYS_swapoff, 0);
    refuse!(saw, "acct", SYS_acct, 1);
    refuse!(saw, "iopl", SYS_iopl, 4);
    refuse!(saw, "ioperm", SYS_ioperm, 0xffff, 0xffff, 1);
    refuse!(saw, "modify_ldt", SYS_modify_ldt, 0x1234, 0, 0);
    refuse!(saw, "settimeofday", SYS_settimeofday, 1, 1);
    refuse!(saw, "clock_settime", SYS_clock_settime, 0, 0);
    refuse!(saw, "adjtimex", SYS_adjtimex, 0);
    refuse!(saw, "clock_adjtime", SYS_clock_adjtime, 0, 0);
    refuse!(saw, "sethostname", SYS_sethostname, 0, -1);
    refuse!(saw, "setdomainname", SYS_setdomainname, 0, -1);
    refuse!(saw, "syslog", SYS_syslog, 99, 0, 0);
    refuse!(saw, "quotactl", SYS_quotactl, -1, 0, 0, 0);
    refuse!(saw, "quotactl_fd", SYS_quotactl_fd, -1, 0, 0, 0);
    refuse!(saw, "vhangup", SYS_vhangup);
    saw
}

/// KX-43: who it is, and what it may.
pub fn raise_privileges(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("privileges", || {
        let mut saw = Saw::new();
        let ids = [nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw()];
        for (what, nr, ids_taken, own) in [
            ("setuid(0)", libc::SYS_setuid, 1, ids[0]),
            ("setgid(0)", libc::SYS_setgid, 1, ids[1]),
            ("setresuid(0)", libc::SYS_setresuid, 3, ids[0]),
            ("setresgid(0)", libc::SYS_setresgid, 3, ids[1]),
            ("setreuid(0)", libc::SYS_setreuid, 2, ids[0]),
        ] {
            take_id(&mut saw, what, nr, (ids_taken, own));
        }
        let header = [0x2008_0522u32, 0].map(u32::to_le_bytes).concat();
        let all = [u32::MAX; 6].map(u32::to_le_bytes).concat();
        refuse!(saw, "capset(all)", SYS_capset, header.as_slice(), all.as_slice());
        refuse!(saw, "prctl(KEEPCAPS)", SYS_prctl, libc::PR_SET_KEEPCAPS, 1, 0, 0, 0);
        refuse!(saw, "prctl(SECUREBITS)", SYS_prctl, libc::PR_SET_SECUREBITS, 0, 0, 0, 0);
        refuse!(saw, "prctl(AMBIENT_RAISE)", SYS_prctl, libc::PR_CAP_AMBIENT, 2, 21, 0, 0);
        saw
    })
}

/// What the kernel says where root is nobody of the user namespace: `EINVAL`, as for other nonsense.
pub const NO_SUCH_ID: &str = "no such id";

/// Becomes 0 by a call that takes so many ids. Where a policy lets it through, the same call with the ids
/// that it has tells whether 0 is what the kernel does not take.
fn take_id(saw: &mut Saw, what: &str, nr: i64, (count, own): (usize, u32)) {
    let with = |id: u32| probe::call(nr, &vec![id.into(); count]);
    let zero = with(0);
    let is_nobody = zero == Err(crate::sys::Errno::EINVAL) && own != 0 && with(own).is_ok();
    saw.must_refuse(what, nr, zero);
    if let Some(last) = saw.answers.last_mut().filter(|_| is_nobody) {
        last.answer = NO_SUCH_ID.to_owned();
    }
}

/// FS-12, and what follows every exec: capabilities that are left.
pub fn count_capabilities(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for capability in 0..64 {
        let held = probe::call(
            libc::SYS_prctl,
            &[libc::PR_CAPBSET_READ.into(), capability.into(), 0.into(), 0.into(), 0.into()],
        );
        if held == Ok(1) {
            saw.leak(format!("capability {capability} is in the bounding set"));
        }
        if held == Err(crate::sys::Errno::EINVAL) {
            break;
        }
    }
    match super::read_some("/proc/self/status", 1 << 16) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            for line in text.lines().filter(|l| l.starts_with("Cap")) {
                let set = line.split_whitespace().nth(1).unwrap_or("0");
                let empty = set.bytes().all(|b| b == b'0');
                let what = line.split(':').next().unwrap_or(line);
                saw.note(what, if empty { "empty" } else { "not empty" });
                if !empty {
                    saw.leak(format!("{what} is {set}"));
                }
            }
        }
        Err(errno) => saw.note("/proc/self/status", name(errno)),
    }
    let (header, sets) = (Room::of(&0x2008_0522u32.to_le_bytes()), Room::default());
    let asked = probe::call(libc::SYS_capget, &[(&header).into(), (&sets).into()]);
    if saw.step("capget", asked).is_some() && sets.bytes()[..24].iter().any(|b| *b != 0) {
        saw.leak("capget shows capabilities");
    }
    saw
}

/// KX-44: contexts and descriptors of kinds of their own.
pub fn rare_objects(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let room = Room::default();
    refuse!(saw, "fanotify_init", SYS_fanotify_init, 0, 0);
    refuse!(saw, "fanotify_mark", SYS_fanotify_mark, -1, 0, 0, -1, 0);
    refuse!(saw, "memfd_secret", SYS_memfd_secret, 0);
    refuse!(saw, "memfd_create", SYS_memfd_create, c"x", 0);
    refuse!(saw, "pkey_alloc", SYS_pkey_alloc, 0, 0);
    refuse!(saw, "pkey_free", SYS_pkey_free, 0);
    refuse!(saw, "signalfd4", SYS_signalfd4, -1, &room, 8, 0);
    refuse!(saw, "io_setup", SYS_io_setup, 1, &room);
    refuse!(saw, "mq_open", SYS_mq_open, c"escape", libc::O_CREAT | libc::O_RDWR, 0o600, 0);
    refuse!(saw, "process_mrelease", SYS_process_mrelease, -1, 0);
    refuse!(saw, "process_madvise", SYS_process_madvise, -1, 0, 0, 0, 0);
    refuse!(saw, "name_to_handle_at", SYS_name_to_handle_at, libc::AT_FDCWD, c"/", &room, &room, 0);
    // Newer than the names this program is built with.
    for (what, nr) in
        [("map_shadow_stack", 453i64), ("futex_wake", 454), ("lsm_list_modules", 461), ("mseal", 462)]
    {
        let answer = probe::call(nr, &[(-1).into(), 0.into(), 0.into(), 0.into()]);
        saw.must_refuse(what, nr, answer);
    }
    saw
}

/// FS-29: memory written by the payload and executed.
pub fn execute_written_memory(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for (what, way) in [
        ("mmap(RWX)", Writable::AtOnce),
        ("mprotect(RWX)", Writable::Protect),
        ("pkey_mprotect(RWX)", Writable::ProtectKey),
        ("personality(READ_IMPLIES_EXEC)", Writable::Personality),
        ("shmat(EXEC)", Writable::Segment),
    ] {
        saw.join(in_child(what, || {
            let mut saw = Saw::new();
            match probe::run_written(way) {
                Ok(true) => saw.leak(format!("{what}: code that was written ran")),
                Ok(false) => saw.note(what, "something else ran"),
                Err(errno) => saw.note(what, name(errno)),
            }
            saw
        }));
    }
    saw
}

/// SA-07: quirks of older systems.
pub fn change_personality(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("personality", || {
        let mut saw = Saw::new();
        for persona in [0x0004_0000u64, 0x0040_0000, 0x0002_0000, 0x0000_0008, 0x0001_0000] {
            for high in [0u64, 1 << 32] {
                let answer = probe::call(libc::SYS_personality, &[(persona | high).into()]);
                saw.must_refuse(format!("personality({:#x})", persona | high), libc::SYS_personality, answer);
            }
        }
        saw
    })
}

/// FS-33: what a file system does to order.
pub fn file_ioctls(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let path = match &target.scratch {
        Some(dir) => format!("{dir}/ioctl"),
        None => target.program.clone(),
    };
    let made = fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDWR | libc::O_CREAT, 0o600);
    let made = made.or_else(|_| fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDONLY, 0));
    let Some(file) = saw.step("open", made) else { return saw };
    let room = Room::default();
    for (what, request) in [
        ("FS_IOC_GETFLAGS", 0x8008_6601u32),
        ("FS_IOC_SETFLAGS", 0x4008_6602),
        ("FS_IOC_FSGETXATTR", 0x801c_581f),
        ("FS_IOC_FSSETXATTR", 0x401c_5820),
        ("FICLONE", 0x4004_9409),
        ("FICLONERANGE", 0x4020_940d),
        ("FIDEDUPERANGE", 0xc018_9436),
        ("FITRIM", 0xc018_5879),
        ("FIFREEZE", 0xc004_5877),
        ("FITHAW", 0xc004_5878),
        ("FIBMAP", 1),
        ("FIGETBSZ", 2),
        ("FS_IOC_FIEMAP", 0xc020_660b),
        ("FS_IOC_GETVERSION", 0x8008_7601),
        ("FS_IOC_ENABLE_VERITY", 0x4080_6685),
        ("FS_IOC_SET_ENCRYPTION_POLICY", 0x800c_6613),
        ("FS_IOC_GETFSUUID", 0x8011_1500),
        ("FIOASYNC", 0x5452),
        ("FIOQSIZE", 0x5460),
        ("BLKGETSIZE64", 0x8008_1272),
        ("LOOP_CTL_GET_FREE", 0x4c82),
    ] {
        refuse!(saw, what, SYS_ioctl, file.as_raw_fd(), request, &room);
    }
    drop(file);
    if target.scratch.is_some() {
        let gone = probe::call(libc::SYS_unlink, &[c(&path).as_c_str().into()]);
        saw.step("unlink", gone);
    }
    saw
}

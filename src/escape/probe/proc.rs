//! `/proc` and `/sys`: what they tell, and what can be set there.

use std::os::fd::AsRawFd as _;

use super::{Steps, Target, c, in_child, look_for_secret, read_some};
use crate::escape::outcome::{Saw, name};
use crate::sys::{fd, probe};

/// Opens each for writing: success is the effect.
fn open_for_writing(paths: &[&str]) -> Saw {
    let mut saw = Saw::new();
    for path in paths {
        saw.must_fail(
            *path,
            fd::openat(libc::AT_FDCWD, &c(path), libc::O_WRONLY | libc::O_NOCTTY | libc::O_NONBLOCK, 0),
        );
    }
    saw
}

/// Opens each for reading, and reads: content is the effect.
fn read_each(paths: &[&str]) -> Saw {
    let mut saw = Saw::new();
    for path in paths {
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        saw.must_fail(*path, fd::openat(libc::AT_FDCWD, &c(path), flags, 0));
    }
    saw
}

/// PR-04: settings whose program the kernel runs as host root.
pub fn write_settings(_: &Target, _: &mut Steps<'_>) -> Saw {
    open_for_writing(&[
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hotplug",
        "/proc/sys/kernel/poweroff_cmd",
        "/proc/sys/kernel/panic",
        "/proc/sys/kernel/randomize_va_space",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/usermodehelper/bset",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/fs/suid_dumpable",
        "/proc/sys/net/ipv4/ip_forward",
    ])
}

/// PR-05: other ways to have the kernel run a program.
pub fn write_triggers(_: &Target, _: &mut Steps<'_>) -> Saw {
    open_for_writing(&[
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/sysrq",
        "/sys/kernel/uevent_helper",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/fs/binfmt_misc/status",
        "/sys/fs/cgroup/memory/release_agent",
        "/sys/fs/cgroup/release_agent",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/devices/system/cpu/cpu0/online",
    ])
}

/// PR-06: memory of the machine.
pub fn read_memory_of_machine(_: &Target, _: &mut Steps<'_>) -> Saw {
    read_each(&[
        "/proc/kcore",
        "/dev/mem",
        "/dev/kmem",
        "/dev/kmsg",
        "/dev/port",
        "/proc/kmsg",
        "/dev/nvram",
        "/proc/kpagemap",
        "/proc/vmcore",
        "/dev/cpu/0/msr",
    ])
}

/// PR-07: addresses of the kernel.
pub fn read_addresses(_: &Target, _: &mut Steps<'_>) -> Saw {
    read_each(&[
        "/proc/kallsyms",
        "/proc/modules",
        "/proc/vmallocinfo",
        "/proc/slabinfo",
        "/proc/timer_list",
        "/sys/kernel/notes",
        "/sys/module",
        "/proc/iomem",
        "/proc/ioports",
        "/sys/kernel/debug",
        "/sys/kernel/tracing",
    ])
}

/// PR-08: which machine this is.
pub fn read_fingerprint(_: &Target, _: &mut Steps<'_>) -> Saw {
    read_each(&[
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/version",
        "/proc/cmdline",
        "/proc/config.gz",
        "/proc/interrupts",
        "/proc/partitions",
        "/proc/diskstats",
        "/proc/swaps",
        "/proc/filesystems",
        "/proc/devices",
        "/proc/misc",
        "/proc/crypto",
        "/proc/bus",
        "/proc/driver",
        "/proc/fb",
        "/proc/consoles",
        "/proc/mdstat",
        "/proc/zoneinfo",
        "/proc/buddyinfo",
        "/proc/sys/kernel/random/boot_id",
        "/proc/sys/kernel/hostname",
        "/sys/class/dmi/id/product_uuid",
        "/etc/machine-id",
        "/etc/hostname",
        "/var/lib/dbus/machine-id",
        "/proc/schedstat",
    ])
}

/// PR-09: what others on this machine do.
pub fn read_activity(_: &Target, _: &mut Steps<'_>) -> Saw {
    read_each(&[
        "/proc/locks",
        "/proc/keys",
        "/proc/key-users",
        "/proc/loadavg",
        "/proc/stat",
        "/proc/pressure/cpu",
        "/proc/uptime",
        "/proc/vmstat",
        "/proc/softirqs",
        "/proc/sched_debug",
        "/proc/latency_stats",
        "/var/run/utmp",
        "/proc/pagetypeinfo",
    ])
}

/// PR-10: paths of the host in what a process sees of itself.
pub fn read_own_paths(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for file in [
        "mountinfo",
        "mounts",
        "mountstats",
        "maps",
        "smaps",
        "cgroup",
        "environ",
        "cmdline",
        "auxv",
        "stat",
        "limits",
        "comm",
    ] {
        look_for_secret(&mut saw, target, &format!("/proc/self/{file}"));
    }
    let links = ["exe", "cwd", "root", "fd/0", "fd/1", "fd/2"].map(|l| format!("/proc/self/{l}"));
    for link in links {
        if let Some(place) = saw.io_step(&link, std::fs::read_link(&link))
            && target.finds(place.as_os_str().as_encoded_bytes())
        {
            saw.leak(format!("{link} names a path of the host"));
        }
    }
    saw
}

/// PR-11: its own memory through a file, past the rights of its mappings.
pub fn write_own_memory(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("write its own code", || {
        let mut saw = Saw::new();
        let flags = libc::O_RDWR;
        if let Some(mem) = saw.step("/proc/self/mem", fd::openat(libc::AT_FDCWD, c"/proc/self/mem", flags, 0))
        {
            drop(mem);
            match probe::run_written(probe::Writable::ProcMem) {
                Ok(true) => saw.leak("code written through /proc/self/mem ran"),
                Ok(false) => saw.note("run what was written", "something else ran"),
                Err(errno) => saw.note("write /proc/self/mem", name(errno)),
            }
        }
        saw
    })
}

/// PR-12: the launcher's program through a link of the kernel.
pub fn overwrite_launcher(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let own = if target.inside() { "/proc/self/exe".to_owned() } else { target.precious() };
    for path in [own.as_str(), "/proc/1/exe", "/proc/2/exe"] {
        for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_WRONLY | libc::O_TRUNC] {
            let opened = fd::openat(libc::AT_FDCWD, &c(path), flags, 0);
            if target.inside() || path == own {
                saw.must_fail(format!("open {path} for writing"), opened);
            }
        }
        let place = fd::openat(libc::AT_FDCWD, &c(path), libc::O_PATH, 0);
        if let Some(place) = saw.step(format!("O_PATH {path}"), place) {
            let again = format!("/proc/self/fd/{}", place.as_raw_fd());
            let opened = fd::openat(libc::AT_FDCWD, &c(&again), libc::O_WRONLY, 0);
            saw.must_fail(format!("reopen {path} for writing"), opened);
        }
    }
    saw
}

/// PR-13: whom the kernel kills when memory runs out.
pub fn change_oom_score(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for (path, value) in [
        ("/proc/self/oom_score_adj", "-1000"),
        ("/proc/self/oom_score_adj", "1000"),
        ("/proc/1/oom_score_adj", "1000"),
    ] {
        let opened = fd::openat(libc::AT_FDCWD, &c(path), libc::O_WRONLY, 0);
        if let Some(file) = saw.step(path, opened) {
            saw.must_fail(format!("write {value} to {path}"), fd::write(file.as_raw_fd(), value.as_bytes()));
        }
    }
    saw
}

/// PR-14: more rights on an open file, by opening it once more.
pub fn reopen_with_more_rights(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    // Where the host's `/proc` is masked, a box has none: then this is the answer.
    let all = fd::openat(libc::AT_FDCWD, c"/proc/self/fd", libc::O_PATH | libc::O_DIRECTORY, 0);
    if saw.step("/proc/self/fd", all).is_none() {
        return saw;
    }
    for number in 0..1024 {
        let path = c(&format!("/proc/self/fd/{number}"));
        let Ok(place) = fd::openat(libc::AT_FDCWD, &path, libc::O_PATH, 0) else { continue };
        let regular = fd::identity(std::os::fd::AsFd::as_fd(&place))
            .is_ok_and(|i| i.mode & libc::S_IFMT == libc::S_IFREG);
        if number > 2 && place.as_raw_fd() == number {
            continue;
        }
        let opened = fd::openat(libc::AT_FDCWD, &path, libc::O_RDWR | libc::O_APPEND, 0);
        if regular {
            saw.must_fail(format!("descriptor {number}, a file of the host, for writing"), opened);
        } else {
            // Its own pipe, from the other side: nobody else's.
            saw.step(format!("descriptor {number}"), opened);
        }
    }
    saw
}

/// PR-16: sockets of the host in what shows the network.
pub fn read_sockets(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let port = format!(":{:04X} ", target.tcp);
    for base in ["/proc/net", "/proc/self/net"] {
        for file in ["tcp", "tcp6", "udp", "unix", "route", "arp", "nf_conntrack", "netlink", "packet"] {
            let path = format!("{base}/{file}");
            match read_some(&path, 1 << 20) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    let shown = text.contains(&port) || text.contains(&target.abstract_name);
                    saw.note(&path, if shown { "a socket of the host" } else { "nothing of the host" });
                    if shown {
                        saw.leak(format!("{path} shows a socket of the host"));
                    }
                }
                Err(errno) => saw.note(&path, name(errno)),
            }
        }
    }
    saw
}

/// PR-17: file systems of the kernel.
pub fn walk_sys(_: &Target, _: &mut Steps<'_>) -> Saw {
    read_each(&[
        "/sys",
        "/sys/kernel",
        "/sys/class/net",
        "/sys/fs/cgroup",
        "/sys/kernel/security",
        "/sys/kernel/debug",
        "/sys/firmware",
        "/sys/bus",
        "/sys/fs/fuse/connections",
        "/config",
    ])
}

/// PR-18: settings that belong to a namespace.
pub fn write_namespace_settings(_: &Target, _: &mut Steps<'_>) -> Saw {
    open_for_writing(&[
        "/proc/sys/user/max_user_namespaces",
        "/proc/sys/user/max_mnt_namespaces",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/kernel/shmmax",
        "/proc/sys/fs/mqueue/queues_max",
        "/proc/sys/kernel/domainname",
        "/proc/self/setgroups",
        "/proc/self/uid_map",
        "/proc/self/projid_map",
    ])
}

/// PR-40: what a process may set about itself there.
pub fn write_own_settings(_: &Target, _: &mut Steps<'_>) -> Saw {
    open_for_writing(&[
        "/proc/self/coredump_filter",
        "/proc/self/clear_refs",
        "/proc/self/timerslack_ns",
        "/proc/self/loginuid",
        "/proc/self/sched",
        "/proc/self/autogroup",
        "/proc/self/make-it-fail",
        "/proc/self/comm",
    ])
}

/// TT-06: terminals and consoles.
pub fn open_terminals(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let mut paths: Vec<String> = [
        "tty",
        "console",
        "tty0",
        "tty1",
        "ttyS0",
        "ptmx",
        "pts/ptmx",
        "vcs",
        "vcsa",
        "input/event0",
        "fb0",
        "uinput",
    ]
    .iter()
    .map(|d| format!("/dev/{d}"))
    .collect();
    paths.extend((0..16).map(|n| format!("/dev/pts/{n}")));
    for path in paths {
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK;
        saw.must_fail(&path, fd::openat(libc::AT_FDCWD, &c(&path), flags, 0));
    }
    saw
}

/// PR-41: devices of the host.
pub fn open_devices(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for device in [
        "kvm",
        "fuse",
        "net/tun",
        "loop-control",
        "loop0",
        "vda",
        "sda",
        "nvme0n1",
        "mapper/control",
        "vhost-vsock",
        "vsock",
        "snapshot",
        "userfaultfd",
        "dri/card0",
        "hpet",
        "shm",
        "mqueue",
        "disk",
        "bus/usb",
        "rtc0",
        "watchdog",
        "btrfs-control",
        "autofs",
        "uhid",
        "vfio/vfio",
    ] {
        let path = format!("/dev/{device}");
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        saw.must_fail(&path, fd::openat(libc::AT_FDCWD, &c(&path), flags, 0));
    }
    saw
}

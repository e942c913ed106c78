//! New namespaces, those of others, and what one's own show.

use std::os::fd::AsRawFd as _;

use super::{Steps, Target, c, in_child, read_some, refuse, step};
use crate::escape::outcome::{Saw, name};
use crate::sys::probe::{Arg, Room};
use crate::sys::{Errno, fd, probe};

/// `CLONE_NEWTIME`.
const NEW_TIME: i32 = 0x80;

/// Every kind, by its name in `/proc/self/ns`.
const KINDS: [(&str, i32); 8] = [
    ("user", libc::CLONE_NEWUSER),
    ("mnt", libc::CLONE_NEWNS),
    ("pid", libc::CLONE_NEWPID),
    ("net", libc::CLONE_NEWNET),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("time", NEW_TIME),
];

/// NS-01: a new user namespace, alone and with others.
pub fn unshare_user(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for (kind, flag) in KINDS {
        let what =
            if kind == "user" { "unshare(NEWUSER)".to_owned() } else { format!("unshare(NEWUSER|{kind})") };
        saw.join(in_child(&what, || {
            let mut saw = Saw::new();
            refuse!(saw, &what, SYS_unshare, libc::CLONE_NEWUSER | flag);
            saw
        }));
    }
    saw
}

/// A child made with these flags; it ends at once.
fn clone_with(saw: &mut Saw, what: &str, flags: u64) {
    let result = probe::call(libc::SYS_clone, &[flags.into(), 0.into(), 0.into(), 0.into(), 0.into()]);
    if result == Ok(0) {
        crate::sys::process::exit_now(0);
    }
    if let Some(pid) = saw.must_refuse(what, libc::SYS_clone, result) {
        crate::error::no_matter(
            crate::sys::process::wait_pid(crate::sys::int(usize::try_from(pid).unwrap_or(0)), true),
            "somebody else reaps it",
        );
    }
}

/// NS-02: by `clone`, with garbage where the kernel does not look.
pub fn clone_user(_: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let user = u64::from(libc::CLONE_NEWUSER.unsigned_abs()) | u64::from(libc::SIGCHLD.unsigned_abs());
    for (what, high) in
        [("clone(NEWUSER)", 0), ("clone(NEWUSER | 1<<40)", 1 << 40), ("clone(NEWUSER | 1<<63)", 1 << 63)]
    {
        if steps.next(what) {
            saw.join(in_child(what, || {
                let mut saw = Saw::new();
                clone_with(&mut saw, what, user | high);
                saw
            }));
        }
    }
    saw
}

/// NS-03: by `clone3`, whose flags lie behind a pointer.
pub fn clone3_user(_: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for size in [64usize, 80, 88, 96, 4096] {
        let what = format!("clone3({size} bytes)");
        if !steps.next(&what) {
            continue;
        }
        saw.join(in_child(&what, || {
            let mut saw = Saw::new();
            let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET;
            let mut args = [0u64; 11];
            args[0] = u64::from(flags.unsigned_abs());
            args[4] = u64::from(libc::SIGCHLD.unsigned_abs());
            let room = Room::of(&args.map(u64::to_le_bytes).concat());
            let result = probe::call(libc::SYS_clone3, &[(&room).into(), size.into()]);
            if result == Ok(0) {
                crate::sys::process::exit_now(0);
            }
            saw.must_refuse(&what, libc::SYS_clone3, result);
            saw
        }));
    }
    saw
}

/// NS-04: into the namespaces of whoever can be seen.
pub fn enter_others(target: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("setns", || {
        let mut saw = Saw::new();
        let mut processes: Vec<String> = ["self", "1", "2"].map(str::to_owned).to_vec();
        processes.push(target.victim.0.to_string());
        for process in processes {
            for (kind, flag) in KINDS {
                let path = format!("/proc/{process}/ns/{kind}");
                let file = fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDONLY, 0);
                let Some(file) = saw.step(format!("open {path}"), file) else { continue };
                refuse!(saw, format!("setns {path}"), SYS_setns, file.as_raw_fd(), flag);
                let high = i64::from(flag) | 1 << 32;
                refuse!(saw, format!("setns {path}, high bit"), SYS_setns, file.as_raw_fd(), high);
            }
        }
        for number in 3..32 {
            refuse!(saw, format!("setns descriptor {number}"), SYS_setns, number, 0);
        }
        saw
    })
}

/// NS-05: the network's configuration interface, with and without a namespace.
pub fn reach_netfilter(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("netfilter", || {
        const NETFILTER: i32 = 12;
        let mut saw = Saw::new();
        let raw = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        refuse!(saw, "unshare(NEWUSER|NEWNET)", SYS_unshare, libc::CLONE_NEWUSER | libc::CLONE_NEWNET);
        // The socket alone changes nothing: it is SK-02's.
        let made = step!(saw, "socket(NETLINK_NETFILTER)", SYS_socket, libc::AF_NETLINK, raw, NETFILTER);
        if let Some(socket) = made {
            // NFNL_MSG_BATCH_BEGIN for nf_tables, with an answer.
            let message = [20u32, 0x0005_0010, 0, 0, 0x0a00_0000].map(u32::to_le_bytes).concat();
            step!(saw, "begin a batch", SYS_sendto, socket, message.as_slice(), message.len(), 0, 0, 0);
            let answer = Room::default();
            step!(saw, "its answer", SYS_recvfrom, socket, &answer, 64, libc::MSG_DONTWAIT, 0, 0);
            // struct nlmsgerr: the error follows the header. Any other one is a batch that was looked at.
            let error = i32::from_le_bytes(answer.bytes()[16..20].try_into().unwrap_or_default());
            let refused = answer.bytes()[4..6] == [2, 0] && error == -libc::EPERM;
            saw.must_fail("a batch", if refused { Err(Errno::EPERM) } else { Ok(()) });
        }
        saw
    })
}

/// NS-08: groups dropped, so that an access list that refuses one lets it in.
pub fn drop_groups(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("setgroups", || {
        let mut saw = Saw::new();
        refuse!(saw, "setgroups(0)", SYS_setgroups, 0, 0);
        let root = 0u32.to_le_bytes();
        refuse!(saw, "setgroups(0: root)", SYS_setgroups, 1, root.as_slice());
        saw
    })
}

/// NS-10: a clock of its own.
pub fn shift_time(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("time", || {
        let mut saw = Saw::new();
        refuse!(saw, "unshare(NEWUSER|NEWTIME)", SYS_unshare, libc::CLONE_NEWUSER | NEW_TIME);
        let file = fd::openat(libc::AT_FDCWD, c"/proc/self/timens_offsets", libc::O_WRONLY, 0);
        if let Some(file) = saw.step("timens_offsets", file) {
            saw.must_fail("write timens_offsets", fd::write(file.as_raw_fd(), b"monotonic 1000 0"));
        }
        saw
    })
}

/// NS-11: the path of its cgroup on the host.
pub fn see_cgroup_path(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    match read_some("/proc/self/cgroup", 1 << 16) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let telling =
                text.lines().find(|l| l.contains("stockade-") || l.contains("/..") || l.contains("escape"));
            saw.note("/proc/self/cgroup", if telling.is_some() { "tells a path" } else { "tells nothing" });
            if let Some(line) = telling {
                saw.leak(format!("/proc/self/cgroup tells {line}"));
            }
        }
        Err(errno) => saw.note("/proc/self/cgroup", name(errno)),
    }
    saw
}

/// NS-13: from a namespace to its parent and owner.
pub fn walk_namespaces(_: &Target, _: &mut Steps<'_>) -> Saw {
    const NS_GET_USERNS: u32 = 0xb701;
    const NS_GET_PARENT: u32 = 0xb702;
    const NS_GET_OWNER_UID: u32 = 0xb704;
    const NS_GET_ID: u32 = 0x8008_b70d;
    const LISTNS: i64 = 470;
    let mut saw = Saw::new();
    let room = Room::default();
    for kind in ["user", "pid", "mnt", "net"] {
        let path = format!("/proc/self/ns/{kind}");
        let file = fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDONLY, 0);
        let number = saw.step(&path, file).map_or(-1, std::os::fd::IntoRawFd::into_raw_fd);
        for (what, request) in [
            ("NS_GET_USERNS", NS_GET_USERNS),
            ("NS_GET_PARENT", NS_GET_PARENT),
            ("NS_GET_OWNER_UID", NS_GET_OWNER_UID),
            ("NS_GET_ID", NS_GET_ID),
        ] {
            let answer = probe::call(libc::SYS_ioctl, &[number.into(), request.into(), (&room).into()]);
            saw.must_fail(format!("{what} {kind}"), answer);
        }
    }
    let request = [24u32, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat();
    let answer = probe::call(LISTNS, &[request.as_slice().into(), (&room).into(), 16.into(), 0.into()]);
    saw.must_refuse("listns", LISTNS, answer);
    saw
}

/// NS-14: network devices of the host.
pub fn see_devices(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for path in ["/proc/self/net/dev", "/proc/net/dev"] {
        match read_some(path, 1 << 16) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let names: Vec<&str> = text
                    .lines()
                    .filter_map(|l| l.split_once(':'))
                    .map(|(device, _)| device.trim())
                    .filter(|device| *device != "lo")
                    .collect();
                saw.note(path, if names.is_empty() { "lo at most" } else { "devices" });
                if let Some(device) = names.first() {
                    saw.leak(format!("{path} shows the device {device}"));
                }
            }
            Err(errno) => saw.note(path, name(errno)),
        }
    }
    let made = probe::call(libc::SYS_socket, &[libc::AF_INET.into(), libc::SOCK_DGRAM.into(), 0.into()]);
    if let Some(socket) = saw.step("socket(AF_INET)", made) {
        for index in 1..16u32 {
            // struct ifreq: name, index; SIOCGIFNAME fills in the name.
            let mut request = [0u8; 40];
            request[16..20].copy_from_slice(&index.to_le_bytes());
            let room = Room::of(&request);
            let answer = probe::call(libc::SYS_ioctl, &[socket.into(), 0x8910.into(), (&room).into()]);
            let bytes = room.bytes();
            let device = bytes.split(|b| *b == 0).next().unwrap_or_default();
            if answer.is_ok() && device != b"lo" {
                saw.leak(format!("device {}", String::from_utf8_lossy(device)));
            }
        }
    }
    saw
}

/// KX-13: the mounts of the namespace by its own calls.
pub fn list_mounts(_: &Target, _: &mut Steps<'_>) -> Saw {
    const STATMOUNT: i64 = 457;
    const LISTMOUNT: i64 = 458;
    const ROOT: u64 = u64::MAX;
    let mut saw = Saw::new();
    let room = Room::default();
    let request = |id: u64| [24u64, id, 0x1f].map(u64::to_le_bytes).concat();
    let all = request(ROOT);
    let answer = probe::call(LISTMOUNT, &[all.as_slice().into(), (&room).into(), 64.into(), 0.into()]);
    saw.must_refuse("listmount", LISTMOUNT, answer);
    let answer = probe::call(STATMOUNT, &[all.as_slice().into(), (&room).into(), 4096.into(), Arg::Num(0)]);
    saw.must_refuse("statmount", STATMOUNT, answer);
    refuse!(saw, "open_tree", SYS_open_tree, libc::AT_FDCWD, c"/", 0);
    saw
}

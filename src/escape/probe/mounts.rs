//! Mounts: made, changed, uncovered, left.

use std::os::fd::AsRawFd as _;

use super::{Steps, Target, c, in_child, look_for_secret, read_some, refuse, step};
use crate::escape::outcome::{Place, Saw, name};
use crate::sys::probe::Arg;
use crate::sys::{fd, probe};

const NEW_USER_AND_MOUNT: i32 = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;

/// A mount flag as the call takes it.
fn flags(bits: u64) -> Arg<'static> {
    Arg::Num(bits)
}

/// FS-02: a read-only mount made writable again, here and in a namespace of its own.
pub fn remount(target: &Target, _: &mut Steps<'_>) -> Saw {
    let bits = libc::MS_REMOUNT | libc::MS_BIND;
    let places: Vec<String> = match target.place {
        Place::OwnNamespaces => vec![format!("{}/read-only", target.dir)],
        _ => vec!["/".to_owned(), "/box".to_owned()],
    };
    let attempt = |what: &str, namespaces: i32| {
        in_child(what, || {
            let mut saw = Saw::new();
            if namespaces != 0 {
                step!(saw, "unshare(NEWUSER|NEWNS)", SYS_unshare, namespaces);
            }
            for place in &places {
                let path = c(place);
                step!(saw, format!("{what} {place}"), SYS_mount, c"none", path.as_c_str(), 0, flags(bits), 0);
                let file = c(&format!("{}/escape-remounted", place.trim_end_matches('/')));
                let made = fd::openat(libc::AT_FDCWD, &file, libc::O_CREAT | libc::O_WRONLY, 0o600);
                saw.must_fail(format!("{what} {place}, then create in it"), made);
            }
            saw
        })
    };
    let mut saw = attempt("remount", 0);
    saw.join(attempt("remount in a namespace of its own", NEW_USER_AND_MOUNT));
    let attr = [0u64, libc::MOUNT_ATTR_RDONLY, 0, 0].map(u64::to_le_bytes).concat();
    for place in &places {
        let path = c(place);
        refuse!(
            saw,
            format!("mount_setattr {place}"),
            SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_c_str(),
            0,
            attr.as_slice(),
            32
        );
    }
    saw
}

/// FS-03: what lies below a mount, by taking the mount away.
pub fn uncover(target: &Target, _: &mut Steps<'_>) -> Saw {
    let places: Vec<String> = match target.place {
        Place::OwnNamespaces => vec![format!("{}/covered", target.dir)],
        _ => ["/proc", "/dev", "/tmp", "/box", "/"].map(str::to_owned).to_vec(),
    };
    let attempt = |what: &str, namespaces: i32| {
        in_child(what, || {
            let mut saw = Saw::new();
            if namespaces != 0 {
                step!(saw, "unshare(NEWUSER|NEWNS)", SYS_unshare, namespaces);
            }
            for place in &places {
                let path = c(place);
                refuse!(saw, format!("{what} {place}"), SYS_umount2, path.as_c_str(), libc::MNT_DETACH);
            }
            saw
        })
    };
    let mut saw = attempt("umount2", 0);
    saw.join(attempt("umount2 in a namespace of its own", NEW_USER_AND_MOUNT));
    saw
}

/// FS-04: out of a root that was only changed: an open directory, a second
/// `chroot`, and upwards.
pub fn leave_chroot(target: &Target, _: &mut Steps<'_>) -> Saw {
    let start = match target.place {
        // The control starts in a plain chroot, which is known to be escapable.
        Place::OwnNamespaces => Some(format!("{}/jail", target.dir)),
        _ => None,
    };
    in_child("chroot", || {
        let mut saw = Saw::new();
        if let Some(jail) = &start {
            step!(saw, "the jail", SYS_chroot, c(jail).as_c_str());
            step!(saw, "into the jail", SYS_chdir, c"/");
        }
        let here = fd::openat(libc::AT_FDCWD, c"/", libc::O_RDONLY | libc::O_DIRECTORY, 0);
        let below = if start.is_some() { c"/below" } else { c"/etc" };
        step!(saw, "chroot", SYS_chroot, below);
        if let Some(here) = saw.step("open /", here) {
            step!(saw, "fchdir", SYS_fchdir, here.as_raw_fd());
        }
        for _ in 0..24 {
            step!(saw, "chdir ..", SYS_chdir, c"..");
        }
        let secret = target.secret();
        look_for_secret(&mut saw, target, secret.trim_start_matches('/'));
        look_for_secret(&mut saw, target, &format!("/..{secret}"));
        saw
    })
}

/// FS-05: mounts that are not the box's.
pub fn find_old_root(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let secret = target.secret();
    look_for_secret(&mut saw, target, &format!("/..{secret}"));
    look_for_secret(&mut saw, target, &format!("/../..{secret}"));
    for old in ["/.oldroot", "/oldroot", "/put_old", "/mnt", "/.pivot_root", "/host"] {
        look_for_secret(&mut saw, target, &format!("{old}{secret}"));
    }
    match read_some("/proc/self/mountinfo", 1 << 18) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let seen: Vec<&str> = text.lines().filter_map(|l| l.split(' ').nth(4)).collect();
            let extra: Vec<&&str> =
                seen.iter().filter(|at| !target.facts.mounts.iter().any(|m| m == **at)).collect();
            saw.note("mounts that are not planned", if extra.is_empty() { "none" } else { "some" });
            if let Some(first) = extra.first() {
                saw.leak(format!("{} is mounted, unplanned", first));
            }
            let roots = seen.iter().filter(|at| **at == "/").count();
            if roots > 1 && target.inside() {
                saw.leak(format!("{roots} mounts at /"));
            }
        }
        Err(errno) => saw.note("mountinfo", name(errno)),
    }
    saw
}

/// FS-20: the calls of the new mount API, one by one.
pub fn new_mount_api(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("the new mount API", || {
        let mut saw = Saw::new();
        let at = libc::AT_FDCWD;
        let made = refuse!(saw, "fsopen(tmpfs)", SYS_fsopen, c"tmpfs", 0);
        let fs = made.map_or(-1, |n| i64::try_from(n).unwrap_or(-1));
        refuse!(saw, "fsconfig", SYS_fsconfig, fs, 6, 0, 0, 0);
        refuse!(saw, "fsmount", SYS_fsmount, fs, 0, 0);
        refuse!(saw, "open_tree(CLONE)", SYS_open_tree, at, c"/", 1);
        refuse!(saw, "fspick", SYS_fspick, at, c"/", 0);
        refuse!(saw, "move_mount", SYS_move_mount, at, c"/tmp", at, c"/", 0);
        let attr = [libc::MOUNT_ATTR_NOSUID, 0, 0, 0].map(u64::to_le_bytes).concat();
        refuse!(saw, "mount_setattr", SYS_mount_setattr, at, c"/", 0, attr.as_slice(), 32);
        /// `open_tree_attr`, since Linux 6.15.
        const OPEN_TREE_ATTR: i64 = 467;
        let made = probe::call(
            OPEN_TREE_ATTR,
            &[at.into(), c"/".into(), 1.into(), attr.as_slice().into(), 32.into()],
        );
        saw.must_refuse("open_tree_attr", OPEN_TREE_ATTR, made);
        saw
    })
}

/// FS-22: file systems that a user namespace may mount.
pub fn mount_in_own_namespace(target: &Target, _: &mut Steps<'_>) -> Saw {
    let at = target.scratch.clone().unwrap_or_else(|| "/".to_owned());
    in_child("mount", || {
        let mut saw = Saw::new();
        if target.place != Place::OwnNamespaces {
            step!(saw, "unshare", SYS_unshare, NEW_USER_AND_MOUNT | libc::CLONE_NEWPID | libc::CLONE_NEWIPC);
        }
        let at = c(&at);
        for kind in [
            "tmpfs",
            "proc",
            "sysfs",
            "overlay",
            "fuse",
            "binfmt_misc",
            "bpf",
            "mqueue",
            "cgroup",
            "cgroup2",
            "devpts",
            "ramfs",
        ] {
            let data = match kind {
                "overlay" => c"lowerdir=/etc:/lib",
                "fuse" => c"fd=0,rootmode=40000,user_id=0,group_id=0",
                _ => c"",
            };
            refuse!(
                saw,
                format!("mount {kind}"),
                SYS_mount,
                c"none",
                at.as_c_str(),
                c(kind).as_c_str(),
                flags(0),
                data
            );
        }
        refuse!(
            saw,
            "mount a bind of /",
            SYS_mount,
            c"/",
            at.as_c_str(),
            0,
            flags(libc::MS_BIND | libc::MS_REC),
            0
        );
        refuse!(saw, "pivot_root", SYS_pivot_root, c".", c".");
        saw
    })
}

/// CG-01: a cgroup file system, mounted or to be mounted, and what hangs on it.
pub fn reach_cgroups(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for path in [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/memory/release_agent",
        "/sys/fs/cgroup/unified",
        "/cgroup",
        "/dev/cgroup",
    ] {
        let opened = fd::openat(libc::AT_FDCWD, &c(path), libc::O_RDONLY, 0);
        saw.must_fail(path, opened);
    }
    // Wherever one shows, and above the root, where one that was not detached is.
    let mounts = read_some("/proc/self/mountinfo", 1 << 18).unwrap_or_default();
    let mounts = String::from_utf8_lossy(&mounts).into_owned();
    let shown = mounts.lines().filter(|l| l.contains(" - cgroup")).filter_map(|l| l.split(' ').nth(4));
    for (above, at) in shown.flat_map(|at| [("", at), ("/..", at), ("/../..", at)]) {
        for file in ["", "/cgroup.procs", "/notify_on_release"] {
            let path = format!("{above}{at}{file}");
            saw.must_fail(&path, fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDONLY, 0));
            let write = libc::O_WRONLY | libc::O_CLOEXEC;
            saw.must_fail(format!("write {path}"), fd::openat(libc::AT_FDCWD, &c(&path), write, 0));
        }
    }
    if target.inside() {
        saw.join(in_child("mount cgroup", || {
            let mut saw = Saw::new();
            step!(saw, "unshare", SYS_unshare, NEW_USER_AND_MOUNT | libc::CLONE_NEWCGROUP);
            for kind in [c"cgroup", c"cgroup2"] {
                let at = target.scratch.as_deref().unwrap_or("/");
                refuse!(saw, "mount cgroup", SYS_mount, c"none", c(at).as_c_str(), kind, flags(0), 0);
            }
            saw
        }));
    }
    saw
}

/// CG-07: a cgroup below its own.
pub fn make_cgroup(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for dir in
        ["/sys/fs/cgroup/x", "/sys/fs/cgroup/memory/x", "/sys/fs/cgroup/pids/x", "/sys/fs/cgroup/unified/x"]
    {
        saw.must_fail(format!("mkdir {dir}"), fd::mkdirat(libc::AT_FDCWD, &c(dir), 0o700));
        let procs = format!("{}/cgroup.procs", dir.trim_end_matches("/x"));
        saw.must_fail(format!("write {procs}"), fd::openat(libc::AT_FDCWD, &c(&procs), libc::O_WRONLY, 0));
    }
    saw
}

/// FS-44: times of nodes that the host and every box have in common: a channel, and a change outside.
pub fn touch_devices(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for node in ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"] {
        let path = c(node);
        refuse!(saw, format!("touch {node}"), SYS_utimensat, libc::AT_FDCWD, path.as_c_str(), 0, 0);
    }
    saw
}

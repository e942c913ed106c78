//! User, pid, network, ipc, uts and cgroup namespaces, and the ids in them.
//!
//! Two user namespaces, one in the other. The outer one owns every other
//! namespace of the box and holds pid 1. The payload is in the inner one, which
//! owns nothing: a capability regained there has nothing to act on, mount flags
//! cannot be cleared, and the ids of the host do not show in `uid_map`. The
//! outer one's `max_user_namespaces` is 1, so that there is no third; where it
//! cannot be set, a trial tells.
//!
//! # References
//! `user_namespaces(7)`, `pid_namespaces(7)`, `namespaces(7)`

use std::ffi::CStr;
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::atomic::Ordering;

use super::child::{Failed, Steps};
use super::order::Step;
use super::plan::Plan;
use crate::Layer;
use crate::sys::{self, Errno, creds, fd, process};

/// First host id given to boxes: far from the ranges that systemd and
/// `/etc/subuid` hand out. The pid of M is added, which is unique among live boxes.
pub const HOST_ID_BASE: u32 = 0x7000_0000;

/// Namespaces that M is born into. Not pid: pid 1 may not use `CLONE_PARENT`.
pub const AT_BIRTH: i32 = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWUTS;

/// Namespaces that I makes and P joins: M needs nothing of them, and a network
/// namespace takes as long as half of the root.
pub const OF_INIT: i32 = libc::CLONE_NEWNET | libc::CLONE_NEWIPC;

/// Those of them that a launch makes: all, but in a test build.
#[cfg(not(feature = "ablation"))]
pub const fn at_birth(_: &Plan) -> i32 {
    AT_BIRTH
}

/// Those of them that a launch makes.
#[cfg(feature = "ablation")]
pub fn at_birth(plan: &Plan) -> i32 {
    match plan.spoilt.map(|spoilt| spoilt.layer) {
        Some(Layer::UtsNs) => AT_BIRTH & !libc::CLONE_NEWUTS,
        _ => AT_BIRTH,
    }
}

/// Those of I's that a launch makes: all, but for the network where it is the empty one of the
/// maker, and but in a test build.
fn of_init(steps: Steps) -> i32 {
    let only_if = |made, flag| if made { flag } else { 0 };
    only_if(steps.plan.own_network && !steps.without(Layer::NetNs), libc::CLONE_NEWNET)
        | only_if(!steps.without(Layer::IpcNs), libc::CLONE_NEWIPC)
}

/// Child only: in I, while M builds the root.
pub fn make_as_init(steps: Steps) -> Result<(), Failed> {
    let plan = steps.plan;
    steps.call(Step::InitNamespaces, || process::unshare(of_init(steps)))?;
    if plan.loopback && !steps.without(Layer::NetNs) {
        steps.call(Step::LoopbackUp, process::loopback_up)?;
    }
    steps.call(Step::InitNamespaces, || process::set_and_wake(&plan.init_has_namespaces, 1))?;
    // The supervisor may have died before this process's parent-death signal was set, and M with it:
    // then nobody will ever join.
    let alive = || super::inherited::supervisor_lives(plan);
    steps.call(Step::InitJoined, || process::wait_while(&plan.payload_has_joined, 0, alive))
}

/// Child only: in P, which joins what I has made.
pub fn join_init(steps: Steps) -> Result<(), Failed> {
    let plan = steps.plan;
    steps.call(Step::Join, || {
        // I must be dumpable for this, and its memory is M's.
        if plan.as_root {
            process::wait_for_change(&plan.has_fs_ids, 0)?;
        }
        process::wait_for_change(&plan.init_has_namespaces, 0)?;
        let made = of_init(steps);
        if made != 0 {
            process::join_namespaces(plan.init_fd.load(Ordering::Relaxed), made)?;
        }
        // Of a limit on descriptors, a number that is taken is one less.
        fd::close(plan.init_fd.load(Ordering::Relaxed))?;
        process::set_and_wake(&plan.payload_has_joined, 1)
    })
}

/// Child only: children of M are in a pid namespace of their own from now on.
pub fn new_pid_namespace(steps: Steps) -> Result<(), Failed> {
    steps.call(Step::NewPidNs, || process::unshare(libc::CLONE_NEWPID))
}

/// Child only: host and domain name.
pub fn set_names(steps: Steps) -> Result<(), Failed> {
    if !steps.without(Layer::UtsNs) {
        steps.call(Step::HostName, || process::sethostname(&steps.plan.hostname))?;
        steps.call(Step::DomainName, || process::setdomainname(b"(none)"))?;
    }
    Ok(())
}

/// Child only: the host's `/proc`, for what the box's own does not have.
pub fn open_host_proc(steps: Steps) -> Result<(), Failed> {
    let host_proc = steps.call(Step::OpenHostProc, || {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let dir = fd::openat(libc::AT_FDCWD, c"/proc", flags, 0)?;
        if sys::mount::fs_type(std::os::fd::AsFd::as_fd(&dir))? == libc::PROC_SUPER_MAGIC {
            Ok(dir)
        } else {
            Err(Errno::ENODEV)
        }
    })?;
    steps.plan.host_proc.store(host_proc.into_raw_fd(), Ordering::Relaxed);
    Ok(())
}

/// Child only: writes a file below the host's `/proc`.
fn write_host_proc(plan: &Plan, path: &CStr, content: &[u8]) -> sys::Result<()> {
    let dir = plan.host_proc.load(Ordering::Relaxed);
    let file: RawFd = fd::openat(dir, path, libc::O_WRONLY, 0)?.into_raw_fd();
    let written = fd::write(file, content);
    fd::close(file)?;
    if written? == content.len() { Ok(()) } else { Err(Errno::EIO) }
}

/// Child only: room for one more user namespace below this one. Answers an errno or 0.
pub fn limit_user_namespaces(steps: Steps) -> i32 {
    if steps.without(Layer::UserNs) {
        return 0;
    }
    steps.fact(Step::LimitUserNs, || write_host_proc(steps.plan, c"sys/user/max_user_namespaces", b"1"))
}

/// Child only: files made from now on belong to the box. As an ordinary user they do already.
pub fn use_box_ids_for_files(steps: Steps) -> Result<(), Failed> {
    let plan = steps.plan;
    if !plan.as_root {
        return Ok(());
    }
    steps.call(Step::FsIds, || {
        creds::set_fs_ids(plan.uid, plan.gid)?;
        process::set_dumpable(true)?;
        process::set_and_wake(&plan.has_fs_ids, 1)
    })
}

/// Child only: all ids at once, for pid 1.
pub fn set_ids(plan: &Plan) -> sys::Result<()> {
    if plan.as_root {
        creds::clear_groups()?;
    }
    creds::set_gid(plan.gid)?;
    creds::set_uid(plan.uid)
}

/// Child only: all ids, step by step, for the payload.
pub fn become_box_user(steps: Steps) -> Result<(), Failed> {
    let plan = steps.plan;
    if plan.as_root {
        steps.call(Step::Groups, creds::clear_groups)?;
    }
    steps.call(Step::Gid, || creds::set_gid(plan.gid))?;
    steps.call(Step::Uid, || creds::set_uid(plan.uid))?;
    steps.call(Step::Dumpable, || {
        process::wait_for_change(&plan.init_has_ids, 0)?;
        process::set_dumpable(true)
    })?;
    steps.call(Step::DeathsigAgain, process::die_with_parent)?;
    super::inherited::check_parent(steps)
}

/// Files that make the box's ids map to themselves in a new namespace.
pub const MAP_FILES: [&CStr; 3] = [c"self/setgroups", c"self/uid_map", c"self/gid_map"];

/// Child only: the box's ids map to themselves in the namespace just entered.
fn map_ids_to_themselves(steps: Steps) -> Result<(), Failed> {
    let [uids, gids] = &steps.plan.inner_maps;
    let contents: [&[u8]; 3] = [b"deny", uids, gids];
    for (i, (file, content)) in MAP_FILES.into_iter().zip(contents).enumerate() {
        steps.nth(Step::InnerMaps, i, || write_host_proc(steps.plan, file, content))?;
    }
    Ok(())
}

/// Child only: the inner user namespace. Answers an errno or 0; where it cannot
/// be had (a host switch refuses it), the posture says so.
pub fn enter_inner_user_namespace(steps: Steps) -> Result<i32, Failed> {
    let answer = steps.fact(Step::InnerUserNs, || process::unshare(libc::CLONE_NEWUSER));
    if answer == 0 {
        map_ids_to_themselves(steps)?;
    }
    Ok(answer)
}

/// Child only: a further user namespace must be refused. Answers the errno; 0 is
/// bad news, and the ids are put in order in the namespace that should not be.
pub fn try_another_user_namespace(steps: Steps) -> Result<i32, Failed> {
    let answer = steps.fact(Step::NoMoreUserNs, || process::unshare(libc::CLONE_NEWUSER));
    if answer == 0 {
        map_ids_to_themselves(steps)?;
    }
    Ok(answer)
}

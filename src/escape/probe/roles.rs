//! What this program can be besides a probe in a box: the surroundings in which
//! a control works, and those in which stockade itself must refuse to run.
//!
//! Each wants the first bytes of a job on standard input, and does nothing else
//! without them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::{MAGIC, read_exact, say, work};
use crate::error::no_matter;
use crate::escape::host;
use crate::sys::process::{Ended, exit_now, wait_pid};
use crate::sys::{fd, probe};

/// Starts as what the arguments after [`super::ARGUMENT`] name.
#[must_use]
pub fn start(arguments: &[OsString]) -> u8 {
    let role = arguments.first().and_then(|r| r.to_str()).unwrap_or_default();
    match role {
        "caller" => return host::main(),
        "victim" => return work::victim(),
        "closed" | "limited" | "masked" | "uncontrolled" => {}
        _ => return super::main(),
    }
    let mut magic = [0u8; MAGIC.len()];
    if read_exact(&mut magic).is_none() || magic != *MAGIC {
        return 125;
    }
    let rest = arguments.get(1..).unwrap_or_default();
    let (option, command) = match (role, rest) {
        ("closed", [mask, command @ ..]) => (mask.to_str().and_then(|m| m.parse().ok()), command),
        (_, command) => (Some(0u8), command),
    };
    let (Some(option), Some((program, words))) = (option, command.split_first()) else { return 125 };
    let prepared = match role {
        "closed" => close_streams(option),
        "limited" => no_more_namespaces(),
        "masked" => mask_proc(),
        _ => hide_cgroups(),
    };
    if let Err(error) = prepared {
        say(&format!("X {error}"));
        return 125;
    }
    let error = Command::new(program).args(words).exec();
    say(&format!("X {error}"));
    127
}

/// Closes the streams whose bits are set.
fn close_streams(mask: u8) -> Prepared {
    for stream in 0..3 {
        if mask & (1 << stream) != 0 {
            no_matter(fd::close(stream), "it is closed already");
        }
    }
    Ok(())
}

type Prepared = std::io::Result<()>;

/// A user namespace in which this process has the ids it had, and every right.
fn own_user_namespace(others: CloneFlags, inside: Option<u32>) -> Prepared {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | others)?;
    no_matter(fs::write("/proc/self/setgroups", "deny"), "an older kernel does not ask");
    fs::write("/proc/self/uid_map", format!("{} {uid} 1", inside.unwrap_or(uid.as_raw())))?;
    fs::write("/proc/self/gid_map", format!("{} {gid} 1", inside.unwrap_or(gid.as_raw())))
}

/// A host that allows no further user namespace.
fn no_more_namespaces() -> Prepared {
    own_user_namespace(CloneFlags::empty(), None)?;
    fs::write("/proc/sys/user/max_user_namespaces", "0")
}

/// A host whose `/proc` is masked in part, as containers have it.
fn mask_proc() -> Prepared {
    own_user_namespace(CloneFlags::CLONE_NEWNS, None)?;
    private()?;
    mount(Some("none"), "/proc/tty", Some("tmpfs"), MsFlags::MS_RDONLY, None::<&str>)?;
    Ok(())
}

/// A host without any cgroup that can be reached.
fn hide_cgroups() -> Prepared {
    if nix::unistd::geteuid().is_root() {
        unshare(CloneFlags::CLONE_NEWNS)?;
    } else {
        own_user_namespace(CloneFlags::CLONE_NEWNS, None)?;
    }
    private()?;
    mount(Some("none"), "/sys/fs/cgroup", Some("tmpfs"), MsFlags::MS_RDONLY, None::<&str>)?;
    Ok(())
}

fn private() -> Prepared {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    Ok(())
}

/// Mounts that the controls of the attacks on mounts try to change.
fn mounts_to_attack(dir: &str) -> Prepared {
    private()?;
    let read_only = format!("{dir}/read-only");
    mount(Some(read_only.as_str()), read_only.as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, read_only.as_str(), None::<&str>, flags, None::<&str>)?;
    mount(Some("none"), format!("{dir}/covered").as_str(), Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    Ok(())
}

/// Works as pid 1 of new namespaces of every kind, as their root.
#[must_use]
pub fn in_own_namespaces(dir: &str, work: impl FnOnce() -> u8) -> u8 {
    let others = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    let made = own_user_namespace(others, Some(0)).and_then(|()| mounts_to_attack(dir));
    if let Err(error) = made {
        say(&format!("X {error}"));
        return 125;
    }
    match probe::fork() {
        Ok(0) => exit_now(i32::from(work())),
        Ok(pid) => match wait_pid(pid, true) {
            Ok((Ended::Exited(code), _)) => code,
            _ => 125,
        },
        Err(_) => 125,
    }
}

/// The arguments of a role.
#[must_use]
pub fn arguments<'a>(role: &'a str, rest: &[&'a OsStr]) -> Vec<&'a OsStr> {
    let mut words = vec![OsStr::new(super::ARGUMENT), OsStr::new(role)];
    words.extend(rest);
    words
}

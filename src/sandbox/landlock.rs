//! Landlock: every right and scope that this kernel's ABI knows is handled, and
//! granted only below the paths of the policy. Where the policy gives a network,
//! a loopback of the box's own, TCP is not handled: its rules are one for each
//! port, and the box may use all.
//!
//! Rules are bound to inodes, so the paths are opened in the box, after the last
//! mount. A rule on a directory also holds below the mounts inside it: therefore
//! `/` itself grants no more than listing directories, and what lies directly in
//! it has rules of its own. Landlock shows in no file of `/proc`: whether it is
//! in force is tried, with the same call before and after.
//!
//! # References
//! `landlock(7)`

use std::ffi::CString;
use std::os::fd::{AsFd, IntoRawFd};
use std::sync::atomic::Ordering;

use landlock::{ABI, Access as _, AccessFs, AccessNet, BitFlags, Scope};

use super::child::{Failed, Steps};
use super::order::Step;
use super::plan::{LandlockPlan, LandlockRule};
use crate::policy::model::Access;
use crate::sys::landlock::{self as sys_landlock, RulesetAttr};
use crate::sys::{self, Errno, fd};

/// `LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF` and `..._LOG_SUBDOMAINS_OFF`, since
/// ABI 7: a payload could otherwise fill the host's audit log.
const LOG_OFF: u32 = 1 | 4;

/// First ABI with the flags of [`LOG_OFF`].
const LOG_ABI: u32 = 7;

/// Newest ABI that the rights below are known for.
pub const NEWEST_ABI: u32 = 9;

/// What the kernel's ABI can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    fs: BitFlags<AccessFs>,
    net: BitFlags<AccessNet>,
    scoped: BitFlags<Scope>,
}

impl Rights {
    /// Every right of an ABI.
    #[must_use]
    pub fn of(abi: u32) -> Self {
        let abi = ABI::from(i32::try_from(abi.min(NEWEST_ABI)).unwrap_or(0));
        Self { fs: AccessFs::from_all(abi), net: AccessNet::from_all(abi), scoped: Scope::from_all(abi) }
    }

    fn attr(self) -> RulesetAttr {
        RulesetAttr { fs: self.fs.bits(), net: self.net.bits(), scoped: self.scoped.bits() }
    }
}

/// What an ABI lacks, by name.
#[must_use]
pub fn missing(abi: u32) -> Vec<&'static str> {
    const SINCE: [(u32, &str); 8] = [
        (2, "refer"),
        (3, "truncate"),
        (4, "tcp"),
        (5, "ioctl_dev"),
        (6, "scope_signal"),
        (6, "scope_abstract_unix_socket"),
        (7, "audit_flags"),
        (9, "resolve_unix"),
    ];
    SINCE.iter().filter(|(since, _)| abi < *since).map(|(_, name)| *name).collect()
}

/// Rights that an access of the policy stands for.
#[must_use]
pub fn rights_of(access: Access) -> BitFlags<AccessFs> {
    let mut rights = BitFlags::empty();
    if access.read {
        rights |= AccessFs::ReadFile | AccessFs::ReadDir;
    }
    if access.write {
        rights |= AccessFs::WriteFile | AccessFs::Truncate;
    }
    if access.create {
        rights |= AccessFs::MakeReg
            | AccessFs::MakeDir
            | AccessFs::RemoveFile
            | AccessFs::RemoveDir
            | AccessFs::Refer;
    }
    if access.execute {
        rights |= AccessFs::Execute;
    }
    rights
}

/// The same in a work tree, where a link is a file like others: nobody else follows it.
#[must_use]
pub fn rights_of_work(access: Access) -> BitFlags<AccessFs> {
    rights_of(access) | if access.create { AccessFs::MakeSym.into() } else { BitFlags::empty() }
}

/// One grant, before it is known what the kernel can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Absolute path in the box.
    pub path: CString,
    /// What is granted below it.
    pub rights: BitFlags<AccessFs>,
    /// Whether the path is a directory: rights on directory entries mean
    /// nothing on a file and are refused for it.
    pub dir: bool,
}

/// The layer for a kernel of this ABI (at least 1); `network`: the box has one, which is its own.
#[must_use]
pub fn prepare(abi: u32, grants: Vec<Grant>, network: bool) -> LandlockPlan {
    let mut rights = Rights::of(abi);
    if network {
        rights.net = BitFlags::empty();
    }
    let on_file = AccessFs::from_file(ABI::V9);
    let rules = grants
        .into_iter()
        .map(|grant| {
            let granted = grant.rights & rights.fs & if grant.dir { rights.fs } else { on_file };
            LandlockRule { path: grant.path, rights: granted.bits() }
        })
        .filter(|rule| rule.rights != 0)
        .collect();
    LandlockPlan { attr: rights.attr(), rules, flags: if abi >= LOG_ABI { LOG_OFF } else { 0 } }
}

/// Child only: opens the host's `/proc` as a directory. No rule names it, so
/// Landlock, and nothing else, decides.
fn open_outside(steps: Steps) -> sys::Result<()> {
    let dir = steps.plan.host_proc.load(Ordering::Relaxed);
    let opened = fd::openat(dir, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    fd::close(opened.into_raw_fd())
}

/// Child only: enforces the ruleset and tries it. Answers the trial's errno; 0
/// means that the layer is not there, or not in force.
pub fn restrict(steps: Steps) -> Result<i32, Failed> {
    let Some(plan) = &steps.plan.landlock else { return Ok(0) };
    steps.call(Step::LandlockProbe, || open_outside(steps))?;
    let ruleset = steps.call(Step::LandlockRuleset, || sys_landlock::create_ruleset(&plan.attr))?;
    for (i, rule) in plan.rules.iter().enumerate() {
        let place = steps.nth(Step::LandlockOpen, i, || {
            fd::openat(libc::AT_FDCWD, &rule.path, libc::O_PATH | libc::O_NOFOLLOW, 0)
        })?;
        steps.nth(Step::LandlockRule, i, || {
            sys_landlock::allow_beneath(ruleset.as_fd(), rule.rights, place.as_fd())
        })?;
    }
    steps.call(Step::LandlockEnforce, || sys_landlock::restrict_self(ruleset.as_fd(), plan.flags))?;
    Ok(steps.fact(Step::LandlockTrial, || open_outside(steps)))
}

/// What the trial must answer.
pub const REFUSED: i32 = Errno::EACCES as i32;

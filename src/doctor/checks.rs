//! From what was tried to what is said of it.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::probes::{self, Answers, Namespaces, Tried};
use super::{
    CGROUP, CORE, Check, Choice, GROUPS, INNER_NS, KEYRING, LANDLOCK, MOUNTS, NAMESPACES, NS_LIMIT, OVERLAY,
    PIVOT, PROC, RIGHTS, SECCOMP, STORE, SWAP, USER_NS, YAMA, timing,
};
use crate::Layer;
use crate::error::{errno_text, io_text, no_matter};
use crate::image::Store;
use crate::sandbox::blockers::{self, Blocker, Switches};
use crate::sandbox::cgroup;
use crate::sandbox::host::Host;
use crate::sandbox::landlock::{NEWEST_ABI, missing};
use crate::sys::{self, Errno};

/// Every check but the real run.
pub fn all() -> Vec<Check> {
    let (store, tree) = store();
    let mut checks = match probes::namespaces(tree.as_ref().map(|t| t.0.as_path())) {
        Ok(tried) => namespaces(&tried),
        Err(errno) => vec![Check::fail(USER_NS, broken(errno))],
    };
    drop(tree);
    checks.push(landlock());
    checks.push(seccomp());
    checks.extend([cgroup(), swap(), keyring(), core(), yama(), groups(), store]);
    checks.extend(timing::checks());
    checks
}

/// A probe that could not be made at all.
fn broken(errno: Errno) -> Blocker {
    Blocker {
        what: format!("nothing can be tried here: {}", errno_text(errno as i32)),
        fix: "see that this process may fork and open files".to_owned(),
    }
}

/// All that happens in new namespaces.
fn namespaces(tried: &Namespaces) -> Vec<Check> {
    let switches = Switches::read();
    let answers = match tried {
        Namespaces::Refused(errno) => {
            if probes::user_namespace_alone().is_ok() {
                let blocker = switches.no_user_namespace(*errno);
                return vec![Check::pass(USER_NS, "can be made"), Check::fail(NAMESPACES, blocker)];
            }
            return vec![Check::fail(USER_NS, switches.no_user_namespace(*errno))];
        }
        Namespaces::Unmapped(errno) => {
            return vec![Check::fail(USER_NS, blockers::no_maps(switches.root, *errno))];
        }
        Namespaces::Made(answers) => answers,
    };
    let mut checks = vec![Check::pass(USER_NS, "can be made")];
    checks.push(rights(answers, &switches));
    checks.push(others(answers, &switches));
    let mounts = mounts(answers, &switches);
    let can_mount = mounts.fix.is_none();
    checks.push(mounts);
    if can_mount {
        checks.push(pivot(answers));
        checks.push(overlay(answers));
    }
    checks.push(inner(answers));
    checks.push(limit(answers));
    checks.push(proc(answers));
    checks
}

fn rights(answers: &Answers, switches: &Switches) -> Check {
    if answers.worked(Tried::HostName) {
        Check::pass(RIGHTS, "as they should be: the host name could be set in it")
    } else {
        Check::fail(RIGHTS, switches.no_rights())
    }
}

fn others(answers: &Answers, switches: &Switches) -> Check {
    for (tried, name) in [(Tried::PidNs, "pid"), (Tried::CgroupNs, "cgroup")] {
        if !answers.worked(tried) {
            let errno = answers.of(tried).unwrap_or(Errno::ENOSYS);
            let blocker =
                if errno == Errno::EPERM { switches.no_rights() } else { switches.no_user_namespace(errno) };
            let what = format!("no {name} namespace: {}", blocker.what);
            return Check::fail(NAMESPACES, Blocker { what, ..blocker });
        }
    }
    Check::pass(NAMESPACES, "each could be made")
}

fn mounts(answers: &Answers, switches: &Switches) -> Check {
    let steps = [
        (Tried::Private, "mount_setattr(/, MS_PRIVATE)"),
        (Tried::Tmpfs, "fsopen, fsmount(tmpfs)"),
        (Tried::Attach, "move_mount"),
    ];
    for (tried, call) in steps {
        if !answers.worked(tried) {
            let errno = answers.of(tried).unwrap_or(Errno::ENOSYS);
            let blocker = switches.no_mounts(errno);
            let what = format!("{call}: {}: {}", errno_text(errno as i32), blocker.what);
            return Check::fail(MOUNTS, Blocker { what, ..blocker });
        }
    }
    Check::pass(MOUNTS, "a file system in memory could be made, attached and made read-only")
}

fn pivot(answers: &Answers) -> Check {
    if answers.worked(Tried::Pivot) {
        return Check::pass(PIVOT, "works");
    }
    Check::fail(PIVOT, blockers::no_pivot(answers.of(Tried::Pivot).unwrap_or(Errno::EINVAL)))
}

fn overlay(answers: &Answers) -> Check {
    if answers.worked(Tried::Overlay) {
        return Check::pass(OVERLAY, "works over the store's file system");
    }
    let errno = answers.of(Tried::Overlay).unwrap_or(Errno::ENOENT);
    let why = errno_text(errno as i32);
    match errno {
        // There was no store to try it on.
        Errno::ENOENT => Check::note(OVERLAY, "not tried: there is no store"),
        Errno::ENODEV => Check::note(OVERLAY, format!("this kernel has none loaded ({why})"))
            .fix("as root: modprobe overlay"),
        Errno::EINVAL => Check::note(
            OVERLAY,
            format!("refused over the store's file system, perhaps an overlay of overlays itself ({why})"),
        )
        .fix("put the store on another file system: --store DIR, or STOCKADE_STORE"),
        _ => Check::note(OVERLAY, format!("refused ({why})")),
    }
}

fn inner(answers: &Answers) -> Check {
    match answers.of(Tried::InnerNs) {
        _ if answers.worked(Tried::InnerNs) => Check::pass(INNER_NS, "can be made"),
        Some(errno) => {
            let why = errno_text(errno as i32);
            Check::note(INNER_NS, format!("refused ({why}): the payload shares the user namespace of pid 1"))
        }
        None => Check::note(INNER_NS, "not tried: /proc cannot be opened"),
    }
}

fn limit(answers: &Answers) -> Check {
    let refused = answers.of(Tried::FurtherNs).is_some();
    match (answers.worked(Tried::NamespaceLimit), refused) {
        (true, true) => Check::pass(NS_LIMIT, "can be set, and holds"),
        (false, true) => {
            Check::note(NS_LIMIT, "cannot be set, but further user namespaces are refused all the same")
        }
        (_, false) => Check::degraded(NS_LIMIT, Layer::UserNs, blockers::no_namespace_limit()),
    }
}

fn proc(answers: &Answers) -> Check {
    if answers.worked(Tried::ProcMount) {
        return Check::pass(PROC, "can be mounted, with the box's own processes only");
    }
    let errno = answers.of(Tried::ProcMount).unwrap_or(Errno::EPERM);
    let blocker = blockers::no_proc();
    let found = match errno {
        Errno::EPERM => format!("{}: boxes have none, and see less", blocker.what),
        other => format!("cannot be mounted ({}): boxes have none, and see less", errno_text(other as i32)),
    };
    Check::note(PROC, found).fix(blocker.fix)
}

fn landlock() -> Check {
    let host = Host::get();
    let abi = host.landlock_abi;
    if abi == 0 {
        return Check::degraded(LANDLOCK, Layer::Landlock, blockers::no_landlock(0, host.landlock_errno, 1));
    }
    match probes::landlock_refuses() {
        Err(Errno::EACCES) => {}
        answer => {
            let words =
                answer.err().map_or_else(|| "by letting it through".to_owned(), |e| errno_text(e as i32));
            let what = format!("Landlock does not refuse what no rule grants: it was answered {words}");
            let fix = "look into the kernel's log (dmesg | grep -i landlock)".to_owned();
            return Check::degraded(LANDLOCK, Layer::Landlock, Blocker { what, fix });
        }
    }
    let lost = missing(abi);
    if lost.is_empty() {
        return Check::pass(LANDLOCK, format!("ABI {abi}, and it refuses what no rule grants"));
    }
    let found = format!("ABI {abi}, without {} (of ABI {NEWEST_ABI})", lost.join(", "));
    Check::note(LANDLOCK, found).fix("use a newer kernel: each of these is a second wall behind another one")
}

fn seccomp() -> Check {
    match probes::filters() {
        Ok(()) => Check::pass(SECCOMP, "filters and a listener could be installed"),
        Err(errno) => Check::fail(SECCOMP, blockers::no_seccomp(errno)),
    }
}

fn cgroup() -> Check {
    match cgroup::find(None) {
        Ok(world) => Check::pass(
            CGROUP,
            format!("{}: boxes get one below {}", world.version().name(), world.place().display()),
        ),
        Err(unavailable) => {
            let what = format!("no cgroup for the box: {}", unavailable.reason);
            Check::degraded(CGROUP, Layer::Cgroup, Blocker { what, fix: unavailable.help })
        }
    }
}

/// Which cgroup boxes get, for the last lines.
pub fn cgroup_choice() -> Choice {
    match cgroup::find(None) {
        Ok(world) => Choice {
            what: format!("{} below {}", world.version().name(), world.place().display()),
            why: match world.version() {
                cgroup::Version::V1 => {
                    "memory, pids and cpuacct are on hierarchies of their own here, and may be written"
                        .to_owned()
                }
                cgroup::Version::V2 => {
                    "the nearest cgroup around this process that may give memory and pids away".to_owned()
                }
            },
        },
        Err(unavailable) => Choice { what: "none".to_owned(), why: unavailable.reason },
    }
}

fn swap() -> Check {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() <= 1 {
        return Check::pass(SWAP, "this host has none");
    }
    if cgroup::find(None).is_ok() {
        return Check::note(SWAP, "this host has some; the box's limit on it is 0");
    }
    Check::note(SWAP, "this host has some, and without a cgroup memory that is swapped out is not counted")
        .fix("as root: swapoff -a, or give stockade a cgroup")
}

fn keyring() -> Check {
    match probes::keyring() {
        Ok(()) => Check::pass(KEYRING, "can be had"),
        Err(Errno::EDQUOT) => Check::note(
            KEYRING,
            "the quota of keys is used up; the filter refuses the keyring calls all the same",
        )
        .fix("as root: sysctl -w kernel.keys.maxkeys=2000"),
        Err(errno) => {
            let why = errno_text(errno as i32);
            Check::note(
                KEYRING,
                format!("refused ({why}); the filter refuses the keyring calls all the same"),
            )
        }
    }
}

fn core() -> Check {
    let host = Host::get();
    let can = probes::core_limit().is_ok();
    match (host.core_goes_to_program(), can) {
        (false, _) => Check::pass(
            CORE,
            format!("core_pattern is a file name ({:?}), and no core is written", host.core_pattern),
        ),
        (true, true) => Check::pass(CORE, "the host pipes cores to a program; the box's limit stops that"),
        (true, false) => Check::degraded(CORE, Layer::Rlimits, blockers::core_to_program()),
    }
}

fn yama() -> Check {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match scope.trim() {
        "" => Check::pass(YAMA, "not restricted (no Yama)"),
        "3" => Check::note(
            YAMA,
            "3: nobody reads another process's memory, so that `run --explain` cannot name files",
        )
        .fix("boot again without kernel.yama.ptrace_scope=3: it cannot be lowered"),
        scope => Check::pass(YAMA, format!("{scope}: boxes are stockade's own, which it permits")),
    }
}

fn groups() -> Check {
    let own = nix::unistd::getegid();
    let groups: Vec<String> = nix::unistd::getgroups()
        .unwrap_or_default()
        .into_iter()
        .filter(|g| *g != own)
        .map(|g| g.to_string())
        .collect();
    if nix::unistd::geteuid().is_root() {
        return Check::pass(GROUPS, "cleared, because stockade is root");
    }
    if groups.is_empty() {
        return Check::pass(GROUPS, "none to be kept");
    }
    let found = format!(
        "groups {} stay in the box: with --ro and --rw they open what they open outside",
        groups.join(",")
    );
    Check::note(GROUPS, found).fix("start it without them: setpriv --clear-groups -- stockade run …")
}

/// A directory that goes away again.
pub struct Tree(PathBuf);

impl Drop for Tree {
    fn drop(&mut self) {
        no_matter(fs::remove_dir_all(&self.0), "an empty directory in the store hurts nobody");
    }
}

/// The store, and in it a tree for the trial of the overlay.
fn store() -> (Check, Option<Tree>) {
    let uid = Host::get().uid;
    let located = Store::locate(None, &|name| std::env::var_os(name), uid);
    let store = match located.and_then(|path| Store::open(&path)) {
        Ok(store) => store,
        Err(problem) => {
            let check = Check::note(STORE, format!("none ({problem}): each root is a private copy"))
                .fix("name a directory of your own: --store DIR, or STOCKADE_STORE");
            return (check, None);
        }
    };
    let path = store.path().to_owned();
    match make_tree(&path) {
        Ok(tree) => (Check::pass(STORE, path.display().to_string()), Some(tree)),
        Err(e) => {
            let found = format!("{} cannot be written ({})", path.display(), io_text(&e));
            (
                Check::note(STORE, found).fix("name a directory of your own: --store DIR, or STOCKADE_STORE"),
                None,
            )
        }
    }
}

fn make_tree(store: &Path) -> std::io::Result<Tree> {
    let mut random = [0u8; 8];
    sys::time::random(&mut random)?;
    let path = store.join(format!("doctor-{:016x}", u64::from_ne_bytes(random)));
    let tree = Tree(path.clone());
    // The box's ids are nobody's outside: others must be able to look.
    for dir in [path.clone(), path.join("root"), path.join("empty")] {
        fs::DirBuilder::new().mode(0o755).create(dir)?;
    }
    Ok(tree)
}

//! Why a host refuses what a box needs, and the command that changes it.
//!
//! Guarantees: `run` and `doctor` say the same, because both take it from here.
//! Switches are only read to tell why something that was tried has failed.

use std::fs;
use std::sync::OnceLock;

use super::namespaces::HOST_ID_BASE;
use crate::sys::Errno;

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// One sentence: lower case, no trailing dot.
    pub what: String,
    /// What to do about it: a command where there is one.
    pub fix: String,
}

impl Blocker {
    fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }

    /// Both in one line, for a help.
    #[must_use]
    pub fn help(&self) -> String {
        format!("{}; {}", self.what, self.fix)
    }
}

/// Where the profile for AppArmor ships, and how it is loaded.
pub const APPARMOR_FIX: &str = "as root: install -m 0644 contrib/apparmor/stockade /etc/apparmor.d/stockade && \
     apparmor_parser -r /etc/apparmor.d/stockade";

/// Where the profile says that the program is.
const APPARMOR_PLACES: [&str; 3] = ["/usr/bin/stockade", "/usr/local/bin/stockade", "/bin/stockade"];

/// How the profile is loaded for a program that is at this place.
fn apparmor_fix(program: &str) -> String {
    if program.is_empty() || APPARMOR_PLACES.contains(&program) {
        return APPARMOR_FIX.to_owned();
    }
    // A profile is found by the path of the file that is executed.
    format!("{APPARMOR_FIX}, with {program} for the path in it")
}

/// How a container is started without its filter of system calls.
pub const CONTAINER_FIX: &str = "start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
     --security-opt systempaths=unconfined (docker, podman), or run stockade outside of it";

/// What tells one refusal from another. Read after something has failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Switches {
    /// Debian's switch for ordinary users; empty where there is none.
    pub unprivileged_userns_clone: String,
    /// How many user namespaces there may be below this one.
    pub max_user_namespaces: String,
    /// Ubuntu's restriction; empty where there is none.
    pub apparmor_restricts: String,
    /// The AppArmor profile that confines this process; empty where none does.
    pub apparmor_profile: String,
    /// The file that this process executes.
    pub program: String,
    /// Whether this process has a filter of system calls.
    pub filtered: bool,
    /// Whether this process is in a chroot.
    pub chrooted: bool,
    /// Whether this process is root.
    pub root: bool,
    /// Whether its user id is none of its user namespace.
    pub unmapped: bool,
}

impl Switches {
    /// As they are now.
    #[must_use]
    pub fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let status = read("/proc/self/status");
        let field =
            |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("").trim().to_owned();
        let mounts = read("/proc/self/mountinfo");
        Self {
            unprivileged_userns_clone: read("/proc/sys/kernel/unprivileged_userns_clone"),
            max_user_namespaces: read("/proc/sys/user/max_user_namespaces"),
            apparmor_restricts: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            apparmor_profile: confining(&read("/proc/self/attr/apparmor/current")).to_owned(),
            program: fs::read_link("/proc/self/exe").unwrap_or_default().display().to_string(),
            filtered: !matches!(field("Seccomp:").as_str(), "" | "0"),
            chrooted: !mounts.is_empty() && mounts.lines().all(|l| l.split(' ').nth(4) != Some("/")),
            root: nix::unistd::geteuid().is_root(),
            unmapped: fs::read_to_string("/proc/self/uid_map")
                .is_ok_and(|map| !maps(&map, nix::unistd::geteuid().as_raw())),
        }
    }

    /// Why a user namespace, or the others that are made with it, cannot be had.
    #[must_use]
    pub fn no_user_namespace(&self, errno: Errno) -> Blocker {
        if self.max_user_namespaces == "0" {
            return Blocker::new(
                "this host allows no user namespace",
                "as root: sysctl -w user.max_user_namespaces=10000",
            );
        }
        if self.unprivileged_userns_clone == "0" && !self.root {
            return Blocker::new(
                "this host switches user namespaces off for ordinary users",
                "as root: sysctl -w kernel.unprivileged_userns_clone=1",
            );
        }
        match errno {
            Errno::ENOSYS | Errno::EPERM if self.filtered => {
                Blocker::new("a container's seccomp filter refuses namespaces", CONTAINER_FIX)
            }
            Errno::EPERM if self.chrooted => Blocker::new(
                "the kernel makes no user namespace in a chroot",
                "start stockade outside of it, or enter the directory with pivot_root",
            ),
            // Root keeps what it has.
            Errno::EPERM | Errno::EACCES if self.apparmor_restricts == "1" && !self.root => Blocker::new(
                "AppArmor refuses user namespaces to programs without a profile that allows userns",
                apparmor_fix(&self.program),
            ),
            Errno::EACCES if !self.apparmor_profile.is_empty() => self.confined("user namespaces"),
            Errno::EPERM if self.unmapped => Blocker::new(
                "the caller's user id does not exist in the user namespace that stockade runs in",
                "map it there: unshare --user --map-current-user",
            ),
            Errno::EPERM | Errno::EACCES => Blocker::new(
                "a security module refuses user namespaces",
                "allow `userns_create` for stockade in its policy (for SELinux: ausearch -m avc -ts recent | audit2allow -M stockade)",
            ),
            Errno::ENOSPC => Blocker::new(
                "there are as many namespaces as this host allows, or they are nested too deeply",
                "as root: sysctl -w user.max_user_namespaces=10000 user.max_mnt_namespaces=10000 user.max_net_namespaces=10000",
            ),
            Errno::EAGAIN => Blocker::new(
                "the caller has as many processes as it may have",
                "raise the limit (ulimit -u), or end some of them",
            ),
            Errno::ENOSYS => Blocker::new("this kernel has no clone3", "use Linux 5.14 or later"),
            _ => Blocker::new(
                "this kernel cannot make the namespaces a box needs",
                "use a kernel with CONFIG_USER_NS, CONFIG_PID_NS, CONFIG_NET_NS, CONFIG_IPC_NS and CONFIG_UTS_NS",
            ),
        }
    }

    /// Why a new user namespace has no rights.
    #[must_use]
    pub fn no_rights(&self) -> Blocker {
        if self.apparmor_restricts == "1" {
            return Blocker::new(
                "AppArmor takes all rights from the user namespaces of programs without a profile that allows userns",
                apparmor_fix(&self.program),
            );
        }
        if let Some(filter) = self.refused_by_a_filter() {
            return filter;
        }
        if !self.apparmor_profile.is_empty() {
            return self.confined("what a box is made with");
        }
        Blocker::new(
            "a security module takes the rights from new user namespaces",
            format!("if it is AppArmor (Ubuntu 23.10 and later), {}", apparmor_fix(&self.program)),
        )
    }

    /// Why a call is refused that every kernel new enough has, and that needs no rights.
    #[must_use]
    pub fn refused_by_a_filter(&self) -> Option<Blocker> {
        let what = "a container's seccomp filter refuses what a box is made with";
        self.filtered.then(|| Blocker::new(what, CONTAINER_FIX))
    }

    /// The profile of AppArmor that this process runs under refuses something.
    fn confined(&self, what: &str) -> Blocker {
        Blocker::new(
            format!("the AppArmor profile '{}' refuses {what}", self.apparmor_profile.escape_debug()),
            "give stockade a profile of its own (contrib/apparmor/stockade), or start it from what is not confined",
        )
    }

    /// Why a call that sets up mounts is refused.
    #[must_use]
    pub fn no_mounts(&self, errno: Errno) -> Blocker {
        match errno {
            Errno::ENOSYS if !self.filtered => Blocker::new(
                "this kernel lacks the calls that mounts are made with",
                "use Linux 5.14 or later",
            ),
            _ => self.no_rights(),
        }
    }
}

/// The profile of a label (`NAME (enforce)`), if it refuses anything.
fn confining(label: &str) -> &str {
    ["(enforce)", "(kill)"].into_iter().find_map(|mode| label.strip_suffix(mode)).unwrap_or("").trim_end()
}

/// Why nothing can be looked at, let alone be made: without a `/proc` of this process's own, whatever is read
/// there is somebody else's, or nothing.
#[must_use]
pub fn foreign_proc() -> Option<Blocker> {
    let here = fs::read_link("/proc/self").ok().and_then(|pid| pid.to_str()?.parse::<u32>().ok());
    if here.is_none() {
        Some(no_host_proc())
    } else if here != Some(std::process::id()) {
        Some(Blocker::new(
            "the /proc here is that of another pid namespace",
            "mount one of this namespace's own (unshare: --mount-proc; bwrap: --proc /proc)",
        ))
    } else {
        None
    }
}

/// Why no box can be had, whatever is asked for. Looked at once.
#[must_use]
pub fn unusable() -> Option<Blocker> {
    static FOUND: OnceLock<Option<Blocker>> = OnceLock::new();
    // Of a user's boxes the ids are the user's own.
    let ids = || if nix::unistd::geteuid().is_root() { unmapped_ids() } else { None };
    FOUND.get_or_init(|| foreign_proc().or_else(ids)).clone()
}

/// Why the ids of boxes that root makes do not exist here.
fn unmapped_ids() -> Option<Blocker> {
    let read = ["/proc/self/uid_map", "/proc/self/gid_map"].map(fs::read_to_string);
    // Where there can be no user namespace at all, that comes first.
    let wanting = read.into_iter().flatten().any(|map| !maps(&map, HOST_ID_BASE));
    (wanting && Switches::read().max_user_namespaces != "0").then(|| no_maps(true, Errno::EPERM))
}

/// Whether a `uid_map` has this id.
fn maps(map: &str, id: u32) -> bool {
    let ranges = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (first, _, length) = (numbers.next()?.ok()?, numbers.next()?, numbers.next()?.ok()?);
        Some(first..first + length)
    });
    ranges.into_iter().any(|range| range.contains(&u64::from(id)))
}

/// Why the ids of a box cannot be mapped.
#[must_use]
pub fn no_maps(as_root: bool, errno: Errno) -> Blocker {
    if let Some(blocker) = foreign_proc() {
        blocker
    } else if errno == Errno::EROFS {
        Blocker::new(
            "the /proc here is read-only",
            "mount one that can be written (bwrap: --proc /proc; docker, podman: --security-opt \
             systempaths=unconfined)",
        )
    } else if as_root {
        Blocker::new(
            "the host ids of boxes, from 1879048192 on, do not exist in the user namespace that stockade runs in",
            "run it as an ordinary user there, or map that range",
        )
    } else {
        Switches::read().no_rights()
    }
}

/// Why there is no Landlock, or not enough of it; `abi` and `errno` as the kernel gives them.
#[must_use]
pub fn no_landlock(abi: u32, errno: i32, needed: u32) -> Blocker {
    let what = match (abi, errno) {
        (0, libc::EOPNOTSUPP) => "Landlock is switched off on this host".to_owned(),
        (0, libc::EPERM) => "a container's seccomp filter refuses Landlock".to_owned(),
        (0, _) => "this kernel has no Landlock".to_owned(),
        _ => format!("this kernel's Landlock has ABI {abi}, the policy demands {needed}"),
    };
    let fix = match (abi, errno) {
        (0, libc::EOPNOTSUPP) => "add 'landlock' to the kernel's lsm= boot parameter",
        (0, libc::EPERM) => CONTAINER_FIX,
        _ => "use a newer kernel, with CONFIG_SECURITY_LANDLOCK",
    };
    Blocker::new(what, format!("{fix}; --degrade landlock runs without it"))
}

/// Why a seccomp filter, or its listener, cannot be had.
#[must_use]
pub fn no_seccomp(errno: Errno) -> Blocker {
    let filtered = Switches::read().filtered;
    match errno {
        Errno::EBUSY => Blocker::new(
            "another listener for system calls is in force already, and the kernel allows one",
            "start stockade outside the container or tool that listens",
        ),
        _ if filtered => Blocker::new("a container's seccomp filter refuses further filters", CONTAINER_FIX),
        _ => Blocker::new(
            "this kernel has no filters of system calls",
            "use a kernel with CONFIG_SECCOMP_FILTER, Linux 5.19 or later",
        ),
    }
}

/// Why the root cannot be changed.
#[must_use]
pub fn no_pivot(errno: Errno) -> Blocker {
    match errno {
        Errno::EINVAL => Blocker::new(
            "this system runs from its initial ramdisk, which cannot be a root that is left",
            "switch to another root first: switch_root /newroot /sbin/init",
        ),
        _ => Switches::read().no_rights(),
    }
}

/// Why the host shows nothing of a process.
#[must_use]
pub fn no_host_proc() -> Blocker {
    Blocker::new("there is no /proc here", "mount it: mount -t proc proc /proc (bwrap: --proc /proc)")
}

/// Why a device of the host cannot be shown.
#[must_use]
pub fn no_device() -> Blocker {
    Blocker::new(
        "the /dev here lacks a device that the policy shows",
        "have one with all of them (bwrap: --dev /dev), or a policy that leaves it out of `devices`",
    )
}

/// Why a box has no `/proc`.
#[must_use]
pub fn no_proc() -> Blocker {
    Blocker::new(
        "this host masks parts of /proc",
        "show it whole (docker, podman: --security-opt systempaths=unconfined); a policy whose proc path is \
         \"optional\": true runs without one",
    )
}

/// Why further user namespaces can be made in a box.
#[must_use]
pub fn no_namespace_limit() -> Blocker {
    Blocker::new(
        "a further user namespace could be made in the box, because /proc/sys/user/max_user_namespaces cannot be \
         written",
        "have /proc/sys mounted writable in this container (docker, podman: --security-opt \
         systempaths=unconfined); --degrade user_ns leaves it to the filter to refuse user namespaces",
    )
}

/// Why a limit of the policy cannot be set.
#[must_use]
pub fn lower_limit() -> Blocker {
    Blocker::new(
        "the caller's own hard limit is lower, and nobody may raise it here",
        "raise it before stockade starts (ulimit -H), or ask for less: --open-files, --stack, --file-size, \
         --processes, --cpu-time",
    )
}

/// Why a file cannot be copied into a box.
#[must_use]
pub fn small_files() -> Blocker {
    Blocker::new(
        "it is larger than the files that the caller may write",
        "raise the limit before stockade starts (ulimit -f)",
    )
}

/// Why there are no descriptors left.
#[must_use]
pub fn no_descriptors() -> Blocker {
    Blocker::new(
        "the caller may not open as many files as a box needs",
        "raise the limit before stockade starts (ulimit -n): 64 beside those that are open will do",
    )
}

/// Why core dumps reach a program of the host.
#[must_use]
pub fn core_to_program() -> Blocker {
    Blocker::new(
        "the core limit can only be 0 here, which does not stop the host's piped core handler",
        "raise the hard limit (ulimit -H -c unlimited) before stockade starts, or as root: sysctl -w \
         kernel.core_pattern=core; --degrade rlimits runs all the same",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(switches: &Switches, errno: Errno) -> String {
        switches.no_user_namespace(errno).what
    }

    #[test]
    fn refused_user_namespace_is_blamed_on_the_switch_that_is_set() {
        let none = Switches::default();
        let debian = Switches { unprivileged_userns_clone: "0".into(), ..none.clone() };
        assert!(debian.no_user_namespace(Errno::EPERM).fix.contains("kernel.unprivileged_userns_clone=1"));
        // Root is not held by it, and a 1 is no switch.
        assert!(!what(&Switches { root: true, ..debian.clone() }, Errno::EPERM).contains("ordinary users"));
        let on = Switches { unprivileged_userns_clone: "1".into(), ..none.clone() };
        assert!(what(&on, Errno::EPERM).starts_with("a security module"));
        let zero = Switches { max_user_namespaces: "0".into(), filtered: true, ..none.clone() };
        assert!(zero.no_user_namespace(Errno::ENOSPC).fix.contains("user.max_user_namespaces=10000"));
        let filtered = Switches { filtered: true, ..none.clone() };
        for errno in [Errno::EPERM, Errno::ENOSYS] {
            assert_eq!(what(&filtered, errno), "a container's seccomp filter refuses namespaces");
        }
        let chroot = Switches { chrooted: true, ..none.clone() };
        assert_eq!(what(&chroot, Errno::EPERM), "the kernel makes no user namespace in a chroot");
        assert_eq!(what(&none, Errno::ENOSYS), "this kernel has no clone3");
        assert!(none.no_user_namespace(Errno::EINVAL).fix.contains("CONFIG_USER_NS"));
        assert!(what(&none, Errno::ENOSPC).starts_with("there are as many namespaces"));
    }

    #[test]
    fn refused_user_namespace_is_blamed_on_what_the_caller_lacks() {
        let none = Switches::default();
        assert!(none.no_user_namespace(Errno::EAGAIN).fix.contains("ulimit -u"));
        let unmapped = Switches { unmapped: true, ..none };
        assert!(unmapped.no_user_namespace(Errno::EPERM).fix.contains("--map-current-user"));
        let all = "         0          0 4294967295\n";
        assert!(maps(all, 0) && maps(all, 64242));
        let two = "0 1000 1\n5 100000 10\n";
        let found: Vec<u32> = (0..20).filter(|id| maps(two, *id)).collect();
        assert_eq!(found, [vec![0], (5..15).collect()].concat());
        assert!(!maps("", 0));
    }

    #[test]
    fn maps_that_cannot_be_written_are_blamed_on_what_is_mounted_or_mapped() {
        assert!(no_maps(false, Errno::EROFS).what.contains("read-only"));
        assert!(no_maps(true, Errno::EPERM).fix.contains("map that range"));
    }

    #[test]
    fn namespace_without_rights_is_blamed_on_apparmor_where_it_restricts() {
        let none = Switches::default();
        let apparmor = Switches { apparmor_restricts: "1".into(), filtered: true, ..none.clone() };
        assert!(apparmor.no_rights().what.starts_with("AppArmor takes all rights"));
        assert_eq!(apparmor.no_rights().fix, APPARMOR_FIX);
        assert_eq!(Switches { filtered: true, ..none.clone() }.no_rights().fix, CONTAINER_FIX);
        assert!(none.no_rights().what.starts_with("a security module"));
        // Elsewhere than the profile says, its path has to be changed.
        let own = Switches { program: "/opt/judge/stockade".into(), ..apparmor.clone() };
        assert_eq!(
            own.no_rights().fix,
            format!("{APPARMOR_FIX}, with /opt/judge/stockade for the path in it")
        );
        let installed = Switches { program: "/usr/local/bin/stockade".into(), ..apparmor.clone() };
        assert_eq!(installed.no_rights().fix, APPARMOR_FIX);
        let profile = include_str!("../../contrib/apparmor/stockade");
        assert!(
            profile.contains("\nprofile stockade /{usr/,usr/local/,}bin/stockade flags=(unconfined) {\n")
        );
    }

    #[test]
    fn user_namespace_that_apparmor_refuses_is_blamed_on_the_restriction_or_on_the_profile() {
        let none = Switches::default();
        let restricted = Switches { apparmor_restricts: "1".into(), ..none.clone() };
        for errno in [Errno::EPERM, Errno::EACCES] {
            assert!(what(&restricted, errno).starts_with("AppArmor refuses user namespaces to programs"));
            assert_eq!(restricted.no_user_namespace(errno).fix, APPARMOR_FIX);
        }
        assert!(what(&Switches { root: true, ..restricted }, Errno::EPERM).starts_with("a security module"));
        let confined = Switches { apparmor_profile: "my judge".into(), ..none.clone() };
        assert_eq!(what(&confined, Errno::EACCES), "the AppArmor profile 'my judge' refuses user namespaces");
        assert!(confined.no_rights().what.starts_with("the AppArmor profile 'my judge' refuses what a box"));
        // What AppArmor answers is EACCES.
        assert!(what(&confined, Errno::EPERM).starts_with("a security module"));
    }

    #[test]
    fn label_of_a_process_names_the_profile_that_confines_it() {
        for (label, profile) in [
            ("docker-default (enforce)", "docker-default"),
            ("a//&b (c) (enforce)", "a//&b (c)"),
            ("strict (kill)", "strict"),
            ("unconfined", ""),
            ("stockade (unconfined)", ""),
            ("learning (complain)", ""),
            ("", ""),
        ] {
            assert_eq!(confining(label), profile, "{label}");
        }
    }

    #[test]
    fn every_blocker_is_one_line_without_a_dot() {
        let switches = Switches::read();
        let mut all = vec![
            no_maps(true, Errno::EPERM),
            no_proc(),
            no_namespace_limit(),
            core_to_program(),
            switches.no_rights(),
        ];
        all.extend(switches.refused_by_a_filter());
        all.extend(foreign_proc());
        for errno in [Errno::EPERM, Errno::ENOSYS, Errno::EINVAL, Errno::ENOSPC, Errno::EBUSY] {
            all.extend([switches.no_user_namespace(errno), no_seccomp(errno), no_pivot(errno)]);
            all.extend([switches.no_mounts(errno), no_landlock(0, errno as i32, 1), no_landlock(3, 0, 4)]);
        }
        for blocker in all {
            for text in [&blocker.what, &blocker.fix] {
                assert!(!text.contains('\n') && !text.ends_with('.') && !text.contains("  "), "{text:?}");
            }
        }
    }
}

//! What programs ask for without needing it: libraries try it, and go on.

use crate::policy::names;

/// Calls that libraries do without, and what they do instead.
const CALLS: [(&str, &str); 17] = [
    ("clone3", "C libraries use clone instead"),
    ("close_range", "libraries close the descriptors one by one"),
    ("copy_file_range", "programs copy with read and write instead"),
    ("epoll_pwait2", "libraries use epoll_pwait instead"),
    ("fadvise64", "it is only advice"),
    ("futex_waitv", "libraries use futex instead"),
    ("get_mempolicy", "allocators take it for a machine with one memory node"),
    ("landlock_create_ruleset", "the program goes without a sandbox of its own"),
    ("madvise", "it is only advice"),
    ("mbind", "allocators take it for a machine with one memory node"),
    ("openat2", "libraries use openat instead"),
    ("prctl", "libraries only name memory and threads with it"),
    ("readahead", "it is only advice"),
    ("sched_setattr", "it only changes how soon the program runs"),
    ("set_mempolicy", "allocators take it for a machine with one memory node"),
    ("setpriority", "it only changes how soon the program runs"),
    ("statmount", "libraries read /proc instead"),
];

/// Files that libraries try, and do without. The second word says who.
const PATHS: [(&str, &str); 21] = [
    ("/etc/ld.so.preload", "the loader looks for it in every program"),
    ("/etc/ld.so.cache", "the loader then looks in the usual directories"),
    ("/etc/nsswitch.conf", "the C library has defaults"),
    ("/etc/suid-debug", "the C library looks for it"),
    ("/etc/gai.conf", "the C library has defaults"),
    ("/etc/malloc.conf", "an allocator looks for it"),
    ("/usr/lib/locale", "the C library falls back to the C locale"),
    ("/usr/share/locale", "messages stay in English"),
    ("/usr/share/locale-langpack", "messages stay in English"),
    ("/sys/fs/cgroup", "language runtimes look for limits there"),
    ("/sys/devices/system/cpu", "the C library asks sched_getaffinity instead"),
    ("/sys/devices/system/node", "allocators take it for a machine with one memory node"),
    ("/sys/kernel/mm", "allocators look at the size of huge pages"),
    ("/etc/localtime", "the C library takes it for UTC"),
    ("/etc/selinux", "libraries take it for a host without SELinux"),
    ("/proc/filesystems", "libraries take it for a host without SELinux"),
    ("/proc/mounts", "libraries take it for a host without SELinux"),
    ("/sys/fs/selinux", "libraries take it for a host without SELinux"),
    ("/usr/lib/python3/dist-packages", "Python goes without installed packages"),
    ("/proc/sys/vm", "allocators look at overcommit"),
    ("/proc/self/mountinfo", "language runtimes look for limits there"),
];

/// Why a refused call is no reason for a program to fail.
pub fn call(nr: u32, args: &[u64; 6]) -> Option<&'static str> {
    /// `PR_SET_VMA`, `PR_SET_THP_DISABLE`: names and advice.
    const ADVICE: [u64; 2] = [0x5356_4d41, 41];
    /// `SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK`, as the C library makes one to ask for users and groups.
    const ASKS_NSCD: [u64; 3] = [1, 0x8_0801, 0];
    let name = names::name(nr)?;
    if name == "socket" && args[..3] == ASKS_NSCD {
        return Some("the C library asks a name service cache, and does without");
    }
    if name == "prctl" && !ADVICE.contains(&(args[0] & 0xffff_ffff)) {
        return None;
    }
    CALLS.iter().find(|(known, _)| *known == name).map(|(_, why)| *why)
}

/// Why a missing path is no reason for a program to fail.
pub fn path(at: &str) -> Option<&'static str> {
    let covers =
        |known: &str| at.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if at.contains("/glibc-hwcaps/") || at.contains("/gconv/") {
        return Some("the C library looks for variants of a library");
    }
    if ["/usr/lib/python3.", "/usr/local/lib/python3."].iter().any(|lib| at.starts_with(lib)) {
        return Some(
            "Python looks for sources, and in several places, for what an image has compiled in one",
        );
    }
    PATHS.iter().find(|(known, _)| covers(known)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names_calls_that_exist_each_once() {
        for (at, (name, _)) in CALLS.iter().enumerate() {
            assert!(names::number(name).is_some(), "{name}");
            assert!(CALLS[..at].iter().all(|(other, _)| other < name), "{name}");
        }
    }

    #[test]
    fn path_is_expected_with_what_lies_below_it_and_nothing_beside() {
        assert!(path("/usr/lib/locale/C.utf8/LC_CTYPE").is_some());
        assert!(path("/etc/ld.so.preload").is_some());
        assert_eq!(path("/etc/ld.so.preload2"), None);
        assert_eq!(path("/usr/share/zoneinfo/UTC"), None);
    }

    #[test]
    fn prctl_is_expected_only_for_names_and_advice() {
        let prctl = names::number("prctl").unwrap();
        assert!(call(prctl, &[0x5356_4d41, 0, 0, 0, 0, 0]).is_some());
        assert_eq!(call(prctl, &[4, 0, 0, 0, 0, 0]), None);
        assert_eq!(call(names::number("flock").unwrap(), &[0; 6]), None);
    }
}

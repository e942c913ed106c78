//! Calls that do the same.
//!
//! Two mistakes are made with them: one is allowed and the other forgotten, so
//! that a program works with one C library and not with the next; or one is
//! restricted and the other is not, so that the restriction is none.

/// Calls that do the same.
pub(super) struct Group {
    /// Those that C libraries in use call: a policy has all of them or none.
    pub(super) core: &'static [&'static str],
    /// Older ones, that nothing calls any more, and newer ones, for which
    /// libraries fall back on `ENOSYS`. Allowing them is not needed.
    pub(super) others: &'static [&'static str],
}

const fn group(core: &'static [&'static str], others: &'static [&'static str]) -> Group {
    Group { core, others }
}

/// The table.
pub(super) const GROUPS: &[Group] = &[
    group(&["open", "openat"], &["creat"]),
    group(&["read", "readv"], &[]),
    group(&["write", "writev"], &[]),
    group(&["pread64"], &["preadv", "preadv2"]),
    group(&["pwrite64"], &["pwritev", "pwritev2"]),
    group(&["stat", "fstat", "newfstatat", "statx"], &["lstat"]),
    group(&["access", "faccessat"], &["faccessat2"]),
    group(&["readlink", "readlinkat"], &[]),
    group(&["getdents64"], &["getdents"]),
    group(&["statfs", "fstatfs"], &[]),
    group(&["dup", "dup2", "dup3"], &[]),
    group(&["pipe", "pipe2"], &[]),
    group(&["poll", "ppoll"], &[]),
    group(&["select", "pselect6"], &[]),
    group(&["epoll_create1"], &["epoll_create"]),
    group(&["epoll_wait", "epoll_pwait"], &["epoll_pwait2"]),
    group(&["eventfd2"], &["eventfd"]),
    group(&["signalfd4"], &["signalfd"]),
    group(&["inotify_init1"], &["inotify_init"]),
    group(&["fork", "vfork", "clone"], &[]),
    group(&["exit", "exit_group"], &[]),
    group(&["wait4", "waitid"], &[]),
    group(&["tkill", "tgkill"], &[]),
    group(&["rt_sigqueueinfo", "rt_tgsigqueueinfo"], &[]),
    group(&["unlink", "unlinkat"], &[]),
    group(&["rename", "renameat", "renameat2"], &[]),
    group(&["mkdir", "mkdirat"], &[]),
    group(&["truncate", "ftruncate"], &[]),
    group(&["link", "linkat"], &[]),
    group(&["symlink", "symlinkat"], &[]),
    group(&["mknod", "mknodat"], &[]),
    group(&["chmod", "fchmod", "fchmodat"], &["fchmodat2"]),
    group(&["chown", "fchown", "lchown", "fchownat"], &[]),
    group(&["utimensat"], &["utime", "utimes", "futimesat"]),
    group(&["setxattr", "lsetxattr", "fsetxattr"], &["setxattrat"]),
    group(&["getxattr", "lgetxattr", "fgetxattr"], &["getxattrat"]),
    group(&["mlock"], &["mlock2"]),
    group(&["nanosleep", "clock_nanosleep"], &[]),
    group(&["clock_gettime", "gettimeofday", "time"], &[]),
    group(&["getrlimit", "prlimit64"], &[]),
    group(&["accept", "accept4"], &[]),
    group(&["sendto", "sendmsg"], &["sendmmsg"]),
    group(&["recvfrom", "recvmsg"], &["recvmmsg"]),
    group(&["sched_setscheduler", "sched_setattr"], &[]),
];

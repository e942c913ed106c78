//! Which constants belong to which argument.
//!
//! A constant of another family is a mistake that no number can show:
//! `PR_SET_NAME` as an `ioctl` request is the number 15. An argument without
//! a family takes any constant.

/// Prefixes of the constants that make sense for an argument.
pub(super) fn family(call: &str, arg: &str) -> Option<&'static [&'static str]> {
    by_call(call, arg).or_else(|| by_argument(call, arg))
}

/// Arguments that mean the same in every call that has them.
fn by_argument(call: &str, arg: &str) -> Option<&'static [&'static str]> {
    Some(match arg {
        "prot" => &["PROT_"],
        "advice" if call == "fadvise64" => &["POSIX_FADV_"],
        "advice" => &["MADV_"],
        "clockid" | "clk_id" => &["CLOCK_"],
        "dirfd" | "olddirfd" | "newdirfd" => &["AT_FDCWD"],
        "domain" => &["AF_"],
        "level" => &["SOL_", "IPPROTO_"],
        "mode" if !matches!(call, "fallocate" | "mbind" | "set_mempolicy" | "access") => {
            if call.starts_with("faccessat") { &["R_OK", "W_OK", "X_OK", "F_OK"] } else { &["S_I"] }
        }
        "optname" => &["SO_", "IP_", "TCP_"],
        "policy" => &["SCHED_"],
        "resource" => &["RLIMIT_"],
        "shmflg" => &["SHM_", "IPC_", "S_I"],
        "semflg" => &["IPC_", "S_I"],
        "msgflg" if call == "msgget" => &["IPC_", "S_I"],
        "msgflg" => &["IPC_", "MSG_"],
        "sig" | "signum" if call != "rseq" => &["SIG"],
        "whence" => &["SEEK_"],
        _ => return None,
    })
}

/// Arguments whose meaning is their call's.
fn by_call(call: &str, arg: &str) -> Option<&'static [&'static str]> {
    Some(match (call, arg) {
        ("fcntl", "cmd") => &["F_"],
        ("ioctl", "request") => &["TC", "TIO", "FI", "FS_IOC", "SIOC"],
        ("prctl", "option") => &["PR_"],
        ("arch_prctl", "code") => &["ARCH_"],
        // The low byte is the signal sent at the end.
        ("clone", "flags") => &["CLONE_", "SIG"],
        ("unshare", "flags") | ("setns", "nstype") => &["CLONE_"],
        ("access", "mode") => &["R_OK", "W_OK", "X_OK", "F_OK"],
        ("open" | "openat" | "pipe2" | "dup3" | "open_by_handle_at", "flags") | ("mq_open", "oflag") => {
            &["O_"]
        }
        ("mmap", "flags") => &["MAP_"],
        ("mremap", "flags") => &["MREMAP_"],
        ("msync", "flags") => &["MS_"],
        ("mlockall", "flags") => &["MCL_"],
        ("mlock2", "flags") => &["MLOCK_"],
        ("memfd_create", "flags") => &["MFD_"],
        ("memfd_secret", "flags") => &["O_CLOEXEC"],
        ("fallocate", "mode") => &["FALLOC_"],
        ("socket" | "socketpair", "type") | ("accept4", "flags") => &["SOCK_"],
        ("socket" | "socketpair", "protocol") => &["IPPROTO_"],
        ("shutdown", "how") => &["SHUT_"],
        ("rt_sigprocmask", "how") => &["SIG_"],
        ("sendto" | "sendmsg" | "sendmmsg" | "recvfrom" | "recvmsg" | "recvmmsg", "flags") => &["MSG_"],
        ("eventfd2", "flags") => &["EFD_"],
        ("epoll_create1", "flags") => &["EPOLL_"],
        ("epoll_ctl", "op") => &["EPOLL_CTL_"],
        ("timerfd_create", "flags") => &["TFD_"],
        ("signalfd4", "flags") => &["SFD_"],
        ("inotify_init1", "flags") => &["IN_"],
        ("getrandom", "flags") => &["GRND_"],
        ("getrusage", "who") => &["RUSAGE_"],
        ("getpriority" | "setpriority", "which") => &["PRIO_"],
        ("getitimer" | "setitimer", "which") => &["ITIMER_"],
        ("waitid", "idtype") => &["P_"],
        ("waitid" | "wait4", "options") => &["W", "__W"],
        ("flock", "operation") => &["LOCK_"],
        ("futex", "futex_op") => &["FUTEX_"],
        ("membarrier", "cmd") => &["MEMBARRIER_CMD_"],
        ("personality", "persona") => &["PER_", "ADDR_", "READ_IMPLIES_EXEC", "UNAME26", "MMAP_PAGE_ZERO"],
        ("preadv2" | "pwritev2", "flags") => &["RWF_"],
        ("splice" | "tee" | "vmsplice", "flags") => &["SPLICE_F_"],
        ("renameat2", "flags") => &["RENAME_"],
        ("close_range", "flags") => &["CLOSE_RANGE_"],
        (
            "newfstatat" | "unlinkat" | "linkat" | "fchownat" | "faccessat2" | "fchmodat2" | "utimensat"
            | "statx" | "name_to_handle_at",
            "flags",
        ) => &["AT_"],
        ("shmctl" | "semctl" | "msgctl", "cmd") => &["IPC_", "SHM_"],
        _ => return None,
    })
}

//! Calls that a policy may allow and that deserve a word about why.

/// Calls with the same danger.
pub(super) struct Danger {
    /// The calls, by name.
    pub(super) calls: &'static [&'static str],
    /// Whether only a rule without a condition is dangerous.
    pub(super) bare_only: bool,
    /// What can be done with them.
    pub(super) why: &'static str,
}

const fn danger(calls: &'static [&'static str], why: &'static str) -> Danger {
    Danger { calls, bare_only: false, why }
}

/// The table: what is refused altogether is in [`super::super::demands`].
pub(super) const DANGERS: &[Danger] = &[
    danger(
        &[
            "socket",
            "socketpair",
            "connect",
            "bind",
            "listen",
            "accept",
            "accept4",
            "sendto",
            "sendmsg",
            "sendmmsg",
        ],
        "a socket reaches every socket file that a bind shows, whatever the mount flags",
    ),
    danger(&["memfd_create", "memfd_secret"], "it makes a file that no mount flag and no quota covers"),
    danger(
        &[
            "shmget",
            "shmat",
            "shmctl",
            "semget",
            "semop",
            "semtimedop",
            "semctl",
            "msgget",
            "msgsnd",
            "msgrcv",
            "msgctl",
        ],
        "it keeps memory in the kernel that outlives the process",
    ),
    danger(
        &["mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr"],
        "it keeps memory in the kernel that outlives the process",
    ),
    danger(
        &["inotify_init", "inotify_init1", "inotify_add_watch", "fanotify_init", "fanotify_mark"],
        "it tells what others do with a file that a bind shows",
    ),
    danger(&["flock"], "a lock on a file that a bind shows is a channel to other boxes"),
    danger(
        &["pidfd_open", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "process_mrelease"],
        "it acts on other processes of the box, its first one among them",
    ),
    danger(
        &[
            "sched_setscheduler",
            "sched_setattr",
            "sched_setparam",
            "sched_setaffinity",
            "setpriority",
            "ioprio_set",
        ],
        "it changes how much of the machine the others get",
    ),
    danger(
        &["mbind", "set_mempolicy", "migrate_pages", "move_pages", "set_mempolicy_home_node"],
        "it moves memory between nodes, at the cost of others",
    ),
    danger(&["personality"], "it changes how the kernel treats the program"),
    danger(
        &["chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat"],
        "it leaves files in a directory of the host in a state that others act on",
    ),
    danger(
        &["link", "linkat", "symlink", "symlinkat", "mknod", "mknodat"],
        "what it leaves in a directory of the host can lead a reader elsewhere",
    ),
    danger(&["execve"], "it runs every program of the image"),
    danger(
        &["splice", "tee", "vmsplice"],
        "it hands pages of files to pipes, where the kernel has had holes",
    ),
    danger(
        &["io_setup", "io_submit", "io_pgetevents", "io_getevents", "io_cancel", "io_destroy"],
        "an old and rarely used part of the kernel",
    ),
    danger(
        &[
            "modify_ldt",
            "remap_file_pages",
            "quotactl",
            "quotactl_fd",
            "syslog",
            "lookup_dcookie",
            "uselib",
            "ustat",
            "sysfs",
            "name_to_handle_at",
        ],
        "an old and rarely used part of the kernel",
    ),
    Danger {
        calls: &["fcntl", "ioctl", "prctl", "madvise", "keyctl"],
        bare_only: true,
        why: "it is an entrance to many functions: say with `if` which of them",
    },
];

//! The system calls of x86-64: number and arguments of each.
//!
//! Guarantees: sorted by name; every number that the `syscalls` crate knows is
//! here, and the few newer ones (both tested). Argument names are those of the
//! manual pages (of the kernel where there is none); where the page was
//! rewritten under another name, both are known.
//!
//! Widths are those the kernel acts on, which is what a filter has to compare
//! (`SYSCALL_DEFINE` of Linux 6.1, and of later kernels for the calls they
//! added). Four kinds are narrower than declared, because the kernel drops the
//! upper half without looking at it:
//! - `clone` takes `unsigned long clone_flags` and uses `lower_32_bits` of it:
//!   compared in 64 bits, a set bit 40 would hide a flag (CVE-2021-41133);
//! - `mmap` takes `prot`, `flags` and `fd` as `unsigned long` and ignores what
//!   it does not know in them;
//! - the vectored reads and writes take `unsigned long fd`, looked up as an
//!   `unsigned int`; `mbind` and `ptrace` do the same with `mode` and `pid`;
//! - every `umode_t` is 16 bits wide.
//!
//! An address that the kernel does not read through (`mmap`'s `addr`) still
//! counts as a pointer: layout is random, so a rule on it can only be a
//! mistake. Arguments that are a pointer or a number depending on another
//! argument (`ioctl`'s `arg`) count as numbers.

use syscalls::Sysno;

use super::Kind::{self, Int, Long, Ptr, Short};

/// A system call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) args: &'static [Spec],
}

/// One argument: its names, separated by `|`, and what it is.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) names: &'static str,
    pub(super) kind: Kind,
}

macro_rules! calls {
    ($($name:ident $(= $number:literal)?: $($arg:literal $kind:ident),*;)+) => {
        /// Every call, by name.
        pub(super) static CALLS: &[Call] = &[$(Call {
            name: stringify!($name),
            number: calls!(@number $name $($number)?),
            args: &[$(Spec { names: $arg, kind: $kind }),*],
        }),+];
    };
    (@number $name:ident) => { Sysno::$name.id().cast_unsigned() };
    (@number $name:ident $number:literal) => { $number };
}

calls! {
    _sysctl: "args" Ptr;
    accept: "sockfd" Int, "addr" Ptr, "addrlen" Ptr;
    accept4: "sockfd" Int, "addr" Ptr, "addrlen" Ptr, "flags" Int;
    access: "pathname" Ptr, "mode" Int;
    acct: "filename" Ptr;
    add_key: "type" Ptr, "description" Ptr, "payload" Ptr, "plen" Long, "keyring" Int;
    adjtimex: "buf" Ptr;
    afs_syscall:;
    alarm: "seconds" Int;
    arch_prctl: "code|option" Int, "addr" Long;
    bind: "sockfd" Int, "addr" Ptr, "addrlen" Int;
    bpf: "cmd" Int, "attr" Ptr, "size" Int;
    brk: "addr" Ptr;
    cachestat: "fd" Int, "cstat_range" Ptr, "cstat" Ptr, "flags" Int;
    capget: "hdrp" Ptr, "datap" Ptr;
    capset: "hdrp" Ptr, "datap" Ptr;
    chdir: "path" Ptr;
    chmod: "pathname" Ptr, "mode" Short;
    chown: "pathname" Ptr, "owner" Int, "group" Int;
    chroot: "path" Ptr;
    clock_adjtime: "clk_id" Int, "buf" Ptr;
    clock_getres: "clockid" Int, "res" Ptr;
    clock_gettime: "clockid" Int, "tp" Ptr;
    clock_nanosleep: "clockid" Int, "flags" Int, "request" Ptr, "remain" Ptr;
    clock_settime: "clockid" Int, "tp" Ptr;
    clone: "flags" Int, "stack" Ptr, "parent_tid" Ptr, "child_tid" Ptr, "tls" Long;
    clone3: "cl_args" Ptr, "size" Long;
    close: "fd" Int;
    close_range: "first" Int, "last" Int, "flags" Int;
    connect: "sockfd" Int, "addr" Ptr, "addrlen" Int;
    copy_file_range: "fd_in" Int, "off_in" Ptr, "fd_out" Int, "off_out" Ptr, "len" Long, "flags" Int;
    creat: "pathname" Ptr, "mode" Short;
    create_module: "name" Ptr, "size" Long;
    delete_module: "name" Ptr, "flags" Int;
    dup: "oldfd" Int;
    dup2: "oldfd" Int, "newfd" Int;
    dup3: "oldfd" Int, "newfd" Int, "flags" Int;
    epoll_create: "size" Int;
    epoll_create1: "flags" Int;
    epoll_ctl: "epfd" Int, "op" Int, "fd" Int, "event" Ptr;
    epoll_ctl_old:;
    epoll_pwait: "epfd" Int, "events" Ptr, "maxevents" Int, "timeout" Int, "sigmask" Ptr, "sigsetsize" Long;
    epoll_pwait2: "epfd" Int, "events" Ptr, "maxevents" Int, "timeout" Ptr, "sigmask" Ptr, "sigsetsize" Long;
    epoll_wait: "epfd" Int, "events" Ptr, "maxevents" Int, "timeout" Int;
    epoll_wait_old:;
    eventfd: "initval" Int;
    eventfd2: "initval" Int, "flags" Int;
    execve: "pathname" Ptr, "argv" Ptr, "envp" Ptr;
    execveat: "dirfd" Int, "pathname" Ptr, "argv" Ptr, "envp" Ptr, "flags" Int;
    exit: "status" Int;
    exit_group: "status" Int;
    faccessat: "dirfd" Int, "pathname" Ptr, "mode" Int;
    faccessat2: "dirfd" Int, "pathname" Ptr, "mode" Int, "flags" Int;
    fadvise64: "fd" Int, "offset" Long, "len" Long, "advice" Int;
    fallocate: "fd" Int, "mode" Int, "offset" Long, "len" Long;
    fanotify_init: "flags" Int, "event_f_flags" Int;
    fanotify_mark: "fanotify_fd" Int, "flags" Int, "mask" Long, "dirfd" Int, "pathname" Ptr;
    fchdir: "fd" Int;
    fchmod: "fd" Int, "mode" Short;
    fchmodat: "dirfd" Int, "pathname" Ptr, "mode" Short;
    fchmodat2: "dirfd" Int, "pathname" Ptr, "mode" Short, "flags" Int;
    fchown: "fd" Int, "owner" Int, "group" Int;
    fchownat: "dirfd" Int, "pathname" Ptr, "owner" Int, "group" Int, "flags" Int;
    fcntl: "fd" Int, "cmd|op" Int, "arg" Long;
    fdatasync: "fd" Int;
    fgetxattr: "fd" Int, "name" Ptr, "value" Ptr, "size" Long;
    file_getattr: "dirfd" Int, "pathname" Ptr, "attr" Ptr, "size" Long, "at_flags" Int;
    file_setattr: "dirfd" Int, "pathname" Ptr, "attr" Ptr, "size" Long, "at_flags" Int;
    finit_module: "fd" Int, "param_values" Ptr, "flags" Int;
    flistxattr: "fd" Int, "list" Ptr, "size" Long;
    flock: "fd" Int, "operation" Int;
    fork:;
    fremovexattr: "fd" Int, "name" Ptr;
    fsconfig: "fd" Int, "cmd" Int, "key" Ptr, "value" Ptr, "aux" Int;
    fsetxattr: "fd" Int, "name" Ptr, "value" Ptr, "size" Long, "flags" Int;
    fsmount: "fs_fd" Int, "flags" Int, "attr_flags" Int;
    fsopen: "fsname" Ptr, "flags" Int;
    fspick: "dfd" Int, "path" Ptr, "flags" Int;
    fstat: "fd" Int, "statbuf" Ptr;
    fstatfs: "fd" Int, "buf" Ptr;
    fsync: "fd" Int;
    ftruncate: "fd" Int, "length" Long;
    futex: "uaddr" Ptr, "futex_op|op" Int, "val" Int, "timeout" Ptr, "uaddr2" Ptr, "val3" Int;
    futex_requeue: "waiters" Ptr, "flags" Int, "nr_wake" Int, "nr_requeue" Int;
    futex_wait: "uaddr" Ptr, "val" Long, "mask" Long, "flags" Int, "timeout" Ptr, "clockid" Int;
    futex_waitv: "waiters" Ptr, "nr_futexes" Int, "flags" Int, "timeout" Ptr, "clockid" Int;
    futex_wake: "uaddr" Ptr, "mask" Long, "nr" Int, "flags" Int;
    futimesat: "dirfd" Int, "pathname" Ptr, "times" Ptr;
    get_kernel_syms: "table" Ptr;
    get_mempolicy: "mode" Ptr, "nodemask" Ptr, "maxnode" Long, "addr" Ptr, "flags" Long;
    get_robust_list: "pid" Int, "head_ptr" Ptr, "len_ptr" Ptr;
    get_thread_area: "u_info" Ptr;
    getcpu: "cpu" Ptr, "node" Ptr, "unused" Ptr;
    getcwd: "buf" Ptr, "size" Long;
    getdents: "fd" Int, "dirp" Ptr, "count" Int;
    getdents64: "fd" Int, "dirp" Ptr, "count" Int;
    getegid:;
    geteuid:;
    getgid:;
    getgroups: "size" Int, "list" Ptr;
    getitimer: "which" Int, "curr_value" Ptr;
    getpeername: "sockfd" Int, "addr" Ptr, "addrlen" Ptr;
    getpgid: "pid" Int;
    getpgrp:;
    getpid:;
    getpmsg:;
    getppid:;
    getpriority: "which" Int, "who|pid" Int;
    getrandom: "buf" Ptr, "buflen" Long, "flags" Int;
    getresgid: "rgid" Ptr, "egid" Ptr, "sgid" Ptr;
    getresuid: "ruid" Ptr, "euid" Ptr, "suid" Ptr;
    getrlimit: "resource" Int, "rlim" Ptr;
    getrusage: "who" Int, "usage" Ptr;
    getsid: "pid" Int;
    getsockname: "sockfd" Int, "addr" Ptr, "addrlen" Ptr;
    getsockopt: "sockfd" Int, "level" Int, "optname" Int, "optval" Ptr, "optlen" Ptr;
    gettid:;
    gettimeofday: "tv" Ptr, "tz" Ptr;
    getuid:;
    getxattr: "path" Ptr, "name" Ptr, "value" Ptr, "size" Long;
    getxattrat: "dirfd" Int, "pathname" Ptr, "at_flags" Int, "name" Ptr, "uargs" Ptr, "usize" Long;
    init_module: "module_image" Ptr, "len" Long, "param_values" Ptr;
    inotify_add_watch: "fd" Int, "pathname" Ptr, "mask" Int;
    inotify_init:;
    inotify_init1: "flags" Int;
    inotify_rm_watch: "fd" Int, "wd" Int;
    io_cancel: "ctx_id" Long, "iocb" Ptr, "result" Ptr;
    io_destroy: "ctx_id" Long;
    io_getevents: "ctx_id" Long, "min_nr" Long, "nr" Long, "events" Ptr, "timeout" Ptr;
    io_pgetevents: "ctx_id" Long, "min_nr" Long, "nr" Long, "events" Ptr, "timeout" Ptr, "usig" Ptr;
    io_setup: "nr_events" Int, "ctx_idp" Ptr;
    io_submit: "ctx_id" Long, "nr" Long, "iocbpp" Ptr;
    io_uring_enter: "fd" Int, "to_submit" Int, "min_complete" Int, "flags" Int, "arg" Ptr, "argsz" Long;
    io_uring_register: "fd" Int, "opcode" Int, "arg" Ptr, "nr_args" Int;
    io_uring_setup: "entries" Int, "params" Ptr;
    ioctl: "fd" Int, "request|op|cmd" Int, "arg" Long;
    ioperm: "from" Long, "num" Long, "turn_on" Int;
    iopl: "level" Int;
    ioprio_get: "which" Int, "who" Int;
    ioprio_set: "which" Int, "who" Int, "ioprio" Int;
    kcmp: "pid1" Int, "pid2" Int, "type" Int, "idx1" Long, "idx2" Long;
    kexec_file_load: "kernel_fd" Int, "initrd_fd" Int, "cmdline_len" Long, "cmdline" Ptr, "flags" Long;
    kexec_load: "entry" Long, "nr_segments" Long, "segments" Ptr, "flags" Long;
    keyctl: "operation" Int, "arg2" Long, "arg3" Long, "arg4" Long, "arg5" Long;
    kill: "pid" Int, "sig" Int;
    landlock_add_rule: "ruleset_fd" Int, "rule_type" Int, "rule_attr" Ptr, "flags" Int;
    landlock_create_ruleset: "attr" Ptr, "size" Long, "flags" Int;
    landlock_restrict_self: "ruleset_fd" Int, "flags" Int;
    lchown: "pathname" Ptr, "owner" Int, "group" Int;
    lgetxattr: "path" Ptr, "name" Ptr, "value" Ptr, "size" Long;
    link: "oldpath" Ptr, "newpath" Ptr;
    linkat: "olddirfd" Int, "oldpath" Ptr, "newdirfd" Int, "newpath" Ptr, "flags" Int;
    listen: "sockfd" Int, "backlog" Int;
    listmount: "req" Ptr, "mnt_ids" Ptr, "nr_mnt_ids" Long, "flags" Int;
    listns = 470: "req" Ptr, "ns_ids" Ptr, "nr_ns_ids" Long, "flags" Int;
    listxattr: "path" Ptr, "list" Ptr, "size" Long;
    listxattrat: "dirfd" Int, "pathname" Ptr, "at_flags" Int, "list" Ptr, "size" Long;
    llistxattr: "path" Ptr, "list" Ptr, "size" Long;
    lookup_dcookie: "cookie" Long, "buffer" Ptr, "len" Long;
    lremovexattr: "path" Ptr, "name" Ptr;
    lseek: "fd" Int, "offset" Long, "whence" Int;
    lsetxattr: "path" Ptr, "name" Ptr, "value" Ptr, "size" Long, "flags" Int;
    lsm_get_self_attr: "attr" Int, "ctx" Ptr, "size" Ptr, "flags" Int;
    lsm_list_modules: "ids" Ptr, "size" Ptr, "flags" Int;
    lsm_set_self_attr: "attr" Int, "ctx" Ptr, "size" Int, "flags" Int;
    lstat: "pathname" Ptr, "statbuf" Ptr;
    madvise: "addr" Ptr, "length" Long, "advice" Int;
    map_shadow_stack: "addr" Ptr, "size" Long, "flags" Int;
    mbind: "addr" Ptr, "len" Long, "mode" Int, "nodemask" Ptr, "maxnode" Long, "flags" Int;
    membarrier: "cmd" Int, "flags" Int, "cpu_id" Int;
    memfd_create: "name" Ptr, "flags" Int;
    memfd_secret: "flags" Int;
    migrate_pages: "pid" Int, "maxnode" Long, "old_nodes" Ptr, "new_nodes" Ptr;
    mincore: "addr" Ptr, "length" Long, "vec" Ptr;
    mkdir: "pathname" Ptr, "mode" Short;
    mkdirat: "dirfd" Int, "pathname" Ptr, "mode" Short;
    mknod: "pathname" Ptr, "mode" Short, "dev" Int;
    mknodat: "dirfd" Int, "pathname" Ptr, "mode" Short, "dev" Int;
    mlock: "addr" Ptr, "len" Long;
    mlock2: "addr" Ptr, "len" Long, "flags" Int;
    mlockall: "flags" Int;
    mmap: "addr" Ptr, "length" Long, "prot" Int, "flags" Int, "fd" Int, "offset" Long;
    modify_ldt: "func" Int, "ptr" Ptr, "bytecount" Long;
    mount: "source" Ptr, "target" Ptr, "filesystemtype" Ptr, "mountflags" Long, "data" Ptr;
    mount_setattr: "dirfd" Int, "pathname" Ptr, "flags" Int, "attr" Ptr, "size" Long;
    move_mount: "from_dfd" Int, "from_pathname" Ptr, "to_dfd" Int, "to_pathname" Ptr, "flags" Int;
    move_pages: "pid" Int, "count" Long, "pages" Ptr, "nodes" Ptr, "status" Ptr, "flags" Int;
    mprotect: "addr" Ptr, "len" Long, "prot" Long;
    mq_getsetattr: "mqdes" Int, "newattr" Ptr, "oldattr" Ptr;
    mq_notify: "mqdes" Int, "sevp" Ptr;
    mq_open: "name" Ptr, "oflag" Int, "mode" Short, "attr" Ptr;
    mq_timedreceive: "mqdes" Int, "msg_ptr" Ptr, "msg_len" Long, "msg_prio" Ptr, "abs_timeout" Ptr;
    mq_timedsend: "mqdes" Int, "msg_ptr" Ptr, "msg_len" Long, "msg_prio" Int, "abs_timeout" Ptr;
    mq_unlink: "name" Ptr;
    mremap: "old_address" Ptr, "old_size" Long, "new_size" Long, "flags" Long, "new_address" Ptr;
    mseal: "addr" Ptr, "len" Long, "flags" Long;
    msgctl: "msqid" Int, "cmd" Int, "buf" Ptr;
    msgget: "key" Int, "msgflg" Int;
    msgrcv: "msqid" Int, "msgp" Ptr, "msgsz" Long, "msgtyp" Long, "msgflg" Int;
    msgsnd: "msqid" Int, "msgp" Ptr, "msgsz" Long, "msgflg" Int;
    msync: "addr" Ptr, "length" Long, "flags" Int;
    munlock: "addr" Ptr, "len" Long;
    munlockall:;
    munmap: "addr" Ptr, "length" Long;
    name_to_handle_at: "dirfd" Int, "pathname" Ptr, "handle" Ptr, "mount_id" Ptr, "flags" Int;
    nanosleep: "req" Ptr, "rem" Ptr;
    newfstatat: "dirfd" Int, "pathname" Ptr, "statbuf" Ptr, "flags" Int;
    nfsservctl: "cmd" Int, "argp" Ptr, "resp" Ptr;
    open: "pathname" Ptr, "flags" Int, "mode" Short;
    open_by_handle_at: "mount_fd" Int, "handle" Ptr, "flags" Int;
    open_tree: "dirfd" Int, "pathname" Ptr, "flags" Int;
    open_tree_attr: "dirfd" Int, "pathname" Ptr, "flags" Int, "attr" Ptr, "size" Long;
    openat: "dirfd" Int, "pathname" Ptr, "flags" Int, "mode" Short;
    openat2: "dirfd" Int, "pathname" Ptr, "how" Ptr, "size" Long;
    pause:;
    perf_event_open: "attr" Ptr, "pid" Int, "cpu" Int, "group_fd" Int, "flags" Long;
    personality: "persona" Int;
    pidfd_getfd: "pidfd" Int, "targetfd" Int, "flags" Int;
    pidfd_open: "pid" Int, "flags" Int;
    pidfd_send_signal: "pidfd" Int, "sig" Int, "info" Ptr, "flags" Int;
    pipe: "pipefd" Ptr;
    pipe2: "pipefd" Ptr, "flags" Int;
    pivot_root: "new_root" Ptr, "put_old" Ptr;
    pkey_alloc: "flags" Long, "access_rights" Long;
    pkey_free: "pkey" Int;
    pkey_mprotect: "addr" Ptr, "len" Long, "prot" Long, "pkey" Int;
    poll: "fds" Ptr, "nfds" Int, "timeout" Int;
    ppoll: "fds" Ptr, "nfds" Int, "tmo_p" Ptr, "sigmask" Ptr, "sigsetsize" Long;
    prctl: "option|op" Int, "arg2" Long, "arg3" Long, "arg4" Long, "arg5" Long;
    pread64: "fd" Int, "buf" Ptr, "count" Long, "offset" Long;
    preadv: "fd" Int, "iov" Ptr, "iovcnt" Long, "offset" Long, "pos_h" Long;
    preadv2: "fd" Int, "iov" Ptr, "iovcnt" Long, "offset" Long, "pos_h" Long, "flags" Int;
    prlimit64: "pid" Int, "resource" Int, "new_limit" Ptr, "old_limit" Ptr;
    process_madvise: "pidfd" Int, "iovec" Ptr, "vlen" Long, "advice" Int, "flags" Int;
    process_mrelease: "pidfd" Int, "flags" Int;
    process_vm_readv: "pid" Int, "local_iov" Ptr, "liovcnt" Long, "remote_iov" Ptr, "riovcnt" Long, "flags" Long;
    process_vm_writev: "pid" Int, "local_iov" Ptr, "liovcnt" Long, "remote_iov" Ptr, "riovcnt" Long, "flags" Long;
    pselect6: "nfds" Int, "readfds" Ptr, "writefds" Ptr, "exceptfds" Ptr, "timeout" Ptr, "sigmask" Ptr;
    ptrace: "request|op" Long, "pid" Int, "addr" Ptr, "data" Ptr;
    putpmsg:;
    pwrite64: "fd" Int, "buf" Ptr, "count" Long, "offset" Long;
    pwritev: "fd" Int, "iov" Ptr, "iovcnt" Long, "offset" Long, "pos_h" Long;
    pwritev2: "fd" Int, "iov" Ptr, "iovcnt" Long, "offset" Long, "pos_h" Long, "flags" Int;
    query_module: "name" Ptr, "which" Int, "buf" Ptr, "bufsize" Long, "ret" Ptr;
    quotactl: "cmd" Int, "special" Ptr, "id" Int, "addr" Ptr;
    quotactl_fd: "fd" Int, "cmd" Int, "id" Int, "addr" Ptr;
    read: "fd" Int, "buf" Ptr, "count" Long;
    readahead: "fd" Int, "offset" Long, "count" Long;
    readlink: "pathname" Ptr, "buf" Ptr, "bufsiz" Int;
    readlinkat: "dirfd" Int, "pathname" Ptr, "buf" Ptr, "bufsiz" Int;
    readv: "fd" Int, "iov" Ptr, "iovcnt" Long;
    reboot: "magic" Int, "magic2" Int, "cmd" Int, "arg" Ptr;
    recvfrom: "sockfd" Int, "buf" Ptr, "len" Long, "flags" Int, "src_addr" Ptr, "addrlen" Ptr;
    recvmmsg: "sockfd" Int, "msgvec" Ptr, "vlen" Int, "flags" Int, "timeout" Ptr;
    recvmsg: "sockfd" Int, "msg" Ptr, "flags" Int;
    remap_file_pages: "addr" Ptr, "size" Long, "prot" Long, "pgoff" Long, "flags" Long;
    removexattr: "path" Ptr, "name" Ptr;
    removexattrat: "dirfd" Int, "pathname" Ptr, "at_flags" Int, "name" Ptr;
    rename: "oldpath" Ptr, "newpath" Ptr;
    renameat: "olddirfd" Int, "oldpath" Ptr, "newdirfd" Int, "newpath" Ptr;
    renameat2: "olddirfd" Int, "oldpath" Ptr, "newdirfd" Int, "newpath" Ptr, "flags" Int;
    request_key: "type" Ptr, "description" Ptr, "callout_info" Ptr, "dest_keyring" Int;
    restart_syscall:;
    rmdir: "pathname" Ptr;
    rseq: "rseq" Ptr, "rseq_len" Int, "flags" Int, "sig" Int;
    rseq_slice_yield = 471:;
    rt_sigaction: "signum" Int, "act" Ptr, "oldact" Ptr, "sigsetsize" Long;
    rt_sigpending: "set" Ptr, "sigsetsize" Long;
    rt_sigprocmask: "how" Int, "set" Ptr, "oldset" Ptr, "sigsetsize" Long;
    rt_sigqueueinfo: "tgid" Int, "sig" Int, "info" Ptr;
    rt_sigreturn:;
    rt_sigsuspend: "mask" Ptr, "sigsetsize" Long;
    rt_sigtimedwait: "set" Ptr, "info" Ptr, "timeout" Ptr, "sigsetsize" Long;
    rt_tgsigqueueinfo: "tgid" Int, "tid" Int, "sig" Int, "info" Ptr;
    sched_get_priority_max: "policy" Int;
    sched_get_priority_min: "policy" Int;
    sched_getaffinity: "pid" Int, "cpusetsize" Int, "mask" Ptr;
    sched_getattr: "pid" Int, "attr" Ptr, "size" Int, "flags" Int;
    sched_getparam: "pid" Int, "param" Ptr;
    sched_getscheduler: "pid" Int;
    sched_rr_get_interval: "pid" Int, "tp" Ptr;
    sched_setaffinity: "pid" Int, "cpusetsize" Int, "mask" Ptr;
    sched_setattr: "pid" Int, "attr" Ptr, "flags" Int;
    sched_setparam: "pid" Int, "param" Ptr;
    sched_setscheduler: "pid" Int, "policy" Int, "param" Ptr;
    sched_yield:;
    seccomp: "operation" Int, "flags" Int, "args" Ptr;
    security:;
    select: "nfds" Int, "readfds" Ptr, "writefds" Ptr, "exceptfds" Ptr, "timeout" Ptr;
    semctl: "semid" Int, "semnum" Int, "cmd" Int, "arg" Long;
    semget: "key" Int, "nsems" Int, "semflg" Int;
    semop: "semid" Int, "sops" Ptr, "nsops" Int;
    semtimedop: "semid" Int, "sops" Ptr, "nsops" Int, "timeout" Ptr;
    sendfile: "out_fd" Int, "in_fd" Int, "offset" Ptr, "count" Long;
    sendmmsg: "sockfd" Int, "msgvec" Ptr, "vlen" Int, "flags" Int;
    sendmsg: "sockfd" Int, "msg" Ptr, "flags" Int;
    sendto: "sockfd" Int, "buf" Ptr, "len" Long, "flags" Int, "dest_addr" Ptr, "addrlen" Int;
    set_mempolicy: "mode" Int, "nodemask" Ptr, "maxnode" Long;
    set_mempolicy_home_node: "addr" Ptr, "len" Long, "home_node" Long, "flags" Long;
    set_robust_list: "head" Ptr, "len" Long;
    set_thread_area: "u_info" Ptr;
    set_tid_address: "tidptr" Ptr;
    setdomainname: "name" Ptr, "len" Int;
    setfsgid: "fsgid" Int;
    setfsuid: "fsuid" Int;
    setgid: "gid" Int;
    setgroups: "size" Int, "list" Ptr;
    sethostname: "name" Ptr, "len" Int;
    setitimer: "which" Int, "new_value" Ptr, "old_value" Ptr;
    setns: "fd" Int, "nstype" Int;
    setpgid: "pid" Int, "pgid" Int;
    setpriority: "which" Int, "who|pid" Int, "prio" Int;
    setregid: "rgid" Int, "egid" Int;
    setresgid: "rgid" Int, "egid" Int, "sgid" Int;
    setresuid: "ruid" Int, "euid" Int, "suid" Int;
    setreuid: "ruid" Int, "euid" Int;
    setrlimit: "resource" Int, "rlim" Ptr;
    setsid:;
    setsockopt: "sockfd" Int, "level" Int, "optname" Int, "optval" Ptr, "optlen" Int;
    settimeofday: "tv" Ptr, "tz" Ptr;
    setuid: "uid" Int;
    setxattr: "path" Ptr, "name" Ptr, "value" Ptr, "size" Long, "flags" Int;
    setxattrat: "dirfd" Int, "pathname" Ptr, "at_flags" Int, "name" Ptr, "uargs" Ptr, "usize" Long;
    shmat: "shmid" Int, "shmaddr" Ptr, "shmflg" Int;
    shmctl: "shmid" Int, "cmd" Int, "buf" Ptr;
    shmdt: "shmaddr" Ptr;
    shmget: "key" Int, "size" Long, "shmflg" Int;
    shutdown: "sockfd" Int, "how" Int;
    sigaltstack: "ss" Ptr, "old_ss" Ptr;
    signalfd: "fd" Int, "mask" Ptr, "sizemask" Long;
    signalfd4: "fd" Int, "mask" Ptr, "sizemask" Long, "flags" Int;
    socket: "domain" Int, "type" Int, "protocol" Int;
    socketpair: "domain" Int, "type" Int, "protocol" Int, "sv" Ptr;
    splice: "fd_in" Int, "off_in" Ptr, "fd_out" Int, "off_out" Ptr, "len" Long, "flags" Int;
    stat: "pathname" Ptr, "statbuf" Ptr;
    statfs: "path" Ptr, "buf" Ptr;
    statmount: "req" Ptr, "buf" Ptr, "bufsize" Long, "flags" Int;
    statx: "dirfd" Int, "pathname" Ptr, "flags" Int, "mask" Int, "statxbuf" Ptr;
    swapoff: "path" Ptr;
    swapon: "path" Ptr, "swapflags" Int;
    symlink: "target" Ptr, "linkpath" Ptr;
    symlinkat: "target" Ptr, "newdirfd" Int, "linkpath" Ptr;
    sync:;
    sync_file_range: "fd" Int, "offset" Long, "nbytes" Long, "flags" Int;
    syncfs: "fd" Int;
    sysfs: "option" Int, "arg1" Long, "arg2" Long;
    sysinfo: "info" Ptr;
    syslog: "type" Int, "bufp" Ptr, "len" Int;
    tee: "fd_in" Int, "fd_out" Int, "len" Long, "flags" Int;
    tgkill: "tgid" Int, "tid" Int, "sig" Int;
    time: "tloc" Ptr;
    timer_create: "clockid" Int, "sevp" Ptr, "timerid" Ptr;
    timer_delete: "timerid" Int;
    timer_getoverrun: "timerid" Int;
    timer_gettime: "timerid" Int, "curr_value" Ptr;
    timer_settime: "timerid" Int, "flags" Int, "new_value" Ptr, "old_value" Ptr;
    timerfd_create: "clockid" Int, "flags" Int;
    timerfd_gettime: "fd" Int, "curr_value" Ptr;
    timerfd_settime: "fd" Int, "flags" Int, "new_value" Ptr, "old_value" Ptr;
    times: "buf" Ptr;
    tkill: "tid" Int, "sig" Int;
    truncate: "path" Ptr, "length" Long;
    tuxcall:;
    umask: "mask" Int;
    umount2: "target" Ptr, "flags" Int;
    uname: "buf" Ptr;
    unlink: "pathname" Ptr;
    unlinkat: "dirfd" Int, "pathname" Ptr, "flags" Int;
    unshare: "flags" Long;
    uprobe:;
    uretprobe:;
    uselib: "library" Ptr;
    userfaultfd: "flags" Int;
    ustat: "dev" Int, "ubuf" Ptr;
    utime: "filename" Ptr, "times" Ptr;
    utimensat: "dirfd" Int, "pathname" Ptr, "times" Ptr, "flags" Int;
    utimes: "filename" Ptr, "times" Ptr;
    vfork:;
    vhangup:;
    vmsplice: "fd" Int, "iov" Ptr, "nr_segs" Long, "flags" Int;
    vserver:;
    wait4: "pid" Int, "wstatus" Ptr, "options" Int, "rusage" Ptr;
    waitid: "idtype" Int, "id" Int, "infop" Ptr, "options" Int, "rusage" Ptr;
    write: "fd" Int, "buf" Ptr, "count" Long;
    writev: "fd" Int, "iov" Ptr, "iovcnt" Long;
}

//! Policies to test the filter with: the shipped base policy as a table, some
//! that are stranger, and values that are likely to be taken for others.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod kernel;
pub mod random;

use std::collections::BTreeSet;

use stockade::policy::model::{
    AllowRule, Condition, Exec, OnViolation, Otherwise, Syscalls, Test, ViolationRule, When, Wx,
};
use stockade::sandbox::seccomp::{ArgumentTable, Rules, Width};

/// A policy's part that the filter is made of, with its table of arguments.
pub struct Policy {
    pub name: &'static str,
    pub syscalls: Syscalls,
    pub exec: Exec,
    pub wx: Wx,
    table: Box<ArgumentTable<'static>>,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {:?} {:#?}", self.name, self.exec, self.wx, self.syscalls)
    }
}

impl Policy {
    pub fn new(
        name: &'static str,
        allow: Vec<AllowRule>,
        violations: Vec<ViolationRule>,
        exec: Exec,
        wx: Wx,
    ) -> Self {
        let on_violation = OnViolation::Refuse;
        let syscalls = Syscalls { on_violation, max_violations: 0, allow, violations };
        Self { name, syscalls, exec, wx, table: Box::new(argument) }
    }

    pub fn rules(&self) -> Rules<'_> {
        Rules { syscalls: &self.syscalls, exec: self.exec, wx: self.wx, argument: &*self.table }
    }

    /// Every number a rule names.
    pub fn calls(&self) -> BTreeSet<u32> {
        let allow = self.syscalls.allow.iter().flat_map(|r| &r.calls);
        let violations = self.syscalls.violations.iter().flat_map(|r| &r.calls);
        allow.chain(violations).copied().collect()
    }

    /// Every condition, with the calls it is put on.
    pub fn conditions(&self) -> Vec<(&[u32], &Condition)> {
        let mut all = Vec::new();
        for rule in &self.syscalls.allow {
            if let When::All(conditions) | When::None(conditions) = &rule.when {
                all.extend(conditions.iter().map(|c| (&rule.calls[..], c)));
            }
        }
        for rule in &self.syscalls.violations {
            all.extend(rule.when.iter().map(|c| (&rule.calls[..], c)));
        }
        all
    }
}

/// The number of a call by its name.
pub fn nr(name: &str) -> u32 {
    let sysno: syscalls::Sysno = name.parse().unwrap_or_else(|_| panic!("no call {name}"));
    u32::try_from(sysno.id()).unwrap()
}

fn numbers(names: &str) -> Vec<u32> {
    names.split_whitespace().map(nr).collect()
}

/// Where the arguments are that the table policies name. In policies of random
/// shape `d0` to `d5` and `q0` to `q5` are the arguments of any call.
pub fn argument(nr: u32, name: &str) -> Option<(u8, Width)> {
    use Width::{Dword, Qword};
    if let [width @ (b'd' | b'q'), index @ b'0'..=b'5'] = name.as_bytes() {
        return Some((index - b'0', if *width == b'd' { Dword } else { Qword }));
    }
    let call = syscalls::Sysno::new(usize::try_from(nr).ok()?)?.name();
    Some(match (call, name) {
        ("open" | "fchmodat", "mode") => (2, Dword),
        ("openat", "mode") => (3, Dword),
        ("creat" | "chmod" | "fchmod", "mode") => (1, Dword),
        ("fcntl", "cmd") | ("ioctl", "request") => (1, Dword),
        ("madvise", "advice") => (2, Dword),
        ("clone", "flags") => (0, Qword),
        ("sched_getparam" | "sched_getscheduler" | "getpgid" | "getsid" | "prlimit64", "pid") => (0, Dword),
        ("getpriority", "pid") | ("socketpair", "type") => (1, Dword),
        ("prctl", "option") | ("socketpair", "domain") => (0, Dword),
        _ => return None,
    })
}

fn condition(arg: &str, test: Test) -> Condition {
    Condition { arg: arg.into(), test }
}

pub fn is(arg: &str, values: &[u64]) -> Condition {
    condition(arg, Test::In(values.to_vec()))
}

pub fn masked(arg: &str, mask: u64, values: &[u64]) -> Condition {
    condition(arg, Test::MaskedIn { mask, values: values.to_vec() })
}

pub fn any_bit(arg: &str, bits: u64) -> Condition {
    condition(arg, Test::AnyBit(bits))
}

pub fn allow_when(names: &str, when: When, otherwise: Otherwise) -> AllowRule {
    AllowRule { calls: numbers(names), when, otherwise, comment: String::new() }
}

pub fn allow(names: &str) -> AllowRule {
    allow_when(names, When::Always, Otherwise::Enosys)
}

pub fn allow_if(names: &str, conditions: Vec<Condition>, otherwise: Otherwise) -> AllowRule {
    allow_when(names, When::All(conditions), otherwise)
}

pub fn allow_unless(names: &str, conditions: Vec<Condition>, otherwise: Otherwise) -> AllowRule {
    allow_when(names, When::None(conditions), otherwise)
}

pub fn violation(names: &str, when: Vec<Condition>) -> ViolationRule {
    ViolationRule { calls: numbers(names), when, comment: String::new() }
}

fn bits(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

/// `policies/base.json`, rule by rule.
pub fn base() -> Policy {
    let allowed = base_allow();
    let violations = vec![
        violation("ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp process_madvise", vec![]),
        violation(
            "mount umount2 pivot_root chroot setns unshare open_tree move_mount fsopen fsconfig fsmount fspick \
             mount_setattr open_by_handle_at",
            vec![],
        ),
        violation(
            "bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register keyctl add_key \
             request_key seccomp",
            vec![],
        ),
        violation(
            "init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct \
             settimeofday clock_settime adjtimex iopl ioperm modify_ldt",
            vec![],
        ),
        violation("ioctl", vec![is("request", &[libc::TIOCSTI, libc::TIOCLINUX])]),
    ];
    Policy::new("base", allowed, violations, Exec::LaunchOnly, Wx::Deny)
}

fn base_allow() -> Vec<AllowRule> {
    use Otherwise::{Enosys, Eperm, Violation};
    let fcntl = [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
        libc::F_GETLK,
        libc::F_SETLK,
        libc::F_SETLKW,
        libc::F_GETPIPE_SZ,
    ];
    let ioctl =
        [libc::TCGETS, libc::TIOCGWINSZ, libc::FIONREAD, libc::FIONBIO, libc::FIOCLEX, libc::FIONCLEX];
    // NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, HUGEPAGE, NOHUGEPAGE, DONTDUMP, DODUMP,
    // POPULATE_READ, POPULATE_WRITE, GUARD_INSTALL, GUARD_REMOVE (asm-generic/mman-common.h)
    let madvise = [0, 1, 2, 3, 4, 8, 14, 15, 16, 17, 22, 23, 102, 103];
    let clone = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_PARENT
        | libc::CLONE_PTRACE
        | libc::CLONE_UNTRACED;
    let prctl = [
        libc::PR_SET_NAME,
        libc::PR_GET_NAME,
        libc::PR_SET_VMA,
        libc::PR_GET_DUMPABLE,
        libc::PR_CAPBSET_READ,
        libc::PR_GET_NO_NEW_PRIVS,
    ];
    vec![
        allow(
            "read write readv writev pread64 pwrite64 preadv pwritev lseek close dup dup2 dup3 pipe pipe2 poll \
             ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2",
        ),
        allow_unless("open openat creat", vec![any_bit("mode", 0o6000)], Eperm),
        allow(
            "newfstatat fstat stat lstat statx access faccessat faccessat2 readlink readlinkat getcwd chdir \
             fchdir getdents64 statfs fstatfs umask",
        ),
        allow(
            "unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir ftruncate truncate fallocate fsync \
             fdatasync utimensat",
        ),
        allow_if("fcntl", vec![is("cmd", &fcntl.map(bits))], Eperm),
        allow_if("ioctl", vec![is("request", &ioctl)], Eperm),
        allow("mmap munmap mprotect mremap brk msync mlock munlock"),
        allow_if("madvise", vec![is("advice", &madvise)], Enosys),
        allow_unless("clone", vec![any_bit("flags", bits(clone))], Violation),
        allow(
            "fork vfork wait4 waitid exit exit_group set_tid_address set_robust_list rseq futex sched_yield \
             membarrier restart_syscall",
        ),
        allow_if(
            "sched_getparam sched_getscheduler getpriority getpgid getsid",
            vec![is("pid", &[0])],
            Enosys,
        ),
        allow("sched_getaffinity sched_get_priority_max sched_get_priority_min"),
        allow(
            "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack \
             kill tgkill pause alarm setitimer getitimer",
        ),
        allow(
            "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times timer_create \
             timer_settime timer_gettime timer_delete timerfd_create timerfd_settime",
        ),
        allow(
            "getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp uname \
             sysinfo getrusage getrlimit getrandom arch_prctl getcpu",
        ),
        allow_if("prlimit64", vec![is("pid", &[0])], Eperm),
        allow_if("prctl", vec![is("option", &prctl.map(bits))], Eperm),
    ]
}

/// Compilers: programs of the image, and modes of their output.
pub fn compile_cpp() -> Policy {
    let mut policy = base();
    policy.name = "compile-cpp";
    policy.exec = Exec::Image;
    policy.syscalls.allow.push(allow("execve"));
    let modes = vec![any_bit("mode", 0o6000)];
    policy.syscalls.allow.push(allow_unless("chmod fchmod fchmodat", modes, Otherwise::Eperm));
    policy
}

/// Just-in-time compilers: writable code, and a pair of sockets.
pub fn java() -> Policy {
    let mut policy = base();
    policy.name = "java";
    policy.wx = Wx::Allow;
    let pair = vec![is("domain", &[1]), masked("type", 0xf, &[1, 5])];
    policy.syscalls.allow.push(allow_if("socketpair", pair, Otherwise::Enosys));
    policy
}

/// Every kind of condition in both widths, more than one rule a call, and
/// rules that meet the built-in ones.
pub fn exotic() -> Policy {
    let wide = 0x8000_0001_0000_0002;
    let allowed = vec![
        allow("exit_group exit read mprotect"),
        allow_if("mmap", vec![masked("q3", 0x20, &[0x20]), is("d2", &[0, 1, 3, 5, 7])], Otherwise::Violation),
        allow_if("pkey_mprotect", vec![is("q1", &[0x1000, 0x1_0000_1000, 0x2_0000_1000])], Otherwise::Eperm),
        allow_if("fcntl", vec![is("d1", &[u64::MAX, 0, 0x8000_0000])], Otherwise::Eperm),
        allow_if("lseek", vec![is("q1", &[0, 5, 0xffff_ffff, 1 << 32, 1 << 63, wide])], Otherwise::Violation),
        allow_if(
            "dup3",
            vec![masked("q0", wide, &[2, 1 << 63, wide]), any_bit("q1", wide)],
            Otherwise::Eperm,
        ),
        allow_unless(
            "socket connect bind",
            vec![is("d0", &[1, 2, 10]), masked("d1", 0xf0, &[0x10, 0x20, 0x30]), any_bit("d2", 1 << 31)],
            Otherwise::Violation,
        ),
        allow_unless("getsid", vec![], Otherwise::Eperm),
        allow_if("getpgid", vec![], Otherwise::Eperm),
    ];
    let violations = vec![
        violation("fcntl", vec![is("d1", &[4]), any_bit("d2", 0x800)]),
        violation("fcntl", vec![is("d1", &[0]), is("d2", &[7])]),
        violation("execve mmap", vec![is("d3", &[0x1234]), is("q4", &[5, 6])]),
        violation("ptrace", vec![is("d0", &[16])]),
        violation("getppid", vec![]),
    ];
    Policy::new("exotic", allowed, violations, Exec::LaunchOnly, Wx::Deny)
}

/// Nothing but leaving, and no violation: a box without a listener.
pub fn exit_only() -> Policy {
    Policy::new("exit-only", vec![allow("exit_group")], vec![], Exec::LaunchOnly, Wx::Deny)
}

/// So many instructions that no jump reaches from one end to the other.
pub fn large() -> Policy {
    let scattered = |from: u64| (0..32).map(|i| from + i * i * 3).collect::<Vec<_>>();
    let rules = (0..18_u64).map(|i| {
        let call = u32::try_from(i).unwrap();
        let when = When::All(vec![is("d0", &scattered(i)), is("q1", &[i, i << 32, i << 40 | 1])]);
        let otherwise =
            [Otherwise::Enosys, Otherwise::Eperm, Otherwise::Violation][usize::try_from(i % 3).unwrap()];
        AllowRule { calls: vec![call * 2], when, otherwise, comment: String::new() }
    });
    let rules = rules.chain([allow("write exit_group")]).collect();
    Policy::new("large", rules, vec![violation("ptrace", vec![])], Exec::Image, Wx::Allow)
}

/// All of the above.
pub fn all() -> Vec<Policy> {
    vec![base(), compile_cpp(), java(), exotic(), exit_only(), large()]
}

/// For each argument of a call the values worth trying: those of the tests put
/// on it, and for arguments 3 to 5 the nonce's.
pub fn pools(policy: &Policy, call: u32, nonce: [u32; 3]) -> [Vec<u64>; 6] {
    std::array::from_fn(|index| {
        let conditions = policy.conditions().into_iter().filter(|(calls, condition)| {
            let (place, _) = argument(call, &condition.arg).unwrap_or((6, Width::Dword));
            calls.contains(&call) && usize::from(place) == index
        });
        let mut pool = interesting(conditions.map(|(_, condition)| &condition.test));
        let mut special = BTreeSet::new();
        if [46, 59, 317].contains(&call) && index >= 3 {
            near(u64::from(nonce[index - 3]), &mut special);
        }
        if [9, 10, 329].contains(&call) && index == 2 {
            special.extend((0..16).flat_map(|prot| [prot, prot << 32, prot | 1 << 63]));
        }
        pool.extend(special);
        pool
    })
}

/// Values that a filter is likely to take for this one, or the reverse.
pub fn near(value: u64, into: &mut BTreeSet<u64>) {
    let low = value & 0xffff_ffff;
    let extended = u32::try_from(low).unwrap().cast_signed();
    for v in [value, value.wrapping_add(1), value.wrapping_sub(1), !value] {
        into.extend([
            v,
            v ^ 1 << 32,
            v ^ 1 << 63,
            v | 0xffff_ffff << 32,
            v & 0xffff_ffff,
            v << 32,
            v ^ 1 << 31,
        ]);
    }
    into.insert(i64::from(extended).cast_unsigned());
}

/// Values worth trying for an argument that is tested like this.
pub fn interesting<'a>(tests: impl IntoIterator<Item = &'a Test>) -> Vec<u64> {
    let mut values = BTreeSet::new();
    for v in [0, 1, u64::MAX, 0xffff_ffff, 1 << 31, 1 << 32, 1 << 63] {
        values.extend([v, v.wrapping_sub(1), v.wrapping_add(1)]);
    }
    for test in tests {
        match test {
            Test::In(all) => all.iter().for_each(|&v| near(v, &mut values)),
            Test::MaskedIn { mask, values: all } => {
                near(*mask, &mut values);
                for &v in all {
                    near(v, &mut values);
                    values.extend([v | !mask, v ^ (mask & mask.wrapping_neg())]);
                }
            }
            Test::AnyBit(mask) => near(*mask, &mut values),
        }
        if let Test::MaskedIn { mask, .. } | Test::AnyBit(mask) = test {
            values.extend((0..64).map(|b| 1 << b).filter(|bit| mask & bit != 0));
            values.extend((0..64).map(|b| 1 << b).filter(|bit| mask & bit != 0).map(|bit: u64| bit << 32));
        }
    }
    values.into_iter().collect()
}

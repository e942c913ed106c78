//! What must be true of a call before a policy may allow it.
//!
//! A policy's author is trusted, and makes mistakes. Each entry is a call
//! that would undo the box, or a flag of one, with the reason that a finding
//! gives. Everything else is the author's choice.

use syscalls::Sysno as Call;

use super::model::{Condition, Exec, Test, ViolationRule, When, Wx};

/// What must be true of a rule that allows a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Demand {
    /// No rule may allow it.
    Never,
    /// None of these bits may be set in the argument.
    Clear {
        arg: &'static str,
        bits: u64,
        /// As it is written in the policy.
        written: &'static str,
    },
    /// The bits in the mask must be one of these values.
    OneOf {
        arg: &'static str,
        mask: u64,
        values: &'static [u64],
        /// As it is written in the policy.
        written: &'static str,
    },
    /// The argument must not be one of these values.
    NotOneOf {
        arg: &'static str,
        values: &'static [u64],
        /// As it is written in the policy.
        written: &'static str,
    },
}

/// A demand, and why it is made.
pub(super) struct Reason {
    pub(super) demand: Demand,
    pub(super) why: &'static str,
}

/// Namespaces, and a child that is the payload's sibling: it would be the
/// supervisor's own child, and mistaken for the payload.
const CLONE_FLAGS: u64 = 0x7e02_0000 | 0x8000;

const SET_ID: Demand = Demand::Clear {
    arg: "mode",
    bits: 0o6000,
    written: "\"unless\": [{ \"arg\": \"mode\", \"any_bit\": \"06000\" }]",
};

const SELF_ONLY: Demand = Demand::OneOf {
    arg: "pid",
    mask: u64::MAX,
    values: &[0],
    written: "\"if\": [{ \"arg\": \"pid\", \"eq\": 0 }]",
};

/// All that is demanded of a call.
pub(super) fn demands(call: u32, exec: Exec, wx: Wx) -> Vec<Reason> {
    // The calls that the crate does not know are too new to be asked about.
    let Some(call) = usize::try_from(call).ok().and_then(Call::new) else { return Vec::new() };
    if let Some(why) = never(call) {
        return vec![Reason { demand: Demand::Never, why }];
    }
    let mut reasons = sometimes(call);
    if wx == Wx::Deny {
        reasons.extend(writable_and_executable(call));
    }
    if exec == Exec::Image && call == Call::memfd_create {
        reasons.push(not_executable());
    }
    reasons
}

/// Calls that no rule may allow.
fn never(call: Call) -> Option<&'static str> {
    Some(match call {
        Call::clone3 => {
            "its flags are behind a pointer, where a filter cannot see namespaces; left out, it answers ENOSYS and \
             libraries use `clone`"
        }
        Call::openat2 => {
            "its mode is behind a pointer, where a filter cannot see set-id bits; left out, it answers ENOSYS and \
             programs use `openat`"
        }
        Call::execveat => {
            "it runs a program from a descriptor, one that no image holds; left out, programs use `execve`"
        }
        Call::io_uring_setup | Call::io_uring_enter | Call::io_uring_register => {
            "what is queued there is done without any look at this policy's rules"
        }
        Call::ptrace
        | Call::process_vm_readv
        | Call::process_vm_writev
        | Call::pidfd_getfd
        | Call::kcmp
        | Call::process_madvise => "it reaches into other processes",
        Call::seccomp => {
            "a filter of the payload's own could answer before the supervisor hears of a violation"
        }
        Call::mount
        | Call::umount2
        | Call::pivot_root
        | Call::chroot
        | Call::open_tree
        | Call::open_tree_attr
        | Call::move_mount
        | Call::fsopen
        | Call::fsconfig
        | Call::fsmount
        | Call::fspick
        | Call::mount_setattr
        | Call::open_by_handle_at => {
            "it changes what can be seen, or goes around it; `paths` says what can be seen"
        }
        Call::unshare | Call::setns => "it enters other namespaces, in which a process has every capability",
        Call::keyctl | Call::add_key | Call::request_key => "keys belong to the host's user, not to the box",
        Call::bpf | Call::perf_event_open | Call::userfaultfd => {
            "it is a large part of the kernel that no payload needs"
        }
        call if acts_on_the_host(call) => "it acts on the host",
        _ => return None,
    })
}

fn acts_on_the_host(call: Call) -> bool {
    matches!(
        call,
        Call::init_module
            | Call::finit_module
            | Call::delete_module
            | Call::kexec_load
            | Call::kexec_file_load
            | Call::reboot
            | Call::swapon
            | Call::swapoff
            | Call::acct
            | Call::settimeofday
            | Call::clock_settime
            | Call::adjtimex
            | Call::clock_adjtime
            | Call::iopl
            | Call::ioperm
    )
}

/// Calls that need a condition.
fn sometimes(call: Call) -> Vec<Reason> {
    let one = |demand, why| vec![Reason { demand, why }];
    match call {
        Call::clone => one(
            Demand::Clear {
                arg: "flags",
                bits: CLONE_FLAGS,
                written: "\"unless\": [{ \"arg\": \"flags\", \"any_bit\": \"CLONE_NEWNS|CLONE_NEWCGROUP|CLONE_NEWUTS|\
                          CLONE_NEWIPC|CLONE_NEWUSER|CLONE_NEWPID|CLONE_NEWNET|CLONE_PARENT\" }]",
            },
            "in a new user namespace a process has every capability, and a child made with CLONE_PARENT would be \
             taken for the payload",
        ),
        Call::open
        | Call::openat
        | Call::creat
        | Call::chmod
        | Call::fchmod
        | Call::fchmodat
        | Call::fchmodat2
        | Call::mknod
        | Call::mknodat => {
            one(SET_ID, "a set-id file left in a writable directory runs as its owner outside")
        }
        Call::ioctl => one(
            Demand::NotOneOf {
                arg: "request",
                values: &[0x5412, 0x541c],
                written: "\"if\": [{ \"arg\": \"request\", \"in\": [\"TCGETS\", …] }] without TIOCSTI and TIOCLINUX",
            },
            "TIOCSTI and TIOCLINUX type into the caller's terminal",
        ),
        Call::prctl => one(
            Demand::NotOneOf {
                arg: "option",
                values: &[22],
                written: "\"if\": [{ \"arg\": \"option\", \"in\": [\"PR_SET_NAME\", …] }] without PR_SET_SECCOMP",
            },
            "with PR_SET_SECCOMP a filter of the payload's own could answer before the supervisor hears of a violation",
        ),
        Call::socket => families(),
        Call::socketpair => pairs(),
        Call::prlimit64 => {
            one(SELF_ONLY, "with another process id it sets the limits of the box's own first process")
        }
        Call::personality => one(
            Demand::OneOf {
                arg: "persona",
                mask: u64::MAX,
                values: &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff],
                written: "\"if\": [{ \"arg\": \"persona\", \"in\": [0, \"0xffffffff\"] }]",
            },
            "other values switch off address randomisation, or make all memory executable",
        ),
        _ => Vec::new(),
    }
}

/// Network namespaces do not hold every family.
fn families() -> Vec<Reason> {
    vec![Reason {
        demand: Demand::OneOf {
            arg: "domain",
            mask: u64::MAX,
            values: &[1, 2, 10],
            written: "\"if\": [{ \"arg\": \"domain\", \"in\": [\"AF_UNIX\", \"AF_INET\", \"AF_INET6\"] }], or fewer",
        },
        why: "other families reach the host or rarely used parts of the kernel: no namespace holds AF_VSOCK or AF_ALG",
    }]
}

/// A datagram socket of a pair can still send to any socket file it can see.
fn pairs() -> Vec<Reason> {
    vec![
        Reason {
            demand: Demand::OneOf {
                arg: "domain",
                mask: u64::MAX,
                values: &[1],
                written: "{ \"arg\": \"domain\", \"eq\": \"AF_UNIX\" }",
            },
            why: "other families reach rarely used parts of the kernel",
        },
        Reason {
            demand: Demand::OneOf {
                arg: "type",
                mask: 0xf,
                values: &[1, 5],
                written: "{ \"arg\": \"type\", \"masked\": \"0xf\", \"in\": [\"SOCK_STREAM\", \"SOCK_SEQPACKET\"] }",
            },
            why: "one end of a datagram pair can send to any socket file",
        },
    ]
}

/// Where programs may be run, a file without a name must not become one.
fn not_executable() -> Reason {
    Reason {
        demand: Demand::OneOf {
            arg: "flags",
            mask: 0x8,
            values: &[0x8],
            written: "\"if\": [{ \"arg\": \"flags\", \"masked\": \"MFD_NOEXEC_SEAL\", \"eq\": \"MFD_NOEXEC_SEAL\" }]",
        },
        why: "a program written to it can be executed through /proc, one that no image holds",
    }
}

/// Ways around `"wx": "deny"`, which only looks at `mmap` and `mprotect`.
fn writable_and_executable(call: Call) -> Vec<Reason> {
    let one = |demand, why| vec![Reason { demand, why }];
    match call {
        Call::pkey_mprotect => one(Demand::Never, "it makes writable memory executable, which `wx` denies"),
        Call::memfd_create | Call::memfd_secret => {
            one(Demand::Never, "what is written to it can be mapped executable, which `wx` denies")
        }
        Call::shmat => one(
            Demand::Clear {
                arg: "shmflg",
                bits: 0o100_000,
                written: "\"unless\": [{ \"arg\": \"shmflg\", \"any_bit\": \"SHM_EXEC\" }]",
            },
            "shared memory attached twice is writable and executable, which `wx` denies",
        ),
        _ => Vec::new(),
    }
}

impl Demand {
    /// Whether a rule with these conditions lets through only what it may.
    /// A violation is refused whatever `allow` says, so it counts as well.
    pub(super) fn holds(&self, call: u32, when: &When, violations: &[ViolationRule]) -> bool {
        let refused = || violations.iter().filter(|v| v.calls.contains(&call)).map(|v| v.when.as_slice());
        match *self {
            Demand::Never => false,
            Demand::Clear { arg, bits, .. } => {
                let refused = refused().any(|when| matches!(when, [c] if any_bit_of(c, arg) & bits == bits));
                refused || clear(when, arg, bits)
            }
            Demand::OneOf { arg, mask, values, .. } => match when {
                When::All(conditions) => conditions.iter().any(|c| one_of(c, arg, mask, values)),
                When::Always | When::None(_) => false,
            },
            Demand::NotOneOf { arg, values, .. } => {
                let refused = refused().any(|when| matches!(when, [c] if values_of(c, arg).covers(values)));
                refused || not_one_of(when, arg, values)
            }
        }
    }

    /// What to write.
    pub(super) fn written(&self) -> Option<&'static str> {
        match *self {
            Demand::Never => None,
            Demand::Clear { written, .. }
            | Demand::OneOf { written, .. }
            | Demand::NotOneOf { written, .. } => Some(written),
        }
    }
}

/// Bits that the condition tests for being set.
fn any_bit_of(condition: &Condition, arg: &str) -> u64 {
    match condition.test {
        Test::AnyBit(bits) if same(condition, arg) => bits,
        _ => 0,
    }
}

/// Whether the condition is about this argument, under any of its names.
fn same(condition: &Condition, arg: &str) -> bool {
    condition.arg == arg || aliases(arg).contains(&condition.arg.as_str())
}

/// Other names of the arguments that demands are about.
fn aliases(arg: &str) -> &'static [&'static str] {
    match arg {
        "request" => &["op", "cmd"],
        "option" => &["op"],
        _ => &[],
    }
}

fn clear(when: &When, arg: &str, bits: u64) -> bool {
    match when {
        When::Always => false,
        When::None(conditions) => {
            conditions.iter().map(|c| any_bit_of(c, arg)).fold(0, |all, some| all | some) & bits == bits
        }
        When::All(conditions) => conditions.iter().any(|c| {
            same(c, arg)
                && match &c.test {
                    Test::In(values) => values.iter().all(|v| v & bits == 0),
                    Test::MaskedIn { mask, values } => {
                        mask & bits == bits && values.iter().all(|v| v & bits == 0)
                    }
                    Test::AnyBit(_) => false,
                }
        }),
    }
}

fn one_of(condition: &Condition, arg: &str, wanted: u64, allowed: &[u64]) -> bool {
    if !same(condition, arg) {
        return false;
    }
    match &condition.test {
        Test::In(values) => values.iter().all(|v| allowed.contains(&(v & wanted))),
        Test::MaskedIn { mask, values } => {
            // The condition must decide all the bits that matter; an argument
            // of 32 bits has no others.
            let all = if wanted == u64::MAX { 0xffff_ffff } else { wanted };
            mask & all == all && values.iter().all(|v| allowed.contains(&(v & wanted)))
        }
        Test::AnyBit(_) => false,
    }
}

/// The values that a condition is true for, if they can be listed.
struct Values<'a>(&'a [u64]);

impl Values<'_> {
    fn covers(&self, values: &[u64]) -> bool {
        values.iter().all(|v| self.0.contains(v))
    }
}

fn values_of<'a>(condition: &'a Condition, arg: &str) -> Values<'a> {
    match &condition.test {
        Test::In(values) if same(condition, arg) => Values(values),
        _ => Values(&[]),
    }
}

fn not_one_of(when: &When, arg: &str, never: &[u64]) -> bool {
    match when {
        When::Always => false,
        When::All(conditions) => conditions.iter().any(|c| {
            let listed = values_of(c, arg).0;
            !listed.is_empty() && listed.iter().all(|v| !never.contains(v))
        }),
        When::None(conditions) => {
            let refused: Vec<u64> =
                conditions.iter().flat_map(|c| values_of(c, arg).0.iter().copied()).collect();
            never.iter().all(|v| refused.contains(v))
        }
    }
}

#[cfg(test)]
mod tests;

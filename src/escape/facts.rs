//! What a policy says, as far as the battery needs it.

use super::probe::{Facts, Replay};
use crate::error::Result;
use crate::policy::model::{AllowRule, Condition, ImageSource, PathSource, Policy, Test, When, Word, Wx};
use crate::policy::names::{self, ArgKind};
use crate::sandbox::seccomp::{self, ARCH_X86_64, Answer, Call, Rules};

/// The policy of this name, or of this text.
///
/// # Errors
/// What is wrong with it.
pub fn load((name, text): &(String, Option<Vec<u8>>)) -> Result<Policy> {
    let loaded = match text {
        Some(text) => crate::policy::parse(name, text),
        None => crate::policy::load_builtin(name),
    };
    loaded.map_err(crate::Error::from)
}

/// The same policy, whose program is the payload: what an interpreter would be
/// given is started itself, and what it may then do is the same.
#[must_use]
pub fn with_the_probe(mut policy: Policy) -> Policy {
    policy.image = ImageSource::PayloadClosure;
    policy.command = vec![Word::Payload, Word::Args];
    policy.payload.executable = true;
    for path in policy.paths.iter_mut().filter(|p| p.from == PathSource::Payload) {
        path.access.execute = true;
    }
    policy
}

/// Where a payload may write, and how that is said where it may not.
pub const NO_SCRATCH: super::table::Given =
    (|policy| scratch(policy).next().is_none(), "the policy gives no place to write");

/// Places in memory where a payload may write.
pub fn scratch(policy: &Policy) -> impl Iterator<Item = &str> {
    let writable = policy.paths.iter().filter(|p| p.access.create && p.from.memory().is_some());
    writable.map(|p| p.at.as_str())
}

/// Facts for probes; those that depend on overrides are filled in for each box.
#[must_use]
pub fn of(policy: &Policy) -> Facts {
    let mut mounts = vec!["/".to_owned()];
    for path in &policy.paths {
        mounts.push(path.at.clone());
        if let PathSource::Devices(devices) = &path.from {
            mounts.extend(devices.iter().map(|d| format!("{}/{d}", path.at)));
        }
    }
    Facts {
        hostname: policy.hostname.clone(),
        cwd: policy.cwd.clone(),
        mounts,
        refused: refused(policy),
        replays: replays(policy),
        socket_pairs: policy.allows(libc::SYS_socketpair),
        locks: gives_locks(policy),
        groups: policy.allows(libc::SYS_setpgid),
        ..Facts::default()
    }
}

/// Whether any way to lock a file passes the filter.
fn gives_locks(policy: &Policy) -> bool {
    const FLOCK: u32 = 73;
    const FCNTL: u32 = 72;
    let rules = Rules::of(policy, &argument);
    let passes = |nr: u32, command: i32| {
        let args = [0, u64::from(command.unsigned_abs()), 0, 0, 0, 0];
        seccomp::decide(&rules, [1; 3], &Call { arch: ARCH_X86_64, nr, args }) == Answer::Allow
    };
    passes(FLOCK, 0) || [libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK].iter().any(|c| passes(FCNTL, *c))
}

/// What a control, which no policy limits, counts as more than enough.
#[must_use]
pub fn beside(facts: Facts) -> Facts {
    Facts {
        processes: 16,
        open_files: 64,
        memory: 16 << 20,
        file_size: 1 << 20,
        scratch: Some((1 << 20, 256)),
        ..facts
    }
}

fn argument(nr: u32, name: &str) -> Option<(u8, seccomp::Width)> {
    let arg = names::argument(nr, name)?;
    match arg.kind {
        ArgKind::Pointer => None,
        ArgKind::Int => Some((arg.index, seccomp::Width::Dword)),
        ArgKind::Long => Some((arg.index, seccomp::Width::Qword)),
    }
}

/// Numbers swept.
const NUMBERS: u32 = 1024;

/// `uretprobe` and `uprobe`: since 6.14 the kernel asks no filter about them.
const NOT_FILTERED: [u32; 2] = [335, 336];

/// Calls that the policy never allows, and what the filter answers to them.
fn refused(policy: &Policy) -> Vec<(u32, String)> {
    let rules = Rules::of(policy, &argument);
    let allowed = |nr: u32| policy.syscalls.allow.iter().any(|r| r.calls.contains(&nr));
    (0..NUMBERS)
        .filter(|nr| !allowed(*nr) && !NOT_FILTERED.contains(nr))
        .filter_map(|nr| {
            let call = Call { arch: ARCH_X86_64, nr, args: [u64::MAX, 0, 0, 0, 0, 0] };
            // A nonce that is not null: these arguments have none.
            match seccomp::decide(&rules, [1, 1, 1], &call) {
                Answer::Allow => None,
                Answer::Notify => Some((nr, "notified".to_owned())),
                Answer::Errno(errno) => {
                    Some((nr, super::outcome::name(crate::sys::Errno::from_raw(i32::from(errno)))))
                }
                Answer::Kill => Some((nr, "killed".to_owned())),
            }
        })
        .collect()
}

/// Calls that are not replayed: they end, stop or close what replays them, or
/// take what is not a number at face value.
const NOT_REPLAYED: [&str; 14] = [
    "exit",
    "exit_group",
    "pause",
    "rt_sigreturn",
    "rt_sigsuspend",
    "fork",
    "vfork",
    "close",
    "close_range",
    "dup2",
    "dup3",
    "execve",
    "execveat",
    "kill",
];

/// Where `mmap` has its protection.
const PROT: u8 = 2;

/// Every argument rule: values on both sides of it, each with variants that the
/// kernel takes for the same.
fn replays(policy: &Policy) -> Vec<Replay> {
    let mut all = Vec::new();
    let allow = policy.syscalls.allow.iter().flat_map(|rule: &AllowRule| match &rule.when {
        When::All(conditions) | When::None(conditions) => pairs(&rule.calls, conditions),
        When::Always => Vec::new(),
    });
    let violations = policy.syscalls.violations.iter().flat_map(|rule| pairs(&rule.calls, &rule.when));
    for (nr, condition) in allow.chain(violations) {
        let Some(arg) = names::argument(nr, &condition.arg) else { continue };
        let name = names::shown(nr);
        if NOT_REPLAYED.contains(&name.as_str()) {
            continue;
        }
        // The kernel looks at every bit of a long argument: there is nothing to vary.
        if arg.kind != ArgKind::Int {
            continue;
        }
        for value in values(nr, &condition.test) {
            let mut one = replay(nr, &format!("{name}({} = {value:#x})", condition.arg), arg, value);
            if name == "mmap" && arg.index != PROT {
                // Not what `wx` answers first.
                one.args[usize::from(PROT)] = 0;
            }
            all.push(one);
        }
    }
    if policy.wx == Wx::Deny {
        for name in ["mmap", "mprotect"] {
            let nr =
                names::number(name).filter(|nr| policy.syscalls.allow.iter().any(|r| r.calls.contains(nr)));
            let prot = nr.and_then(|nr| Some((nr, names::argument(nr, "prot")?)));
            let prot = prot.filter(|(_, prot)| prot.kind == ArgKind::Int);
            for value in prot.iter().flat_map(|_| [6u64, 7, 5]) {
                if let Some((nr, prot)) = prot {
                    // A length of 0 in any case: EINVAL where the filter lets it through.
                    let mut one = replay(nr, &format!("{name}(prot = {value:#x})"), prot, value);
                    one.args[1] = 0;
                    one.args[0] = 1;
                    all.push(one);
                }
            }
        }
    }
    all
}

fn pairs<'a>(calls: &'a [u32], conditions: &'a [Condition]) -> Vec<(u32, &'a Condition)> {
    calls.iter().flat_map(|nr| conditions.iter().map(move |c| (*nr, c))).collect()
}

/// Values on both sides of a test. Nothing that `clone` would carry out: it is
/// asked for a signal table without the memory it lies in, which is `EINVAL`.
fn values(nr: u32, test: &Test) -> Vec<u64> {
    const NEITHER: u64 = 0x7fff_fff0;
    const CLONE_SIGHAND: u64 = 0x800;
    let is_clone = names::name(nr) == Some("clone");
    match test {
        Test::In(values) => values.iter().copied().chain([NEITHER]).collect(),
        Test::MaskedIn { mask, values } => values.iter().copied().chain([NEITHER & mask ^ mask]).collect(),
        Test::AnyBit(bits) => {
            let single = (0..64).map(|n| 1u64 << n).filter(|bit| bits & bit != 0);
            let none = if is_clone { CLONE_SIGHAND } else { 0 };
            let with = if is_clone { CLONE_SIGHAND } else { 0 };
            single.map(|bit| bit | with).chain([none]).collect()
        }
    }
}

fn replay(nr: u32, what: &str, arg: names::Arg, value: u64) -> Replay {
    let mut args = [u64::MAX; 6];
    let index = usize::from(arg.index);
    args[index] = value;
    let same = match (arg.kind, arg.bits) {
        (ArgKind::Int, 16) => {
            vec![value | 1 << 16, value | 1 << 32, value | 1 << 63, value | 0xffff_ffff_0000_0000]
        }
        (ArgKind::Int, _) => {
            let low = value & 0xffff_ffff;
            // As a negative int would stand there.
            let extended = if low & 0x8000_0000 != 0 { low | 0xffff_ffff_0000_0000 } else { low };
            vec![
                low | 1 << 32,
                low | 1 << 63,
                low | 0xffff_ffff_0000_0000,
                low | 0x7fff_ffff_0000_0000,
                extended,
            ]
        }
        _ => Vec::new(),
    };
    Replay { nr, what: what.to_owned(), index, args, same }
}

/// Bytes of an ELF file that the kernel and the loader look at.
#[must_use]
pub fn loaded_length(file: &[u8]) -> Option<usize> {
    let word = |at: usize, n: usize| {
        let mut bytes = [0u8; 8];
        bytes.get_mut(..n)?.copy_from_slice(file.get(at..at + n)?);
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let (table, size, count) = (word(32, 8)?, word(54, 2)?, word(56, 2)?);
    let mut end = table.checked_add(size * count)?;
    for n in 0..count {
        let at = table + n * size;
        end = end.max(word(at + 8, 8)?.checked_add(word(at + 32, 8)?)?);
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native() -> Policy {
        crate::policy::load_builtin("native").unwrap()
    }

    #[test]
    fn refused_numbers_are_all_that_no_rule_allows() {
        let refused = refused(&native());
        let of = |nr: i64| refused.iter().find(|(n, _)| i64::from(*n) == nr).map(|(_, a)| a.as_str());
        assert_eq!(of(libc::SYS_ptrace), Some("notified"));
        assert_eq!(of(libc::SYS_socket), Some("ENOSYS"));
        assert_eq!(of(libc::SYS_execve), Some("EACCES"));
        assert_eq!(of(1023), Some("ENOSYS"));
        assert_eq!(of(libc::SYS_read), None);
        assert_eq!(of(335), None);
        let allowed: usize = native().syscalls.allow.iter().map(|r| r.calls.len()).sum();
        assert_eq!(refused.len(), 1024 - 2 - allowed);
    }

    #[test]
    fn policy_gives_locks_where_a_rule_lets_one_of_the_calls_pass() {
        assert!(!gives_locks(&native()));
        let more = |rule: &str| {
            let text = format!(
                r#"{{"version":1,"name":"x","comment":"x","extends":"native","syscalls+":{{"allow":[{rule}]}}}}"#
            );
            gives_locks(&crate::policy::parse("x", text.as_bytes()).unwrap())
        };
        assert!(more(r#"{"calls":["flock"],"comment":"x"}"#));
        assert!(!more(r#"{"calls":["getsid"],"comment":"x"}"#));
    }

    #[test]
    fn every_argument_rule_is_replayed_with_values_on_both_sides() {
        let all = replays(&native());
        let of = |name: &str| all.iter().filter(|r| r.what.starts_with(name)).count();
        assert!(
            of("ioctl(") >= 7 && of("fcntl(") >= 8 && of("clone(") >= 11 && of("prctl(") >= 7,
            "{}",
            all.len()
        );
        assert_eq!(of("mmap(prot"), 3);
        assert_eq!(of("mmap(flags"), 2);
        assert!(all.iter().filter(|r| r.what.starts_with("mmap(flags")).all(|r| r.args[2] == 0));
        for replay in &all {
            assert!(!replay.same.is_empty(), "{}", replay.what);
        }
        // What the kernel takes for the same, the policy must mean the same by.
        let policy = native();
        let rules = Rules::of(&policy, &argument);
        for Replay { nr, what, index, args, same } in all {
            let mut call = Call { arch: ARCH_X86_64, nr, args };
            let plain = seccomp::decide(&rules, [1; 3], &call);
            for value in same {
                call.args[index] = value;
                assert_eq!(seccomp::decide(&rules, [1; 3], &call), plain, "{what} {value:#x}");
            }
        }
    }

    #[test]
    fn loaded_length_ends_with_the_last_segment() {
        let little = crate::escape::probe::files::EXITS_WITH_42;
        let mut longer = little.to_vec();
        longer.extend([0u8; 100]);
        assert_eq!(loaded_length(&longer), Some(little.len()));
        assert_eq!(loaded_length(b"\x7fELF"), None);
    }
}

//! What a policy means, call by call: expectations written by hand, and the
//! compiled programs held to them under the same table.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod seccomp_support;

use seccomp_support::{Policy, allow, base, compile_cpp, exotic, java, nr, violation};
use stockade::policy::model::{Exec, Wx};
use stockade::sandbox::seccomp::{
    ARCH_X86_64, Answer, Call, EACCES, ENOSYS, EPERM, compile, constant, decide, stack,
};

const NONCE: [u32; 3] = [0x1357_9bdf, 0x8000_0001, 0xffff_ffff];
const ALLOW: Answer = Answer::Allow;
const NOSYS: Answer = Answer::Errno(ENOSYS);
const PERM: Answer = Answer::Errno(EPERM);
const ACCES: Answer = Answer::Errno(EACCES);
const HIGH: u64 = 1 << 32;

fn native(nr: u32, args: [u64; 6]) -> Call {
    Call { arch: ARCH_X86_64, nr, args }
}

/// Reference and programs both give what is written.
fn expect(policy: &Policy, call: &Call, expected: Answer) {
    let rules = policy.rules();
    assert_eq!(decide(&rules, NONCE, call), expected, "{}: the policy, {call:#x?}", policy.name);
    let filters = compile(&rules).unwrap().with_nonce(NONCE);
    let returned = stack(&filters.in_order(), call).unwrap();
    assert_eq!(returned, expected.to_return(), "{}: the programs, {call:#x?}", policy.name);
}

/// Calls with the argument at `index` set and the others as given.
fn expect_values(policy: &Policy, name: &str, index: usize, rows: &[(u64, Answer)]) {
    for &(value, expected) in rows {
        for other in [0, u64::MAX] {
            let mut args = [other; 6];
            args[index] = value;
            expect(policy, &native(nr(name), args), expected);
        }
    }
}

#[test]
fn foreign_architectures_and_numbers_are_killed() {
    let policy = base();
    let getpid = nr("getpid");
    // i386, x86-64 without its flag bits, arm64, nothing.
    for arch in [0x4000_0003, 62, 0xc000_00b7, 0, ARCH_X86_64 ^ 1, u32::MAX] {
        expect(&policy, &Call { arch, nr: getpid, args: [0; 6] }, Answer::Kill);
    }
    for number in [1 << 30, 1 << 30 | getpid, 0x7fff_ffff, 1 << 31, 1 << 31 | getpid, u32::MAX] {
        expect(&policy, &native(number, [0; 6]), Answer::Kill);
    }
    expect(&policy, &native(getpid, [0; 6]), ALLOW);
    expect(&policy, &native((1 << 30) - 1, [0; 6]), NOSYS);
}

#[test]
fn unnamed_calls_do_not_exist() {
    for name in ["clone3", "openat2", "execveat", "socket", "memfd_create", "tkill", "personality", "setuid"]
    {
        expect(&base(), &native(nr(name), [0; 6]), NOSYS);
    }
    for newer in [460, 467, 470, 512, 1023, 100_000] {
        expect(&base(), &native(newer, [0; 6]), NOSYS);
    }
    expect(&base(), &native(nr("read"), [0; 6]), ALLOW);
}

#[test]
fn violations_are_notified_whatever_the_arguments() {
    for name in ["ptrace", "mount", "bpf", "io_uring_setup", "reboot", "seccomp", "modify_ldt", "keyctl"] {
        for args in [[0; 6], [u64::MAX; 6]] {
            expect(&base(), &native(nr(name), args), Answer::Notify);
        }
    }
}

#[test]
fn narrow_arguments_are_compared_without_their_upper_half() {
    let policy = base();
    expect_values(
        &policy,
        "ioctl",
        1,
        &[
            (libc::TCGETS, ALLOW),
            (libc::TCGETS | HIGH, ALLOW),
            (libc::TIOCSTI, Answer::Notify),
            (libc::TIOCSTI | HIGH, Answer::Notify),
            (libc::TIOCSTI | 0xffff_ffff << 32, Answer::Notify),
            (libc::TIOCSTI | 1 << 63, Answer::Notify),
            (libc::TIOCSWINSZ, PERM),
            (0, PERM),
            (u64::MAX, PERM),
            (libc::TIOCSTI << 32, PERM),
        ],
    );
    expect_values(
        &policy,
        "prlimit64",
        0,
        &[
            (0, ALLOW),
            (HIGH, ALLOW),
            (0xffff_ffff << 32, ALLOW),
            (1, PERM),
            (u64::MAX, PERM),
            (1 << 31, PERM),
        ],
    );
    expect_values(&policy, "getpriority", 1, &[(0, ALLOW), (1 << 63, ALLOW), (1, NOSYS), (1 << 31, NOSYS)]);
    expect_values(
        &policy,
        "openat",
        3,
        &[(0o644, ALLOW), (0o1777, ALLOW), (0o4755, PERM), (0o2755 | HIGH, PERM), (0o6000 << 32, ALLOW)],
    );
    expect_values(
        &policy,
        "madvise",
        2,
        &[
            (0, ALLOW),
            (4, ALLOW),
            (5, NOSYS),
            (8, ALLOW),
            (12, NOSYS),
            (14 | HIGH, ALLOW),
            (18, NOSYS),
            (103, ALLOW),
            (104, NOSYS),
        ],
    );
}

#[test]
fn wide_arguments_are_compared_with_both_halves() {
    let policy = base();
    let newuser = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    expect_values(
        &policy,
        "clone",
        0,
        &[
            (17, ALLOW),
            (0x3d_0f00, ALLOW),
            (newuser, Answer::Notify),
            (newuser | HIGH, Answer::Notify),
            (newuser << 32, ALLOW),
            (0x8000 | 17, Answer::Notify),
        ],
    );
    let wide = 0x8000_0001_0000_0002;
    expect_values(
        &exotic(),
        "lseek",
        1,
        &[
            (5, ALLOW),
            (5 | HIGH, Answer::Notify),
            (5 << 32, Answer::Notify),
            (HIGH, ALLOW),
            (0xffff_ffff, ALLOW),
            (u64::MAX, Answer::Notify),
            (wide, ALLOW),
            (wide & 0xffff_ffff, Answer::Notify),
            (1 << 63, ALLOW),
        ],
    );
}

#[test]
fn negative_constants_match_both_spellings() {
    // Arguments 2 and 4 are no violation's.
    expect_values(
        &exotic(),
        "fcntl",
        1,
        &[
            (u64::MAX, ALLOW),
            (0xffff_ffff, ALLOW),
            (0x1_ffff_ffff, ALLOW),
            (1 << 31, ALLOW),
            (0xffff_fffe, PERM),
            (0x7fff_ffff, PERM),
        ],
    );
}

#[test]
fn conditional_violations_come_before_allow() {
    let fcntl = |cmd, arg| native(nr("fcntl"), [3, cmd, arg, 0, 0, 0]);
    let policy = exotic();
    expect(&policy, &fcntl(0, 0), ALLOW);
    expect(&policy, &fcntl(0, 7), Answer::Notify);
    expect(&policy, &fcntl(HIGH, 7 | HIGH), Answer::Notify);
    expect(&policy, &fcntl(4, 0), PERM);
    expect(&policy, &fcntl(4, 0x800), Answer::Notify);
    expect(&policy, &native(nr("ptrace"), [16, 0, 0, 0, 0, 0]), Answer::Notify);
    expect(&policy, &native(nr("ptrace"), [17, 0, 0, 0, 0, 0]), NOSYS);
}

#[test]
fn writable_code_is_refused_where_the_call_is_allowed() {
    let policy = base();
    for name in ["mmap", "mprotect"] {
        for prot in 0..16_u64 {
            let expected = if prot & 6 == 6 { PERM } else { ALLOW };
            for prot in [prot, prot | 1 << 63, prot | 0xffff_ff00] {
                expect(&policy, &native(nr(name), [0, 4096, prot, 0x22, 0, 0]), expected);
                expect(&java(), &native(nr(name), [0, 4096, prot, 0x22, 0, 0]), ALLOW);
            }
        }
    }
    // Not allowed at all: no condition shows through.
    expect(&policy, &native(nr("pkey_mprotect"), [0, 0, 7, 0, 0, 0]), NOSYS);
    expect(&policy, &native(nr("mremap"), [0, 0, 7, 0, 0, 0]), ALLOW);
    // Before the rule's own conditions.
    let mmap = |prot, flags| native(nr("mmap"), [0, 0, prot, flags, 0, 0]);
    expect(&exotic(), &mmap(7, 0), PERM);
    expect(&exotic(), &mmap(7, 0x20), PERM);
    expect(&exotic(), &mmap(5, 0x20), ALLOW);
    expect(&exotic(), &mmap(5, 0), Answer::Notify);
    expect(&exotic(), &mmap(2, 0x20), Answer::Notify);
    expect(&exotic(), &native(nr("pkey_mprotect"), [0, 0x1000, 7, 0, 0, 0]), PERM);
    expect(&exotic(), &native(nr("pkey_mprotect"), [0, 0x1_0000_1000, 5, 0, 0, 0]), ALLOW);
    expect(&exotic(), &native(nr("pkey_mprotect"), [0, 0x3_0000_1000, 5, 0, 0, 0]), PERM);
}

#[test]
fn execve_needs_the_nonce_under_launch_only() {
    let policy = base();
    let [a, b, c] = NONCE.map(u64::from);
    let execve = |a, b, c| native(nr("execve"), [1, 2, 3, a, b, c]);
    expect(&policy, &execve(a, b, c), ALLOW);
    expect(&policy, &execve(a | HIGH, b | 1 << 63, c | 0xffff_ffff << 32), ALLOW);
    for (a, b, c) in
        [(a ^ 1, b, c), (a, b ^ 1 << 31, c), (a, b, c - 1), (b, a, c), (0, 0, 0), (a << 32, b, c)]
    {
        expect(&policy, &execve(a, b, c), ACCES);
    }
    // Another program's nonce is not in its first arguments.
    expect(&policy, &native(nr("execve"), [a, b, c, 0, 0, 0]), ACCES);
    expect(&compile_cpp(), &execve(0, 0, 0), ALLOW);
    expect(&java(), &execve(0, 0, 0), ACCES);
    expect(&exotic(), &native(nr("execve"), [0, 0, 0, 0x1234, 5, 0]), Answer::Notify);
    expect(&exotic(), &native(nr("execve"), [0, 0, 0, 0x1234, 5 | HIGH, 0]), ACCES);
}

#[test]
fn hand_over_passes_the_listener_with_the_nonce_only() {
    let [a, b, c] = NONCE.map(u64::from);
    let with = |name, a, b, c| native(nr(name), [1, 0, 0, a, b, c]);
    let policy = base();
    expect(&policy, &with("seccomp", a, b, c), ALLOW);
    expect(&policy, &with("seccomp", a, b, c ^ 1), Answer::Notify);
    expect(&policy, &with("seccomp", 0, 0, 0), Answer::Notify);
    // Not a violation here: nothing to let pass.
    expect(&policy, &with("sendmsg", a, b, c), NOSYS);
    // The nonce opens no other call.
    expect(&policy, &with("ptrace", a, b, c), Answer::Notify);
    let strict = Policy::new(
        "strict",
        vec![allow("exit_group")],
        vec![violation("sendmsg", vec![])],
        Exec::LaunchOnly,
        Wx::Deny,
    );
    expect(&strict, &with("sendmsg", a, b, c), ALLOW);
    expect(&strict, &with("sendmsg", b, a, c), Answer::Notify);
    expect(&strict, &with("seccomp", a, b, c), NOSYS);
}

#[test]
fn calls_allowed_without_condition_are_constant_for_the_kernel() {
    for policy in seccomp_support::all() {
        let filters = compile(&policy.rules()).unwrap().with_nonce(NONCE);
        let mut constant_calls = 0;
        for number in 0..600 {
            let plain = policy
                .syscalls
                .allow
                .iter()
                .any(|r| r.calls.contains(&number) && r.when == stockade::policy::model::When::Always);
            let tested = policy.wx == Wx::Deny && [9, 10, 329].contains(&number)
                || policy.exec == Exec::LaunchOnly && number == 59
                || policy.syscalls.violations.iter().any(|r| r.calls.contains(&number));
            let constant = |code| constant(code, ARCH_X86_64, number).unwrap() == Some(ALLOW.to_return());
            if plain && !tested {
                constant_calls += 1;
                for code in filters.in_order() {
                    assert!(constant(code), "{}: call {number}", policy.name);
                }
            } else if !policy.calls().contains(&number) {
                assert!(!constant(&filters.main), "{}: call {number}", policy.name);
            }
        }
        assert!(constant_calls > 0, "{}", policy.name);
    }
}

//! Small policies of any shape: their filters do what they say.
//!
//! Calls and conditions are not those of the table of arguments: any call may
//! have a condition on any argument in both widths, which reaches more shapes
//! of filters than policies in JSON do.

use stockade::error::Kind;
use stockade::policy::model::{
    AllowRule, Condition, Exec, OnViolation, Otherwise, Syscalls, Test, ViolationRule, When, Wx,
};
use stockade::sandbox::seccomp::{ARCH_X86_64, Call, Refuted, Rules, Width, compile, decide, prove, stack};

use super::bytes::Bytes;

/// Calls with a meaning of their own (`mmap`, `mprotect`, `sendmsg`, `execve`,
/// `seccomp`, `pkey_mprotect`), neighbours, loners and the last number.
const CALLS: [u32; 16] = [0, 1, 2, 3, 9, 10, 11, 46, 59, 60, 231, 317, 322, 329, 512, (1 << 30) - 1];

/// See [`argument`].
const ARGUMENTS: [&str; 8] = ["d0", "d1", "d2", "d3", "q0", "q1", "q3", "q5"];

const EDGES: [u64; 12] = [
    0,
    1,
    2,
    7,
    0x7fff_ffff,
    1 << 31,
    0xffff_ffff,
    1 << 32,
    0xffff_ffff << 32,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// Proofs of policies with more values than this take too long to be fuzzed.
const PROVED: usize = 8;

pub fn check(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let exec = bytes.pick(&[Exec::LaunchOnly, Exec::Image]);
    let wx = bytes.pick(&[Wx::Deny, Wx::Allow]);
    let mut pool = EDGES.to_vec();
    let syscalls = syscalls(&mut bytes, &mut pool);
    let rules = Rules { syscalls: &syscalls, exec, wx, argument: &argument };
    let compiled = match compile(&rules) {
        Ok(compiled) => compiled,
        Err(error) => return assert_eq!(error.kind(), Kind::Policy, "{error}"),
    };
    let nonce = [0, 1, 2].map(|_| u32::try_from(bytes.pick(&pool) & 0xffff_ffff).unwrap());
    let filters = compiled.with_nonce(nonce);
    for round in 0..64 {
        let arch = if bytes.below(8) == 7 { 0x4000_0003 } else { ARCH_X86_64 };
        let nr = bytes.pick(&CALLS) ^ bytes.pick(&[0, 0, 0, 1, 1 << 30, 1 << 31]);
        let mut args = [0; 6].map(|_: u64| bytes.pick(&pool) ^ bytes.pick(&[0, 0, 1, 1 << 32, 1 << 63]));
        if bytes.below(2) == 1 {
            args[3..].copy_from_slice(&nonce.map(u64::from));
        }
        let call = Call { arch, nr, args };
        let meant = decide(&rules, nonce, &call);
        assert_eq!(
            stack(&filters.in_order(), &call),
            Ok(meant.to_return()),
            "{syscalls:#?} {exec:?} {wx:?}: {call:#x?} means {meant:?}"
        );
        if bytes.is_empty() && round >= 8 {
            break;
        }
    }
    if pool.len() - EDGES.len() <= PROVED {
        match prove(&compiled, &rules) {
            Ok(_) | Err(Refuted::TooHard) => {}
            Err(refuted) => panic!("{syscalls:#?} {exec:?} {wx:?}: {refuted}"),
        }
    }
}

/// `d0` to `d5` and `q0` to `q5` are the arguments of any call, in 32 and in 64 bits.
fn argument(_: u32, name: &str) -> Option<(u8, Width)> {
    match name.as_bytes() {
        [width @ (b'd' | b'q'), index @ b'0'..=b'5'] => {
            Some((index - b'0', if *width == b'd' { Width::Dword } else { Width::Qword }))
        }
        _ => None,
    }
}

fn syscalls(bytes: &mut Bytes<'_>, pool: &mut Vec<u64>) -> Syscalls {
    let mut free = CALLS.to_vec();
    let mut allow = Vec::new();
    for _ in 0..bytes.below(5) {
        let calls = (0..=bytes.below(3)).filter_map(|_| take(&mut free, bytes)).collect();
        let when = match bytes.below(3) {
            0 => When::Always,
            1 => When::All(conditions(bytes, pool)),
            _ => When::None(conditions(bytes, pool)),
        };
        let otherwise = bytes.pick(&[Otherwise::Enosys, Otherwise::Eperm, Otherwise::Violation]);
        allow.push(AllowRule { calls, when, otherwise, comment: String::new() });
    }
    let violations = (0..bytes.below(3))
        .map(|_| ViolationRule {
            calls: vec![bytes.pick(&CALLS)],
            when: conditions(bytes, pool),
            comment: String::new(),
        })
        .collect();
    Syscalls { on_violation: OnViolation::Refuse, max_violations: 0, allow, violations }
}

/// A call stands in one rule only.
fn take(free: &mut Vec<u32>, bytes: &mut Bytes<'_>) -> Option<u32> {
    let at = usize::from(bytes.byte()) % free.len().max(1);
    (at < free.len()).then(|| free.swap_remove(at))
}

fn conditions(bytes: &mut Bytes<'_>, pool: &mut Vec<u64>) -> Vec<Condition> {
    let mut value = |bytes: &mut Bytes<'_>| {
        let value = match bytes.below(3) {
            0 => u64::from(bytes.byte()),
            1 => bytes.pick(&EDGES),
            _ => bytes.word(),
        };
        pool.push(value);
        value
    };
    (0..bytes.below(3))
        .map(|_| {
            let arg = bytes.pick(&ARGUMENTS).to_owned();
            let test = match bytes.below(3) {
                0 => Test::In((0..=bytes.below(3)).map(|_| value(bytes)).collect()),
                1 => {
                    let mask = value(bytes);
                    let values = (0..=bytes.below(2)).map(|_| value(bytes) & mask).collect();
                    Test::MaskedIn { mask, values }
                }
                _ => Test::AnyBit(value(bytes)),
            };
            Condition { arg, test }
        })
        .collect()
}

//! The compiled filters say what the policy means: proved, and the proof
//! itself put to the test with programs that are wrong.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod seccomp_support;

use std::time::{Duration, Instant};

use proptest::prelude::*;
use seccomp_support::{
    Policy, all, allow, allow_if, any_bit, base, exotic, is, java, masked, random, violation,
};
use stockade::policy::model::{AllowRule, Exec, Otherwise, When, Wx};
use stockade::sandbox::seccomp::{
    Answer, Call, Fault, Filters, Refuted, compile, compile_init, decide, prove, prove_filters, prove_init,
    run, sock_filter, stack,
};

const NONCE: [u32; 3] = [0x1357_9bdf, 0x8000_0001, 0xffff_ffff];

/// What this thread has used of a processor: how busy the machine is does not matter.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(answer, 0);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

#[test]
fn prove_shipped_and_strange_policies_succeeds_in_seconds() {
    for policy in all() {
        let rules = policy.rules();
        let compiled = compile(&rules).unwrap();
        let start = cpu_time();
        let proof = prove(&compiled, &rules).unwrap_or_else(|e| panic!("{}: {e}", policy.name));
        let took = cpu_time() - start;
        assert!(proof.runs > policy.calls().len(), "{}: {} runs", policy.name, proof.runs);
        assert_eq!(proof.unreached, [], "{}: instructions nobody needs", policy.name);
        assert!(took < Duration::from_secs(20), "{}: {took:?}", policy.name);
        prove_filters(&compiled.with_nonce(NONCE), NONCE, &rules).unwrap();
    }
}

#[test]
fn prove_against_another_policy_finds_a_call() {
    let (base, java) = (base(), java());
    let compiled = compile(&base.rules()).unwrap();
    let Err(Refuted::Differs(counter)) = prove(&compiled, &java.rules()) else { panic!("proved") };
    // The two differ in mmap and mprotect with W and X, and in socketpair.
    assert!([9, 10, 53].contains(&counter.call.nr), "{counter:?}");
    let filters = compiled.with_nonce(counter.nonce);
    assert_eq!(returned(&filters, &counter.call), counter.returned);
    assert_eq!(decide(&java.rules(), counter.nonce, &counter.call), counter.meant);
    let together = stack(&filters.in_order(), &counter.call).unwrap();
    assert_eq!(decide(&base.rules(), counter.nonce, &counter.call).to_return(), together);
    assert_ne!(Answer::from_return(together), Some(counter.meant));
}

#[test]
fn prove_with_another_nonce_finds_the_launch() {
    let policy = base();
    let filters = compile(&policy.rules()).unwrap().with_nonce(NONCE);
    let other = [NONCE[0], NONCE[1], NONCE[2] ^ 1];
    let Err(Refuted::Differs(counter)) = prove_filters(&filters, other, &policy.rules()) else {
        panic!("proved")
    };
    assert!([59, 317].contains(&counter.call.nr), "{counter:?}");
}

fn returned(filters: &Filters, call: &Call) -> Vec<u32> {
    filters.in_order().into_iter().map(|code| run(code, call).unwrap()).collect()
}

/// Every way in which one instruction can be slightly wrong.
fn mutants(code: &[sock_filter], at: usize) -> Vec<Vec<sock_filter>> {
    let changed = |change: &dyn Fn(&mut sock_filter)| {
        let mut code = code.to_vec();
        change(&mut code[at]);
        code
    };
    match code[at].code {
        // Loads: the next half word and the one before.
        0x20 => vec![changed(&|i| i.k += 4), changed(&|i| i.k = i.k.wrapping_sub(4))],
        // And: one bit less, one more.
        0x54 => vec![changed(&|i| i.k &= i.k - 1), changed(&|i| i.k |= i.k + 1)],
        0x05 => vec![changed(&|i| i.k += 1)],
        0x06 => vec![
            changed(&|i| i.k = if i.k == 0x7fff_0000 { 0x0005_0001 } else { 0x7fff_0000 }),
            changed(&|i| i.k ^= 0x8000_0000),
        ],
        _ => vec![
            changed(&|i| i.k = i.k.wrapping_add(1)),
            changed(&|i| i.k = i.k.wrapping_sub(1)),
            changed(&|i| std::mem::swap(&mut i.jt, &mut i.jf)),
            changed(&|i| i.jt += 1),
            changed(&|i| i.jf += 1),
            // "Equal" and "at least" become "above", "above" becomes "at least", "any bit" "equal".
            changed(&|i| {
                i.code = match i.code {
                    0x15 | 0x35 => 0x25,
                    0x25 => 0x35,
                    _ => 0x15,
                }
            }),
        ],
    }
}

/// A policy with all kinds of conditions, in few instructions.
fn small() -> Policy {
    let allowed = vec![
        allow("read write mmap"),
        allow_if("fcntl", vec![is("d1", &[1, 2, 5]), any_bit("q2", 1 << 40 | 6)], Otherwise::Eperm),
        allow_if("lseek", vec![is("q1", &[7, 1 << 32, 1 << 32 | 9])], Otherwise::Violation),
    ];
    let violations = vec![violation("ptrace", vec![]), violation("fcntl", vec![is("d1", &[9])])];
    Policy::new("small", allowed, violations, Exec::LaunchOnly, Wx::Deny)
}

/// Each mutant is refuted with a call that shows the difference, or never
/// differs from the original on any call that the other mutants differ on.
fn kill_mutants(policy: &Policy, every: usize) -> (usize, Vec<String>) {
    let rules = policy.rules();
    let filters = compile(&rules).unwrap().with_nonce(NONCE);
    let (mut killed, mut alive) = (0, Vec::new());
    for main in [true, false] {
        let original = if main { filters.main.clone() } else { filters.listener.clone().unwrap() };
        for at in (0..original.len()).step_by(every) {
            for mutant in mutants(&original, at) {
                let mutated = if main {
                    Filters { main: mutant.clone(), ..filters.clone() }
                } else {
                    Filters { listener: Some(mutant.clone()), ..filters.clone() }
                };
                match prove_filters(&mutated, NONCE, &rules) {
                    Err(Refuted::Differs(counter)) => {
                        // It shows the difference, run by itself.
                        assert_eq!(decide(&rules, NONCE, &counter.call), counter.meant);
                        assert_eq!(returned(&mutated, &counter.call), counter.returned);
                        assert_ne!(returned(&filters, &counter.call), counter.returned);
                        killed += 1;
                    }
                    Err(Refuted::Fault(_)) => killed += 1,
                    Err(Refuted::TooHard) => panic!("given up"),
                    Ok(_) => alive.push(format!("{main} {at} {:?} -> {:?}", original[at], mutant[at])),
                }
            }
        }
    }
    (killed, alive)
}

#[test]
fn mutants_of_a_small_policy_are_refuted() {
    let (killed, alive) = kill_mutants(&small(), 1);
    assert!(killed > 100, "{killed}");
    assert_eq!(alive, Vec::<String>::new());
}

#[test]
fn mutants_of_the_base_policy_are_refuted() {
    let (killed, alive) = kill_mutants(&base(), 11);
    assert!(killed > 100, "{killed}");
    assert_eq!(alive, Vec::<String>::new());
}

#[test]
fn nonce_changes_marked_instructions_only() {
    for policy in all() {
        let compiled = compile(&policy.rules()).unwrap();
        let (a, b) = (compiled.with_nonce([0; 3]), compiled.with_nonce(NONCE));
        let programs = compiled.listener().into_iter().chain([compiled.main()]);
        for ((a, b), program) in a.in_order().into_iter().zip(b.in_order()).zip(programs) {
            assert_eq!(a.len(), program.instructions());
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                match program.nonce_positions().iter().find(|(position, _)| *position == at) {
                    Some((_, word)) => assert_eq!((a.k, b.k), (0, NONCE[usize::from(*word)])),
                    None => assert_eq!(a, b),
                }
            }
        }
    }
    let compiled = compile(&base().rules()).unwrap();
    let mut words: Vec<u8> = compiled.main().nonce_positions().iter().map(|(_, word)| *word).collect();
    words.sort_unstable();
    assert_eq!(words, [0, 1, 2]);
}

#[test]
fn listener_is_absent_without_violations() {
    let policy = seccomp_support::exit_only();
    let compiled = compile(&policy.rules()).unwrap();
    assert_eq!((compiled.listener(), compiled.filters()), (None, 1));
    assert_eq!(compiled.with_nonce(NONCE).in_order().len(), 1);
    let compiled = compile(&exotic().rules()).unwrap();
    assert_eq!(compiled.filters(), 2);
    let together = compiled.listener().unwrap().instructions() + compiled.main().instructions();
    assert_eq!(compiled.instructions(), together);
}

#[test]
fn init_program_allows_its_calls_and_kills_the_rest() {
    for calls in [&[][..], &[61], &[0, 61, 231], &[231, 15, 61, 61, 1, 2, 3, 4, 5]] {
        let code = compile_init(calls).unwrap();
        prove_init(&code, calls).unwrap();
        assert!(code.len() <= 6 + 2 * calls.len(), "{} for {calls:?}", code.len());
    }
    let code = compile_init(&[61, 231]).unwrap();
    let Err(Refuted::Differs(counter)) = prove_init(&code, &[61, 230]) else { panic!("proved") };
    assert!([230, 231].contains(&counter.call.nr));
    assert_eq!((counter.meant == Answer::Kill), counter.call.nr == 231);
    let refused = compile_init(&[1 << 30]).unwrap_err();
    assert_eq!(
        refused.message(),
        "the filter cannot be built: 0x40000000 is not a number of the x86-64 table"
    );
}

fn one_rule(when: When) -> Policy {
    let rule = AllowRule { calls: vec![0], when, ..allow("") };
    Policy::new("one", vec![rule], vec![], Exec::LaunchOnly, Wx::Deny)
}

#[test]
fn deep_policy_is_compiled_and_proved() {
    let condition = |i: u64| match i % 3 {
        0 => any_bit(&format!("q{}", i % 6), 1 << (i % 64)),
        1 => masked(&format!("d{}", i % 6), 0xff00, &[i << 8, (i + 1) << 8]),
        _ => is("q2", &[i, i << 32 | 1]),
    };
    for when in [When::None((0..60).map(condition).collect()), When::All((0..60).map(condition).collect())] {
        let policy = one_rule(when);
        prove(&compile(&policy.rules()).unwrap(), &policy.rules()).unwrap();
    }
}

#[test]
fn policy_too_large_for_the_kernel_is_refused_soon() {
    let scattered: Vec<u64> = (1..4096).map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let start = Instant::now();
    let policy = one_rule(When::All(vec![is("q0", &scattered), is("q1", &scattered)]));
    let refused = compile(&policy.rules()).unwrap_err();
    assert!(refused.message().ends_with("the kernel takes 4096"), "{refused}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // As many values in a row are one range.
    let row: Vec<u64> = (1..4096).collect();
    let policy = one_rule(When::All(vec![is("d0", &row), is("q1", &row)]));
    assert!(compile(&policy.rules()).unwrap().instructions() < 40);
}

#[test]
fn prove_malformed_program_names_the_fault() {
    let policy = seccomp_support::exit_only();
    let filters = Filters { listener: None, main: vec![] };
    assert_eq!(prove_filters(&filters, NONCE, &policy.rules()), Err(Refuted::Fault(Fault::Length(0))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prove_random_policies_succeeds(policy in random::policy()) {
        let rules = policy.rules();
        let compiled = compile(&rules).unwrap();
        prop_assert!(prove(&compiled, &rules).is_ok());
        prop_assert!(prove_filters(&compiled.with_nonce([5, 0, 1]), [5, 0, 1], &rules).is_ok());
    }
}

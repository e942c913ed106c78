//! Reference and programs on values that are easily taken for each other. The
//! proof covers these too; this does not use its explorer or its solver.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod seccomp_support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use seccomp_support::{Policy, all, pools, random};
use stockade::sandbox::seccomp::{ARCH_X86_64, Answer, Call, Filters, compile, decide, stack};

const NONCE: [u32; 3] = [0x1357_9bdf, 0x8000_0001, 0xffff_ffff];

/// A sequence that looks random and is the same each time.
struct Dice(u64);

impl Dice {
    fn pick(&mut self, from: &[u64]) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        from[usize::try_from(self.0 >> 33).unwrap() % from.len()]
    }
}

fn agree(policy: &Policy, filters: &Filters, call: &Call) -> Answer {
    let meant = decide(&policy.rules(), NONCE, call);
    let returned = stack(&filters.in_order(), call).unwrap();
    assert_eq!(returned, meant.to_return(), "{policy:#?} {call:#x?} means {meant:?}");
    meant
}

/// Goes through the calls a policy names, their neighbours, and odd numbers.
fn compare(policy: &Policy, rounds: usize) -> BTreeSet<Answer> {
    let filters = compile(&policy.rules()).unwrap().with_nonce(NONCE);
    let mut numbers: BTreeSet<u32> = (0..600).collect();
    let mut answers = BTreeSet::new();
    for nr in policy.calls().into_iter().chain([9, 10, 46, 59, 317, 329]) {
        let pools = pools(policy, nr, NONCE);
        let mut dice = Dice(u64::from(nr));
        for round in 0..rounds {
            for index in 0..6 {
                for &value in &pools[index] {
                    // The others at their nonce, where they have one, or anywhere.
                    let mut args = pools.each_ref().map(|pool| dice.pick(pool));
                    if round % 2 == 0 {
                        args[3..].copy_from_slice(
                            &NONCE.map(|word| u64::from(word) | dice.pick(&[0, 1 << 32, 1 << 63])),
                        );
                    }
                    args[index] = value;
                    answers.insert(agree(policy, &filters, &Call { arch: ARCH_X86_64, nr, args }));
                }
            }
        }
        numbers.extend([nr.saturating_sub(1), nr, nr + 1, nr | 1 << 30, nr | 1 << 31]);
    }
    numbers.extend([1 << 30, (1 << 30) - 1, 1 << 31, (1 << 31) - 1, u32::MAX, u32::MAX - 1]);
    for nr in numbers {
        for args in [[0; 6], [u64::MAX; 6], [1; 6]] {
            answers.insert(agree(policy, &filters, &Call { arch: ARCH_X86_64, nr, args }));
            for arch in [0x4000_0003, 62, 0] {
                let foreign = agree(policy, &filters, &Call { arch, nr, args });
                assert_eq!(foreign, Answer::Kill);
            }
        }
    }
    answers
}

#[test]
fn table_policies_agree_with_their_programs() {
    for policy in all() {
        let answers = compare(&policy, 4);
        // The comparison came by every kind of answer that the policy has.
        let expected = if policy.name == "exit-only" { 4 } else { 5 };
        assert!(answers.len() >= expected, "{}: {answers:?}", policy.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_policies_agree_with_their_programs(policy in random::policy()) {
        compare(&policy, 2);
    }
}

//! Policies of random shape.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Policy, allow};
use stockade::policy::model::{AllowRule, Condition, Exec, Otherwise, Test, ViolationRule, When, Wx};

/// Calls with a meaning of their own (`mmap`, `mprotect`, `sendmsg`, `execve`,
/// `seccomp`, `pkey_mprotect`), neighbours, loners and the last number.
const CALLS: [u32; 18] = [0, 1, 2, 3, 7, 9, 10, 11, 46, 59, 60, 231, 317, 329, 330, 512, 4096, (1 << 30) - 1];

fn constant(wide: bool) -> BoxedStrategy<u64> {
    let narrow = prop_oneof![
        4 => 0..6_u64,
        1 => select(vec![0x7fff_ffff, 1 << 31, 0xffff_ffff, 0xffff_fffe, u64::MAX, u64::MAX - 4]),
        1 => any::<u32>().prop_map(u64::from),
    ];
    if wide {
        prop_oneof![
            2 => narrow,
            2 => (0..4_u64, 0..4_u64).prop_map(|(high, low)| high << 32 | low),
            1 => select(vec![1 << 63, 1 << 32, 0xffff_ffff << 32, 1 << 63 | 1]),
            1 => any::<u64>(),
        ]
        .boxed()
    } else {
        narrow.boxed()
    }
}

fn test(wide: bool) -> impl Strategy<Value = Test> {
    let some = || prop::collection::vec(constant(wide), 1..4);
    prop_oneof![
        3 => some().prop_map(Test::In),
        // Values inside the mask, and now and then not.
        2 => (constant(wide), some(), any::<bool>()).prop_map(|(mask, values, inside)| {
            let values = values.into_iter().map(|v| if inside { v & mask } else { v }).collect();
            Test::MaskedIn { mask, values }
        }),
        2 => constant(wide).prop_map(Test::AnyBit),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    (any::<bool>(), 0..6).prop_flat_map(|(wide, index)| {
        let arg = format!("{}{index}", if wide { 'q' } else { 'd' });
        test(wide).prop_map(move |test| Condition { arg: arg.clone(), test })
    })
}

fn when() -> impl Strategy<Value = When> {
    let some = || prop::collection::vec(condition(), 0..4);
    prop_oneof![
        2 => Just(When::Always),
        2 => some().prop_map(When::All),
        2 => some().prop_map(When::None),
    ]
}

fn allow_rules() -> impl Strategy<Value = Vec<AllowRule>> {
    let otherwise = select(vec![Otherwise::Enosys, Otherwise::Eperm, Otherwise::Violation]);
    let shapes = prop::collection::vec((when(), otherwise), 1..5);
    // Each call in one rule: the chosen ones are dealt out in turn.
    (subsequence(CALLS.to_vec(), 1..CALLS.len()).prop_shuffle(), shapes).prop_map(|(calls, shapes)| {
        let mut rules: Vec<AllowRule> =
            shapes.into_iter().map(|(when, otherwise)| AllowRule { when, otherwise, ..allow("") }).collect();
        let count = rules.len();
        for (turn, call) in calls.into_iter().enumerate() {
            rules[turn % count].calls.push(call);
        }
        rules
    })
}

fn violation_rules() -> impl Strategy<Value = Vec<ViolationRule>> {
    let calls = subsequence(CALLS.to_vec(), 1..4).prop_shuffle();
    let rule = (calls, prop::collection::vec(condition(), 0..3)).prop_map(|(calls, when)| ViolationRule {
        calls,
        when,
        comment: String::new(),
    });
    prop::collection::vec(rule, 0..4)
}

/// Any policy that has a meaning.
pub fn policy() -> impl Strategy<Value = Policy> {
    let exec = select(vec![Exec::LaunchOnly, Exec::Image]);
    let wx = select(vec![Wx::Deny, Wx::Allow]);
    (allow_rules(), violation_rules(), exec, wx)
        .prop_map(|(allow, violations, exec, wx)| Policy::new("random", allow, violations, exec, wx))
}

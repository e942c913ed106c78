//! What a filter costs: numbers promised, and how to measure the rest.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::print_stderr, reason = "the measurement is what it prints")]

mod seccomp_support;

use std::collections::BTreeMap;
use std::time::Instant;

use seccomp_support::kernel::{End, Shared, in_child, load, no_new_privs, now};
use seccomp_support::{Policy, argument, base, nr};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};
use stockade::policy::model::{Condition, Otherwise, Test, When};
use stockade::sandbox::seccomp::{Width, compile, prove};

const NONCE: [u32; 3] = [0x1357_9bdf, 0x2468_ace0, 0xfeed_beef];

#[test]
fn base_policy_stays_within_its_instructions() {
    let base = base();
    let compiled = compile(&base.rules()).unwrap();
    let listener = compiled.listener().unwrap().instructions();
    let main = compiled.main().instructions();
    eprintln!("listener {listener}, main {main}");
    assert!(listener <= 64, "listener has {listener}");
    assert!(main <= 200, "main has {main}");
}

fn length(width: Width) -> SeccompCmpArgLen {
    match width {
        Width::Dword => SeccompCmpArgLen::Dword,
        Width::Qword => SeccompCmpArgLen::Qword,
    }
}

fn compare(nr: u32, condition: &Condition, op: SeccompCmpOp, value: u64) -> SeccompCondition {
    let (index, width) = argument(nr, &condition.arg).unwrap();
    SeccompCondition::new(index, length(width), op, value).unwrap()
}

type Chain = BTreeMap<i64, Vec<SeccompRule>>;

fn filter(rules: Chain, otherwise: SeccompAction, matched: SeccompAction) -> BpfProgram {
    SeccompFilter::new(rules, otherwise, matched, TargetArch::x86_64).unwrap().try_into().unwrap()
}

/// Rules for when an allowed call's conditions hold, and for when they do not.
fn both_ways(nr: u32, when: &When) -> (Vec<SeccompRule>, Vec<SeccompRule>) {
    let alone = |condition| SeccompRule::new(vec![condition]).unwrap();
    match when {
        When::Always => (vec![], vec![]),
        When::All(conditions) => {
            let [condition] = &conditions[..] else { panic!("unknown shape") };
            let Test::In(values) = &condition.test else { panic!("unknown shape") };
            let good = values.iter().map(|&v| alone(compare(nr, condition, SeccompCmpOp::Eq, v)));
            let bad = values.iter().map(|&v| compare(nr, condition, SeccompCmpOp::Ne, v));
            (good.collect(), vec![SeccompRule::new(bad.collect()).unwrap()])
        }
        When::None(conditions) => {
            let [condition] = &conditions[..] else { panic!("unknown shape") };
            let Test::AnyBit(bits) = condition.test else { panic!("unknown shape") };
            let masked = |mask, value| alone(compare(nr, condition, SeccompCmpOp::MaskedEq(mask), value));
            let each = (0..64).map(|b| 1 << b).filter(|b| bits & b != 0).map(|b| masked(b, b));
            (vec![masked(bits, 0)], each.collect())
        }
    }
}

/// The same policy as seccompiler lays it out: listener, complements that
/// answer EPERM, allow-list. Knows the shapes of the base policy only.
fn plain(policy: &Policy) -> Vec<BpfProgram> {
    let (mut notify, mut refuse, mut allow) = (Chain::new(), Chain::new(), Chain::new());
    for rule in &policy.syscalls.violations {
        for &nr in &rule.calls {
            let conditions = rule.when.iter().flat_map(|c| {
                let Test::In(values) = &c.test else { panic!("unknown shape") };
                values.iter().map(move |&v| compare(nr, c, SeccompCmpOp::Eq, v))
            });
            notify
                .entry(nr.into())
                .or_default()
                .extend(conditions.map(|c| SeccompRule::new(vec![c]).unwrap()));
            allow.entry(nr.into()).or_default();
        }
    }
    for rule in &policy.syscalls.allow {
        for &nr in &rule.calls {
            let (good, bad) = both_ways(nr, &rule.when);
            match rule.otherwise {
                Otherwise::Enosys => {
                    allow.insert(nr.into(), good);
                }
                Otherwise::Eperm => {
                    allow.insert(nr.into(), vec![]);
                    refuse.insert(nr.into(), bad);
                }
                Otherwise::Violation => {
                    allow.insert(nr.into(), vec![]);
                    notify.insert(nr.into(), bad);
                }
            }
        }
    }
    // It has no way to let the load of the second program pass.
    notify.remove(&i64::from(nr("seccomp")));
    // The nonce and wx.
    for call in [9, 10] {
        let both = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(6), 6).unwrap();
        refuse.insert(call, vec![SeccompRule::new(vec![both]).unwrap()]);
    }
    let nonce = (3..6).map(|i| {
        SeccompRule::new(vec![
            SeccompCondition::new(i, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 7).unwrap(),
        ])
        .unwrap()
    });
    allow.insert(59, vec![]);
    refuse.insert(59, nonce.collect());
    vec![
        filter(notify, SeccompAction::Allow, SeccompAction::Errno(7)),
        filter(refuse, SeccompAction::Allow, SeccompAction::Errno(1)),
        filter(allow, SeccompAction::Errno(38), SeccompAction::Allow),
    ]
}

/// Nanoseconds to load these, in a fresh child.
fn load_time(programs: &[&[sock_filter]], shared: &Shared) -> i64 {
    let end = in_child(|| {
        let ready = no_new_privs();
        let before = now();
        let loaded = programs.iter().all(|code| load(code, NONCE));
        shared.set(0, if ready && loaded { now() - before } else { -1 });
    });
    assert_eq!(end, End::Exit(0));
    assert!(shared.get(0) > 0, "not loaded");
    shared.get(0)
}

fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
#[ignore = "measures this machine: cargo test --release --test seccomp_cost -- --ignored --nocapture"]
fn base_policy_costs_measured() {
    let policy = base();
    let compiled = compile(&policy.rules()).unwrap();
    let mut filters = compiled.with_nonce(NONCE);
    // Loaded without a listener descriptor: the kernel would refuse the action otherwise.
    for instruction in filters.listener.iter_mut().flatten() {
        if instruction.k == libc::SECCOMP_RET_USER_NOTIF {
            instruction.k = libc::SECCOMP_RET_ERRNO | 7;
        }
    }
    let plain = plain(&policy);
    let plain: Vec<&[sock_filter]> = plain.iter().map(Vec::as_slice).collect();
    eprintln!("plain chain: {:?} instructions", plain.iter().map(|p| p.len()).collect::<Vec<_>>());
    let ours = filters.in_order();
    eprintln!("ours: {:?} instructions", ours.iter().map(|p| p.len()).collect::<Vec<_>>());
    let shared = Shared::new(1);
    let nothing = [sock_filter { code: 6, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }];
    let sets: [(&str, &[&[sock_filter]]); 5] = [
        ("two that allow all", &[&nothing, &nothing]),
        ("listener and main", &ours),
        ("listener", &ours[..1]),
        ("main", &ours[1..]),
        ("seccompiler's", &plain),
    ];
    // Interleaved, so that whatever else the machine does falls on all alike.
    let mut times = sets.map(|_| Vec::new());
    for _ in 0..400 {
        for ((_, programs), times) in sets.iter().zip(&mut times) {
            times.push(load_time(programs, &shared));
        }
    }
    for ((name, _), times) in sets.iter().zip(times) {
        eprintln!("load {name}: median {} ns", median(times));
    }
    let times: Vec<i64> = (0..2000)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(compile(&policy.rules()).unwrap().with_nonce([1, 2, 3]));
            i64::try_from(start.elapsed().as_nanos()).unwrap()
        })
        .collect();
    let first = times[0];
    eprintln!("compile, ns: first {first}, median {}", median(times));
    let times: Vec<i64> = (0..50)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(prove(&compiled, &policy.rules()).unwrap());
            i64::try_from(start.elapsed().as_nanos()).unwrap()
        })
        .collect();
    eprintln!("prove, ns: median {}", median(times));
}

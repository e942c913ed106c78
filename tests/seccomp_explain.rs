//! A run that is to be explained: what can succeed is what can succeed without.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop anywhere")]

mod seccomp_support;

use proptest::prelude::*;
use seccomp_support::{Policy, all, base, java, pools, random};
use stockade::policy::names;
use stockade::sandbox::seccomp::{
    ARCH_X86_64, Answer, Call, Filters, Refuted, Reply, UNSEEN, WATCHED, compile, compile_explaining, decide,
    prove, prove_explaining, reply, stack,
};

const NONCE: [u32; 3] = [0x1357_9bdf, 0x8000_0001, 0xffff_ffff];

#[test]
fn programs_that_explain_are_proved_for_shipped_and_strange_policies() {
    for policy in all() {
        let rules = policy.rules();
        let compiled = compile_explaining(&rules).unwrap();
        let proof = prove_explaining(&compiled, &rules).unwrap_or_else(|e| panic!("{}: {e}", policy.name));
        assert!(proof.runs > policy.calls().len(), "{}: {} runs", policy.name, proof.runs);
    }
}

#[test]
fn proof_tells_them_from_ordinary_programs_and_from_another_policys() {
    let (base, java) = (base(), java());
    let explaining = compile_explaining(&base.rules()).unwrap();
    assert!(matches!(prove(&explaining, &base.rules()), Err(Refuted::Differs(_))));
    let ordinary = compile(&base.rules()).unwrap();
    assert!(matches!(prove_explaining(&ordinary, &base.rules()), Err(Refuted::Differs(_))));
    let Err(Refuted::Differs(counter)) = prove_explaining(&explaining, &java.rules()) else {
        panic!("proved")
    };
    assert!([9, 10, 53].contains(&counter.call.nr), "{counter:?}");
}

#[test]
fn watched_calls_are_known_sorted_and_none_of_the_unseen() {
    assert!(WATCHED.windows(2).all(|w| w[0] < w[1]));
    for nr in WATCHED {
        assert!(names::name(nr).is_some() && !UNSEEN.contains(&nr), "{nr}");
    }
    for name in ["sendmsg", "seccomp", "ptrace", "mount", "read", "write", "mmap"] {
        assert!(!WATCHED.contains(&names::number(name).unwrap()), "{name}");
    }
}

/// What comes of a call in an explained run: what the two programs, and then the supervisor, answer.
fn in_the_end(policy: &Policy, explaining: &Filters, ordinary: &Filters, call: &Call) -> Answer {
    let together = stack(&explaining.in_order(), call).unwrap();
    match Answer::from_return(together).unwrap() {
        Answer::Notify => match reply(ordinary, &policy.rules(), NONCE, call) {
            Reply::Proceed => Answer::Allow,
            Reply::Fail(errno) => Answer::Errno(errno),
            Reply::Violation => Answer::Notify,
        },
        other => other,
    }
}

#[test]
fn answer_in_the_end_is_the_policys_for_every_interesting_call() {
    let mut tried = 0;
    for policy in all() {
        let explaining = compile_explaining(&policy.rules()).unwrap().with_nonce(NONCE);
        let ordinary = compile(&policy.rules()).unwrap().with_nonce(NONCE);
        for nr in (0..480).chain([0x3fff_ffff, 0x4000_0000, u32::MAX]) {
            let pools = pools(&policy, nr, NONCE);
            let longest = pools.iter().map(Vec::len).max().unwrap();
            for i in 0..longest.max(1) {
                for shift in 0..3 {
                    let args = std::array::from_fn(|arg| {
                        let pool = &pools[arg];
                        if pool.is_empty() { 0 } else { pool[(i + shift * arg) % pool.len()] }
                    });
                    for arch in [ARCH_X86_64, 0x4000_0003] {
                        let call = Call { arch, nr, args };
                        let meant = decide(&policy.rules(), NONCE, &call);
                        let got = in_the_end(&policy, &explaining, &ordinary, &call);
                        assert_eq!(got, meant, "{} {call:x?}", policy.name);
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried > 100_000, "{tried}");
}

#[test]
fn call_that_the_ordinary_programs_refuse_never_proceeds() {
    let policy = base();
    let open = Call { arch: ARCH_X86_64, nr: 257, args: [0xffff_ff9c, 0, 0, 0, 0, 0] };
    let ordinary = compile(&policy.rules()).unwrap().with_nonce(NONCE);
    assert_eq!(reply(&ordinary, &policy.rules(), NONCE, &open), Reply::Proceed);
    // Were the policy read wrong, there would still be the programs; and the other way round.
    let exit_only = compile(&seccomp_support::exit_only().rules()).unwrap().with_nonce(NONCE);
    assert_eq!(reply(&exit_only, &policy.rules(), NONCE, &open), Reply::Fail(38));
    assert_eq!(reply(&ordinary, &seccomp_support::exit_only().rules(), NONCE, &open), Reply::Fail(38));
    // An allowed call that nobody watches is never notified, and would not proceed if it were.
    let read = Call { nr: 0, ..open };
    assert_eq!(decide(&policy.rules(), NONCE, &read), Answer::Allow);
    assert_eq!(reply(&ordinary, &policy.rules(), NONCE, &read), Reply::Fail(38));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_that_explain_are_proved_for_random_policies(policy in random::policy()) {
        let rules = policy.rules();
        let compiled = compile_explaining(&rules).unwrap();
        prop_assert!(prove_explaining(&compiled, &rules).is_ok());
    }
}

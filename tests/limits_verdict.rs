//! The verdict: total, deterministic, in the contract's order of precedence, and
//! never one of ours for what a payload did.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use stockade::policy::model::{Limits, OnOutput, Stack};
use stockade::report::evidence::{Evidence, Kill, Rule, StreamEvidence, Violation};
use stockade::report::model::{Judged, judge};
use stockade::report::verdict::Verdict;
use stockade::sys::process::Ended;

fn limits(on_output: OnOutput) -> Limits {
    Limits {
        cpu_ns: 1_000,
        wall_ns: 2_000,
        memory: 3_000,
        processes: 4,
        open_files: 16,
        file_size: 5_000,
        output: 100,
        on_output,
        stack: Stack::Memory,
    }
}

fn ended() -> impl Strategy<Value = Option<Ended>> {
    prop_oneof![
        1 => Just(None),
        4 => any::<u8>().prop_map(|code| Some(Ended::Exited(code))),
        2 => Just(Some(Ended::Exited(0))),
        4 => (1..=64i32).prop_map(|signal| Some(Ended::Signaled(signal))),
        1 => Just(Some(Ended::Signaled(libc::SIGSYS))),
    ]
}

/// Rarely there.
fn seldom<T: std::fmt::Debug + Clone>(it: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.15, it)
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let ours = (seldom(Just("words".to_owned())), seldom(Just("words".to_owned())), seldom(0..3_000u64));
    let kill = prop::option::weighted(0.5, (prop::sample::select(&Rule::ALL[..]), 0..3_000u64));
    let counters = (0..2_000u64, 0..4_000u64, prop_oneof![3 => Just(0u64), 1 => 1..5u64], 0..3u64);
    let streams = (0..200u64, prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let rest = (
        any::<bool>(),
        prop::option::of(1..=64i32),
        prop::collection::vec(0..400u32, 0..3),
        any::<[bool; 4]>(),
    );
    (ended(), ours, kill, counters, streams, rest).prop_map(
        |(ended, (failure, setup_failed, cancelled), kill, counters, streams, (cut, by, calls, full))| {
            let (cpu_ns, wall_ns, oom_kills, forks_refused) = counters;
            let (bytes, out_over, err_over) = streams;
            let mut evidence = Evidence::none();
            evidence.ended = ended;
            evidence.failure = failure;
            evidence.setup_failed = setup_failed;
            evidence.cancelled_at_ns = cancelled;
            evidence.cancelled_by = by;
            evidence.kill = kill.map(|(rule, at_ns)| Kill { rule, at_ns });
            (evidence.cpu_ns, evidence.wall_ns) = (cpu_ns, wall_ns);
            (evidence.oom_kills, evidence.forks_refused) = (oom_kills, forks_refused);
            evidence.stdout = StreamEvidence { bytes, truncated: out_over };
            evidence.stderr = StreamEvidence { bytes, truncated: err_over };
            evidence.violations =
                calls.into_iter().map(|number| Violation { number, args: [0; 6], count: 1 }).collect();
            [
                evidence.tmp_full,
                evidence.tmp_inodes_full,
                evidence.file_at_limit,
                evidence.descriptors_used_up,
            ] = full;
            evidence.limits = Some(limits(if cut { OnOutput::Cut } else { OnOutput::Kill }));
            evidence
        },
    )
}

/// The contract, line by line: the first that holds is the verdict.
fn by_contract(e: &Evidence) -> Verdict {
    let limits = e.limits.as_ref().unwrap();
    let killed = |rule| e.kill.is_some_and(|k| k.rule == rule);
    let over_output = (e.stdout.truncated || e.stderr.truncated) && limits.on_output == OnOutput::Kill;
    let lines = [
        (e.failure.is_some(), Verdict::SandboxFailure),
        (e.setup_failed.is_some(), Verdict::SetupFailed),
        (e.cancelled_at_ns.is_some(), Verdict::Cancelled),
        // Nobody has seen it end: nothing can be said of it.
        (e.ended.is_none(), Verdict::SandboxFailure),
        (killed(Rule::Violation) || e.ended == Some(Ended::Signaled(libc::SIGSYS)), Verdict::Violation),
        (killed(Rule::Memory) || e.oom_kills > 0, Verdict::MemoryLimit),
        (killed(Rule::Output) || over_output, Verdict::OutputLimit),
        (killed(Rule::CpuTime) || e.cpu_ns > limits.cpu_ns, Verdict::CpuLimit),
        (killed(Rule::WallTime) || e.wall_ns > limits.wall_ns, Verdict::WallLimit),
        (matches!(e.ended, Some(Ended::Signaled(_))), Verdict::Signaled),
        (matches!(e.ended, Some(Ended::Exited(1..))), Verdict::NonzeroExit),
        (e.ended == Some(Ended::Exited(0)), Verdict::Ok),
    ];
    lines.into_iter().find(|(holds, _)| *holds).unwrap().1
}

fn status_by_contract(e: &Evidence, verdict: Verdict) -> u8 {
    let of_signal = |signal: i32| u8::try_from(128 + signal).unwrap();
    match verdict {
        Verdict::SandboxFailure | Verdict::SetupFailed => 125,
        Verdict::Cancelled => of_signal(e.cancelled_by.unwrap_or(libc::SIGTERM)),
        Verdict::Ok | Verdict::NonzeroExit | Verdict::Signaled => match e.ended.unwrap() {
            Ended::Exited(code) => code,
            Ended::Signaled(signal) => of_signal(signal),
        },
        _ => 124,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn verdict_is_the_first_line_of_the_contract_that_holds(e in evidence()) {
        let judged = judge(&e);
        prop_assert_eq!(judged.decision.verdict, by_contract(&e));
        prop_assert_eq!(judged.exit_status, status_by_contract(&e, judged.decision.verdict));
        prop_assert!(!judged.decision.reason.is_empty());
    }

    #[test]
    fn verdict_is_the_same_every_time(e in evidence()) {
        prop_assert_eq!(judge(&e), judge(&e.clone()));
    }

    #[test]
    fn payload_never_looks_like_a_failure_of_ours(e in evidence(), code in any::<u8>(), signal in 1..=64i32) {
        for end in [Ended::Exited(code), Ended::Signaled(signal)] {
            let e = Evidence {
                ended: Some(end), failure: None, setup_failed: None, cancelled_at_ns: None, ..e.clone()
            };
            let verdict = judge(&e).decision.verdict;
            prop_assert!(verdict < Verdict::Cancelled, "{verdict}");
        }
    }

    #[test]
    fn failure_of_ours_never_looks_like_the_payload(e in evidence()) {
        let failed = Evidence { failure: Some("x".to_owned()), ..e.clone() };
        prop_assert_eq!(judge(&failed).decision.verdict, Verdict::SandboxFailure);
        prop_assert_eq!(judge(&failed).exit_status, 125);
        let refused = Evidence { failure: None, setup_failed: Some("x".to_owned()), ..e };
        let Judged { decision, exit_status, exit_code, signal, .. } = judge(&refused);
        prop_assert_eq!((decision.verdict, exit_status), (Verdict::SetupFailed, 125));
        prop_assert_eq!((exit_code, signal), (None, None));
    }

    #[test]
    fn more_evidence_never_weakens_a_verdict(e in evidence(), more in 1..5_000u64) {
        let e = Evidence { ended: e.ended.or(Some(Ended::Exited(0))), ..e };
        let before = judge(&e).decision.verdict;
        let stronger = [
            Evidence { cpu_ns: e.cpu_ns + more, ..e.clone() },
            Evidence { wall_ns: e.wall_ns + more, ..e.clone() },
            Evidence { oom_kills: e.oom_kills + more, ..e.clone() },
            Evidence { stdout: StreamEvidence { truncated: true, ..e.stdout }, ..e.clone() },
            Evidence { cancelled_at_ns: Some(more), ..e.clone() },
            Evidence { setup_failed: Some("x".to_owned()), ..e.clone() },
            Evidence { failure: Some("x".to_owned()), ..e.clone() },
        ];
        for stronger in stronger {
            prop_assert!(judge(&stronger).decision.verdict >= before);
        }
    }

    #[test]
    fn limit_that_decided_is_among_those_hit_and_hit_means_evidence(e in evidence()) {
        let Judged { decision, limits_hit, .. } = judge(&e);
        let name = match decision.verdict {
            Verdict::CpuLimit => Some("cpu_time"),
            Verdict::WallLimit => Some("wall_time"),
            Verdict::MemoryLimit => Some("memory"),
            Verdict::OutputLimit => Some("output"),
            _ => None,
        };
        prop_assert!(name.is_none_or(|name| limits_hit.contains(&name)), "{limits_hit:?}");
        let limits = e.limits.as_ref().unwrap();
        let killed = |rule| e.kill.is_some_and(|k| k.rule == rule);
        let by_evidence = [
            ("cpu_time", killed(Rule::CpuTime) || e.cpu_ns > limits.cpu_ns),
            ("wall_time", killed(Rule::WallTime) || e.wall_ns > limits.wall_ns),
            ("memory", killed(Rule::Memory) || e.oom_kills > 0),
            ("processes", e.forks_refused > 0),
            ("open_files", e.descriptors_used_up),
            ("file_size", e.file_at_limit || e.ended == Some(Ended::Signaled(libc::SIGXFSZ))),
            ("output", killed(Rule::Output) || e.stdout.truncated || e.stderr.truncated),
            ("tmp", e.tmp_full),
            ("tmp_inodes", e.tmp_inodes_full),
        ];
        for (name, hit) in by_evidence {
            prop_assert_eq!(limits_hit.contains(&name), hit, "{}", name);
        }
    }

    #[test]
    fn decision_says_killed_only_of_a_recorded_kill(e in evidence()) {
        let decision = judge(&e).decision;
        let recorded = e.kill.filter(|k| k.rule == decision.rule);
        prop_assert_eq!(decision.killed, recorded.is_some());
        if let (Some(kill), None) = (recorded, e.cancelled_at_ns) {
            prop_assert_eq!(decision.at_ns, kill.at_ns);
        }
    }
}

#[test]
fn every_exit_code_and_signal_is_passed_on_as_it_is() {
    let of =
        |end| judge(&Evidence { ended: Some(end), limits: Some(limits(OnOutput::Kill)), ..Evidence::none() });
    for code in 0..=255u8 {
        let judged = of(Ended::Exited(code));
        assert_eq!((judged.exit_status, judged.exit_code, judged.signal), (code, Some(code), None));
    }
    for signal in 1..=64 {
        let judged = of(Ended::Signaled(signal));
        let expected = if signal == libc::SIGSYS { 124 } else { 128 + signal };
        assert_eq!(i32::from(judged.exit_status), expected, "{signal}");
        assert!(judged.signal.is_some_and(|name| name.starts_with("SIG")), "{signal}");
    }
}

#[test]
fn counter_at_its_limit_is_not_beyond_it() {
    let at = Evidence {
        ended: Some(Ended::Exited(0)),
        cpu_ns: 1_000,
        wall_ns: 2_000,
        limits: Some(limits(OnOutput::Kill)),
        ..Evidence::none()
    };
    assert_eq!(judge(&at).decision.verdict, Verdict::Ok);
    assert_eq!(judge(&at).limits_hit, Vec::<&str>::new());
    assert_eq!(judge(&Evidence { wall_ns: 2_001, ..at.clone() }).decision.verdict, Verdict::WallLimit);
    assert_eq!(judge(&Evidence { cpu_ns: 1_001, wall_ns: 2_001, ..at }).decision.verdict, Verdict::CpuLimit);
}

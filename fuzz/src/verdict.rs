//! Whatever is known at the end, there is one verdict: the first that the order gives. Nothing that a
//! payload does looks like a failure of the sandbox, and no failure like the payload's own end.

use stockade::policy::model::{Limits, OnOutput, Stack};
use stockade::report::evidence::{Evidence, Kill, Rule, StreamEvidence, Violation};
use stockade::report::model::judge;
use stockade::report::verdict::Verdict;
use stockade::sys::process::Ended;

use super::bytes::Bytes;

pub fn check(bytes: &[u8]) {
    let evidence = evidence(&mut Bytes(bytes));
    let judged = judge(&evidence);
    assert_eq!(judge(&evidence), judged, "it is another one the second time: {evidence:?}");
    let (verdict, status) = expected(&evidence);
    assert_eq!((judged.decision.verdict, judged.exit_status), (verdict, status), "{evidence:?}");
    assert!(!judged.decision.reason.is_empty(), "{evidence:?}");
    let ours = evidence.failure.is_some() || evidence.setup_failed.is_some() || evidence.ended.is_none();
    let cancelled = evidence.cancelled_at_ns.is_some();
    assert_eq!(verdict > Verdict::Cancelled, ours && (verdict != Verdict::Cancelled), "{evidence:?}");
    assert!(!cancelled || verdict >= Verdict::Cancelled, "{evidence:?}");
    assert_eq!(judged.decision.killed, evidence.kill.is_some_and(|k| k.rule == judged.decision.rule));
}

/// Evidence of the fuzzer's choice; half of what there is to choose is mostly not chosen.
pub fn evidence(bytes: &mut Bytes<'_>) -> Evidence {
    let mut e = Evidence::none();
    e.ended = match bytes.below(4) {
        0 => None,
        1 => Some(Ended::Signaled(1 + i32::from(bytes.below(64)))),
        _ => Some(Ended::Exited(bytes.byte())),
    };
    let seldom = |bytes: &mut Bytes<'_>| bytes.byte() > 0xc0;
    let words = |bytes: &mut Bytes<'_>| seldom(bytes).then(|| format!("why: {}", super::report::text(bytes)));
    e.failure = words(bytes);
    e.setup_failed = words(bytes);
    e.cancelled_at_ns = seldom(bytes).then(|| bytes.word());
    e.cancelled_by = seldom(bytes).then(|| 1 + i32::from(bytes.below(64)));
    e.kill = seldom(bytes).then(|| Kill { rule: bytes.pick(&Rule::ALL), at_ns: bytes.word() });
    let number = |bytes: &mut Bytes<'_>| if seldom(bytes) { bytes.word() } else { bytes.byte().into() };
    e.cpu_ns = number(bytes);
    e.wall_ns = number(bytes);
    e.oom_kills = if seldom(bytes) { number(bytes) } else { 0 };
    e.forks_refused = number(bytes);
    e.stdout = StreamEvidence { bytes: number(bytes), truncated: seldom(bytes) };
    e.stderr = StreamEvidence { bytes: number(bytes), truncated: seldom(bytes) };
    for _ in 0..bytes.below(4) {
        let number = u32::from(bytes.byte()) * 5;
        e.violations.push(Violation { number, args: [bytes.word(); 6], count: 1 });
    }
    e.limits = Some(Limits {
        cpu_ns: number(bytes),
        wall_ns: number(bytes),
        memory: number(bytes),
        processes: 4,
        open_files: 16,
        file_size: number(bytes),
        output: number(bytes),
        on_output: bytes.pick(&[OnOutput::Kill, OnOutput::Cut]),
        stack: Stack::Memory,
    });
    e
}

/// The documented order, line by line, and the status that goes with it.
fn expected(e: &Evidence) -> (Verdict, u8) {
    let limits = e.limits.as_ref().unwrap();
    let killed = |rule| e.kill.is_some_and(|k| k.rule == rule);
    let over_output = (e.stdout.truncated || e.stderr.truncated) && limits.on_output == OnOutput::Kill;
    let of_signal = |signal: i32| u8::try_from(128 + signal).unwrap();
    let own = match e.ended {
        Some(Ended::Exited(0)) => (Verdict::Ok, 0),
        Some(Ended::Exited(code)) => (Verdict::NonzeroExit, code),
        Some(Ended::Signaled(signal)) => (Verdict::Signaled, of_signal(signal)),
        None => (Verdict::SandboxFailure, 125),
    };
    let lines = [
        (e.failure.is_some(), (Verdict::SandboxFailure, 125)),
        (e.setup_failed.is_some(), (Verdict::SetupFailed, 125)),
        (e.cancelled_at_ns.is_some(), (Verdict::Cancelled, of_signal(e.cancelled_by.unwrap_or(15)))),
        (e.ended.is_none(), own),
        (killed(Rule::Violation) || e.ended == Some(Ended::Signaled(31)), (Verdict::Violation, 124)),
        (killed(Rule::Memory) || e.oom_kills > 0, (Verdict::MemoryLimit, 124)),
        (killed(Rule::Output) || over_output, (Verdict::OutputLimit, 124)),
        (killed(Rule::CpuTime) || e.cpu_ns > limits.cpu_ns, (Verdict::CpuLimit, 124)),
        (killed(Rule::WallTime) || e.wall_ns > limits.wall_ns, (Verdict::WallLimit, 124)),
    ];
    lines.into_iter().find(|(holds, _)| *holds).map_or(own, |(_, verdict)| verdict)
}

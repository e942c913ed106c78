//! Whatever a payload, a file or a host is called, the report is JSON that says exactly that, and the
//! verdict is where it was.

use std::collections::BTreeMap;

use stockade::report::model::{
    CleanupReport, DecidedBy, HostReport, PayloadReport, Report, SCHEMA, ViolationReport, judge,
};
use stockade::report::text::line;

use super::bytes::Bytes;

pub fn check(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let evidence = super::verdict::evidence(&mut bytes);
    let judged = judge(&evidence);
    let words = [text(&mut bytes), text(&mut bytes), text(&mut bytes), text(&mut bytes)];
    let [name, kernel, note, left] = words.clone();
    let report = Report {
        schema: SCHEMA,
        stockade: "fuzz",
        id: String::new(),
        verdict: judged.decision.verdict,
        reason: judged.decision.reason.clone(),
        decided_by: DecidedBy {
            rule: judged.decision.rule.name(),
            at_ns: judged.decision.at_ns,
            killed: judged.decision.killed,
        },
        exit_code: judged.exit_code,
        signal: judged.signal.clone(),
        usage: None,
        setup_ns: bytes.word(),
        teardown_ns: 0,
        limits: evidence.limits.as_ref().map(Into::into),
        limits_hit: judged.limits_hit.clone(),
        violations: evidence.violations.iter().map(|v| ViolationReport::new(v, "refused")).collect(),
        layers: BTreeMap::new(),
        degraded: Vec::new(),
        notes: vec![note],
        policy: None,
        image: None,
        payload: Some(PayloadReport { sha256: None, bytes: bytes.word(), name }),
        host: HostReport { kernel, landlock_abi: 0, cgroup: "none", uid: 0 },
        cleanup: CleanupReport { ok: false, left: vec![left] },
        work: None,
        outputs: None,
        explanations: None,
        exit_status: judged.exit_status,
    };
    let written = serde_json::to_string_pretty(&report).unwrap();
    assert!(written.bytes().all(|b| b == b'\n' || b >= 0x20), "{written:?}");
    let read: serde_json::Value = serde_json::from_str(&written).unwrap();
    let said =
        [&read["payload"]["name"], &read["host"]["kernel"], &read["notes"][0], &read["cleanup"]["left"][0]];
    assert_eq!(said.map(|v| v.as_str().unwrap().to_owned()), words);
    assert_eq!(read["verdict"], report.verdict.to_string());
    assert_eq!(read["reason"], report.reason);
    assert_eq!(read["setup_ns"], report.setup_ns);
    assert_eq!(read["violations"].as_array().unwrap().len(), evidence.violations.len());
    let line = line(&report);
    assert!(line.starts_with(&format!("{}: ", report.verdict)) && !line.contains('\n'), "{line:?}");
}

/// A few characters of the fuzzer's choice.
pub fn text(bytes: &mut Bytes<'_>) -> String {
    let n = usize::from(bytes.byte()).min(bytes.0.len());
    let (text, rest) = bytes.0.split_at(n);
    bytes.0 = rest;
    String::from_utf8_lossy(text).into_owned()
}

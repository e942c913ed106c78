//! Policies and demands that must be refused.

use super::super::outcome::Saw;
use super::super::table::Attack;
use super::limits::forty_two;
use super::{Caller, Setup};
use crate::policy::model::{Policy, Word};
use crate::policy::{self, load_builtin};
use crate::sandbox::Sandbox;

type Seen = Result<Saw, String>;

/// A policy around these fields.
fn text(fields: &str) -> String {
    format!(r#"{{"version": 1, "name": "trap", "comment": "a trap", "extends": "native"{fields}}}"#)
}

fn taken(text: &str) -> bool {
    policy::parse("trap.json", text.as_bytes()).is_ok()
}

/// The good one is taken, the bad ones are refused.
fn good_and_bad(good: &str, bad: &[String]) -> Seen {
    if !taken(good) {
        return Err("the good policy is refused as well".to_owned());
    }
    let mut saw = Saw::new();
    saw.note("without it", "taken");
    for (n, one) in bad.iter().enumerate() {
        let is_taken = taken(one);
        saw.note(format!("policy {n}"), if is_taken { "taken" } else { "refused" });
        if is_taken {
            saw.leak(format!("this policy is taken: {one}"));
        }
    }
    Ok(saw)
}

fn rule(condition: &str, otherwise: &str) -> String {
    text(&format!(
        r#", "syscalls+": {{"allow": [{{"calls": ["sysfs"], "if": [{condition}], "otherwise": {otherwise}, "comment": "a test"}}]}}"#
    ))
}

const NUMBER: &str = r#"{"arg": "option", "eq": 3}"#;

/// SC-10.
pub fn errno_zero(_: &Caller, _: &Attack) -> Seen {
    let bad = ["0", "\"0\"", "\"ERRNO(0)\"", "\"\"", "null", "\"ALLOW\"", "-1", "4096"];
    good_and_bad(&rule(NUMBER, "\"EPERM\""), &bad.map(|word| rule(NUMBER, word)))
}

/// SC-14.
pub fn widened_by_merge(_: &Caller, _: &Attack) -> Seen {
    let allow = |call: &str| {
        text(&format!(r#", "syscalls+": {{"allow": [{{"calls": ["{call}"], "comment": "a test"}}]}}"#))
    };
    // Violations of the policy below, and one that is allowed there under a condition.
    let bad = ["ptrace", "mount", "bpf", "io_uring_setup", "clone", "ioctl", "read"];
    good_and_bad(&allow("sysfs"), &bad.map(allow))
}

/// SA-03.
pub fn rule_on_pointer(_: &Caller, _: &Attack) -> Seen {
    let on = |call: &str, arg: &str| {
        text(&format!(
            r#", "syscalls+": {{"allow": [{{"calls": ["{call}"], "if": [{{"arg": "{arg}", "eq": 1}}], "comment": "a test"}}]}}"#
        ))
    };
    let bad = [
        ("connect", "addr"),
        ("execveat", "pathname"),
        ("openat2", "how"),
        ("clone3", "cl_args"),
        ("mount", "source"),
        ("bind", "addr"),
    ];
    good_and_bad(&on("sysfs", "option"), &bad.map(|(call, arg)| on(call, arg)))
}

/// SV-04.
pub fn traps(_: &Caller, _: &Attack) -> Seen {
    let limits = |value: &str| text(&format!(r#", "limits": {{{value}}}"#));
    let mut bad: Vec<String> = [
        r#""memory": "0""#,
        r#""memory": "0B""#,
        r#""memory": 268435456"#,
        r#""memory": "-1MiB""#,
        r#""memory": "99999999999999999999MiB""#,
        r#""memory": "256""#,
        r#""memory": null"#,
        r#""memory": "unlimited""#,
        r#""cpu_time": "10""#,
        r#""cpu_time": 10"#,
        r#""processes": -1"#,
        r#""processes": 1.5"#,
        r#""processes": "64""#,
        r#""memroy": "256MiB""#,
        r#""memory": "1MiB", "memory": "1GiB""#,
    ]
    .map(limits)
    .to_vec();
    bad.extend(
        [
            r#", "name": "twice""#,
            r#", "unknown": true"#,
            r#", "extends": "native""#,
            r#", "syscalls+": {"allow": []}"#,
            r#", "syscalls+": {"allow": [{"calls": [], "comment": "a test"}]}"#,
            r#", "syscalls+": {"allow": [{"calls": ["sysfs"], "if": [], "comment": "a test"}]}"#,
            r#", "syscalls+": {"allow": [{"calls": ["sysfs"]}]}"#,
            r#", "syscalls+": {"allow": [{"calls": ["sysfss"], "comment": "a test"}]}"#,
            r#", "syscalls+": {"allow": [{"calls": ["sysfs"], "if": [{"arg": "option", "in": []}], "comment": "a test"}]}"#,
            r#", "network": {"mode": "host"}"#,
            r#", "network": {}"#,
            r#", "exec": "any""#,
            r#", "user": {"uid": 0, "gid": 0}"#,
            r#", "degrade": ["everything"]"#,
            r#", // a comment
                "hostname": "box""#,
        ]
        .map(text),
    );
    bad.push(text("").replace("\"version\": 1", "\"version\": 2"));
    bad.push(text("").replace("\"native\"", "\"no-such-policy\""));
    bad.push(format!("{}{}", text(""), text("")));
    bad.push("{}".to_owned());
    good_and_bad(&text(""), &bad)
}

/// Runs a policy that is no text, and says whether there was a box.
fn is_refused(caller: &Caller, policy: Policy) -> Result<(bool, String), String> {
    let mut builder = Sandbox::builder(policy, forty_two(caller)?);
    builder = builder.store(crate::sandbox::StoreChoice::At(caller.store())).digest(false);
    for layer in &caller.degrade {
        builder = builder.degrade(*layer);
    }
    Ok(match builder.run() {
        Ok(outcome) => (outcome.report.exit_code != Some(42), outcome.report.verdict.name().to_owned()),
        Err(_) => (true, "refused".to_owned()),
    })
}

/// SV-03: a demand that no kernel meets.
pub fn layer_missing(caller: &Caller, _: &Attack) -> Seen {
    let native = load_builtin("native").map_err(|e| crate::Error::from(e).to_string())?;
    let (refused, why) = is_refused(caller, native.clone())?;
    if refused {
        return Err(format!("without the demand it does not run either: {why}"));
    }
    let mut saw = Saw::new();
    saw.note("without the demand", "ok");
    let demands = [("a Landlock of the far future", Policy { landlock_min_abi: 1000, ..native })];
    for (what, policy) in demands {
        let (refused, why) = is_refused(caller, policy)?;
        saw.note(what, why);
        if !refused {
            saw.leak(format!("it ran without {what}"));
        }
    }
    let mut elsewhere = Setup { program: Some(forty_two(caller)?), ..Setup::default() };
    elsewhere.words = Some(Vec::new());
    let builder = Sandbox::builder(caller.policy(&elsewhere.limits)?, forty_two(caller)?);
    let run = builder.cgroup("/no/such/cgroup").store(crate::sandbox::StoreChoice::At(caller.store())).run();
    match run {
        Ok(outcome) if outcome.report.exit_code == Some(42) => saw.leak("it ran without its cgroup"),
        Ok(outcome) => saw.note("a cgroup that is not there", outcome.report.verdict.name()),
        Err(_) => saw.note("a cgroup that is not there", "refused"),
    }
    Ok(saw)
}

/// PS-17: a program of the host, by its path there.
pub fn host_program(caller: &Caller, _: &Attack) -> Seen {
    let native = load_builtin("native").map_err(|e| crate::Error::from(e).to_string())?;
    let program = forty_two(caller)?;
    let on_host = std::process::Command::new(&program).status().map_err(|e| crate::error::io_text(&e))?;
    if on_host.code() != Some(42) {
        return Err("the program does not run on the host".to_owned());
    }
    let mut saw = Saw::new();
    for path in [
        program.display().to_string(),
        "/usr/bin/env".to_owned(),
        "/proc/self/exe".to_owned(),
        "/bin/sh".to_owned(),
    ] {
        let policy = Policy { command: vec![Word::Literal(path.clone())], ..native.clone() };
        let (refused, why) = is_refused(caller, policy)?;
        saw.note(&path, why);
        if !refused {
            saw.leak(format!("{path} of the host was executed"));
        }
    }
    Ok(saw)
}

//! Every warning of the lint: what raises it, and what answers it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use stockade::policy::lint::lint;
use stockade::policy::{builtin_names, builtin_text};

/// Code and place of each warning.
fn warnings(text: &str) -> Vec<(&'static str, usize, String)> {
    match lint("p.json", text.as_bytes()) {
        Err(findings) => panic!("broken: {findings}\n{text}"),
        Ok(None) => Vec::new(),
        Ok(Some(findings)) => findings
            .iter()
            .map(|f| {
                let line = findings.place(f).map_or(0, |p| p.1.line);
                (f.warning().unwrap(), line, f.message().to_owned())
            })
            .collect(),
    }
}

/// A policy that extends `native`, with more fields on a line of their own.
fn native(comment: &str, fields: &str) -> String {
    format!(
        "{{ \"version\": 1, \"name\": \"p\", \"comment\": \"{comment}\", \"extends\": \"native\",\n{fields} }}"
    )
}

fn allow(rules: &str) -> String {
    native("a test", &format!("\"syscalls+\": {{ \"allow\": [{rules}] }}"))
}

/// Exactly this warning, and none in the answered text.
fn raised(code: &str, message: &str, text: &str, answered: &str) {
    assert_eq!(warnings(text), [(code, 2, message.to_owned())], "{text}");
    assert_eq!(warnings(answered), [], "{answered}");
}

#[test]
fn shipped_policies_have_no_warning() {
    for name in builtin_names() {
        assert_eq!(warnings(builtin_text(name).unwrap()), [], "{name}");
    }
}

#[test]
fn dangerous_call_without_its_name_in_the_comment_is_told() {
    raised(
        "dangerous",
        "`flock` is dangerous, and its comment does not say why it is needed",
        &allow(r#"{ "calls": ["flock"], "comment": "sqlite" }"#),
        &allow(r#"{ "calls": ["flock"], "comment": "flock: sqlite locks its scratch files" }"#),
    );
    // A word that only contains the name is not the name.
    assert_eq!(warnings(&allow(r#"{ "calls": ["flock"], "comment": "flocks" }"#)).len(), 1);
}

#[test]
fn forgotten_synonym_is_told() {
    raised(
        "synonym",
        "`setxattr` is allowed, and `lsetxattr`, `fsetxattr` forgotten",
        &allow(r#"{ "calls": ["setxattr"], "comment": "setxattr: tar" }"#),
        &allow(
            r#"{ "calls": ["setxattr"], "comment": "setxattr: tar; no lsetxattr and no fsetxattr, which it does not use" }"#,
        ),
    );
}

#[test]
fn restriction_that_a_synonym_lacks_is_told() {
    let rules = |comment: &str| {
        format!(
            r#"{{ "calls": ["accept4"], "if": [{{ "arg": "sockfd", "eq": 3 }}], "comment": "accept4: a server" }},
{{ "calls": ["accept"], "comment": "accept: {comment}" }}"#
        )
    };
    let text = allow(&rules("the same server"));
    let found = warnings(&text);
    assert_eq!(found, [], "a comment that names the call is the answer");
    let silent = text.replace("accept: the same server", "a server").replace("accept4: a server", "accept4");
    let found = warnings(&silent);
    assert_eq!(
        found,
        [
            (
                "dangerous",
                3,
                "`accept` is dangerous, and its comment does not say why it is needed".to_owned()
            ),
            (
                "uneven",
                3,
                "`accept` is allowed whatever its `sockfd`, which `accept4` is restricted in".to_owned()
            ),
        ]
    );
}

#[test]
fn synonym_of_a_violation_is_told() {
    let text = native(
        "a test",
        r#""syscalls+": { "allow": [{ "calls": ["signalfd"], "comment": "old" }], "violations": [{ "calls": ["signalfd4"], "comment": "new" }] }"#,
    );
    let expected = "`signalfd` is allowed, but `signalfd4`, which does the same, is a violation";
    assert_eq!(warnings(&text), [("uneven", 2, expected.to_owned())]);
}

#[test]
fn way_around_wx_is_told() {
    let rule = |comment: &str| {
        allow(&format!(
            r#"{{ "calls": ["personality"], "if": [{{ "arg": "persona", "in": [0, "0xffffffff"] }}], "comment": "personality: {comment}" }}"#
        ))
    };
    raised(
        "wx",
        "`personality` is allowed although `wx` is `deny`",
        &rule("gdb"),
        &rule("gdb; wx holds: only 0"),
    );
}

#[test]
fn condition_that_decides_nothing_is_told() {
    let rule = |conditions: &str| {
        allow(&format!(r#"{{ "calls": ["readahead"], "if": [{conditions}], "comment": "cat" }}"#))
    };
    let good = r#"{ "arg": "count", "in": [1, 2] }"#;
    raised(
        "redundant",
        "one of the conditions on `readahead` adds nothing to the others",
        &rule(&format!(r#"{good}, {{ "arg": "count", "in": [1, 2, 3] }}"#)),
        &rule(good),
    );
    raised(
        "unreachable",
        "`readahead` is never allowed: the conditions cannot hold together",
        &rule(r#"{ "arg": "count", "eq": 1 }, { "arg": "count", "eq": 2 }"#),
        &rule(good),
    );
    raised(
        "redundant",
        "the condition on `readahead` always holds",
        &rule(r#"{ "arg": "count", "masked": 1, "in": [0, 1] }"#),
        &rule(good),
    );
}

#[test]
fn violation_behind_another_is_told() {
    let rules = |first: &str| {
        native(
            "a test",
            &format!(
                r#""syscalls+": {{ "violations": [{{ "calls": ["readahead"], "if": [{{ "arg": "fd", "in": [{first}] }}], "comment": "a" }}, {{ "calls": ["swapon"], "comment": "b" }}] }}"#
            )
            .replace("swapon", "vhangup"),
        )
    };
    assert_eq!(warnings(&rules("1, 2")), []);
    // A rule of its own for a call that is always a violation.
    let text = r#""syscalls+": { "violations": [{ "calls": ["readahead"], "comment": "a" }] }"#;
    assert_eq!(warnings(&native("a test", text)), []);
}

#[test]
fn value_that_is_said_again_is_told() {
    raised(
        "redundant",
        "`memory` of `limits` says what `native` says already",
        &native("a test", r#""limits": { "memory": "262144KiB" }"#),
        &native("a test", r#""limits": { "memory": "128MiB" }"#),
    );
    raised(
        "redundant",
        "`wx` says what `native` says already",
        &native("a", r#""wx": "deny""#),
        &native("a", r#""cwd": "/tmp""#),
    );
}

#[test]
fn broader_value_without_a_comment_is_told() {
    raised(
        "broader",
        "`memory` of `limits` is broader than in `native`, and no comment says why",
        &native("a test", r#""limits": { "memory": "1GiB" }"#),
        &native("a test", r#""limits": { "memory": "1GiB", "comment": "links large programs" }"#),
    );
    raised(
        "broader",
        "`wx` is broader than in `native`, and no comment says why",
        &native("a test", r#""wx": "allow""#),
        &native("wx: the compiler is just in time", r#""wx": "allow""#),
    );
    raised(
        "broader",
        "`network` is broader than in `native`, and no comment says why",
        &native("a test", r#""network": { "mode": "loopback" }"#),
        &native("a test", r#""network": { "mode": "loopback", "comment": "client and server in one box" }"#),
    );
}

#[test]
fn limit_that_another_keeps_from_being_reached_is_told() {
    let limits = |limits: &str| native("a test", &format!(r#""limits": {{ {limits} }}"#));
    raised(
        "unreachable",
        "`cpu_time` is never reached: `wall_time` is over before",
        &limits(r#""processes": 1, "wall_time": "5s""#),
        &limits(r#""processes": 1, "wall_time": "11s""#),
    );
    raised(
        "unreachable",
        "`stack` is never reached: `memory` runs out before",
        &limits(r#""memory": "128MiB", "stack": "200MiB""#),
        &limits(r#""memory": "128MiB", "stack": "64MiB""#),
    );
    raised(
        "unreachable",
        "`/tmp` is never full: `memory` runs out before",
        &limits(r#""memory": "32MiB""#),
        &limits(r#""memory": "64MiB""#),
    );
}

#[test]
fn layer_that_may_be_missing_without_a_comment_is_told() {
    raised(
        "degrade",
        "this policy runs without `cgroup`, and no comment says why",
        &native("a test", r#""degrade": ["cgroup"]"#),
        &native("for hosts without a delegated cgroup", r#""degrade": ["cgroup"]"#),
    );
}

#[test]
fn binds_of_a_ceiling_are_told() {
    raised(
        "rw",
        "a job may write to the host below `/srv/out`, and no comment says why",
        &native("a test", r#""ceiling": { "rw": ["/srv/out"] }"#),
        &native("a test", r#""ceiling": { "rw": ["/srv/out"], "comment": "results" }"#),
    );
    raised(
        "bind",
        "a job may ask for all of `/home`",
        &native("a test", r#""ceiling": { "ro": ["/home"] }"#),
        &native("a test", r#""ceiling": { "ro": ["/home/ci/data"] }"#),
    );
}

#[test]
fn policy_that_is_broken_is_not_linted() {
    let findings = lint("p.json", b"{}").unwrap_err();
    assert!(findings.iter().all(|f| f.warning().is_none()));
    assert!(findings.count() > 0);
}

use super::model::*;
use super::*;
use crate::Layer;
use crate::error::Kind;

/// A policy that extends `native` with these further fields.
fn child(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ", " };
    format!(r#"{{"version": 1, "name": "mine", "comment": "a test", "extends": "native"{comma}{fields}}}"#)
}

fn good(text: &str) -> Policy {
    match parse("test", text.as_bytes()) {
        Ok(policy) => policy,
        Err(findings) => panic!("{findings}"),
    }
}

fn messages(text: &str) -> Vec<String> {
    let findings = parse("test", text.as_bytes()).unwrap_err();
    findings.iter().map(|f| f.message().to_owned()).collect()
}

#[test]
fn policy_that_ships_has_its_own_name_and_is_good() {
    for name in builtin_names() {
        let text = builtin_text(name).unwrap();
        let policy = check(name, text.as_bytes()).unwrap_or_else(|findings| panic!("{findings}"));
        assert_eq!(policy.is_none(), matches!(name, "base" | "compile"), "{name}");
        if let Some(policy) = policy {
            assert_eq!(policy.name, name);
            assert_eq!(load_builtin(name).unwrap(), policy);
        }
    }
    // Every file of the directory ships.
    let dir = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policies")).unwrap();
    let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
    files.retain(|name| name != "schema");
    files.sort();
    let mut shipped: Vec<&str> = builtin_names().collect();
    assert_eq!(shipped[..2], ["base", "native"]);
    shipped.sort_unstable();
    assert_eq!(shipped, files);
}

#[test]
fn policy_without_a_command_is_good_and_cannot_be_run() {
    let findings = load_builtin("base").unwrap_err();
    assert_eq!(
        findings.iter().map(Finding::message).collect::<Vec<_>>(),
        ["this policy cannot be run: it has no `image`, `payload` and `command`"]
    );
    assert!(load_builtin("native").is_ok());
}

#[test]
fn native_is_base_with_a_command() {
    let native = load_builtin("native").unwrap();
    assert_eq!(native.command, [Word::Payload, Word::Args]);
    assert_eq!(native.argv0, Some(Word::Given));
    assert_eq!(native.payload, PayloadPlace { path: "/box/program".into(), executable: true });
    assert_eq!(native.user, User { uid: 1000, gid: 1000 });
    assert_eq!((native.network, native.exec, native.wx), (Network::None, Exec::LaunchOnly, Wx::Deny));
    let places: Vec<&str> = native.paths.iter().map(|p| p.at.as_str()).collect();
    assert_eq!(places, ["/", "/box", "/dev", "/proc", "/tmp"]);
    assert_eq!(native.paths[4].from, PathSource::Tmpfs { size: 64 << 20, inodes: 4096 });
    assert!(native.paths[3].optional && !native.paths[4].optional);
    let expected = Limits {
        cpu_ns: 10_000_000_000,
        wall_ns: 30_000_000_000,
        memory: 256 << 20,
        processes: 64,
        open_files: 256,
        file_size: 64 << 20,
        output: 16 << 20,
        on_output: OnOutput::Kill,
        stack: Stack::Memory,
    };
    assert_eq!(native.limits, expected);
    assert_eq!((native.syscalls.on_violation, native.syscalls.max_violations), (OnViolation::Refuse, 1000));
}

#[test]
fn condition_is_resolved_to_the_kernels_values() {
    let native = load_builtin("native").unwrap();
    let rule = |name: &str| {
        let number = names::number(name).unwrap();
        native.syscalls.allow.iter().find(|r| r.calls.contains(&number)).unwrap()
    };
    assert_eq!(
        rule("clone").when,
        When::None(vec![Condition { arg: "flags".into(), test: Test::AnyBit(0x7e82_a000) }])
    );
    assert_eq!(rule("clone").otherwise, Otherwise::Violation);
    assert_eq!(
        rule("openat").when,
        When::None(vec![Condition { arg: "mode".into(), test: Test::AnyBit(0o6000) }])
    );
    assert_eq!(
        rule("prlimit64").when,
        When::All(vec![Condition { arg: "pid".into(), test: Test::In(vec![0]) }])
    );
    assert_eq!(rule("getpriority").otherwise, Otherwise::Enosys);
    let tty = native.syscalls.violations.iter().find(|r| !r.when.is_empty()).unwrap();
    assert_eq!(tty.when, [Condition { arg: "request".into(), test: Test::In(vec![0x5412, 0x541c]) }]);
}

#[test]
fn strict_is_less_than_native_in_everything() {
    let (strict, native) = (load_builtin("strict").unwrap(), load_builtin("native").unwrap());
    let calls = |p: &Policy| p.syscalls.allow.iter().flat_map(|r| r.calls.clone()).collect::<Vec<_>>();
    for call in calls(&strict) {
        assert!(calls(&native).contains(&call), "{}", names::shown(call));
    }
    assert!(calls(&strict).len() * 2 < calls(&native).len());
    assert_eq!(strict.paths.iter().map(|p| p.at.as_str()).collect::<Vec<_>>(), ["/", "/box"]);
    assert!(strict.paths.iter().all(|p| !p.access.write && !p.access.create));
    assert_eq!(strict.limits.processes, 1);
    assert_eq!((strict.syscalls.on_violation, strict.syscalls.max_violations), (OnViolation::Kill, 0));
    for call in ["clone", "clone3", "fork", "vfork", "socket", "execveat", "ptrace"] {
        let number = names::number(call).unwrap();
        assert!(strict.syscalls.violations.iter().any(|r| r.calls.contains(&number)), "{call}");
    }
}

#[test]
fn extending_policy_replaces_values_and_adds_to_lists() {
    let native = load_builtin("native").unwrap();
    let policy = good(&child(
        r#""hostname": "h", "env": {"LANG": "C"}, "user": {"uid": 7}, "degrade": ["landlock"],
           "limits": {"memory": "1GiB", "stack": "8MiB"}, "syscalls": {"on_violation": "kill"},
           "paths+": [{"at": "/dev/shm", "from": "tmpfs", "size": "1MiB", "inodes": 16,
                       "access": ["read", "write", "create"], "comment": "shared memory"}],
           "syscalls+": {"allow": [{"calls": ["flock"], "comment": "locks"}],
                         "violations": [{"calls": ["syslog"], "comment": "kernel log"}]}"#,
    ));
    assert_eq!((policy.hostname.as_str(), policy.env["LANG"].as_str()), ("h", "C"));
    assert_eq!(policy.user, User { uid: 7, gid: 1000 });
    assert_eq!(policy.degrade.iter().copied().collect::<Vec<_>>(), [Layer::Landlock]);
    assert_eq!((policy.limits.memory, policy.limits.stack), (1 << 30, Stack::Bytes(8 << 20)));
    assert_eq!(policy.limits.cpu_ns, native.limits.cpu_ns);
    assert_eq!(policy.syscalls.on_violation, OnViolation::Kill);
    assert_eq!(policy.syscalls.max_violations, native.syscalls.max_violations);
    assert_eq!(policy.paths.len(), native.paths.len() + 1);
    assert_eq!(policy.paths[3].at, "/dev/shm");
    assert_eq!(policy.syscalls.allow.len(), native.syscalls.allow.len() + 1);
    assert_eq!(policy.syscalls.violations.len(), native.syscalls.violations.len() + 1);
}

#[test]
fn extending_policy_that_adds_nothing_differs_in_name_only() {
    let native = load_builtin("native").unwrap();
    let mine = good(&child(""));
    let renamed = Policy {
        name: native.name.clone(),
        comment: native.comment.clone(),
        digest: native.digest.clone(),
        ..mine.clone()
    };
    assert_eq!(renamed, native);
    assert_ne!(mine.digest, native.digest);
}

#[test]
fn canonical_json_is_sorted_and_reads_back_as_the_same_policy() {
    for name in ["native", "strict"] {
        let policy = load_builtin(name).unwrap();
        let json = policy.to_json();
        assert_eq!(good(&json), policy);
        // serde_json keeps objects sorted, and writes no spaces.
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value.to_string(), json);
        assert!(!json.contains("extends"));
    }
}

#[test]
fn digest_covers_the_meaning_and_not_the_spelling() {
    let digest = |fields: &str| good(&child(fields)).digest;
    let plain = digest(r#""limits": {"memory": "64MiB"}"#);
    assert!(plain.starts_with("sha256:") && plain.len() == 7 + 64);
    assert_eq!(plain, digest(r#""limits": {"memory": "65536KiB"}"#));
    assert_eq!(plain, digest("\"limits\": {\n\"memory\": \"0.0625GiB\"\n}"));
    assert_ne!(plain, digest(r#""limits": {"memory": "65MiB"}"#));
    let rule = |value: &str| {
        digest(&format!(
            r#""syscalls+": {{"allow": [{{"calls": ["flock"], "if": [{{"arg": "operation", {value}}}], "comment": "x"}}]}}"#
        ))
    };
    assert_eq!(rule(r#""eq": "LOCK_SH|LOCK_NB""#), rule(r#""in": ["0x5"]"#));
    assert_ne!(rule(r#""eq": 5"#), rule(r#""eq": 6"#));
}

#[test]
fn argument_of_sixteen_bits_is_compared_in_sixteen() {
    let policy = good(&child(
        r#""syscalls+": {"allow": [{"calls": ["mknod"], "if": [{"arg": "mode", "in": ["0644", "0755"]}],
                                    "otherwise": "EPERM", "comment": "x"}]}"#,
    ));
    let rule = policy.syscalls.allow.last().unwrap();
    let test = Test::MaskedIn { mask: 0xffff, values: vec![0o644, 0o755] };
    assert_eq!(rule.when, When::All(vec![Condition { arg: "mode".into(), test }]));
}

#[test]
fn negative_value_is_the_twos_complement_in_the_arguments_width() {
    let policy = good(&child(
        r#""syscalls+": {"allow": [
            {"calls": ["waitid"], "comment": "x"},
            {"calls": ["sched_rr_get_interval"], "if": [{"arg": "pid", "eq": -1}], "comment": "x"},
            {"calls": ["readahead"], "if": [{"arg": "offset", "eq": -1}], "comment": "x"}]}"#
            .replace(r#"{"calls": ["waitid"], "comment": "x"},"#, "")
            .as_str(),
    ));
    let tests: Vec<&When> = policy.syscalls.allow.iter().rev().take(2).map(|r| &r.when).collect();
    let one = |arg: &str, value| When::All(vec![Condition { arg: arg.into(), test: Test::In(vec![value]) }]);
    assert_eq!(tests, [&one("offset", u64::MAX), &one("pid", 0xffff_ffff)]);
}

#[test]
fn conditional_violation_beside_a_conditional_rule_is_allowed() {
    let text = |condition: &str| {
        child(&format!(
            r#""syscalls+": {{"allow": [{{"calls": ["flock"], "comment": "x"}}],
                "violations": [{{"calls": ["flock"]{condition}, "comment": "x"}}]}}"#
        ))
    };
    assert_eq!(
        good(&text(r#", "if": [{"arg": "operation", "eq": "LOCK_EX"}]"#))
            .syscalls
            .violations
            .last()
            .unwrap()
            .calls,
        [73]
    );
    assert_eq!(messages(&text("")), ["`flock` is allowed and always a violation"]);
}

#[test]
fn program_of_the_image_needs_execve_and_exec_both() {
    let execve = r#""syscalls+": {"allow": [{"calls": ["execve"], "comment": "a shell"}]}"#;
    assert_eq!(good(&child(&format!(r#""exec": "image", {execve}"#))).exec, Exec::Image);
    assert_eq!(messages(&child(execve)), ["`execve` is allowed, but `exec` is `launch-only`"]);
    assert_eq!(messages(&child(r#""exec": "image""#)), ["`exec` is `image`, but no rule allows `execve`"]);
}

#[test]
fn unknown_policy_name_is_one_finding_with_the_nearest() {
    let findings = load_builtin("nativ").unwrap_err();
    assert_eq!(findings.count(), 1);
    assert_eq!(findings.to_string(), "error: there is no policy `nativ`\n  = help: did you mean `native`?\n");
}

#[test]
fn file_argument_has_a_slash_or_ends_in_json() {
    for file in ["./native", "a/b", "/x", "native.json", ".json"] {
        assert!(is_file_argument(file), "{file}");
    }
    for name in ["native", "base", "", "json", "native.json5"] {
        assert!(!is_file_argument(name), "{name}");
    }
}

#[test]
fn findings_become_an_error_that_says_all_of_them() {
    let findings = parse("p.json", child(r#""hostname": "", "cwd": "x""#).as_bytes()).unwrap_err();
    assert_eq!(findings.count(), 2);
    let first = findings.iter().next().unwrap();
    assert_eq!(findings.place(first), Some(("p.json", Position { line: 1, column: 86 })));
    let error = crate::Error::from(findings);
    assert_eq!(error.kind(), Kind::Policy);
    assert!(error.message().starts_with("policy `p.json` has 2 findings\n\nerror: "), "{error}");
    assert!(error.message().contains("cannot be a host name") && error.message().contains("is not absolute"));
}

#[test]
fn findings_with_colours_say_the_same() {
    let findings = parse("p.json", child(r#""hostname": """#).as_bytes()).unwrap_err();
    let mut plain = findings.coloured();
    assert!(plain.contains("\x1b[1;31merror\x1b[0m: "));
    for escape in ["\x1b[1;31m", "\x1b[1;34m", "\x1b[1;36m", "\x1b[0m"] {
        plain = plain.replace(escape, "");
    }
    assert_eq!(plain, findings.to_string());
}

#[test]
fn findings_beyond_fifty_are_counted() {
    let fields: Vec<String> = (0..60).map(|i| format!("\"zz{i}\": 1")).collect();
    let findings = parse("p.json", child(&fields.join(", ")).as_bytes()).unwrap_err();
    assert_eq!(findings.count(), 60);
    assert_eq!(findings.to_string().matches("error: ").count(), 50);
    assert!(findings.to_string().ends_with("\nand 10 more\n"));
}

#[test]
fn large_and_hostile_texts_are_refused_in_time() {
    let start = std::time::Instant::now();
    let keys: Vec<String> = (0..4_000).map(|i| format!("\"k{i}\":{i}")).collect();
    let texts = [
        child(&keys.join(",")),
        child(&format!(r#""env": {{{}}}"#, vec![r#""A": "x""#; 20_000].join(","))),
        child(&format!(r#""degrade": [{}]"#, vec![r#""landlok""#; 10_000].join(","))),
        child(&format!("\"{}\": 1", "x".repeat(900_000))),
        "[".repeat(1 << 20),
        format!("{}{}", child(""), "\n".repeat(900_000)).replace("\"a test\"", "5"),
    ];
    for text in texts {
        let findings = parse("p.json", text.as_bytes()).unwrap_err();
        assert!(!findings.to_string().is_empty());
    }
    assert!(start.elapsed().as_secs() < 20, "took {:?}", start.elapsed());
}

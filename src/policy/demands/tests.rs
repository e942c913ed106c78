use super::super::{builtin_text, names, parse};
use super::*;

/// Every call with what is demanded of it.
fn all(wx: Wx) -> Vec<(&'static str, Reason)> {
    names::all()
        .flat_map(|(name, number)| demands(number, Exec::LaunchOnly, wx).into_iter().map(move |r| (name, r)))
        .collect()
}

/// The messages of a policy like `base`, with one more rule that allows the
/// call. Calls of `base` itself are taken out of it first.
fn messages(call: &str, rule: &str, wx: &str) -> Vec<String> {
    let mut policy: serde_json::Value = serde_json::from_str(builtin_text("base").unwrap()).unwrap();
    for list in ["allow", "violations"] {
        for rule in policy["syscalls"][list].as_array_mut().unwrap() {
            rule["calls"].as_array_mut().unwrap().retain(|c| c != call);
        }
        policy["syscalls"][list].as_array_mut().unwrap().retain(|r| r["calls"] != serde_json::json!([]));
    }
    policy["wx"] = wx.into();
    policy["exec"] = if call == "execve" { "image" } else { "launch-only" }.into();
    let rule: serde_json::Value = serde_json::from_str(rule).unwrap();
    policy["syscalls"]["allow"].as_array_mut().unwrap().push(rule);
    policy["image"] = serde_json::json!({ "closure": "payload" });
    policy["payload"] = serde_json::json!({ "as": "/box/p" });
    policy["command"] = serde_json::json!(["{payload}"]);
    match parse("test", policy.to_string().as_bytes()) {
        Ok(_) => Vec::new(),
        Err(findings) => findings.iter().map(|f| f.message().to_owned()).collect(),
    }
}

fn unconditional(call: &str) -> String {
    format!(r#"{{"calls": ["{call}"], "comment": "x"}}"#)
}

#[test]
fn call_that_undoes_the_box_is_never_allowed() {
    let never: Vec<&str> = all(Wx::Allow)
        .into_iter()
        .filter(|(_, r)| matches!(r.demand, Demand::Never))
        .map(|(n, _)| n)
        .collect();
    for call in [
        "clone3",
        "openat2",
        "execveat",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_getfd",
        "seccomp",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "keyctl",
        "add_key",
        "request_key",
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "setns",
        "unshare",
        "open_by_handle_at",
        "open_tree_attr",
        "init_module",
        "kexec_load",
        "reboot",
        "iopl",
        "ioperm",
    ] {
        assert!(never.contains(&call), "{call}");
    }
    for call in &never {
        let expected = format!("`{call}` cannot be allowed");
        assert_eq!(messages(call, &unconditional(call), "deny"), [expected.as_str()], "{call}");
    }
    assert_eq!(messages("flock", &unconditional("flock"), "deny"), [""; 0]);
}

/// Whatever `base` calls a violation for its own sake cannot be allowed by a
/// policy that stands alone, but for the few that harm only the payload.
#[test]
fn violation_of_base_is_never_allowed_or_named_here() {
    let base: serde_json::Value = serde_json::from_str(builtin_text("base").unwrap()).unwrap();
    let mut allowed = Vec::new();
    for rule in base["syscalls"]["violations"].as_array().unwrap().iter().filter(|r| r["if"].is_null()) {
        for call in rule["calls"].as_array().unwrap() {
            let call = call.as_str().unwrap();
            if demands(names::number(call).unwrap(), Exec::Image, Wx::Deny).is_empty() {
                allowed.push(call.to_owned());
            }
        }
    }
    assert_eq!(allowed, ["modify_ldt"]);
}

#[test]
fn call_with_a_demand_is_refused_without_and_allowed_with_what_the_help_says() {
    let mut tried = 0;
    for (call, reason) in all(Wx::Deny) {
        let Some(written) = reason.demand.written() else { continue };
        assert_eq!(
            messages(call, &unconditional(call), "deny").first(),
            Some(&format!("`{call}` needs another condition")),
            "{call}"
        );
        if call == "socketpair" {
            continue;
        }
        // "…" stands for whatever else the author wants; what follows the
        // condition is prose.
        let condition = written.replace(", …", "");
        let condition = condition.rsplit_once(']').map_or(condition.as_str(), |(c, _)| c);
        let rule = format!(r#"{{"calls": ["{call}"], {condition}], "comment": "x"}}"#);
        assert_eq!(messages(call, &rule, "deny"), [""; 0], "{rule}");
        tried += 1;
    }
    assert!(tried >= 14, "{tried}");
}

#[test]
fn pair_of_stream_sockets_is_allowed_and_of_datagrams_is_not() {
    let rule = |types: &str| {
        format!(
            r#"{{"calls": ["socketpair"], "if": [{{"arg": "domain", "eq": "AF_UNIX"}},
                {{"arg": "type", "masked": "0xf", "in": [{types}]}}], "comment": "x"}}"#
        )
    };
    assert_eq!(messages("socketpair", &rule(r#""SOCK_STREAM", "SOCK_SEQPACKET""#), "deny"), [""; 0]);
    let refused = ["`socketpair` needs another condition"];
    assert_eq!(messages("socketpair", &rule(r#""SOCK_STREAM", "SOCK_DGRAM""#), "deny"), refused);
}

#[test]
fn way_around_wx_is_refused_only_where_wx_denies() {
    for call in ["memfd_create", "pkey_mprotect"] {
        assert_eq!(messages(call, &unconditional(call), "deny"), [format!("`{call}` cannot be allowed")]);
        assert_eq!(messages(call, &unconditional(call), "allow"), [""; 0]);
    }
    assert_eq!(messages("shmat", &unconditional("shmat"), "deny"), ["`shmat` needs another condition"]);
    assert_eq!(messages("shmat", &unconditional("shmat"), "allow"), [""; 0]);
}

#[test]
fn violation_that_refuses_the_value_meets_the_demand() {
    let terminal = ViolationRule {
        calls: vec![16],
        when: vec![Condition { arg: "request".into(), test: Test::In(vec![0x5412, 0x541c]) }],
        comment: String::new(),
    };
    let demand = demands(16, Exec::LaunchOnly, Wx::Deny)[0].demand;
    assert!(demand.holds(16, &When::Always, std::slice::from_ref(&terminal)));
    assert!(!demand.holds(16, &When::Always, &[]));
    // Two conditions hold together less often than one.
    let mut narrower = terminal.clone();
    narrower.when.push(Condition { arg: "fd".into(), test: Test::In(vec![0]) });
    assert!(!demand.holds(16, &When::Always, &[narrower]));
    let mut other = terminal;
    other.calls = vec![72];
    assert!(!demand.holds(16, &When::Always, &[other]));
}

#[test]
fn bits_are_clear_only_if_the_conditions_say_so() {
    let condition = |test| vec![Condition { arg: "flags".into(), test }];
    let cases = [
        (When::Always, false),
        (When::None(condition(Test::AnyBit(CLONE_FLAGS))), true),
        (When::None(condition(Test::AnyBit(CLONE_FLAGS | 1))), true),
        (When::None(condition(Test::AnyBit(CLONE_FLAGS & !0x1000_0000))), false),
        (When::None(condition(Test::In(vec![CLONE_FLAGS]))), false),
        (When::All(condition(Test::In(vec![0x11, 0x003d_0f00]))), true),
        (When::All(condition(Test::In(vec![0x11, 0x1000_0011]))), false),
        (When::All(condition(Test::MaskedIn { mask: CLONE_FLAGS, values: vec![0] })), true),
        (When::All(condition(Test::MaskedIn { mask: CLONE_FLAGS & !0x8000, values: vec![0] })), false),
        (When::All(condition(Test::AnyBit(0x100))), false),
        (When::All(vec![Condition { arg: "tls".into(), test: Test::In(vec![0]) }]), false),
    ];
    let demand = demands(56, Exec::LaunchOnly, Wx::Deny)[0].demand;
    for (when, holds) in cases {
        assert_eq!(demand.holds(56, &when, &[]), holds, "{when:?}");
    }
}

#[test]
fn nameless_file_may_be_a_program_only_where_none_can_be_run() {
    let sealed = r#"{"calls": ["memfd_create"], "if": [{"arg": "flags", "masked": "MFD_NOEXEC_SEAL", "eq": 8}],
                     "comment": "x"}"#;
    let number = names::number("memfd_create").unwrap();
    let rule: serde_json::Value = serde_json::from_str(sealed).unwrap();
    assert_eq!(messages("memfd_create", &rule.to_string(), "allow"), [""; 0]);
    let demanded = demands(number, Exec::Image, Wx::Allow);
    let [reason] = demanded.as_slice() else { panic!("{} demands", demanded.len()) };
    let when = |test| When::All(vec![Condition { arg: "flags".into(), test }]);
    assert!(reason.demand.holds(number, &when(Test::MaskedIn { mask: 8, values: vec![8] }), &[]));
    assert!(reason.demand.holds(number, &when(Test::In(vec![8, 9])), &[]));
    assert!(!reason.demand.holds(number, &when(Test::In(vec![8, 1])), &[]));
    assert!(!reason.demand.holds(number, &when(Test::AnyBit(8 | 1)), &[]));
    assert!(!reason.demand.holds(number, &When::Always, &[]));
    assert!(demands(number, Exec::LaunchOnly, Wx::Allow).is_empty());
}

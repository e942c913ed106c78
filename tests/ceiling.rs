//! A job below a ceiling: less in any respect, more in none.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod policy_support;

use std::path::{Path, PathBuf};

use common::{Caller, payload, run};
use policy_support::{CALLS, comment, number, policy, when};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use stockade::policy::ceiling::{Asked, AskedBind, Way};
use stockade::policy::model::*;
use stockade::policy::{self, Ceiling, Findings, Located, Overrides, names};
use stockade::sandbox::seccomp::{self, ARCH_X86_64, Answer, Call, Rules, decide};

/// A policy as a ceiling, with what may be asked for besides.
fn ceiling_of(policy: &str, more: &str) -> Ceiling {
    let mut value: serde_json::Value = serde_json::from_str(policy).unwrap();
    value["ceiling"] = serde_json::from_str(more).unwrap();
    Ceiling::parse("site.json", value.to_string().as_bytes()).unwrap_or_else(|f| panic!("{f}"))
}

fn job(text: &str) -> Located {
    Located::parse("job.json", text.as_bytes()).unwrap_or_else(|f| panic!("{f}"))
}

fn judge(ceiling: &Ceiling, job: &Located) -> Result<(), Findings> {
    asked(ceiling, job, &Overrides::default(), &[])
}

fn asked(
    ceiling: &Ceiling,
    job: &Located,
    overrides: &Overrides,
    binds: &[AskedBind],
) -> Result<(), Findings> {
    ceiling.judge(job, &Asked { overrides, binds, real: &|path: &Path| path.to_owned() })
}

fn native(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ",\n" };
    format!(
        "{{ \"version\": 1, \"name\": \"job\", \"comment\": \"a test\", \"extends\": \"native\"{comma}{fields} }}"
    )
}

/// Messages of what is beyond the ceiling, each with line and column in the job, or none.
fn excess(findings: &Findings) -> Vec<(String, Option<(String, usize)>)> {
    findings
        .iter()
        .map(|f| {
            let place = findings.place(f).map(|(file, at)| (file.to_owned(), at.line));
            (f.message().to_owned(), place)
        })
        .collect()
}

/// Exactly this is beyond `native` as a ceiling.
fn beyond_native(fields: &str, expected: &[(&str, usize)]) {
    let ceiling = ceiling_of(&native(""), "{}");
    let findings = judge(&ceiling, &job(&native(fields))).unwrap_err();
    let found = excess(&findings);
    let expected: Vec<_> =
        expected.iter().map(|(m, l)| ((*m).to_owned(), Some(("job.json".to_owned(), *l)))).collect();
    assert_eq!(found, expected, "{findings}");
}

#[test]
fn policy_below_itself_is_accepted() {
    for name in ["native", "strict"] {
        let policy = policy::load_builtin(name).unwrap();
        judge(&ceiling_of(&policy.to_json(), "{}"), &Located::builtin(name).unwrap()).unwrap();
    }
}

#[test]
fn job_that_asks_for_less_in_every_respect_is_accepted() {
    let site = native(
        r#""wx": "allow", "exec": "image", "network": { "mode": "loopback" }, "env": { "A": "1", "B": "2" },
        "landlock": { "min_abi": 1 }, "degrade": ["cgroup", "proc"], "hostname": "site",
        "limits": { "memory": "1GiB", "processes": 100, "on_output": "cut", "stack": "512MiB" },
        "syscalls": { "on_violation": "refuse", "max_violations": 2000 },
        "syscalls+": { "allow": [{ "calls": ["execve"], "comment": "c" }, { "calls": ["flock"], "comment": "c" },
          { "calls": ["socket"], "if": [{ "arg": "domain", "in": ["AF_UNIX", "AF_INET"] }], "comment": "c" }] },
        "paths+": [{ "at": "/work", "from": "tmpfs", "size": "1GiB", "inodes": 1000, "access": ["read", "write", "create"], "comment": "c" }]"#,
    );
    let less = native(
        r#""env": { "A": "1" }, "landlock": { "min_abi": 4 }, "degrade": ["proc"], "hostname": "job", "cwd": "/tmp",
        "command": ["{payload}", "-x"], "argv0": "x",
        "limits": { "memory": "512MiB", "processes": 3, "on_output": "kill", "stack": "memory" },
        "syscalls": { "on_violation": "kill", "max_violations": 3 },
        "syscalls+": { "allow": [{ "calls": ["socket"], "if": [{ "arg": "domain", "eq": "AF_UNIX" }, { "arg": "protocol", "eq": 0 }], "comment": "c" }] },
        "paths+": [{ "at": "/work", "from": "tmpfs", "size": "4KiB", "inodes": 10, "access": ["read"], "comment": "c" }]"#,
    );
    judge(&ceiling_of(&site, "{}"), &job(&less)).unwrap_or_else(|f| panic!("{f}"));
    // The control: the same the other way round is far beyond.
    let wrong = judge(&ceiling_of(&less, "{}"), &job(&site)).unwrap_err();
    assert!(wrong.count() > 12, "{wrong}");
}

#[test]
fn single_values_beyond_are_told_with_their_places() {
    let execve = r#""syscalls+": { "allow": [{ "calls": ["execve"], "comment": "c" }] }"#;
    beyond_native(&format!("\"exec\": \"image\", {execve}"), &[("`exec` goes beyond the ceiling", 2)]);
    beyond_native(r#""network": { "mode": "loopback" }"#, &[("`network` goes beyond the ceiling", 2)]);
    beyond_native("\"wx\": \"allow\"", &[("`wx` goes beyond the ceiling", 2)]);
    beyond_native(r#""user": { "uid": 1001 }"#, &[("`user.uid` goes beyond the ceiling", 2)]);
    beyond_native(r#""env": { "X": "1" }"#, &[("the variable `X` goes beyond the ceiling", 2)]);
    beyond_native(r#""degrade": ["seccomp"]"#, &[("`seccomp` in `degrade` goes beyond the ceiling", 2)]);
    beyond_native(
        r#""syscalls": { "max_violations": 1001 }"#,
        &[("`max_violations` goes beyond the ceiling", 2)],
    );
    let strict_abi = ceiling_of(&native(r#""landlock": { "min_abi": 4 }"#), "{}");
    let findings = judge(&strict_abi, &job(&native(r#""landlock": { "min_abi": 3 }"#))).unwrap_err();
    assert_eq!(excess(&findings)[0].0, "`landlock` goes beyond the ceiling");
    let kills = ceiling_of(&native(r#""syscalls": { "on_violation": "kill" }"#), "{}");
    let findings = judge(&kills, &job(&native(""))).unwrap_err();
    assert_eq!(excess(&findings)[0].0, "`on_violation` goes beyond the ceiling");
}

#[test]
fn limits_beyond_are_told_with_their_places() {
    for (name, value) in [
        ("cpu_time", "\"11s\""),
        ("wall_time", "\"31s\""),
        ("memory", "\"257MiB\""),
        ("processes", "65"),
        ("open_files", "257"),
        ("file_size", "\"65MiB\""),
        ("output", "\"17MiB\""),
        ("on_output", "\"cut\""),
        ("stack", "\"1GiB\""),
    ] {
        let message = format!("`{name}` of `limits` goes beyond the ceiling");
        beyond_native(&format!("\"limits\": {{\n\"{name}\": {value} }}"), &[(&message, 3)]);
    }
}

#[test]
fn paths_beyond_are_told_with_their_places() {
    let tmpfs = |at: &str, size: &str, inodes: u32, access: &str| {
        format!(
            r#"{{ "at": "{at}", "from": "tmpfs", "size": "{size}", "inodes": {inodes}, "access": [{access}], "comment": "c" }}"#
        )
    };
    let with = |entry: String| native(&format!("\"paths+\": [\n{entry}]"));
    let site = ceiling_of(&with(tmpfs("/work", "64MiB", 100, r#""read", "write""#)), "{}");
    judge(&site, &job(&with(tmpfs("/work", "64MiB", 100, r#""read""#)))).unwrap();
    for wrong in [
        tmpfs("/work", "68MiB", 100, r#""read""#),
        tmpfs("/work", "64MiB", 101, r#""read""#),
        tmpfs("/work", "64MiB", 100, r#""read", "write", "create""#),
    ] {
        let findings = judge(&site, &job(&with(wrong))).unwrap_err();
        let expected =
            ("the path `/work` goes beyond the ceiling".to_owned(), Some(("job.json".to_owned(), 3)));
        assert_eq!(excess(&findings), [expected]);
    }
    let findings = judge(&site, &job(&with(tmpfs("/other", "4KiB", 2, r#""read""#)))).unwrap_err();
    assert_eq!(excess(&findings)[0].0, "the path `/other` goes beyond the ceiling");
}

#[test]
fn calls_beyond_are_told_by_meaning() {
    let rule = |conditions: &str| {
        native(&format!(
            r#""syscalls+": {{ "allow": [
{{ "calls": ["socketpair"], "if": [{{ "arg": "domain", "eq": "AF_UNIX" }}, {conditions}], "comment": "c" }}] }}"#
        ))
    };
    let both = r#"{ "arg": "type", "masked": "0xf", "in": ["SOCK_STREAM", "SOCK_SEQPACKET"] }"#;
    let one = r#"{ "arg": "type", "masked": "0xf", "eq": "SOCK_STREAM" }"#;
    // The same in other words: an exact value is within the mask.
    let exact = r#"{ "arg": "type", "in": ["SOCK_STREAM", "SOCK_SEQPACKET|SOCK_CLOEXEC"] }"#;
    let site = ceiling_of(&rule(both), "{}");
    judge(&site, &job(&rule(one))).unwrap();
    judge(&site, &job(&rule(exact))).unwrap();
    let narrow = ceiling_of(&rule(one), "{}");
    let findings = judge(&narrow, &job(&rule(both))).unwrap_err();
    let expected = ("`socketpair` goes beyond the ceiling".to_owned(), Some(("job.json".to_owned(), 3)));
    assert_eq!(excess(&findings), [expected]);
    let help = findings.iter().next().unwrap().help_text().unwrap();
    assert!(
        help.contains("for example socketpair(domain=AF_UNIX, type=SOCK_SEQPACKET, protocol=IPPROTO_IP)"),
        "{help}"
    );
    assert!(findings.to_string().contains("note: the ceiling says it here\n --> site.json:"), "{findings}");
}

#[test]
fn violation_that_is_no_longer_reported_is_told() {
    let site = native(r#""syscalls+": { "violations": [{ "calls": ["flock"], "comment": "a channel" }] }"#);
    let findings = judge(&ceiling_of(&site, "{}"), &job(&native(""))).unwrap_err();
    // Nothing of the job names it, so that there is no place in it.
    assert_eq!(excess(&findings), [("`flock` goes beyond the ceiling".to_owned(), None)]);
    judge(&ceiling_of(&site, r#"{ "free": ["violations"] }"#), &job(&native(""))).unwrap();
    // Allowed is beyond it in any case.
    let allows = native(r#""syscalls+": { "allow": [{ "calls": ["flock"], "comment": "c" }] }"#);
    judge(&ceiling_of(&site, r#"{ "free": ["violations"] }"#), &job(&allows)).unwrap_err();
}

#[test]
fn options_beyond_are_told_by_their_names() {
    let site =
        ceiling_of(&native(""), r#"{ "env": ["CI_*", "LANG"], "ro": ["/srv/data"], "rw": ["/srv/out"] }"#);
    let job = job(&native(""));
    let env = |name: &str| Overrides { env: vec![(name.into(), "x".into())], ..Overrides::default() };
    let bind = |host: &str, way| AskedBind { host: PathBuf::from(host), way };
    for name in ["LANG", "CI_", "CI_JOB"] {
        asked(&site, &job, &env(name), &[]).unwrap();
    }
    for good in [
        bind("/srv/data", Way::Read),
        bind("/srv/data/a/b", Way::Read),
        bind("/srv/out/x", Way::Write),
        bind("/srv/out", Way::Read),
        bind("/srv/data/tree", Way::Copy),
    ] {
        asked(&site, &job, &Overrides::default(), std::slice::from_ref(&good)).unwrap();
    }
    let told = |overrides: &Overrides, binds: &[AskedBind], expected: &str| {
        let findings = asked(&site, &job, overrides, binds).unwrap_err();
        assert_eq!(excess(&findings), [(expected.to_owned(), None)]);
    };
    told(&env("LANGUAGE"), &[], "--env `LANGUAGE` goes beyond the ceiling");
    told(&Overrides::default(), &[bind("/srv/data", Way::Write)], "--rw `/srv/data` goes beyond the ceiling");
    told(
        &Overrides::default(),
        &[bind("/srv/database", Way::Read)],
        "--ro `/srv/database` goes beyond the ceiling",
    );
    told(&Overrides::default(), &[bind("/srv", Way::Read)], "--ro `/srv` goes beyond the ceiling");
    told(
        &Overrides::default(),
        &[bind("/home/me/tree", Way::Copy)],
        "--work `/home/me/tree` goes beyond the ceiling",
    );
    let degrade = Overrides { degrade: vec![stockade::Layer::Cgroup], ..Overrides::default() };
    told(&degrade, &[], "--degrade cgroup goes beyond the ceiling");
    let memory = Overrides { memory: Some(1 << 30), ..Overrides::default() };
    told(&memory, &[], "--memory goes beyond the ceiling");
    let tmp = Overrides { tmp: Some(1 << 30), ..Overrides::default() };
    told(&tmp, &[], "--tmp goes beyond the ceiling");
    asked(&site, &job, &Overrides { memory: Some(1 << 20), ..Overrides::default() }, &[]).unwrap();
}

#[test]
fn link_out_of_an_allowed_directory_is_followed_before_it_is_judged() {
    let site = ceiling_of(&native(""), r#"{ "ro": ["/srv/data"] }"#);
    let leads = |path: &Path| match path.to_str() {
        Some("/srv/data/link") => PathBuf::from("/etc"),
        _ => path.to_owned(),
    };
    let binds = [AskedBind { host: "/srv/data/link".into(), way: Way::Read }];
    let asked = Asked { overrides: &Overrides::default(), binds: &binds, real: &leads };
    let findings = site.judge(&job(&native("")), &asked).unwrap_err();
    let message = "--ro `/srv/data/link` (it leads to /etc) goes beyond the ceiling";
    assert_eq!(findings.iter().next().unwrap().message(), message);
}

#[test]
fn ceiling_and_policy_are_not_taken_for_each_other() {
    let plain = Ceiling::parse("site.json", native("").as_bytes()).unwrap_err();
    assert_eq!(plain.iter().next().unwrap().message(), "this is a policy, not a ceiling");
    let text = native(r#""ceiling": {}"#);
    let run = Located::parse("job.json", text.as_bytes()).unwrap_err();
    assert_eq!(run.iter().next().unwrap().message(), "this is a ceiling, not a policy that is run");
    let base = text.replace("native", "base");
    let partial = Ceiling::parse("site.json", base.as_bytes()).unwrap_err();
    assert_eq!(
        partial.iter().next().unwrap().message(),
        "this ceiling has no `image`, `payload` and `command`"
    );
}

#[test]
fn run_below_a_ceiling_says_so_and_beyond_it_is_refused_with_125() {
    let probe = payload("probe.c", &["-static"]);
    for caller in Caller::all() {
        let file = |name: &str, text: &str| {
            let path = caller.home().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let site = file(
            "site.json",
            &native(r#""degrade": ["cgroup"], "limits": { "memory": "128MiB" }, "ceiling": {}"#),
        );
        let good = file("good.json", &native(r#""limits": { "memory": "64MiB" }"#));
        let bad = file("bad.json", &native("\"limits\": { \"memory\": \"512MiB\" },\n\"wx\": \"allow\""));
        let ran =
            run(caller, &probe).options(["--ceiling", &site, "--policy", &good]).args(["exit", "7"]).go();
        assert_eq!(ran.status, 7, "{}", ran.all());
        let notes = ran.report["notes"].to_string();
        assert!(notes.contains("below the ceiling job (sha256:"), "{notes}");
        let ran =
            run(caller, &probe).options(["--ceiling", &site, "--policy", &bad]).args(["exit", "7"]).go();
        assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
        for expected in [
            "2 things beyond the ceiling `",
            "error: `memory` of `limits` goes beyond the ceiling",
            "asked for: 512MiB; at most: 128MiB",
            "bad.json:2:23",
            "error: `wx` goes beyond the ceiling",
            "bad.json:3:7",
        ] {
            assert!(ran.stderr.contains(expected), "{expected}\n{}", ran.stderr);
        }
        // An option can bring it below, and another one above.
        let lower = ["--ceiling", &site, "--policy", "native", "--memory", "128MiB"];
        assert_eq!(run(caller, &probe).options(lower).args(["exit", "7"]).go().status, 7);
        let above = ["--ceiling", &site, "--policy", &good, "--memory", "129MiB"];
        let ran = run(caller, &probe).options(above).args(["exit", "7"]).go();
        assert_eq!(ran.status, 125, "{}", ran.all());
        assert!(ran.stderr.contains("--memory goes beyond the ceiling"), "{}", ran.stderr);
    }
}

/// Interesting arguments, and any.
fn arguments() -> impl Strategy<Value = [u64; 6]> {
    let word =
        prop_oneof![0..4_u64, select(vec![6, 7, 0o6000, 1 << 17, 0xffff_ffff, u64::MAX]), any::<u64>()];
    proptest::array::uniform6(word)
}

const NONCE: [u32; 3] = [1, 2, 3];

/// What the compiled programs of a policy do with a call.
fn filtered(policy: &Policy, call: &Call) -> Answer {
    let rules = Rules::of(policy, &seccomp::table);
    let filters = seccomp::compile(&rules).unwrap().with_nonce(NONCE);
    Answer::from_return(seccomp::stack(&filters.in_order(), call).unwrap()).unwrap()
}

/// Every pair of answers, with a call that shows it, of each call that one of the policies names.
fn all_cases(a: &Policy, b: &Policy) -> Vec<seccomp::Case> {
    let mut named: Vec<u32> = Vec::new();
    for policy in [a, b] {
        named.extend(policy.syscalls.allow.iter().flat_map(|r| &r.calls));
        named.extend(policy.syscalls.violations.iter().flat_map(|r| &r.calls));
    }
    named.sort_unstable();
    named.dedup();
    let (a, b) = (Rules::of(a, &seccomp::table), Rules::of(b, &seccomp::table));
    named.into_iter().flat_map(|nr| seccomp::compare(&a, &b, nr).unwrap()).collect()
}

fn policy_of(text: String) -> Policy {
    policy::parse("p.json", text.as_bytes()).unwrap_or_else(|f| panic!("{f}"))
}

/// The policy with one more rule; none where its call has one.
fn with_allow(policy: &Policy, call: &'static str, when: &When, comment: &str) -> Option<Policy> {
    let nr = number(call);
    let named = policy.syscalls.allow.iter().any(|r| r.calls.contains(&nr))
        || policy.syscalls.violations.iter().any(|r| r.calls.contains(&nr) && r.when.is_empty());
    let mut more = policy.clone();
    let (when, otherwise) = (when.clone(), Otherwise::Enosys);
    more.syscalls.allow.push(AllowRule { calls: vec![nr], when, otherwise, comment: comment.to_owned() });
    (!named).then(|| policy_of(more.to_json()))
}

fn one_more() -> impl Strategy<Value = (&'static str, When, String)> {
    (select(CALLS.to_vec()), comment())
        .prop_flat_map(|((call, arg, bits), comment)| (Just(call), when(arg, bits), Just(comment)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_policy_is_below_itself(policy in policy()) {
        let text = policy.to_json();
        prop_assert_eq!(judge(&ceiling_of(&text, "{}"), &job(&text)), Ok(()));
    }

    #[test]
    fn job_below_a_ceiling_is_allowed_no_call_that_the_ceiling_refuses(
        site in policy(), asked in policy(), args in arguments(), at in any::<Index>(),
    ) {
        let (site_text, text) = (site.to_json(), asked.to_json());
        let answer = judge(&ceiling_of(&site_text, "{}"), &job(&text));
        let cases = all_cases(&site, &asked);
        let beyond: Vec<_> = cases.iter().filter(|c| c.first != Answer::Allow && c.second == Answer::Allow).collect();
        // The compiled programs agree with every example.
        for case in &cases {
            prop_assert_eq!(filtered(&site, &case.example), case.first);
            prop_assert_eq!(filtered(&asked, &case.example), case.second);
        }
        let of_a_call = |message: &str| {
            let name = message.trim_start_matches('`').split('`').next().unwrap_or_default();
            ["exec", "wx"].contains(&name) || names::number(name).is_some()
        };
        let told = answer.as_ref().err().map_or(0, |f| f.iter().filter(|f| of_a_call(f.message())).count());
        prop_assert!(beyond.is_empty() || told > 0);
        if answer.is_ok() {
            let calls: Vec<u32> = asked.syscalls.allow.iter().flat_map(|r| r.calls.clone()).collect();
            let call = Call { arch: ARCH_X86_64, nr: *at.get(&calls), args };
            let (site, asked) = (Rules::of(&site, &seccomp::table), Rules::of(&asked, &seccomp::table));
            let allowed = decide(&asked, NONCE, &call) == Answer::Allow;
            prop_assert!(!allowed || decide(&site, NONCE, &call) == Answer::Allow);
        }
    }

    #[test]
    fn rule_added_to_a_job_never_makes_it_acceptable(site in policy(), asked in policy(), more in one_more()) {
        let ceiling = ceiling_of(&site.to_json(), "{}");
        let before = judge(&ceiling, &job(&asked.to_json()));
        let Some(wider) = with_allow(&asked, more.0, &more.1, &more.2) else { return Ok(()) };
        let after = judge(&ceiling, &job(&wider.to_json()));
        prop_assert!(before.is_ok() || after.is_err());
        // And what the ceiling has more accepts no less.
        if let Some(higher) = with_allow(&site, more.0, &more.1, &more.2) {
            let higher = judge(&ceiling_of(&higher.to_json(), "{}"), &job(&asked.to_json()));
            prop_assert!(before.is_err() || higher.is_ok());
        }
    }

    #[test]
    fn rule_added_to_a_policy_never_narrows_and_changes_only_its_call(asked in policy(), more in one_more()) {
        let Some(wider) = with_allow(&asked, more.0, &more.1, &more.2) else { return Ok(()) };
        for case in all_cases(&asked, &wider) {
            prop_assert_eq!(filtered(&asked, &case.example), case.first);
            prop_assert_eq!(filtered(&wider, &case.example), case.second);
            prop_assert!(case.first != Answer::Allow || case.second == Answer::Allow, "{:?}", case);
            prop_assert!(case.first == case.second || case.example.nr == number(more.0), "{:?}", case);
        }
    }

    #[test]
    fn violation_added_to_a_policy_never_widens(asked in policy(), call in one_more()) {
        let conditions = match call.1 { When::All(c) | When::None(c) => c, When::Always => Vec::new() };
        // Without a condition it may stand on no call that is allowed.
        let (calls, when) = if conditions.is_empty() { (vec![number("vhangup")], conditions) } else { (vec![number(call.0)], conditions) };
        let mut stricter = asked.clone();
        stricter.syscalls.violations.push(ViolationRule { calls: calls.clone(), when, comment: call.2 });
        if asked.syscalls.violations.iter().any(|r| r.calls.iter().any(|c| calls.contains(c))) {
            return Ok(());
        }
        let stricter = policy_of(stricter.to_json());
        for case in all_cases(&asked, &stricter) {
            prop_assert_eq!(filtered(&stricter, &case.example), case.second);
            prop_assert!(case.second != Answer::Allow || case.first == Answer::Allow, "{:?}", case);
        }
        prop_assert_eq!(judge(&ceiling_of(&asked.to_json(), "{}"), &job(&stricter.to_json())), Ok(()));
    }
}

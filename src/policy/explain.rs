//! What a policy lets a payload see, write, call and use, and what stops the
//! rest: for people, and as JSON for programs.

use serde_json::{Value, json};

use super::Ceiling;
use super::compare::named_calls;
use super::model::{Exec, Network, OnOutput, OnViolation, PathSource, Policy, Wx};
use super::{names, wording};
use crate::Layer;

/// Name and version of the JSON.
pub const SCHEMA: &str = "stockade.explain/1";

/// A policy in words.
#[must_use]
pub fn text(policy: &Policy) -> String {
    let mut out = format!("{}: {}\n  {}\n", policy.name, policy.comment, policy.digest);
    seen(policy, &mut out);
    written(policy, &mut out);
    called(policy, &mut out);
    used(policy, &mut out);
    stopped(policy, &mut out);
    out
}

/// A ceiling in words: what a job may be at most, and what may be asked for besides.
#[must_use]
pub fn ceiling_text(ceiling: &Ceiling) -> String {
    let mut out = text(ceiling.policy());
    out.push_str("\nmay be asked for besides, as a ceiling\n");
    for (field, words) in ceiling.besides() {
        let words = if words.is_empty() { "nothing".to_owned() } else { words.join(" ") };
        line(
            &mut out,
            match field {
                "ro" => format!("--ro and --work, at or below: {words}"),
                "rw" => format!("--rw and --ro, at or below: {words}"),
                "env" => format!("variables, with any value: {words}"),
                _ => format!("not compared: {words}"),
            },
        );
    }
    out
}

/// The same as JSON: `ceiling` has the lists.
#[must_use]
pub fn ceiling_json(ceiling: &Ceiling) -> Value {
    let mut explained = json(ceiling.policy());
    let lists = ceiling.besides().into_iter().map(|(field, words)| (field.to_owned(), json!(words)));
    explained["ceiling"] = Value::Object(lists.collect());
    explained
}

fn line(out: &mut String, text: impl AsRef<str>) {
    out.push_str("  ");
    out.push_str(text.as_ref());
    out.push('\n');
}

fn seen(policy: &Policy, out: &mut String) {
    out.push_str("\nsees\n");
    let width = policy.paths.iter().map(|p| p.at.chars().count()).max().unwrap_or(0);
    for path in &policy.paths {
        let optional = if path.optional { " (where the host gives it)" } else { "" };
        let (source, access) = (wording::source(&path.from), wording::access(path.access));
        line(out, format!("{:width$}  {source}: {access}{optional}; {}", path.at, path.comment));
    }
    line(out, "no other file of the host, but for what --ro and --rw name");
    let env: Vec<String> = policy.env.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let env = if env.is_empty() { "no variable".to_owned() } else { env.join(" ") };
    line(out, format!("environment: {env}, and what --env sets; nothing of the caller's"));
    let (uid, gid) = (policy.user.uid, policy.user.gid);
    line(
        out,
        format!("itself as user {uid}, group {gid}, on the host \"{}\", in {}", policy.hostname, policy.cwd),
    );
    line(
        out,
        match policy.network {
            Network::None => "no network device that is up",
            Network::Loopback => "a loopback device of its own, and no other network",
        },
    );
}

fn written(policy: &Policy, out: &mut String) {
    out.push_str("\nwrites\n");
    for path in policy.paths.iter().filter(|p| p.access.write) {
        let what = match (&path.from, path.access.create) {
            (PathSource::Devices(names), _) => format!("{} ({})", path.at, names.join(", ")),
            (_, true) => format!("{}: files and directories of its own", path.at),
            (_, false) => format!("{}: files that are there", path.at),
        };
        line(out, what);
    }
    line(out, "standard output and standard error, which are pipes");
}

/// The calls of a policy, sorted by name, in groups.
struct Calls {
    always: Vec<u32>,
    sometimes: Vec<u32>,
    violations: Vec<u32>,
}

impl Calls {
    fn of(policy: &Policy) -> Self {
        let mut all = named_calls(policy);
        all.sort_by_key(|nr| names::shown(*nr));
        all.dedup();
        let mut calls = Self { always: Vec::new(), sometimes: Vec::new(), violations: Vec::new() };
        for nr in all {
            match wording::call(policy, nr).as_str() {
                "allowed" => calls.always.push(nr),
                "a violation" => calls.violations.push(nr),
                "ENOSYS" => {}
                _ => calls.sometimes.push(nr),
            }
        }
        calls
    }
}

fn called(policy: &Policy, out: &mut String) {
    let calls = Calls::of(policy);
    out.push_str("\ncalls\n");
    line(out, format!("{} system calls, whatever their arguments:", calls.always.len()));
    names_in_lines(out, &calls.always);
    line(out, format!("{} with a look at their arguments:", calls.sometimes.len()));
    for nr in &calls.sometimes {
        line(out, format!("  {}: {}", names::shown(*nr), wording::call(policy, *nr)));
    }
    if !calls.violations.is_empty() {
        let end = match (policy.syscalls.on_violation, policy.syscalls.max_violations) {
            (OnViolation::Kill, _) | (_, 0) => "the first ends the box".to_owned(),
            (OnViolation::Refuse, most) => format!("EPERM, and after {most} of them the end of the box"),
        };
        line(out, format!("{} are violations, which are reported ({end}):", calls.violations.len()));
        names_in_lines(out, &calls.violations);
    }
    line(out, "every other call answers ENOSYS; the calls of another architecture end the box");
}

fn names_in_lines(out: &mut String, calls: &[u32]) {
    let names: Vec<String> = calls.iter().map(|nr| names::shown(*nr)).collect();
    for row in wording::rows(&names) {
        line(out, format!("  {row}"));
    }
}

fn used(policy: &Policy, out: &mut String) {
    out.push_str("\nuses\n");
    for limit in wording::limits(&policy.limits) {
        if limit.name != "on_output" {
            line(out, format!("{}: {}", limit.name, limit.text));
        }
    }
    line(
        out,
        match policy.limits.on_output {
            OnOutput::Kill => "more output than that ends the box",
            OnOutput::Cut => "more output than that is thrown away, and the box goes on",
        },
    );
    line(
        out,
        match policy.exec {
            Exec::LaunchOnly => "one program: no other is ever executed",
            Exec::Image => "the programs of the image",
        },
    );
    line(
        out,
        match policy.wx {
            Wx::Deny => "no memory that is asked for as writable and executable at once",
            Wx::Allow => "memory that is writable and executable at once, as just-in-time compilers need it",
        },
    );
}

fn stopped(policy: &Policy, out: &mut String) {
    out.push_str("\nwhat stops the rest\n");
    for layer in Layer::ALL {
        let may = if policy.degrade.contains(layer) { " (this policy runs without it)" } else { "" };
        line(out, format!("{:<13} {}{may}", layer.name(), layer.what()));
    }
}

/// The same for programs; the shape only ever grows.
#[must_use]
pub fn json(policy: &Policy) -> Value {
    let calls = Calls::of(policy);
    let named = |list: &[u32]| list.iter().map(|nr| names::shown(*nr)).collect::<Vec<_>>();
    let resolved: Value = serde_json::from_str(&policy.to_json()).unwrap_or(Value::Null);
    let sometimes: Vec<Value> = calls
        .sometimes
        .iter()
        .map(|nr| json!({ "call": names::shown(*nr), "number": nr, "words": wording::call(policy, *nr) }))
        .collect();
    let layers: Vec<Value> = Layer::ALL
        .iter()
        .map(
            |l| json!({ "layer": l.name(), "stops": l.what(), "may_be_missing": policy.degrade.contains(l) }),
        )
        .collect();
    let writes: Vec<&str> = policy.paths.iter().filter(|p| p.access.write).map(|p| p.at.as_str()).collect();
    json!({
        "schema": SCHEMA,
        "policy": { "name": policy.name, "comment": policy.comment, "digest": policy.digest },
        "sees": resolved["paths"],
        "environment": resolved["env"],
        "user": resolved["user"],
        "hostname": policy.hostname,
        "cwd": policy.cwd,
        "network": wording::network(policy.network),
        "writes": writes,
        "calls": {
            "always": named(&calls.always),
            "conditional": sometimes,
            "violations": named(&calls.violations),
            "otherwise": "ENOSYS",
            "on_violation": wording::on_violation(policy.syscalls.on_violation),
            "max_violations": policy.syscalls.max_violations,
        },
        "limits": resolved["limits"],
        "exec": wording::exec(policy.exec),
        "wx": wording::wx(policy.wx),
        "layers": layers,
    })
}

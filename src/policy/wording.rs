//! The parts of a policy in words.

use super::model::{
    Access, AllowRule, Condition, Exec, ImageSource, Limits, Network, OnOutput, OnViolation, Otherwise,
    PathSource, Policy, Stack, Test, Verify, ViolationRule, When, Word, Wx,
};
use super::names;
use super::units::{format_duration, format_size};

/// Values of one condition that are named; more are only counted.
const VALUES: usize = 24;

/// `a`, `a or b`, `a, b or c`.
pub(super) fn either(words: &[String], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., tail] => format!("{} {last} {tail}", head.join(", ")),
    }
}

/// Width of a row of names.
const WIDTH: usize = 96;

/// Names, separated by spaces, in rows.
pub(super) fn rows(names: &[String]) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for name in names {
        match rows.last_mut() {
            Some(row) if row.len() + 1 + name.len() <= WIDTH => {
                row.push(' ');
                row.push_str(name);
            }
            _ => rows.push(name.clone()),
        }
    }
    rows
}

/// What a call answers under a policy, `exec` and `wx` included.
pub(super) fn call(policy: &Policy, nr: u32) -> String {
    let name = names::name(nr).unwrap_or_default();
    let rules = &policy.syscalls;
    let mut parts: Vec<String> = Vec::new();
    for rule in rules.violations.iter().filter(|r| r.calls.contains(&nr)) {
        let (violation, done) = violation_words(nr, rule);
        parts.push(violation);
        if done {
            return parts.join("; ");
        }
    }
    if policy.exec == Exec::LaunchOnly && name == "execve" {
        parts.push("EACCES: no program but the payload is started".to_owned());
        return parts.join("; ");
    }
    let Some(rule) = rules.allow.iter().find(|r| r.calls.contains(&nr)) else {
        parts.push("ENOSYS".to_owned());
        return parts.join("; ");
    };
    if policy.wx == Wx::Deny && matches!(name, "mmap" | "mprotect" | "pkey_mprotect") {
        parts.push("EPERM for memory both writable and executable".to_owned());
    }
    parts.push(allow(nr, rule));
    parts.join("; ")
}

/// A violation in words, and whether it is one whatever the arguments.
fn violation_words(nr: u32, rule: &ViolationRule) -> (String, bool) {
    if rule.when.is_empty() {
        return ("a violation".to_owned(), true);
    }
    (format!("a violation when {}", all(nr, &rule.when)), false)
}

/// An allow rule, for one of its calls.
pub(super) fn allow(nr: u32, rule: &AllowRule) -> String {
    let otherwise = match rule.otherwise {
        Otherwise::Enosys => "otherwise ENOSYS",
        Otherwise::Eperm => "otherwise EPERM",
        Otherwise::Violation => "otherwise a violation",
    };
    match &rule.when {
        When::Always => "allowed".to_owned(),
        When::All(conditions) => format!("allowed when {}, {otherwise}", all(nr, conditions)),
        When::None(conditions) => format!("allowed unless {}, {otherwise}", any(nr, conditions)),
    }
}

/// Conditions that must all hold.
pub(super) fn all(nr: u32, conditions: &[Condition]) -> String {
    conditions.iter().map(|c| condition(nr, c)).collect::<Vec<_>>().join(" and ")
}

/// Conditions of which one is enough.
fn any(nr: u32, conditions: &[Condition]) -> String {
    conditions.iter().map(|c| condition(nr, c)).collect::<Vec<_>>().join(" or ")
}

fn condition(nr: u32, c: &Condition) -> String {
    let arg = c.arg.as_str();
    let values = |values: &[u64]| {
        let mut words: Vec<String> =
            values.iter().take(VALUES).map(|v| names::describe(nr, arg, *v)).collect();
        if let Some(more) = values.len().checked_sub(VALUES).filter(|n| *n > 0) {
            words.push(format!("one of {more} others"));
        }
        either(&words, "or")
    };
    match &c.test {
        Test::In(list) => format!("{arg} is {}", values(list)),
        Test::MaskedIn { mask, values: list } => {
            let whole = names::argument(nr, arg).is_some_and(|a| a.bits < 64 && *mask == (1 << a.bits) - 1);
            let what = if whole {
                arg.to_owned()
            } else {
                format!("{arg} & {}", names::describe_bits(nr, arg, *mask))
            };
            format!("{what} is {}", values(list))
        }
        Test::AnyBit(bits) => {
            let bits = names::describe_bits(nr, arg, *bits);
            let word = if bits.contains('|') { "has any of" } else { "has" };
            format!("{arg} {word} {bits}")
        }
    }
}

/// `read, write`.
pub(super) fn access(a: Access) -> String {
    let words = [("read", a.read), ("write", a.write), ("create", a.create), ("execute", a.execute)];
    words.into_iter().filter(|w| w.1).map(|w| w.0).collect::<Vec<_>>().join(", ")
}

/// What stands behind a path.
pub(super) fn source(source: &PathSource) -> String {
    match source {
        PathSource::Image => "the image".to_owned(),
        PathSource::Payload => "the payload".to_owned(),
        PathSource::Proc => "information on the box's own processes".to_owned(),
        PathSource::Devices(names) => format!("the devices {}", names.join(", ")),
        PathSource::Tmpfs { size, inodes } => {
            format!("an empty file system in memory of {} and {inodes} files", format_size(*size))
        }
        PathSource::Out { size, inodes } => format!(
            "an empty file system in memory of {} and {inodes} files, collected where --out asks for it",
            format_size(*size)
        ),
        PathSource::Work { size, inodes } => format!(
            "a file system in memory of {} and {inodes} files, with a copy of what --work names",
            format_size(*size)
        ),
    }
}

/// The name of what stands behind a path, as in a policy.
pub(super) const fn source_name(source: &PathSource) -> &'static str {
    match source {
        PathSource::Image => "image",
        PathSource::Payload => "payload",
        PathSource::Proc => "proc",
        PathSource::Devices(_) => "devices",
        PathSource::Tmpfs { .. } => "tmpfs",
        PathSource::Out { .. } => "out",
        PathSource::Work { .. } => "work",
    }
}

pub(super) const fn network(network: Network) -> &'static str {
    match network {
        Network::None => "none",
        Network::Loopback => "loopback",
    }
}

pub(super) const fn exec(exec: Exec) -> &'static str {
    match exec {
        Exec::LaunchOnly => "launch-only",
        Exec::Image => "image",
    }
}

pub(super) const fn wx(wx: Wx) -> &'static str {
    match wx {
        Wx::Deny => "deny",
        Wx::Allow => "allow",
    }
}

pub(super) const fn on_violation(on: OnViolation) -> &'static str {
    match on {
        OnViolation::Refuse => "refuse",
        OnViolation::Kill => "kill",
    }
}

/// Where the root comes from, and how closely it is looked at: two that differ in
/// either have different words.
pub(super) fn image(image: &ImageSource, verify: Verify) -> String {
    let pinned = |id: &Option<String>| id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
    let source = match image {
        ImageSource::PayloadClosure => "what the payload is linked with".to_owned(),
        ImageSource::Named { name, id } => format!("the image {name}{}", pinned(id)),
        ImageSource::Id(id) => format!("the image {id}"),
        ImageSource::Recipe { recipe, program, id } => {
            format!("what the recipe {recipe} makes of {program}{}", pinned(id))
        }
    };
    match verify {
        Verify::Stamp => source,
        Verify::Stat => format!("{source}, every file's attributes compared"),
        Verify::Full => format!("{source}, every byte compared"),
    }
}

pub(super) fn word(word: &Word) -> String {
    match word {
        Word::Literal(text) => text.clone(),
        Word::Payload => "{payload}".to_owned(),
        Word::Args => "{args}".to_owned(),
        Word::Given => "{given}".to_owned(),
    }
}

/// One limit: its name, what it is worth when two are compared, and its text.
pub(super) struct LimitWords {
    pub(super) name: &'static str,
    pub(super) worth: u64,
    pub(super) text: String,
}

/// Every limit, in the order in which they are documented.
pub(super) fn limits(l: &Limits) -> Vec<LimitWords> {
    let limit = |name, worth: u64, text: String| LimitWords { name, worth, text };
    let time = |name, ns: u64| limit(name, ns, format_duration(ns));
    let size = |name, bytes: u64| limit(name, bytes, format_size(bytes));
    let count = |name, n: u32| limit(name, u64::from(n), n.to_string());
    let (stack, stack_text) = match l.stack {
        Stack::Memory => (l.memory, "memory".to_owned()),
        Stack::Bytes(bytes) => (bytes, format_size(bytes)),
    };
    let (on_output, on_output_text) = match l.on_output {
        OnOutput::Kill => (0, "kill"),
        OnOutput::Cut => (1, "cut"),
    };
    vec![
        time("cpu_time", l.cpu_ns),
        time("wall_time", l.wall_ns),
        size("memory", l.memory),
        count("processes", l.processes),
        count("open_files", l.open_files),
        size("file_size", l.file_size),
        size("output", l.output),
        limit("on_output", on_output, on_output_text.to_owned()),
        limit("stack", stack, stack_text),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(policy: &str, name: &str) -> String {
        let policy = super::super::load_builtin(policy).unwrap();
        call(&policy, names::number(name).unwrap())
    }

    #[test]
    fn call_of_the_shipped_policies_is_said_as_they_mean_it() {
        assert_eq!(said("native", "read"), "allowed");
        assert_eq!(said("native", "flock"), "ENOSYS");
        assert_eq!(said("native", "ptrace"), "a violation");
        assert_eq!(said("native", "execve"), "EACCES: no program but the payload is started");
        assert_eq!(said("native", "open"), "allowed unless mode has 06000, otherwise EPERM");
        assert_eq!(said("native", "prlimit64"), "allowed when pid is 0, otherwise EPERM");
        assert_eq!(said("native", "mprotect"), "EPERM for memory both writable and executable; allowed");
        assert_eq!(
            said("native", "mmap"),
            "EPERM for memory both writable and executable; allowed unless flags has MAP_HUGETLB, otherwise EPERM"
        );
        assert_eq!(
            said("native", "ioctl"),
            "a violation when request is TIOCSTI or TIOCLINUX; allowed when request is TCGETS, TIOCGWINSZ, \
             FIONREAD, FIONBIO, FIOCLEX or FIONCLEX, otherwise EPERM"
        );
        assert_eq!(said("strict", "clone"), "a violation");
    }
}

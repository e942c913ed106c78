//! Two policies: in what the second allows more, less or something else than the
//! first.
//!
//! Guarantees: by meaning, not by text; for calls exact, over every value of
//! every argument. What is not listed is the same for a payload: only the name
//! and the comments of a policy are not looked at.

use super::model::{Access, PathEntry, PathSource, Policy};
use super::wording;
use super::{Subject, names};
use crate::Layer;
use crate::sandbox::seccomp::{self, Answer, Case, Rules};

/// What the second does to what the first allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It allows more.
    More,
    /// It allows less.
    Less,
    /// It allows more in one way and less in another.
    Both,
    /// It is different without allowing more or less.
    Other,
}

impl Direction {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Direction::More => "more",
            Direction::Less => "less",
            Direction::Both => "both",
            Direction::Other => "other",
        }
    }

    fn of(more: bool, less: bool) -> Self {
        match (more, less) {
            (true, true) => Direction::Both,
            (true, false) => Direction::More,
            (false, true) => Direction::Less,
            (false, false) => Direction::Other,
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub subject: Subject,
    /// How the second compares with the first.
    pub direction: Direction,
    /// The first, in words.
    pub first: String,
    /// The second, in words.
    pub second: String,
    /// Of a call: every pair of answers that differ.
    pub cases: Vec<Case>,
    /// Of a call: whether it has so many cases that nothing could be shown.
    pub unknown: bool,
}

impl Difference {
    fn new(
        subject: Subject,
        direction: Direction,
        first: impl Into<String>,
        second: impl Into<String>,
    ) -> Self {
        let (first, second) = (first.into(), second.into());
        Self { subject, direction, first, second, cases: Vec::new(), unknown: false }
    }

    /// Whether the second allows something here that the first does not.
    #[must_use]
    pub fn allows_more(&self) -> bool {
        matches!(self.direction, Direction::More | Direction::Both)
    }
}

/// Every difference, in the order in which a policy is read.
#[must_use]
pub fn differences(first: &Policy, second: &Policy) -> Vec<Difference> {
    let mut found = Vec::new();
    fields(first, second, &mut found);
    variables(first, second, &mut found);
    paths(first, second, &mut found);
    calls(first, second, &mut found);
    limits(first, second, &mut found);
    layers(first, second, &mut found);
    found
}

/// Single words.
fn fields(a: &Policy, b: &Policy, found: &mut Vec<Difference>) {
    let mut field = |name, direction, first: String, second: String| {
        if first != second {
            found.push(Difference::new(Subject::Field(name), direction, first, second));
        }
    };
    let words = |words: &[super::model::Word]| words.iter().map(wording::word).collect::<Vec<_>>().join(" ");
    let payload = |p: &Policy| {
        format!("{}, {}", p.payload.path, if p.payload.executable { "a program" } else { "data" })
    };
    let ordered = |a: u64, b: u64| Direction::of(b > a, b < a);
    let other = Direction::Other;
    field("image", other, wording::image(&a.image, a.verify), wording::image(&b.image, b.verify));
    let executable = ordered(a.payload.executable.into(), b.payload.executable.into());
    field("payload", executable, payload(a), payload(b));
    field("command", other, words(&a.command), words(&b.command));
    let argv0 = |p: &Policy| p.argv0.as_ref().map_or_else(|| "as in command".to_owned(), wording::word);
    field("argv0", other, argv0(a), argv0(b));
    field("user.uid", other, a.user.uid.to_string(), b.user.uid.to_string());
    field("user.gid", other, a.user.gid.to_string(), b.user.gid.to_string());
    field("hostname", other, a.hostname.clone(), b.hostname.clone());
    field("cwd", other, a.cwd.clone(), b.cwd.clone());
    let network = ordered(a.network as u64, b.network as u64);
    field("network", network, wording::network(a.network).into(), wording::network(b.network).into());
    // The less a policy demands, the more it runs without.
    let abi = ordered(b.landlock_min_abi.into(), a.landlock_min_abi.into());
    let at_least = |p: &Policy| format!("ABI {} at least", p.landlock_min_abi);
    field("landlock", abi, at_least(a), at_least(b));
    let exec = ordered(a.exec as u64, b.exec as u64);
    field("exec", exec, wording::exec(a.exec).into(), wording::exec(b.exec).into());
    let wx = ordered(a.wx as u64, b.wx as u64);
    field("wx", wx, wording::wx(a.wx).into(), wording::wx(b.wx).into());
    let (on_a, on_b) = (a.syscalls.on_violation, b.syscalls.on_violation);
    let on = ordered(on_b as u64, on_a as u64);
    field("on_violation", on, wording::on_violation(on_a).into(), wording::on_violation(on_b).into());
    let (most_a, most_b) = (a.syscalls.max_violations, b.syscalls.max_violations);
    field("max_violations", ordered(most_a.into(), most_b.into()), most_a.to_string(), most_b.to_string());
}

fn variables(a: &Policy, b: &Policy, found: &mut Vec<Difference>) {
    let names: std::collections::BTreeSet<&String> = a.env.keys().chain(b.env.keys()).collect();
    for name in names {
        let (first, second) = (a.env.get(name), b.env.get(name));
        let direction = match (first, second) {
            (None, Some(_)) => Direction::More,
            (Some(_), None) => Direction::Less,
            (first, second) if first == second => continue,
            _ => Direction::Other,
        };
        let words = |value: Option<&String>| value.map_or_else(|| "not set".to_owned(), |v| format!("{v:?}"));
        found.push(Difference::new(Subject::Variable(name.clone()), direction, words(first), words(second)));
    }
}

fn paths(a: &Policy, b: &Policy, found: &mut Vec<Difference>) {
    let at = |p: &Policy, at: &str| p.paths.iter().find(|e| e.at == at).cloned();
    let mut places: Vec<&String> = a.paths.iter().chain(&b.paths).map(|p| &p.at).collect();
    places.sort();
    places.dedup();
    for place in places {
        let (first, second) = (at(a, place), at(b, place));
        let words =
            |entry: &Option<PathEntry>| entry.as_ref().map_or_else(|| "not there".to_owned(), path_words);
        let direction = match (&first, &second) {
            (None, _) => Direction::More,
            (_, None) => Direction::Less,
            (Some(x), Some(y)) => match path_direction(x, y) {
                Some(direction) => direction,
                None => continue,
            },
        };
        found.push(Difference::new(Subject::Path(place.clone()), direction, words(&first), words(&second)));
    }
}

fn path_words(entry: &PathEntry) -> String {
    let optional = if entry.optional { ", where the host gives it" } else { "" };
    format!("{}: {}{optional}", wording::source(&entry.from), wording::access(entry.access))
}

/// How two entries at one place compare; nothing if they are the same.
fn path_direction(a: &PathEntry, b: &PathEntry) -> Option<Direction> {
    if wording::source_name(&a.from) != wording::source_name(&b.from) {
        return Some(Direction::Both);
    }
    let bits = |a: Access| [a.read, a.write, a.create, a.execute];
    let access: Vec<(bool, bool)> = bits(a.access).into_iter().zip(bits(b.access)).collect();
    let mut more = access.iter().any(|(x, y)| !x & y);
    let mut less = access.iter().any(|(x, y)| x & !y);
    if let (PathSource::Devices(x), PathSource::Devices(y)) = (&a.from, &b.from) {
        more |= y.iter().any(|d| !x.contains(d));
        less |= x.iter().any(|d| !y.contains(d));
    }
    if let (Some((s, i)), Some((t, j))) = (a.from.memory(), b.from.memory()) {
        more |= t > s || j > i;
        less |= t < s || j < i;
    }
    let same = !more && !less && a.optional == b.optional;
    (!same).then(|| Direction::of(more, less))
}

/// Calls that one of the two names; `ENOSYS` to both is what all others are.
fn calls(a: &Policy, b: &Policy, found: &mut Vec<Difference>) {
    let mut named: Vec<u32> = [a, b].into_iter().flat_map(named_calls).collect();
    named.sort_unstable();
    named.dedup();
    named.sort_by_key(|nr| names::shown(*nr));
    let (first, second) = (Rules::of(a, &seccomp::table), Rules::of(b, &seccomp::table));
    for nr in named {
        let words = || (wording::call(a, nr), wording::call(b, nr));
        let Ok(cases) = seccomp::compare(&first, &second, nr) else {
            let (x, y) = words();
            let difference = Difference::new(Subject::Call(nr), Direction::Both, x, y);
            found.push(Difference { unknown: true, ..difference });
            continue;
        };
        let cases: Vec<Case> = cases.into_iter().filter(|c| c.first != c.second).collect();
        if cases.is_empty() {
            continue;
        }
        let more = cases.iter().any(|c| c.second == Answer::Allow);
        let less = cases.iter().any(|c| c.first == Answer::Allow);
        let (x, y) = words();
        let difference = Difference::new(Subject::Call(nr), Direction::of(more, less), x, y);
        found.push(Difference { cases, ..difference });
    }
}

/// Every call that a policy names, `execve` included.
pub(super) fn named_calls(policy: &Policy) -> Vec<u32> {
    let allow = policy.syscalls.allow.iter().flat_map(|r| &r.calls);
    let violations = policy.syscalls.violations.iter().flat_map(|r| &r.calls);
    allow.chain(violations).copied().chain(names::number("execve")).collect()
}

fn limits(a: &Policy, b: &Policy, found: &mut Vec<Difference>) {
    for (x, y) in wording::limits(&a.limits).into_iter().zip(wording::limits(&b.limits)) {
        // A stack that is as large as memory differs by what memory says.
        if x.worth != y.worth && x.text != y.text {
            let direction = Direction::of(y.worth > x.worth, y.worth < x.worth);
            found.push(Difference::new(Subject::Limit(x.name), direction, x.text, y.text));
        }
    }
}

fn layers(a: &Policy, b: &Policy, found: &mut Vec<Difference>) {
    for layer in Layer::ALL {
        let (x, y) = (a.degrade.contains(layer), b.degrade.contains(layer));
        if x != y {
            let words = |may: bool| if may { "may be missing" } else { "required" };
            let direction = Direction::of(y, x);
            found.push(Difference::new(Subject::Degrade(*layer), direction, words(x), words(y)));
        }
    }
}

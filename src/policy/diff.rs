//! What one policy allows that another does not: for people, and as JSON.

use serde_json::{Value, json};

use super::compare::{Difference, Direction, differences};
use super::model::Policy;
use super::{Subject, names};
use crate::sandbox::seccomp::{Answer, Case, ENOSYS, EPERM};

/// Name and version of the JSON.
pub const SCHEMA: &str = "stockade.diff/1";

/// A comparison of two policies.
#[derive(Debug)]
pub struct Diff<'a> {
    first: &'a Policy,
    second: &'a Policy,
    differences: Vec<Difference>,
}

impl<'a> Diff<'a> {
    /// Compares two policies.
    #[must_use]
    pub fn new(first: &'a Policy, second: &'a Policy) -> Self {
        Self { first, second, differences: differences(first, second) }
    }

    /// Whether a payload could not tell one from the other.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty()
    }

    /// In words.
    #[must_use]
    pub fn text(&self) -> String {
        let (a, b) = (name_of(self.first, self.second), name_of(self.second, self.first));
        if self.is_empty() {
            return format!("{a} and {b} allow the same\n");
        }
        let mut out = String::new();
        let groups = [
            (Direction::More, format!("{b} allows, and {a} does not")),
            (Direction::Less, format!("{a} allows, and {b} does not")),
            (Direction::Both, "each allows something that the other does not".to_owned()),
            (Direction::Other, "different, without allowing more or less".to_owned()),
        ];
        for (direction, title) in groups {
            let mut list = self.differences.iter().filter(|d| d.direction == direction).peekable();
            if list.peek().is_none() {
                continue;
            }
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&title);
            out.push('\n');
            let list: Vec<&Difference> = list.collect();
            for alike in list.chunk_by(|x, y| both_plain(x, y)) {
                entry(alike, &a, &b, &mut out);
            }
        }
        out
    }

    /// For programs; the shape only ever grows.
    #[must_use]
    pub fn json(&self) -> Value {
        let policy = |p: &Policy| json!({ "name": p.name, "digest": p.digest });
        let list: Vec<Value> = self.differences.iter().map(difference_json).collect();
        json!({
            "schema": SCHEMA,
            "a": policy(self.first),
            "b": policy(self.second),
            "same": self.is_empty(),
            "differences": list,
        })
    }
}

/// Its name; with the beginning of its digest where the other has the same.
fn name_of(policy: &Policy, other: &Policy) -> String {
    if policy.name != other.name {
        return policy.name.clone();
    }
    let digest = policy.digest.trim_start_matches("sha256:");
    format!("{}@{}", policy.name, digest.get(..12).unwrap_or(digest))
}

/// Whether two are calls about which the same is said, so that once is enough.
fn both_plain(x: &Difference, y: &Difference) -> bool {
    let call = |d: &Difference| matches!(d.subject, Subject::Call(_)) && example(d).is_none() && !d.unknown;
    call(x) && call(y) && (&x.first, &x.second) == (&y.first, &y.second)
}

/// Calls about which the same is said, or any other one difference.
fn entry(alike: &[&Difference], a: &str, b: &str, out: &mut String) {
    let names: Vec<String> = alike.iter().map(|d| subject(d)).collect();
    let Some(d) = alike.first() else { return };
    for row in super::wording::rows(&names) {
        out.push_str(&format!("  {row}\n"));
    }
    out.push_str(&format!("      {a}: {}\n      {b}: {}\n", d.first, d.second));
    if d.unknown {
        out.push_str("      too many cases to compare\n");
    }
    if let Some(example) = example(d) {
        out.push_str(&format!("      {example}\n"));
    }
}

fn subject(d: &Difference) -> String {
    match &d.subject {
        Subject::Call(nr) => names::shown(*nr),
        Subject::Path(path) => path.clone(),
        Subject::Limit(name) | Subject::Field(name) => (*name).to_owned(),
        Subject::Variable(name) => format!("${name}"),
        Subject::Degrade(layer) => format!("degrade {layer}"),
    }
}

/// A call that shows the difference, where the arguments decide.
fn example(d: &Difference) -> Option<String> {
    let Subject::Call(nr) = d.subject else { return None };
    let decides =
        |words: &str| words.contains("when ") || words.contains("unless ") || words.contains("EPERM for");
    if d.unknown || !(decides(&d.first) || decides(&d.second)) {
        return None;
    }
    let case = telling(&d.cases)?;
    let call = names::describe_call(nr, &case.example.args);
    Some(format!("{call}: {} / {}", answer(case.first), answer(case.second)))
}

/// The case that shows most: one that only one of them allows.
fn telling(cases: &[Case]) -> Option<&Case> {
    cases
        .iter()
        .find(|c| c.second == Answer::Allow)
        .or_else(|| cases.iter().find(|c| c.first == Answer::Allow))
        .or(cases.first())
}

/// An answer in a word.
pub(super) fn answer(answer: Answer) -> String {
    match answer {
        Answer::Allow => "allowed".to_owned(),
        Answer::Errno(ENOSYS) => "ENOSYS".to_owned(),
        Answer::Errno(EPERM) => "EPERM".to_owned(),
        Answer::Errno(errno) => format!("{:?}", nix::errno::Errno::from_raw(i32::from(errno))),
        Answer::Notify => "violation".to_owned(),
        Answer::Kill => "killed".to_owned(),
    }
}

fn difference_json(d: &Difference) -> Value {
    let (kind, name) = match &d.subject {
        Subject::Call(nr) => ("call", names::shown(*nr)),
        Subject::Path(path) => ("path", path.clone()),
        Subject::Limit(name) => ("limit", (*name).to_owned()),
        Subject::Field(name) => ("field", (*name).to_owned()),
        Subject::Variable(name) => ("variable", name.clone()),
        Subject::Degrade(layer) => ("degrade", layer.name().to_owned()),
    };
    let mut value = json!({
        "kind": kind, "name": name, "b_allows": d.direction.name(), "a": d.first, "b": d.second,
    });
    if let Subject::Call(_) = d.subject {
        let case = |c: &Case| {
            json!({
                "a": answer(c.first),
                "b": answer(c.second),
                "example": c.example.args.map(|a| format!("{a:#x}")),
            })
        };
        value["cases"] = d.cases.iter().map(case).collect();
        value["complete"] = Value::Bool(!d.unknown);
    }
    value
}

//! Where a policy goes beyond, or says again, what the one it extends says.

use super::super::compare::{Difference, differences};
use super::super::read::LIMIT_FIELDS;
use super::super::{Located, Subject, builtin_text, shipped};
use super::{Linted, comment_of, mentions, own};

/// Compares a policy with the one it extends.
pub(super) fn lint(linted: &mut Linted<'_>) {
    let Some(name) = linted.document.extends.good().cloned() else { return };
    let Some(text) = builtin_text(&name) else { return };
    // What ships is good: a test holds it to that.
    let Ok(parent) = Located::to_be_linted(&shipped(&name), text.as_bytes()) else { return };
    let differences = differences(&parent.policy, linted.policy);
    for difference in differences.iter().filter(|d| d.allows_more()) {
        broader(linted, &name, difference);
    }
    for subject in single_values() {
        // What is only there to be extended has a command of the lint's own making.
        let made_up = linted.document.open;
        let span = linted.document.place(&subject).filter(|s| own(*s) && *s != made_up);
        let Some(span) = span else { continue };
        let given_before = parent.document.place(&subject).is_some();
        if given_before && differences.iter().all(|d| d.subject != subject) {
            let message = format!("{} says what `{name}` says already", subject.words());
            linted.warn("redundant", span, message, "leave it out, so that what differs is seen");
        }
    }
}

/// A single value that allows more than the extended policy's. Rules and paths
/// have comments of their own, which the parser demands.
fn broader(linted: &mut Linted<'_>, parent: &str, d: &Difference) {
    let Some(span) = linted.document.place(&d.subject).filter(|s| own(*s)) else { return };
    let own_comment = |field| comment_of(linted.text, Some(field));
    let top = |word: &str| comment_of(linted.text, None).filter(|c| mentions(c, word));
    let (said, how) = match &d.subject {
        Subject::Limit(name) => (
            own_comment("limits").or_else(|| top(name)).is_some(),
            "give `limits` a `comment` that says who needs it".to_owned(),
        ),
        Subject::Field(name @ ("network" | "landlock")) => (
            own_comment(name).or_else(|| top(name)).is_some(),
            format!("give `{name}` a `comment` that says who needs it"),
        ),
        Subject::Field(name) => {
            (top(name).is_some(), format!("name `{name}` in the policy's `comment`, and who needs it"))
        }
        // Said by the rule, the path, or the lint of `degrade`.
        _ => return,
    };
    if !said {
        let message = format!("{} is broader than in `{parent}`, and no comment says why", d.subject.words());
        let help = format!("there: {}; here: {}; {how}", d.first, d.second);
        linted.warn("broader", span, message, help);
    }
}

fn single_values() -> Vec<Subject> {
    let fields = [
        "user.uid",
        "user.gid",
        "hostname",
        "cwd",
        "network",
        "landlock",
        "exec",
        "wx",
        "on_violation",
        "max_violations",
        "argv0",
        "command",
    ];
    let limits = LIMIT_FIELDS.iter().copied().filter(|name| *name != "comment");
    fields.into_iter().map(Subject::Field).chain(limits.map(Subject::Limit)).collect()
}

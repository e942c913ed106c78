//! Rules and conditions that decide nothing, shown exactly: the policy is
//! compared with itself without them.

use super::super::model::{Exec, Policy, Syscalls, When, Wx};
use super::super::names;
use super::super::source::Span;
use super::{Linted, own};
use crate::sandbox::seccomp::{self, Answer, Case, Rules};

/// Looks for what could be left out.
pub(super) fn lint(linted: &mut Linted<'_>) {
    violations(linted);
    allow(linted);
}

/// Pairs of answers of two policies to a call; none where they cannot be told.
fn compare(a: &Policy, b: &Policy, nr: u32) -> Option<Vec<Case>> {
    seccomp::compare(&Rules::of(a, &seccomp::table), &Rules::of(b, &seccomp::table), nr).ok()
}

fn same(a: &Policy, b: &Policy, nr: u32) -> bool {
    compare(a, b, nr).is_some_and(|cases| cases.iter().all(|c| c.first == c.second))
}

/// Violations that an earlier rule, or the absence of the call, leaves nothing to.
fn violations(linted: &mut Linted<'_>) {
    let policy = linted.policy.clone();
    let raw: Vec<Vec<(u32, Span)>> = linted
        .document
        .violations
        .good()
        .into_iter()
        .flatten()
        .map(|r| r.calls.iter().map(|c| (c.value, c.span)).collect())
        .collect();
    for (at, calls) in raw.iter().enumerate() {
        for (nr, span) in calls.iter().copied().filter(|c| own(c.1)) {
            let mut without = policy.clone();
            if let Some(rule) = without.syscalls.violations.get_mut(at) {
                rule.calls.retain(|c| *c != nr);
            }
            if same(&policy, &without, nr) {
                let name = names::shown(nr);
                let message = format!("this rule never applies to `{name}`");
                linted.warn(
                    "unreachable",
                    span,
                    message,
                    "another rule of `violations` comes before: leave one out",
                );
            }
        }
    }
}

/// Conditions that always hold, never hold, or add nothing to the others.
fn allow(linted: &mut Linted<'_>) {
    for (raw, rule) in linted.own_rules() {
        // The rule alone: what others say about the call is theirs.
        let alone = |when: When| -> Policy {
            let allow = vec![super::super::model::AllowRule { when, ..rule.clone() }];
            let syscalls = Syscalls { allow, violations: Vec::new(), ..linted.policy.syscalls.clone() };
            Policy { syscalls, exec: Exec::Image, wx: Wx::Allow, ..linted.policy.clone() }
        };
        let own_meaning = alone(rule.when.clone());
        let mut found: Vec<(Span, &'static str, String, &'static str)> = Vec::new();
        for call in &raw.calls {
            let name = names::shown(call.value);
            if rule.when == When::Always {
                continue;
            }
            let Some(cases) = compare(&own_meaning, &own_meaning, call.value) else { continue };
            let allowed = cases.iter().filter(|c| c.first == Answer::Allow).count();
            if allowed == 0 {
                let message = format!("`{name}` is never allowed: the conditions cannot hold together");
                found.push((
                    call.span,
                    "unreachable",
                    message,
                    "leave the call out, or correct its conditions",
                ));
            } else if allowed == cases.len() {
                let message = format!("the condition on `{name}` always holds");
                found.push((call.span, "redundant", message, "leave it out, or correct it"));
            } else if one_too_many(&rule.when, &|when| same(&own_meaning, &alone(when), call.value)) {
                let message = format!("one of the conditions on `{name}` adds nothing to the others");
                found.push((call.span, "redundant", message, "leave it out, or correct it"));
            }
        }
        for (span, code, message, help) in found {
            linted.warn(code, span, message, help);
        }
    }
}

/// Whether the rule means the same without one of its conditions.
fn one_too_many(when: &When, same: &dyn Fn(When) -> bool) -> bool {
    let (conditions, all) = match when {
        When::Always => return false,
        When::All(conditions) => (conditions, true),
        When::None(conditions) => (conditions, false),
    };
    conditions.len() > 1
        && (0..conditions.len()).any(|i| {
            let mut fewer = conditions.clone();
            fewer.remove(i);
            same(if all { When::All(fewer) } else { When::None(fewer) })
        })
}

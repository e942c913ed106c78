//! What the rules say about each other, and about the launcher's own needs.

use super::super::demands::{Demand, demands};
use super::super::findings::{Collector, Finding};
use super::super::model::{AllowRule, Exec, ViolationRule, When, Wx};
use super::super::names;
use super::super::read::{Document, RawAllow, RawViolation};
use super::super::source::{Span, Spanned};

/// The calls that the launcher makes under the filter, before `execve`.
const LAUNCHER: &[&str] = &["read", "write"];

/// Where each call is listed: sorted by number.
#[derive(Default)]
struct Places(Vec<(u32, Span)>);

impl Places {
    fn get(&self, call: u32) -> Option<Span> {
        let index = self.0.binary_search_by_key(&call, |p| p.0).ok()?;
        self.0.get(index).map(|p| p.1)
    }
}

/// The rules. `None` for a list of which one rule is not good.
pub(super) fn check(
    document: &Document,
    collector: &mut Collector,
) -> (Option<Vec<AllowRule>>, Option<Vec<ViolationRule>>) {
    let none = Vec::new();
    let raw_allow = document.allow.good().unwrap_or(&none);
    let nothing = Vec::new();
    let raw_violations = document.violations.good().unwrap_or(&nothing);
    let allow: Option<Vec<AllowRule>> = raw_allow.iter().map(allow_rule).collect();
    let violations: Option<Vec<ViolationRule>> = raw_violations.iter().map(violation_rule).collect();

    let allowed = places(raw_allow.iter().map(|r| r.calls.as_slice()), "allow", collector);
    let refused = places(raw_violations.iter().map(|r| r.calls.as_slice()), "violations", collector);
    both(raw_violations, &allowed, collector);
    launcher(document, raw_allow, &allowed, &refused, collector);
    programs(document, &allowed, &refused, collector);
    // What is not known demands least, so that nothing is said in vain.
    let exec = document.exec.good().copied().unwrap_or(Exec::LaunchOnly);
    let wx = document.wx.good().copied().unwrap_or(Wx::Allow);
    let known: Vec<ViolationRule> = raw_violations.iter().filter_map(violation_rule).collect();
    for rule in raw_allow {
        judge(rule, (exec, wx), &known, collector);
    }
    (allow, violations)
}

fn allow_rule(raw: &RawAllow) -> Option<AllowRule> {
    Some(AllowRule {
        calls: raw.calls.iter().map(|c| c.value).collect(),
        when: raw.when.clone()?,
        otherwise: raw.otherwise,
        comment: raw.comment.clone()?,
    })
}

fn violation_rule(raw: &RawViolation) -> Option<ViolationRule> {
    Some(ViolationRule {
        calls: raw.calls.iter().map(|c| c.value).collect(),
        when: raw.when.clone()?,
        comment: raw.comment.clone()?,
    })
}

/// Where each call is listed; a call in two rules is a finding.
fn places<'a>(
    rules: impl Iterator<Item = &'a [Spanned<u32>]>,
    list: &str,
    collector: &mut Collector,
) -> Places {
    let mut places: Vec<(u32, Span)> = rules.flatten().map(|c| (c.value, c.span)).collect();
    // By number, then by text: what is extended has the higher source, and
    // is the first.
    places.sort_by_key(|p| (p.0, std::cmp::Reverse(p.1.source), p.1.start()));
    for pair in places.windows(2) {
        let [(call, first), (other, second)] = [pair[0], pair[1]];
        if call != other {
            continue;
        }
        let message = format!("`{}` is in two rules of `{list}`", names::shown(call));
        let finding = Finding::at(second, message).note(first, "the other is here");
        collector.say(if first.source == second.source {
            finding.help("one rule says all there is to say about a call")
        } else {
            let parent = collector.source_name(first.source).to_owned();
            finding.help(format!("`extends` adds, and this is already in {parent}: leave it out"))
        });
    }
    places.dedup_by_key(|p| p.0);
    Places(places)
}

/// Calls that are always a violation, and allowed as well.
fn both(violations: &[RawViolation], allowed: &Places, collector: &mut Collector) {
    for rule in violations.iter().filter(|r| r.when.as_ref().is_some_and(Vec::is_empty)) {
        for call in &rule.calls {
            let Some(other) = allowed.get(call.value) else { continue };
            // The policy's own text first, then that of what it extends.
            let (place, note) =
                if other.source < call.span.source { (other, call.span) } else { (call.span, other) };
            let message = format!("`{}` is allowed and always a violation", names::shown(call.value));
            let finding = Finding::at(place, message).note(note, "the other rule is here");
            collector.say(
                finding.help("a violation wins; a rule of `violations` for an allowed call needs an `if`"),
            );
        }
    }
}

/// The launcher's last handshake runs under the filter.
fn launcher(
    document: &Document,
    allow: &[RawAllow],
    allowed: &Places,
    refused: &Places,
    collector: &mut Collector,
) {
    let help =
        "the launcher's last messages run under the filter: allow `read` and `write` without a condition";
    let list = document.allow.spanned();
    for name in LAUNCHER {
        let Some(number) = names::number(name) else { continue };
        if let Some(place) = refused.get(number) {
            collector.say(Finding::at(place, format!("`{name}` cannot be a violation")).help(help));
        }
        match (allowed.get(number), list) {
            // A rule that is not good might be the one that is missed.
            (None, Some(list)) if allow.iter().all(|r| r.when.is_some()) => {
                collector.say(Finding::at(list.span, format!("no rule allows `{name}`")).help(help));
            }
            (Some(place), _) => {
                let rule = allow.iter().find(|r| r.calls.iter().any(|c| c.value == number));
                if rule.and_then(|r| r.when.as_ref()).is_some_and(|w| *w != When::Always) {
                    let message = format!("`{name}` must be allowed without a condition");
                    collector.say(Finding::at(place, message).help(help));
                }
            }
            _ => {}
        }
    }
}

/// `exec` and `execve` must say the same.
fn programs(document: &Document, allowed: &Places, refused: &Places, collector: &mut Collector) {
    let Some(execve) = names::number("execve") else { return };
    if let Some(place) = refused.get(execve) {
        let finding = Finding::at(place, "`execve` cannot be a violation");
        collector.say(finding.help(
            "the launcher starts the program with it, under the filter; `\"exec\": \"launch-only\"` refuses all others",
        ));
    }
    let Some(exec) = document.exec.spanned() else { return };
    match (exec.value, allowed.get(execve)) {
        (Exec::LaunchOnly, Some(place)) => {
            let finding = Finding::at(place, "`execve` is allowed, but `exec` is `launch-only`");
            let help = "leave `execve` out, or say `\"exec\": \"image\"` to let the payload run the image's programs";
            collector.say(finding.note(exec.span, "`exec` is here").help(help));
        }
        (Exec::Image, None) if document.allow.good().is_some() => {
            let finding = Finding::at(exec.span, "`exec` is `image`, but no rule allows `execve`");
            collector.say(finding.help("allow `execve`, or say `launch-only`"));
        }
        _ => {}
    }
}

/// What is demanded of the calls of a rule.
fn judge(rule: &RawAllow, (exec, wx): (Exec, Wx), violations: &[ViolationRule], collector: &mut Collector) {
    for call in &rule.calls {
        for reason in demands(call.value, exec, wx) {
            let name = names::shown(call.value);
            if let Demand::Never = reason.demand {
                let finding = Finding::at(call.span, format!("`{name}` cannot be allowed"));
                collector.say(finding.help(reason.why));
                continue;
            }
            // Without its conditions, a rule cannot be judged.
            let Some(when) = &rule.when else { continue };
            if !reason.demand.holds(call.value, when, violations) {
                let written = reason.demand.written().unwrap_or_default();
                let finding = Finding::at(call.span, format!("`{name}` needs another condition"));
                collector.say(finding.help(format!("{}; write {written}", reason.why)));
            }
        }
    }
}

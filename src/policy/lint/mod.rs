//! What is not wrong with a policy, and still deserves a look.
//!
//! A finding here is a warning with a code. What is meant is said in a comment,
//! which answers the warning: a comment that names the call, the layer or the
//! field. Only a policy's own text is looked at, not what it extends.

mod ceilings;
mod dangers;
mod dead;
mod synonyms;
mod wider;

use std::collections::BTreeSet;

use jsonc_parser::ast::{Object, Value};

use super::findings::{Collector, Finding, Findings};
use super::model::{AllowRule, Policy, Stack, When, Wx};
use super::read::{Document, RawAllow};
use super::source::Span;
use super::{Ceiling, Located, json, names};

/// What a lint looks at.
struct Linted<'a> {
    policy: &'a Policy,
    document: &'a Document,
    text: &'a Value<'a>,
    found: Collector,
}

/// Warnings about a policy or a ceiling; nothing if there are none.
///
/// # Errors
/// It is broken: the findings of [`super::check`].
pub fn lint(display_name: &str, text: &[u8]) -> Result<Option<Findings>, Findings> {
    super::check(display_name, text)?;
    let (located, ceiling) = if super::is_ceiling(text) {
        let ceiling = Ceiling::parse(display_name, text)?;
        (ceiling.located().clone(), Some(ceiling))
    } else {
        (Located::to_be_linted(display_name, text)?, None)
    };
    // Both have just been read without a finding.
    let Some(value) = json::decode(text).ok().and_then(|t| json::parse(t).ok()) else { return Ok(None) };
    let mut linted = Linted {
        policy: &located.policy,
        document: &located.document,
        text: &value,
        found: located.collector(),
    };
    linted.dangers();
    linted.synonyms();
    linted.around_wx();
    linted.unreachable_limits();
    linted.degrade();
    dead::lint(&mut linted);
    wider::lint(&mut linted);
    if let Some(ceiling) = &ceiling {
        ceilings::lint(&mut linted, ceiling);
    }
    Ok(linted.found.finish().map(|findings| {
        let count = findings.count();
        let plural = if count == 1 { "warning" } else { "warnings" };
        findings.headed(format!("{count} {plural}"))
    }))
}

/// Whether a comment has a name in it, as a word of its own.
fn mentions(comment: &str, name: &str) -> bool {
    comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name)
}

/// Whether something was written in the policy's own text.
fn own(span: Span) -> bool {
    span.source == 0
}

impl Linted<'_> {
    fn warn(&mut self, code: &'static str, span: Span, message: String, help: impl Into<String>) {
        self.found.say(Finding::at(span, message).code(code).help(help));
    }

    /// Rules of `allow` of the policy's own text, beside what they came to.
    fn own_rules(&self) -> Vec<(RawAllow, AllowRule)> {
        let raw = self.document.allow.good().into_iter().flatten();
        raw.zip(&self.policy.syscalls.allow)
            .filter(|(raw, _)| raw.calls.first().is_some_and(|c| own(c.span)))
            .map(|(raw, rule)| (raw.clone(), rule.clone()))
            .collect()
    }

    /// Whether any own comment names it.
    fn said_anywhere(&self, name: &str) -> bool {
        comments(self.text).iter().any(|c| mentions(c, name))
    }

    fn dangers(&mut self) {
        for (raw, rule) in self.own_rules() {
            for danger in dangers::DANGERS {
                let named = |c: &u32| names::name(*c).filter(|n| danger.calls.contains(n));
                let calls: Vec<(&str, Span)> =
                    raw.calls.iter().filter_map(|c| Some((named(&c.value)?, c.span))).collect();
                let Some((name, span)) = calls.first().copied() else { continue };
                if (danger.bare_only && rule.when != When::Always)
                    || calls.iter().any(|(name, _)| mentions(&rule.comment, name))
                {
                    continue;
                }
                let message = format!("`{name}` is dangerous, and its comment does not say why it is needed");
                let help =
                    format!("{}; if it is meant, name `{name}` in the comment of its rule", danger.why);
                self.warn("dangerous", span, message, help);
            }
        }
    }

    /// How the calls of a group are treated, if the policy's own text names one.
    fn synonyms(&mut self) {
        for group in synonyms::GROUPS {
            let numbers = |list: &[&'static str]| -> Vec<(&'static str, u32)> {
                list.iter().filter_map(|n| Some((*n, names::number(n)?))).collect()
            };
            let core = numbers(group.core);
            let all: Vec<_> = core.iter().copied().chain(numbers(group.others)).collect();
            self.forgotten(&core);
            self.uneven(&all);
        }
    }

    fn rule(&self, nr: u32) -> Option<&AllowRule> {
        self.policy.syscalls.allow.iter().find(|r| r.calls.contains(&nr))
    }

    fn always_violation(&self, nr: u32) -> bool {
        self.policy.syscalls.violations.iter().any(|r| r.when.is_empty() && r.calls.contains(&nr))
    }

    fn place(&self, nr: u32) -> Option<Span> {
        self.document.place(&super::Subject::Call(nr))
    }

    /// Calls of a group that nobody has thought of.
    fn forgotten(&mut self, core: &[(&'static str, u32)]) {
        let allowed = |nr: u32| self.rule(nr).is_some();
        let has = core.iter().find(|c| allowed(c.1) && self.place(c.1).is_some_and(own));
        let Some((has, nr)) = has.copied() else { return };
        let missing: Vec<&str> = core
            .iter()
            .filter(|c| !allowed(c.1) && !self.always_violation(c.1) && !self.said_anywhere(c.0))
            .map(|c| c.0)
            .collect();
        let (Some(span), Some(first)) = (self.place(nr), missing.first()) else { return };
        let message = format!("`{has}` is allowed, and {} forgotten", super::suggest::list(&missing));
        let help = format!(
            "C libraries use one or the other for the same; allow both, or say in a comment why there is no `{first}`"
        );
        self.warn("synonym", span, message, help);
    }

    /// A restriction that another call of the group does not have.
    fn uneven(&mut self, all: &[(&'static str, u32)]) {
        let free = |nr: u32| self.rule(nr).is_some_and(|r| r.when == When::Always);
        let free: Vec<_> = all.iter().copied().filter(|c| free(c.1)).collect();
        for (name, nr) in free {
            let Some(span) = self.place(nr) else { continue };
            let refused = all.iter().find(|c| self.always_violation(c.1));
            let restricted = all.iter().find_map(|c| {
                let arguments = names::arguments(nr);
                let tested = self.rule(c.1).map(|r| tested(&r.when)).unwrap_or_default();
                tested.into_iter().find(|arg| arguments.contains(&arg.as_str())).map(|arg| (c, arg))
            });
            let (other, message) = match (refused, restricted) {
                (Some(other), _) => (
                    other,
                    format!("`{name}` is allowed, but `{}`, which does the same, is a violation", other.0),
                ),
                (None, Some((other, arg))) => (
                    other,
                    format!("`{name}` is allowed whatever its `{arg}`, which `{}` is restricted in", other.0),
                ),
                (None, None) => continue,
            };
            let ours = own(span) || self.place(other.1).is_some_and(own);
            if ours && !self.said_anywhere(name) {
                self.warn("uneven", span, message, "treat both alike, or say in a comment why not");
            }
        }
    }

    /// Ways around `"wx": "deny"` that remain.
    fn around_wx(&mut self) {
        if self.policy.wx == Wx::Allow {
            return;
        }
        let ways = [
            ("shmat", "the same memory can be attached once writable and once executable by another process"),
            ("personality", "READ_IMPLIES_EXEC makes readable memory executable, here and after an exec"),
            ("remap_file_pages", "pages are put into a mapping without a look at `wx`"),
        ];
        for (name, why) in ways {
            let Some(nr) = names::number(name) else { continue };
            let Some(span) = self.place(nr).filter(|s| own(*s)) else { continue };
            if self.rule(nr).is_some_and(|rule| !mentions(&rule.comment, "wx")) {
                let message = format!("`{name}` is allowed although `wx` is `deny`");
                self.warn("wx", span, message, format!("{why}; if it is meant, say `wx` in its comment"));
            }
        }
    }

    /// Limits that another one keeps from ever being reached.
    fn unreachable_limits(&mut self) {
        let limits = self.policy.limits.clone();
        let place = |name| self.document.place(&super::Subject::Limit(name)).filter(|s| own(*s));
        let mut found: Vec<(Span, String, String)> = Vec::new();
        let at_once = limits.wall_ns.saturating_mul(u64::from(limits.processes));
        if let Some(span) = place("cpu_time").or(place("wall_time"))
            && limits.cpu_ns > at_once
        {
            let message = "`cpu_time` is never reached: `wall_time` is over before".to_owned();
            let help = format!("with {} process(es) at most, `wall_time` ends first", limits.processes);
            found.push((span, message, help));
        }
        if let (Some(span), Stack::Bytes(bytes)) = (place("stack"), limits.stack)
            && bytes > limits.memory
        {
            let help = "write `\"memory\"` if the stack may use all of it".to_owned();
            found.push((span, "`stack` is never reached: `memory` runs out before".to_owned(), help));
        }
        for path in &self.policy.paths {
            let Some((size, _)) = path.from.memory() else { continue };
            let span = self.document.place(&super::Subject::Path(path.at.clone()));
            let span = span.filter(|s| own(*s)).or(place("memory"));
            if let (Some(span), true) = (span, size > limits.memory) {
                let message = format!("`{}` is never full: `memory` runs out before", path.at);
                found.push((span, message, "its files are charged to `memory`".to_owned()));
            }
        }
        for (span, message, help) in found {
            self.warn("unreachable", span, message, help);
        }
    }

    /// Layers that may be missing, without a word about it.
    fn degrade(&mut self) {
        let Some(degrade) = self.document.degrade.spanned().filter(|d| own(d.span)) else { return };
        let (span, layers) = (degrade.span, degrade.value.clone());
        for layer in layers {
            if !self.said_anywhere(layer.name()) {
                let message = format!("this policy runs without `{layer}`, and no comment says why");
                let help = format!("{}; name `{layer}` in the policy's `comment`", layer.what());
                self.warn("degrade", span, message, help);
            }
        }
    }
}

/// Arguments that a rule tests.
fn tested(when: &When) -> BTreeSet<String> {
    match when {
        When::Always => BTreeSet::new(),
        When::All(conditions) | When::None(conditions) => conditions.iter().map(|c| c.arg.clone()).collect(),
    }
}

/// Every comment of a text.
fn comments(value: &Value<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut stack = vec![value];
    while let Some(value) = stack.pop() {
        match value {
            Value::Object(object) => {
                for property in &object.properties {
                    match (property.name.as_str(), &property.value) {
                        ("comment", Value::StringLit(text)) => found.push(text.value.to_string()),
                        (_, value) => stack.push(value),
                    }
                }
            }
            Value::Array(array) => stack.extend(&array.elements),
            _ => {}
        }
    }
    found
}

/// The comment of an object of the top level.
fn comment_of(value: &Value<'_>, field: Option<&str>) -> Option<String> {
    let Value::Object(top) = value else { return None };
    let property = |o: &Object<'_>, name: &str| o.properties.iter().position(|p| p.name.as_str() == name);
    let holder = match field {
        None => top,
        Some(name) => match &top.properties.get(property(top, name)?)?.value {
            Value::Object(inner) => inner,
            _ => return None,
        },
    };
    match &holder.properties.get(property(holder, "comment")?)?.value {
        Value::StringLit(text) => Some(text.value.to_string()),
        _ => None,
    }
}

//! `syscalls`: rules and their conditions.
//!
//! A condition is judged here for each call of its rule, because an argument
//! may be at another place, or narrower, in another call.

use jsonc_parser::ast::Value;

use super::super::findings::Finding;
use super::super::model::{Condition, OnViolation, Otherwise, When};
use super::super::source::{Span, Spanned, quote};
use super::super::{bounds, names, suggest};
use super::{Field, Fields, Reader};

/// A rule of `allow`; what is bad in it is missing here.
#[derive(Debug, Clone)]
pub(in super::super) struct RawAllow {
    pub(in super::super) calls: Vec<Spanned<u32>>,
    pub(in super::super) when: Option<When>,
    pub(in super::super) otherwise: Otherwise,
    pub(in super::super) comment: Option<String>,
}

/// A rule of `violations`; what is bad in it is missing here.
#[derive(Debug, Clone)]
pub(in super::super) struct RawViolation {
    pub(in super::super) calls: Vec<Spanned<u32>>,
    pub(in super::super) when: Option<Vec<Condition>>,
    pub(in super::super) comment: Option<String>,
}

/// `syscalls` or `syscalls+`.
#[derive(Debug, Clone, Default)]
pub(super) struct RawSyscalls {
    pub(super) on_violation: Field<OnViolation>,
    pub(super) max_violations: Field<u32>,
    pub(super) allow: Field<Vec<RawAllow>>,
    pub(super) violations: Field<Vec<RawViolation>>,
}

impl Reader<'_> {
    pub(super) fn syscalls(&mut self, value: &Value<'_>) -> Option<RawSyscalls> {
        const KNOWN: &[&str] = &["on_violation", "max_violations", "allow", "violations", "comment"];
        let fields = self.fields(value, "`syscalls`", KNOWN)?;
        self.optional_comment(&fields);
        let mut syscalls = RawSyscalls::default();
        for (name, key, value) in &fields.entries {
            match *name {
                "on_violation" => {
                    let known = [("refuse", OnViolation::Refuse), ("kill", OnViolation::Kill)];
                    syscalls.on_violation = self.choice(value, "`on_violation`", &known).into();
                }
                "max_violations" => {
                    syscalls.max_violations = self.small(value, &bounds::MAX_VIOLATIONS).into();
                }
                _ => self.rules(&mut syscalls, name, *key, value),
            }
        }
        Some(syscalls)
    }

    /// `syscalls+`: only what can be added.
    pub(super) fn more_syscalls(&mut self, value: &Value<'_>) -> Option<RawSyscalls> {
        let what = "`syscalls+`";
        let fields = self.members(value, what)?;
        let mut syscalls = RawSyscalls::default();
        if fields.entries.is_empty() {
            self.say(
                Finding::at(fields.open, "`syscalls+` is empty").help("leave it out, or say what it adds"),
            );
        }
        for (name, key, value) in &fields.entries {
            match *name {
                "allow" | "violations" => self.rules(&mut syscalls, name, *key, value),
                "on_violation" | "max_violations" => {
                    let finding = Finding::at(*key, format!("`{name}` is replaced, not added to"));
                    self.say(finding.help("write it in `syscalls`, without a plus"));
                }
                name => {
                    let message = format!("unknown field {} in {what}", quote(name));
                    self.say(Finding::at(*key, message).help(suggest::help(name, &["allow", "violations"])));
                }
            }
        }
        Some(syscalls)
    }

    fn rules(&mut self, syscalls: &mut RawSyscalls, name: &str, key: Span, value: &Value<'_>) {
        let Some(elements) = (match name {
            "allow" | "violations" => self.elements(value, &format!("`{name}`")),
            _ => return,
        }) else {
            let bad = if name == "allow" { (Field::Bad, Field::Absent) } else { (Field::Absent, Field::Bad) };
            syscalls.allow = std::mem::take(&mut syscalls.allow).or(bad.0);
            syscalls.violations = std::mem::take(&mut syscalls.violations).or(bad.1);
            return;
        };
        if name == "allow" {
            let rules = elements.iter().filter_map(|e| self.allow_rule(e)).collect();
            syscalls.allow = Field::Good(Spanned::new(rules, key));
        } else {
            let rules = elements.iter().filter_map(|e| self.violation_rule(e)).collect();
            syscalls.violations = Field::Good(Spanned::new(rules, key));
        }
    }

    fn allow_rule(&mut self, value: &Value<'_>) -> Option<RawAllow> {
        let known = ["calls", "if", "unless", "otherwise", "comment"];
        let fields = self.fields(value, "a rule", &known)?;
        self.require(&fields, "this rule", &["calls"]);
        let comment = self.comment(&fields, "this rule");
        let (calls, complete) = self.calls(&fields);
        let when = match (fields.get("if"), fields.get("unless")) {
            (None, None) => Some(When::Always),
            (Some(value), None) => self.conditions(value, "`if`", &calls).map(When::All),
            (None, Some(value)) => self.conditions(value, "`unless`", &calls).map(When::None),
            (Some(_), Some(_)) => {
                let place = fields.key("unless").unwrap_or(fields.open);
                let finding = Finding::at(place, "a rule has either `if` or `unless`");
                self.say(
                    finding.help("say all of it in one of them: all of `if` must hold, none of `unless`"),
                );
                None
            }
        };
        let otherwise = self.otherwise(&fields);
        let when = when.filter(|_| complete);
        Some(RawAllow { calls, when, otherwise: otherwise.unwrap_or(Otherwise::Enosys), comment })
    }

    /// What a call answers when the conditions do not hold.
    fn otherwise(&mut self, fields: &Fields<'_, '_>) -> Option<Otherwise> {
        let value = fields.get("otherwise")?;
        if fields.get("if").is_none() && fields.get("unless").is_none() {
            let place = fields.key("otherwise").unwrap_or(fields.open);
            let finding = Finding::at(place, "`otherwise` is without a condition");
            self.say(finding.help("without `if` or `unless` the calls are always allowed: leave it out"));
        }
        let known =
            [("ENOSYS", Otherwise::Enosys), ("EPERM", Otherwise::Eperm), ("violation", Otherwise::Violation)];
        if let Value::StringLit(text) = value
            && known.iter().all(|k| k.0 != text.value)
        {
            let words: Vec<&str> = known.iter().map(|k| k.0).collect();
            let near = suggest::nearest(&text.value, words.iter().copied());
            let help = near.map_or_else(
                || {
                    format!(
                        "it is one of {}: a refused call must not look as if it had worked",
                        suggest::list(&words)
                    )
                },
                |near| format!("did you mean `{near}`?"),
            );
            let span = self.span(text.range);
            self.say(Finding::at(span, format!("`otherwise` cannot be {}", quote(&text.value))).help(help));
            return None;
        }
        self.choice(value, "`otherwise`", &known).map(|o| o.value)
    }

    fn violation_rule(&mut self, value: &Value<'_>) -> Option<RawViolation> {
        let what = "a rule of `violations`";
        let known = ["calls", "if", "comment", "unless", "otherwise"];
        let fields = self.fields(value, what, &known)?;
        self.require(&fields, "this rule", &["calls"]);
        let comment = self.comment(&fields, "this rule");
        let (calls, complete) = self.calls(&fields);
        for (name, help) in [
            ("unless", "write what is a violation, with `if`"),
            ("otherwise", "where its conditions do not hold, the call is judged by `allow`"),
        ] {
            if let Some(key) = fields.key(name) {
                self.say(Finding::at(key, format!("{what} has no `{name}`")).help(help));
            }
        }
        let when = match fields.get("if") {
            None => Some(Vec::new()),
            Some(value) => self.conditions(value, "`if`", &calls),
        };
        Some(RawViolation { calls, when: when.filter(|_| complete), comment })
    }

    /// The calls of a rule, and whether all of them are known.
    fn calls(&mut self, fields: &Fields<'_, '_>) -> (Vec<Spanned<u32>>, bool) {
        let mut calls: Vec<Spanned<u32>> = Vec::new();
        let Some(elements) = fields.get("calls").and_then(|v| self.elements(v, "`calls`")) else {
            return (calls, false);
        };
        let mut complete = true;
        for element in elements {
            let Some(name) = self.string(element, "a call") else {
                complete = false;
                continue;
            };
            let Some(number) = names::number(name.value) else {
                complete = false;
                let near = self.nearest(bare(name.value), names::all().map(|c| c.0));
                let help = near.map_or_else(
                    || "calls are named as in syscalls(2), without a prefix".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                self.say(Finding::at(name.span, format!("unknown call {}", quote(name.value))).help(help));
                continue;
            };
            if let Some(first) = calls.iter().find(|c| c.value == number) {
                let finding =
                    Finding::at(name.span, format!("`{}` is listed twice in this rule", name.value));
                let first = first.span;
                self.say(finding.note(first, "first listed here"));
                complete = false;
                continue;
            }
            calls.push(Spanned::new(number, name.span));
        }
        (calls, complete)
    }
}

/// The name of a call without what C puts before it.
fn bare(name: &str) -> &str {
    ["sys_", "SYS_", "__NR_"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

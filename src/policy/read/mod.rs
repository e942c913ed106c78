//! From JSON values to the parts of a policy, field by field.
//!
//! Guarantees: every field is looked at, whatever is wrong with the others;
//! what is returned as good needs no further look on its own. What fields say
//! about each other is for [`super::check`].

mod calls;
mod ceiling;
mod conditions;
mod document;
mod image;
mod limits;
mod paths;
mod words;

use std::collections::HashMap;

use jsonc_parser::ast::Value;
use jsonc_parser::common::{Range, Ranged as _};

use super::bounds::{self, Bound, Unit};
use super::findings::{Collector, Finding};
use super::source::{Span, Spanned, quote};
use super::{suggest, units};

pub(super) use calls::{RawAllow, RawViolation};
pub(super) use ceiling::{Free, RawCeiling};
pub(super) use document::{ABI_MOST, VERSION};
pub(super) use document::{Document, read};
pub(super) use limits::{KNOWN as LIMIT_FIELDS, RawLimits};
pub(super) use paths::{DEVICES, RawPath, RawSource};
pub(crate) use words::path_problem;
pub(super) use words::{env_name_problem, env_value_problem};

/// What became of a field.
#[derive(Debug, Clone, Default)]
pub(super) enum Field<T> {
    /// It was not there.
    #[default]
    Absent,
    /// It was there, and a finding says what is wrong with it.
    Bad,
    /// It was there and is good.
    Good(Spanned<T>),
}

impl<T> Field<T> {
    /// This field, or where it was not written, that of the extended policy.
    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::Absent => other,
            given => given,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub(super) fn good(&self) -> Option<&T> {
        self.spanned().map(|s| &s.value)
    }

    pub(super) fn spanned(&self) -> Option<&Spanned<T>> {
        match self {
            Self::Good(value) => Some(value),
            Self::Absent | Self::Bad => None,
        }
    }
}

impl<T> From<Option<Spanned<T>>> for Field<T> {
    fn from(value: Option<Spanned<T>>) -> Self {
        value.map_or(Self::Bad, Self::Good)
    }
}

/// The fields of an object, without the unknown and the repeated ones.
pub(crate) struct Fields<'v, 't> {
    /// Where it opens: the place of what is not there.
    pub(crate) open: Span,
    pub(crate) entries: Vec<(&'v str, Span, &'v Value<'t>)>,
}

impl<'v, 't> Fields<'v, 't> {
    pub(crate) fn get(&self, name: &str) -> Option<&'v Value<'t>> {
        self.entries.iter().find(|e| e.0 == name).map(|e| e.2)
    }

    pub(crate) fn key(&self, name: &str) -> Option<Span> {
        self.entries.iter().find(|e| e.0 == name).map(|e| e.1)
    }
}

/// Reads values of one text.
pub(crate) struct Reader<'c> {
    collector: &'c mut Collector,
    source: u8,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(collector: &'c mut Collector, source: u8) -> Self {
        Self { collector, source }
    }

    pub(crate) fn span(&self, range: Range) -> Span {
        Span::new(self.source, range.start, range.end)
    }

    pub(crate) fn span_of(&self, value: &Value<'_>) -> Span {
        self.span(value.range())
    }

    pub(crate) fn say(&mut self, finding: Finding) {
        self.collector.say(finding);
    }

    /// Says that `what` has another type than it should.
    pub(crate) fn wrong_type(&mut self, value: &Value<'_>, what: &str, wanted: &str) {
        let found = match value {
            Value::StringLit(_) => "a string",
            Value::NumberLit(_) => "a number",
            Value::BooleanLit(_) => "true or false",
            Value::Object(_) => "an object",
            Value::Array(_) => "an array",
            Value::NullKeyword(_) => "null",
        };
        let span = self.span_of(value);
        self.say(Finding::at(span, format!("{what} must be {wanted}, not {found}")));
    }

    /// The members of an object, repeated ones refused.
    pub(crate) fn members<'v, 't>(&mut self, value: &'v Value<'t>, what: &str) -> Option<Fields<'v, 't>> {
        let Value::Object(object) = value else {
            self.wrong_type(value, what, "an object");
            return None;
        };
        let range = value.range();
        let open = self.span(Range { start: range.start, end: range.start + 1 });
        let mut entries: Vec<(&str, Span, &Value<'t>)> = Vec::with_capacity(object.properties.len());
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for property in &object.properties {
            let (name, key) = (property.name.as_str(), self.span(property.name.range()));
            // Few objects have more than a handful of members.
            let first = if entries.len() < 16 {
                entries.iter().find(|e| e.0 == name).map(|e| e.1)
            } else {
                if seen.is_empty() {
                    seen.extend(entries.iter().map(|e| (e.0, e.1)));
                }
                seen.insert(name, key)
            };
            match first {
                Some(first) => self.say(
                    Finding::at(key, format!("{} is given twice", quote(name)))
                        .note(first, "first given here"),
                ),
                None => entries.push((name, key, &property.value)),
            }
        }
        Some(Fields { open, entries })
    }

    /// The known fields of an object.
    pub(crate) fn fields<'v, 't>(
        &mut self,
        value: &'v Value<'t>,
        what: &str,
        known: &[&str],
    ) -> Option<Fields<'v, 't>> {
        let mut fields = self.members(value, what)?;
        fields.entries.retain(|(name, key, _)| {
            let is_known = known.contains(name);
            if !is_known {
                let message = format!("unknown field {} in {what}", quote(name));
                self.say(Finding::at(*key, message).help(suggest::help(name, known)));
            }
            is_known
        });
        Some(fields)
    }

    /// Says which of the required fields are not there.
    pub(crate) fn require(&mut self, fields: &Fields<'_, '_>, what: &str, required: &[&str]) {
        let missing: Vec<&str> = required.iter().copied().filter(|n| fields.get(n).is_none()).collect();
        if !missing.is_empty() {
            self.say(Finding::at(fields.open, format!("{what} has no {}", suggest::list(&missing))));
        }
    }

    pub(crate) fn string<'v>(&mut self, value: &'v Value<'_>, what: &str) -> Option<Spanned<&'v str>> {
        if let Value::StringLit(text) = value {
            return Some(Spanned::new(text.value.as_ref(), self.span(text.range)));
        }
        self.wrong_type(value, what, "a string");
        None
    }

    /// The elements of an array that must not be empty.
    pub(crate) fn elements<'v, 't>(&mut self, value: &'v Value<'t>, what: &str) -> Option<&'v [Value<'t>]> {
        let Value::Array(array) = value else {
            self.wrong_type(value, what, "an array");
            return None;
        };
        if array.elements.is_empty() {
            let span = self.span_of(value);
            self.say(
                Finding::at(span, format!("{what} is empty")).help("leave it out, or say what it holds"),
            );
            return None;
        }
        Some(&array.elements)
    }

    pub(crate) fn boolean(&mut self, value: &Value<'_>, what: &str) -> Option<Spanned<bool>> {
        if let Value::BooleanLit(b) = value {
            return Some(Spanned::new(b.value, self.span(b.range)));
        }
        self.wrong_type(value, what, "true or false");
        None
    }

    /// A whole number from 0 up.
    pub(crate) fn integer(&mut self, value: &Value<'_>, what: &str) -> Option<Spanned<u64>> {
        if let Value::StringLit(text) = value
            && !text.value.is_empty()
            && text.value.bytes().all(|b| b.is_ascii_digit())
        {
            let finding =
                Finding::at(self.span(text.range), format!("{what} must be a number, not a string"));
            self.say(finding.help(format!("write {} without quotes", text.value)));
            return None;
        }
        let Value::NumberLit(number) = value else {
            self.wrong_type(value, what, "a number");
            return None;
        };
        let span = self.span(number.range);
        let digits = number.value.strip_prefix('-').unwrap_or(number.value);
        let problem = if digits.bytes().any(|b| !b.is_ascii_digit()) {
            "must be a whole number, without a fraction or an exponent"
        } else if number.value.starts_with('-') {
            "is negative"
        } else if let Ok(value) = number.value.parse() {
            return Some(Spanned::new(value, span));
        } else {
            "is too large"
        };
        self.say(Finding::at(span, format!("{what} {problem}")));
        None
    }

    /// The nearest of many words. Beyond what is shown, nobody reads it, and
    /// a broken generator would make it cost seconds.
    fn nearest<'a>(&self, word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        const ENOUGH: usize = 200;
        if self.collector.count() > ENOUGH { None } else { suggest::nearest(word, candidates) }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Clone>(
        &mut self,
        value: &Value<'_>,
        what: &str,
        known: &[(&str, T)],
    ) -> Option<Spanned<T>> {
        let word = self.string(value, what)?;
        if let Some((_, meaning)) = known.iter().find(|k| k.0 == word.value) {
            return Some(Spanned::new(meaning.clone(), word.span));
        }
        let words: Vec<&str> = known.iter().map(|k| k.0).collect();
        let message = format!("{what} cannot be {}", quote(word.value));
        self.say(Finding::at(word.span, message).help(suggest::help(word.value, &words)));
        None
    }

    /// A comment, which says who needs something.
    fn comment(&mut self, fields: &Fields<'_, '_>, what: &str) -> Option<String> {
        let Some(value) = fields.get("comment") else {
            let finding = Finding::at(fields.open, format!("{what} has no `comment`"));
            self.say(finding.help("say in a few words who needs it, so that it can be reviewed"));
            return None;
        };
        let text = self.string(value, "`comment`")?;
        if text.value.trim().is_empty() {
            let finding = Finding::at(text.span, "this comment says nothing");
            self.say(finding.help("say in a few words who needs it, so that it can be reviewed"));
            return None;
        }
        Some(text.value.to_owned())
    }

    /// A comment that may be there, on things the resolved policy keeps none of.
    pub(crate) fn optional_comment(&mut self, fields: &Fields<'_, '_>) {
        if fields.get("comment").is_some() {
            self.comment(fields, "this");
        }
    }

    /// A limit within its bounds, in the unit it is counted in.
    fn bounded(&mut self, value: &Value<'_>, bound: &Bound) -> Option<Spanned<u64>> {
        let what = format!("`{}`", bound.name);
        let number = match bound.unit {
            Unit::Count => self.integer(value, &what)?,
            Unit::Time | Unit::Size => self.quantity(value, &what, bound.unit)?,
        };
        if let Err(outside) = bound.judge(number.value) {
            self.say(Finding::at(number.span, outside.message).help(outside.help));
            return None;
        }
        Some(number)
    }

    fn quantity(&mut self, value: &Value<'_>, what: &str, unit: Unit) -> Option<Spanned<u64>> {
        if let Value::NumberLit(number) = value {
            let problem = if number.value.starts_with('-') { "is negative" } else { "has no unit" };
            let finding = Finding::at(self.span(number.range), format!("{what} {problem}"));
            self.say(
                finding.help(format!("write it as a string, like \"{}\"", with_unit(number.value, unit))),
            );
            return None;
        }
        let parse = if unit == Unit::Time { units::parse_duration } else { units::parse_size };
        let text = self.string(value, what)?;
        match parse(text.value) {
            Ok(number) => Some(Spanned::new(number, text.span)),
            Err(error) => {
                self.say(Finding::at(text.span, format!("{what}: {}", error.message())).help(error.help()));
                None
            }
        }
    }
}

/// What a bare number most likely meant.
fn with_unit(number: &str, unit: Unit) -> String {
    let number = number.strip_prefix('-').unwrap_or(number);
    match (unit, number.parse::<u64>()) {
        (Unit::Time, Ok(n)) if n > 0 => format!("{n}s"),
        // Whole pages are a count of bytes, small numbers one of MiB.
        (_, Ok(bytes)) if bytes > 0 && bytes.is_multiple_of(bounds::PAGE) => units::format_size(bytes),
        (_, Ok(n)) if n > 0 => format!("{n}MiB"),
        (Unit::Time, _) => "10s".to_owned(),
        _ => "64MiB".to_owned(),
    }
}

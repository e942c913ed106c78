//! `ceiling`: what a job may ask for besides its policy.

use std::collections::BTreeSet;

use jsonc_parser::ast::Value;

use super::super::findings::Finding;
use super::super::source::{Spanned, quote};
use super::{Reader, env_name_problem};

/// The fields, in the order in which they are documented.
pub(super) const KNOWN: &[&str] = &["ro", "rw", "env", "free", "comment"];

/// Something that a ceiling compares unless it says that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Free {
    /// The ids seen inside.
    User,
    /// Which refused calls are reported.
    Violations,
}

impl Free {
    pub(in super::super) const ALL: &'static [(&'static str, Self)] =
        &[("user", Self::User), ("violations", Self::Violations)];
}

/// `ceiling`, as written.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct RawCeiling {
    /// Host paths at or below which a job may bind for reading.
    pub(in super::super) ro: Vec<Spanned<String>>,
    /// The same for writing.
    pub(in super::super) rw: Vec<Spanned<String>>,
    /// Names of variables, or their beginnings, that may have any value.
    pub(in super::super) env: Vec<Spanned<String>>,
    /// What is not compared.
    pub(in super::super) free: BTreeSet<Free>,
}

impl Reader<'_> {
    /// The object; none if anything in it is bad.
    pub(super) fn ceiling(&mut self, value: &Value<'_>) -> Option<RawCeiling> {
        let before = self.collector.count();
        let fields = self.fields(value, "`ceiling`", KNOWN)?;
        self.optional_comment(&fields);
        let mut ceiling = RawCeiling::default();
        for (name, _, value) in &fields.entries {
            match *name {
                "ro" => ceiling.ro = self.each(value, "`ro`", |r, v| r.path(v, "a path of `ro`")),
                "rw" => ceiling.rw = self.each(value, "`rw`", |r, v| r.path(v, "a path of `rw`")),
                "env" => ceiling.env = self.each(value, "`env`", Self::variable_pattern),
                "free" => {
                    let free = self.each(value, "`free`", |r, v| r.choice(v, "a word of `free`", Free::ALL));
                    ceiling.free = free.into_iter().map(|f| f.value).collect();
                }
                _ => {}
            }
        }
        (self.collector.count() == before).then_some(ceiling)
    }

    /// The elements of a list that may be empty, each once.
    fn each<T: PartialEq + Clone>(
        &mut self,
        value: &Value<'_>,
        what: &str,
        mut read: impl FnMut(&mut Self, &Value<'_>) -> Option<Spanned<T>>,
    ) -> Vec<Spanned<T>> {
        let Value::Array(array) = value else {
            self.wrong_type(value, what, "an array");
            return Vec::new();
        };
        let mut list: Vec<Spanned<T>> = Vec::new();
        for element in &array.elements {
            let Some(found) = read(self, element) else { continue };
            match list.iter().find(|f| f.value == found.value) {
                Some(first) => {
                    let first = first.span;
                    let finding = Finding::at(found.span, format!("this is listed twice in {what}"));
                    self.say(finding.note(first, "first listed here"));
                }
                None => list.push(found),
            }
        }
        list
    }

    /// A name, or the beginning of names with a `*` behind it.
    fn variable_pattern(&mut self, value: &Value<'_>) -> Option<Spanned<String>> {
        let text = self.string(value, "a name of `env`")?;
        let name = text.value.strip_suffix('*').unwrap_or(text.value);
        let problem = if name.contains('*') {
            Some(("has a `*` that is not at its end", "write the beginning of the names, like `CI_*`"))
        } else if name.is_empty() && !text.value.is_empty() {
            // A lone `*` is the decision not to look at the environment.
            None
        } else {
            env_name_problem(name)
        };
        if let Some((problem, help)) = problem {
            self.say(Finding::at(text.span, format!("{} {problem}", quote(text.value))).help(help));
            return None;
        }
        Some(Spanned::new(text.value.to_owned(), text.span))
    }
}

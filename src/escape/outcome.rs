//! What a probe saw, and what it means.

use serde::{Deserialize, Serialize};

use crate::sys::{self, Errno};

/// Where a probe runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In a box.
    Inside,
    /// Beside the box, as an ordinary process of the same host.
    Outside,
    /// In namespaces of its own with every right over them, and nothing else: a
    /// box without any hardening.
    OwnNamespaces,
}

/// One answer of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What was tried.
    pub what: String,
    /// The errno's name, `ok`, the signal that ended it, or other words.
    pub answer: String,
    /// The call's number, where one call was all of it.
    pub nr: Option<u32>,
}

/// Everything that one probe saw.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Saw {
    /// What the attack achieved, if anything.
    pub effect: Option<String>,
    /// The answers on the way.
    pub answers: Vec<Seen>,
}

/// The errno's name.
#[must_use]
pub fn name(errno: Errno) -> String {
    if errno == Errno::UnknownErrno { "an unknown errno".to_owned() } else { format!("{errno:?}") }
}

impl Saw {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Something that is no refusal and no success either.
    pub fn note(&mut self, what: impl Into<String>, answer: impl Into<String>) {
        self.answers.push(Seen { what: what.into(), answer: answer.into(), nr: None });
    }

    /// The attack has worked. The first effect counts.
    pub fn leak(&mut self, effect: impl Into<String>) {
        self.effect.get_or_insert(effect.into());
    }

    /// An attempt whose success is the effect. Answers whether it succeeded.
    pub fn must_fail<T>(&mut self, what: impl Into<String>, result: sys::Result<T>) -> Option<T> {
        let what = what.into();
        let done = self.step(&what, result);
        if done.is_some() {
            self.leak(what);
        }
        done
    }

    /// The same for one call by its number.
    pub fn must_refuse(&mut self, what: impl Into<String>, nr: i64, result: sys::Result<u64>) -> Option<u64> {
        let done = self.must_fail(what, result);
        if let Some(last) = self.answers.last_mut() {
            last.nr = u32::try_from(nr).ok();
        }
        done
    }

    /// A step on the way: its success alone means nothing.
    pub fn step<T>(&mut self, what: impl Into<String>, result: sys::Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                self.note(what, "ok");
                Some(value)
            }
            Err(errno) => {
                self.note(what, name(errno));
                None
            }
        }
    }

    /// The same for what the standard library tried.
    pub fn io_step<T>(&mut self, what: impl Into<String>, result: std::io::Result<T>) -> Option<T> {
        self.step(what, result.map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))
    }

    /// An attempt by the standard library whose success is the effect.
    pub fn io_must_fail<T>(&mut self, what: impl Into<String>, result: std::io::Result<T>) -> Option<T> {
        self.must_fail(what, result.map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))
    }

    /// Takes over what another probe saw.
    pub fn join(&mut self, other: Saw) {
        if let Some(effect) = other.effect {
            self.leak(effect);
        }
        self.answers.extend(other.answers);
    }

    /// For people: the effect, or the answers, alike ones together.
    #[must_use]
    pub fn text(&self) -> String {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for seen in &self.answers {
            match groups.iter_mut().find(|(answer, _)| *answer == seen.answer) {
                Some((_, whats)) => whats.push(&seen.what),
                None => groups.push((&seen.answer, vec![&seen.what])),
            }
        }
        let grouped: Vec<String> = groups
            .iter()
            .map(|(answer, whats)| match whats.as_slice() {
                [what] => format!("{what}: {answer}"),
                [first, second] => format!("{first}, {second}: {answer}"),
                [first, rest @ ..] => format!("{first} and {} others: {answer}", rest.len()),
                [] => String::new(),
            })
            .collect();
        let answers = grouped.join("; ");
        match &self.effect {
            Some(effect) if answers.is_empty() => effect.clone(),
            Some(effect) => format!("{effect} ({answers})"),
            None => answers,
        }
    }
}

/// What became of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It had no effect, and it is known that it could have had one.
    Held,
    /// It had an effect.
    Leaked,
    /// It had none, but it is not known that it could have had one here.
    Inconclusive,
}

impl Outcome {
    /// As in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Held => "held",
            Outcome::Leaked => "leaked",
            Outcome::Inconclusive => "inconclusive",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saw_with_equal_answers_names_the_first_and_counts_the_rest() {
        let mut saw = Saw::new();
        assert_eq!(saw.must_fail::<()>("a", Err(Errno::EPERM)), None);
        for what in ["b", "c"] {
            saw.step::<()>(what, Err(Errno::EPERM));
        }
        saw.step::<()>("d", Err(Errno::ENOSYS));
        assert_eq!(saw.text(), "a and 2 others: EPERM; d: ENOSYS");
        assert_eq!(saw.must_fail("e", Ok(7)), Some(7));
        assert_eq!(saw.effect.as_deref(), Some("e"));
        saw.leak("f");
        assert_eq!(saw.effect.as_deref(), Some("e"));
    }
}

//! Two policies, call by call: where they answer differently.
//!
//! Guarantees: exact, for the same reason as [`super::prove`]: both meanings are
//! run by the same explorer over every value of the arguments. What [`compare`]
//! does not list does not exist. Relies on [`super::decide`] being what is meant.
//!
//! The nonce of a launch never matches here: a payload does not know it, so what
//! passes with it is the launcher's.

use super::answer::Answer;
use super::evaluate::Call;
use super::meaning::{Rules, Width, meaning};
use super::prove::Explorer;
use super::question::{ARCH_X86_64, Input, Question, Relation, Word};
use crate::policy::names;

/// One pair of answers that two policies give to some arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// What the first means.
    pub first: Answer,
    /// What the second means.
    pub second: Answer,
    /// A call that shows it.
    pub example: Call,
}

/// The rules have more cases than can be gone through: nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyCases;

/// Every pair of answers that two policies give to a call, each once, with a
/// call that shows it. One pair where the answer depends on no argument.
///
/// # Errors
/// [`TooManyCases`], as the proof: only a policy made for it has so many.
pub fn compare(first: &Rules<'_>, second: &Rules<'_>, nr: u32) -> Result<Vec<Case>, TooManyCases> {
    let mut explorer = Explorer::default();
    let mut cases: Vec<Case> = Vec::new();
    loop {
        explorer.restart();
        let mut input = OneCall { nr, rest: &mut explorer };
        let (a, b) = (meaning(first, &mut input), meaning(second, &mut input));
        if explorer.gave_up() {
            return Err(TooManyCases);
        }
        if !cases.iter().any(|c| (c.first, c.second) == (a, b)) {
            let example = Call { arch: ARCH_X86_64, nr, args: explorer.arguments() };
            cases.push(Case { first: a, second: b, example });
        }
        if !explorer.another() {
            return Ok(cases);
        }
    }
}

/// Place and width of an argument for the meaning, from the table of names.
#[must_use]
pub fn table(nr: u32, name: &str) -> Option<(u8, Width)> {
    let argument = names::argument(nr, name)?;
    match argument.kind {
        names::ArgKind::Pointer => None,
        names::ArgKind::Int => Some((argument.index, Width::Dword)),
        names::ArgKind::Long => Some((argument.index, Width::Qword)),
    }
}

/// One call of the x86-64 table, with any arguments, by somebody who does not
/// know the nonce.
struct OneCall<'a> {
    nr: u32,
    rest: &'a mut Explorer,
}

impl Input for OneCall<'_> {
    fn holds(&mut self, question: Question) -> bool {
        match (question.word, question.relation) {
            (_, Relation::Nonce(_)) => false,
            (Word::Arch, _) => question.answer(u64::from(ARCH_X86_64), &[]),
            (Word::Number, _) => question.answer(u64::from(self.nr), &[]),
            (Word::Argument(_), _) => self.rest.holds(question),
        }
    }
}

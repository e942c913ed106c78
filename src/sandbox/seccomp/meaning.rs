//! What a policy means for one call: the reference the programs are held to.
//!
//! Guarantees: written from the policy's own words, rule by rule, in whole
//! 64-bit arguments, without anything of the compiler. Relies on the table of
//! arguments. It can see a call only through [`Input`], which makes it usable
//! for known calls ([`decide`]) and for the proof.

use super::FIRST_FOREIGN_CALL;
use super::answer::{Answer, EACCES, ENOSYS, EPERM};
use super::compile::NONCE_WORDS;
use super::evaluate::Call;
use super::explain::{UNSEEN, WATCHED};
use super::question::{ARCH_X86_64, Input, Known, Question, Relation, Word};
use crate::policy::model::{AllowRule, Condition, Exec, Otherwise, Policy, Syscalls, Test, When, Wx};

/// How much of an argument the kernel looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// The lower 32 bits (`int`, `unsigned int`, `pid_t`, `mode_t`): the
    /// upper half of the register is whatever the caller left there.
    Dword,
    /// All 64 bits (`long`, `size_t`, pointers).
    Qword,
}

impl Width {
    /// The bits the kernel looks at.
    #[must_use]
    pub const fn mask(self) -> u64 {
        match self {
            Width::Dword => 0xffff_ffff,
            Width::Qword => u64::MAX,
        }
    }
}

/// Place (0 to 5) and width of a call's argument, by the call's number and the
/// argument's name; `None` for what a filter cannot test.
pub type ArgumentTable<'a> = dyn Fn(u32, &str) -> Option<(u8, Width)> + 'a;

/// The parts of a policy that say what a call does, and the table of
/// arguments: which argument of which call has a name, and its width.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// The rules.
    pub syscalls: &'a Syscalls,
    /// Which programs may be executed.
    pub exec: Exec,
    /// Whether memory may be writable and executable at once.
    pub wx: Wx,
    /// Where an argument is.
    pub argument: &'a ArgumentTable<'a>,
}

impl<'a> Rules<'a> {
    /// The rules of a policy.
    #[must_use]
    pub fn of(policy: &'a Policy, argument: &'a ArgumentTable<'a>) -> Self {
        Self { syscalls: &policy.syscalls, exec: policy.exec, wx: policy.wx, argument }
    }
}

/// `execve` in the x86-64 table.
pub(super) const EXECVE: u32 = 59;
/// `execveat` in the x86-64 table.
pub(super) const EXECVEAT: u32 = 322;
/// `mmap`, `mprotect` and `pkey_mprotect` in the x86-64 table: what makes
/// memory executable. All have `prot` as argument 2.
pub(super) const SETS_PROTECTION: [u32; 3] = [9, 10, 329];
/// The place of `prot` in those.
pub(super) const PROT: u8 = 2;
/// `PROT_WRITE | PROT_EXEC`.
pub(super) const WRITE_EXEC: u64 = 6;
/// `sendmsg` and `seccomp` in the x86-64 table: what the launcher still calls
/// under the listener, with the nonce.
pub(super) const HAND_OVER: [u32; 2] = [46, 317];
/// The first argument that `execve`, `sendmsg` and `seccomp` ignore: they have
/// three.
pub(super) const FIRST_NONCE_ARGUMENT: u8 = 3;

/// What the policy means for one call.
///
/// A condition on an argument that the table does not know kills: [`super::compile`]
/// refuses such a policy, so that no program can disagree.
#[must_use]
pub fn decide(rules: &Rules<'_>, nonce: [u32; NONCE_WORDS], call: &Call) -> Answer {
    meaning(rules, &mut Known { words: call.words(), nonce: &nonce })
}

/// See [`decide`].
pub(super) fn meaning(rules: &Rules<'_>, input: &mut dyn Input) -> Answer {
    let answer = for_payload(rules, input);
    if answer == Answer::Notify && named(&HAND_OVER, input).is_some() && has_nonce(input) {
        return Answer::Allow;
    }
    answer
}

/// What the programs of a run that is to be explained do together: notify what the policy refuses, and
/// some of what it allows.
pub(super) fn explained(rules: &Rules<'_>, input: &mut dyn Input) -> Answer {
    let plain = meaning(rules, input);
    if plain == Answer::Kill || named(&UNSEEN, input).is_some() {
        return plain;
    }
    if plain == Answer::Allow && named(&WATCHED, input).is_none() {
        return Answer::Allow;
    }
    let launcher = named(&HAND_OVER, input).is_some() || named(&[EXECVE], input).is_some();
    if launcher && has_nonce(input) { plain } else { Answer::Notify }
}

fn for_payload(rules: &Rules<'_>, input: &mut dyn Input) -> Answer {
    if !is(input, Word::Arch, Relation::Equal(u64::from(ARCH_X86_64))) {
        return Answer::Kill;
    }
    if is(input, Word::Number, Relation::AtLeast(u64::from(FIRST_FOREIGN_CALL))) {
        return Answer::Kill;
    }
    for rule in &rules.syscalls.violations {
        if let Some(nr) = named(&rule.calls, input) {
            match all(rules, nr, &rule.when, input) {
                Some(true) => return Answer::Notify,
                Some(false) => {}
                None => return Answer::Kill,
            }
        }
    }
    if rules.exec == Exec::LaunchOnly && named(&[EXECVE], input).is_some() {
        return if has_nonce(input) { Answer::Allow } else { Answer::Errno(EACCES) };
    }
    for rule in &rules.syscalls.allow {
        if let Some(nr) = named(&rule.calls, input) {
            return allowed(rules, rule, nr, input).unwrap_or(Answer::Kill);
        }
    }
    Answer::Errno(ENOSYS)
}

fn has_nonce(input: &mut dyn Input) -> bool {
    (FIRST_NONCE_ARGUMENT..).zip(0_u8..).take(NONCE_WORDS).all(|(argument, word)| {
        let word = Relation::Nonce(word);
        input.holds(Question { word: Word::Argument(argument), mask: Width::Dword.mask(), relation: word })
    })
}

fn allowed(rules: &Rules<'_>, rule: &AllowRule, nr: u32, input: &mut dyn Input) -> Option<Answer> {
    if rules.wx == Wx::Deny && SETS_PROTECTION.contains(&nr) {
        let both =
            Question { word: Word::Argument(PROT), mask: WRITE_EXEC, relation: Relation::Equal(WRITE_EXEC) };
        if input.holds(both) {
            return Some(Answer::Errno(EPERM));
        }
    }
    let good = match &rule.when {
        When::Always => true,
        When::All(conditions) => all(rules, nr, conditions, input)?,
        When::None(conditions) => !any(rules, nr, conditions, input)?,
    };
    Some(match (good, rule.otherwise) {
        (true, _) => Answer::Allow,
        (false, Otherwise::Enosys) => Answer::Errno(ENOSYS),
        (false, Otherwise::Eperm) => Answer::Errno(EPERM),
        (false, Otherwise::Violation) => Answer::Notify,
    })
}

fn all(rules: &Rules<'_>, nr: u32, conditions: &[Condition], input: &mut dyn Input) -> Option<bool> {
    for condition in conditions {
        if !holds(rules, nr, condition, input)? {
            return Some(false);
        }
    }
    Some(true)
}

fn any(rules: &Rules<'_>, nr: u32, conditions: &[Condition], input: &mut dyn Input) -> Option<bool> {
    for condition in conditions {
        if holds(rules, nr, condition, input)? {
            return Some(true);
        }
    }
    Some(false)
}

fn holds(rules: &Rules<'_>, nr: u32, condition: &Condition, input: &mut dyn Input) -> Option<bool> {
    let (index, width) = (rules.argument)(nr, &condition.arg)?;
    let word = Word::Argument(index);
    let width = width.mask();
    let mut equals = |mask: u64, value: u64| {
        let relation = Relation::Equal(value & width);
        input.holds(Question { word, mask: mask & width, relation })
    };
    Some(match &condition.test {
        Test::In(values) => values.iter().any(|&value| equals(u64::MAX, value)),
        Test::MaskedIn { mask, values } => values.iter().any(|&value| equals(*mask, value)),
        Test::AnyBit(bits) => input.holds(Question { word, mask: bits & width, relation: Relation::AnyBit }),
    })
}

fn named(calls: &[u32], input: &mut dyn Input) -> Option<u32> {
    calls.iter().copied().find(|&nr| is(input, Word::Number, Relation::Equal(u64::from(nr))))
}

fn is(input: &mut dyn Input, word: Word, relation: Relation) -> bool {
    input.holds(Question { word, mask: u64::MAX, relation })
}

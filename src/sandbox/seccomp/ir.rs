//! The policy as clauses per call: the form the compiler works from.
//!
//! Guarantees: each named call has an ordered list of conjunctions with an
//! answer each, and an answer when none holds; what cannot be said exactly
//! (an unknown argument, a constant wider than its argument) is an error, not
//! an approximation. Relies on the table of arguments.

use std::collections::BTreeMap;

use super::FIRST_FOREIGN_CALL;
use super::answer::{Answer, EACCES, ENOSYS, EPERM};
use super::compile::NONCE_WORDS;
use super::evaluate::MAX_INSTRUCTIONS;
use super::explain::WATCHED;
use super::meaning::{
    EXECVE, EXECVEAT, FIRST_NONCE_ARGUMENT, HAND_OVER, PROT, Rules, SETS_PROTECTION, WRITE_EXEC, Width,
};
use crate::error::{Error, Kind, Result};
use crate::policy::model::{AllowRule, Condition, Exec, Otherwise, Test, ViolationRule, When, Wx};

/// The most conditions that all rules together may put on one call. Far above
/// any real policy; it bounds the recursion of the passes that follow.
const MAX_CONDITIONS: usize = 128;

/// The most constants that one condition may list. No filter could hold more.
const MAX_CONSTANTS: usize = MAX_INSTRUCTIONS;

/// The most arguments a call has.
const ARGUMENTS: u8 = 6;

/// What one argument is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison<'a> {
    /// Equal to one of these.
    In(&'a [u64]),
    /// Under this mask equal to one of these.
    MaskedIn(u64, &'a [u64]),
    /// At least one of these bits set.
    AnyBit(u64),
    /// Equal to this word of the launch's nonce.
    Nonce(u8),
}

/// One test of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArgumentTest<'a> {
    /// Which argument, 0 to 5.
    pub index: u8,
    /// How much of it counts.
    pub width: Width,
    /// The test.
    pub comparison: Comparison<'a>,
}

/// When all tests hold, this is the answer. No test: always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause<'a> {
    pub tests: Vec<ArgumentTest<'a>>,
    pub then: Answer,
}

/// What happens to one call: the first clause that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome<'a> {
    pub clauses: Vec<Clause<'a>>,
    pub otherwise: Answer,
}

impl<'a> Outcome<'a> {
    /// Whether the supervisor may hear of the call.
    pub(super) fn notifies(&self) -> bool {
        self.clauses.iter().map(|c| c.then).chain([self.otherwise]).any(|a| a == Answer::Notify)
    }

    /// Of a call that no rule names.
    pub(super) const fn absent() -> Self {
        Outcome { clauses: Vec::new(), otherwise: Answer::Errno(ENOSYS) }
    }

    /// The same for a run that is to be explained: what is refused is notified, and what is allowed
    /// as well where it is watched. Neither with the nonce: that is the launcher.
    pub(super) fn explained(self, nr: u32) -> Outcome<'a> {
        let watched = WATCHED.contains(&nr);
        let last = Clause { tests: Vec::new(), then: self.otherwise };
        let mut clauses = Vec::new();
        for clause in self.clauses.into_iter().chain([last]) {
            let heard = match clause.then {
                Answer::Errno(_) => true,
                Answer::Allow => watched,
                Answer::Notify | Answer::Kill => false,
            };
            if heard && of_the_launcher(nr) {
                let tests = clause.tests.iter().copied().chain(nonce_tests()).collect();
                clauses.push(Clause { tests, then: Answer::Allow });
            }
            clauses.push(Clause { then: if heard { Answer::Notify } else { clause.then }, ..clause });
        }
        // The last one has no test.
        Outcome { clauses, otherwise: Answer::Notify }
    }

    /// What the main program of such a run still refuses: what passes the listener with the nonce.
    pub(super) fn refused_with_nonce(self) -> Outcome<'a> {
        let last = Clause { tests: Vec::new(), then: self.otherwise };
        let mut clauses = Vec::new();
        for clause in self.clauses.into_iter().chain([last]) {
            if let Answer::Errno(_) = clause.then {
                let tests = clause.tests.iter().copied().chain(nonce_tests()).collect();
                clauses.push(Clause { tests, then: clause.then });
            }
            clauses.push(Clause { then: Answer::Allow, ..clause });
        }
        Outcome { clauses, otherwise: Answer::Allow }
    }

    /// The same, but what would be notified passes with the nonce.
    fn but_with_nonce(self) -> Outcome<'a> {
        let last = Clause { tests: Vec::new(), then: self.otherwise };
        let mut clauses = Vec::new();
        for clause in self.clauses.into_iter().chain([last]) {
            if clause.then == Answer::Notify {
                let tests = clause.tests.iter().copied().chain(nonce_tests()).collect();
                clauses.push(Clause { tests, then: Answer::Allow });
            }
            clauses.push(clause);
        }
        // The last one has no test.
        Outcome { clauses, otherwise: self.otherwise }
    }
}

/// Whether the launcher makes this call under the listener, with the nonce.
pub(super) fn of_the_launcher(nr: u32) -> bool {
    nr == EXECVE || HAND_OVER.contains(&nr)
}

/// The calls that have an outcome of their own; all others are `ENOSYS`.
pub(super) type Ir<'a> = BTreeMap<u32, Outcome<'a>>;

#[derive(Default)]
struct Named<'a> {
    violations: Vec<&'a ViolationRule>,
    allow: Option<&'a AllowRule>,
}

/// Lowers a policy.
///
/// # Errors
///
/// [`Kind::Policy`] for what has no exact meaning.
pub(super) fn lower<'a>(rules: &Rules<'a>) -> Result<Ir<'a>> {
    let mut named: BTreeMap<u32, Named<'a>> = BTreeMap::new();
    for rule in &rules.syscalls.violations {
        for &nr in &rule.calls {
            named.entry(nr).or_default().violations.push(rule);
        }
    }
    for rule in &rules.syscalls.allow {
        for &nr in &rule.calls {
            let allow = &mut named.entry(nr).or_default().allow;
            if allow.is_some_and(|other| !std::ptr::eq(other, rule)) {
                return Err(refuse(nr, "stands in two allow rules").help("keep one rule for each call"));
            }
            *allow = Some(rule);
        }
    }
    if rules.exec == Exec::LaunchOnly {
        if named.get(&EXECVEAT).is_some_and(|n| n.allow.is_some()) {
            return Err(refuse(EXECVEAT, "is allowed, and would start what exec: launch-only forbids")
                .help("remove it, or set \"exec\": \"image\""));
        }
        named.entry(EXECVE).or_default();
    }
    named.into_iter().map(|(nr, named)| Ok((nr, outcome(rules, nr, &named)?))).collect()
}

fn outcome<'a>(rules: &Rules<'a>, nr: u32, named: &Named<'a>) -> Result<Outcome<'a>> {
    if nr >= FIRST_FOREIGN_CALL {
        return Err(refuse(nr, "is not a number of the x86-64 table"));
    }
    let outcome = for_payload(rules, nr, named)?;
    if outcome.clauses.iter().map(|c| c.tests.len()).sum::<usize>() > MAX_CONDITIONS {
        return Err(refuse(nr, &format!("has more than {MAX_CONDITIONS} conditions"))
            .help("say it with fewer: one condition takes many values with \"in\""));
    }
    Ok(if HAND_OVER.contains(&nr) { outcome.but_with_nonce() } else { outcome })
}

fn for_payload<'a>(rules: &Rules<'a>, nr: u32, named: &Named<'a>) -> Result<Outcome<'a>> {
    let mut clauses = Vec::new();
    for rule in &named.violations {
        let tests = tests(rules, nr, &rule.when)?;
        if tests.is_empty() {
            // Nothing after a rule that always holds can be reached.
            return Ok(Outcome { clauses, otherwise: Answer::Notify });
        }
        clauses.push(Clause { tests, then: Answer::Notify });
    }
    let otherwise = if nr == EXECVE && rules.exec == Exec::LaunchOnly {
        clauses.push(Clause { tests: nonce_tests(), then: Answer::Allow });
        Answer::Errno(EACCES)
    } else if let Some(rule) = named.allow {
        allowed(rules, nr, rule, &mut clauses)?
    } else {
        Answer::Errno(ENOSYS)
    };
    Ok(Outcome { clauses, otherwise })
}

fn nonce_tests<'a>() -> Vec<ArgumentTest<'a>> {
    (FIRST_NONCE_ARGUMENT..)
        .zip(0_u8..)
        .take(NONCE_WORDS)
        .map(|(index, word)| ArgumentTest { index, width: Width::Dword, comparison: Comparison::Nonce(word) })
        .collect()
}

fn allowed<'a>(
    rules: &Rules<'a>,
    nr: u32,
    rule: &'a AllowRule,
    clauses: &mut Vec<Clause<'a>>,
) -> Result<Answer> {
    if rules.wx == Wx::Deny && SETS_PROTECTION.contains(&nr) {
        let comparison = Comparison::MaskedIn(WRITE_EXEC, &[WRITE_EXEC]);
        let tests = vec![ArgumentTest { index: PROT, width: Width::Qword, comparison }];
        clauses.push(Clause { tests, then: Answer::Errno(EPERM) });
    }
    let otherwise = match rule.otherwise {
        Otherwise::Enosys => Answer::Errno(ENOSYS),
        Otherwise::Eperm => Answer::Errno(EPERM),
        Otherwise::Violation => Answer::Notify,
    };
    match &rule.when {
        When::Always => Ok(Answer::Allow),
        When::All(conditions) => {
            clauses.push(Clause { tests: tests(rules, nr, conditions)?, then: Answer::Allow });
            Ok(otherwise)
        }
        When::None(conditions) => {
            for test in tests(rules, nr, conditions)? {
                clauses.push(Clause { tests: vec![test], then: otherwise });
            }
            Ok(Answer::Allow)
        }
    }
}

fn tests<'a>(rules: &Rules<'a>, nr: u32, conditions: &'a [Condition]) -> Result<Vec<ArgumentTest<'a>>> {
    conditions.iter().map(|condition| test(rules, nr, condition)).collect()
}

fn test<'a>(rules: &Rules<'a>, nr: u32, condition: &'a Condition) -> Result<ArgumentTest<'a>> {
    let found = (rules.argument)(nr, &condition.arg).filter(|(index, _)| *index < ARGUMENTS);
    let Some((index, width)) = found else {
        return Err(refuse(nr, &format!("has no argument '{}' that a filter can test", condition.arg)));
    };
    let (mask, values): (Option<u64>, &[u64]) = match &condition.test {
        Test::In(values) => (None, values),
        Test::MaskedIn { mask, values } => (Some(*mask), values),
        Test::AnyBit(bits) => (Some(*bits), &[]),
    };
    if values.len() > MAX_CONSTANTS {
        return Err(refuse(nr, &format!("is tested with more than {MAX_CONSTANTS} constants")));
    }
    if let Some(wide) = mask.iter().chain(values).find(|value| !fits(**value, width)) {
        // Cut to 32 bits it would match what the author did not write.
        return Err(refuse(nr, &format!("is tested with {wide:#x}, but '{}' has 32 bits", condition.arg)));
    }
    let comparison = match &condition.test {
        Test::In(values) => Comparison::In(values),
        Test::MaskedIn { mask, values } => Comparison::MaskedIn(*mask, values),
        Test::AnyBit(bits) => Comparison::AnyBit(*bits),
    };
    Ok(ArgumentTest { index, width, comparison })
}

/// Whether a constant says the same in the argument's width: as it stands, or
/// as a negative number written in 64 bits.
fn fits(value: u64, width: Width) -> bool {
    width == Width::Qword
        || u32::try_from(value).is_ok()
        || i32::try_from(value.cast_signed()).is_ok_and(i32::is_negative)
}

fn refuse(nr: u32, what: &str) -> Error {
    let known = usize::try_from(nr).ok().and_then(syscalls::Sysno::new);
    let name = known.map_or_else(|| format!("call {nr}"), |sysno| format!("'{}'", sysno.name()));
    Error::new(Kind::Policy, format!("the filter cannot be built: {name} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::model::{OnViolation, Syscalls};

    fn table(_: u32, name: &str) -> Option<(u8, Width)> {
        match name {
            "narrow" => Some((1, Width::Dword)),
            "wide" => Some((2, Width::Qword)),
            "beyond" => Some((6, Width::Qword)),
            _ => None,
        }
    }

    fn rule(calls: &[u32], when: When) -> AllowRule {
        AllowRule { calls: calls.to_vec(), when, otherwise: Otherwise::Eperm, comment: String::new() }
    }

    fn condition(arg: &str, test: Test) -> Condition {
        Condition { arg: arg.into(), test }
    }

    fn lowered(allow: Vec<AllowRule>, exec: Exec, check: impl FnOnce(Result<Ir<'_>>)) {
        let violations = vec![ViolationRule { calls: vec![101], when: vec![], comment: String::new() }];
        let on_violation = OnViolation::Kill;
        let syscalls = Syscalls { on_violation, max_violations: 0, allow, violations };
        check(lower(&Rules { syscalls: &syscalls, exec, wx: Wx::Deny, argument: &table }));
    }

    fn refused(allow: Vec<AllowRule>, expected: &str) {
        lowered(allow, Exec::LaunchOnly, |ir| {
            let error = ir.unwrap_err();
            assert_eq!((error.kind(), error.message()), (Kind::Policy, expected));
        });
    }

    fn tested(arg: &str, test: Test) -> Vec<AllowRule> {
        vec![rule(&[0], When::All(vec![condition(arg, test)]))]
    }

    #[test]
    fn condition_that_cannot_be_said_exactly_is_refused() {
        let say = |what| format!("the filter cannot be built: 'read' {what}");
        refused(tested("no_such", Test::AnyBit(1)), &say("has no argument 'no_such' that a filter can test"));
        refused(tested("beyond", Test::AnyBit(1)), &say("has no argument 'beyond' that a filter can test"));
        let wide = say("is tested with 0x100000001, but 'narrow' has 32 bits");
        refused(tested("narrow", Test::In(vec![1, 0x1_0000_0001])), &wide);
        refused(tested("narrow", Test::AnyBit(0x1_0000_0001)), &wide);
        refused(tested("narrow", Test::MaskedIn { mask: 0x1_0000_0001, values: vec![1] }), &wide);
        refused(tested("narrow", Test::MaskedIn { mask: 1, values: vec![0x1_0000_0001] }), &wide);
        let many = (0..4097).collect();
        refused(tested("wide", Test::In(many)), &say("is tested with more than 4096 constants"));
        let conditions = vec![condition("wide", Test::AnyBit(1)); 129];
        refused(vec![rule(&[0], When::None(conditions))], &say("has more than 128 conditions"));
    }

    #[test]
    fn constant_that_fits_its_argument_is_taken() {
        for value in [0, 1, 0xffff_ffff, u64::MAX, 0xffff_ffff_8000_0000] {
            lowered(tested("narrow", Test::In(vec![value])), Exec::LaunchOnly, |ir| assert!(ir.is_ok()));
        }
        for value in [0x1_0000_0000, 0xffff_ffff_7fff_ffff, 1 << 63] {
            lowered(tested("narrow", Test::In(vec![value])), Exec::LaunchOnly, |ir| assert!(ir.is_err()));
            lowered(tested("wide", Test::In(vec![value])), Exec::LaunchOnly, |ir| assert!(ir.is_ok()));
        }
    }

    #[test]
    fn call_with_two_rules_is_refused_and_twice_in_one_is_not() {
        refused(
            vec![rule(&[0, 1], When::Always), rule(&[1], When::Always)],
            "the filter cannot be built: 'write' stands in two allow rules",
        );
        lowered(vec![rule(&[0, 1, 1], When::Always)], Exec::LaunchOnly, |ir| assert!(ir.is_ok()));
    }

    #[test]
    fn second_way_to_execute_is_refused_under_launch_only() {
        refused(
            vec![rule(&[0, EXECVEAT], When::Always)],
            "the filter cannot be built: 'execveat' is allowed, and would start what exec: launch-only forbids",
        );
        lowered(vec![rule(&[0, EXECVEAT], When::Always)], Exec::Image, |ir| assert!(ir.is_ok()));
    }

    #[test]
    fn foreign_number_is_refused() {
        refused(
            vec![rule(&[1 << 30], When::Always)],
            "the filter cannot be built: call 1073741824 is not a number of the x86-64 table",
        );
    }

    #[test]
    fn outcome_of_plain_rules_has_no_clause() {
        lowered(vec![rule(&[0, 9], When::Always)], Exec::LaunchOnly, |ir| {
            let ir = ir.unwrap();
            assert_eq!(ir[&0], Outcome { clauses: vec![], otherwise: Answer::Allow });
            assert_eq!(ir[&101], Outcome { clauses: vec![], otherwise: Answer::Notify });
            // mmap: W and X; execve: the nonce.
            assert_eq!((ir[&9].clauses.len(), ir[&9].clauses[0].then), (1, Answer::Errno(EPERM)));
            assert_eq!(
                (ir[&EXECVE].clauses[0].tests.len(), ir[&EXECVE].otherwise),
                (3, Answer::Errno(EACCES))
            );
            assert_eq!(ir.len(), 4);
        });
    }
}

//! Proof that compiled programs say what the policy means.
//!
//! Guarantees: when [`prove`] returns a [`Proof`], the stack of the compiled
//! programs and [`super::decide`] agree on every architecture, every call
//! number, every value of all six arguments and every nonce. Each program is
//! right by itself, too: the listener notifies what is to be notified and
//! allows what is not killed (the launcher runs under it alone for a moment),
//! the main program allows what is notified and answers the rest.
//!
//! Why that is so:
//!
//! 1. The programs and the policy are both run by code that can see a call
//!    only through yes-or-no questions ([`super::question::Input`]). Two calls
//!    with the same answers to the questions of a run have the same run.
//! 2. The explorer answers a question both ways, unless the earlier answers
//!    about that word leave only one. It goes through all these choices until
//!    none is left, so the runs it makes cover all calls: for any call, follow
//!    the branch that fits it at each choice.
//! 3. A branch is left out only when no value of the word fits: the solver is
//!    exact ([`super::solve`]), and words are independent of each other, so
//!    words that can each be satisfied can be satisfied together. If that were
//!    too generous, a disagreement might be reported that no call shows; one
//!    would never be missed.
//! 4. A run asks the listener, the main program and the policy one after the
//!    other about the same, partly known call, and compares what comes out of
//!    each. There is no sampling: a run stands for all calls with its answers.
//! 5. Comparisons with the nonce are answered both ways without looking at the
//!    word's other answers: that covers every nonce at once, also one that
//!    equals a constant of the policy.
//!
//! Relies on the interpreter being what the kernel does (checked against the
//! kernel by the tests), on [`super::decide`] being what is meant, and on
//! [`Compiled::with_nonce`] changing only the marked instructions.

use std::collections::BTreeMap;
use std::fmt;

use seccompiler::sock_filter;

use super::FIRST_FOREIGN_CALL;
use super::answer::Answer;
use super::compile::{Compiled, Filters, NONCE_WORDS, Program};
use super::evaluate::{Call, Fault, check, more_severe, run_on};
use super::meaning::{Rules, explained, meaning};
use super::question::{ARCH_X86_64, Input, Question, Relation, WORDS, Word};
use super::solve::{Facts, TooHard};

/// The most questions of one proof, some minutes of work. A policy like the
/// shipped ones needs 40,000; one with many 64-bit constants on several
/// arguments of one call multiplies, and the proof gives up rather than run
/// for ever.
const MAX_QUESTIONS: usize = 50_000_000;

/// What a proof went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Runs, each of which stands for all calls with the same answers.
    pub runs: usize,
    /// Questions answered.
    pub questions: usize,
    /// Instructions that no call reaches, as (program in load order, place).
    pub unreached: Vec<(usize, usize)>,
}

/// A call on which programs and policy disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counterexample {
    /// The call.
    pub call: Call,
    /// The nonce under which they disagree.
    pub nonce: [u32; NONCE_WORDS],
    /// What the policy means.
    pub meant: Answer,
    /// What the programs return, in the order in which they are loaded.
    pub returned: Vec<u32>,
}

/// Why nothing is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refuted {
    /// They disagree.
    Differs(Box<Counterexample>),
    /// The kernel would not take a program, or the interpreter does not know it.
    Fault(Fault),
    /// There are too many cases to go through.
    TooHard,
}

impl fmt::Display for Refuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refuted::Differs(counter) => {
                let Counterexample { call, meant, returned, .. } = counter.as_ref();
                write!(
                    f,
                    "call {} of architecture {:#x} with {:#x?} means {meant:?}, the filters return {returned:#x?}",
                    call.nr, call.arch, call.args
                )
            }
            Refuted::Fault(fault) => fault.fmt(f),
            Refuted::TooHard => f.write_str("the policy has too many cases to prove"),
        }
    }
}

impl std::error::Error for Refuted {}

impl From<Fault> for Refuted {
    fn from(fault: Fault) -> Self {
        Refuted::Fault(fault)
    }
}

/// Proves that compiled programs say what the policy means, for every call.
///
/// # Errors
///
/// A call for which they do not, or why the proof was given up.
pub fn prove(compiled: &Compiled, rules: &Rules<'_>) -> Result<Proof, Refuted> {
    explore(&compiled.parts(), &|input| meaning(rules, input))
}

/// Proves of the programs of [`super::compile_explaining`] that for every call they do one of these:
/// kill what the policy kills; notify what it refuses, or what it allows and is watched; or what it
/// means. So nothing passes that the policy does not allow, but for what is answered to a
/// notification: see [`super::reply`].
///
/// # Errors
///
/// A call for which they do not, or why the proof was given up.
pub fn prove_explaining(compiled: &Compiled, rules: &Rules<'_>) -> Result<Proof, Refuted> {
    explore(&compiled.parts(), &|input| explained(rules, input))
}

impl Compiled {
    fn parts(&self) -> Vec<(&Program, Part)> {
        let listener = self.listener.as_ref().map(|program| (program, Part::Listener));
        listener.into_iter().chain([(&self.main, Part::Main)]).collect()
    }
}

/// Proves the same of the programs of one launch, under its nonce. Takes any
/// programs, also such as [`super::compile`] never made.
///
/// # Errors
///
/// A call for which they do not, or why the proof was given up.
pub fn prove_filters(
    filters: &Filters,
    nonce: [u32; NONCE_WORDS],
    rules: &Rules<'_>,
) -> Result<Proof, Refuted> {
    let unmarked = |code: &Vec<sock_filter>| Program { code: code.clone(), nonce: Vec::new() };
    let (listener, main) = (filters.listener.as_ref().map(unmarked), unmarked(&filters.main));
    let listener = listener.as_ref().map(|program| (program, Part::Listener));
    let programs: Vec<_> = listener.into_iter().chain([(&main, Part::Main)]).collect();
    explore(&programs, &|input| meaning(rules, &mut OneNonce { input, nonce }))
}

/// Proves that a program allows exactly these calls and kills for the rest.
///
/// # Errors
///
/// A call for which it does not, or why the proof was given up.
pub fn prove_init(code: &[sock_filter], calls: &[u32]) -> Result<Proof, Refuted> {
    let program = Program { code: code.to_vec(), nonce: Vec::new() };
    let is = |input: &mut dyn Input, word, relation| input.holds(Question { word, mask: u64::MAX, relation });
    explore(&[(&program, Part::Main)], &|input| {
        let native = is(input, Word::Arch, Relation::Equal(u64::from(ARCH_X86_64)))
            && !is(input, Word::Number, Relation::AtLeast(u64::from(FIRST_FOREIGN_CALL)));
        let named = |input: &mut dyn Input| {
            calls.iter().any(|&nr| is(input, Word::Number, Relation::Equal(u64::from(nr))))
        };
        if native && named(input) { Answer::Allow } else { Answer::Kill }
    })
}

/// What a program is for.
#[derive(Clone, Copy)]
enum Part {
    Listener,
    Main,
}

impl Part {
    /// What a program has to return by itself where this is meant.
    fn returns(self, meant: Answer) -> u32 {
        match (self, meant) {
            (_, Answer::Kill) => libc::SECCOMP_RET_KILL_PROCESS,
            (Part::Listener, Answer::Notify) => libc::SECCOMP_RET_USER_NOTIF,
            (Part::Listener, _) | (Part::Main, Answer::Notify) => libc::SECCOMP_RET_ALLOW,
            (Part::Main, other) => other.to_return(),
        }
    }
}

/// Goes through all runs of programs in load order.
fn explore(
    programs: &[(&Program, Part)],
    meant: &dyn Fn(&mut dyn Input) -> Answer,
) -> Result<Proof, Refuted> {
    for (program, _) in programs {
        check(&program.code)?;
    }
    let mut reached: Vec<Vec<bool>> = programs.iter().map(|(p, _)| vec![false; p.code.len()]).collect();
    let mut explorer = Explorer::default();
    let mut runs = 0;
    loop {
        runs += 1;
        if explorer.gave_up() {
            return Err(Refuted::TooHard);
        }
        explorer.restart();
        let mut returned = Vec::with_capacity(programs.len());
        for ((program, _), reached) in programs.iter().zip(&mut reached) {
            returned.push(run_on(&program.code, &program.nonce, &mut explorer, &mut |at| {
                if let Some(reached) = reached.get_mut(at) {
                    *reached = true;
                }
            })?);
        }
        let meant = meant(&mut explorer);
        if explorer.gave_up() {
            return Err(Refuted::TooHard);
        }
        let together = returned.iter().rev().fold(libc::SECCOMP_RET_ALLOW, |a, &b| more_severe(a, b));
        let apart = programs.iter().map(|(_, part)| part.returns(meant));
        if Answer::from_return(together) != Some(meant) || !apart.eq(returned.iter().copied()) {
            return Err(Refuted::Differs(Box::new(explorer.counterexample(meant, returned))));
        }
        if !explorer.another() {
            break;
        }
    }
    let unreached = reached.iter().enumerate().flat_map(|(program, reached)| {
        reached.iter().enumerate().filter(|(_, reached)| !**reached).map(move |(at, _)| (program, at))
    });
    Ok(Proof { runs, questions: explorer.questions, unreached: unreached.collect() })
}

/// An answer that could have been the other one.
struct Choice {
    answer: bool,
    /// Whether the other one was tried before.
    second: bool,
}

/// Asks about one known nonce instead of any.
struct OneNonce<'a> {
    input: &'a mut dyn Input,
    nonce: [u32; NONCE_WORDS],
}

impl Input for OneNonce<'_> {
    fn holds(&mut self, question: Question) -> bool {
        let relation = match question.relation {
            Relation::Nonce(word) => match self.nonce.get(usize::from(word)) {
                Some(&value) => Relation::Equal(u64::from(value)),
                None => return false,
            },
            other => other,
        };
        self.input.holds(Question { relation, ..question })
    }
}

/// Answers questions in every possible way, one way a run.
#[derive(Default)]
pub(super) struct Explorer {
    choices: Vec<Choice>,
    /// How many of the choices this run has come by.
    passed: usize,
    words: Vec<Facts>,
    /// Comparisons with the nonce, by what is compared.
    nonce: BTreeMap<Question, bool>,
    questions: usize,
    too_hard: bool,
}

impl Explorer {
    /// Begins a run: the choices are taken again up to the last one.
    pub(super) fn restart(&mut self) {
        self.passed = 0;
        self.nonce.clear();
        let words = [Word::Arch, Word::Number].into_iter().chain((0..6).map(Word::Argument));
        self.words = words.map(|word| Facts::nothing(word.bits())).collect();
        debug_assert_eq!(self.words.len(), WORDS);
    }

    /// Changes the last choice that has another side; `false` when all is done.
    pub(super) fn another(&mut self) -> bool {
        while let Some(choice) = self.choices.last_mut() {
            if !choice.second {
                choice.second = true;
                choice.answer = !choice.answer;
                return true;
            }
            self.choices.pop();
        }
        false
    }

    /// One side of a choice; the given one when it comes up first.
    fn choose(&mut self, first: bool) -> bool {
        let answer = match self.choices.get(self.passed) {
            Some(choice) => choice.answer,
            None => {
                self.choices.push(Choice { answer: first, second: false });
                first
            }
        };
        self.passed += 1;
        answer
    }

    /// Whether there were more cases than can be gone through.
    pub(super) fn gave_up(&self) -> bool {
        self.too_hard || self.questions > MAX_QUESTIONS
    }

    /// The arguments of a call that fits the answers of this run.
    pub(super) fn arguments(&self) -> [u64; 6] {
        [0, 1, 2, 3, 4, 5].map(|index| self.word(Word::Argument(index)))
    }

    fn word(&self, word: Word) -> u64 {
        self.words.get(word.index()).map_or(0, Facts::witness)
    }

    /// A call that fits the answers of this run.
    fn counterexample(&self, meant: Answer, returned: Vec<u32>) -> Counterexample {
        let value = |word: Word| self.word(word);
        let half = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or_default();
        let mut nonce = [0; NONCE_WORDS];
        for (question, equal) in &self.nonce {
            if let Relation::Nonce(word) = question.relation
                && let Some(nonce) = nonce.get_mut(usize::from(word))
            {
                let seen = half(value(question.word) & question.mask);
                *nonce = if *equal { seen } else { seen.wrapping_add(1) };
            }
        }
        let args = self.arguments();
        let call = Call { arch: half(value(Word::Arch)), nr: half(value(Word::Number)), args };
        Counterexample { call, nonce, meant, returned }
    }
}

impl Input for Explorer {
    fn holds(&mut self, question: Question) -> bool {
        self.questions += 1;
        if let Relation::Nonce(_) = question.relation {
            if let Some(&answer) = self.nonce.get(&question) {
                return answer;
            }
            let answer = self.choose(true);
            self.nonce.insert(question, answer);
            return answer;
        }
        let Some(facts) = self.words.get(question.word.index()) else {
            self.too_hard = true;
            return false;
        };
        let present = facts.answer(question);
        let other = match facts.alternative(question) {
            // Only one answer is possible; knowing it tells nothing new.
            Ok(None) => return present,
            Ok(Some(other)) => other,
            Err(TooHard) => {
                self.too_hard = true;
                return present;
            }
        };
        let witness = facts.witness();
        let answer = self.choose(present);
        if let Some(facts) = self.words.get_mut(question.word.index()) {
            facts.learn(question, answer, if answer == present { witness } else { other });
        }
        answer
    }
}

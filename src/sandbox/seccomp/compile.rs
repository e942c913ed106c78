//! From a policy to the two programs of a box.
//!
//! Guarantees: what comes out is complete and taken by the kernel. Relies on
//! the passes it calls, which [`super::prove`] checks.

use seccompiler::sock_filter;

use super::FIRST_FOREIGN_CALL;
use super::answer::{Answer, ENOSYS};
use super::evaluate::{OFFSET_ARCH, OFFSET_NUMBER, check};
use super::explain::UNSEEN;
use super::graph::{Constant, Graph, Id, Test};
use super::ir::{self, Outcome};
use super::layout::lay_out;
use super::meaning::{EXECVE, HAND_OVER, Rules};
use super::question::ARCH_X86_64;
use super::reduce::Reduce;
use super::search::Segments;
use crate::error::{Error, Kind, Result};

/// How many 32-bit words the nonce of a launch has. 96 bits in three
/// arguments: `execve` has three more than it uses.
pub const NONCE_WORDS: usize = 3;

/// About how many numbers the kernel tries when a filter is loaded (the size
/// of its call table). Only a weight: ranges above cost nothing at load.
const CALL_TABLE: u32 = 470;

/// The most single numbers tested one after another on the way to a call.
const DISPATCH_CHAIN: usize = 3;

/// Instructions that are complete but for the nonce of the launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub(super) code: Vec<sock_filter>,
    pub(super) nonce: Vec<(usize, u8)>,
}

impl Program {
    /// How many instructions it has.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.code.len()
    }

    /// Which instructions compare with which word of the nonce.
    #[must_use]
    pub fn nonce_positions(&self) -> &[(usize, u8)] {
        &self.nonce
    }

    fn with_nonce(&self, nonce: [u32; NONCE_WORDS]) -> Vec<sock_filter> {
        let mut code = self.code.clone();
        for &(position, word) in &self.nonce {
            if let (Some(instruction), Some(&value)) = (code.get_mut(position), nonce.get(usize::from(word)))
            {
                instruction.k = value;
            }
        }
        code
    }
}

/// A policy's programs before the nonce of a launch is known. They cannot be
/// loaded, only completed: a filter without a fresh nonce would not keep its
/// promise about `execve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    pub(super) listener: Option<Program>,
    pub(super) main: Program,
}

impl Compiled {
    /// The program that notifies violations; `None` when there are none.
    #[must_use]
    pub fn listener(&self) -> Option<&Program> {
        self.listener.as_ref()
    }

    /// The program that allows and refuses.
    #[must_use]
    pub fn main(&self) -> &Program {
        &self.main
    }

    /// How many programs there are.
    #[must_use]
    pub fn filters(&self) -> usize {
        1 + usize::from(self.listener.is_some())
    }

    /// How many instructions they have together.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.main.instructions() + self.listener.as_ref().map_or(0, Program::instructions)
    }

    /// The programs for one launch. The nonce must be fresh and random: it is
    /// what tells the launcher's `execve` from the payload's.
    #[must_use]
    pub fn with_nonce(&self, nonce: [u32; NONCE_WORDS]) -> Filters {
        Filters {
            listener: self.listener.as_ref().map(|p| p.with_nonce(nonce)),
            main: self.main.with_nonce(nonce),
        }
    }
}

/// The programs of one launch, as the kernel takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filters {
    /// Loaded first, with `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
    pub listener: Option<Vec<sock_filter>>,
    /// Loaded second, after the listener's descriptor was handed over.
    pub main: Vec<sock_filter>,
}

impl Filters {
    /// The programs in the order in which they are loaded.
    #[must_use]
    pub fn in_order(&self) -> Vec<&[sock_filter]> {
        self.listener.iter().chain([&self.main]).map(Vec::as_slice).collect()
    }
}

/// Compiles a policy.
///
/// # Errors
///
/// [`Kind::Policy`] when a condition cannot be said exactly (unknown argument,
/// constant wider than the argument), a call stands in two allow rules, or the
/// result is larger than the kernel takes.
pub fn compile(rules: &Rules<'_>) -> Result<Compiled> {
    let ir = ir::lower(rules)?;
    let mut graph = Graph::default();
    let mut reduce = Reduce::default();
    let mut main = Dispatch::new(&mut graph, Answer::Errno(ENOSYS));
    let mut listener = Dispatch::new(&mut graph, Answer::Allow);
    for (nr, outcome) in &ir {
        let raw = graph.outcome(outcome, &in_main)?;
        main.call(*nr, reduce.reduce(&mut graph, raw));
        if outcome.notifies() {
            let raw = graph.outcome(outcome, &in_listener)?;
            listener.call(*nr, reduce.reduce(&mut graph, raw));
        }
    }
    let listener = if listener.is_used() { Some(listener.finish(&mut graph)?) } else { None };
    Ok(Compiled { listener, main: main.finish(&mut graph)? })
}

/// Compiles a policy for a run that is to be explained: the listener hears of every call that the
/// policy refuses, and of the allowed ones that may fail for want of a path or of room. See
/// `explain` for who answers, and how.
///
/// # Errors
///
/// As [`compile`].
pub fn compile_explaining(rules: &Rules<'_>) -> Result<Compiled> {
    let mut ir = ir::lower(rules)?;
    for nr in UNSEEN.into_iter().chain(HAND_OVER).chain([EXECVE]) {
        ir.entry(nr).or_insert_with(Outcome::absent);
    }
    let mut graph = Graph::default();
    let mut reduce = Reduce::default();
    let mut main = Dispatch::new(&mut graph, Answer::Allow);
    let mut listener = Dispatch::new(&mut graph, Answer::Notify);
    for (nr, outcome) in ir {
        let heard = if UNSEEN.contains(&nr) {
            let raw = graph.outcome(&outcome, &in_main)?;
            main.call(nr, reduce.reduce(&mut graph, raw));
            outcome
        } else {
            if ir::of_the_launcher(nr) {
                let raw = graph.outcome(&outcome.clone().refused_with_nonce(), &in_main)?;
                main.call(nr, reduce.reduce(&mut graph, raw));
            }
            outcome.explained(nr)
        };
        let raw = graph.outcome(&heard, &in_listener)?;
        listener.call(nr, reduce.reduce(&mut graph, raw));
    }
    Ok(Compiled { listener: Some(listener.finish(&mut graph)?), main: main.finish(&mut graph)? })
}

/// The program of the box's own pid 1: these calls and nothing else. Anything
/// else kills it, and with it the box.
///
/// # Errors
///
/// [`Kind::Policy`] when a number is not one of the x86-64 table.
pub fn compile_init(calls: &[u32]) -> Result<Vec<sock_filter>> {
    let mut calls = calls.to_vec();
    calls.sort_unstable();
    calls.dedup();
    if let Some(nr) = calls.iter().find(|nr| **nr >= FIRST_FOREIGN_CALL) {
        let message = format!("the filter cannot be built: {nr:#x} is not a number of the x86-64 table");
        return Err(Error::new(Kind::Policy, message));
    }
    let mut graph = Graph::default();
    let mut init = Dispatch::new(&mut graph, Answer::Kill);
    let allow = graph.end(Answer::Allow.to_return());
    for nr in calls {
        init.call(nr, allow);
    }
    Ok(init.finish(&mut graph)?.code)
}

/// What the main program returns where the two together give this answer: an
/// `ERRNO` of one would beat the other's `USER_NOTIF`.
fn in_main(answer: Answer) -> u32 {
    match answer {
        Answer::Notify => Answer::Allow.to_return(),
        other => other.to_return(),
    }
}

/// What the listener returns where the two together give this answer.
fn in_listener(answer: Answer) -> u32 {
    match answer {
        Answer::Notify => answer.to_return(),
        _ => Answer::Allow.to_return(),
    }
}

/// From the architecture and the number of a call to what happens to it.
struct Dispatch {
    segments: Segments,
    /// The first number that no segment covers yet.
    next: u32,
    otherwise: Id,
    used: bool,
}

impl Dispatch {
    fn new(graph: &mut Graph, otherwise: Answer) -> Self {
        let otherwise = graph.end(otherwise.to_return());
        Self { segments: Segments::default(), next: 0, otherwise, used: false }
    }

    /// What happens to one call; calls come in ascending order.
    fn call(&mut self, nr: u32, target: Id) {
        self.push(self.next, nr, self.otherwise);
        self.push(nr, nr.saturating_add(1), target);
        self.used |= target != self.otherwise;
    }

    fn push(&mut self, start: u32, end: u32, target: Id) {
        if start < end {
            let tried = end.min(CALL_TABLE).saturating_sub(start);
            self.segments.push(start, target, tried);
            self.next = end;
        }
    }

    /// Whether any call has something else than the rest.
    fn is_used(&self) -> bool {
        self.used
    }

    fn finish(mut self, graph: &mut Graph) -> Result<Program> {
        let kill = graph.end(Answer::Kill.to_return());
        self.push(self.next, FIRST_FOREIGN_CALL, self.otherwise);
        self.segments.push(FIRST_FOREIGN_CALL, kill, 0);
        let search = self.segments.search(graph, DISPATCH_CHAIN).unwrap_or(kill);
        let search = graph.load(OFFSET_NUMBER, search);
        let native = graph.jump(Test::Equal, Constant::Value(ARCH_X86_64), search, kill);
        let root = graph.load(OFFSET_ARCH, native);
        let laid = lay_out(graph, root)?;
        check(&laid.code).map_err(|fault| {
            Error::new(Kind::Policy, format!("the filter cannot be built: the compiler is wrong: {fault}"))
        })?;
        Ok(Program { code: laid.code, nonce: laid.nonce })
    }
}

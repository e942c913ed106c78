//! Decisions as a graph without cycles, in which equal parts are one part.
//!
//! Guarantees: nodes are made once (equal nodes have one id), tests that
//! cannot go but one way are not made at all. Relies on seccompiler for the
//! code of each argument test: its instructions are read back into nodes, so
//! that they can be shared, shortened and laid out anew. Nothing here has to
//! be trusted, [`super::prove`] looks at the instructions that come out.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule, sock_filter};

use super::evaluate::{AND, JUMP, JUMP_ABOVE, JUMP_ANY_BIT, JUMP_AT_LEAST, JUMP_EQUAL, LOAD};
use super::ir::{ArgumentTest, Comparison, Outcome};
use super::meaning::Width;
use crate::error::{Error, Kind, Result};

/// A node of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(u32);

impl Id {
    /// Its place in tables with one entry a node.
    pub(super) fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// What a jump compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Constant {
    /// This value.
    Value(u32),
    /// A word of the launch's nonce, not known yet.
    Nonce(u8),
}

/// How a jump compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Test {
    Equal,
    AtLeast,
    Above,
    AnyBit,
}

impl Test {
    /// Its instruction code.
    pub(super) fn code(self) -> u16 {
        match self {
            Test::Equal => JUMP_EQUAL,
            Test::AtLeast => JUMP_AT_LEAST,
            Test::Above => JUMP_ABOVE,
            Test::AnyBit => JUMP_ANY_BIT,
        }
    }

    fn from_code(code: u16) -> Option<Self> {
        [Test::Equal, Test::AtLeast, Test::Above, Test::AnyBit].into_iter().find(|t| t.code() == code)
    }

    /// What it says of a known value.
    pub(super) fn holds(self, value: u32, k: u32) -> bool {
        match self {
            Test::Equal => value == k,
            Test::AtLeast => value >= k,
            Test::Above => value > k,
            Test::AnyBit => value & k != 0,
        }
    }
}

/// One step of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// The end.
    Return(u32),
    /// Loads a half word.
    Load { offset: u32, next: Id },
    /// Keeps some bits of what is loaded.
    And { mask: u32, next: Id },
    /// Goes one way or the other.
    Jump { test: Test, k: Constant, yes: Id, no: Id },
}

/// Room for a policy of the shipped sizes, so that tables need not grow while
/// a launch waits.
const ROOM: usize = 768;

/// Nodes that refer only to nodes made before them.
pub(super) struct Graph {
    nodes: Vec<Node>,
    /// For each node the half words that are loaded there or after it, one bit
    /// each.
    reads: Vec<u16>,
    ids: HashMap<Node, Id, BuildHasherDefault<Mix>>,
}

impl Default for Graph {
    fn default() -> Self {
        let (nodes, reads) = (Vec::with_capacity(ROOM), Vec::with_capacity(ROOM));
        Self { nodes, reads, ids: HashMap::with_capacity_and_hasher(ROOM, <_>::default()) }
    }
}

impl Graph {
    /// The node of an id.
    pub(super) fn node(&self, id: Id) -> Node {
        // Ids are made here only, and nodes never go away.
        self.nodes.get(id.index()).copied().unwrap_or(Node::Return(libc::SECCOMP_RET_KILL_PROCESS))
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn intern(&mut self, node: Node) -> Id {
        if let Some(&id) = self.ids.get(&node) {
            return id;
        }
        let id = Id(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let after = |id: Id| self.reads.get(id.index()).copied().unwrap_or_default();
        let reads = match node {
            Node::Return(_) => 0,
            Node::Load { offset, next } => half_word(offset) | after(next),
            Node::And { next, .. } => after(next),
            Node::Jump { yes, no, .. } => after(yes) | after(no),
        };
        self.nodes.push(node);
        self.reads.push(reads);
        self.ids.insert(node, id);
        id
    }

    /// Whether the half word at this offset is loaded there or after it.
    pub(super) fn reads(&self, id: Id, offset: u32) -> bool {
        self.reads.get(id.index()).is_some_and(|reads| reads & half_word(offset) != 0)
    }

    /// The end with this value.
    pub(super) fn end(&mut self, value: u32) -> Id {
        self.intern(Node::Return(value))
    }

    /// Loads, then goes on.
    pub(super) fn load(&mut self, offset: u32, next: Id) -> Id {
        match self.node(next) {
            // Neither looks at what was loaded before.
            Node::Return(_) | Node::Load { .. } => next,
            Node::And { .. } | Node::Jump { .. } => self.intern(Node::Load { offset, next }),
        }
    }

    /// Keeps some bits, then goes on. Both ways of a test that follows begin
    /// with a load of their own or end, so that a test may take the mask in.
    fn and(&mut self, mask: u32, next: Id) -> Id {
        if mask == u32::MAX {
            return next;
        }
        match self.node(next) {
            Node::Jump { test: Test::Equal, k: Constant::Value(k), yes, no } => {
                if k & !mask != 0 {
                    no
                } else if mask == 0 {
                    yes
                } else if k == 0 {
                    self.jump(Test::AnyBit, Constant::Value(mask), no, yes)
                } else if k == mask && mask.is_power_of_two() {
                    self.jump(Test::AnyBit, Constant::Value(mask), yes, no)
                } else {
                    self.masked(mask, next)
                }
            }
            _ => self.masked(mask, next),
        }
    }

    /// Keeps some bits, then goes on, whatever that relies on.
    pub(super) fn masked(&mut self, mask: u32, next: Id) -> Id {
        match self.node(next) {
            Node::Return(_) | Node::Load { .. } => next,
            Node::And { .. } | Node::Jump { .. } => self.intern(Node::And { mask, next }),
        }
    }

    /// Goes one way or the other.
    pub(super) fn jump(&mut self, test: Test, k: Constant, yes: Id, no: Id) -> Id {
        if yes == no { yes } else { self.intern(Node::Jump { test, k, yes, no }) }
    }

    /// What happens to a call, with `value` choosing the return value of each
    /// answer.
    pub(super) fn outcome(
        &mut self,
        outcome: &Outcome<'_>,
        value: &dyn Fn(super::Answer) -> u32,
    ) -> Result<Id> {
        let mut id = self.end(value(outcome.otherwise));
        for clause in outcome.clauses.iter().rev() {
            let no = id;
            id = self.end(value(clause.then));
            for test in clause.tests.iter().rev() {
                id = self.test(test, id, no)?;
            }
        }
        Ok(id)
    }

    fn test(&mut self, test: &ArgumentTest<'_>, yes: Id, no: Id) -> Result<Id> {
        let width = test.width.mask();
        match test.comparison {
            Comparison::In(values) => {
                let mut id = no;
                for &value in values.iter().rev() {
                    id = self.atom(test, SeccompCmpOp::Eq, value & width, None, yes, id)?;
                }
                Ok(id)
            }
            Comparison::MaskedIn(mask, values) => {
                let mut id = no;
                // seccompiler masks the value too; a value with other bits is
                // never equal, not equal to something else.
                for &value in values.iter().rev().filter(|v| *v & width & !mask == 0) {
                    id = self.atom(test, SeccompCmpOp::MaskedEq(mask), value, None, yes, id)?;
                }
                Ok(id)
            }
            Comparison::AnyBit(bits) => self.atom(test, SeccompCmpOp::MaskedEq(bits), 0, None, no, yes),
            Comparison::Nonce(word) => self.atom(test, SeccompCmpOp::Eq, 0, Some(word), yes, no),
        }
    }

    /// One comparison, in seccompiler's code.
    fn atom(
        &mut self,
        test: &ArgumentTest<'_>,
        op: SeccompCmpOp,
        value: u64,
        nonce: Option<u8>,
        yes: Id,
        no: Id,
    ) -> Result<Id> {
        let length = match test.width {
            Width::Dword => SeccompCmpArgLen::Dword,
            Width::Qword => SeccompCmpArgLen::Qword,
        };
        let program: BpfProgram = SeccompCondition::new(test.index, length, op, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|e| Error::new(Kind::Policy, format!("the filter cannot be built: {e}")))?
            .into();
        self.read(&program, nonce, yes, no).ok_or_else(|| {
            Error::new(Kind::Policy, "the filter cannot be built: seccompiler gave code of an unknown form")
        })
    }

    /// Reads a rule of seccompiler back: it ends by running past its last
    /// instruction when it holds, and jumps one further when it does not.
    fn read(&mut self, program: &[sock_filter], nonce: Option<u8>, yes: Id, no: Id) -> Option<Id> {
        let length = program.len();
        // From the end: jumps go forward only.
        let mut ids: Vec<Option<Id>> = vec![None; length + 2];
        *ids.get_mut(length)? = Some(yes);
        *ids.get_mut(length + 1)? = Some(no);
        for (at, instruction) in program.iter().enumerate().rev() {
            let target = |skip: u32| -> Option<Id> {
                ids.get(at.checked_add(1)?.checked_add(usize::try_from(skip).ok()?)?).copied().flatten()
            };
            let k = instruction.k;
            let id = match instruction.code {
                LOAD => target(0).map(|next| self.load(k, next)),
                AND => target(0).map(|next| self.and(k, next)),
                JUMP => target(k),
                code => {
                    let test = Test::from_code(code)?;
                    let k = nonce.map_or(Constant::Value(k), Constant::Nonce);
                    match (target(u32::from(instruction.jt)), target(u32::from(instruction.jf))) {
                        (Some(yes), Some(no)) => Some(self.jump(test, k, yes, no)),
                        _ => None,
                    }
                }
            };
            *ids.get_mut(at)? = id;
        }
        ids.first().copied().flatten()
    }
}

/// The bit of a half word among the sixteen of `struct seccomp_data`.
fn half_word(offset: u32) -> u16 {
    1_u16.checked_shl(offset / 4).unwrap_or_default()
}

/// A quick hash for small keys that nobody chooses to collide: the worst a
/// policy could do is to be slow for its own author.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        // A product's low bits are its worst, and the table wants those.
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        // The multiplier of the Fx hash: odd, with bits all over.
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        // The discriminants of enums come this way.
        self.write_u64(value.cast_unsigned() as u64);
    }
}

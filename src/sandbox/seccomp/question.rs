//! Questions about one call: all that a filter, or a policy, can learn of it.
//!
//! Guarantees: whoever is written against [`Input`] sees a call only through
//! yes-or-no questions on single words. A call is then fully described, for
//! its purposes, by the answers it was given: that is what [`super::prove`]
//! rests on.

/// The architecture of a 64-bit call on x86 (`AUDIT_ARCH_X86_64`). x32 calls
/// have it too, 32-bit entry has another.
pub const ARCH_X86_64: u32 = 0xc000_003e;

/// A word of `struct seccomp_data`. The instruction pointer is left out: no
/// rule of ours looks at it, and a payload can move its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Word {
    /// The calling convention.
    Arch,
    /// The number of the call.
    Number,
    /// An argument, 0 to 5, all 64 bits.
    Argument(u8),
}

/// How many [`Word`]s there are.
pub(super) const WORDS: usize = 8;

impl Word {
    /// Its place among all words.
    pub(super) fn index(self) -> usize {
        match self {
            Word::Arch => 0,
            Word::Number => 1,
            Word::Argument(index) => 2 + usize::from(index),
        }
    }

    /// How many bits it has.
    pub(super) fn bits(self) -> u32 {
        match self {
            Word::Arch | Word::Number => 32,
            Word::Argument(_) => 64,
        }
    }
}

/// What is asked about `word & mask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Relation {
    /// Is it this value?
    Equal(u64),
    /// Is it this value or above?
    AtLeast(u64),
    /// Is it above this value?
    Above(u64),
    /// Is any bit set?
    AnyBit,
    /// Is it this word of the launch's nonce?
    Nonce(u8),
}

/// One yes-or-no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Question {
    /// The word it is about.
    pub word: Word,
    /// The bits looked at.
    pub mask: u64,
    /// What is asked about them.
    pub relation: Relation,
}

impl Question {
    /// The answer for a known value of the word and a known nonce.
    pub(super) fn answer(&self, value: u64, nonce: &[u32]) -> bool {
        let seen = value & self.mask;
        match self.relation {
            Relation::Equal(k) => seen == k,
            Relation::AtLeast(k) => seen >= k,
            Relation::Above(k) => seen > k,
            Relation::AnyBit => seen != 0,
            Relation::Nonce(word) => nonce.get(usize::from(word)).is_some_and(|&n| seen == u64::from(n)),
        }
    }
}

/// Something that answers questions about one call.
pub(super) trait Input {
    /// The answer; the same question always has the same one.
    fn holds(&mut self, question: Question) -> bool;
}

/// A call of which everything is known.
pub(super) struct Known<'a> {
    /// The values of all words, by [`Word::index`].
    pub words: [u64; WORDS],
    /// The launch's nonce; empty where the programs already contain it.
    pub nonce: &'a [u32],
}

impl Input for Known<'_> {
    fn holds(&mut self, question: Question) -> bool {
        let value = self.words.get(question.word.index()).copied().unwrap_or_default();
        question.answer(value, self.nonce)
    }
}

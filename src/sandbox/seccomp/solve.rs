//! Which values one word can still have, given answers about it.
//!
//! Guarantees: exact. [`Facts::alternative`] finds a value whenever there is
//! one, and says there is none only when there is none: it goes through the
//! bits of the word from the highest, and keeps for each prefix which answers
//! are still open. Two prefixes with the same open answers have the same
//! continuations, so one of them is enough.

use std::collections::BTreeMap;

use super::question::{Question, Relation};

/// The most prefixes kept at one bit. Real policies need a handful; beyond
/// this the proof gives up rather than run for ever.
const MAX_PREFIXES: usize = 1 << 14;

/// The question is too hard: nothing is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooHard;

/// Answers about one word, and a value that agrees with all of them.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    bits: u32,
    known: Vec<(Question, bool)>,
    witness: u64,
}

impl Facts {
    /// Nothing is known about a word of so many bits.
    pub(super) fn nothing(bits: u32) -> Self {
        Self { bits, known: Vec::new(), witness: 0 }
    }

    /// A value that agrees with all that is known.
    pub(super) fn witness(&self) -> u64 {
        self.witness
    }

    /// The answer for the present value.
    pub(super) fn answer(&self, question: Question) -> bool {
        question.answer(self.witness, &[])
    }

    /// A value that agrees with all that is known and gives the other answer;
    /// `None` when all that is known implies the present one.
    pub(super) fn alternative(&self, question: Question) -> Result<Option<u64>, TooHard> {
        let wanted = !self.answer(question);
        let all = u64::MAX >> (64 - self.bits);
        if let (Relation::Equal(k), true) = (question.relation, wanted)
            && question.mask & all == all
        {
            // One candidate only. Most questions are of this kind.
            return Ok(self.agrees(k).then_some(k).filter(|k| k & !all == 0));
        }
        let mut facts = self.known.clone();
        facts.push((question, wanted));
        solve(&facts, self.bits)
    }

    /// From now on the question has this answer, as the given value has it.
    pub(super) fn learn(&mut self, question: Question, answer: bool, witness: u64) {
        self.known.push((question, answer));
        self.witness = witness;
    }

    fn agrees(&self, value: u64) -> bool {
        self.known.iter().all(|(question, answer)| question.answer(value, &[]) == *answer)
    }
}

/// A value of so many bits that agrees with all facts.
fn solve(facts: &[(Question, bool)], bits: u32) -> Result<Option<u64>, TooHard> {
    // Each prefix by the facts that it leaves open.
    let mut prefixes = BTreeMap::from([((0..facts.len()).collect::<Vec<_>>(), 0_u64)]);
    for bit in (0..bits).rev() {
        let mut next = BTreeMap::new();
        for (open, prefix) in &prefixes {
            for one in [false, true] {
                let value = prefix | u64::from(one) << bit;
                let Some(open) = still_open(facts, open, bit, one) else { continue };
                if open.is_empty() {
                    return Ok(Some(value));
                }
                next.entry(open).or_insert(value);
            }
        }
        if next.len() > MAX_PREFIXES {
            return Err(TooHard);
        }
        prefixes = next;
    }
    // Below the last bit nothing is left, so nothing is open any more.
    Ok(None)
}

/// The facts left open after one more bit; `None` when one of them failed.
fn still_open(facts: &[(Question, bool)], open: &[usize], bit: u32, one: bool) -> Option<Vec<usize>> {
    let mut left = Vec::with_capacity(open.len());
    for &index in open {
        let (question, answer) = facts.get(index)?;
        let seen = one && question.mask >> bit & 1 == 1;
        // What the bits below can still show, with the value to compare with.
        let below = (1_u64 << bit) - 1;
        let (settled, at_the_end, k) = match question.relation {
            Relation::AnyBit => (seen.then_some(true), false, 0),
            Relation::Equal(k) => ((seen != (k >> bit & 1 == 1)).then_some(false), true, k),
            // The first bit that differs decides the order.
            Relation::AtLeast(k) => ((seen != (k >> bit & 1 == 1)).then_some(seen), true, k),
            Relation::Above(k) => ((seen != (k >> bit & 1 == 1)).then_some(seen), false, k),
            // Never a fact about a word: see the explorer.
            Relation::Nonce(_) => (Some(false), false, 0),
        };
        let decided = (question.mask | k) & below == 0;
        let settled = settled.or(decided.then_some(at_the_end));
        match settled {
            Some(settled) if settled == *answer => {}
            Some(_) => return None,
            None => left.push(index),
        }
    }
    Some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::seccomp::question::Word;
    use proptest::prelude::*;

    fn question() -> impl Strategy<Value = Question> {
        // Six bits: few enough to try all values.
        let relation = prop_oneof![
            (0..64_u64).prop_map(Relation::Equal),
            (0..64_u64).prop_map(Relation::AtLeast),
            (0..64_u64).prop_map(Relation::Above),
            Just(Relation::AnyBit),
        ];
        (0..64_u64, relation).prop_map(|(mask, relation)| Question {
            word: Word::Argument(0),
            mask,
            relation,
        })
    }

    proptest! {
        #[test]
        fn solve_any_facts_finds_a_value_exactly_when_there_is_one(
            facts in prop::collection::vec((question(), any::<bool>()), 0..8)
        ) {
            let agrees = |v: u64| facts.iter().all(|(q, a)| q.answer(v, &[]) == *a);
            let found = solve(&facts, 6).unwrap();
            prop_assert_eq!(found.is_some(), (0..64).any(agrees));
            prop_assert!(found.is_none_or(agrees));
        }

        #[test]
        fn alternative_of_any_question_is_exact(
            facts in prop::collection::vec(question(), 0..6), asked in question()
        ) {
            // Learned with the present answer, so that the facts agree.
            let mut known = Facts::nothing(6);
            for fact in facts {
                if known.alternative(fact).unwrap().is_some() {
                    known.learn(fact, known.answer(fact), known.witness());
                }
            }
            let present = known.answer(asked);
            let others = (0..64).any(|v| known.agrees(v) && asked.answer(v, &[]) != present);
            let found = known.alternative(asked).unwrap();
            prop_assert_eq!(found.is_some(), others);
            prop_assert!(found.is_none_or(|v| known.agrees(v) && asked.answer(v, &[]) != present));
        }
    }

    #[test]
    fn solve_sixty_four_bits_uses_the_highest() {
        let word = Word::Argument(0);
        let high = Question { word, mask: 1 << 63, relation: Relation::AnyBit };
        let low = Question { word, mask: 0xffff_ffff, relation: Relation::Equal(5) };
        assert_eq!(solve(&[(high, true), (low, true)], 64), Ok(Some(1 << 63 | 5)));
        assert_eq!(solve(&[(high, true), (high, false)], 64), Ok(None));
    }
}

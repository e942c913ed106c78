//! From ranges of numbers to a search over them.
//!
//! Guarantees: the fewest tests we know of on a path, with heavy ranges near
//! the root. Relies on nothing; [`super::prove`] looks at what comes out.
//!
//! The kernel runs a filter once for every call number when it is loaded, to
//! fill its allow bitmap: what a load costs is about the sum of these paths,
//! plus so much an instruction for the just-in-time compiler.

use super::graph::{Constant, Graph, Id, Test};

/// From `start` up to the next segment's start, numbers lead to `target`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub start: u32,
    pub target: Id,
    pub weight: u32,
}

/// All 32-bit numbers, cut into segments.
#[derive(Debug, Default)]
pub(super) struct Segments(Vec<Segment>);

impl Segments {
    /// From `start`, which is not below that of the last one, on.
    pub(super) fn push(&mut self, start: u32, target: Id, weight: u32) {
        // Of two that start together the first is empty.
        self.0.pop_if(|last| last.start == start);
        match self.0.last_mut() {
            Some(last) if last.target == target => last.weight = last.weight.saturating_add(weight),
            _ => self.0.push(Segment { start, target, weight }),
        }
    }

    /// The search. At most `islands` exceptions from a common target are
    /// tested one after another, more are split.
    pub(super) fn search(&self, graph: &mut Graph, islands: usize) -> Option<Id> {
        let ends: Vec<u32> =
            self.0.iter().skip(1).map(|next| next.start.wrapping_sub(1)).chain([u32::MAX]).collect();
        let all: Vec<(Segment, u32)> = self.0.iter().copied().zip(ends).collect();
        search(graph, &all, islands)
    }
}

/// `segments` with the last number of each.
fn search(graph: &mut Graph, segments: &[(Segment, u32)], islands: usize) -> Option<Id> {
    let (first, rest) = segments.split_first()?;
    if rest.is_empty() {
        return Some(first.0.target);
    }
    if rest.len().div_ceil(2) <= islands && is_common(segments) {
        return Some(exceptions(graph, first.0.target, rest));
    }
    let at = split(segments);
    let (below, above) = segments.split_at_checked(at)?;
    let start = above.first()?.0.start;
    let (no, yes) = (search(graph, below, islands)?, search(graph, above, islands)?);
    Some(graph.jump(Test::AtLeast, Constant::Value(start), yes, no))
}

/// Whether every second segment has the first one's target.
fn is_common(segments: &[(Segment, u32)]) -> bool {
    let mut targets = segments.iter().step_by(2).map(|(s, _)| s.target);
    let first = targets.next();
    segments.len() % 2 == 1 && targets.all(|t| Some(t) == first)
}

/// One test for each exception of one number, two for a range.
fn exceptions(graph: &mut Graph, common: Id, rest: &[(Segment, u32)]) -> Id {
    let mut id = common;
    for (island, end) in rest.iter().step_by(2).rev() {
        id = if island.start == *end {
            graph.jump(Test::Equal, Constant::Value(*end), island.target, id)
        } else {
            let inside = graph.jump(Test::Above, Constant::Value(*end), id, island.target);
            graph.jump(Test::AtLeast, Constant::Value(island.start), inside, common)
        };
    }
    id
}

/// Where to split so that both sides weigh about the same; never 0.
fn split(segments: &[(Segment, u32)]) -> usize {
    let weight = |s: &(Segment, u32)| u64::from(s.0.weight).saturating_add(1);
    let total: u64 = segments.iter().map(weight).sum();
    let mut below = 0_u64;
    let mut best = (u64::MAX, 1);
    for (at, segment) in segments.iter().enumerate() {
        if at > 0 {
            best = best.min((below.abs_diff(total - below), at));
        }
        below += weight(segment);
    }
    best.1
}

//! Drops what a path already knows.
//!
//! Guarantees: a half word that is still loaded is not loaded again, a test
//! whose answer follows from an equality on the path is not made, and a chain
//! of equalities on one value becomes a search. Relies on each test of the
//! graph it reads beginning with its own load; [`super::prove`] looks at what
//! comes out.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::graph::{Constant, Graph, Id, Mix, Node, Test};
use super::search::Segments;

/// What is known on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Known {
    /// What the accumulator holds: a half word and the bits kept of it.
    loaded: Option<(u32, u32)>,
    /// The last half word found equal to a value, while it may be asked about
    /// again: the next 64-bit constant begins with the same upper half.
    equal: Option<(u32, u32)>,
}

impl Known {
    /// After a whole half word was found equal to `k`.
    fn found(self, k: u32) -> Self {
        match self.loaded {
            Some((offset, u32::MAX)) => Self { equal: Some((offset, k)), ..self },
            _ => self,
        }
    }
}

/// The most exceptions of an argument that are tested one after another. The
/// kernel does not run these for its bitmap, so only their number counts.
const CHAIN: usize = 8;

/// A pass over a graph; keeps what it has done.
#[derive(Default)]
pub(super) struct Reduce {
    done: HashMap<(Id, Known), Id, BuildHasherDefault<Mix>>,
}

impl Reduce {
    /// The same decision, knowing nothing at first.
    pub(super) fn reduce(&mut self, graph: &mut Graph, id: Id) -> Id {
        self.visit(graph, id, Known { loaded: None, equal: None })
    }

    fn visit(&mut self, graph: &mut Graph, id: Id, known: Known) -> Id {
        let id = skip(graph, id, known);
        if let Node::Return(_) = graph.node(id) {
            return id;
        }
        // Forgetting what is of no use makes more visits the same.
        let equal = known.equal.filter(|(offset, _)| graph.reads(id, *offset));
        let known = Known { equal, ..known };
        if let Some(&done) = self.done.get(&(id, known)) {
            return done;
        }
        let reduced = match graph.node(id) {
            Node::Return(_) => id,
            Node::Load { offset, next } => {
                let known = Known { loaded: Some((offset, u32::MAX)), ..known };
                let next = self.visit(graph, next, known);
                graph.load(offset, next)
            }
            Node::And { mask, next } => {
                let loaded = known.loaded.map(|(offset, kept)| (offset, kept & mask));
                let next = self.visit(graph, next, Known { loaded, ..known });
                graph.masked(mask, next)
            }
            Node::Jump { test: Test::Equal, k: Constant::Value(_), .. } => self.chain(graph, id, known),
            Node::Jump { test, k, yes, no } => {
                let (yes, no) = (self.visit(graph, yes, known), self.visit(graph, no, known));
                graph.jump(test, k, yes, no)
            }
        };
        self.done.insert((id, known), reduced);
        reduced
    }

    /// Collects equalities on what is loaded as long as they follow each other.
    fn chain(&mut self, graph: &mut Graph, id: Id, known: Known) -> Id {
        let mut arms: Vec<(u32, Id)> = Vec::new();
        let mut id = id;
        while let Node::Jump { test: Test::Equal, k: Constant::Value(k), yes, no } = graph.node(id) {
            arms.push((k, yes));
            id = skip(graph, no, known);
        }
        // Stable: of equal values the first tested comes first, and counts.
        arms.sort_by_key(|(k, _)| *k);
        arms.dedup_by_key(|(k, _)| *k);
        let otherwise = self.visit(graph, id, known);
        let mut segments = Segments::default();
        segments.push(0, otherwise, 0);
        for (k, yes) in arms {
            let yes = self.visit(graph, yes, known.found(k));
            segments.push(k, yes, 0);
            if let Some(after) = k.checked_add(1) {
                segments.push(after, otherwise, 0);
            }
        }
        // There is always a segment.
        segments.search(graph, CHAIN).unwrap_or(otherwise)
    }
}

/// Follows what needs no instruction: a load of what is loaded, and a test of
/// what is known. A jump that comes back is about what is loaded.
fn skip(graph: &Graph, mut id: Id, known: Known) -> Id {
    while let Node::Load { offset, next } = graph.node(id) {
        let (mask, test) = match graph.node(next) {
            Node::And { mask, next } => (mask, next),
            _ => (u32::MAX, next),
        };
        match (graph.node(test), known.equal) {
            (Node::Jump { test, k: Constant::Value(k), yes, no }, Some((equal, value)))
                if equal == offset =>
            {
                id = if test.holds(value & mask, k) { yes } else { no };
            }
            _ if known.loaded == Some((offset, mask)) => return test,
            _ if known.loaded == Some((offset, u32::MAX)) => return next,
            _ => return id,
        }
    }
    id
}

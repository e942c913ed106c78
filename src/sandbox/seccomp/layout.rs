//! From a graph to instructions.
//!
//! Guarantees: every jump reaches its target. A conditional jump goes at most
//! 255 instructions forward; farther targets get a copy of their return, or a
//! far jump, close by. Relies on the graph having no cycles.

use seccompiler::sock_filter;

use super::evaluate::{AND, JUMP, LOAD, MAX_INSTRUCTIONS, RETURN};
use super::graph::{Constant, Graph, Id, Node};
use crate::error::{Error, Kind, Result};

/// Instructions, and which of them compare with which word of the nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Laid {
    pub code: Vec<sock_filter>,
    pub nonce: Vec<(usize, u8)>,
}

/// Lays a decision out.
///
/// # Errors
///
/// [`Kind::Policy`] when it needs more instructions than the kernel takes.
pub(super) fn lay_out(graph: &Graph, root: Id) -> Result<Laid> {
    let mut backwards =
        Backwards { graph, code: Vec::new(), nonce: Vec::new(), near: vec![None; graph.len()] };
    backwards.place_all(root);
    if backwards.code.is_empty() {
        // The root is a return, and nothing needed it yet.
        backwards.bridge(root);
    }
    let Backwards { mut code, mut nonce, .. } = backwards;
    if code.len() > MAX_INSTRUCTIONS {
        let message = format!(
            "the filter cannot be built: it needs {} instructions, the kernel takes {MAX_INSTRUCTIONS}",
            code.len()
        );
        return Err(Error::new(Kind::Policy, message).help("use fewer conditions and constants"));
    }
    for (position, _) in &mut nonce {
        *position = code.len() - 1 - *position;
    }
    code.reverse();
    Ok(Laid { code, nonce })
}

/// A program written from its end: what an instruction leads to is always
/// there already, and how far away it is, is known.
struct Backwards<'a> {
    graph: &'a Graph,
    code: Vec<sock_filter>,
    nonce: Vec<(usize, u8)>,
    /// Where each node, or something that leads to it, was last placed.
    near: Vec<Option<usize>>,
}

impl Backwards<'_> {
    fn place_all(&mut self, root: Id) {
        let mut open = vec![(root, false)];
        while let Some((id, ready)) = open.pop() {
            if self.at(id).is_some() {
                continue;
            }
            let node = self.graph.node(id);
            if ready {
                self.place(id, node);
                continue;
            }
            match node {
                // Placed where the first jump needs it, and again where that is too far.
                Node::Return(_) => {}
                Node::Load { next, .. } | Node::And { next, .. } => open.extend([(id, true), (next, false)]),
                Node::Jump { yes, no, .. } => open.extend([(id, true), (yes, false), (no, false)]),
            }
        }
    }

    fn place(&mut self, id: Id, node: Node) {
        match node {
            Node::Return(_) => return,
            Node::Load { offset, next } => {
                self.fall_to(next);
                self.push(LOAD, offset, 0, 0);
            }
            Node::And { mask, next } => {
                self.fall_to(next);
                self.push(AND, mask, 0, 0);
            }
            Node::Jump { test, k, yes, no } => {
                let (jt, jf) = self.reach(yes, no);
                let k = match k {
                    Constant::Value(k) => k,
                    Constant::Nonce(word) => {
                        self.nonce.push((self.code.len(), word));
                        0
                    }
                };
                self.push(test.code(), k, jt, jf);
            }
        }
        self.placed(id);
    }

    /// Makes `id` what comes next.
    fn fall_to(&mut self, id: Id) {
        if self.skip(id) != Some(0) {
            self.bridge(id);
        }
    }

    /// Makes both reachable by a conditional jump placed next.
    fn reach(&mut self, yes: Id, no: Id) -> (u8, u8) {
        loop {
            let near = |skip: Option<usize>| skip.and_then(|s| u8::try_from(s).ok());
            match (near(self.skip(yes)), near(self.skip(no))) {
                (Some(jt), Some(jf)) => return (jt, jf),
                // Each bridge may push the other out of reach, but not twice:
                // then the two are the last two instructions.
                (None, _) => self.bridge(yes),
                (_, None) => self.bridge(no),
            }
        }
    }

    /// Places something next that leads to `id` and nowhere else.
    fn bridge(&mut self, id: Id) {
        match (self.graph.node(id), self.skip(id)) {
            (Node::Return(value), _) => self.push(RETURN, value, 0, 0),
            (_, skip) => {
                // Placed before: nodes come after all they lead to.
                let k = skip.and_then(|s| u32::try_from(s).ok()).unwrap_or(u32::MAX);
                self.push(JUMP, k, 0, 0);
            }
        }
        self.placed(id);
    }

    fn push(&mut self, code: u16, k: u32, jt: u8, jf: u8) {
        self.code.push(sock_filter { code, jt, jf, k });
    }

    /// The last instruction is, or leads to, `id`.
    fn placed(&mut self, id: Id) {
        if let Some(near) = self.near.get_mut(id.index()) {
            *near = self.code.len().checked_sub(1);
        }
    }

    fn at(&self, id: Id) -> Option<usize> {
        self.near.get(id.index()).copied().flatten()
    }

    /// How many instructions one placed now would skip to get to `id`.
    fn skip(&self, id: Id) -> Option<usize> {
        self.code.len().checked_sub(1)?.checked_sub(self.at(id)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::seccomp::evaluate::{Call, check, run};
    use crate::sandbox::seccomp::graph::Test;

    fn call(nr: u32, first: u64) -> Call {
        Call { arch: 0, nr, args: [first, 0, 0, 0, 0, 0] }
    }

    /// A number chooses one of many tests, whose common part is never near.
    fn scattered(graph: &mut Graph, count: u32) -> Id {
        let (a, b) = (graph.end(0xaaaa), graph.end(0xbbbb));
        let common = graph.jump(Test::Equal, Constant::Value(1), a, b);
        let common = graph.load(24, common);
        let mut id = common;
        for i in 0..count {
            let (low, high) = (graph.end(i), graph.end(10_000 + i));
            let inner = graph.jump(Test::Above, Constant::Value(7), high, low);
            let inner = graph.jump(Test::Equal, Constant::Value(500), common, inner);
            let loaded = graph.load(16, inner);
            id = graph.jump(Test::Equal, Constant::Value(i), loaded, id);
        }
        graph.load(0, id)
    }

    #[test]
    fn jump_too_far_for_eight_bits_arrives() {
        let mut graph = Graph::default();
        let root = scattered(&mut graph, 400);
        let laid = lay_out(&graph, root).unwrap();
        assert_eq!(check(&laid.code), Ok(()));
        assert!(laid.code.iter().any(|i| i.code == JUMP), "nothing was far away");
        for i in 0..400 {
            assert_eq!(run(&laid.code, &call(i, 7)), Ok(i));
            assert_eq!(run(&laid.code, &call(i, 8)), Ok(10_000 + i));
            assert_eq!(run(&laid.code, &call(i, 500)), Ok(0xbbbb));
        }
        assert_eq!(run(&laid.code, &call(400, 7)), Ok(0xbbbb));
    }

    #[test]
    fn program_too_long_for_the_kernel_is_refused() {
        let mut graph = Graph::default();
        let root = scattered(&mut graph, 1000);
        let error = lay_out(&graph, root).unwrap_err();
        assert!(error.message().ends_with("instructions, the kernel takes 4096"), "{error}");
    }

    #[test]
    fn single_return_is_one_instruction() {
        let mut graph = Graph::default();
        let root = graph.end(5);
        assert_eq!(lay_out(&graph, root).unwrap().code, [sock_filter { code: RETURN, jt: 0, jf: 0, k: 5 }]);
    }

    #[test]
    fn nonce_positions_point_at_their_comparisons() {
        let mut graph = Graph::default();
        let (yes, no) = (graph.end(1), graph.end(2));
        let second = graph.jump(Test::Equal, Constant::Nonce(1), yes, no);
        let second = graph.load(24, second);
        let first = graph.jump(Test::Equal, Constant::Nonce(0), second, no);
        let root = graph.load(16, first);
        let laid = lay_out(&graph, root).unwrap();
        let mut positions = laid.nonce.clone();
        positions.sort_unstable();
        assert_eq!(positions, [(1, 0), (3, 1)]);
        assert!(positions.iter().all(|(at, _)| laid.code[*at].code == Test::Equal.code()));
    }
}

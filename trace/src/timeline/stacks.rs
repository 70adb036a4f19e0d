//! The stacks that rows refer to, each told once: a tree of frames.
//!
//! A node is a frame and the node of its caller; a stack is known by the node of its innermost frame, so that stacks which begin alike share their begin. Node 0 is the
//! empty stack. In the file, for each node after it:
//!
//! ```text
//! caller (varint: number of a node before this one) | frame (varint: number of a string)
//! ```

use super::model::{StackId, StringId};
use crate::varint;
use std::collections::HashMap;

/// Most nodes of a timeline: what comes beyond is the empty stack, which says that nobody knows.
pub(super) const NODES_MAX: usize = 1 << 20;

/// The nodes of a timeline, from the second on.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Node {
    caller: u32,
    frame: StringId,
}

impl Stacks {
    /// The frames of a stack, innermost first; none where the number is not known.
    pub(super) fn frames(&self, stack: StackId) -> Vec<StringId> {
        let mut frames = Vec::new();
        let mut next = stack.0;
        while let Some(node) = next.checked_sub(1).and_then(|at| self.nodes.get(at as usize)) {
            frames.push(node.frame);
            next = node.caller;
        }
        frames
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for Node { caller, frame } in &self.nodes {
            varint::put(&mut out, u64::from(*caller));
            varint::put(&mut out, u64::from(frame.0));
        }
        out
    }

    /// Reads nodes; every caller stands before those whom it calls, so that no stack is endless.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Stacks> {
        let mut nodes = Vec::new();
        while !bytes.is_empty() {
            let caller = u32::try_from(varint::take(&mut bytes)?).ok()?;
            let frame = StringId(u32::try_from(varint::take(&mut bytes)?).ok()?);
            (caller as usize <= nodes.len() && nodes.len() < NODES_MAX).then_some(())?;
            nodes.push(Node { caller, frame });
        }
        Some(Stacks { nodes })
    }
}

/// Gives stacks their numbers.
#[derive(Debug, Default)]
pub(super) struct StacksWriter {
    stacks: Stacks,
    numbers: HashMap<Node, u32>,
}

impl StacksWriter {
    /// The number of a stack, the same for equal ones; `frames` from the innermost on.
    pub(super) fn number(&mut self, frames: &[StringId]) -> StackId {
        let mut caller = 0;
        for &frame in frames.iter().rev() {
            let node = Node { caller, frame };
            caller = match self.numbers.get(&node) {
                Some(&known) => known,
                None if self.stacks.nodes.len() >= NODES_MAX => return StackId(0),
                None => {
                    self.stacks.nodes.push(node);
                    let number = self.stacks.nodes.len() as u32;
                    self.numbers.insert(node, number);
                    number
                }
            };
        }
        StackId(caller)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.stacks.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(numbers: &[u32]) -> Vec<StringId> {
        numbers.iter().copied().map(StringId).collect()
    }

    #[test]
    fn stacks_that_begin_alike_share_their_begin_and_all_come_back() {
        let mut writer = StacksWriter::default();
        let stacks = [&[3, 2, 1][..], &[4, 2, 1], &[2, 1], &[], &[1, 1, 1]].map(frames);
        let numbers = stacks.each_ref().map(|stack| writer.number(stack));
        assert_eq!(numbers.map(|number| number.0), [3, 4, 2, 0, 6]);
        assert_eq!(writer.number(&stacks[0]), numbers[0]);
        let read = Stacks::decode(&writer.encode()).expect("decodes");
        for (stack, number) in stacks.iter().zip(numbers) {
            assert_eq!(read.frames(number), *stack);
        }
        assert!(read.frames(StackId(7)).is_empty() && read.frames(StackId(u32::MAX)).is_empty());
    }

    #[test]
    fn a_caller_that_comes_later_is_refused() {
        assert!(Stacks::decode(&[0, 5, 1, 6]).is_some());
        assert!(Stacks::decode(&[1, 5]).is_none(), "itself");
        assert!(Stacks::decode(&[0, 5, 9, 6]).is_none());
        assert!(Stacks::decode(&[0]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_finite_stacks(bytes in prop::collection::vec(0u8..20, 0..60)) {
            if let Some(stacks) = Stacks::decode(&bytes) {
                for id in 0..stacks.nodes.len() as u32 + 2 {
                    prop_assert!(stacks.frames(StackId(id)).len() <= stacks.nodes.len());
                }
            }
        }
    }
}

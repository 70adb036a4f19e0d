//! The stacks of a timeline: a tree of frames, in which a stack is the way from the root to one of its nodes.
//!
//! ```text
//! number of nodes, then of each but the root: its number minus its parent's, its frame's string   varints
//! number of stacks, then of each but the first: its node                                           varints
//! ```
//! Stack 0 is the empty one, and so is one of which only that it is there was ever known. A parent stands before its children.

use super::model::{StackId, StringId};
use crate::varint;
use std::collections::HashMap;

/// Nodes that are written or read.
const NODES_MAX: usize = 8 << 20;
/// Stacks that are written or read.
const STACKS_MAX: usize = 4 << 20;
/// Frames of a stack that are written or read.
const DEPTH_MAX: usize = 512;

/// A frame, and its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Node {
    parent: u32,
    frame: StringId,
}

const ROOT: Node = Node {
    parent: 0,
    frame: StringId(0),
};

/// Stacks by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stacks {
    nodes: Vec<Node>,
    stacks: Vec<u32>,
}

impl Default for Stacks {
    fn default() -> Stacks {
        Stacks {
            nodes: vec![ROOT],
            stacks: vec![0],
        }
    }
}

impl Stacks {
    /// The frames of a stack, outermost first.
    pub(super) fn frames(&self, stack: StackId) -> Vec<StringId> {
        let mut frames = Vec::new();
        let mut at = self.stacks.get(stack.0 as usize).copied().unwrap_or(0);
        while at != 0 {
            let node = self.nodes[at as usize];
            frames.push(node.frame);
            at = node.parent;
        }
        frames.reverse();
        frames
    }

    /// The table's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, self.nodes.len() as u64);
        for (number, node) in self.nodes.iter().enumerate().skip(1) {
            varint::put(&mut out, number as u64 - u64::from(node.parent));
            varint::put(&mut out, u64::from(node.frame.0));
        }
        varint::put(&mut out, self.stacks.len() as u64);
        for &node in self.stacks.iter().skip(1) {
            varint::put(&mut out, u64::from(node));
        }
        out
    }

    /// Reads a table from exactly these bytes.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Stacks> {
        let mut number = || usize::try_from(varint::take(&mut bytes)?).ok();
        let count = number().filter(|count| (1..=NODES_MAX).contains(count))?;
        let (mut nodes, mut depths) = (vec![ROOT], vec![0]);
        for at in 1..count {
            let parent = at.checked_sub(number().filter(|&back| back > 0)?)?;
            let depth: usize = depths[parent] + 1;
            (depth <= DEPTH_MAX).then_some(())?;
            depths.push(depth);
            nodes.push(Node {
                parent: parent as u32,
                frame: StringId(number()?.try_into().ok()?),
            });
        }
        let count = number().filter(|count| (1..=STACKS_MAX).contains(count))?;
        let mut stacks = vec![0];
        for _ in 1..count {
            stacks.push(number().filter(|&node| node < nodes.len())? as u32);
        }
        bytes.is_empty().then_some(Stacks { nodes, stacks })
    }
}

/// Makes a table.
#[derive(Debug, Default)]
pub(super) struct StacksWriter {
    stacks: Stacks,
    numbers: HashMap<Node, u32>,
}

impl StacksWriter {
    /// A new number; none where there are too many.
    pub(super) fn add(&mut self) -> Option<StackId> {
        let stacks = &mut self.stacks.stacks;
        (stacks.len() < STACKS_MAX).then(|| {
            stacks.push(0);
            StackId(stacks.len() as u32 - 1)
        })
    }

    /// Gives a stack its frames, outermost first. False: they find no room.
    pub(super) fn define(&mut self, stack: StackId, frames: &[StringId]) -> bool {
        // Of one that is too deep the outermost are left out.
        let frames = &frames[frames.len().saturating_sub(DEPTH_MAX)..];
        let mut at = 0;
        for &frame in frames {
            let node = Node { parent: at, frame };
            at = match self.numbers.get(&node) {
                Some(&number) => number,
                None if self.stacks.nodes.len() >= NODES_MAX => return false,
                None => {
                    let number = self.stacks.nodes.len() as u32;
                    self.stacks.nodes.push(node);
                    self.numbers.insert(node, number);
                    number
                }
            };
        }
        if let Some(place) = self.stacks.stacks.get_mut(stack.0 as usize)
            && stack != StackId(0)
        {
            *place = at;
        }
        true
    }

    /// The table's bytes; none where there is no stack.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        (self.stacks.stacks.len() > 1).then(|| self.stacks.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(numbers: &[u32]) -> Vec<StringId> {
        numbers.iter().copied().map(StringId).collect()
    }

    #[test]
    fn stacks_share_what_they_have_in_common() {
        let mut writer = StacksWriter::default();
        let [one, other, bare] = [(); 3].map(|()| writer.add().expect("room"));
        assert!(writer.define(one, &ids(&[1, 2, 3])));
        assert!(writer.define(other, &ids(&[1, 2, 4])));
        // The empty one is nobody's to define.
        assert!(writer.define(StackId(0), &ids(&[9])));
        let stacks = Stacks::decode(&writer.encode().expect("stacks")).expect("whole");
        assert_eq!(stacks.frames(one), ids(&[1, 2, 3]));
        assert_eq!(stacks.frames(other), ids(&[1, 2, 4]));
        assert_eq!(stacks.nodes.len(), 6);
        for none in [StackId(0), bare, StackId(99)] {
            assert_eq!(stacks.frames(none), []);
        }
    }

    #[test]
    fn what_is_too_deep_loses_its_outermost() {
        let mut writer = StacksWriter::default();
        let stack = writer.add().expect("room");
        let frames = ids(&(0..600).collect::<Vec<_>>());
        writer.define(stack, &frames);
        assert_eq!(writer.stacks.frames(stack), frames[600 - DEPTH_MAX..]);
    }

    proptest! {
        #[test]
        fn made_up_tables_are_no_panic(bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..60)) {
            if let Some(stacks) = Stacks::decode(&bytes) {
                for stack in 0..stacks.stacks.len() as u32 {
                    prop_assert!(stacks.frames(StackId(stack)).len() <= DEPTH_MAX);
                }
            }
        }

        #[test]
        fn every_table_comes_back(all in prop::collection::vec(prop::collection::vec(0u32..5, 0..6), 0..20)) {
            let mut writer = StacksWriter::default();
            let numbers: Vec<_> = all.iter().filter_map(|frames| {
                let stack = writer.add()?;
                writer.define(stack, &ids(frames)).then_some(stack)
            }).collect();
            let stacks = Stacks::decode(&writer.stacks.encode());
            prop_assert_eq!(stacks.as_ref(), Some(&writer.stacks));
            for (stack, frames) in numbers.iter().zip(&all) {
                prop_assert_eq!(writer.stacks.frames(*stack), ids(frames));
            }
        }
    }
}

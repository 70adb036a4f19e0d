//! Stacks of a flight recorder's base: those that were referred to last.
//!
//! A stack is told once, and for as long as the kernel's side remembers that. So those that forgotten segments have told are kept, as many times more as the kernel's side remembers, and those
//! that were not referred to for the longest time are given up first.

use plumb_trace::definition::{Dated, Definition};
use std::collections::{BTreeMap, HashMap};

/// Stacks that are kept: four times as many as the kernel's side remembers.
const STACKS_MAX: usize = 64 << 10;
/// Frames that are kept: more than a recorder tells apart.
const FRAMES_MAX: usize = 256 << 10;

/// Definitions of stacks and frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stacks {
    frames: BTreeMap<u32, Dated>,
    /// Each with the turn in which it was referred to last.
    stacks: HashMap<u64, (Dated, u64)>,
    /// Counts segments that were forgotten.
    turn: u64,
}

impl Stacks {
    /// Takes in a definition.
    pub fn define(&mut self, dated: Dated) {
        match dated.definition {
            Definition::Frame { id, .. } if self.frames.len() < FRAMES_MAX => drop(self.frames.insert(id, dated)),
            Definition::Stack { id, .. } => {
                self.stacks.insert(id, (dated, self.turn));
                self.make_room();
            }
            _ => {}
        }
    }

    /// A segment that refers to these is forgotten.
    pub fn refer(&mut self, numbers: &[u64]) {
        self.turn += 1;
        for number in numbers {
            if let Some((_, turn)) = self.stacks.get_mut(number) {
                *turn = self.turn;
            }
        }
    }

    /// Gives up a quarter, those not referred to for the longest time.
    fn make_room(&mut self) {
        if self.stacks.len() <= STACKS_MAX {
            return;
        }
        let mut turns: Vec<u64> = self.stacks.values().map(|(_, turn)| *turn).collect();
        let (_, &mut oldest, _) = turns.select_nth_unstable(STACKS_MAX / 4);
        let mut surplus = STACKS_MAX / 4;
        self.stacks.retain(|_, (_, turn)| {
            let goes = *turn <= oldest && surplus > 0;
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// All definitions, frames before stacks.
    pub fn all(&self) -> impl Iterator<Item = &Dated> {
        self.frames.values().chain(self.stacks.values().map(|(dated, _)| dated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(id: u64) -> Dated {
        Dated {
            at: id,
            definition: Definition::Stack { id, frames: vec![1] },
        }
    }

    #[test]
    fn what_is_referred_to_stays() {
        let mut stacks = Stacks::default();
        (0..100).for_each(|id| stacks.define(stack(id)));
        for id in 100..4 * STACKS_MAX as u64 {
            if id % 1000 == 0 {
                stacks.refer(&[3, 5, u64::MAX]);
            }
            stacks.define(stack(id));
        }
        assert!(stacks.stacks.len() <= STACKS_MAX);
        let has = |id: u64| stacks.stacks.contains_key(&id);
        assert!(has(3) && has(5) && has(4 * STACKS_MAX as u64 - 1));
        assert!(!has(4));
    }
}

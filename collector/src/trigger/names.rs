//! From a thread's name to the triggers that concern it.

use crate::glob::Glob;

/// Bytes of a thread's name in the kernel; a name of this length may have been cut.
const COMM_BYTES: usize = 15;

/// The globs of each trigger.
#[derive(Debug)]
pub(super) struct Names(Vec<Vec<Glob>>);

impl Names {
    pub fn new(globs: Vec<Vec<Glob>>) -> Names {
        Names(globs)
    }

    /// Bits of the triggers that concern a thread of this name.
    pub fn of_name(&self, name: &str) -> u64 {
        self.bits(|glob| glob.matches(name))
    }

    /// The same for a name that the kernel may have cut.
    pub fn of_comm(&self, comm: &str) -> u64 {
        self.bits(|glob| glob.matches(comm) || comm.len() >= COMM_BYTES && glob.matches_beginning(comm))
    }

    fn bits(&self, matches: impl Fn(&Glob) -> bool) -> u64 {
        let matching = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, globs)| globs.iter().any(&matches));
        matching.fold(0, |bits, (index, _)| bits | 1 << index)
    }
}

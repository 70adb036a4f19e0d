//! When to look for classes that were being loaded while the rules changed.
//!
//! The class-file hook may have chosen such a class's probes by the old rules, and the class may not have been among the loaded ones yet when these were looked at again. How long that takes is the JVM's
//! affair, and the scheduler's: so there are several looks, each later than the one before.
//!
//! A class is known by its object, not by its name: another loader may have one of that name, which was looked at.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// From the change, or the look before, to each look.
const LOOKS: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// What is to be looked for after a change.
pub struct Late {
    /// Hashes of the names and identities of classes that were looked at before.
    seen: HashSet<u64>,
    looks: usize,
    next: Instant,
}

impl Late {
    /// The rules have just changed.
    pub fn new() -> Late {
        Late {
            seen: HashSet::new(),
            looks: 0,
            next: Instant::now() + LOOKS[0],
        }
    }

    /// Whether nobody has looked at the class of this name and identity hash since the change; somebody does now.
    pub fn is_new(&mut self, class: &str, identity: u32) -> bool {
        let mut hasher = DefaultHasher::new();
        (class, identity).hash(&mut hasher);
        self.seen.insert(hasher.finish())
    }

    /// How long until the next look.
    pub fn patience(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// After a look: what is to be looked for next, if anything.
    pub fn again(mut self) -> Option<Late> {
        self.looks += 1;
        self.next = Instant::now() + *LOOKS.get(self.looks)?;
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_one_name_are_told_apart() {
        let mut late = Late::new();
        assert!(late.is_new("a/B", 1) && late.is_new("a/B", 2) && late.is_new("a/C", 1));
        assert!(!late.is_new("a/B", 2));
    }
}

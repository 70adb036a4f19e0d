//! Which classes somebody has looked at already. A class is known by its object, not by its name: another loader may have one of that name.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use jvmti_bindings::sys::jni::jclass;

use super::jvmti::Jvmti;

/// Names that are kept of classes that go through the hook: eight bytes each.
const PASSING_MAX: usize = 16_384;

/// Hashes of the names and identities of classes.
#[derive(Default)]
pub struct SeenClasses(HashSet<u64>);

impl SeenClasses {
    /// Whether the class of this name was not seen before; it is now.
    pub fn is_new(&mut self, jvmti: Jvmti, class: jclass, name: &str) -> bool {
        // 0 where the JVM does not tell it.
        self.is_new_object(name, jvmti.identity_hash(class).unwrap_or(0))
    }

    fn is_new_object(&mut self, name: &str, identity: u32) -> bool {
        self.0.insert(hash_of(&(name, identity)))
    }
}

/// Names of those classes whose files went through the hook last, for the first time of their lives: some of them may be on their way still, seen by the hook and by nobody else.
#[derive(Default)]
pub struct Passing(VecDeque<u64>);

impl Passing {
    /// One more goes through.
    pub fn add(&mut self, name: &str) {
        if self.0.len() >= PASSING_MAX {
            self.0.pop_front();
        }
        self.0.push_back(hash_of(&name));
    }

    /// Those of now.
    pub fn names(&self) -> PassedNames {
        PassedNames(self.0.iter().copied().collect())
    }
}

/// Names, as hashes.
pub struct PassedNames(HashSet<u64>);

impl PassedNames {
    /// Whether it is one of them.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(&hash_of(&name))
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_one_name_are_told_apart() {
        let mut seen = SeenClasses::default();
        assert!(seen.is_new_object("a/B", 1) && seen.is_new_object("a/B", 2) && seen.is_new_object("a/C", 1));
        assert!(!seen.is_new_object("a/B", 2));
    }

    #[test]
    fn of_classes_that_pass_the_last_are_known() {
        let mut passing = Passing::default();
        passing.add("a/First");
        for number in 1..PASSING_MAX {
            passing.add(&number.to_string());
        }
        assert!(passing.names().has("a/First") && !passing.names().has("a/Last"));
        passing.add("a/Last");
        let names = passing.names();
        assert!(!names.has("a/First") && names.has("1") && names.has("a/Last"));
    }
}

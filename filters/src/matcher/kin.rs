//! What is known of a class beside its name: what it extends, implements and is annotated with.

use std::collections::{HashMap, HashSet};

/// Most supertypes of one class that are looked at.
const SUPERTYPES_MAX: usize = 4096;

/// How a pattern's class part is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The class itself.
    #[default]
    Is,
    /// `+`: it, or what extends or implements it.
    Extends,
    /// `@`: an annotation of the class or of the method.
    Annotated,
}

/// What is known of a class and of one of its methods beside their names. All names are internal ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kin<'k> {
    /// Classes and interfaces that the class extends or implements, at any distance.
    pub supertypes: &'k [String],
    /// Annotations of the class that are visible at run time.
    pub annotations: &'k [String],
    /// Annotations of the method that are visible at run time.
    pub method_annotations: &'k [String],
}

/// Who extends and implements whom, as far as it was learnt.
///
/// Classes are known by name: of two of one name from different loaders, both sets of supertypes count.
#[derive(Clone, Debug, Default)]
pub struct Hierarchy {
    direct: HashMap<Box<str>, Vec<Box<str>>>,
}

impl Hierarchy {
    /// A class's superclass and interfaces.
    pub fn learn<'n>(&mut self, class: &str, supertypes: impl IntoIterator<Item = &'n str>) {
        let direct = self.direct.entry(class.into()).or_default();
        for supertype in supertypes {
            if !direct.iter().any(|known| **known == *supertype) {
                direct.push(supertype.into());
            }
        }
    }

    /// Whether all these classes were learnt.
    pub fn knows_all(&self, classes: &[String]) -> bool {
        classes.iter().all(|class| self.direct.contains_key(&**class))
    }

    /// All supertypes of a class at any distance, as far as they are known; at most some thousands.
    pub fn supertypes(&self, class: &str) -> Vec<String> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        let mut next = vec![class];
        while let Some(class) = next.pop() {
            for supertype in self.direct.get(class).into_iter().flatten() {
                if found.len() < SUPERTYPES_MAX && seen.insert(&**supertype) {
                    found.push(supertype.to_string());
                    next.push(supertype);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supertypes_at_any_distance_and_in_circles() {
        let mut hierarchy = Hierarchy::default();
        hierarchy.learn("C", ["B", "I"]);
        hierarchy.learn("B", ["A"]);
        hierarchy.learn("I", ["J"]);
        hierarchy.learn("J", ["I"]);
        let mut found = hierarchy.supertypes("C");
        found.sort();
        assert_eq!(found, ["A", "B", "I", "J"]);
        assert!(hierarchy.knows_all(&["B".into()]) && !hierarchy.knows_all(&["B".into(), "A".into()]));
        assert!(hierarchy.supertypes("A").is_empty());
    }
}

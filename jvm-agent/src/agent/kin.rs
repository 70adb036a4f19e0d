//! What the rules about subclasses, implementers and annotations (`+Base`, `@Annotation`) want to know of classes.
//!
//! Of the classes that are there when a session begins, the JVM tells who extends and implements whom. A class that is loaded later shows it in its class file, but
//! before its superclasses are loaded: where these are not known yet, the class is put aside, and the control thread looks at it again a moment later. Calls in
//! that moment are not recorded.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use jvmti_bindings::sys::jni::jclass;
use plumb_filters::matcher::{Hierarchy, Kin, Matcher};

use super::jni::Jni;
use super::jvmti::Jvmti;
use super::names::{internal_of, lock};
use super::wake;
use crate::classfile::{ClassView, Method};

/// Most classes that are put aside at a time; more are left without probes.
const ASIDE_MAX: usize = 4096;
/// Most classes whose supertypes are kept: some JVMs make ever new ones.
const CLASSES_MAX: usize = 400_000;
/// How often a class that was put aside is looked at.
const LOOKS_MAX: u32 = 100;

/// What a session knows of kin.
#[derive(Default)]
pub struct Families {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    hierarchy: Hierarchy,
    /// Classes in it.
    classes: usize,
    /// Classes with a supertype that is not known yet, and how often they were looked at since.
    aside: HashMap<String, u32>,
}

impl Families {
    /// Learns of a loaded class from the JVM.
    pub fn learn_loaded(&self, jvmti: Jvmti, jni: Jni, class: jclass, name: &str) {
        let supers = jni.superclass(class).into_iter();
        let supers = supers.chain(jvmti.interfaces(class).unwrap_or_default());
        let mut names = Vec::new();
        for class in supers {
            names.extend(jvmti.class_signature(class));
            jni.delete_local(class);
        }
        let names = names.iter().map(|signature| internal_of(signature));
        lock(&self.known).learn(name, names);
    }

    /// Learns from a class file. Puts the class aside if it may turn out to be somebody's kin. False: too many classes are known to learn of one more.
    pub fn learn(&self, view: &ClassView<'_>, class: &str) -> bool {
        let supers = view.super_name.iter().chain(&view.interfaces);
        let supers: Vec<String> = supers.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let mut known = lock(&self.known);
        if !known.learn(class, supers.iter().map(String::as_str)) {
            return false;
        }
        let Known { hierarchy, aside, .. } = &mut *known;
        let is_open = !hierarchy.knows_all(&hierarchy.supertypes(class));
        if is_open && aside.len() < ASIDE_MAX {
            aside.insert(class.to_owned(), 0);
            wake::wake();
        }
        true
    }

    /// All that the class is known to extend or implement.
    pub fn supertypes(&self, class: &str) -> Vec<String> {
        lock(&self.known).hierarchy.supertypes(class)
    }

    /// Whether classes are put aside.
    pub fn has_aside(&self) -> bool {
        !lock(&self.known).aside.is_empty()
    }

    /// The classes that were put aside and that the rules want, now that more is known. They stay aside until they are settled; what turns out to be nobody's kin,
    /// or stays unclear for too long, does not.
    pub fn wanted(&self, matcher: &Matcher) -> HashSet<String> {
        let mut known = lock(&self.known);
        let Known { hierarchy, aside, .. } = &mut *known;
        let mut wanted = HashSet::new();
        aside.retain(|class, looks| {
            *looks += 1;
            let supertypes = hierarchy.supertypes(class);
            let is_wanted = matcher.class_may_match_with(class, &supertypes);
            if is_wanted {
                wanted.insert(class.clone());
            }
            *looks < LOOKS_MAX && (is_wanted || !hierarchy.knows_all(&supertypes))
        });
        wanted
    }

    /// The class has been looked at again.
    pub fn settle(&self, class: &str) {
        lock(&self.known).aside.remove(class);
    }
}

impl Known {
    fn learn<'n>(&mut self, class: &str, supertypes: impl IntoIterator<Item = &'n str>) -> bool {
        let is_new = !self.hierarchy.knows_all(&[class.to_owned()]);
        if is_new && self.classes >= CLASSES_MAX {
            return false;
        }
        self.classes += usize::from(is_new);
        self.hierarchy.learn(class, supertypes);
        true
    }
}

/// What one class file and the families tell of a class and its methods.
pub struct Facts<'a> {
    view: ClassView<'a>,
    supertypes: Vec<String>,
    annotations: Vec<String>,
    /// Whether there was room to learn of the class.
    pub is_learnt: bool,
}

impl<'a> Facts<'a> {
    /// Of a class file; what cannot be read of it is nothing.
    pub fn new(families: &Families, bytes: &'a [u8], class: &str) -> Option<Facts<'a>> {
        let view = ClassView::parse(bytes).ok()?;
        let is_learnt = families.learn(&view, class);
        let annotations = view.annotations().unwrap_or_default();
        Some(Facts {
            is_learnt,
            supertypes: families.supertypes(class),
            annotations: annotations.into_iter().map(Into::into).collect(),
            view,
        })
    }

    /// Supertypes of the class.
    pub fn supertypes(&self) -> &[String] {
        &self.supertypes
    }

    /// Annotations of a method.
    pub fn annotations_of(&self, name: &str, descriptor: &str) -> Vec<String> {
        let is_it = |method: &&Method<'_>| method.name() == name && method.descriptor() == descriptor;
        let method = self.view.methods.iter().find(is_it);
        let names = method.and_then(|method| self.view.method_annotations(method).ok());
        names.unwrap_or_default().into_iter().map(Into::into).collect()
    }

    /// All of it, for the matcher.
    pub fn kin<'k>(&'k self, method_annotations: &'k [String]) -> Kin<'k> {
        Kin {
            supertypes: &self.supertypes,
            annotations: &self.annotations,
            method_annotations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ever_new_classes_no_more_are_kept_than_there_is_room_for() {
        let mut known = Known {
            classes: CLASSES_MAX - 1,
            ..Known::default()
        };
        assert!(known.learn("a/B", ["a/A"]) && known.learn("a/B", ["a/I"]));
        assert!(!known.learn("a/C", ["a/A"]));
        assert_eq!(known.hierarchy.supertypes("a/B").len(), 2);
        assert!(known.hierarchy.supertypes("a/C").is_empty());
    }
}

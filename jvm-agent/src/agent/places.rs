//! Places in the code where something is counted: exceptions that are made, objects that are allocated.
//!
//! A place is a class of objects and where they come from: the method, and where that is the JDK's, the first method below it on the stack that is not. There is room for
//! so many; all others are one place, so that sums are right.

use std::collections::HashMap;
use std::sync::Mutex;

use plumb_trace::definition::Definition;

use super::definitions::Definitions;
use super::jni::Jni;
use super::jvmti::{Frame, Jvmti};
use super::names::{lock, readable};

/// Most places that are told apart.
const PLACES_MAX: usize = 2048;
/// Packages that come with the JVM.
const OF_THE_JDK: [&str; 5] = ["java.", "javax.", "jdk.", "sun.", "com.sun."];

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Exceptions that are made with a stack trace.
    Exceptions,
    /// Bytes of memory, as samples of allocated objects tell.
    Allocations,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Exceptions => "exceptions",
            What::Allocations => "allocations",
        }
    }

    fn unit(self) -> (&'static str, u64) {
        match self {
            What::Exceptions => ("count", 1),
            What::Allocations => ("bytes", ALLOCATION_UNIT_BYTES),
        }
    }
}

/// What one in a record of allocations stands for.
pub const ALLOCATION_UNIT_BYTES: u64 = 1024;

/// A class (readable) and a method.
type Key = (What, String, String);

/// The places of a session.
#[derive(Default)]
pub struct Places {
    numbers: Mutex<HashMap<Key, u32>>,
}

impl Places {
    /// The number of a place, which is defined from now on.
    pub fn number(&self, definitions: &Definitions, at: u64, what: What, class: String, method: String) -> u32 {
        let mut numbers = lock(&self.numbers);
        let has_room = numbers.len() < PLACES_MAX;
        let mut key = (what, class, method);
        if !has_room && !numbers.contains_key(&key) {
            key = (what, String::new(), String::new());
        }
        if let Some(number) = numbers.get(&key) {
            return *number;
        }
        let number = numbers.len() as u32 + 1;
        numbers.insert(key.clone(), number);
        let (unit, scale) = what.unit();
        let definition = Definition::Place {
            id: number,
            what: what.name().to_owned(),
            class: key.1,
            method: key.2,
            unit: unit.to_owned(),
            scale,
        };
        definitions.write(at, definition);
        number
    }
}

/// The method of a frame, as `com.shop.Cart.add`.
fn name_of(jvmti: Jvmti, jni: Jni, frame: &Frame) -> Option<String> {
    let class = jvmti.declaring_class(frame.method).ok()?;
    let signature = jvmti.class_signature(class);
    jni.delete_local(class);
    Some(format!(
        "{}.{}",
        readable(&signature.ok()?),
        jvmti.method_name(frame.method).ok()?
    ))
}

/// Where a stack stands.
pub struct Origin {
    /// Its first method, and after `<` the first that is not the JDK's, where the first one is. Empty for an empty stack.
    pub method: String,
    /// One that is not the JDK's was found.
    pub is_outside_the_jdk: bool,
}

impl Origin {
    /// Of these frames, from the top.
    pub fn of(jvmti: Jvmti, jni: Jni, frames: &[Frame]) -> Origin {
        Origin::of_names(frames.iter().filter_map(|frame| name_of(jvmti, jni, frame)))
    }

    fn of_names(mut names: impl Iterator<Item = String>) -> Origin {
        let first = names.next().unwrap_or_default();
        let is_outside_the_jdk = !first.is_empty() && !is_of_the_jdk(&first);
        if is_outside_the_jdk {
            return Origin {
                method: first,
                is_outside_the_jdk,
            };
        }
        match names.find(|name| !is_of_the_jdk(name)) {
            Some(caller) => Origin {
                method: format!("{first}<{caller}"),
                is_outside_the_jdk: true,
            },
            None => Origin {
                method: first,
                is_outside_the_jdk,
            },
        }
    }
}

fn is_of_the_jdk(name: &str) -> bool {
    OF_THE_JDK.iter().any(|package| name.starts_with(package))
}

#[cfg(test)]
mod tests {
    use super::super::arena::Arena;
    use super::*;
    use plumb_trace::arena::{Clock, MIN_BYTES};

    #[test]
    fn what_has_no_room_is_one_place_for_each_thing_that_is_counted() -> std::io::Result<()> {
        let (arena, _memory) = Arena::create(5, MIN_BYTES, Clock::Monotonic)?;
        let (places, definitions) = (Places::default(), Definitions::new(arena));
        let number = |what, class: usize| places.number(&definitions, 0, what, class.to_string(), "m".to_owned());
        let numbers: Vec<u32> = (0..PLACES_MAX).map(|class| number(What::Exceptions, class)).collect();
        assert_eq!((numbers[0], numbers[PLACES_MAX - 1]), (1, PLACES_MAX as u32));
        let others = number(What::Exceptions, PLACES_MAX);
        assert_eq!(others, number(What::Exceptions, PLACES_MAX + 1));
        assert_ne!(others, number(What::Allocations, PLACES_MAX));
        assert_eq!(number(What::Exceptions, 7), 8);
        Ok(())
    }

    #[test]
    fn a_stack_stands_where_it_leaves_the_jdk() {
        let origin = |names: &[&str]| {
            let Origin {
                method,
                is_outside_the_jdk,
            } = Origin::of_names(names.iter().map(|name| (*name).to_owned()));
            (method, is_outside_the_jdk)
        };
        assert_eq!(origin(&["a.B.<init>", "c.D.e"]), ("a.B.<init>".into(), true));
        let jdk = ["java.util.ArrayList.<init>", "java.util.List.of", "a.B.c", "d.E.f"];
        assert_eq!(origin(&jdk), ("java.util.ArrayList.<init><a.B.c".into(), true));
        assert_eq!(origin(&jdk[..2]), ("java.util.ArrayList.<init>".into(), false));
        assert_eq!(origin(&[]), (String::new(), false));
    }

    #[test]
    fn methods_of_the_jdk_are_known_by_their_package() {
        assert!(is_of_the_jdk("java.util.Arrays.copyOf") && is_of_the_jdk("sun.nio.ch.IOUtil.read"));
        assert!(!is_of_the_jdk("javassist.CtClass.get") && !is_of_the_jdk("com.sunshine.Cart.add"));
    }
}

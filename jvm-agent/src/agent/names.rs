//! Numbers for methods and classes: given once, valid for the JVM's life, so that the constant pools of classes that are probed
//! again and again do not grow.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plumb_trace::record::JvmRecord;

/// The numbers given so far.
#[derive(Default)]
pub struct Names {
    methods: Mutex<HashMap<String, u32>>,
    classes: Mutex<HashMap<String, u32>>,
}

impl Names {
    /// The probe id of a method, from 1 (what is below is [`super::sites`]'s). `class` is an internal name.
    pub fn method(&self, class: &str, name: &str, descriptor: &str) -> u32 {
        number(&self.methods, format!("{class}.{name}{descriptor}"))
    }

    /// The number of a class of this signature, from 1; 0 where there are too many to have one.
    pub fn class(&self, signature: &str) -> u32 {
        let number = number(&self.classes, signature.to_owned());
        if number > JvmRecord::DETAIL_MAX { 0 } else { number }
    }
}

fn number(numbers: &Mutex<HashMap<String, u32>>, name: String) -> u32 {
    let mut numbers = lock(numbers);
    let next = numbers.len() as u32 + 1;
    *numbers.entry(name).or_insert(next)
}

/// Locks; a panic in another thread left nothing half-done that matters.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `java/lang/Object` → `java.lang.Object`
pub fn dotted(internal: &str) -> String {
    internal.replace('/', ".")
}

/// `Ljava/lang/Object;` → `java/lang/Object`; arrays and primitives stay signatures.
pub fn internal_of(signature: &str) -> &str {
    signature
        .strip_prefix('L')
        .and_then(|rest| rest.strip_suffix(';'))
        .unwrap_or(signature)
}

/// `Ljava/lang/Object;` → `java.lang.Object`, `[[I` → `int[][]`.
pub fn readable(signature: &str) -> String {
    let element = signature.trim_start_matches('[');
    let dimensions = signature.len() - element.len();
    let name = match element {
        "Z" => "boolean".to_owned(),
        "B" => "byte".to_owned(),
        "C" => "char".to_owned(),
        "S" => "short".to_owned(),
        "I" => "int".to_owned(),
        "J" => "long".to_owned(),
        "F" => "float".to_owned(),
        "D" => "double".to_owned(),
        class => dotted(internal_of(class)),
    };
    name + &"[]".repeat(dimensions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay() {
        let names = Names::default();
        let first = names.method("a/B", "c", "()V");
        assert_eq!(first, 1);
        assert_eq!(names.method("a/B", "c", "(I)V"), 2);
        assert_eq!(names.method("a/B", "c", "()V"), first);
        assert_eq!(names.class("La/B;"), 1);
    }

    #[test]
    fn signatures_as_people_write_them() {
        assert_eq!(readable("Ljava/lang/Object;"), "java.lang.Object");
        assert_eq!(readable("[[Ljava/util/Map$Entry;"), "java.util.Map$Entry[][]");
        assert_eq!(readable("[I"), "int[]");
        assert_eq!(internal_of("Ljava/lang/Object;"), "java/lang/Object");
    }
}

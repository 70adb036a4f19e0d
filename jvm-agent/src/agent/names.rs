//! Numbers for methods and classes: given once, valid for the JVM's life, so that the constant pools of classes that are probed
//! again and again do not grow.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plumb_trace::record::JvmRecord;

/// Room for the names of methods, bytes: some half a million of them.
const METHODS_BYTES_MAX: usize = 96 << 20;
/// Room for the names of classes that threads block on, bytes.
const CLASSES_BYTES_MAX: usize = 8 << 20;
/// What a name takes beside its bytes, about.
const ENTRY_BYTES: usize = 64;

/// The numbers given so far. Some JVMs make classes with ever new names: there is room for so many, and no more.
pub struct Names {
    methods: Mutex<Table>,
    classes: Mutex<Table>,
}

impl Default for Names {
    fn default() -> Names {
        Names {
            methods: Mutex::new(Table::with_room(METHODS_BYTES_MAX)),
            classes: Mutex::new(Table::with_room(CLASSES_BYTES_MAX)),
        }
    }
}

impl Names {
    /// The probe id of a method whose calls are units of this name (or empty), from 1 (what is below is [`super::sites`]'s); none where there are too many. `class` is an internal name.
    pub fn method(&self, class: &str, name: &str, descriptor: &str, unit: &str) -> Option<u32> {
        lock(&self.methods).number(format!("{class}.{name}{descriptor}{unit}"))
    }

    /// The number of a class of this signature, from 1; none where there are too many.
    pub fn class(&self, signature: &str) -> Option<u32> {
        lock(&self.classes).number(signature.to_owned())
    }
}

struct Table {
    numbers: HashMap<String, u32>,
    /// Bytes that are left for more of them.
    room: usize,
}

// Every class that has a number has one that fits into a record.
const _: () = assert!(CLASSES_BYTES_MAX / ENTRY_BYTES < JvmRecord::DETAIL_MAX as usize);

impl Table {
    fn with_room(room: usize) -> Table {
        Table {
            numbers: HashMap::new(),
            room,
        }
    }

    fn number(&mut self, name: String) -> Option<u32> {
        if let Some(number) = self.numbers.get(&name) {
            return Some(*number);
        }
        self.room = self.room.checked_sub(name.len() + ENTRY_BYTES)?;
        let next = self.numbers.len() as u32 + 1;
        self.numbers.insert(name, next);
        Some(next)
    }
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
        let first = names.method("a/B", "c", "()V", "");
        assert_eq!(first, Some(1));
        assert_eq!(names.method("a/B", "c", "(I)V", ""), Some(2));
        assert_eq!(names.method("a/B", "c", "()V", ""), first);
        assert_eq!(names.method("a/B", "c", "()V", "request"), Some(3));
        assert_eq!(names.class("La/B;"), Some(1));
    }

    #[test]
    fn who_comes_too_late_has_no_number_and_the_others_keep_theirs() {
        let mut table = Table::with_room(3 * (ENTRY_BYTES + 2));
        let numbers: Vec<_> = (10..20).map(|name| table.number(name.to_string())).collect();
        assert_eq!(numbers[..4], [Some(1), Some(2), Some(3), None]);
        assert_eq!((table.number("11".to_owned()), table.numbers.len()), (Some(2), 3));
    }

    #[test]
    fn signatures_as_people_write_them() {
        assert_eq!(readable("Ljava/lang/Object;"), "java.lang.Object");
        assert_eq!(readable("[[Ljava/util/Map$Entry;"), "java.util.Map$Entry[][]");
        assert_eq!(readable("[I"), "int[]");
        assert_eq!(internal_of("Ljava/lang/Object;"), "java/lang/Object");
    }
}

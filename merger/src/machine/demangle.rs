//! Functions as people call them: symbol tables hold the names of C++ and Rust mangled. Of anybody's making, so that what they expand to is bounded.

use cpp_demangle::{DemangleOptions, ParseOptions, Symbol};
use std::fmt;

/// Longest name that is made, bytes; one that would be longer stays as it is.
const NAME_MAX: usize = 1 << 10;
/// Longest name that is looked at, bytes.
const MANGLED_MAX: usize = 4 << 10;
/// Names within names.
const DEPTH_MAX: u32 = 64;

/// Text that takes no more than [`NAME_MAX`].
#[derive(Default)]
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > NAME_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// A function's name: without parameters, and without what a compiler adds to make it unique.
pub(super) fn demangled(function: &str) -> String {
    let name = match function.len() <= MANGLED_MAX {
        true => rust(function).or_else(|| cpp(function)),
        false => None,
    };
    name.unwrap_or_else(|| function.to_owned())
}

fn rust(function: &str) -> Option<String> {
    let name = rustc_demangle::try_demangle(function).ok()?;
    let mut out = Bounded::default();
    fmt::write(&mut out, format_args!("{name:#}")).ok()?;
    Some(out.0)
}

fn cpp(function: &str) -> Option<String> {
    if !function.starts_with("_Z") {
        return None;
    }
    let parse = ParseOptions::default().recursion_limit(DEPTH_MAX);
    let symbol = Symbol::new_with_options(function, &parse).ok()?;
    let options = DemangleOptions::default()
        .no_params()
        .no_return_type()
        .recursion_limit(DEPTH_MAX);
    let mut out = Bounded::default();
    symbol.structured_demangle(&mut out, &options).ok()?;
    Some(out.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_what_people_wrote() {
        let check = |mangled: &str, expect: &str| assert_eq!(demangled(mangled), expect);
        check("_ZN7Monitor4waitEm", "Monitor::wait");
        check("_ZN7sleeper11sleep_often17hbec97b529fef72baE", "sleeper::sleep_often");
        check("_RNvC6_123foo3bar", "123foo::bar");
        check("futex_wait", "futex_wait");
        check("", "");
        check("_Z", "_Z");
    }

    #[test]
    fn what_would_grow_without_end_stays_as_it_is() {
        // Each pair names what was before it twice.
        let mangled = format!("_Z1f{}", "St4pairIS_S_E".repeat(300));
        assert!(demangled(&mangled).len() <= NAME_MAX.max(mangled.len()));
        let deep = format!("_Z{}", "N".repeat(4000));
        assert_eq!(demangled(&deep), deep);
    }

    proptest! {
        #[test]
        fn any_name_is_no_panic(tail in "[A-Za-z0-9_$.]{0,60}") {
            for beginning in ["_Z", "_ZN", "_R", "_RNv", ""] {
                let name = format!("{beginning}{tail}");
                prop_assert!(demangled(&name).len() <= NAME_MAX);
            }
        }
    }
}

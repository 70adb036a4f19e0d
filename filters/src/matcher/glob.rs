//! Globs over names and over class names: `*` stays within a name or a package level, `**` crosses levels.
//!
//! A class pattern is levels joined by `/`, as in an internal class name. A level is `**` (any number of whole
//! levels, none included) or a name in which `*` stands for any characters, none included. `$` is a character like
//! any other: `Outer*` matches `Outer$Inner`.
//!
//! Both matchers go back to the last star only, which suffices for globs and bounds the work to the product of the lengths.

/// The level that crosses packages.
pub(super) const CROSSING: &str = "**";

/// Whether a name without levels matches.
pub(super) fn name_matches(glob: &str, name: &str) -> bool {
    let (glob, name) = (glob.as_bytes(), name.as_bytes());
    let (mut g, mut n) = (0, 0);
    // After the last star: where the glob goes on, and how much of the name the star has taken so far.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (glob.get(g), name.get(n)) {
            (Some(b'*'), _) => {
                g += 1;
                retry = Some((g, n));
            }
            (Some(wanted), Some(got)) if wanted == got => {
                g += 1;
                n += 1;
            }
            (None, None) => return true,
            _ => match retry {
                Some((after, taken)) if taken < name.len() => {
                    (g, n) = (after, taken + 1);
                    retry = Some((g, n));
                }
                _ => return false,
            },
        }
    }
}

/// Whether the name of a thread matches: `*` stands for any characters, none included, `?` for one.
pub(super) fn thread_matches(glob: &str, name: &str) -> bool {
    let (mut g, mut n) = (glob.chars(), name.chars());
    // After the last star: where the glob goes on, and the rest of the name that the star has not taken so far.
    let mut retry = None;
    loop {
        let rest = n.clone();
        match (g.next(), n.next()) {
            (Some('*'), _) => {
                n = rest;
                retry = Some((g.clone(), n.clone()));
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(got)) if wanted == got => {}
            (None, None) => return true,
            _ => {
                let Some((after, taken)) = &mut retry else { return false };
                if taken.next().is_none() {
                    return false;
                }
                (g, n) = (after.clone(), taken.clone());
            }
        }
    }
}

/// Whether an internal class name matches a class pattern.
pub(super) fn class_matches(pattern: &str, class: &str) -> bool {
    let (mut p, mut c) = (Some(pattern), Some(class));
    let mut retry = None;
    loop {
        match (p.map(split_level), c.map(split_level)) {
            (Some((CROSSING, rest)), _) => {
                p = rest;
                retry = Some((p, c));
            }
            (Some((wanted, p_rest)), Some((got, c_rest))) if name_matches(wanted, got) => {
                (p, c) = (p_rest, c_rest);
            }
            (None, None) => return true,
            _ => match retry {
                Some((after, Some(taken))) => {
                    (p, c) = (after, split_level(taken).1);
                    retry = Some((p, c));
                }
                _ => return false,
            },
        }
    }
}

/// The first level and what follows it.
fn split_level(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (text, None),
    }
}

/// Whether a class pattern is well formed: no empty level, `**` only as a whole level and never the last.
pub(super) fn is_class_pattern(pattern: &str) -> bool {
    pattern.split('/').all(|level| level == CROSSING || is_name_glob(level)) && !pattern.ends_with(CROSSING)
}

/// Whether a glob over one name is well formed.
pub(super) fn is_name_glob(glob: &str) -> bool {
    !glob.is_empty() && !glob.contains(CROSSING) && !glob.contains('/')
}

#[cfg(all(test, feature = "compile"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, as plainly as it can be said.
    fn naive_name(glob: &[u8], name: &[u8]) -> bool {
        match glob.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|taken| naive_name(rest, &name[taken..])),
            Some((wanted, rest)) => name.first() == Some(wanted) && naive_name(rest, &name[1..]),
        }
    }

    fn naive_class(pattern: &[&str], class: &[&str]) -> bool {
        match pattern.split_first() {
            None => class.is_empty(),
            Some((&CROSSING, rest)) => (0..=class.len()).any(|taken| naive_class(rest, &class[taken..])),
            Some((wanted, rest)) => {
                !class.is_empty()
                    && naive_name(wanted.as_bytes(), class[0].as_bytes())
                    && naive_class(rest, &class[1..])
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn names_match_as_defined(glob in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(name_matches(&glob, &name), naive_name(glob.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn threads_match_as_groups_do(glob in "[aé*?]{0,8}", name in "[aé]{0,10}") {
            prop_assert_eq!(thread_matches(&glob, &name), wildmatch::WildMatch::new(&glob).matches(&name), "{} {}", glob, name);
        }

        #[test]
        fn classes_match_as_defined(
            pattern in prop::collection::vec("a|b|ab|\\*|a\\*|\\*b|\\*\\*|\\*\\*", 1..7),
            class in prop::collection::vec("a|b|ab|aab", 1..7),
        ) {
            let expected = naive_class(
                &pattern.iter().map(|level| &**level).collect::<Vec<_>>(),
                &class.iter().map(|level| &**level).collect::<Vec<_>>(),
            );
            prop_assert_eq!(class_matches(&pattern.join("/"), &class.join("/")), expected);
        }
    }

    #[test]
    fn a_star_stays_within_its_level() {
        assert!(class_matches("com/*/Foo", "com/shop/Foo"));
        assert!(!class_matches("com/*/Foo", "com/shop/web/Foo"));
        assert!(!class_matches("com/*", "com"));
        assert!(class_matches("com/**/Foo", "com/shop/web/Foo"));
        assert!(class_matches("com/**/Foo", "com/Foo"));
        assert!(class_matches("**/*", "Foo"));
        assert!(class_matches("com/Outer*", "com/Outer$Inner"));
    }
}

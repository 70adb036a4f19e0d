//! Globs over thread names and cgroup paths. Of its own making because the kernel cuts a thread's name: the question is then whether the whole name might match.

/// `*` any characters, `?` one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob(Vec<char>);

impl Glob {
    pub fn new(text: &str) -> Glob {
        Glob(text.chars().collect())
    }

    /// Whether it matches this text.
    pub fn matches(&self, text: &str) -> bool {
        self.after(text).contains(&self.0.len())
    }

    /// Whether it matches this text or one that begins with it.
    pub fn matches_beginning(&self, text: &str) -> bool {
        !self.after(text).is_empty()
    }

    /// Places in the pattern that the text can have led to, in order.
    fn after(&self, text: &str) -> Vec<usize> {
        let mut places = self.with_stars(vec![0]);
        for character in text.chars() {
            let next = places.iter().filter_map(|&place| match self.0.get(place)? {
                '*' => Some(place),
                '?' => Some(place + 1),
                wanted => (*wanted == character).then_some(place + 1),
            });
            places = self.with_stars(next.collect());
        }
        places
    }

    /// A star may stand for nothing: where one is, what follows it is, too.
    fn with_stars(&self, mut places: Vec<usize>) -> Vec<usize> {
        let mut index = 0;
        while let Some(&place) = places.get(index) {
            if self.0.get(place) == Some(&'*') && !places.contains(&(place + 1)) {
                places.push(place + 1);
            }
            index += 1;
        }
        places.sort_unstable();
        places.dedup();
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        let check = |glob: &str, text: &str, whole: bool, beginning: bool| {
            let glob = Glob::new(glob);
            assert_eq!(
                (glob.matches(text), glob.matches_beginning(text)),
                (whole, beginning),
                "{glob:?} {text}"
            );
        };
        check("http-nio-*-exec-*", "http-nio-8080-exec-17", true, true);
        check("http-nio-*-exec-*", "http-nio-8080-e", false, true);
        check("http-nio-*-exec-*", "https-nio-8080", false, false);
        check("*", "", true, true);
        check("a?c", "abc", true, true);
        check("a?c", "abd", false, false);
        check("a?c", "ab", false, true);
        check("a*b*c", "aXbXbc", true, true);
        check("", "a", false, false);
        check("**a", "bba", true, true);
    }

    /// Work is bounded by pattern times text, whatever stands in them.
    #[test]
    fn many_stars_are_no_explosion() {
        assert!(!Glob::new(&"*a".repeat(60)).matches(&format!("{}b", "a".repeat(10_000))));
    }
}

//! What an agent left alone though rules name it, and why.

use std::fmt;

/// How many are named; the rest is a number.
const NAMED_MAX: usize = 5;
/// Characters of a name or a reason. Both are the JVM's, whose names may be very long.
const CHARACTERS_MAX: usize = 200;

/// Classes and methods that were left alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftAlone {
    count: u64,
    named: Vec<String>,
}

impl LeftAlone {
    /// `method` is empty where it is the whole class.
    pub(crate) fn add(&mut self, class: &str, method: &str, reason: &str) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            let dot = if method.is_empty() { "" } else { "." };
            let [class, method, reason] = [class, method, reason].map(cut);
            self.named.push(format!("{class}{dot}{method} ({reason})"));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.count == 1 {
            "class or method was"
        } else {
            "classes or methods were"
        };
        write!(
            f,
            "{} {what} left alone by the agent: {}",
            self.count,
            self.named.join(", ")
        )?;
        match self.count - self.named.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_the_others_counted() {
        let mut left = LeftAlone::default();
        assert!(left.is_empty());
        left.add("com.shop.Cart", "add(I)V", "its code would be too long");
        assert_eq!(
            left.to_string(),
            "1 class or method was left alone by the agent: com.shop.Cart.add(I)V (its code would be too long)"
        );
        for _ in 0..NAMED_MAX + 1 {
            left.add(&"x".repeat(CHARACTERS_MAX * 2), "", "why");
        }
        let text = left.to_string();
        assert!(
            text.starts_with("7 classes or methods were") && text.ends_with("x (why) and 2 more"),
            "{text}"
        );
        assert!(text.len() < NAMED_MAX * (CHARACTERS_MAX + 10) + 100);
    }
}

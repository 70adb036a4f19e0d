//! Mistakes in rules, as the user reads them.

use std::fmt;

/// A place in a rule file or preset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as the user named it, or `preset NAME`.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One mistake: what is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where; `None` for a name on the command line.
    pub place: Option<Place>,
    /// One line of cause.
    pub message: String,
    /// One line of remedy.
    pub help: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}\n  help: {}", self.message, self.help)
    }
}

/// Every mistake of a set of rules, in the order of the files and their lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Orders by place: the command line first, then the files in the order in which they first appear.
    pub(crate) fn sorted(mut mistakes: Vec<Diagnostic>) -> Self {
        let mut files: Vec<String> = Vec::new();
        for place in mistakes.iter().filter_map(|mistake| mistake.place.as_ref()) {
            if !files.contains(&place.file) {
                files.push(place.file.clone());
            }
        }
        mistakes.sort_by_key(|mistake| {
            let place = mistake.place.as_ref();
            place.map(|place| {
                (
                    files.iter().position(|file| *file == place.file),
                    place.line,
                    place.column,
                )
            })
        });
        Self(mistakes)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

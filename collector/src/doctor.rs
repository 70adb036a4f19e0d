//! What works on this machine, what does not, why, and what to do about it. Nothing is guessed: what can be tried is tried.

/// One thing that plumb needs or can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Short, stable name.
    pub name: &'static str,
    /// It works.
    pub ok: bool,
    /// What was found.
    pub why: String,
    /// What to do about it; empty where it works.
    pub remedy: String,
}

/// All checks of the kernel side and the recorder.
#[must_use]
pub fn checks() -> Vec<Check> {
    Vec::new()
}

//! The one error of reading class files.

use std::fmt;

/// A class file that cannot be read: where, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassError {
    /// Offset in the class file, in bytes, at which reading stopped.
    pub offset: usize,
    /// What was wrong there.
    pub reason: &'static str,
}

impl fmt::Display for ClassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "class file, offset {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for ClassError {}

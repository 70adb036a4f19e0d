//! Why a method was left alone.

use std::fmt;

use crate::classfile::ClassError;
use crate::classfile::pool::PoolFull;

/// Why a chosen method got no probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It has no body: probe the methods that implement it.
    Abstract,
    /// Its body is not bytecode.
    Native,
    /// It uses subroutines (`jsr`, `ret`), which only compilers before Java 6 wrote.
    Subroutines,
    /// An empty `finalize()`: the JVM takes a class whose finalizer does nothing for one that has none, and with probes it
    /// would do something.
    EmptyFinalizer,
    /// A constructor in which the call of `super(…)` or `this(…)` cannot be told with certainty.
    ConstructorUnclear,
    /// A jump would not reach its target any more (±32 KiB).
    JumpTooFar,
    /// The bytecode would pass 64 KiB.
    CodeTooLong,
    /// It would pass the 8,000 bytes up to which HotSpot compiles methods, and stay interpreted for ever.
    WouldNotCompile,
    /// Its operand stack or a table of its body has no room for one more.
    TableFull,
    /// The constant pool of its class has no room.
    PoolFull,
    /// Its body has mistakes.
    Malformed(ClassError),
}

impl Reason {
    /// One word to count by.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Abstract => "abstract",
            Self::Native => "native",
            Self::Subroutines => "subroutines",
            Self::EmptyFinalizer => "empty-finalizer",
            Self::ConstructorUnclear => "constructor-unclear",
            Self::JumpTooFar => "jump-too-far",
            Self::CodeTooLong => "code-too-long",
            Self::WouldNotCompile => "would-not-compile",
            Self::TableFull => "table-full",
            Self::PoolFull => "pool-full",
            Self::Malformed(_) => "malformed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abstract => f.write_str("abstract: has no body"),
            Self::Native => f.write_str("native: its body is not bytecode"),
            Self::Subroutines => f.write_str("uses subroutines (jsr, ret)"),
            Self::EmptyFinalizer => f.write_str("empty finalizer: with probes, every instance would be finalized"),
            Self::ConstructorUnclear => f.write_str("constructor whose super(…) or this(…) is not clear"),
            Self::JumpTooFar => f.write_str("a jump would not reach its target"),
            Self::CodeTooLong => f.write_str("bytecode would pass 64 KiB"),
            Self::WouldNotCompile => {
                f.write_str("bytecode would pass the 8,000 bytes up to which methods are compiled")
            }
            Self::TableFull => f.write_str("operand stack or a table has no room"),
            Self::PoolFull => f.write_str("constant pool of the class has no room"),
            Self::Malformed(error) => write!(f, "body with mistakes: {error}"),
        }
    }
}

impl std::error::Error for Reason {}

impl From<ClassError> for Reason {
    fn from(error: ClassError) -> Self {
        Self::Malformed(error)
    }
}

impl From<PoolFull> for Reason {
    fn from(_: PoolFull) -> Self {
        Self::PoolFull
    }
}

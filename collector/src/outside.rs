//! What reads bytes of others, for `fuzz/`, which feeds it with bytes that nobody would write. The crate promises nothing of it.

pub use crate::kernel::outside::*;
pub use crate::symbols::outside::*;
use object::read::ReadCache;
use std::io::Cursor;

/// A file of code, read piece by piece as one on a disk is.
#[must_use]
pub fn code(file: &[u8]) -> Option<Code> {
    Code::read(&ReadCache::new(Cursor::new(file)))
}

//! Class files as raw bytes: just enough parsing to choose methods and to take their bodies apart.
//!
//! Nothing here copies or normalises: everything points into the original bytes, so that what is not changed stays
//! byte-identical. Nothing here trusts the bytes: every read is checked, and an error names offset and reason.
//!
//! - [`ClassView`]: names, flags and methods of a class, cheap enough for every class that a JVM loads
//! - [`pool`]: the constant pool, and entries appended to it
//! - [`instructions`]: one instruction after the other
//! - [`frames`]: the `StackMapTable`
//! - [`annotations`]: names of annotations, and skipping over their values

pub mod annotations;
mod error;
pub mod frames;
pub mod instructions;
pub mod pool;
mod reader;
mod view;

pub use error::ClassError;
pub use reader::Reader;
pub use view::{Attribute, ClassView, Method, access};

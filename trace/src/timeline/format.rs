//! The layout of a timeline's file.

/// Version of the layout.
pub const VERSION: u32 = 1;

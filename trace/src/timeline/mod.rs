//! A timeline: what the merger made of one or several recordings, in one file, and the one query interface through which everybody reads it.
//!
//! [`model`] has the words (tracks, intervals, slices, units, losses), [`Query`] the questions, [`TimelineFile`] answers them from a memory-mapped
//! file, [`TimelineWriter`] makes the file. The layout of the file stands in [`format`].

pub mod format;
pub mod model;
mod query;
mod reader;
mod writer;

pub use model::*;
pub use query::Query;
pub use reader::{TimelineError, TimelineFile};
pub use writer::TimelineWriter;

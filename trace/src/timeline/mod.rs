//! A timeline: what the merger made of one or several recordings, in one file, and the one query interface through which everybody reads it.
//!
//! [`model`] has the words (tracks, intervals, slices, units, counters, losses), [`Query`] the questions, [`TimelineFile`] answers them from a memory-mapped
//! file, [`TimelineWriter`] makes the file. The layout of the file stands in [`format`].

mod buckets;
mod classes;
mod coarse_rows;
mod counters;
mod error;
pub mod format;
mod memory;
mod meta;
pub mod model;
mod output;
mod pyramid;
mod query;
mod reader;
mod rows;
mod source;
mod stacks;
mod states;
mod stretch;
mod tree;
mod writer;

pub use error::TimelineError;
pub use memory::Memory;
pub use model::*;
pub use query::Query;
pub use reader::TimelineFile;
pub use writer::TimelineWriter;

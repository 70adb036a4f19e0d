//! A timeline: what the merger made of one or several recordings, in one file, and the one query interface through which everybody reads it.
//!
//! [`model`] has the words (tracks, intervals, slices, units, losses), [`Query`] the questions. The layout of the file stands in [`format`].

mod error;
pub mod format;
pub mod model;
mod query;

pub use error::TimelineError;
pub use model::*;
pub use query::Query;

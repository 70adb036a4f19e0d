//! The formats of plumb and their readers, and nothing else.
//!
//! Design constraints:
//! - This crate depends on no other crate of plumb. What two parts must agree on (a record, a file, a name of a state) stands here once.
//! - [`record`] and [`arena`] are shared with code that runs inside a production JVM: no allocation, no dependency.
//! - Readers trust nothing: truncated, corrupt or hostile input gives an error that names file, offset and reason, or a shorter, marked result.
//! - A recording ([`recording`]) is what the recorder wrote: raw streams. A timeline ([`timeline`]) is what the merger made of
//!   one or several recordings. Nobody but the merger reads recordings; everybody else reads timelines, through
//!   [`timeline::Query`].

pub mod arena;
pub mod calendar;
#[cfg(feature = "files")]
mod columns;
pub mod definition;
#[cfg(feature = "files")]
mod pack;
pub mod pauses;
pub mod perfdata;
#[cfg(feature = "files")]
pub mod private_file;
pub mod record;
#[cfg(feature = "files")]
pub mod recording;
mod state;
pub mod syscalls;
#[cfg(feature = "files")]
pub mod timeline;
pub mod varint;

pub use state::{STATE_COUNT, State, StateTotals};

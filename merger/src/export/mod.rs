//! Timelines in other tools' formats. Everything is read through [`plumb_trace::timeline::Query`]; no recording is needed.

mod file;
mod folded;
mod paraver;

pub use folded::folded;
pub use paraver::paraver;

use plumb_trace::timeline::TimelineError;
use std::io;
use std::path::PathBuf;

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The timeline cannot be read.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// There is nothing to show.
    #[error(
        "the timeline holds no thread: there is nothing to export\nrecord again; `plumb doctor` says what works on this machine"
    )]
    Empty,
}

//! What can go wrong when a timeline is to be shown.

use plumb_trace::timeline::TimelineError;
use std::io;
use std::path::{Path, PathBuf};

/// Why nothing, or no picture, could be shown. Each message is one line of cause and one of remedy.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// No file was named.
    #[error("no timeline to show\nname at least one: plumb view FILE.plumb")]
    NoFile,
    /// A recording's directory was named where a timeline is needed.
    #[error("{} is a directory, not a timeline\nif it is a recording, merge it first: plumb merge {}", .0.display(), .0.display())]
    Directory(PathBuf),
    /// The file has no byte.
    #[error("{} is empty\nthe merge that wrote it did not finish; run it again: plumb merge RECORDING -o {}", .0.display(), .0.display())]
    Empty(PathBuf),
    /// The file cannot be read as a timeline.
    #[error("{0}{remedy}", remedy = remedy(.0))]
    Timeline(#[from] TimelineError),
    /// There is no display at all.
    #[error(
        "no window can be opened: there is no display (DISPLAY is not set)\ndraw a picture: plumb view FILE --screenshot OUT.png"
    )]
    NoDisplay,
    /// No window can be had.
    #[error("no window can be opened: {0}\ndraw a picture instead: plumb view FILE --screenshot OUT.png")]
    Window(String),
    /// The picture's size is out of bounds.
    #[error("a picture of {0} × {1} pixels cannot be made\nchoose a size from 320x200 to 8192x8192: --size 1600x900")]
    Size(u32, u32),
    /// The window of time is empty.
    #[error(
        "the window of time from {from_ns} ns to {to_ns} ns has no part of the timeline\ngive --from and --to within it, --from before --to"
    )]
    NoTime {
        /// Begin, ns from the timeline's start.
        from_ns: u64,
        /// End, ns from the timeline's start.
        to_ns: u64,
    },
    /// The picture cannot be written.
    #[error("cannot write {}: {cause}\nchoose another place for the picture", .path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// What to do about a timeline's error that does not say so itself.
fn remedy(error: &TimelineError) -> &'static str {
    match error {
        TimelineError::Io { .. } => {
            "\nname a .plumb file that plumb merge or plumb record wrote, and that you may read"
        }
        _ => "",
    }
}

impl ViewError {
    pub(crate) fn write(path: &Path, cause: impl Into<io::Error>) -> ViewError {
        ViewError::Write {
            path: path.to_owned(),
            cause: cause.into(),
        }
    }
}

//! What can go wrong with a timeline.

use std::io;
use std::path::PathBuf;

/// Why a timeline cannot be made, opened or read.
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is no timeline\nname a .plumb file that plumb merge or plumb record wrote", .0.display())]
    NotATimeline(PathBuf),
    /// Its end is missing.
    #[error("{} is incomplete: the merge that wrote it was stopped, or the file was cut\nmerge the recording again", .0.display())]
    Incomplete(PathBuf),
    /// It is of another version.
    #[error("{}: the timeline has version {found}, this plumb reads {}\nmerge the recording again with this plumb", path.display(), super::format::VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Some of its bytes are wrong.
    #[error("{}: damaged at byte {offset}: {reason}\nthe rest can still be read; merge the recording again to repair it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Why.
        reason: String,
    },
    /// The writer was given what no timeline can hold.
    #[error("a timeline cannot hold this: {0}\nthis is a mistake in the program that writes it, please report it")]
    Misuse(String),
}

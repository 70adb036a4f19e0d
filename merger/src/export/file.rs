//! Files that an export writes.

use super::ExportError;
use plumb_trace::{private_file, timeline::TimelineError};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Why one file was not written.
pub(super) enum WriteError {
    Io(io::Error),
    Export(ExportError),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> WriteError {
        WriteError::Io(error)
    }
}

impl From<TimelineError> for WriteError {
    fn from(error: TimelineError) -> WriteError {
        WriteError::Export(error.into())
    }
}

/// Makes a file, or replaces what it held; no symbolic link is followed.
pub(super) fn write_file<T>(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<T, WriteError>,
) -> Result<T, ExportError> {
    let write = || {
        let mut file = BufWriter::new(private_file::create_or_empty(path)?);
        let value = fill(&mut file)?;
        file.flush()?;
        Ok(value)
    };
    write().map_err(|error| match error {
        WriteError::Io(source) => ExportError::Io {
            path: path.to_owned(),
            source,
        },
        WriteError::Export(error) => error,
    })
}

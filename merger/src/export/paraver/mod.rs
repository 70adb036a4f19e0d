//! Paraver: `OUT.prv` (records), `OUT.pcf` (what numbers mean), `OUT.row` (what rows are called).
//!
//! A process is an application with one task, a host is a node. Times are ns from the timeline's start. States have Extrae's numbers where
//! they mean the same ([`states`]). A method call is two events of type [`METHOD_TYPE`]: the method's number at its begin, 0 at its
//! end, so that Paraver's semantic "Stacked Val" shows the innermost. Pauses are events of [`PAUSE_TYPE`] on the JVM's own row.
//!
//! ```text
//! #Paraver (dd/mm/yyyy at hh:mm):END_ns:nodes(cpus,..):applications:1(threads:node):1(threads:node)…
//! 1:cpu:application:task:thread:begin:end:state
//! 2:cpu:application:task:thread:time:type:value
//! ```
//! Records are in order of time: the timeline is read in windows of [`WINDOW_NS`], so that memory is what happens in one.

mod labels;
mod records;
mod rows;
mod states;

use super::ExportError;
use super::file::{WriteError, write_file};
use plumb_trace::timeline::Query;
use rows::Rows;
use std::path::{Path, PathBuf};

/// Type of a method call's events: Extrae's "User function".
const METHOD_TYPE: u32 = 60_000_019;
/// Type of a pause's events.
const PAUSE_TYPE: u32 = 60_001_000;
/// Length of the windows that are read at a time, ns.
const WINDOW_NS: u64 = 1_000_000_000;

/// Writes a timeline for Paraver; `out` with or without `.prv`. Existing files are replaced. Gives the three files' names.
///
/// # Errors
/// [`ExportError`]: a file that cannot be written, a damaged timeline, one without a thread.
pub fn paraver(query: &dyn Query, out: &Path) -> Result<[PathBuf; 3], ExportError> {
    let rows = Rows::new(query);
    if rows.is_empty() {
        return Err(ExportError::Empty);
    }
    let stem = if out.extension().is_some_and(|extension| extension == "prv") {
        out.with_extension("")
    } else {
        out.to_owned()
    };
    let paths = ["prv", "pcf", "row"].map(|extension| with_extension(&stem, extension));
    let values = write_file(&paths[0], |file| records::write(query, &rows, file))?;
    write_file(&paths[1], |file| Ok(labels::write_pcf(query, &values, file)?))?;
    write_file(&paths[2], |file| Ok(labels::write_row(query, &rows, file)?))?;
    Ok(paths)
}

/// Unlike `Path::with_extension`, leaves a name with a dot whole.
fn with_extension(stem: &Path, extension: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

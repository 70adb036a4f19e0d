//! Recordings to one timeline.
//!
//! Design constraints:
//! - Memory is what is known *now* of threads, CPUs and JVMs, and a segment or two of each stream: it does not grow with the recording's records.
//! - The stages are apart: [`input`] puts all streams on one clock and in one order; [`machine`] makes states, slices and losses of them, one record at a time
//!   and without looking back. So the same machine can be fed while the recording goes on.
//! - Every thread is in exactly one state from its birth to its death: states are written in one place (`machine::thread`), where each begins at the end of the one before.
//! - Nothing is made up: what records do not say is `unknown`, what cannot be used is left out and noted.
//! - No record, however corrupt, makes it panic or take memory without bound.

pub mod export;
mod groups;
mod input;
mod machine;
mod notes;
mod tails;

use groups::Groups;
use input::{HostInput, Input};
use machine::Machine;
use plumb_trace::recording::RecordingError;
use plumb_trace::timeline::{TimelineError, TimelineWriter};
use std::path::{Path, PathBuf};

/// Why a merge failed.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// No recording was named.
    #[error("no recording to merge\nname the directory that plumb record wrote")]
    Nothing,
    /// Its records would count twice.
    #[error("{} is named twice\nname each recording once", .0.display())]
    Twice(PathBuf),
    /// A recording cannot be opened.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The timeline cannot be written.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
}

/// How far a merge has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Records merged.
    pub records: u64,
    /// Records there are.
    pub records_total: u64,
}

/// What a merge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Records merged.
    pub records: u64,
    /// Threads found.
    pub threads: u64,
    /// Stretches in which records are missing.
    pub losses: u64,
    /// Records known to be missing; `None` where their number cannot be known.
    pub lost_records: Option<u64>,
    /// Length of the timeline, ns.
    pub length_ns: u64,
    /// What could not be used or is in doubt, one line each (also in the timeline).
    pub notes: Vec<String>,
}

/// Merges recordings into a timeline at `out`.
///
/// Recordings of the same boot of one host share its clock and its threads. Those of other hosts are put beside them by the hosts' real-time
/// clocks. A recording whose recorder was killed is merged as far as it goes, and the rest is a loss.
///
/// # Errors
/// [`MergeError`]: a recording that cannot be opened, a timeline that cannot be written. Damage inside a recording is no error: it is a loss, and noted.
pub fn merge(dirs: &[PathBuf], out: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Summary, MergeError> {
    let Input {
        hosts,
        jvms,
        mut lanes,
        mut notes,
        gaps,
        records: records_total,
    } = input::load(dirs)?;
    let groups = Groups::new(&hosts);
    notes::about_recordings(&hosts, &jvms, &mut notes);
    let mut machine = Machine::new(TimelineWriter::create(out)?, &hosts, jvms);
    let mut tell = |records| progress(Progress { records, records_total });
    let records = input::run(&mut lanes, &mut machine, &mut tell)?;
    tell(records);
    let ends = end_of_each(&hosts, &machine);
    for (lane, gap) in gaps {
        machine.lose(lane, gap)?;
    }
    tails::lose(&lanes, &hosts, &ends, &mut machine)?;
    lanes.iter().for_each(|lane| notes::about_lane(lane, &mut notes));
    notes::about_oddities(machine.oddities, &mut notes);
    machine.note_units(&mut notes);
    let to_ns = ends.into_iter().max().unwrap_or(0);
    let from_ns = hosts.iter().map(|host| host.from_ns).min().unwrap_or(0);
    let counts = machine.finish(&hosts, &groups, to_ns, notes.clone())?;
    Ok(Summary {
        records,
        threads: counts.threads,
        losses: counts.losses,
        lost_records: counts.lost_events,
        length_ns: to_ns.saturating_sub(from_ns),
        notes,
    })
}

/// Where each host's recordings end: where the recorder says, or, if it was killed, at the last time seen.
fn end_of_each(hosts: &[HostInput], machine: &Machine) -> Vec<u64> {
    hosts
        .iter()
        .map(|host| host.to_ns.unwrap_or(0).max(machine.now()))
        .collect()
}

//! The timelines that are shown, and what is known of them from the start.

use crate::ViewError;
use plumb_trace::timeline::{ProcessId, Query, TimelineFile, Track, TrackId};
use std::path::{Path, PathBuf};

/// A timeline on the screen. Several are laid over each other, each from its own start.
pub struct Source {
    /// Where its answers come from.
    pub query: Box<dyn Query>,
    /// What it is called: its file's name.
    pub label: String,
}

impl Source {
    /// Opens files.
    ///
    /// # Errors
    /// No file named, or one that is no timeline.
    pub fn open_all(paths: &[PathBuf]) -> Result<Vec<Source>, ViewError> {
        if paths.is_empty() {
            return Err(ViewError::NoFile);
        }
        paths.iter().map(|path| Source::open(path)).collect()
    }

    fn open(path: &Path) -> Result<Source, ViewError> {
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => return Err(ViewError::Directory(path.to_owned())),
            Ok(meta) if meta.is_file() && meta.len() == 0 => return Err(ViewError::Empty(path.to_owned())),
            _ => {}
        }
        let query = Box::new(TimelineFile::open(path)?);
        let label = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        Ok(Source { query, label })
    }

    /// Length, ns.
    pub fn total_ns(&self) -> u64 {
        let info = self.query.info();
        info.to_ns.saturating_sub(info.from_ns)
    }

    /// The absolute time of a time from the start.
    pub fn absolute_ns(&self, from_start_ns: f64) -> u64 {
        self.query.info().from_ns.saturating_add(from_start_ns.max(0.0) as u64)
    }

    /// The time from the start of an absolute time.
    pub fn since_start_ns(&self, absolute_ns: u64) -> f64 {
        absolute_ns as f64 - self.query.info().from_ns as f64
    }

    /// A track, if there is one with this number.
    pub fn track(&self, track: TrackId) -> Option<&Track> {
        self.query.tracks().get(track.0 as usize)
    }

    /// `name 4711` of a process.
    pub fn process_title(&self, process: ProcessId) -> String {
        match self.query.processes().get(process.0 as usize) {
            Some(process) if process.pid == 0 => process.name.clone(),
            Some(process) => format!("{} {}", process.name, process.pid),
            None => "unknown process".to_owned(),
        }
    }

    /// A thread as one would name it to somebody who does not see where it stands: `name (process pid)`.
    pub fn thread_title(&self, track: TrackId) -> String {
        let Some(found) = self.track(track) else {
            return "unknown thread".to_owned();
        };
        let process = self.process_title(found.process);
        match self.query.processes().get(found.process.0 as usize) {
            Some(owner) if owner.name == found.name => process,
            _ => format!("{} ({process})", found.name),
        }
    }
}

/// Length of the longest, ns.
pub fn total_ns(sources: &[Source]) -> f64 {
    sources.iter().map(Source::total_ns).max().unwrap_or(0) as f64
}

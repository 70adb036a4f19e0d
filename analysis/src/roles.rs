//! Who a thread is, in words: its group and its process.

use plumb_trace::timeline::{Process, Query, Track, TrackId, TrackKind};

/// A role: threads of one group of one program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role {
    /// Group; `None` where no rule names one.
    pub group: Option<String>,
    /// Process name; of several processes of one name it stands for all.
    pub process: String,
}

/// The role of what is not known.
pub(crate) const UNKNOWN: &str = "(unknown)";
/// The role of a CPU that nobody had.
pub(crate) const IDLE: &str = "(idle)";

impl Role {
    pub(crate) fn named(process: &str) -> Self {
        Self {
            group: None,
            process: process.to_owned(),
        }
    }

    /// For people: `request of java`, `hog`.
    pub(crate) fn text(&self) -> String {
        match &self.group {
            Some(group) => format!("{group} of {}", self.process),
            None => self.process.clone(),
        }
    }
}

/// The role of a track's thread.
pub(crate) fn role(query: &dyn Query, track: TrackId) -> Role {
    let Some(track) = query.tracks().get(track.0 as usize) else {
        return Role::named(UNKNOWN);
    };
    let process = process(query, track).map_or(UNKNOWN, |process| process.name.as_str());
    Role {
        group: group(query, track).map(str::to_owned),
        process: process.to_owned(),
    }
}

/// The group of a thread.
pub(crate) fn group<'q>(query: &'q dyn Query, track: &Track) -> Option<&'q str> {
    query.info().groups.get(track.group? as usize).map(String::as_str)
}

/// The process of a track.
pub(crate) fn process<'q>(query: &'q dyn Query, track: &Track) -> Option<&'q Process> {
    query.processes().get(track.process.0 as usize)
}

/// All threads, virtual ones too, with their numbers.
pub(crate) fn threads(query: &dyn Query) -> impl Iterator<Item = (TrackId, &Track)> {
    let is_thread = |track: &Track| matches!(track.kind, TrackKind::Thread | TrackKind::VirtualThread);
    let numbered = query
        .tracks()
        .iter()
        .zip(0..)
        .map(|(track, number)| (TrackId(number), track));
    numbered.filter(move |(_, track)| is_thread(track))
}

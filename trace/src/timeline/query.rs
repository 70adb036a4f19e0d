//! The one query interface: everything that reads timelines reads them through this.

use super::buckets;
use super::error::TimelineError;
use super::model::{
    CoarseOccupancy, CoarseState, CounterPoint, Info, JavaThread, Loss, Occupancy, Process, Sleep, Slice, StackId,
    StateInterval, StringId, Totals, Track, TrackId, Unit, UnitPart,
};

/// Questions to a timeline, be it a file or one that still grows.
///
/// Windows are half open and may reach beyond the timeline. What overlaps the window is given whole, not clipped, in order of its start. Every answer costs what the
/// answer and at most two blocks for each track hold, whatever the length of the timeline.
pub trait Query: Sync {
    /// What it is about. A growing source moves `to_ns`.
    fn info(&self) -> &Info;
    /// All processes.
    fn processes(&self) -> &[Process];
    /// All tracks.
    fn tracks(&self) -> &[Track];
    /// What is missing, in order of time.
    fn losses(&self) -> &[Loss];
    /// What the JVM knew of a Java thread; none of other tracks, and of sources that do not keep it.
    fn java_thread(&self, _track: TrackId) -> Option<&JavaThread> {
        None
    }
    /// A string; empty where the number is not known.
    fn string(&self, id: StringId) -> &str;
    /// Exact states of a thread.
    ///
    /// # Errors
    /// All questions fail where the file is damaged at the place in question.
    fn states(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Result<Vec<StateInterval>, TimelineError>;
    /// States at a zoom: no stretch shorter than about `resolution_ns` is told apart; at most about `(to - from) / resolution + 2` stretches come.
    ///
    /// # Errors
    /// See [`Query::states`].
    fn coarse_states(
        &self,
        track: TrackId,
        from_ns: u64,
        to_ns: u64,
        resolution_ns: u64,
    ) -> Result<Vec<CoarseState>, TimelineError>;
    /// Exact sums over a window, from cumulative sums and at most two blocks.
    ///
    /// # Errors
    /// See [`Query::states`].
    fn totals(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Result<Totals, TimelineError>;
    /// Slices of a track that last at least `min_ns` (0: all), in order of start, outer before inner.
    ///
    /// # Errors
    /// See [`Query::states`].
    fn slices(&self, track: TrackId, from_ns: u64, to_ns: u64, min_ns: u64) -> Result<Vec<Slice>, TimelineError>;
    /// Who had a CPU (`cpu` is a host's CPU number; the track is its CPU track).
    ///
    /// # Errors
    /// See [`Query::states`].
    fn occupancy(&self, cpu_track: TrackId, from_ns: u64, to_ns: u64) -> Result<Vec<Occupancy>, TimelineError>;
    /// Who had a CPU, at a zoom: one stretch at most for each `resolution_ns`, whole buckets as [`Query::coarse_states`] has them, equal neighbours joined.
    ///
    /// Made of [`Query::occupancy`] here, at the cost of all that the window holds: a source that has levels of detail answers from those.
    ///
    /// # Errors
    /// See [`Query::states`].
    fn coarse_occupancy(
        &self,
        cpu_track: TrackId,
        from_ns: u64,
        to_ns: u64,
        resolution_ns: u64,
    ) -> Result<Vec<CoarseOccupancy>, TimelineError> {
        buckets::zoom((from_ns, to_ns), resolution_ns, |from_ns, to_ns| {
            let exact = self.occupancy(cpu_track, from_ns, to_ns)?;
            Ok(exact.into_iter().map(CoarseOccupancy::from).collect())
        })
    }
    /// A counter's values: with `resolution_ns` 0 all its samples, else one stretch at most for each `resolution_ns`, as [`Query::coarse_occupancy`] has them.
    /// A source without counters has none.
    ///
    /// # Errors
    /// See [`Query::states`].
    fn counters(
        &self,
        _track: TrackId,
        _from_ns: u64,
        _to_ns: u64,
        _resolution_ns: u64,
    ) -> Result<Vec<CounterPoint>, TimelineError> {
        Ok(Vec::new())
    }
    /// Sleeps of a thread of which stacks were recorded. A source without stacks has none.
    ///
    /// # Errors
    /// See [`Query::states`].
    fn sleeps(&self, _track: TrackId, _from_ns: u64, _to_ns: u64) -> Result<Vec<Sleep>, TimelineError> {
        Ok(Vec::new())
    }
    /// The frames of a stack, outermost first; none of a stack that is not known. Frames of the kernel end in `_[k]`.
    fn stack(&self, _stack: StackId) -> Vec<StringId> {
        Vec::new()
    }
    /// Units that overlap the window, in order of end.
    ///
    /// # Errors
    /// See [`Query::states`].
    fn units(&self, from_ns: u64, to_ns: u64) -> Result<Vec<Unit>, TimelineError>;
    /// What single threads did of units that several worked on ([`Unit::number`] is not 0), as far as it overlaps the window, in order of end.
    /// A source without such units has none.
    ///
    /// # Errors
    /// See [`Query::states`].
    fn unit_parts(&self, _from_ns: u64, _to_ns: u64) -> Result<Vec<UnitPart>, TimelineError> {
        Ok(Vec::new())
    }

    /// The CPU track of a host's CPU.
    fn cpu_track(&self, host: u32, cpu: u16) -> Option<TrackId> {
        let found = self.tracks().iter().position(|track| {
            track.kind == super::TrackKind::Cpu
                && track.tid == Some(u32::from(cpu))
                && self
                    .processes()
                    .get(track.process.0 as usize)
                    .is_some_and(|process| process.host == host)
        });
        found.map(|index| TrackId(index as u32))
    }
}

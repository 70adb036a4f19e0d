//! A timeline in memory: a source that answers out of vectors, for tests of whatever reads timelines.

mod fill;
mod write;

use super::query::Query;
use super::{
    CoarseState, CounterPoint, Info, Loss, Occupancy, Process, Sleep, Slice, StackId, StateInterval, StringId,
    TimelineError, Totals, Track, TrackId, Unit, UnitPart,
};
use crate::State;
use std::path::PathBuf;

/// A timeline that is filled by hand. Whoever fills it sees to it that rows are in order of their times.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What it is about.
    pub info: Info,
    /// All processes.
    pub processes: Vec<Process>,
    /// All tracks.
    pub tracks: Vec<Track>,
    /// What is missing.
    pub losses: Vec<Loss>,
    /// Strings, by number.
    pub strings: Vec<String>,
    /// States, by track.
    pub states: Vec<Vec<StateInterval>>,
    /// Slices, by track.
    pub slices: Vec<Vec<Slice>>,
    /// Who had the CPUs, by track. Where that is empty it is told by the states.
    pub occupancy: Vec<(TrackId, Vec<Occupancy>)>,
    /// Units of work, in order of their ends.
    pub units: Vec<Unit>,
    /// Their parts.
    pub unit_parts: Vec<UnitPart>,
    /// Sleeps of which there are stacks.
    pub sleeps: Vec<(TrackId, Sleep)>,
    /// Frames, outermost first; the first stack has number 1.
    pub stacks: Vec<Vec<StringId>>,
    /// Samples of counters: each holds until the next one of its track.
    pub counters: Vec<(TrackId, u64, i64)>,
    /// Nothing of a track can be read.
    pub is_damaged: bool,
}

type Answer<T> = Result<Vec<T>, TimelineError>;

impl Memory {
    /// Of rows in order those that overlap a window.
    fn overlapping<T: Copy>(
        &self,
        rows: impl Iterator<Item = T>,
        span: impl Fn(&T) -> (u64, u64),
        (from_ns, to_ns): (u64, u64),
    ) -> Answer<T> {
        if self.is_damaged {
            return Err(TimelineError::Damaged {
                path: PathBuf::from("bad.plumb"),
                offset: 4711,
                reason: "checksum".into(),
            });
        }
        let overlaps = |row: &T| {
            let (start_ns, end_ns) = span(row);
            start_ns < to_ns && end_ns > from_ns
        };
        Ok(rows.filter(overlaps).collect())
    }

    /// Who had a CPU, as the states say: cut where two overlap.
    fn told_by_states(&self, cpu: Option<u32>) -> Vec<Occupancy> {
        let mut runs = Vec::new();
        for (states, track) in self.states.iter().zip(0..) {
            let is_on = |state: &&StateInterval| state.state == State::Running && state.cpu.map(u32::from) == cpu;
            runs.extend(states.iter().filter(is_on).map(|state| Occupancy {
                start_ns: state.start_ns,
                end_ns: state.end_ns,
                track: Some(TrackId(track)),
            }));
        }
        runs.sort_by_key(|run| run.start_ns);
        let mut free_from = 0;
        let cut = |run: Occupancy| {
            let start_ns = run.start_ns.max(free_from);
            free_from = free_from.max(run.end_ns);
            (start_ns < run.end_ns).then_some(Occupancy { start_ns, ..run })
        };
        runs.into_iter().filter_map(cut).collect()
    }

    /// Tells by the states who had the CPUs, once and for all.
    pub fn keep_occupancy(&mut self) {
        let cpus = self
            .tracks
            .iter()
            .zip(0..)
            .filter(|(track, _)| track.kind == super::TrackKind::Cpu);
        let all = cpus.map(|(track, number)| (TrackId(number), self.told_by_states(track.tid)));
        self.occupancy = all.collect();
    }

    /// A stretch in which nobody had a CPU. To be told after all that ran: see [`Memory::keep_occupancy`].
    pub fn idle(&mut self, start_ns: u64, end_ns: u64, cpu: u16) {
        if self.occupancy.is_empty() {
            self.keep_occupancy();
        }
        let tracks = &self.tracks;
        let is_of_cpu = |track: TrackId| tracks[track.0 as usize].tid == Some(u32::from(cpu));
        if let Some((_, rows)) = self.occupancy.iter_mut().find(|(track, _)| is_of_cpu(*track)) {
            rows.push(Occupancy {
                start_ns,
                end_ns,
                track: None,
            });
            rows.sort_by_key(|row| row.start_ns);
        }
    }

    fn of_track<T>(rows: &[Vec<T>], track: TrackId) -> impl Iterator<Item = &T> {
        rows.get(track.0 as usize).into_iter().flatten()
    }
}

impl Query for Memory {
    fn info(&self) -> &Info {
        &self.info
    }

    fn processes(&self) -> &[Process] {
        &self.processes
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn losses(&self) -> &[Loss] {
        &self.losses
    }

    fn string(&self, id: StringId) -> &str {
        self.strings.get(id.0 as usize).map_or("", String::as_str)
    }

    fn states(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Answer<StateInterval> {
        let rows = Memory::of_track(&self.states, track).copied();
        self.overlapping(rows, |row| (row.start_ns, row.end_ns), (from_ns, to_ns))
    }

    /// All of them: nothing is too short to be told.
    fn coarse_states(&self, track: TrackId, from_ns: u64, to_ns: u64, _: u64) -> Answer<CoarseState> {
        let coarse = |row: StateInterval| CoarseState {
            start_ns: row.start_ns,
            end_ns: row.end_ns,
            state: row.state,
            running: if row.state == State::Running { 255 } else { 0 },
        };
        Ok(self.states(track, from_ns, to_ns)?.into_iter().map(coarse).collect())
    }

    /// Stolen time of a cut interval lies at its start here: sums must not depend on it.
    fn totals(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Result<Totals, TimelineError> {
        let mut totals = Totals::default();
        for row in self.states(track, from_ns, to_ns)? {
            let length_ns = row.end_ns.min(to_ns) - row.start_ns.max(from_ns);
            let stolen_ns = row.stolen_ns.min(length_ns);
            totals.states.add(State::Stolen, stolen_ns);
            totals.states.add(row.state, length_ns - stolen_ns);
            totals.voluntary += u64::from(row.state == State::Running && !row.involuntary);
            totals.involuntary += u64::from(row.involuntary);
        }
        Ok(totals)
    }

    fn slices(&self, track: TrackId, from_ns: u64, to_ns: u64, min_ns: u64) -> Answer<Slice> {
        let is_wanted = |slice: &Slice| slice.end_ns - slice.start_ns >= min_ns;
        let rows = Memory::of_track(&self.slices, track).copied().filter(is_wanted);
        self.overlapping(rows, |row| (row.start_ns, row.end_ns), (from_ns, to_ns))
    }

    fn occupancy(&self, cpu_track: TrackId, from_ns: u64, to_ns: u64) -> Answer<Occupancy> {
        let kept = self.occupancy.iter().find(|(track, _)| *track == cpu_track);
        let told = match (kept, self.tracks.get(cpu_track.0 as usize)) {
            (None, Some(track)) => self.told_by_states(track.tid),
            _ => Vec::new(),
        };
        let rows = kept.map_or(&told, |(_, rows)| rows).iter().copied();
        self.overlapping(rows, |row| (row.start_ns, row.end_ns), (from_ns, to_ns))
    }

    fn counters(&self, track: TrackId, from_ns: u64, to_ns: u64, _: u64) -> Answer<CounterPoint> {
        let samples: Vec<_> = self.counters.iter().filter(|(of, ..)| *of == track).collect();
        let end_ns = self.tracks.get(track.0 as usize).map_or(0, |track| track.end_ns);
        let ends = samples.iter().skip(1).map(|(_, at_ns, _)| *at_ns).chain([end_ns]);
        let points = samples
            .iter()
            .zip(ends)
            .map(|(&&(_, start_ns, value), end_ns)| CounterPoint {
                start_ns,
                end_ns,
                min: value,
                max: value,
                last: value,
            });
        self.overlapping(points, |row| (row.start_ns, row.end_ns), (from_ns, to_ns))
    }

    fn sleeps(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Answer<Sleep> {
        let of_track = self.sleeps.iter().filter(|(of, _)| *of == track);
        let rows = of_track.map(|(_, sleep)| *sleep);
        self.overlapping(rows, |row| (row.start_ns, row.end_ns), (from_ns, to_ns))
    }

    fn stack(&self, stack: StackId) -> Vec<StringId> {
        let place = (stack.0 as usize).checked_sub(1);
        let frames = place.and_then(|place| self.stacks.get(place));
        frames.cloned().unwrap_or_default()
    }

    fn units(&self, from_ns: u64, to_ns: u64) -> Answer<Unit> {
        let rows = self.units.iter().copied();
        self.overlapping(rows, |row| (row.start_ns, row.end_ns), (from_ns, to_ns))
    }

    fn unit_parts(&self, from_ns: u64, to_ns: u64) -> Answer<UnitPart> {
        let rows = self.unit_parts.iter().copied();
        self.overlapping(rows, |row| (row.start_ns, row.end_ns), (from_ns, to_ns))
    }
}

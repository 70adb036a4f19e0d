//! Writing a timeline: rows are pushed as they become known, of all tracks in any mixture; each track's own come in order.

use super::classes::ClassesWriter;
use super::counters::CounterWriter;
use super::error::TimelineError;
use super::format::{self, BLOCK_ROWS, Extent, Sequence, SequenceKind, TABLE_MAX, Tail};
use super::meta::{self, Meta};
use super::model::{
    Info, JavaThread, Loss, Occupancy, Process, ProcessId, Sleep, Slice, StackId, StateInterval, StringId, Track,
    TrackId, TrackKind, Unit, UnitPart,
};
use super::output::Output;
use super::pyramid;
use super::source::Source;
use super::stacks::StacksWriter;
use super::states::{self, Account};
use super::tree::{RowsWriter, TreeBuilder};
use crate::State;
use std::collections::HashMap;
use std::path::Path;

/// Rows that are kept in memory at the most, over all tracks: about 64 MiB.
const ROWS_IN_MEMORY_MAX: isize = 1 << 20;
/// Times are below this: about 146 years.
const TIME_MAX: u64 = 1 << 62;

/// Writes a timeline. Memory is bounded by the number of tracks, not by their length. The file has its name only when [`TimelineWriter::finish`]
/// has succeeded; dropped before, nothing is left of it.
#[derive(Debug)]
pub struct TimelineWriter {
    out: Output,
    meta: Meta,
    strings: Vec<String>,
    string_ids: HashMap<String, u32>,
    rows: Vec<TrackRows>,
    stacks: StacksWriter,
    units: ClassesWriter<Unit>,
    unit_parts: ClassesWriter<UnitPart>,
    in_memory: isize,
}

/// The rows of one track.
#[derive(Debug)]
struct TrackRows {
    states: StatesWriter,
    slices: ClassesWriter<Slice>,
    occupancy: RowsWriter<Occupancy>,
    counter: CounterWriter,
    sleeps: RowsWriter<Sleep>,
}

impl TimelineWriter {
    /// Begins a timeline that will be at `path`.
    ///
    /// # Errors
    /// [`TimelineError::Io`] where no file can be made there.
    pub fn create(path: &Path) -> Result<TimelineWriter, TimelineError> {
        let mut out = Output::create(path)?;
        out.put(&format::header())?;
        Ok(TimelineWriter {
            out,
            meta: Meta::default(),
            strings: vec![String::new()],
            string_ids: HashMap::from([(String::new(), 0)]),
            rows: Vec::new(),
            stacks: StacksWriter::default(),
            units: ClassesWriter::new(SequenceKind::Units),
            unit_parts: ClassesWriter::new(SequenceKind::UnitParts),
            in_memory: 0,
        })
    }

    /// The number of a string: the same for equal strings.
    pub fn string(&mut self, text: &str) -> StringId {
        if let Some(&id) = self.string_ids.get(text) {
            return StringId(id);
        }
        let id = self.strings.len() as u32;
        self.strings.push(text.to_owned());
        self.string_ids.insert(text.to_owned(), id);
        StringId(id)
    }

    /// Adds a process.
    pub fn add_process(&mut self, process: Process) -> ProcessId {
        self.meta.processes.push(process);
        ProcessId(self.meta.processes.len() as u32 - 1)
    }

    /// A process, to be changed.
    ///
    /// # Panics
    /// Where there is no process of this number.
    pub fn process_mut(&mut self, process: ProcessId) -> &mut Process {
        &mut self.meta.processes[process.0 as usize]
    }

    /// Adds a track.
    pub fn add_track(&mut self, track: Track) -> TrackId {
        self.meta.tracks.push(track);
        self.rows.push(TrackRows {
            states: StatesWriter::default(),
            slices: ClassesWriter::new(SequenceKind::Slices),
            occupancy: RowsWriter::new(SequenceKind::Occupancy, 0),
            counter: CounterWriter::new(),
            sleeps: RowsWriter::new(SequenceKind::Sleeps, 0),
        });
        TrackId(self.meta.tracks.len() as u32 - 1)
    }

    /// Tells what the JVM knew of a thread, unless that was told before.
    pub fn java_thread(&mut self, track: TrackId, thread: JavaThread) {
        self.meta.java_threads.entry(track).or_insert(thread);
    }

    /// A track, to be changed.
    ///
    /// # Panics
    /// Where there is no track of this number.
    pub fn track_mut(&mut self, track: TrackId) -> &mut Track {
        &mut self.meta.tracks[track.0 as usize]
    }

    /// Adds the next interval of a thread: it begins where the one before ended.
    ///
    /// # Errors
    /// [`TimelineError::Misuse`] where it does not, is empty, is [`State::Stolen`] or has more stolen time than it may; [`TimelineError::Io`].
    pub fn state(&mut self, track: TrackId, interval: &StateInterval) -> Result<(), TimelineError> {
        let rows = track_rows(&mut self.rows, track)?;
        rows.states
            .check(interval)
            .map_err(|reason| self.meta.misuse(track, reason))?;
        let more = rows.states.push(*interval, &mut self.out)?;
        self.count(more)
    }

    /// Adds a slice when it ends: inner ones before outer ones.
    ///
    /// # Errors
    /// [`TimelineError::Misuse`] where it ends before it begins; [`TimelineError::Io`].
    pub fn slice(&mut self, track: TrackId, slice: &Slice) -> Result<(), TimelineError> {
        let rows = track_rows(&mut self.rows, track)?;
        if slice.start_ns > slice.end_ns || slice.end_ns >= TIME_MAX {
            return Err(self.meta.misuse(track, format!("{slice:?}")));
        }
        let more = rows.slices.push(*slice, &mut self.out)?;
        self.count(more)
    }

    /// Adds who had a CPU next.
    ///
    /// # Errors
    /// [`TimelineError::Misuse`] where it is empty or begins before the end of the one before; [`TimelineError::Io`].
    pub fn occupancy(&mut self, cpu_track: TrackId, occupancy: &Occupancy) -> Result<(), TimelineError> {
        let rows = track_rows(&mut self.rows, cpu_track)?;
        let before_ns = rows.occupancy.last_ns();
        if occupancy.start_ns < before_ns || occupancy.start_ns >= occupancy.end_ns || occupancy.end_ns >= TIME_MAX {
            return Err(self.meta.misuse(cpu_track, format!("{occupancy:?} after {before_ns}")));
        }
        let more = rows.occupancy.push(*occupancy, &mut self.out)?;
        self.count(more)
    }

    /// Adds a sample of a counter: its value from `time_ns` until the next sample, in the unit that its track names.
    ///
    /// Values are whole numbers, so that what the kernel counts (nanoseconds, bytes, events) stays exact however large, and differences of it too.
    ///
    /// # Errors
    /// [`TimelineError::Misuse`] where the track is no counter's or the sample is not later than the one before; [`TimelineError::Io`].
    pub fn counter(&mut self, track: TrackId, time_ns: u64, value: i64) -> Result<(), TimelineError> {
        let rows = track_rows(&mut self.rows, track)?;
        let before_ns = rows.counter.last_ns();
        let is_counter = matches!(self.meta.tracks[track.0 as usize].kind, TrackKind::Counter { .. });
        if !is_counter || before_ns.is_some_and(|before_ns| time_ns <= before_ns) || time_ns >= TIME_MAX {
            let what = format!("a sample of a counter at {time_ns} after {before_ns:?}");
            return Err(self.meta.misuse(track, what));
        }
        let more = rows.counter.push(time_ns, value, &mut self.out)?;
        self.count(more)
    }

    /// A number for a stack whose frames are told later, or never; none where there are too many.
    pub fn add_stack(&mut self) -> Option<StackId> {
        self.stacks.add()
    }

    /// Gives a stack its frames, outermost first; those of the kernel end in `_[k]`. False: there is no room for more.
    pub fn define_stack(&mut self, stack: StackId, frames: &[StringId]) -> bool {
        self.stacks.define(stack, frames)
    }

    /// Adds the next sleep of a thread of which stacks were recorded.
    ///
    /// # Errors
    /// [`TimelineError::Misuse`] where it is empty or begins before the end of the one before; [`TimelineError::Io`].
    pub fn sleep(&mut self, track: TrackId, sleep: &Sleep) -> Result<(), TimelineError> {
        let rows = track_rows(&mut self.rows, track)?;
        let before_ns = rows.sleeps.last_ns();
        if sleep.start_ns < before_ns || sleep.start_ns >= sleep.end_ns || sleep.end_ns >= TIME_MAX {
            return Err(self.meta.misuse(track, format!("{sleep:?} after {before_ns}")));
        }
        let more = rows.sleeps.push(*sleep, &mut self.out)?;
        self.count(more)
    }

    /// Adds a unit of work, about in order of their ends.
    ///
    /// # Errors
    /// [`TimelineError::Misuse`] where it ends before it begins; [`TimelineError::Io`].
    pub fn unit(&mut self, unit: &Unit) -> Result<(), TimelineError> {
        track_rows(&mut self.rows, unit.track)?;
        if unit.start_ns > unit.end_ns || unit.end_ns >= TIME_MAX {
            return Err(self.meta.misuse(unit.track, format!("{unit:?}")));
        }
        let more = self.units.push(*unit, &mut self.out)?;
        self.count(more)
    }

    /// Adds what one thread did of a unit that several worked on, about in order of their ends.
    ///
    /// # Errors
    /// [`TimelineError::Misuse`] where it ends before it begins, or begins before it was handed over; [`TimelineError::Io`].
    pub fn unit_part(&mut self, part: &UnitPart) -> Result<(), TimelineError> {
        track_rows(&mut self.rows, part.track)?;
        if part.handed_ns > part.start_ns || part.start_ns > part.end_ns || part.end_ns >= TIME_MAX {
            return Err(self.meta.misuse(part.track, format!("{part:?}")));
        }
        let more = self.unit_parts.push(*part, &mut self.out)?;
        self.count(more)
    }

    /// Adds a loss.
    pub fn loss(&mut self, loss: Loss) {
        self.meta.losses.push(loss);
    }

    /// What the timeline is about, to be filled in.
    pub fn info_mut(&mut self) -> &mut Info {
        &mut self.meta.info
    }

    /// Completes the file and gives it its name, in place of an older one.
    ///
    /// # Errors
    /// [`TimelineError::Misuse`] where tables contradict each other; [`TimelineError::Io`].
    pub fn finish(mut self) -> Result<(), TimelineError> {
        self.meta.check().map_err(TimelineError::Misuse)?;
        self.meta.losses.sort_by_key(|loss| (loss.from_ns, loss.to_ns));
        let lists = self.finish_tracks()?;
        let mut units = self.units.finish(&mut self.out)?;
        units.extend(self.unit_parts.finish(&mut self.out)?);
        let units = Sequence::list_to_bytes(&units);
        let out = &mut self.out;
        let units = out.put(&units)?;
        let extents = lists
            .iter()
            .map(|list| put_list(list, out))
            .collect::<Result<Vec<_>, _>>()?;
        let tracks_at = out.offset();
        out.put(&extents.iter().flat_map(|extent| extent.to_bytes()).collect::<Vec<_>>())?;
        let strings = put_table(&meta::encode_strings(&self.strings), out)?;
        let stacks = match self.stacks.encode() {
            Some(table) => put_table(&table, out)?,
            None => Extent::default(),
        };
        let json = serde_json::to_vec(&self.meta).map_err(|error| TimelineError::Misuse(error.to_string()))?;
        let meta = put_table(&json, out)?;
        let file_bytes = out.offset() + format::TAIL_BYTES as u64;
        let track_count = extents.len() as u32;
        out.put(
            &Tail {
                file_bytes,
                meta,
                strings,
                units,
                stacks,
                tracks_at,
                track_count,
            }
            .to_bytes(),
        )?;
        self.out.finish()
    }

    /// Completes the sequences of all tracks, then builds their pyramids from what was written.
    fn finish_tracks(&mut self) -> Result<Vec<Vec<Sequence>>, TimelineError> {
        let mut lists = Vec::with_capacity(self.rows.len());
        for (rows, track) in std::mem::take(&mut self.rows).into_iter().zip(&self.meta.tracks) {
            let mut list: Vec<Sequence> = rows.states.finish(&mut self.out)?.into_iter().collect();
            list.extend(rows.slices.finish(&mut self.out)?);
            list.extend(rows.occupancy.finish(&mut self.out)?);
            list.extend(rows.counter.finish(track.end_ns.min(TIME_MAX), &mut self.out)?);
            list.extend(rows.sleeps.finish(&mut self.out)?);
            lists.push(list);
        }
        let part = self.out.part().to_owned();
        let io_error = |source| TimelineError::Io {
            path: part.clone(),
            source,
        };
        let source = Source::map(self.out.flushed()?, &part).map_err(io_error)?;
        for list in &mut lists {
            for at in 0..list.len() {
                let levels = pyramid::build(&source, &list[at], &mut self.out)?;
                list.extend(levels);
            }
        }
        Ok(lists)
    }

    /// Keeps the rows in memory bounded.
    fn count(&mut self, more: isize) -> Result<(), TimelineError> {
        self.in_memory += more;
        if self.in_memory >= ROWS_IN_MEMORY_MAX {
            for rows in &mut self.rows {
                rows.states.flush(&mut self.out)?;
                rows.slices.flush(&mut self.out)?;
                rows.occupancy.flush(&mut self.out)?;
                rows.counter.flush(&mut self.out)?;
                rows.sleeps.flush(&mut self.out)?;
            }
            self.units.flush(&mut self.out)?;
            self.unit_parts.flush(&mut self.out)?;
            self.in_memory = 0;
        }
        Ok(())
    }
}

impl Meta {
    fn misuse(&self, track: TrackId, what: String) -> TimelineError {
        let name = self.tracks.get(track.0 as usize).map_or("", |track| &track.name);
        TimelineError::Misuse(format!("track {} ({name}): {what}", track.0))
    }
}

fn track_rows(rows: &mut [TrackRows], track: TrackId) -> Result<&mut TrackRows, TimelineError> {
    rows.get_mut(track.0 as usize)
        .ok_or_else(|| TimelineError::Misuse(format!("there is no track {}", track.0)))
}

fn put_list(list: &[Sequence], out: &mut Output) -> Result<Extent, TimelineError> {
    if list.is_empty() {
        Ok(Extent::default())
    } else {
        out.put(&Sequence::list_to_bytes(list))
    }
}

fn put_table(raw: &[u8], out: &mut Output) -> Result<Extent, TimelineError> {
    if raw.len() > TABLE_MAX {
        return Err(TimelineError::Misuse(format!("a table of {} bytes", raw.len())));
    }
    out.put_packed(raw)
}

/// Writes the states of one track.
#[derive(Debug, Default)]
struct StatesWriter {
    intervals: Vec<StateInterval>,
    end_ns: Option<u64>,
    /// Up to the first of `intervals`.
    account: Account,
    tree: TreeBuilder,
}

impl StatesWriter {
    fn check(&self, interval: &StateInterval) -> Result<(), String> {
        let stolen_max = if interval.state == State::Running {
            interval.end_ns.saturating_sub(interval.start_ns)
        } else {
            0
        };
        let reason = match self.end_ns {
            Some(end_ns) if end_ns != interval.start_ns => {
                format!("there is a gap or an overlap: the state before ended at {end_ns}")
            }
            _ if interval.start_ns >= interval.end_ns || interval.end_ns >= TIME_MAX => "its times cannot be".into(),
            _ if interval.state == State::Stolen => {
                "stolen is an amount on a running interval, not a state of its own".into()
            }
            _ if interval.stolen_ns > stolen_max => format!("at most {stolen_max} ns of it can be stolen"),
            _ => return Ok(()),
        };
        Err(format!("{reason}: {interval:?}"))
    }

    fn push(&mut self, interval: StateInterval, out: &mut Output) -> Result<isize, TimelineError> {
        self.end_ns = Some(interval.end_ns);
        self.intervals.push(interval);
        if self.intervals.len() < BLOCK_ROWS {
            Ok(1)
        } else {
            Ok(1 - self.flush(out)? as isize)
        }
    }

    fn flush(&mut self, out: &mut Output) -> Result<usize, TimelineError> {
        let intervals = std::mem::take(&mut self.intervals);
        let (Some(first), Some(last)) = (intervals.first(), intervals.last()) else {
            return Ok(0);
        };
        let mut raw = Vec::new();
        states::encode(&self.account, &intervals, &mut raw);
        self.tree
            .push(&raw, intervals.len(), (first.start_ns, last.end_ns), out)?;
        for interval in &intervals {
            self.account.add(interval, interval.end_ns);
        }
        Ok(intervals.len())
    }

    fn finish(mut self, out: &mut Output) -> Result<Option<Sequence>, TimelineError> {
        self.flush(out)?;
        let root = self.tree.finish(out)?;
        Ok(root.map(|(root, height)| Sequence {
            kind: SequenceKind::States,
            level: 0,
            height,
            disorder_ns: 0,
            root,
        }))
    }
}

//! Reading a timeline: answers to [`Query`] from a memory-mapped file.

use super::buckets;
use super::classes::class_end_ns;
use super::error::TimelineError;
use super::format::{
    EXTENT_BYTES, Extent, HEADER_BYTES, MAGIC, Sequence, SequenceKind, TABLE_MAX, TAIL_BYTES, Tail, VERSION,
};
use super::meta::{self, Meta};
use super::model::{
    CoarseOccupancy, CoarseState, CounterPoint, Info, JavaThread, Loss, Occupancy, Process, Sleep, Slice, StackId,
    StateInterval, StringId, Totals, Track, TrackId, Unit, UnitPart,
};
use super::query::Query;
use super::rows::Row;
use super::source::{Range, Source};
use super::stacks::Stacks;
use super::states::Account;
use super::stretch::Stretch;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Most bytes of a list of sequences: far more than there are kinds and levels.
const LIST_MAX: usize = 64 << 10;

/// A timeline in a file.
#[derive(Debug)]
pub struct TimelineFile {
    source: Source,
    tail: Tail,
    meta: Meta,
    strings: Vec<String>,
    stacks: Stacks,
    units: Vec<Sequence>,
    unit_parts: Vec<Sequence>,
}

impl TimelineFile {
    /// Opens a timeline. Reads its tables, so that this takes as long for an hour as for a second.
    ///
    /// # Errors
    /// [`TimelineError`], with a remedy: no such file, no timeline, one of another version, one without its end, damaged tables.
    pub fn open(path: &Path) -> Result<TimelineFile, TimelineError> {
        let io_error = |source| TimelineError::Io {
            path: path.to_owned(),
            source,
        };
        let file = open_regular(path).map_err(io_error)?;
        if file.metadata().map_err(io_error)?.len() < HEADER_BYTES as u64 {
            return Err(TimelineError::NotATimeline(path.to_owned()));
        }
        let mut source = Source::map(&file, path).map_err(io_error)?;
        let tail = read_tail(&source)?;
        source.set_track_count(tail.track_count);
        let strings = meta::decode_strings(&source.read(tail.strings, TABLE_MAX)?)
            .ok_or_else(|| source.damaged(tail.strings.offset, "the strings do not decode"))?;
        let stacks = read_stacks(&source, &tail)?;
        let meta = read_meta(&source, &tail)?;
        let units = read_list(&source, tail.units)?;
        let (units, unit_parts) = units
            .into_iter()
            .partition(|sequence| sequence.kind == SequenceKind::Units);
        Ok(TimelineFile {
            source,
            tail,
            meta,
            strings,
            stacks,
            units,
            unit_parts,
        })
    }

    /// Bytes of the file that were looked at since it was opened, with opening.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.source.bytes_read()
    }

    /// Widths of the buckets of a track's levels of detail, ns, finest first: of its states, of a CPU's occupancy, of a counter's values. None: its rows are so few
    /// that they are read themselves. At one of these resolutions, and at finer ones than the first, [`Query::coarse_states`], [`Query::coarse_occupancy`] and
    /// [`Query::counters`] are exact; else a bucket of the file that lies across a border counts on both sides: who is said to have had the largest part may be the
    /// second, and a counter's stretch may hold values of the stretch beside it.
    ///
    /// # Errors
    /// See [`Query::states`].
    pub fn coarse_widths(&self, track: TrackId) -> Result<Vec<u64>, TimelineError> {
        let mut sequences = self.sequences(track)?;
        let levels = [CoarseState::LEVELS, CoarseOccupancy::LEVELS, CounterPoint::LEVELS];
        sequences.retain(|sequence| levels.contains(&sequence.kind));
        let mut widths: Vec<u64> = sequences.iter().map(|sequence| 1 << sequence.level).collect();
        widths.sort_unstable();
        Ok(widths)
    }

    /// The sequences of a track; none where there is no such track.
    fn sequences(&self, track: TrackId) -> Result<Vec<Sequence>, TimelineError> {
        if track.0 >= self.tail.track_count {
            return Ok(Vec::new());
        }
        let offset = self
            .tail
            .tracks_at
            .saturating_add(u64::from(track.0) * EXTENT_BYTES as u64);
        let extent = self.source.bytes(offset, EXTENT_BYTES).and_then(Extent::from_bytes);
        read_list(
            &self.source,
            extent.ok_or_else(|| self.source.damaged(offset, "the tracks lie outside of the file"))?,
        )
    }

    fn sequence(&self, track: TrackId, kind: SequenceKind) -> Result<Option<Sequence>, TimelineError> {
        Ok(self
            .sequences(track)?
            .into_iter()
            .find(|sequence| sequence.kind == kind))
    }

    /// The wanted rows of one sequence, and no others.
    fn rows<R: Row>(
        &self,
        sequence: &Sequence,
        range: Range,
        wanted: impl Fn(&R) -> bool,
    ) -> Result<Vec<R>, TimelineError> {
        let mut result = Vec::new();
        self.source.blocks(sequence, range, &mut |entry| {
            result.extend(
                self.source
                    .rows(entry, sequence.level)?
                    .into_iter()
                    .filter(|row| wanted(row)),
            );
            Ok(())
        })?;
        Ok(result)
    }

    /// Rows of length classes that overlap a window and last at least `min_ns`.
    fn classed<R: Row>(
        &self,
        sequences: &[Sequence],
        (from_ns, to_ns): (u64, u64),
        min_ns: u64,
    ) -> Result<Vec<R>, TimelineError> {
        let wanted = |row: &R| {
            let (start_ns, end_ns) = row.span();
            let overlaps = start_ns < to_ns && (end_ns > from_ns || (start_ns == end_ns && start_ns >= from_ns));
            overlaps && end_ns - start_ns >= min_ns
        };
        let mut result = Vec::new();
        for sequence in sequences
            .iter()
            .filter(|sequence| class_end_ns(sequence.level) > min_ns)
        {
            let stop_ns = to_ns
                .saturating_add(class_end_ns(sequence.level))
                .saturating_add(sequence.disorder_ns);
            result.extend(self.rows(sequence, Range::window(from_ns, to_ns, stop_ns), wanted)?);
        }
        Ok(result)
    }

    /// The account of a thread at an instant: one block.
    fn account(&self, states: &Sequence, at_ns: u64) -> Result<Account, TimelineError> {
        let Some(entry) = self.source.block_before(states, at_ns)? else {
            return Ok(Account::default());
        };
        let (mut account, intervals) = self.source.states(&entry)?;
        for interval in intervals.iter().take_while(|interval| interval.start_ns < at_ns) {
            account.add(interval, at_ns);
        }
        Ok(account)
    }

    /// The rows of a sequence of ordered rows that overlap a window.
    fn ordered_rows<R: Row>(
        &self,
        track: TrackId,
        kind: SequenceKind,
        (from_ns, to_ns): (u64, u64),
    ) -> Result<Vec<R>, TimelineError> {
        match self.sequence(track, kind)? {
            Some(sequence) => self.overlapping(&sequence, (from_ns, to_ns)),
            None => Ok(Vec::new()),
        }
    }

    fn overlapping<R: Row>(&self, sequence: &Sequence, (from_ns, to_ns): (u64, u64)) -> Result<Vec<R>, TimelineError> {
        self.rows(sequence, ordered(from_ns, to_ns), |row: &R| {
            row.span().0 < to_ns && row.span().1 > from_ns
        })
    }

    /// A window at a zoom: from the coarsest level that still tells `resolution_ns` apart, and where there is none from exact rows.
    fn zoom<S: Stretch>(
        &self,
        track: TrackId,
        (from_ns, to_ns): (u64, u64),
        resolution_ns: u64,
        exact: impl FnOnce(u64, u64) -> Result<Vec<S>, TimelineError>,
    ) -> Result<Vec<S>, TimelineError> {
        let fits = |sequence: &&Sequence| sequence.kind == S::LEVELS && 1 << sequence.level <= resolution_ns;
        buckets::zoom((from_ns, to_ns), resolution_ns, |from_ns, to_ns| {
            let sequences = self.sequences(track)?;
            let levels = sequences.iter().filter(fits);
            match levels.max_by_key(|sequence| sequence.level) {
                Some(level) => self.overlapping(level, (from_ns, to_ns)),
                None => exact(from_ns, to_ns),
            }
        })
    }
}

impl Query for TimelineFile {
    fn info(&self) -> &Info {
        &self.meta.info
    }

    fn processes(&self) -> &[Process] {
        &self.meta.processes
    }

    fn tracks(&self) -> &[Track] {
        &self.meta.tracks
    }

    fn losses(&self) -> &[Loss] {
        &self.meta.losses
    }

    fn java_thread(&self, track: TrackId) -> Option<&JavaThread> {
        self.meta.java_threads.get(&track)
    }

    fn string(&self, id: StringId) -> &str {
        self.strings.get(id.0 as usize).map_or("", String::as_str)
    }

    fn states(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Result<Vec<StateInterval>, TimelineError> {
        let mut result = Vec::new();
        let Some(states) = self.sequence(track, SequenceKind::States)? else {
            return Ok(result);
        };
        self.source.blocks(&states, ordered(from_ns, to_ns), &mut |entry| {
            let (_, intervals) = self.source.states(entry)?;
            result.extend(
                intervals
                    .into_iter()
                    .filter(|interval| interval.start_ns < to_ns && interval.end_ns > from_ns),
            );
            Ok(())
        })?;
        Ok(result)
    }

    fn coarse_states(
        &self,
        track: TrackId,
        from_ns: u64,
        to_ns: u64,
        resolution_ns: u64,
    ) -> Result<Vec<CoarseState>, TimelineError> {
        self.zoom(track, (from_ns, to_ns), resolution_ns, |from_ns, to_ns| {
            let exact = self.states(track, from_ns, to_ns)?;
            Ok(exact.into_iter().map(CoarseState::from).collect())
        })
    }

    fn totals(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Result<Totals, TimelineError> {
        match self.sequence(track, SequenceKind::States)? {
            Some(states) if from_ns < to_ns => {
                Ok(self.account(&states, to_ns)?.since(&self.account(&states, from_ns)?))
            }
            _ => Ok(Totals::default()),
        }
    }

    fn slices(&self, track: TrackId, from_ns: u64, to_ns: u64, min_ns: u64) -> Result<Vec<Slice>, TimelineError> {
        let mut sequences = self.sequences(track)?;
        sequences.retain(|sequence| sequence.kind == SequenceKind::Slices);
        let mut slices: Vec<Slice> = self.classed(&sequences, (from_ns, to_ns), min_ns)?;
        slices.sort_by_key(|slice| (slice.start_ns, slice.depth));
        Ok(slices)
    }

    fn occupancy(&self, cpu_track: TrackId, from_ns: u64, to_ns: u64) -> Result<Vec<Occupancy>, TimelineError> {
        self.ordered_rows(cpu_track, SequenceKind::Occupancy, (from_ns, to_ns))
    }

    fn coarse_occupancy(
        &self,
        cpu_track: TrackId,
        from_ns: u64,
        to_ns: u64,
        resolution_ns: u64,
    ) -> Result<Vec<CoarseOccupancy>, TimelineError> {
        self.zoom(cpu_track, (from_ns, to_ns), resolution_ns, |from_ns, to_ns| {
            let exact = self.occupancy(cpu_track, from_ns, to_ns)?;
            Ok(exact.into_iter().map(CoarseOccupancy::from).collect())
        })
    }

    fn counters(
        &self,
        track: TrackId,
        from_ns: u64,
        to_ns: u64,
        resolution_ns: u64,
    ) -> Result<Vec<CounterPoint>, TimelineError> {
        let exact = |from_ns, to_ns| self.ordered_rows(track, SequenceKind::Counter, (from_ns, to_ns));
        if resolution_ns == 0 {
            exact(from_ns, to_ns)
        } else {
            self.zoom(track, (from_ns, to_ns), resolution_ns, exact)
        }
    }

    fn sleeps(&self, track: TrackId, from_ns: u64, to_ns: u64) -> Result<Vec<Sleep>, TimelineError> {
        self.ordered_rows(track, SequenceKind::Sleeps, (from_ns, to_ns))
    }

    fn stack(&self, stack: StackId) -> Vec<StringId> {
        self.stacks.frames(stack)
    }

    fn units(&self, from_ns: u64, to_ns: u64) -> Result<Vec<Unit>, TimelineError> {
        let mut units: Vec<Unit> = self.classed(&self.units, (from_ns, to_ns), 0)?;
        units.sort_by_key(|unit| (unit.end_ns, unit.start_ns));
        Ok(units)
    }

    fn unit_parts(&self, from_ns: u64, to_ns: u64) -> Result<Vec<UnitPart>, TimelineError> {
        let mut parts: Vec<UnitPart> = self.classed(&self.unit_parts, (from_ns, to_ns), 0)?;
        parts.sort_by_key(|part| (part.end_ns, part.start_ns));
        Ok(parts)
    }
}

/// The range of rows that do not overlap each other: what ends where the window begins is outside.
fn ordered(from_ns: u64, to_ns: u64) -> Range {
    let range = Range::window(from_ns, to_ns, to_ns);
    Range {
        from_ns: range.from_ns.saturating_add(1),
        ..range
    }
}

/// Opens a regular file, never waiting for the other end of a FIFO.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

fn read_tail(source: &Source) -> Result<Tail, TimelineError> {
    let header = source.bytes(0, HEADER_BYTES).unwrap_or_default();
    if !header.starts_with(&MAGIC) {
        return Err(TimelineError::NotATimeline(source.path().to_owned()));
    }
    let found = header.get(8..12).map_or(0, |version| {
        u32::from_le_bytes([version[0], version[1], version[2], version[3]])
    });
    if found != VERSION {
        return Err(TimelineError::Version {
            path: source.path().to_owned(),
            found,
        });
    }
    let at = source.len().saturating_sub(TAIL_BYTES as u64);
    let bytes = source.bytes(at, TAIL_BYTES).and_then(|bytes| bytes.first_chunk());
    let tail = bytes
        .map(Tail::from_bytes)
        .transpose()
        .map_err(|reason| source.damaged(at, reason))?
        .flatten();
    tail.filter(|tail| tail.file_bytes == source.len())
        .ok_or_else(|| TimelineError::Incomplete(source.path().to_owned()))
}

fn read_meta(source: &Source, tail: &Tail) -> Result<Meta, TimelineError> {
    let damaged = |reason: String| source.damaged(tail.meta.offset, reason);
    let meta: Meta =
        serde_json::from_slice(&source.read(tail.meta, TABLE_MAX)?).map_err(|error| damaged(error.to_string()))?;
    meta.check().map_err(damaged)?;
    if meta.tracks.len() != tail.track_count as usize {
        return Err(damaged("the number of tracks is wrong".into()));
    }
    Ok(meta)
}

fn read_stacks(source: &Source, tail: &Tail) -> Result<Stacks, TimelineError> {
    if tail.stacks == Extent::default() {
        return Ok(Stacks::default());
    }
    Stacks::decode(&source.read(tail.stacks, TABLE_MAX)?)
        .ok_or_else(|| source.damaged(tail.stacks.offset, "the stacks do not decode"))
}

fn read_list(source: &Source, extent: Extent) -> Result<Vec<Sequence>, TimelineError> {
    let bytes = source.read(extent, LIST_MAX)?;
    Sequence::list_from_bytes(&bytes)
        .ok_or_else(|| source.damaged(extent.offset, "the list of sequences does not decode"))
}

//! A lane: one stream of a recording on its way into the merge, a segment at a time.
//!
//! Kernel streams are in order up to tiny reorderings (a writer that was interrupted between its clock and its store). A segment's header tells its
//! smallest time, so a lane takes the next segment in as long as it begins before the current batch ends, and sorts: within a lane
//! the order is then right, with two segments in memory as a rule and [`BATCH_MAX`] records at most.

use super::clock::ClockMap;
use plumb_trace::arena::Clock;
use plumb_trace::definition::Dated;
use plumb_trace::record::{JvmKind, JvmRecord, KernelRecord};
use plumb_trace::recording::segment::LOST_UNKNOWN;
use plumb_trace::recording::{CounterSample, Damage, Payload, SegmentEntry, StreamFile};
use std::rc::Rc;

/// Latest time that is believed, ns: 73 years. A hostile one beyond does not break the arithmetic.
pub(super) const TIME_MAX_NS: u64 = 1 << 61;
/// Most records that are held to be sorted.
const BATCH_MAX: usize = 1 << 20;

/// What a lane carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneKind {
    /// Definitions of a host.
    Host { host: usize },
    /// Definitions of a JVM.
    JvmDefinitions { jvm: usize },
    /// Samples of a host's counters.
    Counters { host: usize },
    /// Records of a CPU.
    Cpu { host: usize, cpu: u16 },
    /// Records of a JVM's thread; `tid` as the JVM sees it.
    Jvm { jvm: usize, stream: u32, tid: u32 },
}

/// From a lane's clock to the timeline's.
#[derive(Clone, Debug)]
pub(crate) struct LaneClock {
    /// For streams in TSC ticks.
    pub(crate) tsc: Option<Rc<ClockMap>>,
    /// From the host's CLOCK_MONOTONIC to the first host's.
    pub(crate) shift_ns: i64,
}

impl LaneClock {
    pub(super) fn ns(&self, clock: Clock, time: u64, hint: &mut usize) -> Option<u64> {
        let monotonic = match clock {
            Clock::Monotonic => time,
            Clock::Tsc => self.tsc.as_ref()?.monotonic_ns(time, hint),
        };
        Some(monotonic.saturating_add_signed(self.shift_ns).min(TIME_MAX_NS))
    }
}

/// What a merge is given, in order of time.
pub(crate) trait Consumer {
    /// Why it stops.
    type Error;
    /// A record of a CPU.
    fn kernel(&mut self, host: usize, cpu: u16, at: u64, record: &KernelRecord) -> Result<(), Self::Error>;
    /// A record of a JVM's thread.
    fn jvm(&mut self, jvm: usize, stream: u32, tid: u32, at: u64, record: &JvmRecord) -> Result<(), Self::Error>;
    /// A definition of a host or a JVM.
    fn definition(&mut self, source: LaneKind, at: u64, dated: &Dated) -> Result<(), Self::Error>;
    /// A sample of a counter.
    fn counter(&mut self, host: usize, at: u64, sample: &CounterSample) -> Result<(), Self::Error>;
    /// Records of this lane are missing; told at `gap.from_ns`.
    fn lost(&mut self, lane: LaneKind, gap: Gap) -> Result<(), Self::Error>;
}

/// A stretch in which a lane has lost records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    /// How many; `None` where it cannot be known.
    pub(crate) events: Option<u64>,
}

/// One segment, as far as it matters before it is read.
#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: u64,
    clock: Clock,
    first: u64,
    last: u64,
    lost_before: u64,
    sequence: u32,
    count: u32,
}

#[derive(Debug)]
enum Records {
    None,
    Kernel(Vec<KernelRecord>),
    Jvm(Vec<JvmRecord>),
    Definitions(Vec<Dated>),
    Counters(Vec<CounterSample>),
}

impl Records {
    /// Adds records of the same kind; of another kind they take the place of those before.
    fn extend(&mut self, new: Records) {
        match (self, new) {
            (Records::Kernel(old), Records::Kernel(new)) => old.extend(new),
            (Records::Jvm(old), Records::Jvm(new)) => old.extend(new),
            (Records::Definitions(old), Records::Definitions(new)) => old.extend(new),
            (Records::Counters(old), Records::Counters(new)) => old.extend(new),
            (records, new) => *records = new,
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) kind: LaneKind,
    /// `None`: it is gone.
    file: Option<StreamFile>,
    clock: LaneClock,
    hint: usize,
    entries: std::vec::IntoIter<Entry>,
    /// Times of the batch's records, on the timeline's clock.
    times: Vec<u64>,
    records: Records,
    /// Order of the batch's records, where it is not their own.
    order: Option<Vec<u32>>,
    at: usize,
    /// Time of the last record that was given, or where the lane begins.
    last_ns: u64,
    sequence: u32,
    /// Records of segments that turned out damaged.
    damaged: Option<u64>,
    gap_told: bool,
    /// Nothing was recorded between another recording's end, where this lane begins, and this time.
    pub(crate) blind_until_ns: Option<u64>,
    /// Earlier records are those of another recording of the same time.
    pub(crate) skip_until_ns: u64,
    pub(crate) damage: Vec<Damage>,
    /// The file's end is damaged: records of this lane may be missing there.
    pub(crate) is_torn: bool,
    /// There is nothing at all of it.
    pub(crate) is_absent: bool,
    /// Segments in TSC ticks that no clock pair converts.
    pub(crate) unconverted: u64,
}

impl Lane {
    pub(crate) fn new(
        kind: LaneKind,
        file: StreamFile,
        clock: LaneClock,
        entries: &[SegmentEntry],
        from_ns: u64,
    ) -> Lane {
        let entries: Vec<Entry> = entries
            .iter()
            .map(|entry| Entry {
                offset: entry.offset,
                clock: entry.header.clock,
                first: entry.header.first_time,
                last: entry.header.last_time,
                lost_before: entry.header.lost_before,
                sequence: entry.header.sequence,
                count: entry.header.count,
            })
            .collect();
        Lane {
            kind,
            file: Some(file),
            clock,
            hint: 0,
            entries: entries.into_iter(),
            times: Vec::new(),
            records: Records::None,
            order: None,
            at: 0,
            last_ns: from_ns,
            sequence: 0,
            damaged: None,
            gap_told: false,
            blind_until_ns: None,
            skip_until_ns: 0,
            damage: Vec::new(),
            is_torn: false,
            is_absent: false,
            unconverted: 0,
        }
    }

    /// A lane of which nothing is left, not even a file: all of it is a loss.
    pub(crate) fn absent(kind: LaneKind, clock: LaneClock, from_ns: u64, to_ns: u64) -> Lane {
        Lane {
            kind,
            file: None,
            clock,
            hint: 0,
            entries: Vec::new().into_iter(),
            times: Vec::new(),
            records: Records::None,
            order: None,
            at: 0,
            last_ns: from_ns,
            sequence: 0,
            damaged: None,
            gap_told: false,
            blind_until_ns: Some(to_ns),
            skip_until_ns: 0,
            damage: Vec::new(),
            is_torn: false,
            is_absent: true,
            unconverted: 0,
        }
    }

    /// Before definitions come what they name: of several lanes at one instant, the lowest first.
    pub(crate) fn rank(&self) -> u8 {
        match self.kind {
            LaneKind::Host { .. } | LaneKind::JvmDefinitions { .. } => 0,
            LaneKind::Cpu { .. } | LaneKind::Counters { .. } => 1,
            LaneKind::Jvm { .. } => 2,
        }
    }

    /// What to call it in messages.
    pub(crate) fn name(&self) -> String {
        self.file
            .as_ref()
            .map_or_else(String::new, |file| file.path.display().to_string())
    }

    /// Time of the last record that was given, ns.
    pub(crate) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Time of what comes next, or `None` at the end. Reads no payload.
    pub(crate) fn peek(&mut self) -> Option<u64> {
        if self.blind_until_ns.is_some() {
            return Some(self.last_ns);
        }
        if let Some(&time) = self.times.get(self.at) {
            return Some(time);
        }
        while let Some(&entry) = self.entries.as_slice().first() {
            if self.is_gap(&entry) && !self.gap_told {
                return Some(self.last_ns);
            }
            // An empty segment only says that the stream is there: what follows may be of before it was written.
            if entry.count == 0 && !self.is_gap(&entry) {
                self.entries.next();
                self.sequence = entry.sequence.wrapping_add(1);
                continue;
            }
            match self.clock.ns(entry.clock, entry.first, &mut self.hint) {
                Some(first) => return Some(first.max(self.last_ns)),
                None => {
                    self.unconverted += 1;
                    self.entries.next();
                }
            }
        }
        (self.damaged.is_some() && !self.gap_told).then_some(self.last_ns)
    }

    /// Gives what comes next, and all that follows up to and with `until`. Returns how many records these were.
    pub(crate) fn drain<C: Consumer>(&mut self, until: u64, consumer: &mut C) -> Result<u64, C::Error> {
        let mut given = 0;
        if let Some(to_ns) = self.blind_until_ns.take() {
            let gap = Gap {
                from_ns: self.last_ns,
                to_ns,
                events: None,
            };
            consumer.lost(self.kind, gap)?;
            return Ok(0);
        }
        if self.at == self.times.len() {
            if let Some(gap) = self.take_gap() {
                self.gap_told = true;
                consumer.lost(self.kind, gap)?;
                return Ok(0);
            }
            self.load();
        }
        while let Some(&time) = self.times.get(self.at)
            && time <= until
        {
            self.give(time, consumer)?;
            given += 1;
        }
        Ok(given)
    }

    fn give<C: Consumer>(&mut self, time: u64, consumer: &mut C) -> Result<(), C::Error> {
        let at = self.order.as_ref().map_or(self.at, |order| order[self.at] as usize);
        self.at += 1;
        self.last_ns = time;
        match (&self.records, self.kind) {
            (Records::Kernel(records), LaneKind::Cpu { host, cpu }) => consumer.kernel(host, cpu, time, &records[at]),
            (Records::Jvm(records), LaneKind::Jvm { jvm, stream, tid }) => {
                consumer.jvm(jvm, stream, tid, time, &records[at])
            }
            (Records::Counters(records), LaneKind::Counters { host }) => consumer.counter(host, time, &records[at]),
            (Records::Definitions(records), source) => consumer.definition(source, time, &records[at]),
            _ => Ok(()),
        }
    }

    fn is_gap(&self, entry: &Entry) -> bool {
        entry.lost_before > 0 || entry.sequence != self.sequence || self.damaged.is_some()
    }

    /// The gap before the next segment, or at the end.
    fn take_gap(&mut self) -> Option<Gap> {
        if self.gap_told {
            return None;
        }
        let from_ns = self.last_ns;
        let Some(&entry) = self.entries.as_slice().first() else {
            let events = self.damaged.take()?;
            return Some(Gap {
                from_ns,
                to_ns: from_ns,
                events: Some(events),
            });
        };
        if !self.is_gap(&entry) {
            return None;
        }
        let counted = entry.lost_before != LOST_UNKNOWN && entry.sequence == self.sequence;
        let damaged = self.damaged.take().unwrap_or(0);
        let events = counted.then(|| entry.lost_before.saturating_add(damaged));
        let to_ns = self
            .clock
            .ns(entry.clock, entry.first, &mut self.hint)
            .unwrap_or(from_ns)
            .max(from_ns);
        self.sequence = entry.sequence;
        Some(Gap { from_ns, to_ns, events })
    }

    /// Reads the next segment, and those that begin before it ends.
    fn load(&mut self) {
        self.times.clear();
        self.order = None;
        self.at = 0;
        self.records = Records::None;
        let mut until = 0;
        while let Some(&entry) = self.entries.as_slice().first() {
            let is_first = self.times.is_empty();
            if !is_first && (entry.first >= until || self.is_gap(&entry) || self.times.len() >= BATCH_MAX) {
                break;
            }
            self.entries.next();
            self.gap_told = false;
            self.sequence = entry.sequence.wrapping_add(1);
            until = entry.last.max(until);
            self.append(&entry);
            if self.damaged.is_some() {
                break;
            }
        }
        self.sort();
    }

    fn append(&mut self, entry: &Entry) {
        if entry.count == 0 {
            return;
        }
        match self.file.as_ref().map(|file| file.read_at(entry.offset)) {
            None => {}
            Some(Ok(segment)) => {
                self.append_payload(entry.clock, segment.payload);
            }
            Some(Err(damage)) => {
                self.damage.push(damage);
                self.damaged = Some(u64::from(entry.count));
            }
        }
    }

    /// Takes in the records, where they are of the lane's kind and their clock can be converted.
    fn append_payload(&mut self, clock: Clock, payload: Payload) {
        let Lane {
            times,
            clock: lane_clock,
            hint,
            records,
            ..
        } = self;
        let before = times.len();
        let mut push = |time| lane_clock.ns(clock, time, hint).map(|ns| times.push(ns));
        match payload {
            Payload::Kernel(new) => {
                new.iter().try_for_each(|record| push(record.time_ns));
                records.extend(Records::Kernel(new));
            }
            Payload::Jvm(new) => {
                new.iter().try_for_each(|record| push(record.ticks));
                let new = new
                    .into_iter()
                    .map(|record| in_ns(record, lane_clock, clock, hint))
                    .collect();
                records.extend(Records::Jvm(new));
            }
            Payload::Definitions(new) => {
                new.iter().try_for_each(|dated| push(dated.at));
                records.extend(Records::Definitions(new));
            }
            Payload::Counters(new) => {
                new.iter().try_for_each(|sample| push(sample.at_ns));
                records.extend(Records::Counters(new));
            }
            Payload::Clock(_) => {}
        }
        if times.len() == before {
            self.unconverted += 1;
        }
    }

    fn sort(&mut self) {
        let Lane { times, order, .. } = self;
        if !times.is_sorted() {
            let mut places: Vec<u32> = (0..times.len() as u32).collect();
            places.sort_by_key(|&place| times[place as usize]);
            times.sort();
            *order = Some(places);
        }
        self.at = self.times.partition_point(|&time| time < self.skip_until_ns);
    }
}

/// A length of time in a record's payload, in ns too.
fn in_ns(record: JvmRecord, lane: &LaneClock, clock: Clock, hint: &mut usize) -> JvmRecord {
    if record.kind() != Some(JvmKind::Past) {
        return record;
    }
    let begin = record.ticks.saturating_sub(record.java_id());
    let (from, to) = (lane.ns(clock, begin, hint), lane.ns(clock, record.ticks, hint));
    let length_ns = to.unwrap_or(0).saturating_sub(from.unwrap_or(0));
    JvmRecord {
        word: JvmRecord::pack_id(JvmKind::Past, length_ns),
        ..record
    }
}

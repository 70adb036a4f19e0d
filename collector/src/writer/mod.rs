//! The writer thread: turns parcels into segments at ordinary priority.
//!
//! Each stream collects records until there are [`RECORDS`] of them or the oldest is [`AGE`] old; so a recorder that is killed loses little, and segments are long where there is
//! much to say. When the disk is full nothing more is stored: what comes is counted as lost, and the recorder is told to end. A reserve on the disk, given back then, keeps
//! room for the last losses and the manifest.

mod affinity;
mod chain;
mod flying;
mod jvm;
mod processes;
mod reserve;
mod stacks;
mod stream;
mod unpack;

use crate::clock;
use crate::kernel::NamedThreads;
use crate::live::Live;
use crate::parcel::Parcel;
use crate::privilege::{self, Capabilities};
use crate::symbols::Symbols;
use affinity::Affinities;
pub(crate) use affinity::restricted;
use chain::{Chain, Missing};
pub(crate) use flying::Flying;
use jvm::Jvm;
use plumb_trace::arena::Clock;
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{JVM_RECORD_BYTES, KERNEL_RECORD_BYTES};
use plumb_trace::recording::{ClockPair, CounterSample, FileKind, Manifest, Payload, SegmentHeader};
use processes::Newcomers;
pub(crate) use processes::describe;
pub(crate) use reserve::Reserve;
use stacks::Stacks;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use stream::{Flushed, Sink, Stream, StreamFile};

/// Records of a segment, at most and where there is much to say.
const RECORDS: usize = 16_384;
/// Longest time that a record stays in memory.
const AGE: Duration = Duration::from_millis(800);
/// How often streams are looked through for old records.
const SWEEP: Duration = Duration::from_millis(100);
/// Bytes of records of all streams together that stay in memory.
const PENDING_MAX: usize = 48 << 20;
/// Definitions of the recorder in one segment.
const DEFINITIONS: usize = 4096;

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Records.
    Parcel(Parcel),
    /// The clocks.
    Clock(ClockPair),
    /// Samples of counters.
    Counters(Vec<CounterSample>),
    /// One more JVM; they are counted from 0.
    Jvm {
        pid: u32,
        ns_pid: u32,
        start_ticks: u64,
        clock: Clock,
    },
    /// A definition of the recorder.
    Define(Dated),
    /// Targets and JVMs have changed (for flight recorders).
    Manifest(Box<Manifest>),
    /// Somebody asks a flight recorder for what there is, and says why.
    Save(String),
    /// Nothing more comes.
    Finish,
}

/// Where a recording goes.
pub(crate) enum Place<'a> {
    /// Into a directory.
    Disk(&'a Path, Reserve),
    /// Into a flight recorder's window.
    Memory(Box<Flying>),
}

/// The writer and all that is not on the disk yet.
pub(crate) struct Writer {
    sink: Sink,
    live: Arc<Live>,
    /// Parcels go back through here.
    free: Sender<Parcel>,
    /// Space for the end; a flight recorder needs none.
    reserve: Option<Reserve>,
    flying: Option<Flying>,
    cpus: Vec<(StreamFile, Stream)>,
    chains: Vec<Chain>,
    missing: Missing,
    jvms: Vec<Jvm>,
    clock: (StreamFile, Stream),
    host: (StreamFile, Stream),
    counters: (StreamFile, Stream),
    /// Where the scope is by thread names.
    named: Option<NamedThreads>,
    newcomers: Newcomers,
    affinities: Affinities,
    /// Where stacks are recorded.
    stacks: Option<Stacks>,
    pending: usize,
    swept: Instant,
}

impl Writer {
    /// A writer of files in `place`, or of a flight recorder's window.
    pub fn new(
        place: Place<'_>,
        cpus: u32,
        named: Option<NamedThreads>,
        live: Arc<Live>,
        free: Sender<Parcel>,
    ) -> Writer {
        let (sink, reserve, flying) = match place {
            Place::Disk(dir, reserve) => (Sink::Disk(dir.to_owned()), Some(reserve), None),
            Place::Memory(flying) => (Sink::Memory(flying.sink()), None, Some(*flying)),
        };
        let file = |kind: FileKind| StreamFile::new(kind, &sink);
        let cpu = |cpu| {
            let header = SegmentHeader::new(Clock::Monotonic, cpu);
            (
                file(FileKind::Cpu(cpu)),
                Stream::new(header, Payload::Kernel(Vec::new())),
            )
        };
        let header = SegmentHeader::new(Clock::Monotonic, 0);
        let mut writer = Writer {
            cpus: (0..cpus).map(cpu).collect(),
            chains: (0..cpus).map(|_| Chain::default()).collect(),
            missing: Missing::default(),
            clock: (file(FileKind::Clock), Stream::new(header, Payload::Clock(Vec::new()))),
            host: (
                file(FileKind::Host),
                Stream::new(header, Payload::Definitions(Vec::new())),
            ),
            counters: (
                file(FileKind::Counters),
                Stream::new(header, Payload::Counters(Vec::new())),
            ),
            named,
            jvms: Vec::new(),
            sink,
            live,
            free,
            reserve,
            flying,
            newcomers: Newcomers::default(),
            affinities: Affinities::default(),
            stacks: None,
            pending: 0,
            swept: Instant::now(),
        };
        writer.begin();
        writer
    }

    /// Has stacks named by `symbols`.
    pub fn with_symbols(mut self, symbols: Option<Symbols>) -> Writer {
        self.stacks = symbols.map(|symbols| Stacks::new(symbols, self.cpus.len()));
        self
    }

    /// Gives each CPU that is online its file, so that one that is missing later is noticed, also of a CPU that had nothing to tell.
    fn begin(&mut self) {
        if self.flying.is_some() {
            return;
        }
        for cpu in crate::watch::online_cpus(self.cpus.len() as u32) {
            if let Some((file, stream)) = self.cpus.get_mut(cpu as usize) {
                let begun = stream.begin(file, clock::monotonic_ns());
                count(&self.live, begun, &self.live.kernel_stored, &self.live.kernel_unwritten);
            }
        }
    }

    /// Writes until there is nothing more to write, with no capabilities but those `kept`.
    pub fn run(mut self, messages: &Receiver<Message>, kept: Capabilities) {
        privilege::give_up_or_tell(kept, &self.live);
        loop {
            match messages.recv_timeout(SWEEP) {
                Ok(Message::Finish) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.swept.elapsed() >= SWEEP || self.pending > PENDING_MAX {
                self.sweep();
            }
        }
        self.finish();
    }

    fn take(&mut self, message: Message) {
        let now = Instant::now();
        match message {
            Message::Parcel(parcel) => self.unpack(parcel, now),
            Message::Clock(pair) => {
                if let Some(flying) = &mut self.flying {
                    flying.watcher.clock(&pair);
                }
                if let Payload::Clock(pairs) = &mut self.clock.1.payload {
                    pairs.push(pair);
                }
                self.clock.1.touched(now);
            }
            Message::Define(dated) => self.define(dated, now),
            Message::Counters(samples) => {
                if let Payload::Counters(all) = &mut self.counters.1.payload {
                    all.extend(samples);
                }
                self.counters.1.touched(now);
            }
            Message::Jvm {
                pid,
                ns_pid,
                start_ticks,
                clock,
            } => self.jvms.push(Jvm::new((pid, ns_pid), start_ticks, clock, &self.sink)),
            Message::Manifest(manifest) => {
                if let Some(flying) = &mut self.flying {
                    flying.set_manifest(*manifest);
                }
            }
            Message::Save(reason) => {
                if let Some(flying) = &mut self.flying {
                    flying.ask(reason);
                }
            }
            Message::Finish => {}
        }
    }

    fn define(&mut self, dated: Dated, now: Instant) {
        let (file, stream) = &mut self.host;
        let Payload::Definitions(definitions) = &mut stream.payload else {
            return;
        };
        if let Definition::Thread { tid, comm, .. } = &dated.definition {
            if let Some(named) = &mut self.named {
                named.comm(*tid, comm);
            }
            if let Some(flying) = &mut self.flying {
                flying.watcher.comm(*tid, comm);
            }
        }
        self.affinities.define(&dated.definition);
        definitions.push(dated);
        stream.touched(now);
        if stream.payload.len() >= DEFINITIONS {
            count(
                &self.live,
                stream.flush(file, clock::monotonic_ns()),
                &AtomicU64::new(0),
                &AtomicU64::new(0),
            );
        }
    }

    /// Flushes streams whose records are old, or all when there are too many.
    fn sweep(&mut self) {
        let all = self.pending > PENDING_MAX;
        let now = Instant::now();
        for dated in self.newcomers.describe(now) {
            self.define(dated, now);
        }
        for dated in self.affinities.look(now) {
            self.define(dated, now);
        }
        for dated in self.stacks.as_ref().map_or_else(Vec::new, Stacks::take) {
            self.define(dated, now);
        }
        self.flush(|stream| {
            stream
                .since
                .is_some_and(|since| all || now.duration_since(since) >= AGE)
        });
        self.swept = now;
        if self.flying.as_mut().is_some_and(|flying| flying.look(&self.jvms)) {
            self.flush(|_| true);
            self.save();
        }
        if let Some(flying) = &mut self.flying {
            flying.forget_jvms(&self.jvms);
        }
    }

    fn save(&mut self) {
        if let Some(flying) = &mut self.flying {
            flying.save(&self.jvms);
        }
    }

    fn flush(&mut self, wanted: impl Fn(&Stream) -> bool) {
        let (none, time) = (AtomicU64::new(0), clock::monotonic_ns());
        let live = &self.live;
        for (file, stream) in [&mut self.clock, &mut self.host, &mut self.counters]
            .into_iter()
            .filter(|(_, stream)| wanted(stream))
        {
            count(live, stream.flush(file, time), &none, &none);
        }
        for (file, stream) in self.cpus.iter_mut().filter(|(_, stream)| wanted(stream)) {
            count(
                live,
                stream.flush(file, time),
                &live.kernel_stored,
                &live.kernel_unwritten,
            );
        }
        for jvm in &mut self.jvms {
            let time = time_of(jvm.clock);
            if wanted(&jvm.definitions) {
                count(
                    live,
                    jvm.definitions.flush(&mut jvm.file, time),
                    &none,
                    &live.definitions_unwritten,
                );
            }
            for stream in jvm.streams.values_mut().filter(|stream| wanted(stream)) {
                count(
                    live,
                    stream.flush(&mut jvm.file, time),
                    &live.jvm_stored,
                    &live.jvm_unwritten,
                );
            }
        }
        self.pending = self.cpus.iter().map(|(_, stream)| stream.weight()).sum::<usize>()
            + self
                .jvms
                .iter()
                .flat_map(|jvm| jvm.streams.values())
                .map(Stream::weight)
                .sum::<usize>();
    }

    fn finish(mut self) {
        if let Some(stacks) = self.stacks.take() {
            let (last, note) = stacks.finish();
            last.into_iter().for_each(|dated| self.define(dated, Instant::now()));
            note.into_iter().for_each(|note| self.live.note(note));
        }
        if let Some(note) = self.missing.note() {
            self.live.note(note);
        }
        if let Some(note) = self.named.as_ref().and_then(NamedThreads::note) {
            self.live.note(note.to_owned());
        }
        if let Some(reserve) = &self.reserve {
            reserve.give_back();
        }
        self.flush(|_| true);
        self.save();
        if let Some(flying) = &mut self.flying {
            flying.finish();
        }
        if self.live.ended_early().is_some() {
            // What failed just now became losses: they fit into the reserve.
            self.flush(Stream::has_loss);
        }
    }
}

fn count(live: &Live, flushed: Flushed, stored: &AtomicU64, unwritten: &AtomicU64) {
    stored.fetch_add(flushed.stored, Ordering::Relaxed);
    unwritten.fetch_add(flushed.unwritten, Ordering::Relaxed);
    live.bytes.fetch_add(flushed.bytes, Ordering::Relaxed);
    if let Some(error) = flushed.error {
        live.end_early(&error.to_string());
    }
}

fn time_of(clock: Clock) -> u64 {
    match clock {
        Clock::Monotonic => clock::monotonic_ns(),
        Clock::Tsc => clock::tsc(),
    }
}

/// Bytes of one record in memory.
fn weight_of(payload: &Payload) -> usize {
    match payload {
        Payload::Kernel(_) => KERNEL_RECORD_BYTES,
        Payload::Jvm(_) => JVM_RECORD_BYTES,
        Payload::Definitions(_) => size_of::<Definition>(),
        Payload::Clock(_) => size_of::<ClockPair>(),
        Payload::Counters(_) => size_of::<CounterSample>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parcel::{Item, Kind, Source};
    use plumb_trace::record::{KernelKind, KernelRecord};
    use plumb_trace::recording::segment;

    #[test]
    fn what_an_interrupt_wrote_in_between_is_put_in_order() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let (free, _parcels) = std::sync::mpsc::channel();
        let reserve = Reserve::take(dir.path())?;
        let mut writer = Writer::new(Place::Disk(dir.path(), reserve), 1, None, Arc::default(), free);
        let mut parcel = Parcel::new();
        for time_ns in [10, 30, 20] {
            let record = KernelRecord {
                time_ns,
                kind: KernelKind::Rename as u8,
                ..KernelRecord::default()
            };
            parcel.bytes.extend_from_slice(&record.to_bytes());
        }
        parcel.close_item(0, Item::new(Source::Cpu(0), Kind::Records, 0, 0, 0));
        writer.unpack(parcel, Instant::now());
        writer.flush(|_| true);
        let bytes = std::fs::read(dir.path().join(FileKind::Cpu(0).file_name()))?;
        // The segment by which the file begins is empty.
        let begun = segment::header(&bytes).ok_or("a header")?.segment_bytes() as usize;
        let Payload::Kernel(records) = segment::decode(&bytes[begun..])?.payload else {
            return Err("records of the kernel".into());
        };
        let times: Vec<u64> = records.iter().map(|record| record.time_ns).collect();
        assert_eq!(times, [10, 20, 30]);
        Ok(())
    }

    #[test]
    fn a_parcel_comes_back_with_all_its_room() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (free, parcels) = std::sync::mpsc::channel();
        let reserve = Reserve::take(dir.path())?;
        let mut writer = Writer::new(Place::Disk(dir.path(), reserve), 1, None, Arc::default(), free);
        let mut parcel = Parcel::new();
        let room = (parcel.bytes.capacity(), parcel.items.capacity());
        parcel.close_item(0, Item::new(Source::Cpu(0), Kind::Records, 0, 0, 3));
        writer.unpack(parcel, Instant::now());
        let back = parcels.try_recv().map_err(std::io::Error::other)?;
        assert_eq!((back.bytes.capacity(), back.items.capacity()), room);
        assert!(back.items.is_empty());
        Ok(())
    }
}

//! The fallback where BPF is refused: perf events, one ring a CPU. How much they tell depends on one's rights; each level is tried, from above:
//!
//! | level | needs | tells |
//! | --- | --- | --- |
//! | tracepoints | CAP_PERFMON (or kernel.perf_event_paranoid=-1), and a tracefs that can be read (it needs no mount where one has CAP_SYS_ADMIN) | who ran when, who was preempted, how it sleeps, who woke it, since when it waited for a CPU |
//! | switches | CAP_PERFMON (or kernel.perf_event_paranoid=0) | who ran when, who was preempted. A sleep is `blocked`, and ends when the thread runs again |
//! | own | kernel.perf_event_paranoid=2 | the same, of the traced processes alone, which have to be one's own: who else had a CPU is not known |
//!
//! The first two count what `[kernel] counters` asks for. None of them says in which system call a thread sleeps, how much of a slice was stolen and what a quota held back: the records have no system call, and the charged time is the time on
//! the CPU.

mod books;
mod counting;
mod cpu;
mod deaf;
mod event;
mod filter;
mod limit;
mod open;
mod order;
mod tracefs;
mod tracepoints;

/// What reads bytes of others; see [`crate::outside`].
pub mod outside {
    pub use super::books::{Books, OnCpu};
    pub use super::event::{Dated, Event, parse as record};
    pub use super::tracepoints::{Told, Tracepoints};
}

use super::ring::RingTotals;
use super::{COUNTERS_MAX, Counter, Extras, Interface, KernelOptions};
use crate::CollectorError;
use crate::clock::monotonic_ns;
use crate::kernel::object::bpf_error;
use crate::parcel::{Item, Kind, Parcel, Source};
use crate::watch::online_cpus;
use books::Books;
use cpu::Cpu;
use deaf::Wakings;
use event::{Dated, Event};
use filter::Filter;
use open::OwnEvents;
use order::Waiting;
use plumb_trace::record::{COUNTERS_A_RECORD, KERNEL_RECORD_BYTES, KernelKind, KernelRecord};
use plumb_trace::recording::segment::LOST_UNKNOWN;
use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use tracepoints::Tracepoints;

/// As many records as a reading of counters becomes, at most.
const RECORDS_A_READING: usize = COUNTERS_MAX.div_ceil(COUNTERS_A_RECORD);

/// What of the rules' wishes perf events do not tell at any level.
const OTHERS_NOTE: &str = "interrupts, faults, disk, calls, safepoints, parks and stacks, as far as the rules ask for them, are not recorded: they need BPF";
/// And what they do not tell of one's own processes alone.
const COUNTERS_NOTE: &str = "counters are not recorded, though the rules ask for them: without CAP_PERFMON they cannot be read when a thread leaves its CPU";

/// How much perf events tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Tracepoints,
    Switches,
    Own,
}

impl Level {
    /// What the user should know of it.
    pub fn note(self) -> &'static str {
        match self {
            Level::Tracepoints => {
                "recorded by perf events, without BPF: a sleep has no system call, stolen time and throttling are not told"
            }
            Level::Switches => {
                "recorded by perf events, without BPF: a sleep has no cause and no waker, waiting for a CPU is told only of who was preempted, stolen time and throttling not at all (CAP_DAC_READ_SEARCH beside CAP_PERFMON brings wakers back)"
            }
            Level::Own => {
                "recorded by perf events of the traced processes alone, without BPF: who else had a CPU is not known, a sleep has no cause and no waker, waiting for a CPU is told only of who was preempted (CAP_PERFMON brings the others back)"
            }
        }
    }
}

impl Level {
    /// The counters of these that are recorded.
    pub fn counters(self, wanted: &Extras) -> Vec<Counter> {
        match self {
            Level::Tracepoints | Level::Switches => wanted.counters.clone(),
            Level::Own => Vec::new(),
        }
    }

    /// What the user should know of what the rules ask for beside the scheduler.
    pub fn left_out(self, wanted: &Extras) -> impl Iterator<Item = &'static str> {
        let others = Extras {
            counters: Vec::new(),
            ..wanted.clone()
        };
        let counters = self == Level::Own && !wanted.counters.is_empty();
        [
            (!others.is_empty()).then_some(OTHERS_NOTE),
            counters.then_some(COUNTERS_NOTE),
        ]
        .into_iter()
        .flatten()
    }
}

/// What the thread that drains is told.
enum Order {
    /// This process is part of the traced tree.
    Trace(u32),
    /// Nothing more shall be recorded.
    Stop,
}

/// The side of the rings that others than the draining thread have.
pub(crate) struct PerfEvents {
    orders: Sender<Order>,
    own: Option<OwnEvents>,
}

impl PerfEvents {
    /// Makes a process part of the traced tree.
    pub fn trace(&mut self, pid: u32) -> Result<(), CollectorError> {
        let _ = self.orders.send(Order::Trace(pid));
        self.own.as_mut().map_or(Ok(()), |own| own.trace(pid))
    }

    /// Ends the recording.
    pub fn stop(&self) {
        let _ = self.orders.send(Order::Stop);
    }
}

/// The rings of all CPUs.
pub(crate) struct PerfRings {
    cpus: Vec<Cpu>,
    waiting: Waiting,
    books: Books,
    filter: Filter,
    wakings: Wakings,
    tracepoints: Tracepoints,
    orders: Receiver<Order>,
    /// As many records as one event becomes, at most.
    records_an_event: usize,
    /// There are events of single threads only.
    is_own: bool,
    /// When all events were there.
    opened_ns: u64,
    is_stopped: bool,
    /// The rings were empty when they were read last.
    is_read: bool,
    totals: RingTotals,
}

/// Opens what one's rights allow, from the level on that the options name.
pub(crate) fn open(cpus: u32, options: &KernelOptions) -> Result<(PerfRings, PerfEvents, Level), CollectorError> {
    let levels: &[Level] = match options.interface {
        Interface::PerfTracepoints => &[Level::Tracepoints],
        Interface::PerfSwitches => &[Level::Switches],
        Interface::PerfOwn => &[Level::Own],
        Interface::BestOfEverybody => &[Level::Tracepoints, Level::Switches],
        _ => &[Level::Tracepoints, Level::Switches, Level::Own],
    };
    let mut refused = None;
    let most = events_max(cpus, options, levels[0]);
    limit::make_room(most);
    for &level in levels {
        match open_level(cpus, options, level) {
            Ok((rings, events)) => return Ok((rings, events, level)),
            // A level that tells less is not what there are rights for.
            Err(error) if limit::is_full(&error) => return Err(limit::no_room(most, &error)),
            // What the highest that is refused needs brings the most.
            Err(error) if level != Level::Tracepoints => drop(refused.get_or_insert(error)),
            Err(_) => {}
        }
    }
    let error = refused.unwrap_or_else(|| io::Error::other("tracefs cannot be read"));
    Err(bpf_error("perf events of all CPUs", &error))
}

/// Open files that a level, or one below it, takes at most: a ring, tracepoints, counters, and as many groups of these as there may be; of one's own a ring and its copy, the rest is
/// asked for when somebody is traced.
fn events_max(cpus: u32, options: &KernelOptions, level: Level) -> u64 {
    let of_a_cpu = match level {
        Level::Own => 2,
        Level::Switches | Level::Tracepoints => {
            1 + tracepoints::COUNT + 2 * options.extras.counters.len().min(COUNTERS_MAX)
        }
    };
    (online_cpus(cpus).len() * of_a_cpu) as u64
}

fn open_level(cpus: u32, options: &KernelOptions, level: Level) -> io::Result<(PerfRings, PerfEvents)> {
    let tracepoints = match level {
        Level::Tracepoints => Tracepoints::find(),
        Level::Switches | Level::Own => Tracepoints::default(),
    };
    if level == Level::Tracepoints && tracepoints.is_empty() {
        return Err(io::Error::other("tracefs cannot be read"));
    }
    let open_cpu = |number: u32| {
        let opened = match level {
            Level::Tracepoints | Level::Switches => open::of_everybody(number, &tracepoints, &options.extras.counters)?,
            Level::Own => open::empty_ring(number)?,
        };
        Ok(Cpu::new(number, opened))
    };
    let cpus: Vec<Cpu> = (0..cpus).map(open_cpu).collect::<io::Result<_>>()?;
    let own = (level == Level::Own).then(|| OwnEvents::new(cpus.iter().filter_map(Cpu::ring)));
    let own = own.transpose()?;
    let (orders, inbox) = channel();
    let rings = PerfRings {
        cpus,
        waiting: Waiting::default(),
        books: Books::default(),
        filter: Filter::new(options.scope, &options.selectors),
        wakings: Wakings::default(),
        tracepoints,
        orders: inbox,
        // A switch, and before it each counter that was not read there, where each is a group of its own.
        records_an_event: RECORDS_A_READING.max(1 + options.extras.counters.len().min(COUNTERS_MAX)),
        is_own: level == Level::Own,
        opened_ns: monotonic_ns(),
        is_stopped: false,
        is_read: false,
        totals: RingTotals::default(),
    };
    Ok((rings, PerfEvents { orders, own }))
}

/// A record, of the CPU at a place.
struct Placed {
    place: usize,
    /// Something was lost right before it.
    follows_loss: bool,
    record: KernelRecord,
}

impl PerfRings {
    /// See `Rings::drain`.
    pub fn drain(&mut self, parcel: &mut Parcel) -> u64 {
        self.obey();
        let most = parcel.space() / KERNEL_RECORD_BYTES / self.records_an_event;
        let horizon_ns = self.read(most);
        let mut records = Vec::with_capacity(most.min(self.waiting.len()));
        for (place, dated) in self.waiting.take(horizon_ns, most) {
            for record in self.records(place, dated) {
                if self.filter.wants(&record, |tid| self.books.name_of(tid)) {
                    let follows_loss = std::mem::take(&mut self.cpus[place].has_loss);
                    records.push(Placed {
                        place,
                        follows_loss,
                        record,
                    });
                }
            }
        }
        let moved = records.len() as u64;
        records.sort_by_key(|one| one.place);
        for run in records.chunk_by(|one, next| one.place == next.place && !next.follows_loss) {
            self.put(run, parcel);
        }
        self.totals.read += moved;
        self.totals.written = self.totals.read;
        moved
    }

    fn obey(&mut self) {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Trace(pid)) => self.filter.trace(pid),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) if !self.is_stopped => self.stop(),
                Ok(Order::Stop) => {}
                Err(_) => return,
            }
        }
    }

    fn stop(&mut self) {
        self.is_stopped = true;
        let online = online_cpus(u32::MAX);
        // Events of threads do not end with a CPU.
        let since_ns = (!self.is_own).then_some(self.opened_ns);
        for cpu in &mut self.cpus {
            cpu.stop(since_ns, online.contains(&cpu.number));
        }
    }

    /// Has events wait that are in the rings, as many as have room, of each CPU as many. Returns until when all are there.
    fn read(&mut self, most: usize) -> u64 {
        let now_ns = monotonic_ns();
        let mut room = self.waiting.room().min(most);
        let mut horizon_ns = match self.is_stopped {
            true => u64::MAX,
            false => now_ns.saturating_sub(order::LATE_NS),
        };
        let mut full: Vec<usize> = (0..self.cpus.len()).collect();
        while room > 0 && !full.is_empty() {
            let share = room.div_ceil(full.len());
            full.retain(|&place| {
                let before = self.waiting.len();
                let is_own = self.is_own;
                let waiting = &mut self.waiting;
                let is_empty = self.cpus[place].read(share.min(room), &self.tracepoints, |dated| {
                    let last = is_own.then(|| dated.last_leaving()).flatten();
                    waiting.add(place, dated);
                    last.into_iter().for_each(|last| waiting.add(place, last));
                });
                room = room.saturating_sub(self.waiting.len() - before);
                !is_empty
            });
        }
        self.is_read = full.is_empty();
        for place in full {
            horizon_ns = horizon_ns.min(self.cpus[place].last_ns());
        }
        horizon_ns
    }

    /// What an event becomes.
    fn records(&mut self, place: usize, dated: Dated) -> Vec<KernelRecord> {
        let cpu = &mut self.cpus[place];
        match dated.event {
            Event::Lost(count) => {
                cpu.forget();
                self.wakings.forget();
                self.totals.lost += count;
                Vec::new()
            }
            Event::Counted(ref reading) => cpu.counted((dated.pid, dated.tid), dated.time_ns, reading),
            _ => {
                let Some(record) = self.books.record(cpu.number, &mut cpu.here, dated) else {
                    return Vec::new();
                };
                self.wakings.see(&record);
                let mut records = match record.kind == KernelKind::Switch as u8 {
                    true => cpu.uncounted(&record),
                    false => Vec::new(),
                };
                records.push(record);
                records
            }
        }
    }

    /// What the user should know of all that was recorded: to be called at the end.
    pub fn note(&self) -> Option<String> {
        // What happened on such a CPU are losses, and wakings among them.
        let is_whole = self.cpus.iter().all(Cpu::was_there);
        self.wakings.note().filter(|_| is_whole)
    }

    fn put(&self, run: &[Placed], parcel: &mut Parcel) {
        let Some((first, cpu)) = run.first().and_then(|first| Some((first, self.cpus.get(first.place)?))) else {
            return;
        };
        let lost_before = if first.follows_loss { LOST_UNKNOWN } else { 0 };
        let from = parcel.bytes.len();
        run.iter()
            .for_each(|one| parcel.bytes.extend_from_slice(&one.record.to_bytes()));
        parcel.close_item(
            from,
            Item::new(Source::Cpu(cpu.number), Kind::Records, 0, 0, lost_before),
        );
    }

    /// See `Rings::drain_losses`.
    pub fn drain_losses(&mut self, parcel: &mut Parcel) {
        for cpu in &mut self.cpus {
            if cpu.take_loss() {
                let item = Item::new(Source::Cpu(cpu.number), Kind::Records, 0, 0, LOST_UNKNOWN);
                parcel.close_item(parcel.bytes.len(), item);
            }
        }
    }

    /// Whether all was taken out of the rings when they were read last, and nothing of it waits.
    pub fn is_empty(&self) -> bool {
        self.is_read && self.waiting.len() == 0
    }

    /// The kernel counts lost records of all kinds, two for each switch.
    pub fn totals(&self) -> RingTotals {
        self.totals
    }

    /// Number of CPUs.
    pub fn len(&self) -> usize {
        self.cpus.len()
    }
}

#[cfg(test)]
mod tests;

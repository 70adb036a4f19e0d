//! The fallback where BPF is refused: perf events, one ring a CPU. How much they tell depends on one's rights; each level is tried, from above:
//!
//! | level | needs | tells |
//! | --- | --- | --- |
//! | tracepoints | CAP_PERFMON (or kernel.perf_event_paranoid=-1), and a tracefs that can be read | who ran when, who was preempted, how it sleeps, who woke it, since when it waited for a CPU |
//! | switches | CAP_PERFMON (or kernel.perf_event_paranoid=0) | who ran when, who was preempted. A sleep is `blocked`, and ends when the thread runs again |
//! | own | kernel.perf_event_paranoid=2 | the same, of the traced processes alone, which have to be one's own: who else had a CPU is not known |
//!
//! None of them says in which system call a thread sleeps, how much of a slice was stolen and what a quota held back: the records have no system call, and the charged time is the time on
//! the CPU.

mod books;
mod event;
mod filter;
mod open;
mod tracepoints;

/// What reads bytes of others; see [`crate::outside`].
pub mod outside {
    pub use super::books::{Books, OnCpu};
    pub use super::event::{Dated, Event, parse as record};
    pub use super::tracepoints::{Told, Tracepoints};
}

use super::ring::RingTotals;
use super::{Interface, KernelOptions};
use crate::CollectorError;
use crate::kernel::object::bpf_error;
use crate::parcel::{Item, Kind, Parcel, Source};
use books::{Books, OnCpu};
use event::{Dated, Event, parse};
use filter::Filter;
use open::{Opened, OwnEvents};
use perf_event::{Counter, Sampler};
use plumb_trace::record::{KERNEL_RECORD_BYTES, KernelRecord};
use plumb_trace::recording::segment::LOST_UNKNOWN;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use tracepoints::Tracepoints;

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

struct Cpu {
    number: u32,
    /// `None`: the CPU was not there.
    sampler: Option<Sampler>,
    tracepoints: Vec<Counter>,
    here: OnCpu,
    /// Something was lost before the next record.
    has_loss: bool,
}

/// The rings of all CPUs.
pub(crate) struct PerfRings {
    cpus: Vec<Cpu>,
    books: Books,
    filter: Filter,
    tracepoints: Tracepoints,
    orders: Receiver<Order>,
    /// There are events of single threads only.
    is_own: bool,
    is_stopped: bool,
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
    for &level in levels {
        match open_level(cpus, options, level) {
            Ok((rings, events)) => return Ok((rings, events, level)),
            // What the highest that is refused needs brings the most.
            Err(error) if level != Level::Tracepoints => drop(refused.get_or_insert(error)),
            Err(_) => {}
        }
    }
    let error = refused.unwrap_or_else(|| io::Error::other("tracefs cannot be read"));
    Err(bpf_error("perf events of all CPUs", &error))
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
            Level::Tracepoints | Level::Switches => open::of_everybody(number, &tracepoints)?,
            Level::Own => Opened {
                sampler: open::empty_ring(number)?,
                tracepoints: Vec::new(),
            },
        };
        Ok(Cpu {
            number,
            sampler: opened.sampler,
            tracepoints: opened.tracepoints,
            here: OnCpu::default(),
            has_loss: false,
        })
    };
    let cpus: Vec<Cpu> = (0..cpus).map(open_cpu).collect::<io::Result<_>>()?;
    let rings = cpus.iter().filter_map(|cpu| Some((cpu.number, cpu.sampler.as_ref()?)));
    let own = (level == Level::Own).then(|| OwnEvents::new(rings)).transpose()?;
    let (orders, inbox) = channel();
    let rings = PerfRings {
        cpus,
        books: Books::default(),
        filter: Filter::new(options.scope, &options.selectors),
        tracepoints,
        orders: inbox,
        is_own: level == Level::Own,
        is_stopped: false,
        totals: RingTotals::default(),
    };
    Ok((rings, PerfEvents { orders, own }))
}

impl PerfRings {
    /// See `Rings::drain`.
    pub fn drain(&mut self, parcel: &mut Parcel) -> u64 {
        self.obey();
        let mut events = self.read(parcel.space() / KERNEL_RECORD_BYTES);
        // One CPU's events come after the other's; books are kept in the order of time.
        events.sort_by_key(|(_, dated)| dated.time_ns);
        let mut records = Vec::with_capacity(events.len());
        for (place, dated) in events {
            let cpu = &mut self.cpus[place];
            if let Event::Lost(count) = dated.event {
                cpu.has_loss = true;
                cpu.here.forget();
                self.totals.lost = self.totals.lost.saturating_add(count);
            }
            let Some(record) = self.books.record(cpu.number, &mut cpu.here, dated) else {
                continue;
            };
            if self.filter.wants(&record, |tid| self.books.name_of(tid)) {
                records.push((place, record));
            }
        }
        let moved = records.len() as u64;
        records.sort_by_key(|(place, _)| *place);
        for run in records.chunk_by(|(one, _), (other, _)| one == other) {
            self.put(run, parcel);
        }
        self.totals.read += moved;
        self.totals.written = self.totals.read;
        moved
    }

    fn obey(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Trace(pid) => self.filter.trace(pid),
                Order::Stop => self.stop(),
            }
        }
    }

    fn stop(&mut self) {
        self.is_stopped = true;
        for cpu in &mut self.cpus {
            cpu.tracepoints.clear();
            cpu.sampler.as_mut().map(|sampler| sampler.disable());
        }
    }

    /// Takes events out of the rings, at most so many.
    fn read(&mut self, most: usize) -> Vec<(usize, Dated)> {
        let mut events = Vec::new();
        for (place, cpu) in self.cpus.iter_mut().enumerate() {
            let Some(sampler) = &mut cpu.sampler else { continue };
            while events.len() < most
                && let Some(record) = sampler.next_record()
            {
                let dated = parse(record.ty(), record.misc(), &record.to_contiguous(), &self.tracepoints);
                if let Some(dated) = dated {
                    let last = self.is_own.then(|| dated.last_leaving()).flatten();
                    events.extend(std::iter::once(dated).chain(last).map(|dated| (place, dated)));
                }
            }
        }
        events
    }

    fn put(&mut self, run: &[(usize, KernelRecord)], parcel: &mut Parcel) {
        let Some(cpu) = run.first().and_then(|(place, _)| self.cpus.get_mut(*place)) else {
            return;
        };
        let lost_before = if std::mem::take(&mut cpu.has_loss) {
            LOST_UNKNOWN
        } else {
            0
        };
        let from = parcel.bytes.len();
        run.iter()
            .for_each(|(_, record)| parcel.bytes.extend_from_slice(&record.to_bytes()));
        parcel.close_item(
            from,
            Item::new(Source::Cpu(cpu.number), Kind::Records, 0, 0, lost_before),
        );
    }

    /// See `Rings::drain_losses`.
    pub fn drain_losses(&mut self, parcel: &mut Parcel) {
        for cpu in self.cpus.iter_mut().filter(|cpu| cpu.has_loss) {
            cpu.has_loss = false;
            let item = Item::new(Source::Cpu(cpu.number), Kind::Records, 0, 0, LOST_UNKNOWN);
            parcel.close_item(parcel.bytes.len(), item);
        }
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

//! The fallback where BPF is refused: switches by perf events, one ring a CPU, into which the kernel writes PERF_RECORD_SWITCH_CPU_WIDE, COMM, FORK and EXIT.
//!
//! They say who ran when, and who was preempted. They do not say why a thread went to sleep, who woke it and when, nor how much of a slice was stolen: the records made of them have no system call, there are
//! no wakeups, and the charged time is the time on the CPU. A sleep is then `blocked`, and ends when the thread runs again.
//!
//! ```text
//! every record ends with what sample_id_all adds:  pid u32 | tid u32 | time u64 | cpu u32 | reserved u32
//! SWITCH_CPU_WIDE (15)   next pid u32 | next tid u32                       misc: bit 13 out, bit 14 preempted
//! FORK (7), EXIT (4)     pid u32 | parent pid u32 | tid u32 | parent tid u32 | time u64
//! COMM (3)               pid u32 | tid u32 | name, padded with zeros       misc: bit 13 by exec
//! LOST (2)               id u64 | count u64
//! ```

use super::object::bpf_error;
use super::ring::RingTotals;
use crate::parcel::{Item, Kind, Parcel, Source};
use crate::{CollectorError, proc};
use perf_event::events::Software;
use perf_event::{Builder, Clock, SampleFlag, Sampler};
use plumb_trace::record::{KERNEL_RECORD_BYTES, KernelKind, KernelRecord, flags};
use plumb_trace::recording::segment::LOST_UNKNOWN;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a CPU's ring, and what is tried where locking so much memory is refused.
const RING_BYTES: [usize; 3] = [4 << 20, 512 << 10, 64 << 10];
/// Threads that are known at a time.
const THREADS_MAX: usize = 1 << 17;
/// Bytes of the end of every record.
const TRAILER_BYTES: usize = 24;
/// `prev_state` of who sleeps, and of who is dead.
const SLEEPS: u32 = 1;
const DEAD: u32 = 0x80;
/// What stands in place of the ids of a thread that is dead already.
const NOBODY: u32 = u32::MAX;

/// A record of the kernel, as far as it is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    /// `state` is that of who leaves.
    Switch {
        state: u32,
        is_preempted: bool,
        next: (u32, u32),
    },
    Fork {
        pid: u32,
        tid: u32,
        parent: (u32, u32),
    },
    Exit {
        pid: u32,
        tid: u32,
    },
    Comm {
        pid: u32,
        tid: u32,
        comm: String,
        is_exec: bool,
    },
    /// Who tells it has come to a CPU that was idle.
    AfterIdle,
    Lost(u64),
}

/// An event and the end of its record: who ran, when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dated {
    time_ns: u64,
    pid: u32,
    tid: u32,
    event: Event,
}

/// Reads a record. `None` for what is of no use, or is not as it should be.
fn parse(kind: u32, misc: u16, bytes: &[u8]) -> Option<Dated> {
    let (body, trailer) = bytes.split_at_checked(bytes.len().checked_sub(TRAILER_BYTES)?)?;
    let u32_at = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |bytes: &[u8], at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (pid, tid) = (u32_at(trailer, 0)?, u32_at(trailer, 4)?);
    let word = |number: usize| u32_at(body, 4 * number);
    let event = match kind {
        15 if misc & 1 << 13 != 0 => {
            let is_preempted = misc & 1 << 14 != 0;
            let state = match tid {
                0 => 0,
                NOBODY => DEAD,
                _ if is_preempted => 0,
                _ => SLEEPS,
            };
            Event::Switch {
                state,
                is_preempted,
                next: (word(0)?, word(1)?),
            }
        }
        // Who comes after the idle task: its own leaving is not told on every kernel.
        15 if misc & 1 << 13 == 0 && word(1)? == 0 => Event::AfterIdle,
        7 => Event::Fork {
            pid: word(0)?,
            tid: word(2)?,
            parent: (word(1)?, word(3)?),
        },
        4 => Event::Exit {
            pid: word(0)?,
            tid: word(2)?,
        },
        3 => {
            let name = body.get(8..)?;
            let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            Event::Comm {
                pid: word(0)?,
                tid: word(1)?,
                comm: String::from_utf8_lossy(&name[..length]).into_owned(),
                is_exec: misc & 1 << 13 != 0,
            }
        }
        2 => Event::Lost(u64_at(body, 8)?),
        _ => return None,
    };
    Some(Dated {
        time_ns: u64_at(trailer, 8)?,
        pid,
        tid,
        event,
    })
}

/// What a thread has had so far, counted from when it was first seen.
#[derive(Clone, Debug, Default)]
struct Account {
    charged_ns: u64,
    nvcsw: u16,
    nivcsw: u16,
}

/// Who is on a CPU.
#[derive(Clone, Copy, Debug)]
struct Running {
    pid: u32,
    tid: u32,
    since_ns: u64,
    charged_ns: u64,
}

/// Makes plumb's records of events.
#[derive(Debug, Default)]
struct Books {
    accounts: HashMap<u32, Account>,
    names: HashMap<u32, String>,
    /// Who has told its end and is about to leave its CPU for the last time.
    ended: HashSet<u32>,
}

impl Books {
    fn record(&mut self, cpu: u32, running: &mut Option<Running>, dated: Dated) -> Option<KernelRecord> {
        let mut record = KernelRecord {
            time_ns: dated.time_ns,
            cpu: u16::try_from(cpu).ok()?,
            syscall: -1,
            fd: -1,
            prio: 120,
            ..KernelRecord::default()
        };
        match dated.event {
            Event::Switch {
                state,
                is_preempted,
                next,
            } => {
                record.kind = KernelKind::Switch as u8;
                record.value = state;
                record.flags = if is_preempted { flags::PREEMPT } else { 0 };
                self.switch(&mut record, running, (dated.pid, dated.tid), next);
            }
            Event::AfterIdle => {
                let is_told = running.is_none_or(|running| running.tid != 0);
                if is_told || dated.tid == 0 {
                    return None;
                }
                record.kind = KernelKind::Switch as u8;
                self.switch(&mut record, running, (0, 0), (dated.pid, dated.tid));
            }
            Event::Fork { pid, tid, parent } => {
                record.kind = KernelKind::Fork as u8;
                (record.pid, record.tid, record.value) = (pid, tid, tid);
                (record.other_pid, record.other_tid) = parent;
                let comm = self.name_of(parent.1);
                record.set_comm(&comm);
                self.names.insert(tid, comm);
                self.ended.remove(&tid);
            }
            Event::Exit { pid, tid } => {
                record.kind = KernelKind::Exit as u8;
                (record.pid, record.tid) = (pid, tid);
                record.set_comm(&self.name_of(tid));
                self.names.remove(&tid);
                self.ended.insert(tid);
            }
            Event::Comm {
                pid,
                tid,
                comm,
                is_exec,
            } => {
                let kind = if is_exec { KernelKind::Exec } else { KernelKind::Rename };
                record.kind = kind as u8;
                (record.pid, record.tid, record.other_tid) = (pid, tid, tid);
                record.set_comm(&comm);
                self.names.insert(tid, comm);
            }
            Event::Lost(_) => return None,
        }
        Some(record)
    }

    fn switch(
        &mut self,
        record: &mut KernelRecord,
        running: &mut Option<Running>,
        (mut pid, mut tid): (u32, u32),
        next: (u32, u32),
    ) {
        let before = running.take();
        if tid == NOBODY {
            // Its ids are given back already: it is who came last.
            (pid, tid) = before.map_or((0, 0), |running| (running.pid, running.tid));
        }
        if record.value == SLEEPS && self.ended.remove(&tid) {
            record.value = DEAD;
        }
        self.bound();
        let account = self.accounts.entry(tid).or_default();
        if let Some(running) = before.filter(|running| running.tid == tid) {
            let lasted_ns = record.time_ns.saturating_sub(running.since_ns);
            account.charged_ns = running.charged_ns.saturating_add(lasted_ns);
        }
        if record.value == 0 {
            account.nivcsw = account.nivcsw.wrapping_add(1);
        } else {
            account.nvcsw = account.nvcsw.wrapping_add(1);
        }
        (record.pid, record.tid) = (pid, tid);
        (record.charged_ns, record.nvcsw, record.nivcsw) = (account.charged_ns, account.nvcsw, account.nivcsw);
        if record.value == DEAD {
            self.accounts.remove(&tid);
        }
        (record.other_pid, record.other_tid) = next;
        let comer_charged_ns = self.accounts.entry(next.1).or_default().charged_ns;
        record.set_comer(comer_charged_ns, None);
        *running = Some(Running {
            pid: next.0,
            tid: next.1,
            since_ns: record.time_ns,
            charged_ns: comer_charged_ns,
        });
    }

    /// Where ends were lost, accounts of who is gone would pile up: all begin anew then, which costs a thread the sum of its time and nothing else.
    fn bound(&mut self) {
        if self.accounts.len() > THREADS_MAX || self.names.len() > THREADS_MAX || self.ended.len() > THREADS_MAX {
            *self = Books::default();
        }
    }

    fn name_of(&self, tid: u32) -> String {
        let known = self.names.get(&tid).cloned();
        known.unwrap_or_else(|| proc::read_trimmed(format!("/proc/{tid}/comm")).unwrap_or_default())
    }
}

struct Cpu {
    number: u32,
    /// `None`: the CPU was not there.
    sampler: Option<Sampler>,
    running: Option<Running>,
    /// Something was lost before the next record.
    has_loss: bool,
}

/// The rings of all CPUs.
pub(crate) struct PerfRings {
    cpus: Vec<Cpu>,
    books: Books,
    /// Raised when nothing more shall be recorded.
    stop: Arc<AtomicBool>,
    is_stopped: bool,
    totals: RingTotals,
}

impl PerfRings {
    /// Opens an event on each CPU; they stop when `stop` is raised.
    pub fn open(cpus: u32, stop: Arc<AtomicBool>) -> Result<PerfRings, CollectorError> {
        let mut opened = Vec::new();
        for number in 0..cpus {
            let sampler = match sampler(number) {
                Ok(sampler) => Some(sampler),
                // Not there at the moment.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => None,
                Err(error) => return Err(bpf_error("perf events of all CPUs", &error)),
            };
            opened.push(Cpu {
                number,
                sampler,
                running: None,
                has_loss: false,
            });
        }
        Ok(PerfRings {
            cpus: opened,
            books: Books::default(),
            stop,
            is_stopped: false,
            totals: RingTotals::default(),
        })
    }

    /// See `Rings::drain`.
    pub fn drain(&mut self, parcel: &mut Parcel) -> u64 {
        if !self.is_stopped && self.stop.load(Ordering::Relaxed) {
            self.is_stopped = true;
            let samplers = self.cpus.iter_mut().filter_map(|cpu| cpu.sampler.as_mut());
            samplers.for_each(|sampler| drop(sampler.disable()));
        }
        let mut events = self.read(parcel.space() / KERNEL_RECORD_BYTES);
        // One CPU's events come after the other's; books are kept in the order of time.
        events.sort_by_key(|(_, dated)| dated.time_ns);
        let mut records = Vec::with_capacity(events.len());
        for (place, dated) in events {
            let cpu = &mut self.cpus[place];
            if let Event::Lost(count) = dated.event {
                cpu.has_loss = true;
                cpu.running = None;
                self.totals.lost += count;
            }
            records.extend(
                self.books
                    .record(cpu.number, &mut cpu.running, dated)
                    .map(|record| (place, record)),
            );
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

    /// Takes events out of the rings, at most so many.
    fn read(&mut self, most: usize) -> Vec<(usize, Dated)> {
        let mut events = Vec::new();
        for (place, cpu) in self.cpus.iter_mut().enumerate() {
            let Some(sampler) = &mut cpu.sampler else { continue };
            while events.len() < most
                && let Some(record) = sampler.next_record()
            {
                let dated = parse(record.ty(), record.misc(), &record.to_contiguous());
                events.extend(dated.map(|dated| (place, dated)));
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

fn sampler(cpu: u32) -> std::io::Result<Sampler> {
    let mut builder = Builder::new(Software::DUMMY);
    builder
        .any_pid()
        .one_cpu(cpu as usize)
        .include_kernel()
        .include_hv()
        .context_switch(true)
        .task(true)
        .comm(true)
        .comm_exec(true)
        .sample_id_all(true)
        .sample(SampleFlag::TID | SampleFlag::TIME | SampleFlag::CPU)
        .clockid(Clock::MONOTONIC)
        // Nobody waits: the rings are looked at now and then.
        .wakeup_watermark(RING_BYTES[0]);
    let mut refused = None;
    for bytes in RING_BYTES {
        let mut counter = builder.build()?;
        counter.enable()?;
        match counter.sampled(bytes) {
            Ok(sampler) => return Ok(sampler),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| std::io::Error::other("no ring")))
}

#[cfg(test)]
#[path = "perf_tests.rs"]
mod tests;

//! What is recorded beside the scheduler, where the rules ask for it: interrupts, page faults and requests to block devices become counters.
//!
//! | counter | of | unit |
//! | --- | --- | --- |
//! | `cpu.interrupts`, `cpu.softirqs` | CPU | count, cumulative |
//! | `cpu.interrupt_time`, `cpu.softirq_time` | CPU | ns, cumulative |
//! | `interrupted NAME` | thread | ns, cumulative: taken from its running slices by interrupts and soft interrupts |
//! | `faults.minor NAME`, `faults.major NAME` | thread | count, cumulative |
//! | `WHAT NAME` | thread | cumulative: what perf counts, see `slice_counters` |
//! | `priority NAME` | thread | the kernel's number, 120 is ordinary, below 100 is real time; of those that are not ordinary all the time |
//! | `cpus_allowed NAME` | thread | number of CPUs that it may run on; of those that may not run on all |
//! | `disk.DEVICE.reads`, `.writes`, `.flushes`, `.others` | host | count, cumulative: requests that are done |
//! | `disk.DEVICE.read_bytes`, `.written_bytes` | host | bytes, cumulative |
//! | `disk.DEVICE.read_time`, `.write_time` | host | ns, cumulative: from issue to completion, of all requests whose beginning and end the kernel told |
//! | `disk.DEVICE.latency` | host | µs: the longest of the requests that were done since the point before |

use super::Machine;
use super::counters::About;
use super::slice_counters::Part;
use plumb_trace::record::KernelRecord;
use plumb_trace::timeline::{TimelineError, TimelineWriter, TrackId};
use rustc_hash::FxHashMap;
use std::borrow::Cow;

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// Shortest time between two points of a counter, ns: what happens between them is told by the later one.
const STEP_NS: u64 = 1_000_000;

/// Of whom something is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    Cpu(usize, u16),
    Thread(usize),
    Device(usize, u32),
}

/// What a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// Something of a name and a unit.
    Known(&'static str, &'static str),
    /// What the recording says that this counter of slices is.
    Slices(u16, Part),
}

const INTERRUPTS: What = What::Known("cpu.interrupts", "count");
const SOFTIRQS: What = What::Known("cpu.softirqs", "count");
const INTERRUPT_TIME: What = What::Known("cpu.interrupt_time", "ns");
const SOFTIRQ_TIME: What = What::Known("cpu.softirq_time", "ns");
const INTERRUPTED: What = What::Known("interrupted", "ns");
const MINOR_FAULTS: What = What::Known("faults.minor", "count");
const MAJOR_FAULTS: What = What::Known("faults.major", "count");
const LATENCY: What = What::Known("latency", "µs");
const READ: [What; 3] = [
    What::Known("reads", "count"),
    What::Known("read_bytes", "bytes"),
    What::Known("read_time", "ns"),
];
const WRITE: [What; 3] = [
    What::Known("writes", "count"),
    What::Known("written_bytes", "bytes"),
    What::Known("write_time", "ns"),
];
const FLUSHES: What = What::Known("flushes", "count");
const OTHERS: What = What::Known("others", "count");

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Extras {
    counters: FxHashMap<(Whose, What), Counter>,
    /// Names of block devices, by host and number.
    devices: FxHashMap<(usize, u32), String>,
}

#[derive(Debug)]
struct Counter {
    track: TrackId,
    value: u64,
    /// What the last point told, and when.
    told: u64,
    told_ns: u64,
    last_ns: u64,
}

impl Counter {
    fn set(&mut self, writer: &mut TimelineWriter, at: u64, value: u64) -> Result {
        let is_due = at >= self.told_ns.saturating_add(STEP_NS);
        if is_due {
            // What was not told yet has its own time, from which it may have stood for long.
            self.tell(writer)?;
        }
        self.value = value;
        self.last_ns = at;
        if is_due { self.tell(writer) } else { Ok(()) }
    }

    fn is_told(&self) -> bool {
        self.value == self.told
    }

    fn tell(&mut self, writer: &mut TimelineWriter) -> Result {
        if self.value == self.told || self.last_ns <= self.told_ns {
            return Ok(());
        }
        (self.told, self.told_ns) = (self.value, self.last_ns);
        writer.counter(self.track, self.last_ns, i64::try_from(self.value).unwrap_or(i64::MAX))
    }
}

impl Machine {
    /// What a slice that is about to end had of interrupts and page faults.
    pub(super) fn toll(&mut self, host: usize, cpu: u16, at: u64, record: &KernelRecord) -> Result {
        let (hard_ns, soft_ns) = (record.charged_ns, record.other_charged_ns);
        let softirqs = u64::from(u32::try_from(record.fd).unwrap_or(0));
        let of_cpu = Whose::Cpu(host, cpu);
        self.grow(of_cpu, INTERRUPTS, at, record.value.into())?;
        self.grow(of_cpu, SOFTIRQS, at, softirqs)?;
        self.grow(of_cpu, INTERRUPT_TIME, at, hard_ns)?;
        self.grow(of_cpu, SOFTIRQ_TIME, at, soft_ns)?;
        let Some(thread) = self.thread_of(host, record.tid, record.pid, at)? else {
            return Ok(());
        };
        let of_thread = Whose::Thread(thread);
        self.grow(of_thread, INTERRUPTED, at, hard_ns.saturating_add(soft_ns))?;
        self.grow(of_thread, MINOR_FAULTS, at, record.other_tid.into())?;
        self.grow(of_thread, MAJOR_FAULTS, at, record.other_pid.into())
    }

    /// A request to a block device is done.
    pub(super) fn request_done(&mut self, host: usize, at: u64, record: &KernelRecord) -> Result {
        let device = Whose::Device(host, record.value);
        // Issued before the recording, or one whose beginning or end the kernel has not told.
        let is_timed = record.charged_ns > 0;
        let latency_ns = if is_timed {
            record.time_ns.saturating_sub(record.charged_ns)
        } else {
            0
        };
        let kinds = match record.other_tid & 0xff {
            0 => READ,
            1 => WRITE,
            2 => return self.grow(device, FLUSHES, at, 1),
            _ => return self.grow(device, OTHERS, at, 1),
        };
        for (what, by) in kinds.into_iter().zip([1, record.other_charged_ns, latency_ns]) {
            self.grow(device, what, at, by)?;
        }
        if !is_timed {
            return Ok(());
        }
        let latency = latency_ns.div_ceil(1000);
        self.change(device, LATENCY, at, |counter| match counter.is_told() {
            true => latency,
            false => latency.max(counter.value),
        })
    }

    /// A number begins to mean a block device.
    pub(super) fn define_device(&mut self, host: usize, number: u32, name: &str) {
        self.extras.devices.insert((host, number), name.to_owned());
    }

    pub(super) fn grow(&mut self, whose: Whose, what: What, at: u64, by: u64) -> Result {
        if by == 0 {
            return Ok(());
        }
        self.change(whose, what, at, |counter| counter.value.saturating_add(by))
    }

    /// Gives a counter its next value.
    fn change(&mut self, whose: Whose, what: What, at: u64, next: impl FnOnce(&Counter) -> u64) -> Result {
        self.ensure_extra(whose, what, at)?;
        match self.extras.counters.get_mut(&(whose, what)) {
            Some(counter) => counter.set(&mut self.writer, at, next(counter)),
            None => Ok(()),
        }
    }

    /// Gives a counter this value. Before its first one it had `first`.
    pub(super) fn set_extra(&mut self, whose: Whose, what: What, at: u64, (first, value): (u64, u64)) -> Result {
        self.ensure_extra_from(whose, what, at, first)?;
        self.change(whose, what, at, |_| value)
    }

    /// Makes the counter, which begins at 0.
    pub(super) fn ensure_extra(&mut self, whose: Whose, what: What, at: u64) -> Result {
        self.ensure_extra_from(whose, what, at, 0)
    }

    fn ensure_extra_from(&mut self, whose: Whose, what: What, at: u64, first: u64) -> Result {
        let key = (whose, what);
        if !self.extras.counters.contains_key(&key) {
            let (what, unit) = self.name_and_unit(whose, what);
            let (about, start_ns, name) = self.about(whose, &what);
            let track = self.add_counter_track(about, name, &unit, start_ns);
            let told_ns = start_ns.min(at.saturating_sub(1)).max(self.from_ns);
            self.writer
                .counter(track, told_ns, i64::try_from(first).unwrap_or(i64::MAX))?;
            let counter = Counter {
                track,
                value: first,
                told: first,
                told_ns,
                last_ns: told_ns,
            };
            self.extras.counters.insert(key, counter);
        }
        Ok(())
    }

    fn name_and_unit(&self, whose: Whose, what: What) -> (Cow<'static, str>, Cow<'static, str>) {
        match what {
            What::Known(name, unit) => (name.into(), unit.into()),
            What::Slices(number, part) => {
                let host = match whose {
                    Whose::Cpu(host, _) | Whose::Device(host, _) => host,
                    Whose::Thread(thread) => self.registry.threads[thread].host,
                };
                let (name, unit) = self.slice_counters.name_and_unit(host, number, part);
                (name.into(), unit.into())
            }
        }
    }

    fn about(&mut self, whose: Whose, what: &str) -> (About, u64, String) {
        match whose {
            Whose::Cpu(host, cpu) => {
                let about = About {
                    process: self.idle_process(host),
                    tid: Some(u32::from(cpu)),
                };
                (about, self.hosts[host].from_ns, what.to_owned())
            }
            Whose::Device(host, number) => {
                let about = About {
                    process: self.idle_process(host),
                    tid: None,
                };
                let unnamed = || format!("{}:{}", number >> 20, number & 0xf_ffff);
                let device = self
                    .extras
                    .devices
                    .get(&(host, number))
                    .cloned()
                    .unwrap_or_else(unnamed);
                (about, self.hosts[host].from_ns, format!("disk.{device}.{what}"))
            }
            Whose::Thread(thread) => {
                let entry = &self.registry.threads[thread];
                let about = About {
                    process: self.registry.processes[entry.process].id,
                    tid: Some(entry.tid),
                };
                let track = self.writer.track_mut(entry.track);
                (about, track.start_ns, format!("{what} {}", track.name))
            }
        }
    }

    /// Every counter's last value holds to the end, a thread's to its own.
    pub(super) fn close_extras(&mut self, to_ns: u64) -> Result {
        let mut open: Vec<_> = self.extras.counters.drain().collect();
        open.sort_by_key(|(_, counter)| counter.track);
        for ((whose, what), mut counter) in open {
            counter.tell(&mut self.writer)?;
            let mut end_ns = to_ns;
            if let Whose::Thread(thread) = whose {
                end_ns = self.writer.track_mut(self.registry.threads[thread].track).end_ns;
            }
            // Threads and devices may have got their names since.
            let (what, _) = self.name_and_unit(whose, what);
            let (.., name) = self.about(whose, &what);
            let track = self.writer.track_mut(counter.track);
            track.name = name;
            track.end_ns = end_ns.max(counter.told_ns);
        }
        Ok(())
    }
}

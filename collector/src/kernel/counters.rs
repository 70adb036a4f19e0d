//! Counters of perf events, which `bpf/counters.h` reads at every switch: which there are, and how they are opened.
//!
//! An event counts whoever is on one CPU. There is one for each counter and CPU; the programs' map holds them open, this process keeps no descriptor.

use super::KernelOptions;
use super::object::bpf_error;
use crate::CollectorError;
use crate::watch::online_cpus;
use aya::Ebpf;
use aya::maps::Map;
use perf_event::Builder;
use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Hardware, Software};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// How many counters can be read at a time; also in `bpf/counters.h`.
pub const COUNTERS_MAX: usize = 8;

/// What kind of event a counter is.
#[derive(Clone, Copy, Debug)]
enum Event {
    Software(Software),
    Hardware(Hardware),
    Cache(CacheId, CacheResult),
}

/// Names, as `perf list` has them, units and events. Switches are not among them: they are all recorded.
///
/// A thread's task-clock is the clock of its CPUs while it has them. The kernel's event of that name, opened on a
/// CPU and read at switches, said 106 ms of a thread that had run for 99.
const TABLE: &[(&str, &str, Event)] = &[
    ("task-clock", "ns", Event::Software(Software::CPU_CLOCK)),
    ("page-faults", "count", Event::Software(Software::PAGE_FAULTS)),
    ("minor-faults", "count", Event::Software(Software::PAGE_FAULTS_MIN)),
    ("major-faults", "count", Event::Software(Software::PAGE_FAULTS_MAJ)),
    ("cpu-migrations", "count", Event::Software(Software::CPU_MIGRATIONS)),
    ("migrations", "count", Event::Software(Software::CPU_MIGRATIONS)),
    ("alignment-faults", "count", Event::Software(Software::ALIGNMENT_FAULTS)),
    ("emulation-faults", "count", Event::Software(Software::EMULATION_FAULTS)),
    ("cycles", "count", Event::Hardware(Hardware::CPU_CYCLES)),
    ("cpu-cycles", "count", Event::Hardware(Hardware::CPU_CYCLES)),
    ("instructions", "count", Event::Hardware(Hardware::INSTRUCTIONS)),
    ("cache-references", "count", Event::Hardware(Hardware::CACHE_REFERENCES)),
    ("cache-misses", "count", Event::Hardware(Hardware::CACHE_MISSES)),
    ("branches", "count", Event::Hardware(Hardware::BRANCH_INSTRUCTIONS)),
    ("branch-misses", "count", Event::Hardware(Hardware::BRANCH_MISSES)),
    ("bus-cycles", "count", Event::Hardware(Hardware::BUS_CYCLES)),
    ("ref-cycles", "count", Event::Hardware(Hardware::REF_CPU_CYCLES)),
    (
        "stalled-cycles-frontend",
        "count",
        Event::Hardware(Hardware::STALLED_CYCLES_FRONTEND),
    ),
    (
        "stalled-cycles-backend",
        "count",
        Event::Hardware(Hardware::STALLED_CYCLES_BACKEND),
    ),
    (
        "L1-dcache-loads",
        "count",
        Event::Cache(CacheId::L1D, CacheResult::ACCESS),
    ),
    (
        "L1-dcache-load-misses",
        "count",
        Event::Cache(CacheId::L1D, CacheResult::MISS),
    ),
    ("LLC-loads", "count", Event::Cache(CacheId::LL, CacheResult::ACCESS)),
    ("LLC-load-misses", "count", Event::Cache(CacheId::LL, CacheResult::MISS)),
    ("dTLB-loads", "count", Event::Cache(CacheId::DTLB, CacheResult::ACCESS)),
    (
        "dTLB-load-misses",
        "count",
        Event::Cache(CacheId::DTLB, CacheResult::MISS),
    ),
    (
        "iTLB-load-misses",
        "count",
        Event::Cache(CacheId::ITLB, CacheResult::MISS),
    ),
];

/// Something that perf counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter(usize);

impl Counter {
    /// The counter of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Counter> {
        TABLE.iter().position(|(known, ..)| *known == name).map(Counter)
    }

    /// Names of all of them.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        TABLE.iter().map(|(name, ..)| *name).collect()
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE[self.0].0
    }

    /// What one of it is: `ns` or `count`.
    #[must_use]
    pub fn unit(self) -> &'static str {
        TABLE[self.0].1
    }

    /// An event that counts all that happens on a CPU, to be opened.
    pub(super) fn on_cpu(self, cpu: u32) -> Builder<'static> {
        let mut builder = match TABLE[self.0].2 {
            Event::Software(event) => Builder::new(event),
            Event::Hardware(event) => Builder::new(event),
            Event::Cache(which, result) => Builder::new(Cache {
                which,
                operation: CacheOp::READ,
                result,
            }),
        };
        builder.any_pid().one_cpu(cpu as usize).include_kernel().include_hv();
        builder
    }

    /// Begins to count all that happens on a CPU.
    fn open(self, cpu: u32) -> io::Result<perf_event::Counter> {
        let mut counter = self.on_cpu(cpu).build()?;
        counter.enable()?;
        Ok(counter)
    }

    /// Whether this machine counts it.
    ///
    /// # Errors
    /// Why not, in a few words.
    pub fn try_out(self) -> Result<(), String> {
        let cpu = online_cpus(u32::MAX).first().copied().unwrap_or_default();
        self.open(cpu).map(drop).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP) => {
                format!("this machine has no counter `{}`", self.name())
            }
            Some(libc::EACCES | libc::EPERM) => {
                format!(
                    "the kernel refuses the counter `{}`: CAP_PERFMON is missing",
                    self.name()
                )
            }
            _ => format!("the kernel refuses the counter `{}`: {error}", self.name()),
        })
    }
}

/// The options without the counters that this machine has not, and what to tell of those.
pub(super) fn without_absent(options: &KernelOptions) -> (KernelOptions, Vec<String>) {
    let mut options = options.clone();
    let mut notes = Vec::new();
    options.extras.counters.retain(|counter| match counter.try_out() {
        Ok(()) => true,
        Err(why) => {
            notes.push(format!("{why}: it is not recorded, though the rules ask for it"));
            false
        }
    });
    options.extras.counters.truncate(COUNTERS_MAX);
    (options, notes)
}

/// Opens the counters on all CPUs, for the program to read. Returns what the user should know: a CPU without its event has slices in which nothing is counted.
pub(super) fn install(bpf: &mut Ebpf, counters: &[Counter], cpus: u32) -> Result<Vec<String>, CollectorError> {
    let mut notes = Vec::new();
    for (place, counter) in counters.iter().enumerate() {
        let name = format!("counter_{place}");
        let Some(Map::PerfEventArray(map)) = bpf.map_mut(&name) else {
            return Err(bpf_error(&name, &"the object has no such array"));
        };
        let map = map.fd().as_fd().as_raw_fd();
        for cpu in online_cpus(cpus) {
            let opened = counter.open(cpu);
            match opened.and_then(|event| put(map, cpu, event.as_raw_fd())) {
                Ok(()) => {}
                // It has just gone.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                Err(error) => notes.push(format!(
                    "counter `{}` does not count on CPU {cpu}: {error}",
                    counter.name()
                )),
            }
        }
    }
    Ok(notes)
}

/// The attributes of BPF_MAP_UPDATE_ELEM.
#[repr(C)]
struct Update {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Puts an event into a map, which keeps it open. aya has no call for events that it has not opened itself.
fn put(map: i32, index: u32, event: i32) -> io::Result<()> {
    const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
    let update = Update {
        map: map.cast_unsigned(),
        padding: 0,
        key: (&raw const index) as u64,
        value: (&raw const event) as u64,
        flags: 0,
    };
    #[expect(unsafe_code, reason = "bpf(BPF_MAP_UPDATE_ELEM)")]
    // SAFETY: `update` lies as bpf(2) has it, and key and value are 4 bytes each, as the map's are; all three live until the call is over, and the kernel only reads them.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_UPDATE_ELEM,
            &raw const update,
            size_of::<Update>(),
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_known_by_their_names() {
        for name in Counter::names() {
            assert_eq!(Counter::named(name).map(Counter::name), Some(name));
        }
        assert_eq!(Counter::named("context-switches"), None);
        assert_eq!(Counter::named("task-clock").map(Counter::unit), Some("ns"));
    }
}

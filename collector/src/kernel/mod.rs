//! The kernel side: loading, attaching and detaching the BPF programs of `bpf/`.

mod cost;
mod counters;
mod extras;
mod object;
mod perf;
mod probes;
mod requests;
mod ring;
mod scope;

pub use perf::outside;

use cost::costs;
pub use cost::{ProgramCost, enable_statistics};
pub use counters::{COUNTERS_MAX, Counter};
pub use extras::{Extras, Stacks};
pub use ring::RingTotals;
pub(crate) use scope::{Cgroups, NamedThreads};
pub use scope::{Scope, Selectors};

use crate::CollectorError;
use crate::libjvm::Libjvm;
use crate::parcel::Parcel;
use aya::Ebpf;
use aya::maps::{Map, MapData};
use object::bpf_error;
use perf::{PerfEvents, PerfRings};
use plumb_trace::record::KERNEL_RECORD_BYTES;
use probes::Probes;
use scope::Set;

/// Ring of a CPU where nothing else is said, bytes: 65,536 records, 20 ms of 3 million a second.
const RING_BYTES: usize = 4 << 20;
/// All rings together where nothing else is said: machines with many CPUs have smaller rings.
const RINGS_BYTES_MAX: usize = 256 << 20;
/// Smallest and largest ring that is made, records as a power of two.
const RING_BITS: std::ops::RangeInclusive<u32> = 6..=20;

/// By which of the kernel's interfaces switches are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// BPF programs, or perf events where these are refused.
    #[default]
    Best,
    /// The same, but for what tells of the traced processes alone: where there are none.
    BestOfEverybody,
    /// BPF programs.
    Bpf,
    /// Perf events, and of these what one's rights allow: with the scheduler's tracepoints or without, of everybody or of one's own processes.
    PerfEvents,
    /// Perf events with the scheduler's tracepoints.
    PerfTracepoints,
    /// Perf events without tracepoints: who ran when, but not why a thread slept or who woke it.
    PerfSwitches,
    /// Perf events of the traced processes alone, which have to be one's own.
    PerfOwn,
}

/// What to record of the kernel.
#[derive(Clone, Debug, Default)]
pub struct KernelOptions {
    /// Whose wakeups and blocking calls.
    pub scope: Scope,
    /// Who else is in scope, unless everybody is.
    pub selectors: Selectors,
    /// What else, beside the scheduler.
    pub extras: Extras,
    /// By which interface.
    pub interface: Interface,
    /// Bytes of a CPU's ring, rounded down to a power of two of records; `None`: 4 MiB, less on machines with more than 64 CPUs.
    pub ring_bytes: Option<usize>,
}

/// Attaches a program that records nothing (`empty`, or `clock_only`, which reads the clock and the threads' fields) while `body` runs, and says what it cost.
///
/// # Errors
/// [`CollectorError::Bpf`] where the kernel refuses it.
pub fn probe_cost(name: &str, body: impl FnOnce()) -> Result<Option<ProgramCost>, CollectorError> {
    let bpf = object::check_load(name)?;
    body();
    Ok(costs(&bpf).into_iter().find(|cost| cost.name == name))
}

/// What produces the records.
enum Producer {
    Bpf {
        bpf: Box<Ebpf>,
        traced: Set<u32>,
        probes: Option<Box<Probes>>,
    },
    PerfEvents(PerfEvents),
}

/// The kernel side, attached.
pub(crate) struct Kernel {
    producer: Producer,
    /// What this kernel does not give.
    pub notes: Vec<String>,
    /// What counters there are, in the order of their numbers in records.
    pub counters: Vec<Counter>,
}

/// The rings of all CPUs, whatever fills them.
pub(crate) enum Rings {
    Bpf(ring::Rings),
    PerfEvents(Box<PerfRings>),
}

/// What a kernel side consists of.
pub(crate) struct Attached {
    pub kernel: Kernel,
    /// For the drain thread.
    pub rings: Rings,
    /// For who learns names of threads, where the scope is by name.
    pub threads: Option<NamedThreads>,
    /// For who looks for new cgroups, where the scope is by cgroup.
    pub cgroups: Option<Cgroups>,
}

impl Rings {
    /// Moves what has come into the parcel, CPU by CPU, as far as it fits. Returns the number of records.
    pub fn drain(&mut self, parcel: &mut Parcel) -> u64 {
        match self {
            Rings::Bpf(rings) => rings.drain(parcel),
            Rings::PerfEvents(rings) => rings.drain(parcel),
        }
    }

    /// Puts losses that no record has followed into the parcel: to be called at the end.
    pub fn drain_losses(&mut self, parcel: &mut Parcel) {
        match self {
            Rings::Bpf(rings) => rings.drain_losses(parcel),
            Rings::PerfEvents(rings) => rings.drain_losses(parcel),
        }
    }

    /// What the user should know of all that was recorded: to be called at the end.
    pub fn note(&self) -> Option<String> {
        match self {
            Rings::Bpf(_) => None,
            Rings::PerfEvents(rings) => rings.note(),
        }
    }

    /// How many records the ring of a CPU holds, where they are of one size.
    pub fn records_of_a_cpu(&self) -> Option<u64> {
        match self {
            Rings::Bpf(rings) => Some(rings.records_of_a_cpu()),
            Rings::PerfEvents(_) => None,
        }
    }

    /// Whether every written record was read.
    pub fn is_empty(&self) -> bool {
        match self {
            Rings::Bpf(rings) => rings.is_empty(),
            Rings::PerfEvents(rings) => rings.is_empty(),
        }
    }

    /// Number of CPUs that have a ring.
    pub fn len(&self) -> usize {
        match self {
            Rings::Bpf(rings) => rings.len(),
            Rings::PerfEvents(rings) => rings.len(),
        }
    }

    pub fn totals(&self) -> RingTotals {
        match self {
            Rings::Bpf(rings) => rings.totals(),
            Rings::PerfEvents(rings) => rings.totals(),
        }
    }
}

impl Kernel {
    /// Attaches what the kernel allows.
    pub fn attach(options: &KernelOptions) -> Result<Attached, CollectorError> {
        let cpus = aya::util::nr_cpus().map_err(|(file, error)| bpf_error(file, &error))?;
        let cpus = u32::try_from(cpus).map_err(|error| bpf_error("the number of CPUs", &error))?;
        match options.interface {
            Interface::Bpf => Kernel::attach_bpf(options, cpus),
            Interface::PerfEvents | Interface::PerfTracepoints | Interface::PerfSwitches | Interface::PerfOwn => {
                Kernel::attach_perf_events(options, cpus, "perf events were asked for")
            }
            Interface::Best | Interface::BestOfEverybody => Kernel::attach_bpf(options, cpus).or_else(|error| {
                let cause = error.to_string();
                let cause = cause.lines().next().unwrap_or_default();
                // What BPF needs is what the user should hear of where neither can be had.
                Kernel::attach_perf_events(options, cpus, cause).map_err(|_| error)
            }),
        }
    }

    /// Loads and attaches the programs.
    fn attach_bpf(options: &KernelOptions, cpus: u32) -> Result<Attached, CollectorError> {
        let bits = ring_bits(options.ring_bytes, cpus);
        let (options, missing) = &counters::without_absent(options);
        let mut loaded = object::load(cpus, bits, options)?;
        let heads = take_array(&mut loaded.bpf, "heads")?;
        let records = take_array(&mut loaded.bpf, "records")?;
        let rings = ring::Rings::map(heads.fd(), records.fd(), cpus, bits)
            .map_err(|error| bpf_error("mapping the rings", &error))?;
        let traced = Set::take(&mut loaded.bpf, "traced")?;
        let (threads, cgroups) = fill(&mut loaded.bpf, options)?;
        let counters = match loaded.has_options {
            true => options.extras.counters.clone(),
            false => Vec::new(),
        };
        let not_counting = counters::install(&mut loaded.bpf, &counters, cpus)?;
        object::attach(&mut loaded)?;
        let object::Loaded {
            bpf, mut notes, probes, ..
        } = loaded;
        notes.extend_from_slice(missing);
        notes.extend(not_counting);
        let producer = Producer::Bpf {
            bpf: Box::new(bpf),
            traced,
            probes: probes.map(Box::new),
        };
        Ok(Attached {
            kernel: Kernel {
                producer,
                notes,
                counters,
            },
            rings: Rings::Bpf(rings),
            threads,
            cgroups,
        })
    }

    fn attach_perf_events(options: &KernelOptions, cpus: u32, cause: &str) -> Result<Attached, CollectorError> {
        let (options, missing) = &counters::without_absent(options);
        let (rings, events, level) = perf::open(cpus, options)?;
        let mut notes = vec![format!("{} ({cause})", level.note())];
        notes.extend_from_slice(missing);
        notes.extend(level.left_out(&options.extras).map(str::to_owned));
        Ok(Attached {
            kernel: Kernel {
                producer: Producer::PerfEvents(events),
                notes,
                counters: level.counters(&options.extras),
            },
            rings: Rings::PerfEvents(Box::new(rings)),
            threads: None,
            cgroups: None,
        })
    }

    /// Makes a process part of the traced tree; its children from now on are by themselves.
    pub fn trace(&mut self, pid: u32) -> Result<(), CollectorError> {
        match &mut self.producer {
            Producer::Bpf { traced, .. } => traced.insert(pid),
            Producer::PerfEvents(events) => events.trace(pid),
        }
    }

    /// Whether children of this process are part of the traced tree from their birth on. By BPF only: perf events are read later than they come, and the tree is that of
    /// [`Kernel::trace`] there; those of single processes can only be had of who is there.
    pub fn adopt_children(&mut self, yes: bool) -> Result<(), CollectorError> {
        let own = std::process::id();
        match &mut self.producer {
            Producer::Bpf { traced, .. } if yes => traced.insert_as(own, scope::CHILDREN_IN_SCOPE),
            Producer::Bpf { traced, .. } => {
                traced.remove(&own);
                Ok(())
            }
            Producer::PerfEvents(_) => Ok(()),
        }
    }

    /// Whether probes of libjvm are recorded of whom [`Kernel::probe`] is told.
    pub fn has_probes(&self) -> bool {
        matches!(&self.producer, Producer::Bpf { probes: Some(_), .. })
    }

    /// Attaches the probes that the rules ask for to a libjvm, unless that was done: `Err` says why they are not recorded of who runs it.
    pub fn probe(&mut self, libjvm: &Libjvm) -> Result<(), String> {
        match &mut self.producer {
            Producer::Bpf {
                bpf,
                probes: Some(probes),
                ..
            } => probes.attach(bpf, libjvm),
            Producer::Bpf { .. } | Producer::PerfEvents(_) => Ok(()),
        }
    }

    /// Detaches. Returns what the user should know of all that was recorded.
    pub fn detach(self) -> Vec<String> {
        let bpf = match &self.producer {
            Producer::Bpf { bpf, .. } => bpf,
            Producer::PerfEvents(events) => {
                events.stop();
                return Vec::new();
            }
        };
        let missed: u64 = self.costs().iter().map(|cost| cost.missed).sum();
        let missed = (missed > 0).then(|| {
            format!("{missed} kernel events came while the program for them was running on the same CPU, and are lost")
        });
        missed.into_iter().chain(requests::note(bpf)).collect()
    }

    /// What each program has cost so far; all 0 unless statistics are switched on, see [`enable_statistics`].
    pub fn costs(&self) -> Vec<ProgramCost> {
        match &self.producer {
            Producer::Bpf { bpf, .. } => costs(bpf),
            Producer::PerfEvents(_) => Vec::new(),
        }
    }
}

/// Puts what the selectors name into the maps, as far as it is known before anything is attached.
fn fill(bpf: &mut Ebpf, options: &KernelOptions) -> Result<(Option<NamedThreads>, Option<Cgroups>), CollectorError> {
    if options.scope == Scope::System {
        return Ok((None, None));
    }
    let selectors = &options.selectors;
    let mut users = Set::take(bpf, "users")?;
    selectors.users.iter().try_for_each(|&user| users.insert(user))?;
    let threads = NamedThreads::new(selectors, Set::take(bpf, "threads")?);
    Ok((threads, Cgroups::new(selectors, Set::take(bpf, "cgroups")?)))
}

fn take_array(bpf: &mut Ebpf, name: &str) -> Result<MapData, CollectorError> {
    match bpf.take_map(name) {
        Some(Map::Array(data)) => Ok(data),
        _ => Err(bpf_error(name, &"the object has no such array")),
    }
}

fn ring_bits(bytes: Option<usize>, cpus: u32) -> u32 {
    let bytes = bytes.unwrap_or_else(|| RING_BYTES.min(RINGS_BYTES_MAX / cpus.max(1) as usize));
    let records = (bytes / KERNEL_RECORD_BYTES).max(1);
    records.ilog2().clamp(*RING_BITS.start(), *RING_BITS.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_powers_of_two_within_bounds() {
        assert_eq!(ring_bits(None, 2), 16);
        assert_eq!(ring_bits(None, 256), 14);
        assert_eq!(ring_bits(Some(0), 2), 6);
        assert_eq!(ring_bits(Some(100_000), 2), 10);
        assert_eq!(ring_bits(Some(usize::MAX), 2), 20);
    }
}

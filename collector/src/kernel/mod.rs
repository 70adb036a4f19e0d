//! The kernel side: loading, attaching and detaching the BPF programs of `bpf/`.

mod cost;
mod object;
mod ring;
mod scope;

use cost::costs;
pub use cost::{ProgramCost, enable_statistics};
pub use ring::RingTotals;
pub(crate) use ring::Rings;
pub(crate) use scope::{Cgroups, NamedThreads};
pub use scope::{Scope, Selectors};

use crate::CollectorError;
use aya::Ebpf;
use aya::maps::{Map, MapData};
use object::bpf_error;
use plumb_trace::record::KERNEL_RECORD_BYTES;
use scope::Set;

/// Ring of a CPU where nothing else is said, bytes: 65,536 records, 20 ms of 3 million a second.
const RING_BYTES: usize = 4 << 20;
/// All rings together where nothing else is said: machines with many CPUs have smaller rings.
const RINGS_BYTES_MAX: usize = 256 << 20;
/// Smallest and largest ring that is made, records as a power of two.
const RING_BITS: std::ops::RangeInclusive<u32> = 6..=20;

/// What to record of the kernel.
#[derive(Clone, Debug, Default)]
pub struct KernelOptions {
    /// Whose wakeups and blocking calls.
    pub scope: Scope,
    /// Who else is in scope, unless everybody is.
    pub selectors: Selectors,
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

/// The programs, attached.
pub(crate) struct Kernel {
    bpf: Ebpf,
    traced: Set<u32>,
    /// What this kernel does not give.
    pub notes: Vec<String>,
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

impl Kernel {
    /// Loads and attaches the programs.
    pub fn attach(options: &KernelOptions) -> Result<Attached, CollectorError> {
        let cpus = aya::util::nr_cpus().map_err(|(file, error)| bpf_error(file, &error))?;
        let cpus = u32::try_from(cpus).map_err(|error| bpf_error("the number of CPUs", &error))?;
        let bits = ring_bits(options.ring_bytes, cpus);
        let (mut bpf, notes) = object::load(cpus, bits, options)?;
        let heads = take_array(&mut bpf, "heads")?;
        let records = take_array(&mut bpf, "records")?;
        let rings =
            Rings::map(heads.fd(), records.fd(), cpus, bits).map_err(|error| bpf_error("mapping the rings", &error))?;
        let traced = Set::take(&mut bpf, "traced")?;
        let (threads, cgroups) = fill(&mut bpf, options)?;
        object::attach(&mut bpf)?;
        Ok(Attached {
            kernel: Kernel { bpf, traced, notes },
            rings,
            threads,
            cgroups,
        })
    }

    /// Makes a process part of the traced tree; its children from now on are by themselves.
    pub fn trace(&mut self, pid: u32) -> Result<(), CollectorError> {
        self.traced.insert(pid)
    }

    /// Detaches the programs. Returns how many events the kernel did not hand to a program because it was running on that CPU already.
    pub fn detach(self) -> u64 {
        costs(&self.bpf).iter().map(|cost| cost.missed).sum()
    }

    /// What each program has cost so far; all 0 unless statistics are switched on, see [`enable_statistics`].
    pub fn costs(&self) -> Vec<ProgramCost> {
        costs(&self.bpf)
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

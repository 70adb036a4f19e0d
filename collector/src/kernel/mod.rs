//! The kernel side: loading, attaching and detaching the BPF programs of `bpf/`.

mod cost;
mod object;
mod ring;

use cost::costs;
pub use cost::{ProgramCost, enable_statistics};
pub use ring::RingTotals;
pub(crate) use ring::Rings;

use crate::CollectorError;
use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use object::bpf_error;
use plumb_trace::record::KERNEL_RECORD_BYTES;

/// Ring of a CPU where nothing else is said, bytes: 65,536 records, 20 ms of 3 million a second.
const RING_BYTES: usize = 4 << 20;
/// All rings together where nothing else is said: machines with many CPUs have smaller rings.
const RINGS_BYTES_MAX: usize = 256 << 20;
/// Smallest and largest ring that is made, records as a power of two.
const RING_BITS: std::ops::RangeInclusive<u32> = 6..=20;

/// Which threads' wakeups and renames are recorded.
///
/// Switches, forks, execs and exits are recorded of every thread in either scope: they say who had the CPU meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    System,
    /// Of the targets and their descendants.
    Tree,
}

impl Scope {
    /// As rules and manifests call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::System => "system",
            Scope::Tree => "tree",
        }
    }
}

/// What to record of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct KernelOptions {
    /// Whose wakeups.
    pub scope: Scope,
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
    traced: HashMap<MapData, u32, u8>,
    /// What this kernel does not give.
    pub notes: Vec<String>,
}

impl Kernel {
    /// Loads and attaches the programs; the rings are for the drain thread.
    pub fn attach(options: KernelOptions) -> Result<(Kernel, Rings), CollectorError> {
        let cpus = aya::util::nr_cpus().map_err(|(file, error)| bpf_error(file, &error))?;
        let cpus = u32::try_from(cpus).map_err(|error| bpf_error("the number of CPUs", &error))?;
        let bits = ring_bits(options.ring_bytes, cpus);
        let (mut bpf, notes) = object::load(cpus, bits, options.scope)?;
        let heads = take_array(&mut bpf, "heads")?;
        let records = take_array(&mut bpf, "records")?;
        let rings =
            Rings::map(heads.fd(), records.fd(), cpus, bits).map_err(|error| bpf_error("mapping the rings", &error))?;
        let traced = bpf
            .take_map("traced")
            .ok_or_else(|| bpf_error("map traced", &"the object has none"))?;
        let traced = HashMap::try_from(traced).map_err(|error| bpf_error("map traced", &error))?;
        object::attach(&mut bpf)?;
        Ok((Kernel { bpf, traced, notes }, rings))
    }

    /// Makes a process part of the traced tree; its children from now on are by themselves.
    pub fn trace(&mut self, pid: u32) -> Result<(), CollectorError> {
        self.traced
            .insert(pid, 1, 0)
            .map_err(|error| bpf_error("adding a process to the traced tree", &error))
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

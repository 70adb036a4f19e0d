//! What the switches of a recording say: when a thread slept, and what the kernel hid meanwhile.
//!
//! Some kernels tell nothing of what happens while a thread of a protected process 1 has a CPU, neither to BPF programs nor to perf events: not that it leaves, nor whom an interrupt in its midst
//! wakes. That is nobody's loss, and shows when somebody else leaves that CPU.

use plumb_trace::record::{KernelKind, KernelRecord};
use std::collections::{HashMap, HashSet};

/// A time, ns: from and to.
pub type Stretch = (u64, u64);

pub fn of_kind(records: &[KernelRecord], kind: KernelKind) -> impl Iterator<Item = &KernelRecord> {
    records.iter().filter(move |record| record.kind == kind as u8)
}

/// When a CPU had somebody who was not seen to leave it; those of process 1 last to the end where nobody else was seen after them.
pub fn holes(records: &[KernelRecord]) -> Vec<Stretch> {
    let mut has: HashMap<u16, &KernelRecord> = HashMap::new();
    let mut holes = Vec::new();
    for record in of_kind(records, KernelKind::Switch) {
        if let Some(came) = has.insert(record.cpu, record)
            && came.other_tid != record.tid
        {
            holes.push((came.time_ns, record.time_ns));
        }
    }
    let open = has.values().filter(|came| came.other_pid == 1);
    holes.extend(open.map(|came| (came.time_ns, u64::MAX)));
    holes
}

/// CPUs of which no waking is told that happened while they idled. Linux 6.18 was seen to make none there after the CPU had been offline; `perf record` has none either.
pub fn deaf_cpus(records: &[KernelRecord]) -> Vec<u16> {
    let cpus: HashSet<u16> = records.iter().map(|record| record.cpu).collect();
    let tells = |cpu: u16| {
        let of_idle = |record: &&KernelRecord| {
            record.cpu == cpu && record.kind == KernelKind::Waking as u8 && record.other_tid == 0
        };
        records.iter().any(|record| of_idle(&record))
    };
    let mut deaf: Vec<u16> = cpus.into_iter().filter(|&cpu| !tells(cpu)).collect();
    deaf.sort_unstable();
    deaf
}

/// Whether something of this stretch lies in one of the holes.
pub fn is_hidden(holes: &[Stretch], (from, to): Stretch) -> bool {
    holes.iter().any(|(begin, end)| *begin <= to && from <= *end)
}

/// When a thread was off its CPU without being runnable, to when it was seen on one again.
pub fn sleeps(records: &[KernelRecord], tid: u32) -> Vec<Stretch> {
    let mut asleep = None;
    let mut sleeps = Vec::new();
    for record in of_kind(records, KernelKind::Switch) {
        if record.other_tid == tid || record.tid == tid {
            sleeps.extend(asleep.take().map(|from| (from, record.time_ns)));
        }
        if record.tid == tid && record.value != 0 {
            asleep = Some(record.time_ns);
        }
    }
    sleeps
}

//! One CPU's ring: what is read of it, and what may be missing in it.

use super::books::{OnCpu, blank};
use super::counting::{Counting, Group, Reading};
use super::event::{Dated, NOBODY, parse};
use super::open::Opened;
use super::tracepoints::Tracepoints;
use crate::clock::monotonic_ns;
use perf_event::{Counter, Sampler};
use plumb_trace::record::KernelRecord;

/// Bytes of the largest record that our events make, and more.
const RECORD_BYTES_MAX: usize = 256;
/// What precedes each record, bytes.
const HEADER_BYTES: usize = 8;

/// A CPU, its ring and what writes into it.
pub(super) struct Cpu {
    pub number: u32,
    /// `None`: the CPU was not there.
    sampler: Option<Sampler>,
    tracepoints: Vec<Counter>,
    groups: Vec<Group>,
    /// Numbers of the groups, by which samples name them.
    ids: Vec<u64>,
    fill: Fill,
    /// Time of the last event that was read.
    last_ns: u64,
    pub here: OnCpu,
    counting: Counting,
    /// Something was lost before the next record.
    pub has_loss: bool,
    /// What happened here at the end is not recorded.
    is_blind: bool,
    /// It was so, also when that was told.
    was_blind: bool,
}

impl Cpu {
    pub fn new(number: u32, opened: Opened) -> Cpu {
        let Opened {
            sampler,
            ring_bytes,
            tracepoints,
            groups,
        } = opened;
        Cpu {
            number,
            sampler,
            tracepoints,
            ids: groups.iter().map(Group::id).collect(),
            counting: Counting::new(&groups),
            groups,
            fill: Fill::new(ring_bytes),
            last_ns: 0,
            here: OnCpu::default(),
            has_loss: false,
            is_blind: false,
            was_blind: false,
        }
    }

    /// Whether the CPU was there all the time, with its events.
    pub fn was_there(&self) -> bool {
        !self.was_blind
    }

    /// Its number and its ring, if it has one.
    pub fn ring(&self) -> Option<(u32, &Sampler)> {
        Some((self.number, self.sampler.as_ref()?))
    }

    /// Takes at most so many records out of the ring. Returns whether it is empty.
    pub fn read(&mut self, most: usize, tracepoints: &Tracepoints, mut each: impl FnMut(Dated)) -> bool {
        let Some(sampler) = &mut self.sampler else { return true };
        for _ in 0..most {
            let Some(record) = sampler.next_record() else {
                self.fill.is_emptied();
                return true;
            };
            self.fill.take(HEADER_BYTES + record.len());
            let bytes = record.to_contiguous();
            if let Some(dated) = parse(record.ty(), record.misc(), &bytes, tracepoints, &self.ids) {
                self.last_ns = dated.time_ns;
                each(dated);
            }
        }
        false
    }

    /// Time of the last event that was read, ns.
    pub fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// The records of what was counted in the slice of who is about to leave.
    pub fn counted(&mut self, who: (u32, u32), time_ns: u64, reading: &Reading) -> Vec<KernelRecord> {
        let running = self.here.running();
        let (pid, tid) = match who.1 {
            // Its ids are given back already.
            NOBODY => running.unwrap_or_default(),
            _ => who,
        };
        let is_whole = running.is_some_and(|(_, running)| running == tid);
        let Some(mut blank) = blank(self.number, time_ns) else {
            return Vec::new();
        };
        (blank.pid, blank.tid) = (pid, tid);
        let records = self.counting.records(reading, is_whole, blank);
        // Who idles needs no books.
        if tid == 0 { Vec::new() } else { records }
    }

    /// The records of what was not counted in the slice that ends with this switch: of groups that were not on the hardware then.
    pub fn uncounted(&mut self, switch: &KernelRecord) -> Vec<KernelRecord> {
        let Some(mut blank) = blank(self.number, switch.time_ns) else {
            return Vec::new();
        };
        (blank.pid, blank.tid) = (switch.pid, switch.tid);
        let records = self.counting.switch(blank);
        if switch.tid == 0 { Vec::new() } else { records }
    }

    /// What happened here is not known any more.
    pub fn forget(&mut self) {
        self.has_loss = true;
        self.here.forget();
        self.counting.forget();
    }

    /// Nothing more is recorded. `since_ns`: when the events of the CPU were opened, where they are those of everybody.
    pub fn stop(&mut self, since_ns: Option<u64>, is_online: bool) {
        self.tracepoints.clear();
        self.is_blind = is_online
            && match (&mut self.sampler, since_ns) {
                (Some(sampler), Some(since_ns)) => is_blind(sampler, since_ns),
                (Some(_), None) => false,
                (None, _) => true,
            };
        self.was_blind = self.is_blind;
        if let Some(sampler) = &mut self.sampler {
            let _ = sampler.disable();
        }
        // Last: a switch that is told without what was counted would be one of which that is not known.
        self.groups.iter_mut().for_each(Group::stop);
    }

    /// When all is read: whether there is a loss that no record has told, or has followed.
    pub fn take_loss(&mut self) -> bool {
        let was_full = std::mem::take(&mut self.fill.was_full);
        std::mem::take(&mut self.has_loss) || was_full || std::mem::take(&mut self.is_blind)
    }
}

/// Whether the CPU was gone for a while: the kernel ends a CPU's events when it goes, and they do not come back with it.
fn is_blind(sampler: &mut Sampler, since_ns: u64) -> bool {
    let Ok(times) = sampler.read_count_and_time() else {
        return false;
    };
    let elapsed = monotonic_ns().saturating_sub(since_ns);
    // Its clock is not the one that is set right by a time server.
    times.time_enabled + 10_000_000 + elapsed / 1000 < elapsed
}

/// Whether a ring was full when it was read last. What was lost then the kernel tells before the next record; where none comes any more, it does not.
#[derive(Debug)]
struct Fill {
    bytes: usize,
    taken: usize,
    was_full: bool,
}

impl Fill {
    fn new(bytes: usize) -> Fill {
        Fill {
            bytes,
            taken: 0,
            was_full: false,
        }
    }

    fn take(&mut self, bytes: usize) {
        let is_next = self.taken == 0;
        self.taken = self.taken.saturating_add(bytes);
        self.was_full &= !is_next;
        self.was_full |= self.taken.saturating_add(RECORD_BYTES_MAX) > self.bytes;
    }

    fn is_emptied(&mut self) {
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_may_have_lost_something_until_the_next_record_says() {
        let mut fill = Fill::new(4096);
        (0..40).for_each(|_| fill.take(100));
        assert!(fill.was_full);
        fill.is_emptied();
        assert!(fill.was_full, "nothing has come since");
        fill.take(100);
        assert!(!fill.was_full, "it would have told a loss first");
        (0..38).for_each(|_| fill.take(100));
        fill.is_emptied();
        fill.is_emptied();
        assert!(fill.was_full);
    }
}

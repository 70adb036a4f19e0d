//! The reader's side of the kernel's rings. Layout and protocol: `bpf/ring.h`.

use crate::parcel::{Item, Kind, Parcel, Source};
use crate::shared_memory::SharedMemory;
use plumb_trace::record::KERNEL_RECORD_BYTES;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

/// Bytes of a `struct ring_head`, and where its fields lie.
pub(crate) const HEAD_BYTES: usize = 128;
const LOST_AT: usize = 8;
const UNTAKEN_AT: usize = 16;
const TAIL_AT: usize = 64;
/// Where a record's commit word lies.
const COMMIT_AT: usize = 8;
/// Where in a record the writers' lap lies.
const LAP_AT: usize = COMMIT_AT + 2;

/// All CPUs' rings.
pub(crate) struct Rings {
    heads: SharedMemory,
    records: SharedMemory,
    rings: Vec<Ring>,
}

/// One CPU's ring, as far as the reader has come.
struct Ring {
    cpu: u32,
    /// Records that it holds, a power of two.
    size: u64,
    tail: u64,
    lost: u64,
    /// Losses that were noticed and lie before the record with this count, in order.
    losses: VecDeque<(u64, u64)>,
}

/// What the rings have seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingTotals {
    /// Records that the programs put into rings.
    pub written: u64,
    /// Records that the reader took out.
    pub read: u64,
    /// Records that found no place.
    pub lost: u64,
    /// Stacks that were not taken, because there were too many.
    pub untaken: u64,
}

impl Rings {
    /// How many records the ring of a CPU holds.
    pub fn records_of_a_cpu(&self) -> u64 {
        self.rings.first().map_or(0, |ring| ring.size)
    }

    /// Maps the rings of `cpus` CPUs with 2^`bits` records each.
    pub fn map(heads: impl AsFd, records: impl AsFd, cpus: u32, bits: u32) -> std::io::Result<Rings> {
        let size = 1u64 << bits;
        let page = 4096;
        let heads = SharedMemory::map(heads, (cpus as usize * HEAD_BYTES).next_multiple_of(page))?;
        let bytes = cpus as usize * (size as usize) * KERNEL_RECORD_BYTES;
        let records = SharedMemory::map(records, bytes.next_multiple_of(page))?;
        let rings = (0..cpus)
            .map(|cpu| Ring {
                cpu,
                size,
                tail: 0,
                lost: 0,
                losses: VecDeque::new(),
            })
            .collect();
        Ok(Rings { heads, records, rings })
    }

    /// Moves what has come into the parcel, CPU by CPU, as far as it fits. Returns the number of records.
    pub fn drain(&mut self, parcel: &mut Parcel) -> u64 {
        self.rings
            .iter_mut()
            .map(|ring| ring.drain(&self.heads, &self.records, parcel))
            .sum()
    }

    /// Puts losses that no record has followed into the parcel: to be called at the end, when the programs are detached and everything is drained.
    pub fn drain_losses(&mut self, parcel: &mut Parcel) {
        for ring in &mut self.rings {
            ring.note_losses(&self.heads, ring.tail);
            let lost = ring.losses.drain(..).map(|(_, lost)| lost).sum();
            if lost > 0 {
                parcel.close_item(
                    parcel.bytes.len(),
                    Item::new(Source::Cpu(ring.cpu), Kind::Records, 0, 0, lost),
                );
            }
        }
    }

    /// Whether every written record was read.
    pub fn is_empty(&self) -> bool {
        self.rings.iter().all(|ring| ring.head(&self.heads) == ring.tail)
    }

    /// Number of CPUs that have a ring.
    pub fn len(&self) -> usize {
        self.rings.len()
    }

    pub fn totals(&self) -> RingTotals {
        self.rings.iter().fold(RingTotals::default(), |sum, ring| RingTotals {
            written: sum.written + ring.head(&self.heads),
            read: sum.read + ring.tail,
            lost: sum.lost + ring.field(&self.heads, LOST_AT, Ordering::Relaxed),
            untaken: sum.untaken + ring.field(&self.heads, UNTAKEN_AT, Ordering::Relaxed),
        })
    }
}

impl Ring {
    fn field(&self, heads: &SharedMemory, at: usize, order: Ordering) -> u64 {
        heads
            .u64_at(self.cpu as usize * HEAD_BYTES + at)
            .map_or(0, |field| field.load(order))
    }

    fn head(&self, heads: &SharedMemory) -> u64 {
        self.field(heads, 0, Ordering::Acquire)
    }

    fn place(&self, count: u64) -> usize {
        let index = u64::from(self.cpu) * self.size + (count & (self.size - 1));
        index as usize * KERNEL_RECORD_BYTES
    }

    fn drain(&mut self, heads: &SharedMemory, records: &SharedMemory, parcel: &mut Parcel) -> u64 {
        let head = self.head(heads);
        let from = self.tail;
        loop {
            let lost_before = self.take_losses();
            let end = self.losses.front().map_or(head, |&(position, _)| position.min(head));
            let run = self.run(records, end, parcel.space());
            if run == 0 {
                // Not sent without a record: it goes before the next one.
                if lost_before > 0 {
                    self.losses.push_front((self.tail, lost_before));
                }
                break;
            }
            let start = parcel.bytes.len();
            if !records.copy_out(
                self.place(self.tail),
                run as usize * KERNEL_RECORD_BYTES,
                &mut parcel.bytes,
            ) {
                break;
            }
            self.name_cpu(&mut parcel.bytes[start..]);
            parcel.close_item(
                start,
                Item::new(Source::Cpu(self.cpu), Kind::Records, 0, 0, lost_before),
            );
            self.tail += run;
        }
        if let Some(tail) = heads.u64_at(self.cpu as usize * HEAD_BYTES + TAIL_AT) {
            tail.store(self.tail, Ordering::Release);
        }
        self.note_losses(heads, from);
        self.tail - from
    }

    /// Committed records from `tail` on that lie side by side, end before `end` and fit into `space` bytes.
    fn run(&self, records: &SharedMemory, end: u64, space: usize) -> u64 {
        let to_wrap = self.size - (self.tail & (self.size - 1));
        let most = (end - self.tail).min(to_wrap).min((space / KERNEL_RECORD_BYTES) as u64);
        // They all lie before the ring's end: one lap.
        let lap = (self.tail / self.size + 1) as u16;
        let committed = |count: &u64| {
            records
                .u64_at(self.place(*count) + COMMIT_AT)
                .is_some_and(|word| (word.load(Ordering::Acquire) >> 16) as u16 == lap)
        };
        (self.tail..self.tail + most).take_while(committed).count() as u64
    }

    /// Puts the CPU where drained records have their lap.
    fn name_cpu(&self, drained: &mut [u8]) {
        let cpu = (self.cpu as u16).to_le_bytes();
        for record in drained.chunks_exact_mut(KERNEL_RECORD_BYTES) {
            record[LAP_AT..LAP_AT + cpu.len()].copy_from_slice(&cpu);
        }
    }

    /// Losses that lie directly before the record at `tail`.
    fn take_losses(&mut self) -> u64 {
        let mut lost = 0;
        while let Some(&(position, more)) = self.losses.front()
            && position <= self.tail
        {
            lost += more;
            self.losses.pop_front();
        }
        lost
    }

    /// A ring loses only while it is full, that is, when as many records as it holds lie behind the tail that its writers saw. That was `tail_before` until a moment ago:
    /// a loss noticed now lies before the record with the count `tail_before + size`.
    fn note_losses(&mut self, heads: &SharedMemory, tail_before: u64) {
        let lost = self.field(heads, LOST_AT, Ordering::Acquire);
        let more = lost.wrapping_sub(self.lost);
        if more > 0 {
            self.lost = lost;
            let position = tail_before + self.size;
            match self.losses.back_mut() {
                Some((last, count)) if *last == position => *count += more,
                _ => self.losses.push_back((position, more)),
            }
        }
    }
}

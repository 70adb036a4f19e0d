//! What comes out of parcels: records of CPUs and of JVMs, on their way into streams.

use super::stream::Stream;
use super::{RECORDS, Writer, count, time_of};
use crate::clock;
use crate::parcel::{Item, Kind, Parcel, Source};
use plumb_trace::record::{JVM_RECORD_BYTES, JvmRecord, KERNEL_RECORD_BYTES, KernelKind, KernelRecord};
use plumb_trace::recording::{Payload, SegmentHeader};
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Writer {
    pub(super) fn unpack(&mut self, mut parcel: Parcel, now: Instant) {
        // Drained, not taken: the drain thread, which does not allocate, gets the list back with its room.
        for item in parcel.items.drain(..) {
            let bytes = parcel.bytes.get(item.bytes.clone()).unwrap_or_default();
            match item.source {
                Source::Cpu(cpu) => self.kernel_records(cpu, &item, bytes, now),
                Source::Jvm(number) => self.jvm_item(number, &item, bytes, now),
            }
        }
        parcel.clear();
        // The drain thread may have ended before: then nobody needs the parcel.
        let _ = self.free.send(parcel);
    }

    fn kernel_records(&mut self, cpu: u32, item: &Item, bytes: &[u8], now: Instant) {
        let cpu = cpu as usize;
        let (Some((file, stream)), Some(chain)) = (self.cpus.get_mut(cpu), self.chains.get_mut(cpu)) else {
            return;
        };
        if item.lost_before > 0 {
            chain.tear();
            if let Some(stacks) = &mut self.stacks {
                stacks.tear(cpu);
            }
            let flushed = stream.flush(file, clock::monotonic_ns());
            count(
                &self.live,
                flushed,
                &self.live.kernel_stored,
                &self.live.kernel_unwritten,
            );
            stream.lose(item.lost_before, now);
        }
        // Records that became definitions: they are kept as these.
        let mut parts = 0;
        if let Payload::Kernel(records) = &mut stream.payload {
            for record in bytes.as_chunks::<KERNEL_RECORD_BYTES>().0 {
                let record = KernelRecord::from_bytes(record);
                if let Some(stacks) = &mut self.stacks
                    && stacks.see(cpu, &record)
                {
                    parts += 1;
                    continue;
                }
                if is_of_a_life(&record) {
                    self.newcomers.see(&record);
                    self.affinities.see(&record);
                }
                if let Some(named) = &mut self.named {
                    named.see(&record);
                }
                if let Some(flying) = &mut self.flying {
                    flying.watcher.see(&record);
                }
                chain.see(&record, &mut self.missing);
                stream.is_mixed |= records.last().is_some_and(|last| last.time_ns > record.time_ns);
                records.push(record);
            }
        }
        self.live.kernel_stored.fetch_add(parts, Ordering::Relaxed);
        stream.touched(now);
        self.pending += bytes.len();
        if stream.payload.len() >= RECORDS {
            self.pending = self.pending.saturating_sub(stream.weight());
            let flushed = stream.flush(file, clock::monotonic_ns());
            count(
                &self.live,
                flushed,
                &self.live.kernel_stored,
                &self.live.kernel_unwritten,
            );
        }
        for dated in self.newcomers.describe(now) {
            self.define(dated, now);
        }
    }

    fn jvm_item(&mut self, number: usize, item: &Item, bytes: &[u8], now: Instant) {
        let Some(jvm) = self.jvms.get_mut(number) else { return };
        if item.kind == Kind::Definition {
            let watcher = self.flying.as_mut().map(|flying| (number, &mut flying.watcher));
            jvm.definition(bytes, self.named.as_mut(), watcher, &self.live, now);
            if self.cpus.is_empty()
                && let Some(thread) = jvm.thread_outside(bytes)
            {
                self.define(thread, now);
            }
            return;
        }
        let header = SegmentHeader::new(jvm.clock, item.stream);
        let stream = jvm
            .streams
            .entry(item.stream)
            .or_insert_with(|| Stream::new(header, Payload::Jvm(Vec::new())));
        stream.set_tid(item.tid);
        let time = time_of(jvm.clock);
        let mut flush = |stream: &mut Stream| {
            self.pending = self.pending.saturating_sub(stream.weight());
            let flushed = stream.flush(&mut jvm.file, time);
            count(&self.live, flushed, &self.live.jvm_stored, &self.live.jvm_unwritten);
        };
        if item.lost_before > 0 {
            flush(stream);
            stream.lose(item.lost_before, now);
            // What has begun may have ended unseen.
            if let Some(flying) = &mut self.flying {
                flying.watcher.end_stream(number, item.stream);
            }
        }
        if let Payload::Jvm(records) = &mut stream.payload {
            let chunks = bytes.as_chunks::<JVM_RECORD_BYTES>().0;
            let new = records.len();
            records.extend(chunks.iter().map(JvmRecord::from_bytes));
            if let Some(flying) = &mut self.flying {
                let watcher = &mut flying.watcher;
                watcher.see_jvm(number, item.stream, item.tid, jvm.clock, &records[new..]);
                if item.kind == Kind::End {
                    watcher.end_stream(number, item.stream);
                }
            }
        }
        stream.touched(now);
        if stream.payload.len() >= RECORDS || item.kind == Kind::End {
            flush(stream);
        }
        self.pending += bytes.len();
        if item.kind == Kind::End && !stream.has_loss() {
            jvm.streams.remove(&item.stream);
        }
    }
}

/// Whether it tells who is there: nearly all records do not.
fn is_of_a_life(record: &KernelRecord) -> bool {
    (KernelKind::Fork as u8..=KernelKind::Rename as u8).contains(&record.kind)
}

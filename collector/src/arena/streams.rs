//! The chunks of an arena, put in order as streams.

use super::{ArenaTotals, Pass};
use crate::parcel::{Item, Kind, Parcel, Source};
use crate::shared_memory::SharedMemory;
use plumb_trace::arena::{
    CHUNK_BYTES, CHUNK_FREE, CHUNK_FULL, CHUNK_HEADER_BYTES, CHUNK_OWNED, CHUNK_RECORDS, CHUNKS_AT, ChunkHeader,
    SLOT_COUNT, SLOT_ENDED, SLOT_FREE, SLOT_OWNED, SLOTS_AT, STATES_AT, Slot,
};
use plumb_trace::record::JVM_RECORD_BYTES;
use plumb_trace::recording::segment::LOST_UNKNOWN;
use std::collections::HashMap;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

/// Streams that a JVM may have at a time: every slot's, and as many that are about to end.
const STREAMS_MAX: usize = 2 * SLOT_COUNT;
/// Thorough passes that a missing chunk is waited for. It is there in the next one unless the arena is damaged: an earlier chunk is always full before a later one is taken.
const GAP_PASSES: u32 = 3;

/// A stream, as far as the reader has come.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    next_sequence: u32,
    /// Its losses that were told already.
    lost: u64,
    /// Passes that have waited for `next_sequence` while a later one was there.
    waited: u32,
}

/// A chunk that holds something.
#[derive(Clone, Copy, Debug)]
struct Found {
    stream: u32,
    sequence: u32,
    chunk: usize,
    head: u32,
    tid: u32,
    lost_before: u64,
    full: bool,
}

/// A slot whose thread has ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    slot: usize,
    stream: u32,
    tid: u32,
    lost: u64,
    state: u32,
}

/// All streams of an arena.
#[derive(Debug)]
pub(super) struct Streams {
    source: Source,
    /// Records read of each chunk since it was last taken.
    read: Vec<u32>,
    streams: HashMap<u32, Stream>,
    found: Vec<Found>,
    ended: Vec<Ended>,
    pub damage: Option<&'static str>,
}

impl Streams {
    pub fn new(source: Source, chunks: usize) -> Streams {
        Streams {
            source,
            read: vec![0; chunks],
            streams: HashMap::new(),
            found: Vec::with_capacity(chunks),
            ended: Vec::new(),
            damage: None,
        }
    }

    /// Moves records into the parcel, stream by stream. Returns whether all fitted.
    pub fn drain(&mut self, memory: &SharedMemory, parcel: &mut Parcel, pass: Pass, totals: &mut ArenaTotals) -> bool {
        self.ended.clear();
        if pass != Pass::Quick {
            // Before the chunks: the last chunk of a thread that is seen to have ended is then seen to be full.
            self.find_slots(memory, pass);
        }
        self.find_chunks(memory, pass);
        self.found.sort_unstable_by_key(|found| (found.stream, found.sequence));
        let mut whole = true;
        for index in 0..self.found.len() {
            // A stream's next chunk must not overtake one that did not fit: the parcel is full, the rest comes with the next.
            if !self.take(memory, self.found[index], parcel, pass, totals) {
                whole = false;
                break;
            }
        }
        whole && self.end_streams(memory, parcel, totals)
    }

    fn find_slots(&mut self, memory: &SharedMemory, pass: Pass) {
        for slot in 0..SLOT_COUNT {
            let at = SLOTS_AT + slot * size_of::<Slot>();
            let state = load_u32(memory, at + offset_of!(Slot, state));
            if state == SLOT_ENDED || (state == SLOT_OWNED && pass == Pass::Last) {
                self.ended.push(Ended {
                    slot,
                    stream: load_u32(memory, at + offset_of!(Slot, stream)),
                    tid: load_u32(memory, at + offset_of!(Slot, tid)),
                    lost: load_u64(memory, at + offset_of!(Slot, lost)),
                    state,
                });
            }
        }
    }

    /// Eight states at a time: nearly all are FREE.
    fn find_chunks(&mut self, memory: &SharedMemory, pass: Pass) {
        self.found.clear();
        for first in (0..self.read.len()).step_by(8) {
            if load_u64(memory, STATES_AT + first) == 0 {
                continue;
            }
            for chunk in first..(first + 8).min(self.read.len()) {
                match memory
                    .u8_at(STATES_AT + chunk)
                    .map(|state| state.load(Ordering::Acquire))
                {
                    Some(CHUNK_FULL) => self.find_chunk(memory, chunk, true),
                    Some(CHUNK_OWNED) if pass != Pass::Quick => self.find_chunk(memory, chunk, false),
                    _ => {}
                }
            }
        }
    }

    fn find_chunk(&mut self, memory: &SharedMemory, chunk: usize, full: bool) {
        let at = chunk_at(chunk);
        let head = load_u32(memory, at + offset_of!(ChunkHeader, head));
        if head == 0 && !full {
            // Just taken: the rest of its header may still be the last owner's.
            return;
        }
        if head as usize > CHUNK_RECORDS || head < self.read[chunk] {
            self.damage = Some("a chunk's head is out of range");
            self.free(memory, chunk);
            return;
        }
        self.found.push(Found {
            stream: load_u32(memory, at + offset_of!(ChunkHeader, stream)),
            sequence: load_u32(memory, at + offset_of!(ChunkHeader, sequence)),
            chunk,
            head,
            tid: load_u32(memory, at + offset_of!(ChunkHeader, tid)),
            lost_before: load_u64(memory, at + offset_of!(ChunkHeader, lost_before)),
            full,
        });
    }

    /// Moves what a chunk holds into the parcel, and frees it if it is full. Returns whether it fitted.
    fn take(
        &mut self,
        memory: &SharedMemory,
        found: Found,
        parcel: &mut Parcel,
        pass: Pass,
        totals: &mut ArenaTotals,
    ) -> bool {
        if self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(&found.stream) {
            self.damage = Some("it has more streams than threads");
            self.free(memory, found.chunk);
            return true;
        }
        let mut stream = self.streams.get(&found.stream).copied().unwrap_or_default();
        if found.sequence < stream.next_sequence {
            self.damage = Some("a chunk came twice");
            self.free(memory, found.chunk);
            return true;
        }
        let mut lost = 0;
        if found.sequence > stream.next_sequence {
            if pass != Pass::Last && stream.waited < GAP_PASSES {
                stream.waited += u32::from(pass == Pass::Thorough);
                self.streams.insert(found.stream, stream);
                return true;
            }
            self.damage = Some("a chunk is missing");
            lost = LOST_UNKNOWN;
            stream.next_sequence = found.sequence;
        }
        stream.waited = 0;
        lost = lost.saturating_add(found.lost_before.saturating_sub(stream.lost));
        let whole = self.copy(memory, found, lost, &mut stream, parcel, totals);
        if whole && found.full {
            stream.next_sequence = stream.next_sequence.wrapping_add(1);
            self.free(memory, found.chunk);
        }
        self.streams.insert(found.stream, stream);
        whole
    }

    fn copy(
        &mut self,
        memory: &SharedMemory,
        found: Found,
        lost: u64,
        stream: &mut Stream,
        parcel: &mut Parcel,
        totals: &mut ArenaTotals,
    ) -> bool {
        let read = self.read[found.chunk];
        let count = (found.head - read).min((parcel.space() / JVM_RECORD_BYTES) as u32);
        if count > 0 {
            let start = parcel.bytes.len();
            let at = chunk_at(found.chunk) + CHUNK_HEADER_BYTES + read as usize * JVM_RECORD_BYTES;
            memory.copy_out(at, count as usize * JVM_RECORD_BYTES, &mut parcel.bytes);
            parcel.close_item(
                start,
                Item::new(self.source, Kind::Records, found.stream, found.tid, lost),
            );
            self.read[found.chunk] = read + count;
            totals.read += u64::from(count);
            if lost != LOST_UNKNOWN {
                totals.lost = totals.lost.saturating_add(lost);
            }
            stream.lost = stream.lost.max(found.lost_before);
        }
        read + count == found.head
    }

    /// Gives a chunk back. Its head is zeroed first, so that the next owner's chunk never shows this one's records.
    fn free(&mut self, memory: &SharedMemory, chunk: usize) {
        self.read[chunk] = 0;
        if let Some(head) = memory.u32_at(chunk_at(chunk) + offset_of!(ChunkHeader, head)) {
            head.store(0, Ordering::Relaxed);
        }
        if let Some(state) = memory.u8_at(STATES_AT + chunk) {
            state.store(CHUNK_FREE, Ordering::Release);
        }
    }

    /// Tells the last losses of streams whose threads have ended, and gives their slots back.
    fn end_streams(&mut self, memory: &SharedMemory, parcel: &mut Parcel, totals: &mut ArenaTotals) -> bool {
        for &Ended {
            slot,
            stream,
            tid,
            lost,
            state,
        } in &self.ended
        {
            // Two items at most; what does not fit is told in the next pass.
            if parcel.items_left() < 2 {
                return false;
            }
            let known = self.streams.get(&stream).copied().unwrap_or_default();
            if known.waited > 0 {
                continue;
            }
            let more = lost.saturating_sub(known.lost);
            if more > 0 {
                totals.lost = totals.lost.saturating_add(more);
                parcel.close_item(
                    parcel.bytes.len(),
                    Item::new(self.source, Kind::Records, stream, tid, more),
                );
            }
            if state == SLOT_ENDED {
                parcel.close_item(parcel.bytes.len(), Item::new(self.source, Kind::End, stream, tid, 0));
                self.streams.remove(&stream);
                if let Some(state) = memory.u32_at(SLOTS_AT + slot * size_of::<Slot>() + offset_of!(Slot, state)) {
                    state.store(SLOT_FREE, Ordering::Release);
                }
            } else {
                self.streams.entry(stream).or_default().lost = lost;
            }
        }
        self.ended.clear();
        true
    }
}

fn chunk_at(chunk: usize) -> usize {
    CHUNKS_AT + chunk * CHUNK_BYTES
}

fn load_u32(memory: &SharedMemory, at: usize) -> u32 {
    memory.u32_at(at).map_or(0, |field| field.load(Ordering::Acquire))
}

fn load_u64(memory: &SharedMemory, at: usize) -> u64 {
    memory.u64_at(at).map_or(0, |field| field.load(Ordering::Acquire))
}

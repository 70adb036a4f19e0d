//! A recorder as small as one can be: drains an arena into memory, by the protocol of `plumb_trace::arena`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use plumb_trace::arena::{self, ChunkHeader, Header, Slot};
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{JVM_RECORD_BYTES, JvmKind, JvmRecord};

/// One thread's records.
#[derive(Default, Debug)]
pub struct Stream {
    pub tid: u32,
    /// Records of the chunks read, by their place in the stream.
    chunks: BTreeMap<u32, Vec<JvmRecord>>,
}

impl Stream {
    pub fn records(&self) -> impl Iterator<Item = &JvmRecord> {
        self.chunks.values().flatten()
    }
}

pub struct Recorder {
    base: *mut u8,
    bytes: usize,
    /// Records read of each chunk, and whose they were.
    read: Vec<(u32, u32, u32)>,
    pub streams: BTreeMap<u32, Stream>,
    pub definitions: Vec<Dated>,
}

impl Recorder {
    pub fn new(arena: OwnedFd) -> Recorder {
        let file = File::from(arena);
        let bytes = file.metadata().expect("memfd").len() as usize;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of a sealed file.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        let read = vec![(u32::MAX, 0, 0); arena::chunk_count(bytes)];
        Recorder {
            base: base.cast(),
            bytes,
            read,
            streams: BTreeMap::new(),
            definitions: Vec::new(),
        }
    }

    /// # Panics
    /// If `T` would not lie in the arena.
    fn at<T>(&self, offset: usize) -> &T {
        assert!(offset + size_of::<T>() <= self.bytes);
        // SAFETY: within the mapping; what the JVM changes are atomics.
        unsafe { &*self.base.add(offset).cast() }
    }

    pub fn header(&self) -> &Header {
        self.at(0)
    }

    /// Reads all there is; with `free`, gives chunks back that are full.
    pub fn drain(&mut self, free: bool) {
        for index in 0..self.read.len() {
            let state: AtomicU8 = AtomicU8::new(self.at::<AtomicU8>(arena::STATES_AT + index).load(Ordering::Acquire));
            let state = state.into_inner();
            if state == arena::CHUNK_OWNED || state == arena::CHUNK_FULL {
                self.drain_chunk(index);
            }
            if free && state == arena::CHUNK_FULL {
                self.read[index] = (u32::MAX, 0, 0);
                self.at::<AtomicU8>(arena::STATES_AT + index)
                    .store(arena::CHUNK_FREE, Ordering::Release);
            }
        }
        self.drain_definitions();
    }

    fn drain_chunk(&mut self, index: usize) {
        let at = arena::CHUNKS_AT + index * arena::CHUNK_BYTES;
        let header: &ChunkHeader = self.at(at);
        let head = header.head.load(Ordering::Acquire);
        let load = |field: &AtomicU32| field.load(Ordering::Relaxed);
        let (stream, sequence, tid) = (load(&header.stream), load(&header.sequence), load(&header.tid));
        assert!(head as usize <= arena::CHUNK_RECORDS);
        let (seen_stream, seen_sequence, mut read) = self.read[index];
        let is_new = (seen_stream, seen_sequence) != (stream, sequence);
        if is_new {
            read = 0;
        }
        let records: Vec<JvmRecord> = (read..head)
            .map(|record| {
                let bytes: &[u8; JVM_RECORD_BYTES] =
                    self.at(at + arena::CHUNK_HEADER_BYTES + record as usize * JVM_RECORD_BYTES);
                JvmRecord::from_bytes(bytes)
            })
            .collect();
        self.read[index] = (stream, sequence, head);
        let target = self.streams.entry(stream).or_default();
        target.tid = tid;
        target.chunks.entry(sequence).or_default().extend(records);
    }

    fn drain_definitions(&mut self) {
        let (head, mut tail) = {
            let header = self.header();
            (
                header.definitions_head.load(Ordering::Acquire),
                header.definitions_tail.load(Ordering::Relaxed),
            )
        };
        while tail < head {
            let length: Vec<u8> = (0..4).map(|index| self.definition_byte(tail + index)).collect();
            let length = u64::from(u32::from_le_bytes(length.try_into().expect("four bytes")));
            assert!(length <= arena::DEFINITION_MAX as u64);
            let bytes: Vec<u8> = (0..length)
                .map(|index| self.definition_byte(tail + 4 + index))
                .collect();
            let definition = Dated::decode(&bytes).expect("well-formed").expect("of a known kind");
            self.definitions.push(definition);
            tail += (4 + length).next_multiple_of(4);
        }
        assert_eq!(tail, head);
        self.header().definitions_tail.store(tail, Ordering::Release);
    }

    fn definition_byte(&self, count: u64) -> u8 {
        *self.at(arena::DEFINITIONS_AT + count as usize % arena::DEFINITIONS_BYTES)
    }

    /// Records that threads dropped.
    pub fn lost(&self) -> u64 {
        let lost = |index: usize| {
            let slot: &Slot = self.at(arena::SLOTS_AT + index * size_of::<Slot>());
            slot.lost.load(Ordering::Relaxed)
        };
        let unslotted: &AtomicU64 = &self.header().lost_unslotted;
        (0..arena::SLOT_COUNT).map(lost).sum::<u64>() + unslotted.load(Ordering::Relaxed)
    }

    /// How many slots are in this state.
    pub fn slots_in(&self, state: u32) -> usize {
        let state_of = |index: usize| {
            let slot: &Slot = self.at(arena::SLOTS_AT + index * size_of::<Slot>());
            slot.state.load(Ordering::Acquire)
        };
        (0..arena::SLOT_COUNT).filter(|&index| state_of(index) == state).count()
    }

    /// All records of this kind.
    pub fn of_kind(&self, kind: JvmKind) -> Vec<JvmRecord> {
        let records = self.streams.values().flat_map(Stream::records);
        records.filter(|record| record.kind() == Some(kind)).copied().collect()
    }

    /// Records of this kind for the method `class.name`.
    pub fn count(&self, kind: JvmKind, method: &str) -> usize {
        let ids: Vec<u32> = self
            .definitions
            .iter()
            .filter_map(|dated| id_of(&dated.definition, method))
            .collect();
        self.of_kind(kind)
            .iter()
            .filter(|record| ids.contains(&record.value()))
            .count()
    }

    /// Records of calls of methods that have no definition.
    pub fn calls_of_nobody(&self) -> usize {
        let is_defined = |record: &&JvmRecord| {
            self.definitions
                .iter()
                .any(|dated| matches!(&dated.definition, Definition::Method { id, .. } if *id == record.value()))
        };
        let kinds = [JvmKind::Enter, JvmKind::Exit, JvmKind::Thrown];
        let of_nobody = |kind| self.of_kind(kind).iter().filter(|record| !is_defined(record)).count();
        kinds.into_iter().map(of_nobody).sum()
    }

    /// What was counted at each place, by what, class and method.
    pub fn counted(&self) -> BTreeMap<(&str, &str, &str), u64> {
        let mut sums = BTreeMap::new();
        for record in self.of_kind(JvmKind::Counted) {
            let place = self.definitions.iter().find_map(|dated| match &dated.definition {
                Definition::Place {
                    id,
                    what,
                    class,
                    method,
                    scale,
                    ..
                } if *id == record.value() => Some(((what.as_str(), class.as_str(), method.as_str()), *scale)),
                _ => None,
            });
            let (place, scale) = place.expect("a place that is defined");
            *sums.entry(place).or_default() += u64::from(record.detail()) * scale;
        }
        sums
    }

    /// The defined name of a class number.
    pub fn class_name(&self, number: u32) -> Option<&str> {
        self.definitions.iter().find_map(|dated| match &dated.definition {
            Definition::Class { id, name } if *id == number => Some(name.as_str()),
            _ => None,
        })
    }
}

fn id_of(definition: &Definition, method: &str) -> Option<u32> {
    match definition {
        Definition::Method { id, class, name, .. } if format!("{class}.{name}") == method => Some(*id),
        _ => None,
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // SAFETY: our mapping, of which no reference is left.
        unsafe { libc::munmap(self.base.cast(), self.bytes) };
    }
}

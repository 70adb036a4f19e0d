//! An arena filled by a writer of the test's own, honest and hostile.

use super::*;
use crate::parcel::Item;
use plumb_trace::arena::*;
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{JVM_RECORD_BYTES, JvmKind, JvmRecord};
use std::collections::HashMap;

const CHUNKS: usize = 64;
const BYTES: usize = CHUNKS_AT + CHUNKS * CHUNK_BYTES;

/// What an agent does, by the protocol's words.
struct Agent {
    memory: SharedMemory,
    sequence: HashMap<u32, u32>,
    definitions: u64,
}

fn memfd(bytes: usize, seals: i32) -> OwnedFd {
    #[expect(unsafe_code, reason = "memfd_create and fcntl have no safe wrapper here")]
    // SAFETY: the name is a string with its NUL; the descriptor is ours alone; F_ADD_SEALS takes a number.
    unsafe {
        let fd = libc::memfd_create(c"arena".as_ptr(), libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC);
        assert!(fd >= 0);
        let file = File::from_raw_fd(fd);
        file.set_len(bytes as u64).expect("a size");
        assert!(seals == 0 || libc::fcntl(fd, libc::F_ADD_SEALS, seals) == 0);
        file.into()
    }
}

fn this_jvm(arena: OwnedFd) -> JvmSource {
    let pid = std::process::id();
    JvmSource {
        pid,
        ns_pid: pid,
        start_ticks: proc::start_ticks(pid).expect("this process"),
        arena,
    }
}

impl Agent {
    fn new() -> (Agent, JvmSource) {
        let fd = memfd(BYTES, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW);
        let memory = SharedMemory::map(&fd, BYTES).expect("a mapping");
        let agent = Agent {
            memory,
            sequence: HashMap::new(),
            definitions: 0,
        };
        agent.put64(offset_of!(Header, magic), MAGIC);
        agent.put32(offset_of!(Header, version), VERSION);
        agent.put32(offset_of!(Header, clock), Clock::Tsc as u32);
        agent.put64(offset_of!(Header, bytes), BYTES as u64);
        (agent, this_jvm(fd))
    }

    fn put32(&self, at: usize, value: u32) {
        self.memory.u32_at(at).expect("a place").store(value, Ordering::Release);
    }

    fn put64(&self, at: usize, value: u64) {
        self.memory.u64_at(at).expect("a place").store(value, Ordering::Release);
    }

    fn state(&self, chunk: usize) -> u8 {
        self.memory
            .u8_at(STATES_AT + chunk)
            .expect("a place")
            .load(Ordering::Acquire)
    }

    fn set_state(&self, chunk: usize, state: u8) {
        self.memory
            .u8_at(STATES_AT + chunk)
            .expect("a place")
            .store(state, Ordering::Release);
    }

    fn take(&mut self, stream: u32, lost: u64) -> usize {
        let chunk = (0..CHUNKS)
            .find(|&chunk| self.state(chunk) == CHUNK_FREE)
            .expect("a free chunk");
        self.take_chunk(chunk, stream, lost);
        chunk
    }

    fn take_chunk(&mut self, chunk: usize, stream: u32, lost: u64) {
        self.set_state(chunk, CHUNK_OWNED);
        let at = CHUNKS_AT + chunk * CHUNK_BYTES;
        let sequence = self.sequence.entry(stream).or_default();
        let this = *sequence;
        *sequence += 1;
        self.put32(at + offset_of!(ChunkHeader, head), 0);
        self.put32(at + offset_of!(ChunkHeader, stream), stream);
        self.put32(at + offset_of!(ChunkHeader, tid), stream + 1000);
        self.put32(at + offset_of!(ChunkHeader, sequence), this);
        self.put64(at + offset_of!(ChunkHeader, lost_before), lost);
    }

    fn write(&self, chunk: usize, ticks: std::ops::Range<u64>) {
        let at = CHUNKS_AT + chunk * CHUNK_BYTES;
        let mut head = self.memory.u32_at(at).expect("a head").load(Ordering::Relaxed);
        for ticks in ticks {
            let record = JvmRecord::new(ticks, JvmKind::Enter, 0, 5);
            let place = at + CHUNK_HEADER_BYTES + head as usize * JVM_RECORD_BYTES;
            self.put64(place, record.ticks);
            self.put64(place + 8, record.word);
            head += 1;
            self.put32(at, head);
        }
    }

    fn slot(&self, slot: usize, state: u32, stream: u32, lost: u64) {
        let at = SLOTS_AT + slot * size_of::<Slot>();
        self.put32(at + offset_of!(Slot, stream), stream);
        self.put32(at + offset_of!(Slot, tid), stream + 1000);
        self.put64(at + offset_of!(Slot, lost), lost);
        self.put32(at + offset_of!(Slot, state), state);
    }

    fn slot_state(&self, slot: usize) -> u32 {
        self.memory
            .u32_at(SLOTS_AT + slot * size_of::<Slot>())
            .expect("a place")
            .load(Ordering::Acquire)
    }

    fn define(&mut self, id: u32) {
        let mut bytes = Vec::new();
        Dated {
            at: 1,
            definition: Definition::Class {
                id,
                name: format!("com.shop.Class{id}"),
            },
        }
        .encode(&mut bytes);
        self.define_bytes(&bytes, bytes.len() as u32);
    }

    fn define_bytes(&mut self, bytes: &[u8], length: u32) {
        let put = |count: u64, byte: u8| {
            let at = DEFINITIONS_AT + (count % DEFINITIONS_BYTES as u64) as usize;
            self.memory.u8_at(at).expect("a place").store(byte, Ordering::Relaxed);
        };
        for (index, &byte) in length.to_le_bytes().iter().chain(bytes).enumerate() {
            put(self.definitions + index as u64, byte);
        }
        self.definitions += (4 + bytes.len().next_multiple_of(4)) as u64;
        self.put64(offset_of!(Header, definitions_head), self.definitions);
    }
}

/// Everything that a pass gives: (stream, losses before, ticks) of each item with records or losses.
fn drain(arena: &mut Arena, pass: Pass) -> Vec<(u32, u64, Vec<u64>)> {
    let mut parcel = Parcel::new();
    assert!(arena.drain(&mut parcel, pass));
    items(&parcel, |item| item.kind == Kind::Records)
        .map(|(item, bytes)| {
            let ticks = bytes
                .as_chunks::<JVM_RECORD_BYTES>()
                .0
                .iter()
                .map(|record| JvmRecord::from_bytes(record).ticks);
            (item.stream, item.lost_before, ticks.collect())
        })
        .collect()
}

fn items<'a>(parcel: &'a Parcel, wanted: impl Fn(&Item) -> bool + 'a) -> impl Iterator<Item = (&'a Item, &'a [u8])> {
    parcel
        .items
        .iter()
        .filter(move |item| wanted(item))
        .map(|item| (item, &parcel.bytes[item.bytes.clone()]))
}

#[test]
fn a_chunk_is_read_in_parts_and_freed_once() {
    let (mut agent, jvm) = Agent::new();
    let mut arena = Arena::open(&jvm, 0).expect("an arena");
    let chunk = agent.take(3, 0);
    assert_eq!(drain(&mut arena, Pass::Thorough), []);
    agent.write(chunk, 10..12);
    assert_eq!(drain(&mut arena, Pass::Quick), [], "only full ones");
    assert_eq!(drain(&mut arena, Pass::Thorough), [(3, 0, vec![10, 11])]);
    agent.write(chunk, 12..13);
    assert_eq!(drain(&mut arena, Pass::Thorough), [(3, 0, vec![12])]);
    assert_eq!(agent.state(chunk), CHUNK_OWNED);
    agent.write(chunk, 13..14);
    agent.set_state(chunk, CHUNK_FULL);
    assert_eq!(drain(&mut arena, Pass::Quick), [(3, 0, vec![13])]);
    assert_eq!((agent.state(chunk), arena.damage()), (CHUNK_FREE, None));
    // The next owner's records are not mixed with the last one's.
    agent.take_chunk(chunk, 4, 0);
    assert_eq!(drain(&mut arena, Pass::Thorough), []);
    agent.write(chunk, 20..21);
    assert_eq!(drain(&mut arena, Pass::Last), [(4, 0, vec![20])]);
    assert_eq!(arena.totals.read, 5);
}

#[test]
fn chunks_come_in_the_order_of_their_stream_whatever_their_place() {
    let (mut agent, jvm) = Agent::new();
    let mut arena = Arena::open(&jvm, 0).expect("an arena");
    for (chunk, ticks) in [(9, 0..3), (2, 3..5), (5, 5..6)] {
        agent.take_chunk(chunk, 7, 0);
        agent.write(chunk, ticks);
        agent.set_state(chunk, CHUNK_FULL);
    }
    // The middle one is not visible yet: the last one waits for it.
    agent.set_state(2, CHUNK_FREE);
    assert_eq!(drain(&mut arena, Pass::Quick), [(7, 0, vec![0, 1, 2])]);
    agent.set_state(2, CHUNK_FULL);
    assert_eq!(drain(&mut arena, Pass::Quick), [(7, 0, vec![3, 4]), (7, 0, vec![5])]);
    assert_eq!(arena.damage(), None);
}

#[test]
fn losses_are_told_once_and_where_they_happened() {
    let (mut agent, jvm) = Agent::new();
    let mut arena = Arena::open(&jvm, 0).expect("an arena");
    agent.slot(6, SLOT_OWNED, 1, 0);
    for (ticks, lost) in [(0..2, 0), (2..4, 5), (4..6, 5), (6..8, 9)] {
        let chunk = agent.take(1, lost);
        agent.write(chunk, ticks);
        agent.set_state(chunk, CHUNK_FULL);
    }
    let told = [
        (1, 0, vec![0, 1]),
        (1, 5, vec![2, 3]),
        (1, 0, vec![4, 5]),
        (1, 4, vec![6, 7]),
    ];
    assert_eq!(drain(&mut arena, Pass::Quick), told);
    agent.slot(6, SLOT_ENDED, 1, 12);
    agent.put64(offset_of!(Header, lost_unslotted), 2);
    assert_eq!(drain(&mut arena, Pass::Thorough), [(1, 3, vec![]), (0, 2, vec![])]);
    assert_eq!((agent.slot_state(6), arena.totals.lost), (SLOT_FREE, 14));
    assert_eq!(drain(&mut arena, Pass::Last), []);
}

#[test]
fn what_a_dead_jvm_left_is_taken() {
    let (mut agent, mut jvm) = Agent::new();
    jvm.start_ticks += 1;
    let mut arena = Arena::open(&jvm, 0).expect("an arena");
    assert!(arena.has_ended(), "the pid is another's");
    agent.slot(0, SLOT_OWNED, 1, 4);
    let chunk = agent.take(1, 1);
    agent.write(chunk, 0..3);
    assert_eq!(drain(&mut arena, Pass::Last), [(1, 1, vec![0, 1, 2]), (1, 3, vec![])]);
    assert_eq!(drain(&mut arena, Pass::Last), [], "and only once");
}

#[test]
fn this_process_is_alive() {
    let (_agent, jvm) = Agent::new();
    let mut arena = Arena::open(&jvm, 0).expect("an arena");
    assert!(!arena.has_ended());
    // No descriptor was to be had: that says nothing of the JVM.
    arena.alive = None;
    assert!(!arena.has_ended());
    arena.start_ticks += 1;
    assert!(arena.has_ended(), "the pid is another's");
}

#[test]
fn definitions_wrap() {
    let (mut agent, jvm) = Agent::new();
    let mut arena = Arena::open(&jvm, 0).expect("an arena");
    let mut next = 0;
    let mut parcel = Parcel::new();
    // One and a half times round.
    while agent.definitions < DEFINITIONS_BYTES as u64 * 3 / 2 {
        let first = next;
        for id in first..first + 1000 {
            agent.define(id);
        }
        parcel.clear();
        assert!(arena.drain(&mut parcel, Pass::Quick));
        for (item, bytes) in items(&parcel, |_| true) {
            assert_eq!(item.kind, Kind::Definition);
            let dated = Dated::decode(bytes).expect("well formed").expect("known");
            assert!(
                matches!(dated.definition, Definition::Class { id, .. } if id == next),
                "{dated:?}"
            );
            next += 1;
        }
        assert_eq!(next, first + 1000);
    }
    assert_eq!(arena.damage(), None);
}

#[test]
fn a_full_parcel_is_continued_in_the_next() {
    // In the last pass, too, a chunk that did not fit must not be overtaken by its stream's next one.
    for pass in [Pass::Quick, Pass::Thorough, Pass::Last] {
        let (mut agent, jvm) = Agent::new();
        let mut arena = Arena::open(&jvm, 0).expect("an arena");
        let mut ticks = 0;
        for _ in 0..CHUNKS {
            let chunk = agent.take(1, 0);
            agent.write(chunk, ticks..ticks + CHUNK_RECORDS as u64);
            ticks += CHUNK_RECORDS as u64;
            agent.set_state(chunk, CHUNK_FULL);
        }
        let (mut parcel, mut seen) = (Parcel::new(), 0);
        loop {
            parcel.clear();
            // Only the end of the parcel is free.
            parcel
                .bytes
                .resize(parcel.bytes.capacity() - 1000 * JVM_RECORD_BYTES - 3, 0);
            let whole = arena.drain(&mut parcel, pass);
            for (item, bytes) in items(&parcel, |_| true) {
                assert_eq!(item.lost_before, 0);
                for record in bytes.as_chunks::<JVM_RECORD_BYTES>().0 {
                    assert_eq!(JvmRecord::from_bytes(record).ticks, seen);
                    seen += 1;
                }
            }
            if whole {
                break;
            }
        }
        assert_eq!((seen, arena.damage()), (ticks, None), "{pass:?}");
    }
}

#[test]
fn definitions_without_a_byte_do_not_make_a_parcel_grow() {
    let (agent, jvm) = Agent::new();
    let mut arena = Arena::open(&jvm, 0).expect("an arena");
    // The ring is all zero: a million frames of length 0.
    agent.put64(offset_of!(Header, definitions_head), DEFINITIONS_BYTES as u64);
    let mut parcel = Parcel::new();
    let room = parcel.items.capacity();
    assert!(!arena.drain(&mut parcel, Pass::Quick));
    assert_eq!((parcel.items.capacity(), parcel.items_left()), (room, 0));
}

#[test]
fn what_is_no_arena_is_refused() {
    let cause = |jvm: &JvmSource| Arena::open(jvm, 0).err().expect("a refusal").to_string();
    assert!(cause(&this_jvm(memfd(BYTES, 0))).contains("sealed"));
    assert!(cause(&this_jvm(memfd(4096, libc::F_SEAL_SHRINK))).contains("size"));
    assert!(cause(&this_jvm(memfd(BYTES, libc::F_SEAL_SHRINK))).contains("begin"));
    let file = File::open("/proc/self/exe").expect("a file");
    assert!(cause(&this_jvm(file.into())).contains("sealed"));
    let (agent, jvm) = Agent::new();
    agent.put32(offset_of!(Header, version), 99);
    assert!(cause(&jvm).contains("version 99"));
    agent.put32(offset_of!(Header, version), VERSION);
    agent.put64(offset_of!(Header, bytes), u64::MAX);
    assert!(cause(&jvm).contains("size"));
    agent.put64(offset_of!(Header, bytes), BYTES as u64);
    agent.put32(offset_of!(Header, clock), 7);
    assert!(cause(&jvm).contains("clock"));
}

#[test]
fn hostile_chunks_are_dropped_and_the_rest_goes_on() {
    let (mut agent, jvm) = Agent::new();
    let mut arena = Arena::open(&jvm, 0).expect("an arena");
    let bad = agent.take(1, 0);
    agent.put32(CHUNKS_AT + bad * CHUNK_BYTES, u32::MAX);
    agent.set_state(bad, CHUNK_FULL);
    let good = agent.take(2, u64::MAX);
    agent.write(good, 0..1);
    agent.set_state(good, CHUNK_FULL);
    // A sequence that leaps, one that comes again, and states that mean nothing.
    let leap = agent.take(3, 0);
    agent.put32(CHUNKS_AT + leap * CHUNK_BYTES + offset_of!(ChunkHeader, sequence), 77);
    agent.write(leap, 1..2);
    agent.set_state(leap, CHUNK_FULL);
    agent.set_state(40, 0xff);
    let told = drain(&mut arena, Pass::Last);
    assert_eq!(told, [(2, u64::MAX, vec![0]), (3, u64::MAX, vec![1])]);
    assert!(arena.damage().is_some());
    let again = agent.take(3, 0);
    agent.write(again, 5..6);
    agent.set_state(again, CHUNK_FULL);
    assert_eq!(drain(&mut arena, Pass::Last), []);
    assert_eq!(agent.state(again), CHUNK_FREE, "a chunk that comes twice is not kept");
}

#[test]
fn hostile_definitions_end_the_definitions_only() {
    for (head, length) in [(Some(u64::MAX), 4), (Some(3), 4), (None, u32::MAX), (None, 4096)] {
        let (mut agent, jvm) = Agent::new();
        let mut arena = Arena::open(&jvm, 0).expect("an arena");
        agent.define_bytes(&[1, 2, 3, 4], length);
        if let Some(head) = head {
            agent.put64(offset_of!(Header, definitions_head), head);
        }
        let chunk = agent.take(1, 0);
        agent.write(chunk, 0..1);
        assert_eq!(drain(&mut arena, Pass::Last), [(1, 0, vec![0])]);
        assert!(arena.damage().is_some());
    }
}

#[test]
fn random_memory_never_panics_and_never_grows() {
    // A small generator, so that a failure can be repeated.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..20 {
        let (agent, jvm) = Agent::new();
        let mut arena = Arena::open(&jvm, 0).expect("an arena");
        for _ in 0..4000 {
            let value = random();
            match random() % 4 {
                0 => agent.set_state((random() % CHUNKS as u64) as usize, (value % 4) as u8),
                1 => agent.put32(
                    CHUNKS_AT + (random() % CHUNKS as u64) as usize * CHUNK_BYTES + (value % 8) as usize * 4,
                    random() as u32 % 600,
                ),
                2 => agent.put32(SLOTS_AT + (random() % 4096) as usize * 4, value as u32 % 4),
                _ => agent.put64(offset_of!(Header, definitions_head), value % (8 << 20)),
            }
            if value % 50 == 0 {
                let mut parcel = Parcel::new();
                arena.drain(
                    &mut parcel,
                    [Pass::Quick, Pass::Thorough, Pass::Last][(value % 3) as usize],
                );
                assert!(parcel.bytes.len() <= crate::parcel::PARCEL_BYTES);
            }
        }
    }
}

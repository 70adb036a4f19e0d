//! The arena: one preallocated, sealed memfd per JVM, in which the rings of all its threads lie. The agent writes, the recorder drains.
//!
//! A thread's ring is a chain of chunks that it takes from a common pool, so that the bound is one figure for the JVM whatever its thread
//! count: a busy thread has many chunks on their way to the recorder, an idle one has one. Nobody waits for anybody: a thread that finds no free chunk
//! drops and counts.
//!
//! ```text
//! offset 0            Header                                             (one page)
//! STATES_AT           one byte of state for each chunk                    (so that a drain scans a few KiB, not the whole arena)
//! SLOTS_AT            SLOT_COUNT x Slot                                   (a thread's number, tid and losses)
//! DEFINITIONS_AT      DEFINITIONS_BYTES of framed definitions, a byte ring
//! CHUNKS_AT           chunks of CHUNK_BYTES each: ChunkHeader, then records
//! ```
//!
//! **Chunks.** A chunk's state byte goes FREE → TAKEN (agent, compare-and-swap; fills in [`ChunkHeader`]) → OWNED (agent, release store) → FULL (agent, release store, when its last record
//! is written, the thread ends, or the probes are disarmed) → FREE (recorder, after it read everything). The agent stores a record, then `head` with release; the recorder loads `head` with acquire and may read
//! records below it at any time, also from a chunk that is OWNED and from one whose JVM was killed. Only the recorder frees, only the agent takes.
//! A chunk is read partly many times: the recorder keeps how far it came in its own memory.
//!
//! **Losses.** `Slot::lost` counts the records its thread dropped so far; `ChunkHeader::lost_before` is that count when the chunk was taken. The difference between
//! two successive chunks of a stream is a loss between them; `Slot::lost` minus the last chunk's is the loss at the end. A thread without a slot counts in `Header::lost_unslotted`.
//!
//! **Definitions.** `definitions_head` and `definitions_tail` count bytes since the start; offset in the ring = count modulo its size. A frame is a u32 length,
//! then that many bytes (see [`crate::definition`]), padded to 4; a frame may wrap. The agent (one writer at a time, under its own lock) stores the frame, then the head with
//! release; the recorder reads, then stores the tail with release. A frame that does not fit is counted in `definitions_lost` and offered again by the agent later if it can.
//!
//! Neither side believes what it reads: indices and lengths are checked against the arena's size before use.

use std::sync::atomic::{AtomicU32, AtomicU64};

/// First eight bytes of an arena.
pub const MAGIC: u64 = u64::from_le_bytes(*b"PLMBARN1");
/// Version of the layout.
pub const VERSION: u32 = 1;
/// Default size of an arena, bytes.
pub const DEFAULT_BYTES: usize = 64 << 20;
/// Smallest size that is accepted, bytes.
pub const MIN_BYTES: usize = CHUNKS_AT + 16 * CHUNK_BYTES;
/// Largest size that is accepted, bytes.
pub const MAX_BYTES: usize = 1 << 30;
/// Bytes of a chunk.
pub const CHUNK_BYTES: usize = 8192;
/// Bytes of a chunk's header.
pub const CHUNK_HEADER_BYTES: usize = 64;
/// Records that fit into a chunk.
pub const CHUNK_RECORDS: usize = (CHUNK_BYTES - CHUNK_HEADER_BYTES) / crate::record::JVM_RECORD_BYTES;
/// Most chunks an arena can have.
pub const CHUNKS_MAX: usize = MAX_BYTES / CHUNK_BYTES;
/// Where the chunks' states begin.
pub const STATES_AT: usize = 4096;
/// Where the slots begin.
pub const SLOTS_AT: usize = STATES_AT + CHUNKS_MAX;
/// Number of slots: threads that can be recorded at one time.
pub const SLOT_COUNT: usize = 16384;
/// Where the definitions' ring begins.
pub const DEFINITIONS_AT: usize = SLOTS_AT + SLOT_COUNT * size_of::<Slot>();
/// Bytes of the definitions' ring, a power of two.
pub const DEFINITIONS_BYTES: usize = 4 << 20;
/// Largest definition, bytes.
pub const DEFINITION_MAX: usize = 64 << 10;
/// Where the chunks begin.
pub const CHUNKS_AT: usize = DEFINITIONS_AT + DEFINITIONS_BYTES;

/// Chunk state: nobody's.
pub const CHUNK_FREE: u8 = 0;
/// Chunk state: a thread writes into it.
pub const CHUNK_OWNED: u8 = 1;
/// Chunk state: its thread has left it; to be drained and freed.
pub const CHUNK_FULL: u8 = 2;
/// Chunk state: a thread has taken it and fills in its header, which means nothing yet.
pub const CHUNK_TAKEN: u8 = 3;

/// Slot state: nobody's.
pub const SLOT_FREE: u32 = 0;
/// Slot state: a live thread's.
pub const SLOT_OWNED: u32 = 1;
/// Slot state: its thread has ended or was disarmed; the recorder frees it when it has seen its last chunk and its losses.
pub const SLOT_ENDED: u32 = 2;
/// Slot state: a thread has taken it and fills it in.
pub const SLOT_TAKEN: u32 = 3;

/// How many chunks an arena of `bytes` has.
#[must_use]
pub const fn chunk_count(bytes: usize) -> usize {
    bytes.saturating_sub(CHUNKS_AT) / CHUNK_BYTES
}

/// The clock of the ticks in an arena's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Clock {
    /// CLOCK_MONOTONIC, ns.
    Monotonic = 0,
    /// The time-stamp counter.
    Tsc = 1,
}

/// First page of an arena.
#[repr(C)]
pub struct Header {
    /// [`MAGIC`]
    pub magic: u64,
    /// [`VERSION`]
    pub version: u32,
    /// A [`Clock`].
    pub clock: u32,
    /// Size of the arena.
    pub bytes: u64,
    /// Process id of the JVM as it sees it itself.
    pub pid: u32,
    /// Zero.
    pub reserved: u32,
    /// Bytes of definitions written so far.
    pub definitions_head: AtomicU64,
    /// Bytes of definitions read so far.
    pub definitions_tail: AtomicU64,
    /// Definitions that did not fit.
    pub definitions_lost: AtomicU64,
    /// Records dropped by threads that found no slot.
    pub lost_unslotted: AtomicU64,
}

/// A thread that writes.
#[repr(C, align(64))]
pub struct Slot {
    /// [`SLOT_FREE`], [`SLOT_OWNED`] or [`SLOT_ENDED`].
    pub state: AtomicU32,
    /// Linux thread id, as the JVM sees it.
    pub tid: AtomicU32,
    /// Number of the stream: never used twice in one JVM's life.
    pub stream: AtomicU32,
    /// Zero.
    pub reserved: AtomicU32,
    /// Records dropped so far.
    pub lost: AtomicU64,
}

/// First bytes of a chunk.
#[repr(C, align(64))]
pub struct ChunkHeader {
    /// Records written so far (at most [`CHUNK_RECORDS`]).
    pub head: AtomicU32,
    /// Stream that the records belong to.
    pub stream: AtomicU32,
    /// Slot of the thread.
    pub slot: AtomicU32,
    /// Linux thread id, as the JVM sees it.
    pub tid: AtomicU32,
    /// Place of this chunk in its stream, from 0.
    pub sequence: AtomicU32,
    /// Zero.
    pub reserved: AtomicU32,
    /// Records of this stream lost before this chunk.
    pub lost_before: AtomicU64,
}

const _: () = assert!(size_of::<Header>() <= STATES_AT);
const _: () = assert!(size_of::<Slot>() == 64);
const _: () = assert!(size_of::<ChunkHeader>() == CHUNK_HEADER_BYTES);
const _: () =
    assert!(SLOTS_AT.is_multiple_of(4096) && DEFINITIONS_AT.is_multiple_of(4096) && CHUNKS_AT.is_multiple_of(4096));

//! The probes: what `java.lang.PlumbProbe`'s natives do, and how any thread of the JVM writes a record.
//!
//! The fast path is a compare (is this session still on?), a compare (is there room in my chunk?), the clock, a 16-byte store and the chunk's head.
//! All else – first record of a thread, next chunk, nothing free – is [`slow`], which takes no lock and never waits either.

#![allow(
    unsafe_code,
    reason = "writes into chunks that the arena's protocol gives to this thread"
)]

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use jvmti_bindings::sys::jni::{JNIEnv, jclass, jint};
use plumb_trace::arena::CHUNK_RECORDS;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::arena::{Arena, DISARMED, GATE};
use super::tls::{self, Cursor};
use super::{clock, shadow, sites};

/// Ticks that a thread waits after it found no free chunk, before it looks again (TSC: some 100 µs).
const RETRY_TICKS: u64 = 1 << 18;

/// Numbers the streams: never used twice in one JVM's life.
static NEXT_STREAM: AtomicU32 = AtomicU32::new(1);

/// `PlumbProbe.enter(int)`
#[unsafe(no_mangle)]
pub extern "system" fn Java_java_lang_PlumbProbe_enter(env: *mut JNIEnv, _class: jclass, id: jint) {
    if id > 0 {
        record(JvmRecord::pack(JvmKind::Enter, 0, id as u32));
    } else if id < shadow::TIMED_MAX {
        shadow::begin(id);
    } else {
        sites::begin(env, id);
    }
}

/// `PlumbProbe.exit(int)`
#[unsafe(no_mangle)]
pub extern "system" fn Java_java_lang_PlumbProbe_exit(_env: *mut JNIEnv, _class: jclass, id: jint) {
    if id > 0 {
        record(JvmRecord::pack(JvmKind::Exit, 0, id as u32));
    } else if id < shadow::TIMED_MAX {
        shadow::end(id, false);
    } else {
        sites::end(id);
    }
}

/// `PlumbProbe.thrown(int)`
#[unsafe(no_mangle)]
pub extern "system" fn Java_java_lang_PlumbProbe_thrown(_env: *mut JNIEnv, _class: jclass, id: jint) {
    if id > 0 {
        record(JvmRecord::pack(JvmKind::Thrown, 0, id as u32));
    } else if id < shadow::TIMED_MAX {
        shadow::end(id, true);
    } else {
        sites::end(id);
    }
}

/// Writes a record of now into the calling thread's ring; nothing while disarmed.
#[inline(always)]
pub fn record(word: u64) {
    let cursor = tls::cursor();
    // SAFETY: the cursor is the calling thread's own.
    let cursor = unsafe { &mut *cursor };
    if cursor.epoch != GATE.epoch.load(Ordering::Relaxed) || cursor.count as usize >= CHUNK_RECORDS {
        return slow(cursor, word);
    }
    let ticks = clock::now(GATE.tsc.load(Ordering::Relaxed));
    // SAFETY: a cursor with the epoch of a session and room has a chunk of its own (`Holder::renew`).
    unsafe { write(cursor, ticks, word) };
}

/// # Safety
/// The cursor has a chunk with room.
#[inline(always)]
unsafe fn write(cursor: &mut Cursor, ticks: u64, word: u64) {
    let count = cursor.count;
    // SAFETY: by contract record `count` lies in the chunk, which is aligned, mapped for the process's life, and this thread's.
    unsafe {
        cursor.record(count).write(JvmRecord { ticks, word });
        (*cursor.head()).store(count + 1, Ordering::Release);
    }
    cursor.count = count + 1;
}

#[cold]
#[inline(never)]
fn slow(cursor: &mut Cursor, word: u64) {
    let epoch = GATE.epoch.load(Ordering::Acquire);
    if epoch == DISARMED {
        return;
    }
    let arena = Arena::of(epoch);
    let ticks = clock::now(GATE.tsc.load(Ordering::Relaxed));
    // What was read of the arena's place was read before the second look at the gate, whatever the processor's order.
    fence(Ordering::Acquire);
    if GATE.epoch.load(Ordering::Relaxed) != epoch {
        // The session ended while we looked at its arena.
        return;
    }
    let renewed = HOLDER.try_with(|holder| holder.renew(cursor, epoch, arena, ticks));
    match renewed {
        // SAFETY: `renew` says that the cursor has a chunk with room.
        Ok(true) => unsafe { write(cursor, ticks, word) },
        Ok(false) => {}
        // The thread's locals are gone: it ends.
        Err(_) => {
            arena.header().lost_unslotted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Linux id of the calling thread, if it has written a record by now; else 0.
pub fn own_tid() -> u32 {
    HOLDER.try_with(|holder| holder.tid.get()).unwrap_or(0)
}

/// What a thread holds in the arena of session `epoch`.
struct Holder {
    epoch: Cell<u64>,
    slot: Cell<Option<u32>>,
    stream: Cell<u32>,
    tid: Cell<u32>,
    /// Place of the next chunk in the stream.
    sequence: Cell<u32>,
    /// Do not look for a chunk before this tick.
    retry_at: Cell<u64>,
}

thread_local! {
    static HOLDER: Holder = const {
        Holder {
            epoch: Cell::new(0),
            slot: Cell::new(None),
            stream: Cell::new(0),
            tid: Cell::new(0),
            sequence: Cell::new(0),
            retry_at: Cell::new(0),
        }
    };
}

impl Holder {
    /// Gives the cursor a chunk with room; false: there is none, and the record is counted as lost.
    fn renew(&self, cursor: &mut Cursor, epoch: u64, arena: Arena, ticks: u64) -> bool {
        if self.epoch.get() != epoch {
            self.enlist(epoch, arena);
            *cursor = Cursor::without_chunk(epoch);
        } else if !cursor.chunk.is_null() {
            arena.fill(cursor.chunk);
            *cursor = Cursor::without_chunk(epoch);
        }
        let Some(slot) = self.slot.get() else {
            arena.header().lost_unslotted.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        let chunk = if ticks < self.retry_at.get() {
            None
        } else {
            arena.take_chunk()
        };
        let Some(chunk) = chunk else {
            if ticks >= self.retry_at.get() {
                self.retry_at.set(ticks.wrapping_add(RETRY_TICKS));
            }
            arena.slot(slot).lost.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        self.begin_chunk(arena, chunk, slot);
        *cursor = Cursor::at(epoch, arena.chunk(chunk));
        if self.sequence.replace(self.sequence.get().wrapping_add(1)) == 0 {
            // SAFETY: the chunk is new and ours.
            unsafe { write(cursor, ticks, JvmRecord::pack(JvmKind::Armed, 0, 0)) };
        }
        true
    }

    /// Takes a slot in a session's arena, if there is one.
    fn enlist(&self, epoch: u64, arena: Arena) {
        // SAFETY: a system call without arguments.
        let tid = unsafe { libc::gettid() } as u32;
        let stream = NEXT_STREAM.fetch_add(1, Ordering::Relaxed);
        let slot = arena.take_slot();
        if let Some(index) = slot {
            let slot = arena.slot(index);
            slot.tid.store(tid, Ordering::Relaxed);
            slot.stream.store(stream, Ordering::Relaxed);
            slot.lost.store(0, Ordering::Relaxed);
            arena.own_slot(index);
        }
        self.epoch.set(epoch);
        self.slot.set(slot);
        self.stream.set(stream);
        self.tid.set(tid);
        self.sequence.set(0);
        self.retry_at.set(0);
    }

    fn begin_chunk(&self, arena: Arena, chunk: usize, slot: u32) {
        let header = arena.chunk_header(chunk);
        header.head.store(0, Ordering::Relaxed);
        header.stream.store(self.stream.get(), Ordering::Relaxed);
        header.slot.store(slot, Ordering::Relaxed);
        header.tid.store(self.tid.get(), Ordering::Relaxed);
        header.sequence.store(self.sequence.get(), Ordering::Relaxed);
        header
            .lost_before
            .store(arena.slot(slot).lost.load(Ordering::Relaxed), Ordering::Relaxed);
        arena.own(chunk);
    }
}

impl Drop for Holder {
    /// The thread ends: its chunk and its slot go to the recorder.
    fn drop(&mut self) {
        let epoch = self.epoch.get();
        let cursor = tls::cursor();
        // SAFETY: the cursor is the calling thread's own, and outlives its thread-locals.
        let last = std::mem::replace(unsafe { &mut *cursor }, Cursor::without_chunk(0));
        if epoch == 0 || GATE.epoch.load(Ordering::Acquire) != epoch {
            return;
        }
        let arena = Arena::of(epoch);
        if last.epoch == epoch && !last.chunk.is_null() {
            arena.fill(last.chunk);
        }
        if let Some(slot) = self.slot.get() {
            arena.end_slot(slot);
        }
    }
}

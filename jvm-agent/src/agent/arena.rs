//! The arena as the agent sees it: made, mapped, armed, given up. Layout and protocol stand in [`plumb_trace::arena`].
//!
//! A probe may be between "is this session still on?" and its store when the session ends, for as long as the kernel does not run its thread.
//! That store must hit memory, and no later session's chunk. So an arena's addresses are never given back: anonymous memory takes the place of the
//! arena, and two places are used in turn, so that a late store would have to sleep through a whole later session to do harm (and then spoil one record).

#![allow(unsafe_code, reason = "maps memory that other threads and another process use")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use plumb_trace::arena::{self, ChunkHeader, Clock, Header, Slot};

/// [`Gate::epoch`] while nothing is recorded; no session has this number.
pub const DISARMED: u64 = u64::MAX;

/// What every probe reads first. A cache line of its own, written only when a session begins or ends.
#[repr(align(64))]
pub struct Gate {
    /// Number of the session that records (from 1), or [`DISARMED`].
    pub epoch: AtomicU64,
    /// Whether records carry the TSC.
    pub tsc: AtomicBool,
    /// Whether what virtual threads do is recorded as their own.
    pub virtual_threads: AtomicBool,
}

/// The one gate.
pub static GATE: Gate = Gate {
    epoch: AtomicU64::new(DISARMED),
    tsc: AtomicBool::new(false),
    virtual_threads: AtomicBool::new(false),
};

/// Addresses that hold a session's arena, and afterwards anonymous memory.
struct Place {
    base: AtomicPtr<u8>,
    /// Bytes at `base` that are ours for good.
    reserved: AtomicUsize,
    /// Bytes of the arena that lies there.
    bytes: AtomicUsize,
    next_chunk: AtomicUsize,
    next_slot: AtomicUsize,
}

static PLACES: [Place; 2] = [Place::none(), Place::none()];

/// The mapped arena of one session. Copies may outlive the session: their memory stays memory.
#[derive(Clone, Copy)]
pub struct Arena {
    place: &'static Place,
    base: *mut u8,
    chunks: usize,
}

// SAFETY: all that is shared behind `base` is atomics, or has one writer by the arena's protocol.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// Makes an arena for session `epoch` and maps it. One session at a time: the caller sees to it that the one before has been retired.
    ///
    /// # Errors
    /// A size out of range, or what the kernel says (no memory).
    pub fn create(epoch: u64, bytes: usize, clock: Clock) -> io::Result<(Arena, OwnedFd)> {
        if !(arena::MIN_BYTES..=arena::MAX_BYTES).contains(&bytes) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the arena's size is out of range",
            ));
        }
        let bytes = bytes & !4095;
        let memory = sealed_memory(bytes)?;
        let place = place_of(epoch);
        place.reserve(bytes)?;
        place.map(bytes, libc::MAP_SHARED | libc::MAP_POPULATE, memory.as_raw_fd())?;
        for counter in [&place.next_chunk, &place.next_slot] {
            counter.store(0, Ordering::Relaxed);
        }
        place.bytes.store(bytes, Ordering::Relaxed);
        let arena = Arena::at(place);
        arena.write_header(bytes, clock);
        Ok((arena, memory))
    }

    /// The arena of session `epoch`, which has been created.
    pub fn of(epoch: u64) -> Arena {
        Arena::at(place_of(epoch))
    }

    fn at(place: &'static Place) -> Arena {
        let chunks = arena::chunk_count(place.bytes.load(Ordering::Relaxed));
        Arena {
            place,
            base: place.base.load(Ordering::Relaxed),
            chunks,
        }
    }

    fn write_header(&self, bytes: usize, clock: Clock) {
        let header = self.base.cast::<Header>();
        // SAFETY: the mapping begins with the header's page, and nobody else has the memory yet. It is zero, which is right for the rest of the fields.
        unsafe {
            (*header).version = arena::VERSION;
            (*header).clock = clock as u32;
            (*header).bytes = bytes as u64;
            (*header).pid = std::process::id();
            (*header).magic = arena::MAGIC;
        }
    }

    /// First page.
    pub fn header(&self) -> &Header {
        // SAFETY: mapped for the process's life, aligned to a page; what changes in it is atomic.
        unsafe { &*self.base.cast() }
    }

    fn state(&self, chunk: usize) -> &AtomicU8 {
        debug_assert!(chunk < self.chunks);
        // SAFETY: `chunk` is below the count, so that its state lies in the mapping; always used as an atomic.
        unsafe { &*self.base.add(arena::STATES_AT + chunk).cast() }
    }

    /// A thread's slot. `index` is below [`arena::SLOT_COUNT`].
    pub fn slot(&self, index: u32) -> &Slot {
        let at = arena::SLOTS_AT + (index as usize % arena::SLOT_COUNT) * size_of::<Slot>();
        // SAFETY: within the mapping by the modulo, aligned because SLOTS_AT is; all fields are atomic.
        unsafe { &*self.base.add(at).cast() }
    }

    /// Where a chunk begins: its header, then its records.
    pub fn chunk(&self, index: usize) -> *mut u8 {
        debug_assert!(index < self.chunks);
        self.base.wrapping_add(arena::CHUNKS_AT + index * arena::CHUNK_BYTES)
    }

    /// Header of a chunk of this arena.
    pub fn chunk_header(&self, index: usize) -> &ChunkHeader {
        // SAFETY: within the mapping, aligned to 64; all fields are atomic.
        unsafe { &*self.chunk(index).cast() }
    }

    /// The ring of definitions.
    pub fn definitions(&self) -> *mut u8 {
        self.base.wrapping_add(arena::DEFINITIONS_AT)
    }

    /// Takes a free chunk: its state is TAKEN, and [`Arena::own`] is to follow when its header is filled in.
    pub fn take_chunk(&self) -> Option<usize> {
        let start = self.place.next_chunk.load(Ordering::Relaxed);
        for step in 0..self.chunks {
            let index = (start + step) % self.chunks;
            let state = self.state(index);
            let is_free = state.load(Ordering::Relaxed) == arena::CHUNK_FREE;
            let take = || {
                state.compare_exchange(
                    arena::CHUNK_FREE,
                    arena::CHUNK_TAKEN,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
            };
            if is_free && take().is_ok() {
                self.place
                    .next_chunk
                    .store((index + 1) % self.chunks, Ordering::Relaxed);
                return Some(index);
            }
        }
        None
    }

    /// The chunk's header is filled in: the recorder may read it.
    pub fn own(&self, chunk: usize) {
        self.state(chunk).store(arena::CHUNK_OWNED, Ordering::Release);
    }

    /// The chunk's last record is written. `address` is what [`Arena::chunk`] gave. At a session's end the chunk may have been handed over already,
    /// and even been freed: then this does nothing.
    pub fn fill(&self, address: *mut u8) {
        let offset = (address as usize)
            .wrapping_sub(self.base as usize)
            .wrapping_sub(arena::CHUNKS_AT);
        let index = offset / arena::CHUNK_BYTES;
        if index < self.chunks {
            give(self.state(index));
        }
    }

    /// Takes a free slot: its state is TAKEN, and [`Arena::own_slot`] is to follow.
    pub fn take_slot(&self) -> Option<u32> {
        let start = self.place.next_slot.load(Ordering::Relaxed);
        for step in 0..arena::SLOT_COUNT {
            let index = ((start + step) % arena::SLOT_COUNT) as u32;
            let state = &self.slot(index).state;
            let is_free = state.load(Ordering::Relaxed) == arena::SLOT_FREE;
            let take = || {
                state.compare_exchange(
                    arena::SLOT_FREE,
                    arena::SLOT_TAKEN,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
            };
            if is_free && take().is_ok() {
                self.place.next_slot.store(index as usize + 1, Ordering::Relaxed);
                return Some(index);
            }
        }
        None
    }

    /// The slot is filled in.
    pub fn own_slot(&self, index: u32) {
        self.slot(index).state.store(arena::SLOT_OWNED, Ordering::Release);
    }

    /// The slot's thread writes no more. As [`Arena::fill`], this does nothing to a slot that was handed over before.
    pub fn end_slot(&self, index: u32) {
        // Where it fails, the slot was free or ended already.
        let state = &self.slot(index).state;
        let _ = state.compare_exchange(
            arena::SLOT_OWNED,
            arena::SLOT_ENDED,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }

    /// Gives every chunk and slot to the recorder. Probes are off.
    pub fn hand_over(&self) {
        (0..self.chunks).for_each(|chunk| give(self.state(chunk)));
        (0..arena::SLOT_COUNT as u32).for_each(|slot| self.end_slot(slot));
    }

    /// Puts anonymous memory in the arena's place: the recorder alone has it now.
    ///
    /// # Errors
    /// What the kernel says; the arena then stays mapped until the place is used again.
    pub fn retire(&self) -> io::Result<()> {
        let reserved = self.place.reserved.load(Ordering::Relaxed);
        self.place.map(
            reserved,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
        )
    }
}

/// A chunk that is somebody's goes to the recorder.
fn give(state: &AtomicU8) {
    // Where it fails, the chunk was free or full already.
    let _ = state.compare_exchange(
        arena::CHUNK_OWNED,
        arena::CHUNK_FULL,
        Ordering::AcqRel,
        Ordering::Relaxed,
    );
}

/// Gives sessions their numbers. A number counts only once its session has begun: one that came to nothing does not take a turn of [`PLACES`].
#[derive(Default)]
pub struct Epochs {
    last: AtomicU64,
}

impl Epochs {
    /// For a session that may begin.
    pub fn next(&self) -> u64 {
        self.last.load(Ordering::Relaxed) + 1
    }

    /// It begins.
    pub fn began(&self, epoch: u64) {
        self.last.store(epoch, Ordering::Relaxed);
    }
}

fn place_of(epoch: u64) -> &'static Place {
    &PLACES[(epoch & 1) as usize]
}

impl Place {
    const fn none() -> Place {
        Place {
            base: AtomicPtr::new(ptr::null_mut()),
            reserved: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            next_chunk: AtomicUsize::new(0),
            next_slot: AtomicUsize::new(0),
        }
    }

    /// Sees to it that `bytes` of addresses are ours. Addresses of a smaller, older arena stay reserved: late stores may still go there.
    fn reserve(&self, bytes: usize) -> io::Result<()> {
        if self.reserved.load(Ordering::Relaxed) >= bytes {
            return Ok(());
        }
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        // SAFETY: a new mapping at an address that the kernel chooses.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        self.base.store(base.cast(), Ordering::Relaxed);
        self.reserved.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn map(&self, bytes: usize, flags: i32, fd: i32) -> io::Result<()> {
        let base = self.base.load(Ordering::Relaxed).cast();
        // SAFETY: `bytes` at `base` are reserved by us (`reserve`), so that no mapping of somebody else's is replaced.
        let mapped = unsafe {
            libc::mmap(
                base,
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                flags | libc::MAP_FIXED,
                fd,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

/// Memory that has all its pages and cannot change its size: no store into it can fail.
fn sealed_memory(bytes: usize) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"plumb-arena".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, ours alone.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let file = File::from(fd);
    file.set_len(bytes as u64)?;
    // SAFETY: plain system calls on our descriptor.
    let (allocated, sealed) = unsafe {
        (
            libc::fallocate(file.as_raw_fd(), 0, 0, bytes as libc::off_t),
            libc::fcntl(
                file.as_raw_fd(),
                libc::F_ADD_SEALS,
                libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL,
            ),
        )
    };
    if allocated != 0 || sealed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sessions_that_begin_one_after_the_other_lie_in_two_places() {
        let epochs = Epochs::default();
        let first = epochs.next();
        epochs.began(first);
        // One that fails, and is never heard of again.
        epochs.next();
        let second = epochs.next();
        assert!(first != second && !ptr::eq(place_of(first), place_of(second)));
        assert!(first != 0 && second != DISARMED);
    }

    #[test]
    fn a_late_end_of_a_chunk_does_not_bring_it_back() -> io::Result<()> {
        let (arena, _memory) = Arena::create(3, arena::MIN_BYTES, Clock::Monotonic)?;
        let (chunk, slot) = (arena.take_chunk().expect("free"), arena.take_slot().expect("free"));
        arena.own(chunk);
        arena.own_slot(slot);
        arena.hand_over();
        assert_eq!(
            arena.state(chunk).swap(arena::CHUNK_FREE, Ordering::Relaxed),
            arena::CHUNK_FULL
        );
        assert_eq!(
            arena.slot(slot).state.swap(arena::SLOT_FREE, Ordering::Relaxed),
            arena::SLOT_ENDED
        );
        arena.fill(arena.chunk(chunk));
        arena.end_slot(slot);
        assert_eq!(arena.state(chunk).load(Ordering::Relaxed), arena::CHUNK_FREE);
        assert_eq!(arena.slot(slot).state.load(Ordering::Relaxed), arena::SLOT_FREE);
        Ok(())
    }
}

//! The writer of definitions: names for the numbers in records (see [`plumb_trace::definition`]), framed into the arena's byte ring.
//!
//! What finds no room waits in a bounded queue; the control thread offers it again. What finds no room there either is counted as lost.

#![allow(
    unsafe_code,
    reason = "copies into the arena's ring of definitions, whose one writer this is"
)]

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use plumb_trace::arena::{DEFINITION_MAX, DEFINITIONS_BYTES};
use plumb_trace::definition::{Dated, Definition};

use super::arena::Arena;
use super::names::lock;
use super::wake;

/// Most bytes that wait for room.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// The one writer of an arena's definitions.
pub struct Definitions {
    arena: Arena,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Definitions {
    /// For a new arena.
    pub fn new(arena: Arena) -> Definitions {
        Definitions {
            arena,
            waiting: Mutex::default(),
        }
    }

    /// Writes a definition. Never waits for room.
    pub fn write(&self, at: u64, definition: Definition) {
        let frame = frame_of(&Dated { at, definition });
        let mut waiting = lock(&self.waiting);
        if waiting.frames.is_empty() && self.put(&frame) {
            return;
        }
        if frame.len() > 4 + DEFINITION_MAX || waiting.bytes + frame.len() > WAITING_BYTES_MAX {
            self.arena.header().definitions_lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
        wake::wake();
    }

    /// Offers again what waits; true if nothing does any more.
    pub fn flush(&self) -> bool {
        let mut waiting = lock(&self.waiting);
        while let Some(frame) = waiting.frames.front() {
            if !self.put(frame) {
                return false;
            }
            waiting.bytes -= frame.len();
            waiting.frames.pop_front();
        }
        true
    }

    /// Counts as lost what still waits: nobody will offer it again.
    pub fn give_up(&self) {
        let mut waiting = lock(&self.waiting);
        self.arena
            .header()
            .definitions_lost
            .fetch_add(waiting.frames.len() as u64, Ordering::Relaxed);
        *waiting = Waiting::default();
    }

    /// Copies a frame into the ring if it fits. The caller holds the lock, which makes it the one writer.
    fn put(&self, frame: &[u8]) -> bool {
        let header = self.arena.header();
        let head = header.definitions_head.load(Ordering::Relaxed);
        // What the reader says is not believed further than to leave the ring alone.
        let used = head.wrapping_sub(header.definitions_tail.load(Ordering::Acquire));
        let room = (DEFINITIONS_BYTES as u64).saturating_sub(used);
        if frame.len() as u64 > room {
            return false;
        }
        let at = head as usize % DEFINITIONS_BYTES;
        let (first, second) = frame.split_at(frame.len().min(DEFINITIONS_BYTES - at));
        let ring = self.arena.definitions();
        // SAFETY: both parts lie in the ring by the arithmetic above, and the reader does not look there before it sees the new head.
        unsafe {
            std::ptr::copy_nonoverlapping(first.as_ptr(), ring.add(at), first.len());
            std::ptr::copy_nonoverlapping(second.as_ptr(), ring, second.len());
        }
        header
            .definitions_head
            .store(head.wrapping_add(frame.len() as u64), Ordering::Release);
        true
    }
}

/// Length, bytes, padding.
fn frame_of(dated: &Dated) -> Vec<u8> {
    let mut frame = vec![0; 4];
    dated.encode(&mut frame);
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame.resize(frame.len().next_multiple_of(4), 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumb_trace::arena::{Clock, MIN_BYTES};

    fn class(id: u32) -> Definition {
        Definition::Class {
            id,
            name: "x".repeat(1000),
        }
    }

    #[test]
    fn what_finds_no_room_waits_and_is_written_later() -> std::io::Result<()> {
        let (arena, _memory) = Arena::create(2, MIN_BYTES, Clock::Monotonic)?;
        let definitions = Definitions::new(arena);
        let fit = (DEFINITIONS_BYTES
            / frame_of(&Dated {
                at: 0,
                definition: class(1),
            })
            .len()) as u32;
        (0..fit + 10).for_each(|id| definitions.write(0, class(id % 100)));
        assert!(!definitions.flush());
        let header = arena.header();
        let head = header.definitions_head.load(Ordering::Acquire);
        assert!(head <= DEFINITIONS_BYTES as u64);
        header.definitions_tail.store(head, Ordering::Release);
        assert!(definitions.flush());
        assert!(header.definitions_head.load(Ordering::Acquire) > head);
        assert_eq!(header.definitions_lost.load(Ordering::Relaxed), 0);
        Ok(())
    }
}

//! The ring of definitions in an arena.

use crate::parcel::{Item, Kind, Parcel, Source};
use crate::shared_memory::SharedMemory;
use plumb_trace::arena::{DEFINITION_MAX, DEFINITIONS_AT, DEFINITIONS_BYTES, Header};
use std::mem::offset_of;
use std::sync::atomic::Ordering;

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// The ring, as far as the reader has come.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    tail: u64,
    pub damage: Option<&'static str>,
}

impl Definitions {
    /// Moves whole frames into the parcel. Returns whether all fitted.
    pub fn drain(&mut self, memory: &SharedMemory, source: Source, parcel: &mut Parcel) -> bool {
        let head = memory
            .u64_at(offset_of!(Header, definitions_head))
            .map_or(0, |head| head.load(Ordering::Acquire));
        if self.damage.is_some() || head == self.tail {
            return true;
        }
        let mut whole = true;
        while self.tail != head {
            match self.frame(memory, head) {
                Err(damage) => {
                    self.damage = Some(damage);
                    break;
                }
                Ok(length) if length > parcel.space() || parcel.items_left() == 0 => {
                    whole = false;
                    break;
                }
                Ok(length) => self.take(memory, length, source, parcel),
            }
        }
        if let Some(tail) = memory.u64_at(offset_of!(Header, definitions_tail)) {
            tail.store(self.tail, Ordering::Release);
        }
        whole
    }

    /// Length of the frame at the tail.
    fn frame(&self, memory: &SharedMemory, head: u64) -> Result<usize, &'static str> {
        let available = head.wrapping_sub(self.tail);
        if available > DEFINITIONS_BYTES as u64 || available < LENGTH_BYTES as u64 {
            return Err("the head of its definitions is out of range");
        }
        let at = DEFINITIONS_AT + offset(self.tail);
        let length = memory
            .u32_at(at)
            .map_or(u32::MAX, |length| length.load(Ordering::Relaxed)) as usize;
        if length > DEFINITION_MAX || (LENGTH_BYTES + length.next_multiple_of(4)) as u64 > available {
            return Err("a definition is longer than it can be");
        }
        Ok(length)
    }

    fn take(&mut self, memory: &SharedMemory, length: usize, source: Source, parcel: &mut Parcel) {
        let start = parcel.bytes.len();
        let from = offset(self.tail + LENGTH_BYTES as u64);
        let first = length.min(DEFINITIONS_BYTES - from);
        let copied = memory.copy_out(DEFINITIONS_AT + from, first, &mut parcel.bytes)
            && memory.copy_out(DEFINITIONS_AT, length - first, &mut parcel.bytes);
        if copied {
            parcel.close_item(start, Item::new(source, Kind::Definition, 0, 0, 0));
        } else {
            parcel.bytes.truncate(start);
        }
        self.tail += (LENGTH_BYTES + length.next_multiple_of(4)) as u64;
    }
}

fn offset(count: u64) -> usize {
    (count % DEFINITIONS_BYTES as u64) as usize
}

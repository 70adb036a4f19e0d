//! Threads of a segment by number: each tid stands in it once.

use super::model::Model;
use super::{REST, column};
use crate::columns::{Coder, Decoder, Encoder};
use crate::record::KernelRecord;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A [`Coder`] that also knows threads.
pub(super) trait ThreadCoder: Coder {
    /// A thread that is not the one predicted: its place in the model.
    fn other_thread(&mut self, column: usize, model: &mut Model, tid: u32) -> Option<usize>;
    /// The record of a row: what was put together, or where that is known, the same without work.
    fn settle(&self, actual: &KernelRecord, row: KernelRecord) -> KernelRecord;
    /// Bytes [`REST`] of a record.
    fn rest(&mut self, actual: &[u8]) -> Option<[u8; REST.end - REST.start]>;
}

pub(super) struct Threads<C> {
    pub(super) coder: C,
    index: HashMap<u32, usize, BuildHasherDefault<TidHasher>>,
}

impl Threads<Encoder> {
    pub(super) fn new() -> Threads<Encoder> {
        Threads {
            coder: Encoder::new(column::COUNT),
            // The idle task.
            index: HashMap::from_iter([(0, 0)]),
        }
    }
}

impl Coder for Threads<Encoder> {
    #[inline(always)]
    fn byte(&mut self, column: usize, actual: u8) -> Option<u8> {
        self.coder.byte(column, actual)
    }
    #[inline(always)]
    fn number(&mut self, column: usize, actual: u64) -> Option<u64> {
        self.coder.number(column, actual)
    }
    #[inline(always)]
    fn delta(&mut self, column: usize, actual: u64, predicted: u64) -> Option<u64> {
        self.coder.delta(column, actual, predicted)
    }
    #[inline(always)]
    fn begin_row(&mut self, columns: [usize; 2], bits: u16) -> Option<u16> {
        self.coder.begin_row(columns, bits)
    }
    #[inline(always)]
    fn end_row(&mut self, columns: [usize; 2]) {
        self.coder.end_row(columns);
    }
    #[inline(always)]
    fn is_surprise(&mut self, bit: u16, actual: bool) -> bool {
        self.coder.is_surprise(bit, actual)
    }
}

impl ThreadCoder for Threads<Encoder> {
    fn other_thread(&mut self, column: usize, model: &mut Model, tid: u32) -> Option<usize> {
        if let Some(&index) = self.index.get(&tid) {
            self.number(column, index as u64 + 1)?;
            return Some(index);
        }
        self.byte(column, 0)?;
        self.number32(column::LITERAL, tid)?;
        let index = model.add(tid);
        self.index.insert(tid, index);
        Some(index)
    }

    #[inline(always)]
    fn settle(&self, actual: &KernelRecord, _row: KernelRecord) -> KernelRecord {
        *actual
    }

    fn rest(&mut self, actual: &[u8]) -> Option<[u8; REST.end - REST.start]> {
        for &byte in actual {
            self.byte(column::REST, byte)?;
        }
        actual.try_into().ok()
    }
}

impl ThreadCoder for Decoder<'_> {
    fn other_thread(&mut self, column: usize, model: &mut Model, _tid: u32) -> Option<usize> {
        match self.number(column, 0)? {
            0 => Some(model.add(self.number32(column::LITERAL, 0)?)),
            code => usize::try_from(code - 1)
                .ok()
                .filter(|&index| index < model.threads.len()),
        }
    }

    fn settle(&self, _actual: &KernelRecord, row: KernelRecord) -> KernelRecord {
        row
    }

    fn rest(&mut self, _actual: &[u8]) -> Option<[u8; REST.end - REST.start]> {
        let mut rest = [0; REST.end - REST.start];
        for byte in &mut rest {
            *byte = self.byte(column::REST, 0)?;
        }
        Some(rest)
    }
}

/// Hashes a tid by one multiplication: this runs in the recorder, for every record.
#[derive(Default)]
struct TidHasher(u64);

impl Hasher for TidHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }
    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(32) ^ u64::from(number))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(26);
    }
}

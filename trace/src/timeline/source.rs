//! Reading checked pieces of a timeline's file: extents, nodes, blocks. What does not check is an error that says where and why.

use super::error::TimelineError;
use super::format::{BLOCK_MAX, BLOCK_ROWS, ENTRY_BYTES, Entry, Extent, FANOUT, HEIGHT_MAX, Sequence};
use super::model::StateInterval;
use super::rows::{self, Row};
use super::states::{self, Account};
use crate::pack;
use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A mapped file.
#[derive(Debug)]
pub(super) struct Source {
    map: Mmap,
    path: PathBuf,
    track_count: u32,
    bytes_read: AtomicU64,
}

/// Which rows of a sequence are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// Rows that end earlier are not.
    pub(super) from_ns: u64,
    /// Rows that begin here or later are not.
    pub(super) to_ns: u64,
    /// Where an end as late as this was seen, only unwanted rows follow.
    pub(super) stop_ns: u64,
}

impl Range {
    /// Rows that overlap a window; of a window of no length, none.
    pub(super) fn window(from_ns: u64, to_ns: u64, stop_ns: u64) -> Range {
        if from_ns < to_ns {
            Range {
                from_ns,
                to_ns,
                stop_ns,
            }
        } else {
            Range {
                from_ns: u64::MAX,
                to_ns: 0,
                stop_ns: 0,
            }
        }
    }

    pub(super) const ALL: Range = Range {
        from_ns: 0,
        to_ns: u64::MAX,
        stop_ns: u64::MAX,
    };
}

impl Source {
    pub(super) fn map(file: &File, path: &Path) -> io::Result<Source> {
        #[expect(unsafe_code, reason = "mapping a file has no safe form")]
        // SAFETY: the map is private and only read. plumb never changes a timeline that has its name: it replaces the file. Where somebody else changes one
        // in place, checksums find wrong bytes; where he cuts it short, the process ends by SIGBUS, which no reader that maps files can prevent.
        let map = unsafe { Mmap::map(file) }?;
        Ok(Source {
            map,
            path: path.to_owned(),
            track_count: u32::MAX,
            bytes_read: AtomicU64::new(0),
        })
    }

    /// From now on, rows that name tracks beyond this number are damage.
    pub(super) fn set_track_count(&mut self, track_count: u32) {
        self.track_count = track_count;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Length of the file.
    pub(super) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// Bytes of the file that were looked at so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    pub(super) fn damaged(&self, offset: u64, reason: impl Into<String>) -> TimelineError {
        TimelineError::Damaged {
            path: self.path.clone(),
            offset,
            reason: reason.into(),
        }
    }

    /// Bytes of the file, unchecked.
    pub(super) fn bytes(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let begin = usize::try_from(offset).ok()?;
        let bytes = self.map.get(begin..begin.checked_add(length)?)?;
        self.bytes_read.fetch_add(length as u64, Ordering::Relaxed);
        Some(bytes)
    }

    /// What an extent holds, decompressed, of at most `raw_max` bytes.
    pub(super) fn read(&self, extent: Extent, raw_max: usize) -> Result<Vec<u8>, TimelineError> {
        let damaged = |reason| self.damaged(extent.offset, reason);
        let (stored_length, raw_length) = (extent.stored_bytes as usize, extent.raw_bytes as usize);
        if raw_length > raw_max || stored_length > raw_length {
            return Err(damaged("its lengths cannot be"));
        }
        let stored = self
            .bytes(extent.offset, stored_length)
            .ok_or_else(|| damaged("it lies outside of the file"))?;
        if crc32fast::hash(stored) != extent.crc {
            return Err(damaged("its checksum is wrong"));
        }
        pack::unpack(stored, raw_length).ok_or_else(|| damaged("it does not decompress"))
    }

    fn node(&self, entry: &Entry) -> Result<Vec<Entry>, TimelineError> {
        let bytes = self.read(entry.extent, FANOUT * ENTRY_BYTES)?;
        Entry::node_from_bytes(&bytes).ok_or_else(|| self.damaged(entry.extent.offset, "it is no node"))
    }

    fn block<T>(&self, entry: &Entry, decode: impl FnOnce(&[u8], usize) -> Option<T>) -> Result<T, TimelineError> {
        let raw = self.read(entry.extent, BLOCK_MAX)?;
        let rows = Some(entry.count as usize)
            .filter(|&count| count <= BLOCK_ROWS)
            .and_then(|count| decode(&raw, count));
        rows.ok_or_else(|| self.damaged(entry.extent.offset, "its rows do not decode"))
    }

    /// The rows of a block.
    pub(super) fn rows<R: Row>(&self, entry: &Entry, level: u8) -> Result<Vec<R>, TimelineError> {
        self.block(entry, |raw, count| rows::decode(raw, level, count, self.track_count))
    }

    /// The intervals of a block of states, and the account before them.
    pub(super) fn states(&self, entry: &Entry) -> Result<(Account, Vec<StateInterval>), TimelineError> {
        self.block(entry, |raw, count| states::decode(raw, count, self.track_count))
    }

    /// Calls `each` for the blocks of a sequence that may hold wanted rows, in order.
    pub(super) fn blocks(
        &self,
        sequence: &Sequence,
        range: Range,
        each: &mut dyn FnMut(&Entry) -> Result<(), TimelineError>,
    ) -> Result<(), TimelineError> {
        Walk {
            source: self,
            range,
            reached_ns: 0,
            offsets: [0; HEIGHT_MAX as usize + 1],
        }
        .visit(&sequence.root, sequence.height, each)
    }

    /// The last block of a sequence of ordered rows that begins before `at_ns`.
    pub(super) fn block_before(&self, sequence: &Sequence, at_ns: u64) -> Result<Option<Entry>, TimelineError> {
        let mut entry = sequence.root;
        if entry.first_ns >= at_ns {
            return Ok(None);
        }
        for _ in 0..sequence.height {
            let children = self.node(&entry)?;
            let after = children.partition_point(|child| child.first_ns < at_ns);
            entry = *children
                .get(after.saturating_sub(1))
                .ok_or_else(|| self.damaged(entry.extent.offset, "it is no node"))?;
        }
        Ok(Some(entry))
    }
}

struct Walk<'a> {
    source: &'a Source,
    range: Range,
    /// Largest end of all rows before the place of the walk.
    reached_ns: u64,
    /// Behind what was visited last, by height: a file that leads in circles must not keep a reader busy for ever.
    offsets: [u64; HEIGHT_MAX as usize + 1],
}

impl Walk<'_> {
    fn visit(
        &mut self,
        entry: &Entry,
        height: u8,
        each: &mut dyn FnMut(&Entry) -> Result<(), TimelineError>,
    ) -> Result<(), TimelineError> {
        let wanted = entry.last_ns >= self.range.from_ns && entry.first_ns < self.range.to_ns;
        if wanted && self.reached_ns < self.range.stop_ns {
            let behind = &mut self.offsets[usize::from(height)];
            if entry.extent.offset < *behind {
                return Err(self.source.damaged(entry.extent.offset, "it is out of order"));
            }
            *behind = entry.extent.offset + 1;
            if height == 0 {
                each(entry)?;
            } else {
                for child in self.source.node(entry)? {
                    self.visit(&child, height - 1, each)?;
                }
            }
        }
        self.reached_ns = self.reached_ns.max(entry.last_ns);
        Ok(())
    }
}

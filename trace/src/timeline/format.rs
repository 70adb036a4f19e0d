//! The layout of a timeline's file. All numbers are little endian.
//!
//! ```text
//! Header       magic, version                                   16 bytes
//! blocks       rows of one sequence, columns + zstd             written as they fill, sequences interleaved
//! nodes        entries of a sequence's blocks, or of nodes below   written as they fill
//! lists        the sequences of one track                       one for each track that has any, and one for the units
//! tracks       Extent of each track's list                      20 bytes each
//! strings      varint length + UTF-8 each                       zstd
//! stacks       a tree of frames, see `stacks`; none: no extent  zstd
//! meta         info, processes, tracks, losses as JSON          zstd
//! Tail         where the above lies, checksum                   TAIL_BYTES, the last of the file
//! ```
//! **Sequences.** All rows are kept in sequences, each a tree: blocks of up to [`BLOCK_ROWS`] rows, nodes of up to [`FANOUT`] entries over them. A sequence is
//!
//! | kind      | level         | rows |
//! | --- | --- | --- |
//! | states    | 0             | [`StateInterval`](super::StateInterval), contiguous; each block begins with the sums up to it, see `states` |
//! | coarse    | log2 of width | level of detail: [`CoarseState`](super::CoarseState), one for each bucket of that many ns, equal neighbours joined, see `pyramid` |
//! | slices    | length class  | [`Slice`](super::Slice), in order of end, see `classes` |
//! | occupancy | 0             | [`Occupancy`](super::Occupancy), in order, not overlapping |
//! | units     | length class  | [`Unit`](super::Unit), about in order of end |
//! | unit parts | length class | [`UnitPart`](super::UnitPart), about in order of end |
//! | counter   | 0             | [`CounterPoint`](super::CounterPoint), contiguous: one for each sample |
//! | coarse occupancy | log2 of width | level of detail: [`CoarseOccupancy`](super::CoarseOccupancy), as for states |
//! | coarse counter   | log2 of width | level of detail: [`CounterPoint`](super::CounterPoint), as for states |
//! | sleeps    | 0             | [`Sleep`](super::Sleep), in order, not overlapping; only of threads of which stacks were recorded |
//!
//! **Trust.** Each [`Extent`] holds the checksum of what it points to: tail → lists → nodes → blocks. Whatever is read was checked just before, nothing
//! is read that is not needed, and what is asked of one place does not depend on how long the file is.

/// First eight bytes of a timeline.
pub const MAGIC: [u8; 8] = *b"PLMBTLN1";
/// First eight bytes of its tail.
pub const TAIL_MAGIC: [u8; 8] = *b"PLMBTEND";
/// Version of the layout.
pub const VERSION: u32 = 5;
/// Usual ending of a timeline's name.
pub const EXTENSION: &str = "plumb";
/// Bytes of the header.
pub const HEADER_BYTES: usize = 16;
/// Bytes of the tail.
pub const TAIL_BYTES: usize = 120;
/// Bytes of an [`Extent`].
pub const EXTENT_BYTES: usize = 20;
/// Bytes of an [`Entry`].
pub const ENTRY_BYTES: usize = 40;
/// Bytes of a [`Sequence`].
pub const SEQUENCE_BYTES: usize = 52;
/// Rows of a full block.
pub const BLOCK_ROWS: usize = 512;
/// Most bytes of a decompressed block.
pub const BLOCK_MAX: usize = 1 << 20;
/// Entries of a full node.
pub const FANOUT: usize = 128;
/// Highest tree.
pub const HEIGHT_MAX: u8 = 8;
/// Most bytes of the decompressed strings, and of the decompressed meta.
pub const TABLE_MAX: usize = 256 << 20;

/// The header's bytes.
#[must_use]
pub fn header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes
}

/// Takes fixed fields off the front of bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }
    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// A stretch of the file. All zero: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins.
    pub offset: u64,
    /// Its length in the file.
    pub stored_bytes: u32,
    /// Its length when decompressed; equal to `stored_bytes` where it is not compressed.
    pub raw_bytes: u32,
    /// CRC-32 of the stored bytes.
    pub crc: u32,
}

impl Extent {
    fn put(self, out: &mut Vec<u8>) {
        let Self {
            offset,
            stored_bytes,
            raw_bytes,
            crc,
        } = self;
        out.extend_from_slice(&offset.to_le_bytes());
        for number in [stored_bytes, raw_bytes, crc] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn take(fields: &mut Fields) -> Option<Extent> {
        Some(Extent {
            offset: fields.u64()?,
            stored_bytes: fields.u32()?,
            raw_bytes: fields.u32()?,
            crc: fields.u32()?,
        })
    }

    /// The extent's bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(EXTENT_BYTES);
        self.put(&mut out);
        out
    }

    /// Reads an extent.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Extent> {
        Extent::take(&mut Fields(bytes))
    }
}

/// A block or node, seen from the node above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub extent: Extent,
    /// Rows in it or under it (wraps in a node over 2^32 rows and more).
    pub count: u32,
    /// Smallest begin of its rows, ns.
    pub first_ns: u64,
    /// Largest end of its rows **and of all rows before**, ns, so that it grows from entry to entry.
    pub last_ns: u64,
}

impl Entry {
    fn put(&self, out: &mut Vec<u8>) {
        let Self {
            extent,
            count,
            first_ns,
            last_ns,
        } = *self;
        extent.put(out);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&first_ns.to_le_bytes());
        out.extend_from_slice(&last_ns.to_le_bytes());
    }

    fn take(fields: &mut Fields) -> Option<Entry> {
        Some(Entry {
            extent: Extent::take(fields)?,
            count: fields.u32()?,
            first_ns: fields.u64()?,
            last_ns: fields.u64()?,
        })
    }

    /// The bytes of a node.
    #[must_use]
    pub fn node_to_bytes(entries: &[Entry]) -> Vec<u8> {
        let mut out = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        entries.iter().for_each(|entry| entry.put(&mut out));
        out
    }

    /// Reads a node.
    #[must_use]
    pub fn node_from_bytes(bytes: &[u8]) -> Option<Vec<Entry>> {
        whole_rows(bytes, ENTRY_BYTES, Entry::take).filter(|entries| !entries.is_empty() && entries.len() <= FANOUT)
    }
}

fn whole_rows<T>(bytes: &[u8], row_bytes: usize, take: impl Fn(&mut Fields) -> Option<T>) -> Option<Vec<T>> {
    let rows = bytes.chunks_exact(row_bytes);
    rows.remainder().is_empty().then_some(())?;
    rows.map(|row| take(&mut Fields(row))).collect()
}

/// What a sequence holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the module's table says it")]
pub enum SequenceKind {
    States = 1,
    Coarse = 2,
    Slices = 3,
    Occupancy = 4,
    Units = 5,
    Counter = 6,
    CoarseOccupancy = 7,
    CoarseCounter = 8,
    UnitParts = 9,
    Sleeps = 10,
}

impl SequenceKind {
    fn from_u8(number: u8) -> Option<SequenceKind> {
        use SequenceKind::{
            Coarse, CoarseCounter, CoarseOccupancy, Counter, Occupancy, Sleeps, Slices, States, UnitParts, Units,
        };
        let kinds = [
            States,
            Coarse,
            Slices,
            Occupancy,
            Units,
            Counter,
            CoarseOccupancy,
            CoarseCounter,
            UnitParts,
            Sleeps,
        ];
        kinds.into_iter().find(|&kind| kind as u8 == number)
    }
}

/// A sequence of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// What it holds.
    pub kind: SequenceKind,
    /// Its level, see the module's table.
    pub level: u8,
    /// Nodes between the root and a block: 0 where the root is a block.
    pub height: u8,
    /// How far a row's end lies behind the largest end before it at the most, ns.
    pub disorder_ns: u64,
    /// The root.
    pub root: Entry,
}

impl Sequence {
    fn put(&self, out: &mut Vec<u8>) {
        let Self {
            kind,
            level,
            height,
            disorder_ns,
            root,
        } = *self;
        out.extend_from_slice(&[kind as u8, level, height, 0]);
        out.extend_from_slice(&disorder_ns.to_le_bytes());
        root.put(out);
    }

    fn take(fields: &mut Fields) -> Option<Sequence> {
        let [kind, level, height, _] = fields.take()?;
        let kind = SequenceKind::from_u8(kind)?;
        (height <= HEIGHT_MAX && level < 64).then_some(())?;
        Some(Sequence {
            kind,
            level,
            height,
            disorder_ns: fields.u64()?,
            root: Entry::take(fields)?,
        })
    }

    /// The bytes of a list.
    #[must_use]
    pub fn list_to_bytes(sequences: &[Sequence]) -> Vec<u8> {
        let mut out = Vec::with_capacity(sequences.len() * SEQUENCE_BYTES);
        sequences.iter().for_each(|sequence| sequence.put(&mut out));
        out
    }

    /// Reads a list.
    #[must_use]
    pub fn list_from_bytes(bytes: &[u8]) -> Option<Vec<Sequence>> {
        whole_rows(bytes, SEQUENCE_BYTES, Sequence::take)
    }
}

/// The end of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Length of the file with the tail, bytes.
    pub file_bytes: u64,
    /// Info, processes, tracks, losses.
    pub meta: Extent,
    /// Strings.
    pub strings: Extent,
    /// The list of the sequences of units and their parts.
    pub units: Extent,
    /// Stacks.
    pub stacks: Extent,
    /// Where the tracks' extents begin.
    pub tracks_at: u64,
    /// How many there are.
    pub track_count: u32,
}

const TAIL_CRC_AT: usize = 12;

impl Tail {
    /// The tail's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self {
            file_bytes,
            meta,
            strings,
            units,
            stacks,
            tracks_at,
            track_count,
        } = *self;
        let mut out = Vec::with_capacity(TAIL_BYTES);
        out.extend_from_slice(&TAIL_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&file_bytes.to_le_bytes());
        [meta, strings, units, stacks]
            .into_iter()
            .for_each(|extent| extent.put(&mut out));
        out.extend_from_slice(&tracks_at.to_le_bytes());
        out.extend_from_slice(&track_count.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let crc = crc32fast::hash(&out);
        out[TAIL_CRC_AT..TAIL_CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a tail; `Ok(None)` where there is none.
    ///
    /// # Errors
    /// Where there is one, but damaged.
    pub fn from_bytes(bytes: &[u8; TAIL_BYTES]) -> Result<Option<Tail>, &'static str> {
        if bytes[..8] != TAIL_MAGIC {
            return Ok(None);
        }
        let mut blank = *bytes;
        blank[TAIL_CRC_AT..TAIL_CRC_AT + 4].fill(0);
        if crc32fast::hash(&blank).to_le_bytes() != bytes[TAIL_CRC_AT..TAIL_CRC_AT + 4] {
            return Err("the tail's checksum is wrong");
        }
        Tail::take(&mut Fields(&bytes[16..]))
            .map(Some)
            .ok_or("the tail is cut short")
    }

    fn take(fields: &mut Fields) -> Option<Tail> {
        Some(Tail {
            file_bytes: fields.u64()?,
            meta: Extent::take(fields)?,
            strings: Extent::take(fields)?,
            units: Extent::take(fields)?,
            stacks: Extent::take(fields)?,
            tracks_at: fields.u64()?,
            track_count: fields.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_as_declared_and_all_comes_back() {
        let extent = Extent {
            offset: 1 << 40,
            stored_bytes: 2,
            raw_bytes: 3,
            crc: 4,
        };
        let entry = Entry {
            extent,
            count: 5,
            first_ns: 6,
            last_ns: 7 << 50,
        };
        let sequence = Sequence {
            kind: SequenceKind::CoarseCounter,
            level: 9,
            height: 2,
            disorder_ns: 8,
            root: entry,
        };
        let tail = Tail {
            file_bytes: 10,
            meta: extent,
            strings: extent,
            units: extent,
            stacks: extent,
            tracks_at: 11,
            track_count: 12,
        };
        assert_eq!(extent.to_bytes().len(), EXTENT_BYTES);
        assert_eq!(Entry::node_to_bytes(&[entry]).len(), ENTRY_BYTES);
        assert_eq!(Sequence::list_to_bytes(&[sequence]).len(), SEQUENCE_BYTES);
        assert_eq!(tail.to_bytes().len(), TAIL_BYTES);
        assert_eq!(Extent::from_bytes(&extent.to_bytes()), Some(extent));
        assert_eq!(
            Entry::node_from_bytes(&Entry::node_to_bytes(&[entry, entry])),
            Some(vec![entry; 2])
        );
        assert_eq!(
            Sequence::list_from_bytes(&Sequence::list_to_bytes(&[sequence])),
            Some(vec![sequence])
        );
        let bytes: [u8; TAIL_BYTES] = tail.to_bytes().try_into().expect("size");
        assert_eq!(Tail::from_bytes(&bytes), Ok(Some(tail)));
    }
}

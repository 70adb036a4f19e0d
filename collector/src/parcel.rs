//! Parcels: how records come from the drain thread to the writer thread. A fixed number of buffers of a fixed size goes round between the two, so that memory is bounded and the
//! drain thread never allocates. When the writer cannot keep up no parcel is free, records stay in their rings, and what the rings cannot take is lost
//! and counted there: there is one place where records are lost, whatever the reason.

use std::ops::Range;

/// Bytes of a parcel.
pub(crate) const PARCEL_BYTES: usize = 512 << 10;
/// Most items in a parcel.
const ITEMS_MAX: usize = 8192;
/// Number of parcels: 32 MiB under way at most.
pub(crate) const PARCEL_COUNT: usize = 64;

/// Where records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The ring of a CPU.
    Cpu(u32),
    /// A JVM, by its place in the order in which they were added.
    Jvm(usize),
}

/// What an item holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Records.
    Records,
    /// One definition.
    Definition,
    /// Nothing more comes of this stream.
    End,
}

/// Some bytes of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub source: Source,
    pub kind: Kind,
    /// A JVM's stream number; 0 for a CPU.
    pub stream: u32,
    /// Thread of a JVM's stream, as the JVM sees it.
    pub tid: u32,
    /// Records lost directly before these.
    pub lost_before: u64,
    /// Where in the parcel.
    pub bytes: Range<usize>,
}

/// A buffer with what was drained, in the order of each stream.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub bytes: Vec<u8>,
    pub items: Vec<Item>,
}

impl Parcel {
    pub fn new() -> Parcel {
        let mut bytes = vec![1; PARCEL_BYTES];
        // Written once, so that its pages are there before the first record comes.
        bytes.clear();
        Parcel {
            bytes,
            items: Vec::with_capacity(ITEMS_MAX),
        }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// Bytes that still fit, 0 when no item does.
    pub fn space(&self) -> usize {
        if self.items_left() > 0 {
            self.bytes.capacity() - self.bytes.len()
        } else {
            0
        }
    }

    /// Items that still fit.
    pub fn items_left(&self) -> usize {
        ITEMS_MAX.saturating_sub(self.items.len())
    }

    /// Adds an item for the bytes that were appended since `from`.
    pub fn close_item(&mut self, from: usize, item: Item) {
        self.items.push(Item {
            bytes: from..self.bytes.len(),
            ..item
        });
    }
}

impl Item {
    /// An item of a stream; its bytes are set by [`Parcel::close_item`].
    pub fn new(source: Source, kind: Kind, stream: u32, tid: u32, lost_before: u64) -> Item {
        Item {
            source,
            kind,
            stream,
            tid,
            lost_before,
            bytes: 0..0,
        }
    }
}

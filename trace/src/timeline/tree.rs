//! Writing sequences: rows gather in a block, blocks' entries in a node, nodes' entries in the node above. Memory grows with the logarithm of a sequence's length.

use super::error::TimelineError;
use super::format::{BLOCK_ROWS, Entry, FANOUT, Sequence, SequenceKind};
use super::output::Output;
use super::rows::{self, Row};

/// The tree over the blocks of one sequence.
#[derive(Debug, Default)]
pub(super) struct TreeBuilder {
    /// Entries that wait for their node, by height.
    waiting: Vec<Vec<Entry>>,
    last_ns: u64,
}

impl TreeBuilder {
    /// Adds a block of `count` rows with the smallest begin and the largest end that it holds.
    pub(super) fn push(
        &mut self,
        raw: &[u8],
        count: usize,
        span: (u64, u64),
        out: &mut Output,
    ) -> Result<(), TimelineError> {
        let extent = out.put_packed(raw)?;
        self.last_ns = self.last_ns.max(span.1);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.add(
            0,
            Entry {
                extent,
                count,
                first_ns: span.0,
                last_ns: self.last_ns,
            },
            out,
        )
    }

    fn add(&mut self, height: usize, entry: Entry, out: &mut Output) -> Result<(), TimelineError> {
        if self.waiting.len() == height {
            self.waiting.push(Vec::new());
        }
        self.waiting[height].push(entry);
        if self.waiting[height].len() < FANOUT {
            return Ok(());
        }
        let node = self.node(height, out)?;
        self.add(height + 1, node, out)
    }

    /// Writes a node over the waiting entries of a height.
    fn node(&mut self, height: usize, out: &mut Output) -> Result<Entry, TimelineError> {
        let entries = std::mem::take(&mut self.waiting[height]);
        Ok(Entry {
            extent: out.put(&Entry::node_to_bytes(&entries))?,
            count: entries.iter().fold(0, |count, entry| count.wrapping_add(entry.count)),
            first_ns: entries.iter().map(|entry| entry.first_ns).min().unwrap_or_default(),
            last_ns: entries.last().map_or(0, |entry| entry.last_ns),
        })
    }

    /// The root and its height; `None` where there is no row.
    pub(super) fn finish(mut self, out: &mut Output) -> Result<Option<(Entry, u8)>, TimelineError> {
        let mut height = 0;
        while height < self.waiting.len() {
            let is_top = height + 1 == self.waiting.len();
            match (self.waiting[height].as_slice(), is_top) {
                (&[root], true) => return Ok(Some((root, height as u8))),
                (&[], _) => {}
                _ => {
                    let node = self.node(height, out)?;
                    self.add(height + 1, node, out)?;
                }
            }
            height += 1;
        }
        Ok(None)
    }
}

/// Writes one sequence.
#[derive(Debug)]
pub(super) struct RowsWriter<R> {
    kind: SequenceKind,
    level: u8,
    rows: Vec<R>,
    tree: TreeBuilder,
    last_ns: u64,
    disorder_ns: u64,
}

impl<R: Row> RowsWriter<R> {
    pub(super) fn new(kind: SequenceKind, level: u8) -> RowsWriter<R> {
        RowsWriter {
            kind,
            level,
            rows: Vec::new(),
            tree: TreeBuilder::default(),
            last_ns: 0,
            disorder_ns: 0,
        }
    }

    /// Adds a row. Gives how many rows more (or less) are in memory now.
    pub(super) fn push(&mut self, row: R, out: &mut Output) -> Result<isize, TimelineError> {
        let end_ns = row.span().1;
        self.disorder_ns = self.disorder_ns.max(self.last_ns.saturating_sub(end_ns));
        self.last_ns = self.last_ns.max(end_ns);
        self.rows.push(row);
        if self.rows.len() < BLOCK_ROWS {
            Ok(1)
        } else {
            Ok(1 - self.flush(out)? as isize)
        }
    }

    /// The last row, unless it was written.
    pub(super) fn last_mut(&mut self) -> Option<&mut R> {
        self.rows.last_mut()
    }

    /// End of the last row, or 0.
    pub(super) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Writes what is in memory and gives how many rows it was.
    pub(super) fn flush(&mut self, out: &mut Output) -> Result<usize, TimelineError> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(0);
        }
        let mut raw = Vec::new();
        rows::encode(&rows, self.level, &mut raw);
        let first_ns = rows.iter().map(|row| row.span().0).min().unwrap_or_default();
        let last_ns = rows.iter().map(|row| row.span().1).max().unwrap_or_default();
        self.tree.push(&raw, rows.len(), (first_ns, last_ns), out)?;
        Ok(rows.len())
    }

    pub(super) fn finish(mut self, out: &mut Output) -> Result<Option<Sequence>, TimelineError> {
        self.flush(out)?;
        let Self {
            kind,
            level,
            disorder_ns,
            ..
        } = self;
        Ok(self.tree.finish(out)?.map(|(root, height)| Sequence {
            kind,
            level,
            height,
            disorder_ns,
            root,
        }))
    }
}

//! Length classes: how slices and units are found by time.
//!
//! Rows come when they end, and a window needs all that overlap it, also one that began hours ago. So each class of lengths is a sequence of its own, in
//! order of end: class 0 is shorter than 1024 ns, class k from 1024 × 4^(k-1) to 1024 × 4^k ns. What overlaps a window ends in it or at most the class's longest
//! length behind it, and of such long rows there are few: at most four for each level of nesting. A viewer that cannot show what is shorter than a pixel
//! does not read the lower classes at all.

use super::error::TimelineError;
use super::format::{Sequence, SequenceKind};
use super::output::Output;
use super::rows::Row;
use super::tree::RowsWriter;
use std::collections::BTreeMap;

const CLASS_0_SHIFT: u32 = 10;

/// The class of a length.
pub(super) fn class_of(length_ns: u64) -> u8 {
    match length_ns.checked_ilog2() {
        Some(log) if log >= CLASS_0_SHIFT => ((log - CLASS_0_SHIFT) / 2 + 1) as u8,
        _ => 0,
    }
}

/// All lengths of a class are below this.
pub(super) fn class_end_ns(class: u8) -> u64 {
    1u64.checked_shl(CLASS_0_SHIFT + 2 * u32::from(class))
        .unwrap_or(u64::MAX)
}

/// Writes the classes of one track.
#[derive(Debug)]
pub(super) struct ClassesWriter<R> {
    kind: SequenceKind,
    classes: BTreeMap<u8, RowsWriter<R>>,
}

impl<R: Row> ClassesWriter<R> {
    pub(super) fn new(kind: SequenceKind) -> ClassesWriter<R> {
        ClassesWriter {
            kind,
            classes: BTreeMap::new(),
        }
    }

    /// Adds a row. Gives how many rows more (or less) are in memory now.
    pub(super) fn push(&mut self, row: R, out: &mut Output) -> Result<isize, TimelineError> {
        let (start_ns, end_ns) = row.span();
        let class = class_of(end_ns.saturating_sub(start_ns));
        self.classes
            .entry(class)
            .or_insert_with(|| RowsWriter::new(self.kind, class))
            .push(row, out)
    }

    pub(super) fn flush(&mut self, out: &mut Output) -> Result<(), TimelineError> {
        self.classes
            .values_mut()
            .try_for_each(|class| class.flush(out).map(|_| ()))
    }

    pub(super) fn finish(self, out: &mut Output) -> Result<Vec<Sequence>, TimelineError> {
        let sequences = self.classes.into_values().map(|class| class.finish(out));
        Ok(sequences
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_lies_in_its_class() {
        let lengths = (0..64).flat_map(|shift| [(1u64 << shift) - 1, 1 << shift, (1 << shift) + 1]);
        for length in lengths.chain([u64::MAX]) {
            let class = class_of(length);
            assert!(
                length < class_end_ns(class) || class_end_ns(class) == u64::MAX,
                "{length}"
            );
            assert!(class == 0 || length >= class_end_ns(class - 1), "{length}");
        }
    }
}

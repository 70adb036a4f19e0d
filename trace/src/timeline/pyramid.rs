//! The level-of-detail pyramid over a sequence of states, occupancy or samples: each level's buckets are four times as wide as those of the level below.
//!
//! The first level is chosen by the sequence's density, so that a bucket holds about eight rows where most of them are; where they are sparse, one long row is
//! one row. Levels end where a screen's row holds the whole sequence. A sequence of few rows has no pyramid: they are read themselves.

use super::buckets::{Buckets, Closed, join};
use super::error::TimelineError;
use super::format::{Entry, Sequence, SequenceKind};
use super::model::{CoarseOccupancy, CoarseState, CounterPoint, Occupancy};
use super::output::Output;
use super::source::{Range, Source};
use super::stretch::Stretch;
use super::tree::RowsWriter;

/// Sequences of fewer rows have no pyramid.
const ROWS_MIN: u64 = 1024;
/// log2 of the rows that a bucket of the first level holds.
const ROWS_SHIFT: u8 = 3;
/// A level with fewer buckets has no level above it.
const BUCKETS_MIN: u64 = 64;
const SHIFT_MAX: u8 = 50;

/// The levels over a sequence that was written to `source`; none over one that has none.
pub(super) fn build(source: &Source, exact: &Sequence, out: &mut Output) -> Result<Vec<Sequence>, TimelineError> {
    match exact.kind {
        SequenceKind::States => build_of(source, exact, out, |entry| {
            let (_, intervals) = source.states(entry)?;
            Ok(intervals.into_iter().map(CoarseState::from).collect())
        }),
        SequenceKind::Occupancy => build_of(source, exact, out, |entry| {
            let rows: Vec<Occupancy> = source.rows(entry, exact.level)?;
            Ok(rows.into_iter().map(CoarseOccupancy::from).collect())
        }),
        SequenceKind::Counter => build_of::<CounterPoint>(source, exact, out, |entry| source.rows(entry, exact.level)),
        _ => Ok(Vec::new()),
    }
}

fn build_of<S: Stretch>(
    source: &Source,
    exact: &Sequence,
    out: &mut Output,
    rows: impl Fn(&Entry) -> Result<Vec<S>, TimelineError>,
) -> Result<Vec<Sequence>, TimelineError> {
    let Some(shift) = Density::of(source, exact)?.first_shift() else {
        return Ok(Vec::new());
    };
    let mut pyramid = PyramidBuilder::new(shift, exact.root.last_ns - exact.root.first_ns);
    source.blocks(exact, Range::ALL, &mut |entry| {
        rows(entry)?.into_iter().try_for_each(|row| pyramid.add(row, out))
    })?;
    pyramid.finish(out)
}

/// How dense a sequence is: the mean of the logarithm of the rows' lengths, blockwise.
#[derive(Clone, Copy, Debug, Default)]
struct Density {
    rows: u64,
    log_sum: f64,
}

impl Density {
    /// Reads the nodes of a sequence, and no block.
    fn of(source: &Source, sequence: &Sequence) -> Result<Density, TimelineError> {
        let mut density = Density::default();
        source.blocks(sequence, Range::ALL, &mut |block| {
            let (rows, ns) = (f64::from(block.count), (block.last_ns - block.first_ns) as f64);
            density.rows += u64::from(block.count);
            density.log_sum += (ns / rows).log2() * rows;
            Ok(())
        })?;
        Ok(density)
    }

    /// log2 of the width of the first level's buckets; `None` where no pyramid is worth it.
    fn first_shift(&self) -> Option<u8> {
        let log = self.log_sum / self.rows as f64;
        (self.rows >= ROWS_MIN).then_some((log.max(0.0) as u8 + ROWS_SHIFT).min(SHIFT_MAX))
    }
}

#[derive(Debug)]
struct Level<S: Stretch> {
    buckets: Buckets<S>,
    writer: RowsWriter<S>,
}

/// Builds all levels at once.
#[derive(Debug)]
struct PyramidBuilder<S: Stretch> {
    levels: Vec<Level<S>>,
    /// What a level completed, and what the level above completed of that: kept to save allocations.
    closed: (Vec<Closed<S>>, Vec<Closed<S>>),
}

impl<S: Stretch> PyramidBuilder<S> {
    /// A pyramid over so many ns.
    fn new(first_shift: u8, ns: u64) -> PyramidBuilder<S> {
        let shifts = (first_shift..=SHIFT_MAX)
            .step_by(2)
            .take_while(|&shift| shift == first_shift || ns >> (shift - 2) >= BUCKETS_MIN);
        let level = |shift| Level {
            buckets: Buckets::new(1u64 << shift),
            writer: RowsWriter::new(S::LEVELS, shift),
        };
        PyramidBuilder {
            levels: shifts.map(level).collect(),
            closed: (Vec::new(), Vec::new()),
        }
    }

    /// Adds the next row.
    fn add(&mut self, row: S, out: &mut Output) -> Result<(), TimelineError> {
        self.levels[0].buckets.add(row, &mut self.closed.0);
        self.rise(0, out)
    }

    /// Writes what a level completed and takes it to the levels above.
    fn rise(&mut self, from: usize, out: &mut Output) -> Result<(), TimelineError> {
        let (closed, above_closed) = (&mut self.closed.0, &mut self.closed.1);
        for at in from..self.levels.len() {
            if closed.is_empty() {
                break;
            }
            let (below, above) = self.levels.split_at_mut(at + 1);
            for item in closed.drain(..) {
                write(&mut below[at].writer, &item, out)?;
                match (above.first_mut(), item) {
                    (Some(above), Closed::Run(run)) => above.buckets.add(run, above_closed),
                    (Some(above), Closed::Mixed(bucket)) => above.buckets.merge(&bucket, above_closed),
                    (None, _) => {}
                }
            }
            std::mem::swap(closed, above_closed);
        }
        Ok(())
    }

    /// Completes all levels.
    fn finish(mut self, out: &mut Output) -> Result<Vec<Sequence>, TimelineError> {
        for at in 0..self.levels.len() {
            self.levels[at].buckets.close(&mut self.closed.0);
            self.rise(at, out)?;
            self.closed.0.clear();
        }
        let sequences = self.levels.into_iter().map(|level| level.writer.finish(out));
        Ok(sequences
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }
}

fn write<S: Stretch>(writer: &mut RowsWriter<S>, item: &Closed<S>, out: &mut Output) -> Result<(), TimelineError> {
    let next = item.stretch();
    if !join(writer.last_mut(), &next) {
        writer.push(next, out)?;
    }
    Ok(())
}

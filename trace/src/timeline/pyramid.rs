//! The level-of-detail pyramid over the states of a track: each level's buckets are four times as wide as those of the level below.
//!
//! The first level is chosen by the track's density, so that a bucket holds about eight intervals where most of them are; where they are sparse, one long interval is
//! one row. Levels end where a screen's row holds the whole track. A track with few intervals has no pyramid: they are read themselves.

use super::buckets::{Buckets, Closed, join};
use super::error::TimelineError;
use super::format::{Sequence, SequenceKind};
use super::model::{CoarseState, StateInterval};
use super::output::Output;
use super::tree::RowsWriter;
use crate::State;

/// Tracks with fewer intervals have no pyramid.
const INTERVALS_MIN: u64 = 1024;
/// log2 of the intervals that a bucket of the first level holds.
const INTERVALS_SHIFT: u8 = 3;
/// A level with fewer buckets has no level above it.
const BUCKETS_MIN: u64 = 64;
const SHIFT_MAX: u8 = 50;

/// How dense a track is: the mean of the logarithm of the intervals' lengths, blockwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Density {
    intervals: u64,
    log_sum: f64,
}

impl Density {
    /// Counts a block of so many intervals over so many ns.
    pub(super) fn add(&mut self, intervals: usize, ns: u64) {
        self.intervals += intervals as u64;
        self.log_sum += (ns as f64 / intervals as f64).log2() * intervals as f64;
    }

    /// log2 of the width of the first level's buckets; `None` where no pyramid is worth it.
    pub(super) fn first_shift(&self) -> Option<u8> {
        let log = self.log_sum / self.intervals as f64;
        (self.intervals >= INTERVALS_MIN).then_some((log.max(0.0) as u8 + INTERVALS_SHIFT).min(SHIFT_MAX))
    }
}

/// An interval as it looks from afar.
pub(super) fn coarse(interval: &StateInterval) -> CoarseState {
    let running = if interval.state == State::Running { u8::MAX } else { 0 };
    CoarseState {
        start_ns: interval.start_ns,
        end_ns: interval.end_ns,
        state: interval.state,
        running,
    }
}

#[derive(Debug)]
struct Level {
    buckets: Buckets,
    writer: RowsWriter<CoarseState>,
}

/// Builds the levels of one track, all at once.
#[derive(Debug)]
pub(super) struct PyramidBuilder {
    levels: Vec<Level>,
    /// What a level completed, and what the level above completed of that: kept to save allocations.
    closed: (Vec<Closed>, Vec<Closed>),
}

impl PyramidBuilder {
    /// A pyramid over so many ns.
    pub(super) fn new(first_shift: u8, ns: u64) -> PyramidBuilder {
        let shifts = (first_shift..=SHIFT_MAX)
            .step_by(2)
            .take_while(|&shift| shift == first_shift || ns >> (shift - 2) >= BUCKETS_MIN);
        let level = |shift| Level {
            buckets: Buckets::new(1u64 << shift),
            writer: RowsWriter::new(SequenceKind::Coarse, shift),
        };
        PyramidBuilder {
            levels: shifts.map(level).collect(),
            closed: Default::default(),
        }
    }

    /// Adds an interval.
    pub(super) fn add(&mut self, interval: &StateInterval, out: &mut Output) -> Result<(), TimelineError> {
        self.levels[0].buckets.add(coarse(interval), &mut self.closed.0);
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
    pub(super) fn finish(mut self, out: &mut Output) -> Result<Vec<Sequence>, TimelineError> {
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

fn write(writer: &mut RowsWriter<CoarseState>, item: &Closed, out: &mut Output) -> Result<(), TimelineError> {
    let next = item.stretch();
    if !join(writer.last_mut(), &next) {
        writer.push(next, out)?;
    }
    Ok(())
}

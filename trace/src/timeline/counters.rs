//! Writing the samples of a counter.

use super::error::TimelineError;
use super::format::{Sequence, SequenceKind};
use super::model::CounterPoint;
use super::output::Output;
use super::tree::RowsWriter;

/// The samples of one track. The last one waits here until the next: only then is it known how long it holds.
#[derive(Debug)]
pub(super) struct CounterWriter {
    last: Option<(u64, i64)>,
    points: RowsWriter<CounterPoint>,
}

impl CounterWriter {
    pub(super) fn new() -> CounterWriter {
        CounterWriter {
            last: None,
            points: RowsWriter::new(SequenceKind::Counter, 0),
        }
    }

    /// Time of the last sample.
    pub(super) fn last_ns(&self) -> Option<u64> {
        self.last.map(|(time_ns, _)| time_ns)
    }

    /// Adds a sample, which is later than the last. Gives how many rows more (or less) are in memory now.
    pub(super) fn push(&mut self, time_ns: u64, value: i64, out: &mut Output) -> Result<isize, TimelineError> {
        let more = self.end(time_ns, out)?;
        self.last = Some((time_ns, value));
        Ok(more)
    }

    /// The last sample holds until here.
    fn end(&mut self, end_ns: u64, out: &mut Output) -> Result<isize, TimelineError> {
        let Some((start_ns, value)) = self.last.take() else {
            return Ok(0);
        };
        let point = CounterPoint {
            start_ns,
            end_ns,
            min: value,
            max: value,
            last: value,
        };
        self.points.push(point, out)
    }

    pub(super) fn flush(&mut self, out: &mut Output) -> Result<(), TimelineError> {
        self.points.flush(out).map(|_| ())
    }

    /// Completes the sequence; the last sample holds until the track's end, and for an instant at least.
    pub(super) fn finish(mut self, track_end_ns: u64, out: &mut Output) -> Result<Option<Sequence>, TimelineError> {
        if let Some((time_ns, _)) = self.last {
            self.end(track_end_ns.max(time_ns + 1), out)?;
        }
        self.points.finish(out)
    }
}

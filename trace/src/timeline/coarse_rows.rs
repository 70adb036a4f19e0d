//! Rows of levels of detail as columns. Their first three columns are the same: gap to the end before, buckets touched, what is missing in the last of them.

use super::model::{CoarseOccupancy, CoarseState, CounterPoint};
use super::rows::{Row, code_track};
use crate::State;
use crate::columns::Coder;

const GAP: usize = 0;
const BUCKETS: usize = 1;
const MISSING: usize = 2;

/// Where a coarse block is: the width of its level, and the end of the row before.
pub(super) struct CoarseModel {
    shift: u8,
    last_ns: u64,
}

impl CoarseModel {
    fn new(level: u8) -> CoarseModel {
        CoarseModel {
            shift: level,
            last_ns: 0,
        }
    }

    /// Codes begin and end of a row.
    fn code(&mut self, coder: &mut impl Coder, (start_ns, end_ns): (u64, u64)) -> Option<(u64, u64)> {
        let shift = self.shift;
        // The bucket of the last instant, and how far the row stays behind that bucket's end.
        let last_bucket = end_ns.saturating_sub(1) >> shift;
        let actual_buckets = last_bucket.wrapping_sub(start_ns >> shift);
        let actual_last = (last_bucket << shift) | ((1 << shift) - 1);
        let actual_missing = actual_last.wrapping_sub(end_ns.wrapping_sub(1));
        let gap = coder.number(GAP, start_ns.wrapping_sub(self.last_ns))?;
        let start_ns = self.last_ns.checked_add(gap)?;
        let buckets = coder.number(BUCKETS, actual_buckets)?;
        let bucket_last = (start_ns >> shift)
            .checked_add(buckets)?
            .checked_add(1)?
            .checked_shl(u32::from(shift))?
            .wrapping_sub(1);
        let missing = coder.number(MISSING, actual_missing)?;
        self.last_ns = bucket_last.checked_sub(missing)?.checked_add(1)?;
        Some((start_ns, self.last_ns))
    }
}

/// Columns: begin and end, state, share.
impl Row for CoarseState {
    const COLUMNS: usize = 5;
    const BLANK: CoarseState = CoarseState {
        start_ns: 0,
        end_ns: 0,
        state: State::Unknown,
        running: 0,
    };
    type Model = CoarseModel;

    fn model(level: u8) -> CoarseModel {
        CoarseModel::new(level)
    }

    fn code(coder: &mut impl Coder, model: &mut CoarseModel, actual: &CoarseState) -> Option<CoarseState> {
        let (start_ns, end_ns) = model.code(coder, actual.span())?;
        let state = State::from_u8(coder.byte(3, actual.state as u8)?)?;
        let running = coder.byte(4, actual.running)?;
        Some(CoarseState {
            start_ns,
            end_ns,
            state,
            running,
        })
    }

    fn span(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns)
    }

    fn is_sound(&self, _track_count: u32) -> bool {
        self.start_ns < self.end_ns && self.state != State::Stolen
    }
}

/// Columns: begin and end, track + 1 or 0, share.
impl Row for CoarseOccupancy {
    const COLUMNS: usize = 5;
    const BLANK: CoarseOccupancy = CoarseOccupancy {
        start_ns: 0,
        end_ns: 0,
        track: None,
        busy: 0,
    };
    type Model = CoarseModel;

    fn model(level: u8) -> CoarseModel {
        CoarseModel::new(level)
    }

    fn code(coder: &mut impl Coder, model: &mut CoarseModel, actual: &CoarseOccupancy) -> Option<CoarseOccupancy> {
        let (start_ns, end_ns) = model.code(coder, actual.span())?;
        let track = code_track(coder, 3, actual.track)?;
        let busy = coder.byte(4, actual.busy)?;
        Some(CoarseOccupancy {
            start_ns,
            end_ns,
            track,
            busy,
        })
    }

    fn span(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns)
    }

    fn is_sound(&self, track_count: u32) -> bool {
        let track_is_sound = match self.track {
            Some(track) => track.0 < track_count && self.busy > 0,
            None => self.busy == 0,
        };
        self.start_ns < self.end_ns && track_is_sound
    }
}

/// Columns: begin and end, difference of the last value to the one before, how far the smallest is below it, how far the largest is above it.
impl Row for CounterPoint {
    const COLUMNS: usize = 6;
    const BLANK: CounterPoint = CounterPoint {
        start_ns: 0,
        end_ns: 0,
        min: 0,
        max: 0,
        last: 0,
    };
    /// With the last value before.
    type Model = (CoarseModel, i64);

    fn model(level: u8) -> Self::Model {
        (CoarseModel::new(level), 0)
    }

    fn code(coder: &mut impl Coder, (model, before): &mut Self::Model, actual: &CounterPoint) -> Option<CounterPoint> {
        let (start_ns, end_ns) = model.code(coder, actual.span())?;
        let last = coder.delta(3, actual.last as u64, *before as u64)? as i64;
        let below = coder.number(4, actual.last.wrapping_sub(actual.min) as u64)?;
        let above = coder.number(5, actual.max.wrapping_sub(actual.last) as u64)?;
        *before = last;
        Some(CounterPoint {
            start_ns,
            end_ns,
            min: last.checked_sub_unsigned(below)?,
            max: last.checked_add_unsigned(above)?,
            last,
        })
    }

    fn span(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns)
    }

    fn is_sound(&self, _track_count: u32) -> bool {
        self.start_ns < self.end_ns
    }
}

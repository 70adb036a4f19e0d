//! What can be seen from afar: states of a thread, occupancy of a CPU, values of a counter. Each says how stretches add up to a wider one.

use super::format::SequenceKind;
use super::model::{CoarseOccupancy, CoarseState, CounterPoint, Occupancy, StateInterval, TrackId};
use super::rows::Row;
use crate::{STATE_COUNT, State};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Shares are parts of this.
const WHOLE: u64 = u8::MAX as u64;

/// A row that has levels of detail. Sums of neighbours must add up to the sum of both, so that every level tells the same.
pub(super) trait Stretch: Row + PartialEq + Debug {
    /// The sequences of its levels.
    const LEVELS: SequenceKind;
    /// What lay in a bucket.
    type Sum: Clone + Default + Debug;

    /// The same at another place.
    fn at(self, start_ns: u64, end_ns: u64) -> Self;
    /// Takes so many ns of it into a sum.
    fn add_to(&self, sum: &mut Self::Sum, ns: u64);
    /// Takes a later sum into a sum.
    fn merge(sum: &mut Self::Sum, later: &Self::Sum);
    /// What a bucket looks like.
    fn of(sum: &Self::Sum, start_ns: u64, end_ns: u64) -> Self;
}

/// The mean of what was weighed by ns, rounded; at least 1 where there was any at all.
fn share(weighed: u128, ns: u64) -> u8 {
    if weighed == 0 {
        return 0;
    }
    let ns = ns.max(1);
    // Wide divisions are slow, and only buckets of years need them.
    let share = match u64::try_from(weighed + u128::from(ns / 2)) {
        Ok(weighed) => weighed / ns,
        Err(_) => ((weighed + u128::from(ns / 2)) / u128::from(ns)) as u64,
    };
    share.clamp(1, WHOLE) as u8
}

fn weigh(ns: u64, share: u8) -> u128 {
    u128::from(ns) * u128::from(share)
}

impl From<StateInterval> for CoarseState {
    fn from(interval: StateInterval) -> CoarseState {
        let running = if interval.state == State::Running { u8::MAX } else { 0 };
        CoarseState {
            start_ns: interval.start_ns,
            end_ns: interval.end_ns,
            state: interval.state,
            running,
        }
    }
}

/// States of a bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct StatesSum {
    ns: [u64; STATE_COUNT],
    /// Sum of length x share on a CPU.
    running: u128,
}

impl Stretch for CoarseState {
    const LEVELS: SequenceKind = SequenceKind::Coarse;
    type Sum = StatesSum;

    fn at(self, start_ns: u64, end_ns: u64) -> CoarseState {
        CoarseState {
            start_ns,
            end_ns,
            ..self
        }
    }

    fn add_to(&self, sum: &mut StatesSum, ns: u64) {
        sum.ns[self.state as usize] += ns;
        sum.running += weigh(ns, self.running);
    }

    fn merge(sum: &mut StatesSum, later: &StatesSum) {
        for (mine, theirs) in sum.ns.iter_mut().zip(later.ns) {
            *mine += theirs;
        }
        sum.running += later.running;
    }

    /// What was there most; of two equals the first in the order of states.
    fn of(sum: &StatesSum, start_ns: u64, end_ns: u64) -> CoarseState {
        let mut most = 0;
        for (state, &ns) in sum.ns.iter().enumerate() {
            if ns > sum.ns[most] {
                most = state;
            }
        }
        CoarseState {
            start_ns,
            end_ns,
            state: State::ALL[most],
            running: share(sum.running, end_ns.saturating_sub(start_ns)),
        }
    }
}

impl From<Occupancy> for CoarseOccupancy {
    fn from(occupancy: Occupancy) -> CoarseOccupancy {
        CoarseOccupancy {
            start_ns: occupancy.start_ns,
            end_ns: occupancy.end_ns,
            track: occupancy.track,
            busy: if occupancy.track.is_some() { u8::MAX } else { 0 },
        }
    }
}

/// Occupancy of a bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct OccupancySum {
    /// Of what is known.
    ns: u64,
    /// Sum of length x share, by thread.
    busy: BTreeMap<TrackId, u128>,
}

impl Stretch for CoarseOccupancy {
    const LEVELS: SequenceKind = SequenceKind::CoarseOccupancy;
    type Sum = OccupancySum;

    fn at(self, start_ns: u64, end_ns: u64) -> CoarseOccupancy {
        CoarseOccupancy {
            start_ns,
            end_ns,
            ..self
        }
    }

    fn add_to(&self, sum: &mut OccupancySum, ns: u64) {
        sum.ns += ns;
        if let Some(track) = self.track {
            *sum.busy.entry(track).or_default() += weigh(ns, self.busy);
        }
    }

    fn merge(sum: &mut OccupancySum, later: &OccupancySum) {
        sum.ns += later.ns;
        for (&track, &busy) in &later.busy {
            *sum.busy.entry(track).or_default() += busy;
        }
    }

    /// Who had it most; of two equals the one with the smaller number.
    fn of(sum: &OccupancySum, start_ns: u64, end_ns: u64) -> CoarseOccupancy {
        let by_share = |&(&track, &busy): &(&TrackId, &u128)| (busy, std::cmp::Reverse(track));
        CoarseOccupancy {
            start_ns,
            end_ns,
            track: sum.busy.iter().max_by_key(by_share).map(|(&track, _)| track),
            busy: share(sum.busy.values().sum(), sum.ns),
        }
    }
}

/// Values of a bucket, `None` before the first.
impl Stretch for CounterPoint {
    const LEVELS: SequenceKind = SequenceKind::CoarseCounter;
    type Sum = Option<CounterPoint>;

    fn at(self, start_ns: u64, end_ns: u64) -> CounterPoint {
        CounterPoint {
            start_ns,
            end_ns,
            ..self
        }
    }

    fn add_to(&self, sum: &mut Self::Sum, _ns: u64) {
        let before = sum.unwrap_or(*self);
        *sum = Some(CounterPoint {
            min: before.min.min(self.min),
            max: before.max.max(self.max),
            ..*self
        });
    }

    fn merge(sum: &mut Self::Sum, later: &Self::Sum) {
        if let Some(later) = later {
            later.add_to(sum, 0);
        }
    }

    fn of(sum: &Self::Sum, start_ns: u64, end_ns: u64) -> CounterPoint {
        sum.unwrap_or(CounterPoint::BLANK).at(start_ns, end_ns)
    }
}

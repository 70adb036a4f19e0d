//! Buckets: states seen from afar. Cuts a run of stretches into buckets of equal width and says of each what was there most.

use super::model::CoarseState;
use crate::{STATE_COUNT, State};

/// Shares are parts of this.
const WHOLE: u64 = u8::MAX as u64;

/// What lay in a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    start_ns: u64,
    end_ns: u64,
    ns: [u64; STATE_COUNT],
    /// Sum of length x share on a CPU.
    running: u128,
}

impl Bucket {
    fn new(start_ns: u64) -> Bucket {
        Bucket {
            start_ns,
            end_ns: start_ns,
            ns: [0; STATE_COUNT],
            running: 0,
        }
    }

    fn add(&mut self, state: State, running: u8, until_ns: u64) {
        let length = until_ns - self.end_ns;
        self.ns[state as usize] += length;
        self.running += u128::from(length) * u128::from(running);
        self.end_ns = until_ns;
    }

    fn merge(&mut self, later: &Bucket) {
        for (mine, theirs) in self.ns.iter_mut().zip(later.ns) {
            *mine += theirs;
        }
        self.running += later.running;
        self.end_ns = later.end_ns;
    }

    /// The part of the time on a CPU, rounded.
    fn share(&self) -> u8 {
        let length = (self.end_ns - self.start_ns).max(1);
        // Wide divisions are slow, and only buckets of years need them.
        let share = match u64::try_from(self.running + u128::from(length / 2)) {
            Ok(running) => running / length,
            Err(_) => ((self.running + u128::from(length / 2)) / u128::from(length)) as u64,
        };
        share.min(WHOLE) as u8
    }

    /// What was there most; of two equals the first in the order of states. Who was on a CPU at all, has a share of 1 at least.
    fn stretch(&self) -> CoarseState {
        let mut most = 0;
        for (state, &ns) in self.ns.iter().enumerate() {
            if ns > self.ns[most] {
                most = state;
            }
        }
        let running = if self.running > 0 { self.share().max(1) } else { 0 };
        CoarseState {
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            state: State::ALL[most],
            running,
        }
    }
}

/// What leaves a [`Buckets`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Closed {
    /// Whole buckets of one stretch.
    Run(CoarseState),
    /// One bucket.
    Mixed(Bucket),
}

impl Closed {
    pub(super) fn stretch(&self) -> CoarseState {
        match self {
            Closed::Run(stretch) => *stretch,
            Closed::Mixed(bucket) => bucket.stretch(),
        }
    }
}

/// Cuts stretches, which must come in order, into buckets whose borders are multiples of a width.
#[derive(Debug)]
pub(super) struct Buckets {
    width_ns: u64,
    open: Option<Bucket>,
    /// Where the open bucket ends.
    limit_ns: u64,
}

impl Buckets {
    pub(super) fn new(width_ns: u64) -> Buckets {
        Buckets {
            width_ns: width_ns.max(1),
            open: None,
            limit_ns: 0,
        }
    }

    /// Opens the bucket that holds `at_ns`.
    fn open(&mut self, at_ns: u64) -> &mut Bucket {
        self.limit_ns = (at_ns - at_ns % self.width_ns).saturating_add(self.width_ns);
        self.open.insert(Bucket::new(at_ns))
    }

    /// Adds a stretch; what it completes goes to `closed`.
    pub(super) fn add(&mut self, stretch: CoarseState, closed: &mut Vec<Closed>) {
        self.close_before(stretch.start_ns, closed);
        let mut at_ns = stretch.start_ns;
        while at_ns < stretch.end_ns {
            if self.open.is_none() && stretch.end_ns - at_ns >= self.width_ns && at_ns.is_multiple_of(self.width_ns) {
                let end_ns = stretch.end_ns - stretch.end_ns % self.width_ns;
                closed.push(Closed::Run(CoarseState {
                    start_ns: at_ns,
                    end_ns,
                    ..stretch
                }));
                at_ns = end_ns;
                continue;
            }
            if self.open.is_none() {
                self.open(at_ns);
            }
            let until_ns = stretch.end_ns.min(self.limit_ns);
            if let Some(bucket) = &mut self.open {
                bucket.add(stretch.state, stretch.running, until_ns);
            }
            at_ns = until_ns;
            if until_ns == self.limit_ns {
                self.close(closed);
            }
        }
    }

    /// Adds a narrower bucket, which lies within one of these.
    pub(super) fn merge(&mut self, bucket: &Bucket, closed: &mut Vec<Closed>) {
        self.close_before(bucket.start_ns, closed);
        match &mut self.open {
            Some(open) => open.merge(bucket),
            None => self.open(bucket.start_ns).merge(bucket),
        }
        if bucket.end_ns == self.limit_ns {
            self.close(closed);
        }
    }

    /// A gap in what comes ends a bucket.
    fn close_before(&mut self, start_ns: u64, closed: &mut Vec<Closed>) {
        if self.open.is_some_and(|open| open.end_ns != start_ns) {
            self.close(closed);
        }
    }

    /// Completes the last bucket, also in part.
    pub(super) fn close(&mut self, closed: &mut Vec<Closed>) {
        closed.extend(self.open.take().map(Closed::Mixed));
    }
}

/// Appends a stretch, or lengthens the last one where the two look the same.
pub(super) fn join(last: Option<&mut CoarseState>, next: &CoarseState) -> bool {
    match last {
        Some(last) if (last.end_ns, last.state, last.running) == (next.start_ns, next.state, next.running) => {
            last.end_ns = next.end_ns;
            true
        }
        _ => false,
    }
}

/// Stretches at another width.
pub(super) fn resample(stretches: impl Iterator<Item = CoarseState>, width_ns: u64) -> Vec<CoarseState> {
    let mut buckets = Buckets::new(width_ns);
    let mut closed = Vec::new();
    let mut result = Vec::new();
    let mut take = |closed: &mut Vec<Closed>| {
        for next in closed.drain(..) {
            let next = next.stretch();
            if !join(result.last_mut(), &next) {
                result.push(next);
            }
        }
    };
    for stretch in stretches {
        buckets.add(stretch, &mut closed);
        take(&mut closed);
    }
    buckets.close(&mut closed);
    take(&mut closed);
    result
}

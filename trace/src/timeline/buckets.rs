//! Buckets: stretches seen from afar. Cuts a run of stretches into buckets of equal width and says of each what was there.

use super::stretch::Stretch;

/// What lay in a bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket<S: Stretch> {
    start_ns: u64,
    end_ns: u64,
    sum: S::Sum,
}

/// What leaves a [`Buckets`].
#[derive(Clone, Debug)]
pub(super) enum Closed<S: Stretch> {
    /// Whole buckets of one stretch.
    Run(S),
    /// One bucket.
    Mixed(Bucket<S>),
}

impl<S: Stretch> Closed<S> {
    pub(super) fn stretch(&self) -> S {
        match self {
            Closed::Run(stretch) => *stretch,
            Closed::Mixed(bucket) => S::of(&bucket.sum, bucket.start_ns, bucket.end_ns),
        }
    }
}

/// Cuts stretches, which must come in order, into buckets whose borders are multiples of a width. A gap within a bucket is passed over.
#[derive(Debug)]
pub(super) struct Buckets<S: Stretch> {
    width_ns: u64,
    open: Option<Bucket<S>>,
    /// Where the open bucket ends.
    limit_ns: u64,
}

impl<S: Stretch> Buckets<S> {
    pub(super) fn new(width_ns: u64) -> Buckets<S> {
        Buckets {
            width_ns: width_ns.max(1),
            open: None,
            limit_ns: 0,
        }
    }

    /// The open bucket, and where it ends; where there is none, the one that holds `at_ns` is opened there.
    fn open(&mut self, at_ns: u64) -> (&mut Bucket<S>, u64) {
        let bucket = self.open.get_or_insert_with(|| {
            self.limit_ns = (at_ns - at_ns % self.width_ns).saturating_add(self.width_ns);
            Bucket {
                start_ns: at_ns,
                end_ns: at_ns,
                sum: S::Sum::default(),
            }
        });
        (bucket, self.limit_ns)
    }

    /// Adds a stretch; what it completes goes to `closed`.
    pub(super) fn add(&mut self, stretch: S, closed: &mut Vec<Closed<S>>) {
        let (mut at_ns, end_ns) = stretch.span();
        self.close_before(at_ns, closed);
        while at_ns < end_ns {
            if self.open.is_none() && end_ns - at_ns >= self.width_ns && at_ns.is_multiple_of(self.width_ns) {
                let until_ns = end_ns - end_ns % self.width_ns;
                closed.push(Closed::Run(stretch.at(at_ns, until_ns)));
                at_ns = until_ns;
                continue;
            }
            let (bucket, limit_ns) = self.open(at_ns);
            let until_ns = end_ns.min(limit_ns);
            stretch.add_to(&mut bucket.sum, until_ns - at_ns);
            bucket.end_ns = until_ns;
            at_ns = until_ns;
            self.close_full(closed);
        }
    }

    /// Adds a narrower bucket, which lies within one of these.
    pub(super) fn merge(&mut self, bucket: &Bucket<S>, closed: &mut Vec<Closed<S>>) {
        self.close_before(bucket.start_ns, closed);
        let (open, _) = self.open(bucket.start_ns);
        S::merge(&mut open.sum, &bucket.sum);
        open.end_ns = bucket.end_ns;
        self.close_full(closed);
    }

    /// What begins behind the open bucket ends it; so does what is out of order, as only made-up files have it.
    fn close_before(&mut self, start_ns: u64, closed: &mut Vec<Closed<S>>) {
        let end_ns = self.open.as_ref().map_or(start_ns, |open| open.end_ns);
        if start_ns < end_ns || start_ns >= self.limit_ns {
            self.close(closed);
        }
    }

    fn close_full(&mut self, closed: &mut Vec<Closed<S>>) {
        if self.open.as_ref().is_some_and(|open| open.end_ns == self.limit_ns) {
            self.close(closed);
        }
    }

    /// Completes the last bucket, also in part.
    pub(super) fn close(&mut self, closed: &mut Vec<Closed<S>>) {
        closed.extend(self.open.take().map(Closed::Mixed));
    }
}

/// Whether `next` looks like the stretch that it follows on, which then is lengthened by it.
pub(super) fn join<S: Stretch>(last: Option<&mut S>, next: &S) -> bool {
    let (start_ns, end_ns) = next.span();
    match last {
        Some(last) if last.span().1 == start_ns => {
            let joined = last.at(last.span().0, end_ns);
            let is_same = next.at(joined.span().0, end_ns) == joined;
            if is_same {
                *last = joined;
            }
            is_same
        }
        _ => false,
    }
}

/// A window in buckets of a width, out of the rows that overlap it: whole buckets, wherever the window begins, so that a picture does not change where it is moved.
pub(super) fn zoom<S: Stretch, E>(
    (from_ns, to_ns): (u64, u64),
    width_ns: u64,
    rows: impl FnOnce(u64, u64) -> Result<Vec<S>, E>,
) -> Result<Vec<S>, E> {
    if from_ns >= to_ns {
        return Ok(Vec::new());
    }
    let width_ns = width_ns.max(1);
    let from_ns = from_ns / width_ns * width_ns;
    let to_ns = to_ns.div_ceil(width_ns).saturating_mul(width_ns);
    let clipped = rows(from_ns, to_ns)?.into_iter().map(|row| {
        let (start_ns, end_ns) = row.span();
        row.at(start_ns.max(from_ns), end_ns.min(to_ns))
    });
    Ok(resample(clipped, width_ns))
}

/// Stretches at another width.
fn resample<S: Stretch>(stretches: impl Iterator<Item = S>, width_ns: u64) -> Vec<S> {
    let mut buckets = Buckets::new(width_ns);
    let mut closed = Vec::new();
    let mut result = Vec::new();
    let mut take = |closed: &mut Vec<Closed<S>>| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{CoarseOccupancy, CounterPoint, TrackId};
    use proptest::prelude::*;

    fn any_time() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..1000, any::<u64>(), u64::MAX - 1000..=u64::MAX]
    }

    proptest! {
        /// Whole files can be made up with the right checksums: rows that are out of order, overlap, or lie outside of what was asked for.
        #[test]
        fn rows_in_any_order_are_no_panic(
            rows in prop::collection::vec((any_time(), any_time(), any::<u8>(), any::<i64>()), 0..20),
            window in (any_time(), any_time()),
            width_ns in any_time(),
        ) {
            let occupancy = |&(start_ns, end_ns, busy, _): &(u64, u64, u8, i64)| CoarseOccupancy {
                start_ns,
                end_ns,
                track: (busy > 0).then_some(TrackId(u32::from(busy) % 3)),
                busy,
            };
            let point = |&(start_ns, end_ns, _, last): &(u64, u64, u8, i64)| CounterPoint { start_ns, end_ns, min: last, max: last, last };
            let busy = zoom(window, width_ns, |_, _| Ok::<_, ()>(rows.iter().map(occupancy).collect())).expect("rows");
            let values = zoom(window, width_ns, |_, _| Ok::<_, ()>(rows.iter().map(point).collect())).expect("rows");
            prop_assert!(busy.iter().all(|row| row.start_ns < row.end_ns && row.track.is_some() == (row.busy > 0)));
            prop_assert!(values.iter().all(|row| row.start_ns < row.end_ns && row.min <= row.last && row.last <= row.max));
        }
    }
}

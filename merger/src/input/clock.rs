//! TSC ticks to CLOCK_MONOTONIC: piecewise linear through the recorder's clock pairs, extrapolated at both ends.
//!
//! How far a converted time may be off is bounded by two things that the pairs themselves tell: how tightly each was taken, and how far
//! a pair lies from the line between its neighbours (the two clocks' rates differ by what NTP slews). [`ClockMap::uncertainty_ns`] is their sum.

use plumb_trace::recording::ClockPair;

/// A pair that is this many times looser than the median was disturbed and is left out.
const LOOSE: u64 = 4;
/// A pair that is tighter than this is never left out, ns.
const TIGHT_NS: u64 = 1_000;

/// The conversion of one boot of one host.
#[derive(Clone, Debug)]
pub(crate) struct ClockMap {
    points: Vec<Point>,
    uncertainty_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    tsc: u64,
    ns: u64,
    /// ns per tick up to the next point (for the last: from the one before it).
    slope: f64,
}

impl ClockMap {
    /// The conversion through `pairs`, or `None` where fewer than two of them can be used: one pair says nothing of the rate.
    pub(crate) fn new(mut pairs: Vec<ClockPair>) -> Option<ClockMap> {
        let loosest = loosest_used(&pairs);
        pairs.retain(|pair| pair.uncertainty_ns <= loosest);
        pairs.sort_by_key(|pair| (pair.tsc, pair.monotonic_ns));
        let mut points: Vec<Point> = Vec::with_capacity(pairs.len());
        for pair in &pairs {
            if points
                .last()
                .is_none_or(|last| pair.tsc > last.tsc && pair.monotonic_ns > last.ns)
            {
                points.push(Point {
                    tsc: pair.tsc,
                    ns: pair.monotonic_ns,
                    slope: 0.0,
                });
            }
        }
        if points.len() < 2 {
            return None;
        }
        for index in 0..points.len() {
            let from = index.min(points.len() - 2);
            points[index].slope = slope(&points[from], &points[from + 1]);
        }
        let taken = pairs.iter().map(|pair| pair.uncertainty_ns).max().unwrap_or(0);
        let bend = points.windows(3).map(bend_ns).max().unwrap_or(0);
        Some(ClockMap {
            points,
            uncertainty_ns: taken.saturating_add(bend),
        })
    }

    /// CLOCK_MONOTONIC at `tsc`, ns. `hint` is where the last search of this caller ended: times that grow are found at once.
    pub(crate) fn monotonic_ns(&self, tsc: u64, hint: &mut usize) -> u64 {
        *hint = self.segment(tsc, *hint);
        let point = self.points[*hint];
        if tsc < point.tsc {
            return point.ns.saturating_sub(((point.tsc - tsc) as f64 * point.slope) as u64);
        }
        let ns = point.ns.saturating_add(((tsc - point.tsc) as f64 * point.slope) as u64);
        // Rounding must not carry a time beyond the next point: the conversion never goes back.
        self.points.get(*hint + 1).map_or(ns, |next| ns.min(next.ns))
    }

    /// How far a converted time may be off, ns, between the first pair and the last.
    pub(crate) fn uncertainty_ns(&self) -> u64 {
        self.uncertainty_ns
    }

    fn segment(&self, tsc: u64, hint: usize) -> usize {
        let holds = |at: usize| {
            self.points.get(at).is_some_and(|point| point.tsc <= tsc)
                && self.points.get(at + 1).is_none_or(|next| tsc < next.tsc)
        };
        if holds(hint) {
            hint
        } else if holds(hint + 1) {
            hint + 1
        } else {
            self.points.partition_point(|point| point.tsc <= tsc).saturating_sub(1)
        }
    }
}

/// Largest uncertainty of a pair that is used, ns.
fn loosest_used(pairs: &[ClockPair]) -> u64 {
    let mut all: Vec<u64> = pairs.iter().map(|pair| pair.uncertainty_ns).collect();
    all.sort_unstable();
    all.get(all.len() / 2)
        .map_or(0, |median| median.saturating_mul(LOOSE).max(TIGHT_NS))
}

fn slope(from: &Point, to: &Point) -> f64 {
    (to.ns - from.ns) as f64 / (to.tsc - from.tsc) as f64
}

/// How far the middle one of three points lies from the line between the outer two, ns.
fn bend_ns(three: &[Point]) -> u64 {
    let on_line = (three[1].tsc - three[0].tsc) as f64 * slope(&three[0], &three[2]);
    ((three[1].ns - three[0].ns) as f64 - on_line).abs().ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host whose TSC ticks at 2.4 GHz while NTP slews CLOCK_MONOTONIC by up to ±`ppm`, changing every ten seconds.
    fn true_ns(tsc: u64, ppm: f64) -> f64 {
        let seconds = tsc as f64 / 2.4e9;
        let period = 10.0;
        let whole = (seconds / period).floor();
        let within = seconds - whole * period;
        let even = (whole as u64).is_multiple_of(2);
        let sign = if even { 1.0 } else { -1.0 };
        let carried = if even { 0.0 } else { period };
        (seconds + (carried + sign * within) * ppm * 1e-6) * 1e9
    }

    fn pair(tsc: u64, ppm: f64, error_ns: i64) -> ClockPair {
        let ns = (true_ns(tsc, ppm) as u64).saturating_add_signed(error_ns);
        ClockPair {
            tsc,
            monotonic_ns: ns,
            realtime_ns: ns,
            boottime_ns: ns,
            uncertainty_ns: 50,
        }
    }

    #[test]
    fn the_error_stays_within_the_uncertainty_under_drift() {
        for ppm in [0.0, 40.0, 500.0] {
            let pairs = (1..400u64)
                .map(|n| pair(n * 600_000_000, ppm, (n as i64 * 37) % 101 - 50))
                .collect();
            let map = ClockMap::new(pairs).unwrap();
            let mut hint = 0;
            let worst = (1u64..9_000)
                .map(|n| n * 26_000_000 + 600_000_000)
                .filter(|&tsc| tsc <= 399 * 600_000_000)
                .map(|tsc| (map.monotonic_ns(tsc, &mut hint) as f64 - true_ns(tsc, ppm)).abs())
                .fold(0.0, f64::max);
            assert!(
                worst <= map.uncertainty_ns() as f64 + 1.0,
                "{ppm} ppm: {worst} > {}",
                map.uncertainty_ns()
            );
        }
    }

    #[test]
    fn never_goes_back_whatever_the_hint() {
        let map = ClockMap::new(
            (1..50u64)
                .map(|n| pair(n * 7_777_777, 500.0, (n as i64 * 41) % 90))
                .collect(),
        )
        .unwrap();
        let (mut hint, mut last) = (0, 0);
        for tsc in (0..60 * 7_777_777u64).step_by(99_991) {
            let (mut lost, ns) = (usize::MAX - 1, map.monotonic_ns(tsc, &mut hint));
            assert_eq!(ns, map.monotonic_ns(tsc, &mut lost));
            assert!(ns >= last);
            last = ns;
        }
    }

    #[test]
    fn disturbed_pairs_are_left_out_and_one_is_not_enough() {
        let mut pairs: Vec<ClockPair> = (1..20u64).map(|n| pair(n * 240_000_000, 0.0, 0)).collect();
        pairs[7].monotonic_ns += 90_000;
        pairs[7].uncertainty_ns = 100_000;
        let map = ClockMap::new(pairs).unwrap();
        assert!(map.uncertainty_ns() < 100);
        assert_eq!(map.monotonic_ns(8 * 240_000_000, &mut 0), 800_000_000);
        assert!(ClockMap::new(vec![pair(1, 0.0, 0)]).is_none());
        assert!(ClockMap::new(vec![pair(5, 0.0, 0), pair(5, 0.0, 9)]).is_none());
        assert!(ClockMap::new(Vec::new()).is_none());
    }

    #[test]
    fn hostile_pairs_do_not_overflow() {
        let extreme = |tsc, ns| ClockPair {
            tsc,
            monotonic_ns: ns,
            realtime_ns: 0,
            boottime_ns: 0,
            uncertainty_ns: u64::MAX,
        };
        let map = ClockMap::new(vec![extreme(0, 1), extreme(1, u64::MAX)]).unwrap();
        assert_eq!(map.monotonic_ns(u64::MAX, &mut 0), u64::MAX);
        assert_eq!(map.monotonic_ns(0, &mut 0), 1);
    }
}

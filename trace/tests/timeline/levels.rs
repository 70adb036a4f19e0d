//! Occupancy and counters at every zoom, on random rows and windows, against answers that are worked out from all rows.

use super::model::{timeline, track};
use plumb_trace::timeline::{
    CoarseOccupancy, CounterPoint, Memory, Occupancy, Query, TimelineError, TimelineWriter, TrackId, TrackKind,
};
use proptest::prelude::*;
use std::ops::Range;

/// CPU or counter; the model's three threads come before it.
const TRACK: TrackId = TrackId(3);
/// How long the counter's track is.
const LIFE_NS: u64 = 1 << 40;

fn add(writer: &mut TimelineWriter, kind: TrackKind) {
    let mut track = track(kind, "cpu 0");
    track.end_ns = LIFE_NS;
    assert_eq!(writer.add_track(track), TRACK);
}

fn counter_kind(writer: &mut TimelineWriter) -> TrackKind {
    TrackKind::Counter {
        unit: writer.string("bytes"),
    }
}

/// Rows of a CPU, with a gap now and then; tracks are below 3.
fn any_occupancy() -> impl Strategy<Value = Vec<Occupancy>> {
    let gap = prop_oneof![20 => Just(0), 1 => 0u64..50_000];
    let length = prop_oneof![1u64..20, 1u64..5000, 1u64..1_000_000];
    let who = prop_oneof![3 => prop::option::of(0u32..3), 1 => Just(None)];
    prop::collection::vec((gap, length, who), 1..2500).prop_map(|rows| {
        let mut at = 1000;
        let row = |(gap, length, who): (u64, u64, Option<u32>)| {
            let start_ns = at + gap;
            at = start_ns + length;
            Occupancy {
                start_ns,
                end_ns: at,
                track: who.map(TrackId),
            }
        };
        rows.into_iter().map(row).collect()
    })
}

fn any_samples() -> impl Strategy<Value = Vec<(u64, i64)>> {
    let value = prop_oneof![0i64..3, -1000i64..1000, any::<i64>(), Just(i64::MIN), Just(i64::MAX)];
    prop::collection::vec((prop_oneof![1u64..20, 1u64..1_000_000], value), 1..2500).prop_map(|samples| {
        let mut at = 0;
        let sample = |(gap, value)| {
            at += gap;
            (at, value)
        };
        samples.into_iter().map(sample).collect()
    })
}

/// Windows anywhere, also beyond both ends, and some of no length; and any width beside the powers of two.
fn windows() -> impl Strategy<Value = Vec<(f64, f64, u64)>> {
    prop::collection::vec((-0.1..1.1f64, -0.1..1.1f64, 300u64..20_000_000), 8)
}

fn place(end_ns: u64, (from, to): (f64, f64)) -> (u64, u64) {
    let at = |share: f64| (end_ns as f64 * share).max(0.0) as u64;
    (at(from), at(to))
}

fn buckets((from, to): (u64, u64), width: u64) -> Range<u64> {
    if from < to {
        from / width..to.div_ceil(width)
    } else {
        0..0
    }
}

/// Whether a file with these levels answers exactly at a width.
fn is_exact(levels: &[u64], width: u64) -> bool {
    levels.first().is_none_or(|&first| width < first) || levels.contains(&width)
}

fn busy_in(rows: &[Occupancy], from: u64, to: u64) -> Option<CoarseOccupancy> {
    let begin = rows.partition_point(|row| row.end_ns <= from);
    let end = rows.partition_point(|row| row.start_ns < to);
    let rows = rows.get(begin..end).filter(|rows| !rows.is_empty())?;
    let mut by_track = [0; 3];
    let (mut known, mut busy) = (0, 0);
    for row in rows {
        let ns = row.end_ns.min(to) - row.start_ns.max(from);
        known += ns;
        if let Some(track) = row.track {
            by_track[track.0 as usize] += ns;
            busy += ns;
        }
    }
    let most = by_track.into_iter().max().filter(|&ns| ns > 0);
    let track = (0..).zip(by_track).find(|&(_, ns)| Some(ns) == most);
    Some(CoarseOccupancy {
        start_ns: rows[0].start_ns.max(from),
        end_ns: rows[rows.len() - 1].end_ns.min(to),
        track: track.map(|(number, _)| TrackId(number)),
        busy: if busy > 0 {
            ((busy * 255 + known / 2) / known).max(1) as u8
        } else {
            0
        },
    })
}

fn coarse_occupancy(rows: &[Occupancy], window: (u64, u64), width: u64) -> Vec<CoarseOccupancy> {
    let mut result: Vec<CoarseOccupancy> = Vec::new();
    for next in buckets(window, width).filter_map(|at| busy_in(rows, at * width, (at + 1) * width)) {
        match result.last_mut() {
            Some(last) if (last.end_ns, last.track, last.busy) == (next.start_ns, next.track, next.busy) => {
                last.end_ns = next.end_ns
            }
            _ => result.push(next),
        }
    }
    result
}

/// Each sample until the next one.
fn held(samples: &[(u64, i64)]) -> Vec<CounterPoint> {
    let ends = samples.iter().skip(1).map(|&(at, _)| at).chain([LIFE_NS]);
    let point = |(&(start_ns, value), end_ns)| CounterPoint {
        start_ns,
        end_ns,
        min: value,
        max: value,
        last: value,
    };
    samples.iter().zip(ends).map(point).collect()
}

fn values_in(points: &[CounterPoint], from: u64, to: u64) -> Option<CounterPoint> {
    let begin = points.partition_point(|point| point.end_ns <= from);
    let end = points.partition_point(|point| point.start_ns < to);
    let points = points.get(begin..end).filter(|points| !points.is_empty())?;
    let last = points[points.len() - 1];
    Some(CounterPoint {
        start_ns: points[0].start_ns.max(from),
        end_ns: last.end_ns.min(to),
        min: points.iter().map(|point| point.min).min()?,
        max: points.iter().map(|point| point.max).max()?,
        last: last.last,
    })
}

fn coarse_values(points: &[CounterPoint], window: (u64, u64), width: u64) -> Vec<CounterPoint> {
    let mut result: Vec<CounterPoint> = Vec::new();
    for next in buckets(window, width).filter_map(|at| values_in(points, at * width, (at + 1) * width)) {
        match result.last_mut() {
            Some(last)
                if (last.end_ns, last.min, last.max, last.last) == (next.start_ns, next.min, next.max, next.last) =>
            {
                last.end_ns = next.end_ns
            }
            _ => result.push(next),
        }
    }
    result
}

fn widths(any: u64) -> impl Iterator<Item = u64> {
    (6..30).map(|shift| 1 << shift).chain([any])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn coarse_occupancy_is_who_had_the_cpu_most(rows in any_occupancy(), windows in windows()) {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = timeline(&dir.path().join("t.plumb"), 3, |writer| {
            add(writer, TrackKind::Cpu);
            rows.iter().for_each(|row| writer.occupancy(TRACK, row).expect("in order"));
        });
        let levels = file.coarse_widths(TRACK).expect("reads");
        prop_assert_eq!(levels.is_empty(), rows.len() < 1024);
        let end = rows[rows.len() - 1].end_ns;
        for (from, to, any) in windows {
            let (from, to) = place(end, (from, to));
            for width in widths(any) {
                let stretches = file.coarse_occupancy(TRACK, from, to, width).expect("reads");
                let count = buckets((from, to), width).count();
                prop_assert!(stretches.len() <= count, "{} of {count} buckets", stretches.len());
                prop_assert!(stretches.windows(2).all(|pair| pair[0].end_ns <= pair[1].start_ns));
                if count < 2000 && is_exact(&levels, width) {
                    prop_assert_eq!(stretches, coarse_occupancy(&rows, (from, to), width), "{} {} {}", from, to, width);
                }
            }
        }
    }

    #[test]
    fn the_share_of_a_cpu_is_kept_at_any_width(rows in any_occupancy(), width in 300u64..20_000_000) {
        // A CPU that is known all the time: gaps are idle.
        let mut at = 0;
        let mut whole = Vec::new();
        for row in &rows {
            if at < row.start_ns {
                whole.push(Occupancy { start_ns: at, end_ns: row.start_ns, track: None });
            }
            whole.push(*row);
            at = row.end_ns;
        }
        let dir = tempfile::tempdir().expect("tempdir");
        let file = timeline(&dir.path().join("t.plumb"), 3, |writer| {
            add(writer, TrackKind::Cpu);
            whole.iter().for_each(|row| writer.occupancy(TRACK, row).expect("in order"));
        });
        let stretches = file.coarse_occupancy(TRACK, 0, u64::MAX, width).expect("reads");
        prop_assert_eq!((stretches[0].start_ns, stretches[stretches.len() - 1].end_ns), (0, at));
        prop_assert!(stretches.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns));
        let shares: f64 = stretches.iter().map(|stretch| f64::from(stretch.busy) * (stretch.end_ns - stretch.start_ns) as f64).sum();
        let busy: u64 = rows.iter().filter(|row| row.track.is_some()).map(|row| row.end_ns - row.start_ns).sum();
        // Half a part by rounding at each of two levels, and up to one where there was any at all.
        prop_assert!((shares - 255.0 * busy as f64).abs() <= 1.6 * at as f64, "{shares} {busy}");
    }

    #[test]
    fn samples_and_their_levels_are_those_of_the_model(samples in any_samples(), windows in windows()) {
        let points = held(&samples);
        let dir = tempfile::tempdir().expect("tempdir");
        let file = timeline(&dir.path().join("t.plumb"), 3, |writer| {
            let kind = counter_kind(writer);
            add(writer, kind);
            samples.iter().for_each(|&(at, value)| writer.counter(TRACK, at, value).expect("in order"));
        });
        let levels = file.coarse_widths(TRACK).expect("reads");
        prop_assert_eq!(levels.is_empty(), samples.len() < 1024);
        prop_assert_eq!(&file.counters(TRACK, 0, u64::MAX, 0).expect("reads"), &points);
        let end = samples[samples.len() - 1].0;
        for (from, to, any) in windows {
            let (from, to) = place(end, (from, to));
            let overlapping = points.iter().copied().filter(|point| from < to && point.start_ns < to && point.end_ns > from);
            prop_assert_eq!(file.counters(TRACK, from, to, 0).expect("reads"), overlapping.collect::<Vec<_>>());
            for width in widths(any) {
                let stretches = file.counters(TRACK, from, to, width).expect("reads");
                let count = buckets((from, to), width).count();
                prop_assert!(stretches.len() <= count, "{} of {count} buckets", stretches.len());
                check_bounds(&points, &stretches, width)?;
                if count < 2000 && is_exact(&levels, width) {
                    prop_assert_eq!(stretches, coarse_values(&points, (from, to), width), "{} {} {}", from, to, width);
                }
            }
        }
    }

    #[test]
    fn what_has_no_levels_answers_by_the_exact_rows(rows in any_occupancy(), windows in windows()) {
        let cpu = Memory { occupancy: vec![(TRACK, rows.clone())], ..Memory::default() };
        let end = rows[rows.len() - 1].end_ns;
        for (from, to, any) in windows {
            let window = place(end, (from, to));
            prop_assert_eq!(cpu.coarse_occupancy(TRACK, window.0, window.1, any).expect("answers"), coarse_occupancy(&rows, window, any));
            prop_assert!(cpu.counters(TRACK, window.0, window.1, any).expect("answers").is_empty());
        }
    }
}

/// At any width, no value of a stretch is missing, and none is of elsewhere than beside it.
fn check_bounds(points: &[CounterPoint], stretches: &[CounterPoint], width: u64) -> Result<(), TestCaseError> {
    for stretch in stretches {
        let within = values_in(points, stretch.start_ns, stretch.end_ns).expect("a stretch is where samples are");
        prop_assert!(
            stretch.min <= within.min && within.max <= stretch.max,
            "{stretch:?} {within:?}"
        );
        let around = values_in(points, stretch.start_ns.saturating_sub(width), stretch.end_ns + width);
        let around = around.expect("more than within");
        prop_assert!(
            around.min <= stretch.min && stretch.max <= around.max,
            "{stretch:?} {around:?}"
        );
    }
    Ok(())
}

#[test]
fn a_sample_holds_until_the_next_and_the_last_one_until_the_end() {
    let dir = tempfile::tempdir().expect("tempdir");
    let file = timeline(&dir.path().join("t.plumb"), 3, |writer| {
        let kind = counter_kind(writer);
        add(writer, kind);
        writer.counter(TRACK, 0, 5).expect("the first instant");
        writer.counter(TRACK, 10, -7).expect("later");
        for time_ns in [10, 9, u64::MAX] {
            assert!(
                matches!(writer.counter(TRACK, time_ns, 0), Err(TimelineError::Misuse(_))),
                "{time_ns}"
            );
        }
        assert!(
            matches!(writer.counter(TrackId(0), 0, 0), Err(TimelineError::Misuse(_))),
            "a thread"
        );
        assert!(
            matches!(writer.counter(TrackId(4), 0, 0), Err(TimelineError::Misuse(_))),
            "no such track"
        );
        writer.track_mut(TRACK).end_ns = 7;
    });
    let point = |start_ns, end_ns, value| CounterPoint {
        start_ns,
        end_ns,
        min: value,
        max: value,
        last: value,
    };
    assert_eq!(file.counters(TRACK, 0, 10, 0).expect("reads"), [point(0, 10, 5)]);
    assert_eq!(
        file.counters(TRACK, 9, 100, 0).expect("reads"),
        [point(0, 10, 5), point(10, 11, -7)]
    );
    let both = CounterPoint {
        start_ns: 0,
        end_ns: 11,
        min: -7,
        max: 5,
        last: -7,
    };
    assert_eq!(file.counters(TRACK, 3, 4, 100).expect("reads"), [both]);
    assert!(file.counters(TRACK, 11, 100, 0).expect("reads").is_empty());
    assert!(file.counters(TRACK, 5, 5, 100).expect("reads").is_empty());
    let TrackKind::Counter { unit } = file.tracks()[3].kind else {
        panic!("{:?}", file.tracks()[3]);
    };
    assert_eq!(file.string(unit), "bytes");
}

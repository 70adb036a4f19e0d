//! Every question, on random rows and windows.

use super::model::{self, any_intervals, timeline, track};
use plumb_trace::State;
use plumb_trace::timeline::{
    Cause, Occupancy, Query, Slice, StateInterval, StringId, TimelineError, TimelineWriter, TrackId, TrackKind, Unit,
    UnitPart,
};
use proptest::prelude::*;

const THREAD: TrackId = TrackId(1);

fn write_states(writer: &mut TimelineWriter, intervals: &[StateInterval]) {
    for interval in intervals {
        writer.state(THREAD, interval).expect("in order");
    }
}

/// Windows anywhere, also beyond both ends, and some of no length.
fn windows() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec((-0.1..1.1f64, -0.1..1.1f64), 12)
}

fn place(intervals: &[StateInterval], share: f64) -> u64 {
    let (first, last) = (intervals[0].start_ns, intervals[intervals.len() - 1].end_ns);
    (first as f64 + (last - first) as f64 * share).max(0.0) as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn states_and_totals_are_those_of_the_model(intervals in any_intervals(1..1500), windows in windows()) {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = timeline(&dir.path().join("t.plumb"), 3, |writer| write_states(writer, &intervals));
        let (first, last) = (intervals[0].start_ns, intervals[intervals.len() - 1].end_ns);
        prop_assert_eq!(file.totals(THREAD, 0, u64::MAX).expect("reads").states.sum(), last - first);
        for (from, to) in windows {
            let (from, to) = (place(&intervals, from), place(&intervals, to));
            prop_assert_eq!(file.states(THREAD, from, to).expect("reads"), model::overlapping(&intervals, from, to));
            let totals = file.totals(THREAD, from, to).expect("reads");
            prop_assert_eq!(totals, model::totals(&intervals, from, to));
            prop_assert_eq!(totals.states.sum(), to.min(last).saturating_sub(from.max(first)));
            prop_assert!(file.states(TrackId(0), from, to).expect("reads").is_empty());
            prop_assert!(file.states(TrackId(99), from, to).expect("reads").is_empty());
        }
    }

    #[test]
    fn adjacent_windows_sum_up(intervals in any_intervals(1..300), cuts in prop::collection::vec(0.0..1.0f64, 1..20)) {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = timeline(&dir.path().join("t.plumb"), 3, |writer| write_states(writer, &intervals));
        let mut cuts: Vec<u64> = cuts.into_iter().map(|cut| place(&intervals, cut)).collect();
        cuts.sort_unstable();
        let whole = file.totals(THREAD, cuts[0], cuts[cuts.len() - 1]).expect("reads");
        let mut sum = plumb_trace::StateTotals::default();
        let mut counts = (0, 0, 0);
        for pair in cuts.windows(2) {
            let part = file.totals(THREAD, pair[0], pair[1]).expect("reads");
            sum.merge(&part.states);
            counts = (counts.0 + part.voluntary, counts.1 + part.involuntary, counts.2 + part.migrations);
        }
        prop_assert_eq!(sum, whole.states);
        prop_assert_eq!(counts, (whole.voluntary, whole.involuntary, whole.migrations));
    }

    #[test]
    fn coarse_states_are_what_was_there_most(intervals in any_intervals(1000..2500), windows in windows()) {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = timeline(&dir.path().join("t.plumb"), 3, |writer| write_states(writer, &intervals));
        let widths = file.coarse_widths(THREAD).expect("reads");
        for (from, to) in windows {
            let (from, to) = (place(&intervals, from), place(&intervals, to));
            for width in (8..32).map(|shift| 1u64 << shift) {
                let stretches = file.coarse_states(THREAD, from, to, width).expect("reads");
                let buckets = to.saturating_sub(from) / width;
                prop_assert!(stretches.len() as u64 <= buckets + 2);
                let exact = widths.first().is_none_or(|&first| width < first) || widths.contains(&width);
                if buckets < 2000 && exact {
                    prop_assert_eq!(stretches, model::coarse(&intervals, from, to, width), "{} {} {}", from, to, width);
                }
            }
        }
    }

    #[test]
    fn any_resolution_covers_the_window_and_keeps_the_share(intervals in any_intervals(1000..2000), width in 300u64..100_000_000) {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = timeline(&dir.path().join("t.plumb"), 3, |writer| write_states(writer, &intervals));
        let (first, last) = (intervals[0].start_ns, intervals[intervals.len() - 1].end_ns);
        let stretches = file.coarse_states(THREAD, 0, u64::MAX, width).expect("reads");
        prop_assert_eq!((stretches[0].start_ns, stretches[stretches.len() - 1].end_ns), (first, last));
        prop_assert!(stretches.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns));
        // Where a bucket of the file lies across a border of two stretches, its share counts in both: the whole stays what it is.
        let shares: f64 = stretches.iter().map(|stretch| f64::from(stretch.running) * (stretch.end_ns - stretch.start_ns) as f64).sum();
        let totals = model::totals(&intervals, first, last).states;
        let running = 255.0 * (totals.get(State::Running) + totals.get(State::Stolen)) as f64;
        // Half a part by rounding at each of two levels, and up to one where there was any at all.
        prop_assert!((shares - running).abs() <= 1.6 * (last - first) as f64, "{shares} {running}");
    }

    #[test]
    fn slices_of_any_nesting_are_found(calls in prop::collection::vec((0u64..3_000_000, 0u8..3), 1..1500), windows in windows()) {
        let all = nested(&calls);
        let end = all.iter().map(|slice| slice.end_ns).max().unwrap_or(1);
        let dir = tempfile::tempdir().expect("tempdir");
        let file = timeline(&dir.path().join("t.plumb"), 2, |writer| {
            all.iter().for_each(|slice| writer.slice(THREAD, slice).expect("in order"));
        });
        for (from, to) in windows {
            let (from, to) = ((end as f64 * from).max(0.0) as u64, (end as f64 * to).max(0.0) as u64);
            for min in [0, 1, 1000, 1024, 50_000, 1 << 40] {
                prop_assert_eq!(file.slices(THREAD, from, to, min).expect("reads"), model::slices(&all, from, to, min));
            }
        }
    }

    #[test]
    fn units_out_of_order_are_found(rows in prop::collection::vec((0u64..1000, 0u64..200_000, any::<bool>()), 1..1500), windows in windows()) {
        let unit = |(at, (late, length, thrown)): (usize, (u64, u64, bool))| {
            let end_ns = 200_000 + at as u64 * 100 + late;
            Unit { name: StringId(1), key: StringId(at as u32 % 3), track: THREAD, number: late, start_ns: end_ns - length, end_ns, thrown, complete: !thrown }
        };
        let mut all: Vec<Unit> = rows.into_iter().enumerate().map(unit).collect();
        let dir = tempfile::tempdir().expect("tempdir");
        let file = timeline(&dir.path().join("t.plumb"), 2, |writer| {
            for unit in &all {
                writer.unit(unit).expect("sound");
                writer.unit_part(&part_of(unit)).expect("sound");
            }
        });
        all.sort_by_key(|unit| (unit.end_ns, unit.start_ns));
        for (from, to) in windows {
            let (from, to) = ((350_000.0 * from).max(0.0) as u64, (350_000.0 * to).max(0.0) as u64);
            let overlaps = |unit: &&Unit| unit.start_ns < to && (unit.end_ns > from || unit.start_ns == unit.end_ns && unit.start_ns >= from);
            let expected: Vec<Unit> = all.iter().filter(|unit| from < to && overlaps(unit)).copied().collect();
            prop_assert_eq!(in_order(file.units(from, to).expect("reads"), unit_order), in_order(expected, unit_order));
            let expected: Vec<UnitPart> = all.iter().filter(|unit| from < to && overlaps(unit)).map(part_of).collect();
            prop_assert_eq!(in_order(file.unit_parts(from, to).expect("reads"), part_order), in_order(expected, part_order));
        }
    }

    #[test]
    fn occupancy_comes_back(rows in prop::collection::vec((0u64..100, 1u64..1000, prop::option::of(0u32..2)), 1..1500), windows in windows()) {
        let mut at = 0;
        let mut all = Vec::new();
        for (gap, length, track) in rows {
            all.push(Occupancy { start_ns: at + gap, end_ns: at + gap + length, track: track.map(TrackId) });
            at += gap + length;
        }
        let dir = tempfile::tempdir().expect("tempdir");
        let file = timeline(&dir.path().join("t.plumb"), 2, |writer| all.iter().for_each(|row| writer.occupancy(THREAD, row).expect("in order")));
        for (from, to) in windows {
            let (from, to) = ((at as f64 * from).max(0.0) as u64, (at as f64 * to).max(0.0) as u64);
            let expected: Vec<Occupancy> = all.iter().copied().filter(|row| from < to && row.start_ns < to && row.end_ns > from).collect();
            prop_assert_eq!(file.occupancy(THREAD, from, to).expect("reads"), expected);
        }
    }
}

/// A part that tells the same as a unit.
fn part_of(unit: &Unit) -> UnitPart {
    let Unit {
        number,
        name,
        key,
        track,
        start_ns,
        end_ns,
        ..
    } = *unit;
    let handed_ns = start_ns - number.min(start_ns);
    UnitPart {
        number,
        name,
        key,
        track,
        handed_ns,
        start_ns,
        end_ns,
    }
}

fn unit_order(unit: &Unit) -> (u64, u64, u64, u32) {
    (unit.end_ns, unit.start_ns, unit.number, unit.key.0)
}

fn part_order(part: &UnitPart) -> (u64, u64, u64, u32) {
    (part.end_ns, part.start_ns, part.number, part.key.0)
}

/// Rows that tell the same times come in any order.
fn in_order<T>(mut rows: Vec<T>, order: fn(&T) -> (u64, u64, u64, u32)) -> Vec<T> {
    rows.sort_by_key(order);
    rows
}

/// Calls as they end: each row is time that passes, then an enter or a return.
fn nested(calls: &[(u64, u8)]) -> Vec<Slice> {
    let (mut at, mut open, mut done) = (0, Vec::new(), Vec::new());
    let close = |start_ns: u64, depth: usize, end_ns: u64| Slice {
        start_ns,
        end_ns,
        name: StringId(end_ns as u32 % 7),
        depth: depth as u16,
        thrown: end_ns.is_multiple_of(3),
        open_start: false,
        open_end: end_ns.is_multiple_of(5),
    };
    for &(gap, enter) in calls {
        at += gap;
        if enter > 0 {
            open.push(at);
        } else if let Some(start) = open.pop() {
            done.push(close(start, open.len(), at));
        }
    }
    while let Some(start) = open.pop() {
        done.push(close(start, open.len(), at));
    }
    done
}

#[test]
fn what_no_timeline_can_hold_is_refused() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut writer = TimelineWriter::create(&dir.path().join("t.plumb")).expect("a new file");
    let good = StateInterval {
        start_ns: 10,
        end_ns: 20,
        state: State::Running,
        cpu: Some(0),
        stolen_ns: 10,
        peer: None,
        cause: Cause::None,
        involuntary: false,
    };
    assert!(
        matches!(writer.state(TrackId(0), &good), Err(TimelineError::Misuse(_))),
        "no such track"
    );
    let thread = writer.add_track(track(TrackKind::Thread, "t"));
    writer.state(thread, &good).expect("sound");
    let next = StateInterval {
        start_ns: 20,
        end_ns: 30,
        stolen_ns: 0,
        ..good
    };
    let bad = [
        StateInterval { start_ns: 21, ..next },
        StateInterval { start_ns: 19, ..next },
        StateInterval { end_ns: 20, ..next },
        StateInterval {
            state: State::Stolen,
            ..next
        },
        StateInterval { stolen_ns: 11, ..next },
        StateInterval {
            state: State::Ready,
            stolen_ns: 1,
            ..next
        },
        StateInterval {
            end_ns: u64::MAX,
            ..next
        },
    ];
    for interval in bad {
        assert!(
            matches!(writer.state(thread, &interval), Err(TimelineError::Misuse(_))),
            "{interval:?}"
        );
    }
    writer.state(thread, &next).expect("sound");
    assert!(
        matches!(writer.finish(), Err(TimelineError::Misuse(_))),
        "a track of a process that is not there"
    );
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("directory").count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn tables_come_back() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut ids = Vec::new();
    let file = timeline(&dir.path().join("t.plumb"), 2, |writer| {
        ids = ["", "com.shop.Cart.add", "", "com.shop.Cart.add", "é"]
            .map(|text| writer.string(text))
            .to_vec();
        writer.info_mut().notes.push("a note".into());
        writer.track_mut(THREAD).name = "renamed".into();
        for from_ns in [30, 10] {
            writer.loss(plumb_trace::timeline::Loss {
                stream: "cpu-0".into(),
                from_ns,
                to_ns: 40,
                events: None,
            });
        }
    });
    assert_eq!(
        ids.iter().map(|&id| file.string(id)).collect::<Vec<_>>(),
        ["", "com.shop.Cart.add", "", "com.shop.Cart.add", "é"]
    );
    assert_eq!((ids[0], ids[1]), (StringId(0), ids[3]));
    assert_eq!(file.string(StringId(77)), "");
    assert_eq!(
        (
            file.info().notes.len(),
            file.processes().len(),
            file.tracks()[1].name.as_str()
        ),
        (1, 1, "renamed")
    );
    assert_eq!(
        file.losses().iter().map(|loss| loss.from_ns).collect::<Vec<_>>(),
        [10, 30]
    );
}

//! What a question costs does not depend on the timeline's length.

use super::model::{timeline, track};
use plumb_trace::State;
use plumb_trace::timeline::{
    Cause, Occupancy, Query, Slice, StateInterval, StringId, TimelineFile, TrackId, TrackKind,
};
use std::path::Path;

const TRACK: TrackId = TrackId(0);
const CPU: TrackId = TrackId(1);
const COUNTER: TrackId = TrackId(2);

/// A thread of `count` intervals of 1 to 50 us, and a slice around every ten of them within one that lasts all the time; a CPU that it has, and a counter that has
/// another value whenever it gets it.
fn long_timeline(path: &Path, count: u64) -> TimelineFile {
    timeline(path, 1, |writer| {
        let name = writer.string("method");
        writer.add_track(track(TrackKind::Cpu, "cpu 0"));
        writer.add_track(track(TrackKind::Counter { unit: StringId(0) }, "steal"));
        let slice = |start_ns, end_ns, depth| Slice {
            start_ns,
            end_ns,
            name,
            depth,
            thrown: false,
            open_start: false,
            open_end: false,
        };
        let (mut at, mut began) = (0, 0);
        for number in 0..count {
            let length = 1000 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 49_000;
            let state = [State::Running, State::Park][number as usize % 2];
            let interval = StateInterval {
                start_ns: at,
                end_ns: at + length,
                state,
                cpu: Some(0),
                stolen_ns: 0,
                peer: None,
                cause: Cause::None,
                involuntary: false,
            };
            writer.state(TRACK, &interval).expect("in order");
            let occupancy = Occupancy {
                start_ns: at,
                end_ns: at + length,
                track: (state == State::Running).then_some(TRACK),
            };
            writer.occupancy(CPU, &occupancy).expect("in order");
            writer.counter(COUNTER, at, length as i64).expect("in order");
            at += length;
            if number % 10 == 9 {
                writer.slice(TRACK, &slice(began, at, 1)).expect("in order");
                began = at;
            }
        }
        writer.slice(TRACK, &slice(0, at, 0)).expect("in order");
    })
}

/// Bytes read by opening, and by each question in the middle.
fn costs(path: &Path, count: u64) -> (u64, [u64; 8]) {
    let file = long_timeline(path, count);
    let opened = file.bytes_read();
    let end = file
        .states(TRACK, u64::MAX - 1, u64::MAX)
        .map(|_| count * 25_500)
        .expect("reads");
    let (from, to) = (end / 2, end / 2 + 1_000_000);
    let cost = |question: &dyn Fn()| {
        let before = file.bytes_read();
        question();
        file.bytes_read() - before
    };
    let costs = [
        cost(&|| assert!(!file.states(TRACK, from, to).expect("reads").is_empty())),
        cost(&|| assert!(file.totals(TRACK, from, end).expect("reads").states.sum() > 0)),
        cost(&|| assert!(file.slices(TRACK, from, to, 0).expect("reads").len() > 2)),
        cost(&|| assert!(!file.coarse_states(TRACK, 0, end, end / 2000).expect("reads").is_empty())),
        cost(&|| assert!(file.occupancy(CPU, from, to).expect("reads").len() > 10)),
        cost(&|| assert!(file.coarse_occupancy(CPU, 0, end, end / 2000).expect("reads").len() > 100)),
        cost(&|| assert!(file.counters(COUNTER, from, to, 0).expect("reads").len() > 10)),
        cost(&|| assert!(file.counters(COUNTER, 0, end, end / 2000).expect("reads").len() > 100)),
    ];
    (opened, costs)
}

#[test]
fn ten_times_the_length_costs_the_same() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (opened, short) = costs(&dir.path().join("short.plumb"), 100_000);
    let (opened_long, long) = costs(&dir.path().join("long.plumb"), 1_000_000);
    // Numbers in the JSON have more digits.
    assert!(
        opened_long <= opened + 64,
        "{opened} bytes to open, {opened_long} of ten times the length"
    );
    for (question, (short, long)) in short.into_iter().zip(long).enumerate() {
        // One node more on the way down, and blocks of slightly other sizes.
        assert!(
            long <= short * 2 + 8192,
            "question {question}: {short} bytes, {long} of ten times the length"
        );
    }
}

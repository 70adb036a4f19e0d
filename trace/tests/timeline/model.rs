//! The naive model: rows in a Vec, every question answered by looking at all of them.

use plumb_trace::State;
use plumb_trace::timeline::{
    Cause, CoarseState, HostInfo, Process, ProcessId, Slice, StateInterval, StringId, TimelineFile, TimelineWriter,
    Totals, Track, TrackId, TrackKind,
};
use proptest::prelude::*;
use std::path::Path;

pub fn track(kind: TrackKind, name: &str) -> Track {
    Track {
        kind,
        process: ProcessId(0),
        tid: Some(1),
        vthread: None,
        name: name.into(),
        former_names: Vec::new(),
        group: None,
        start_ns: 0,
        end_ns: 1,
        java: false,
    }
}

/// A timeline of one process and `tracks` threads, filled by `fill`.
pub fn timeline(path: &Path, tracks: u32, fill: impl FnOnce(&mut TimelineWriter)) -> TimelineFile {
    let mut writer = TimelineWriter::create(path).expect("a new file");
    writer.info_mut().hosts.push(HostInfo {
        name: "h".into(),
        ..HostInfo::default()
    });
    writer.add_process(Process {
        pid: 1,
        ..Process::default()
    });
    for number in 0..tracks {
        assert_eq!(
            writer.add_track(track(TrackKind::Thread, &format!("thread-{number}"))),
            TrackId(number)
        );
    }
    fill(&mut writer);
    writer.finish().expect("finishes");
    TimelineFile::open(path).expect("opens")
}

fn any_cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::None),
        Just(Cause::Woken),
        Just(Cause::WokenByInterrupt),
        Just(Cause::Preempted),
        Just(Cause::Yielded),
        Just(Cause::Born),
        any::<u32>().prop_map(|id| Cause::Class(StringId(id))),
        any::<u32>().prop_map(|id| Cause::ClassAgain(StringId(id))),
        any::<(u16, u8)>().prop_map(|(number, fd_kind)| Cause::Syscall { number, fd_kind }),
    ]
}

/// Contiguous intervals of one thread (peers are tracks below 3).
pub fn any_intervals(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<StateInterval>> {
    let length = prop_oneof![1u64..20, 1u64..5000, 1u64..10_000_000];
    let state = prop_oneof![
        Just(State::Running),
        Just(State::Ready),
        prop::sample::select(&State::ALL[..])
    ];
    let rest = (
        prop::option::of(0u16..3),
        prop::option::of(0u32..3),
        any_cause(),
        any::<bool>(),
        0u64..=4,
    );
    let rows = prop::collection::vec((length, state, rest), count);
    (0u64..1_000_000, rows).prop_map(|(mut at, rows)| {
        let mut intervals = Vec::new();
        for (length, state, (cpu, peer, cause, involuntary, quarters)) in rows {
            let state = if state == State::Stolen { State::Park } else { state };
            let stolen_ns = if state == State::Running {
                length * quarters / 4
            } else {
                0
            };
            let peer = peer.map(TrackId);
            intervals.push(StateInterval {
                start_ns: at,
                end_ns: at + length,
                state,
                cpu,
                stolen_ns,
                peer,
                cause,
                involuntary,
            });
            at += length;
        }
        intervals
    })
}

pub fn overlapping(intervals: &[StateInterval], from: u64, to: u64) -> Vec<StateInterval> {
    intervals
        .iter()
        .copied()
        .filter(|interval| interval.start_ns < to && interval.end_ns > from && from < to)
        .collect()
}

pub fn totals(intervals: &[StateInterval], from: u64, to: u64) -> Totals {
    let mut totals = Totals::default();
    let mut cpu = None;
    for (at, interval) in intervals.iter().enumerate() {
        let within = |time| from < to && from <= time && time < to;
        let runs = interval.state == State::Running;
        if at > 0 && within(interval.start_ns) && intervals[at - 1].state == State::Running && !runs {
            if intervals[at - 1].involuntary {
                totals.involuntary += 1
            } else {
                totals.voluntary += 1
            }
        }
        if runs && interval.cpu.is_some() {
            totals.migrations += u64::from(cpu.is_some() && cpu != interval.cpu && within(interval.start_ns));
            cpu = interval.cpu;
        }
        let (begin, end) = (interval.start_ns.max(from), interval.end_ns.min(to));
        if begin < end {
            // Stolen time up to a point of the interval, rounded down: so adjacent windows sum up.
            let stolen_at = |time: u64| {
                (interval.stolen_ns as u128 * (time - interval.start_ns) as u128 / interval.length_ns() as u128) as u64
            };
            let stolen = stolen_at(end) - stolen_at(begin);
            totals.states.add(State::Stolen, stolen);
            totals.states.add(interval.state, end - begin - stolen);
            totals.prorated |= interval.stolen_ns > 0 && end - begin < interval.length_ns();
        }
    }
    totals
}

/// What was there most in one bucket.
pub fn bucket(intervals: &[StateInterval], from: u64, to: u64) -> Option<CoarseState> {
    let mut totals = totals(intervals, from, to).states;
    let stolen = std::mem::take(&mut totals.ns[State::Stolen as usize]);
    totals.add(State::Running, stolen);
    let most = *totals.ns.iter().max()?;
    let state = State::ALL.into_iter().find(|&state| totals.get(state) == most)?;
    let (first, last) = (intervals.first()?.start_ns.max(from), intervals.last()?.end_ns.min(to));
    if first >= last {
        return None;
    }
    let (running, length) = (u128::from(totals.get(State::Running)), u128::from(last - first));
    let share = (running * 255 + length / 2) / length;
    let running = if running > 0 { share.max(1) } else { 0 } as u8;
    Some(CoarseState {
        start_ns: first,
        end_ns: last,
        state,
        running,
    })
}

/// All buckets of a window, equal neighbours joined.
pub fn coarse(intervals: &[StateInterval], from: u64, to: u64, width: u64) -> Vec<CoarseState> {
    let mut result: Vec<CoarseState> = Vec::new();
    let buckets = if from < to {
        from / width..to.div_ceil(width)
    } else {
        0..0
    };
    for number in buckets {
        let Some(next) = bucket(intervals, number * width, (number + 1) * width) else {
            continue;
        };
        match result.last_mut() {
            Some(last) if (last.end_ns, last.state, last.running) == (next.start_ns, next.state, next.running) => {
                last.end_ns = next.end_ns
            }
            _ => result.push(next),
        }
    }
    result
}

pub fn slices(all: &[Slice], from: u64, to: u64, min: u64) -> Vec<Slice> {
    let wanted = |slice: &&Slice| {
        let overlaps =
            slice.start_ns < to && (slice.end_ns > from || slice.start_ns == slice.end_ns && slice.start_ns >= from);
        from < to && overlaps && slice.end_ns - slice.start_ns >= min
    };
    let mut result: Vec<Slice> = all.iter().filter(wanted).copied().collect();
    result.sort_by_key(|slice| (slice.start_ns, slice.depth));
    result
}

//! The timeline against a judge from outside the kernel's books: examples/spinner.rs logs the gaps that it sees on the clock.

use crate::support::{allows, example, last_json, machine, number, record, scratch, thread};
use plumb_trace::{
    State,
    timeline::{Query, StateInterval},
};
use serde_json::Value;
use std::process::Command;

/// Shorter gaps may be interrupts or a cache that is cold.
const GAP_MIN_NS: u64 = 20_000;
/// The tracepoint and the kernel's accounting clock are some µs apart, at either end of a slice.
const ACCOUNTING_NS: u64 = 12_000;

#[derive(Clone, Copy, Debug)]
struct Gap {
    from_ns: u64,
    to_ns: u64,
}

#[test]
fn gaps_are_off_cpu_intervals_and_off_cpu_intervals_are_gaps() {
    if !allows("kernel-events", "spinner") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let (printed, timeline) = record(
        dir.path(),
        &["--no-jvm", "-f", "kernel"],
        &Command::new(example("spinner")),
    );
    let log = last_json(&printed);
    let gaps: Vec<Gap> = log["gaps"].as_array().expect("gaps").iter().map(gap).collect();
    let track = thread(&timeline, number(&log, "tid"));
    let states = timeline
        .states(track, number(&log, "from_ns"), number(&log, "to_ns"))
        .expect("states");
    let off = off_cpu(&states, number(&log, "from_ns"), number(&log, "to_ns"));
    assert!(off.len() > 20, "the rival took the CPU only {} times", off.len());

    let unseen: Vec<&Gap> = off
        .iter()
        .filter(|off| !gaps.iter().any(|gap| holds(gap, off)))
        .collect();
    assert!(
        unseen.is_empty(),
        "{} of {} off-CPU intervals are no gap: {unseen:?}",
        unseen.len(),
        off.len()
    );
    let unexplained = unexplained(&gaps, &off, &states);
    assert!(
        unexplained.is_empty(),
        "gaps that the timeline does not know of: {unexplained:?}"
    );
}

fn gap(pair: &Value) -> Gap {
    Gap {
        from_ns: pair[0].as_u64().expect("ns"),
        to_ns: pair[1].as_u64().expect("ns"),
    }
}

/// The stretches off the CPU, adjoining states joined, that lie within the log.
fn off_cpu(states: &[StateInterval], from_ns: u64, to_ns: u64) -> Vec<Gap> {
    let mut off: Vec<Gap> = Vec::new();
    for state in states.iter().filter(|state| state.state != State::Running) {
        match off.last_mut() {
            Some(last) if last.to_ns == state.start_ns => last.to_ns = state.end_ns,
            _ => off.push(Gap {
                from_ns: state.start_ns,
                to_ns: state.end_ns,
            }),
        }
    }
    off.retain(|off| off.from_ns >= from_ns && off.to_ns <= to_ns);
    off
}

fn holds(outer: &Gap, inner: &Gap) -> bool {
    outer.from_ns <= inner.from_ns && inner.to_ns <= outer.to_ns
}

/// Long gaps without an off-CPU interval, in slices whose stolen time does not make up for them.
fn unexplained(gaps: &[Gap], off: &[Gap], states: &[StateInterval]) -> Vec<(Gap, u64)> {
    let bare = gaps
        .iter()
        .filter(|gap| gap.to_ns - gap.from_ns > GAP_MIN_NS && !off.iter().any(|off| holds(gap, off)));
    let mut left: Vec<(Gap, u64)> = Vec::new();
    for gap in bare {
        let slice = states
            .iter()
            .find(|state| state.state == State::Running && state.start_ns < gap.to_ns && gap.from_ns < state.end_ns);
        let stolen_ns = slice.map_or(0, |slice| slice.stolen_ns);
        let within_ns: u64 = match slice {
            Some(slice) => gaps.iter().map(|gap| overlap_ns(gap, slice)).sum(),
            None => gap.to_ns - gap.from_ns,
        };
        if within_ns.min(gap.to_ns - gap.from_ns) > stolen_ns + ACCOUNTING_NS {
            left.push((*gap, stolen_ns));
        }
    }
    left
}

fn overlap_ns(gap: &Gap, slice: &StateInterval) -> u64 {
    gap.to_ns
        .min(slice.end_ns)
        .saturating_sub(gap.from_ns.max(slice.start_ns))
}

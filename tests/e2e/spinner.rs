//! The timeline against a judge from outside the kernel's books: examples/spinner.rs logs the gaps that it sees on the clock.

use crate::support::{allows, example, last_json, machine, number, record, scratch, thread};
use crate::witness::{Account, Witness};
use plumb_trace::{
    State,
    timeline::{Query, StateInterval},
};
use serde_json::Value;
use std::process::Command;

/// Shorter gaps may be interrupts or a cache that is cold.
const GAP_MIN_NS: u64 = 20_000;

/// The kernel's books, which the timeline follows, put a switch up to so much before or after the moment that one can see; before it by more only where the
/// interrupt that preempts is long under way.
const BOOKS_NS: u64 = 12_000;
/// Of ten intervals, so many at least are gaps to within [`BOOKS_NS`].
const CLOSE_OF_TEN: usize = 8;

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
    let witness = Witness::of_cpu_0();
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
        .filter(|off| !gaps.iter().any(|gap| is_seen(gap, off)))
        .collect();
    assert!(
        unseen.is_empty(),
        "{} of {} off-CPU intervals are no gap: {unseen:?}",
        unseen.len(),
        off.len()
    );
    let close = off.iter().filter(|off| gaps.iter().any(|gap| holds(gap, off))).count();
    println!(
        "{close} of {} off-CPU intervals are gaps to within {BOOKS_NS} ns",
        off.len()
    );
    assert!(close * 10 >= off.len() * CLOSE_OF_TEN, "{close} of {}", off.len());
    if let Some(witness) = witness {
        check_gaps(&gaps, &off, &states, &witness.account());
    }
}

/// Every long gap is an interval off the CPU, or no thread took the CPU: it is interrupts, stolen time, or an exit to the hypervisor that
/// the kernel is not told of.
fn check_gaps(gaps: &[Gap], off: &[Gap], states: &[StateInterval], account: &Account) {
    assert!(
        account.switches.len() >= 2 * off.len(),
        "the witness saw {} switches",
        account.switches.len()
    );
    let long = gaps.iter().filter(|gap| gap.to_ns - gap.from_ns > GAP_MIN_NS);
    let bare: Vec<&Gap> = long.filter(|gap| !off.iter().any(|off| is_seen(gap, off))).collect();
    let untouched = |gap: &&&Gap| unexplained_ns(gap, states, &account.interrupts) == gap.to_ns - gap.from_ns;
    let untouched = bare.iter().filter(untouched).count();
    let left_ns: u64 = bare
        .iter()
        .map(|gap| unexplained_ns(gap, states, &account.interrupts))
        .sum();
    println!(
        "{} intervals off the CPU, {} gaps without a switch, {untouched} of them without an interrupt, {left_ns} ns of all neither interrupts nor stolen",
        off.len(),
        bare.len()
    );
    let is_switched = |gap: &&&Gap| {
        account
            .switches
            .iter()
            .any(|at| gap.from_ns + 1_000 < *at && *at + 1_000 < gap.to_ns)
    };
    let missed: Vec<_> = bare.iter().filter(is_switched).collect();
    assert!(
        missed.is_empty(),
        "another thread had the CPU, and the timeline does not know of it: {missed:?}"
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
    let overlaps = outer.from_ns < inner.to_ns && inner.from_ns < outer.to_ns;
    overlaps && outer.from_ns <= inner.from_ns + BOOKS_NS && inner.to_ns <= outer.to_ns + BOOKS_NS
}

/// Whether the gap is what one sees of an interval off the CPU: no earlier than it, and with its end.
fn is_seen(gap: &Gap, off: &Gap) -> bool {
    let overlaps = gap.from_ns < off.to_ns && off.from_ns < gap.to_ns;
    overlaps && off.to_ns <= gap.to_ns + BOOKS_NS
}

/// What is left of a gap within a slice, when its slice's stolen time and the interrupts are taken off.
fn unexplained_ns(gap: &Gap, states: &[StateInterval], interrupts: &[(u64, u64)]) -> u64 {
    let slices = states
        .iter()
        .filter(|state| state.start_ns < gap.to_ns && gap.from_ns < state.end_ns);
    let stolen_ns: u64 = slices.map(|slice| slice.stolen_ns).sum();
    let of_interrupt = |(from_ns, to_ns): &(u64, u64)| gap.to_ns.min(*to_ns).saturating_sub(gap.from_ns.max(*from_ns));
    let interrupted_ns: u64 = interrupts.iter().map(of_interrupt).sum();
    (gap.to_ns - gap.from_ns).saturating_sub(stolen_ns + interrupted_ns)
}

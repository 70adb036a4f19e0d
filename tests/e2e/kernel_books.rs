//! The timeline against the kernel's own books: examples/bookkeeper.rs.

use crate::support::{allows, example, last_json, machine, number, record, scratch, thread, tracks};
use plumb_trace::{
    State,
    timeline::{Query, TimelineFile, TrackKind},
};
use serde_json::Value;
use std::process::Command;

/// What the books may differ by: a share, or so much for each square root of a slice.
struct Tolerance {
    share: f64,
    ns_by_root_slice: f64,
}

const RUNNING: Tolerance = Tolerance {
    share: 0.001,
    ns_by_root_slice: 2_000.0,
};
const READY: Tolerance = Tolerance {
    share: 0.01,
    ns_by_root_slice: 5_000.0,
};

/// Of a USER_HZ of 100.
const TICK_NS: u64 = 10_000_000;
/// What /proc/stat may be behind.
const STEAL_TICKS: u64 = 2;

#[test]
fn ledger_agrees_with_schedstat_and_rows_sum_to_lives() {
    if !allows("kernel-events", "kernel_books") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let stolen_before_ns = stolen_ns();
    let (printed, timeline) = record(
        dir.path(),
        &["--no-jvm", "-f", "kernel"],
        &Command::new(example("bookkeeper")),
    );
    let stolen_after_ns = stolen_ns();
    let books = last_json(&printed);
    let rows = books["threads"].as_array().expect("threads");
    // Two of them within a quota, where there is a group for them.
    assert!([10, 12].contains(&rows.len()), "{}", rows.len());
    assert_eq!(timeline.losses(), [], "nothing was lost");
    rows_sum_to_lives(&timeline);
    stolen_time_is_the_hypervisors(&timeline, stolen_after_ns - stolen_before_ns);
    let faults: Vec<_> = rows.iter().flat_map(|row| check(&timeline, row)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What the timeline and a row of the kernel's books disagree in.
fn check(timeline: &TimelineFile, row: &Value) -> Vec<String> {
    let track = thread(timeline, number(row, "tid"));
    let totals = timeline
        .totals(track, number(row, "from_ns"), number(row, "to_ns"))
        .expect("totals");
    let slices = number(row, "slices");
    let mut faults = Vec::new();
    let mut judge = |what: &str, got: u64, at_most: u64, wanted: u64, tolerance: &Tolerance| {
        let allowed = (wanted as f64 * tolerance.share).max(tolerance.ns_by_root_slice * (slices as f64).sqrt());
        let off = wanted as f64 - wanted.clamp(got, at_most) as f64;
        let line = format!(
            "{} {what}: {got} to {at_most} ns, the kernel says {wanted}, off {off}, allowed {allowed:.0}",
            row["name"]
        );
        println!("{line}");
        if off.abs() > allowed {
            faults.push(line);
        }
    };
    let states = [State::Running, State::Ready, State::Throttled, State::Unknown];
    let [running, ready, throttled, unknown] = states.map(|state| totals.states.get(state));
    judge("running", running, running, number(row, "run_ns"), &RUNNING);
    // Where the kernel runs no program on behalf of a protected process 1, a wakeup may be untold: whether the thread slept or waited is unknown then, and says so.
    // The kernel books what a quota denies as waiting.
    let waited = ready + throttled;
    judge("ready", waited, waited + unknown, number(row, "wait_ns"), &READY);
    for (what, got, wanted) in [
        ("time slices", totals.voluntary + totals.involuntary, slices),
        ("voluntary switches", totals.voluntary, number(row, "voluntary")),
        ("involuntary switches", totals.involuntary, number(row, "involuntary")),
    ] {
        if got != wanted {
            faults.push(format!("{}: {got} {what}, the kernel says {wanted}", row["name"]));
        }
    }
    faults
}

/// What the slices of all threads lost to the hypervisor, against /proc/stat, which counts in ticks and also while a CPU idles.
fn stolen_time_is_the_hypervisors(timeline: &TimelineFile, at_most_ns: u64) {
    let stolen = tracks(timeline, TrackKind::Thread).map(|(id, track)| {
        let totals = timeline.totals(id, track.start_ns, track.end_ns).expect("totals");
        totals.states.get(State::Stolen)
    });
    let stolen: u64 = stolen.sum();
    let allowed = at_most_ns + at_most_ns / 10 + STEAL_TICKS * TICK_NS;
    println!("stolen: {stolen} ns, /proc/stat says {at_most_ns}, allowed {allowed}");
    assert!(stolen <= allowed, "{stolen} ns stolen, /proc/stat says {at_most_ns}");
}

/// `steal` of /proc/stat, all CPUs.
fn stolen_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("/proc/stat");
    let ticks = stat.split_whitespace().nth(8).expect("steal");
    ticks.parse::<u64>().expect("a number") * TICK_NS
}

fn rows_sum_to_lives(timeline: &TimelineFile) {
    for (id, track) in tracks(timeline, TrackKind::Thread) {
        let totals = timeline.totals(id, track.start_ns, track.end_ns).expect("totals");
        assert_eq!(totals.states.sum(), track.end_ns - track.start_ns, "{track:?}");
        let states = timeline.states(id, track.start_ns, track.end_ns).expect("states");
        let gapless = states.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns);
        assert!(gapless, "the states of {} have a gap or overlap", track.name);
    }
}

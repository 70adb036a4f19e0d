//! The timeline against the kernel's own books: examples/bookkeeper.rs.

use crate::support::{allows, example, last_json, machine, number, record, say, scratch, thread, tracks};
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
    share: 0.005,
    ns_by_root_slice: 8_000.0,
};
const READY: Tolerance = Tolerance {
    share: 0.02,
    ns_by_root_slice: 20_000.0,
};

/// How often the books are taken where the kernel's own stream has holes, see [`ledger_agrees_with_schedstat_and_rows_sum_to_lives`].
const ATTEMPTS: usize = 6;

/// A sandbox's kernel may run no BPF program while a thread of process 1 is on a CPU: what happens then, be it a switch or a wakeup out of an interrupt, is in
/// nobody's records, and the merger notes it. Books that disagree are taken again then, and only then.
#[test]
fn ledger_agrees_with_schedstat_and_rows_sum_to_lives() {
    if !allows("kernel-events", "kernel_books") {
        return;
    }
    let _machine = machine();
    for attempt in 1..=ATTEMPTS {
        let (faults, has_holes) = disagreements();
        if faults.is_empty() {
            return;
        }
        let told = faults.join("\n");
        assert!(has_holes && attempt < ATTEMPTS, "attempt {attempt}: {told}");
        say(&format!(
            "attempt {attempt}, with switches that the kernel did not tell:\n{told}"
        ));
    }
}

/// One run: where timeline and kernel disagree, and whether the kernel kept switches to itself.
fn disagreements() -> (Vec<String>, bool) {
    let dir = scratch();
    let (printed, timeline) = record(
        dir.path(),
        &["--no-jvm", "-f", "kernel"],
        &Command::new(example("bookkeeper")),
    );
    let books = last_json(&printed);
    let rows = books["threads"].as_array().expect("threads");
    assert_eq!(rows.len(), 10);
    assert_eq!(timeline.losses(), [], "nothing was lost");
    rows_sum_to_lives(&timeline);
    let has_holes = timeline
        .info()
        .notes
        .iter()
        .any(|note| note.contains("was not seen to leave it"));
    (rows.iter().flat_map(|row| check(&timeline, row)).collect(), has_holes)
}

/// What the timeline and a row of the kernel's books disagree in.
fn check(timeline: &TimelineFile, row: &Value) -> Vec<String> {
    let track = thread(timeline, number(row, "tid"));
    let totals = timeline
        .totals(track, number(row, "from_ns"), number(row, "to_ns"))
        .expect("totals");
    let slices = number(row, "slices");
    let switches = totals.voluntary + totals.involuntary;
    let mut faults = Vec::new();
    let mut judge = |what: &str, got: u64, wanted: u64, tolerance: &Tolerance| {
        let allowed = (wanted as f64 * tolerance.share).max(tolerance.ns_by_root_slice * (slices as f64).sqrt());
        let off = got.abs_diff(wanted) as f64;
        let line = format!(
            "{} {what}: {got} ns, the kernel says {wanted}, off {off}, allowed {allowed:.0}",
            row["name"]
        );
        println!("{line}");
        if off > allowed {
            faults.push(line);
        }
    };
    judge(
        "running",
        totals.states.get(State::Running),
        number(row, "run_ns"),
        &RUNNING,
    );
    judge("ready", totals.states.get(State::Ready), number(row, "wait_ns"), &READY);
    if switches != slices {
        faults.push(format!(
            "{}: {switches} time slices, the kernel says {slices}",
            row["name"]
        ));
    }
    faults
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

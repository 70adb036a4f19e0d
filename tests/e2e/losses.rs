//! Losses on their whole way: records that found no room in rings made too small on purpose are intervals of the timeline, and their counts are those of the rings.

use crate::support::{allows, check_rows, example, machine, number, open, plumb, scratch, succeed};
use plumb_collector::{KernelOptions, Options, Recorder};
use plumb_trace::timeline::{Loss, Query};
use std::{collections::BTreeMap, process::Command};

#[test]
fn what_small_rings_lost_stands_in_the_timeline_to_the_last_record() {
    const NAME: &str = "what_small_rings_lost_stands_in_the_timeline_to_the_last_record";
    if !allows("kernel-events", NAME) {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let options = Options {
        dir: dir.path().join("r"),
        kernel: Some(KernelOptions {
            // 64 records a CPU.
            ring_bytes: Some(64 * 64),
            ..KernelOptions::default()
        }),
        ..Options::default()
    };
    let recorder = Recorder::start(options).unwrap_or_else(|error| panic!("{error}"));
    succeed(&mut Command::new(example("pingpong")));
    let summary = recorder.stop().expect("a recording");
    let lost = summary.counts.kernel_lost;
    assert!(lost > 1000, "{summary:?}");
    succeed(plumb().arg("merge").arg(dir.path().join("r")));
    let path = dir.path().join("r.plumb");
    let timeline = open(&path);
    let sum: Option<u64> = timeline.losses().iter().map(|loss| loss.events).sum();
    assert_eq!(sum, Some(lost), "each loss is of a known number");
    check_intervals(timeline.losses(), (timeline.info().from_ns, timeline.info().to_ns));
    // Nobody is said to have done anything where it was not seen, nor is any time missing.
    let unknown: u64 = check_rows(&path)
        .iter()
        .map(|row| number(&row["states_ns"], "unknown"))
        .sum();
    assert!(unknown > 0);
    let told: serde_json::Value =
        serde_json::from_str(&succeed(plumb().args(["ledger", "--json"]).arg(&path))).expect("JSON");
    let told = told["losses"].as_array().expect("losses");
    assert_eq!(told.iter().map(|loss| number(loss, "events")).sum::<u64>(), lost);
}

/// Each has a length and lies in the timeline, and those of a stream follow one another.
fn check_intervals(losses: &[Loss], (from_ns, to_ns): (u64, u64)) {
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    for loss in losses {
        let before_ns = ends.insert(&loss.stream, loss.to_ns).unwrap_or(from_ns);
        assert!(
            before_ns <= loss.from_ns && loss.from_ns < loss.to_ns && loss.to_ns <= to_ns,
            "{loss:?} after {before_ns}"
        );
    }
    assert!(!ends.is_empty());
}

//! The timeline against the books of a Java program that counts its calls by itself: examples/calls/src/Calls.java.

use crate::support::{
    Running, attach, checkout, interrupt, java, jdks, last_json, machine, open, record, scratch, tracks,
};
use plumb_trace::timeline::{Query, Slice, TimelineFile, TrackKind};
use serde_json::Value;
use std::{collections::BTreeMap, io::Write};

#[test]
fn calls_counted_from_the_start_are_the_slices() {
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let rules = checkout("examples/calls/rules.toml");
        let (printed, timeline) = record(dir.path(), &["-f", &rules.to_string_lossy()], &java(&home, &["Calls"]));
        check(version, &timeline, &last_json(&printed));
    }
}

#[test]
fn calls_counted_after_attaching_are_the_slices() {
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let mut calls = Running::start(&mut java(&home, &["Calls", "wait"]));
        calls.line_with("ready");
        let rules = checkout("examples/calls/rules.toml");
        let recorder = attach(&["-f", &rules.to_string_lossy()], calls.pid(), &dir.path().join("r"));
        writeln!(calls.stdin()).expect("the program reads");
        let counted = last_json(&calls.line_with("{\"calls\""));
        interrupt(recorder);
        writeln!(calls.stdin()).expect("the program lives on");
        let (status, said) = calls.end();
        assert!(status.success(), "the traced program failed: {said}");
        check(version, &open(&dir.path().join("r.plumb")), &counted);
    }
}

pub fn check(version: &str, timeline: &TimelineFile, counted: &Value) {
    let counted: BTreeMap<String, u64> = serde_json::from_value(counted["calls"].clone()).expect("counts");
    let slices = slices(timeline);
    let found: BTreeMap<String, u64> = counted
        .keys()
        .map(|name| {
            (
                name.clone(),
                slices.iter().filter(|(slice, _)| slice == name).count() as u64,
            )
        })
        .collect();
    assert_eq!(found, counted, "JDK {version}");
    let thrown = |name: &str| {
        slices
            .iter()
            .filter(|(slice, call)| slice == name && call.thrown)
            .count() as u64
    };
    // Every third of each thread's 500 rounds throws, through both methods.
    assert_eq!(
        (thrown("Calls.throwing"), thrown("Calls.through"), thrown("Calls.leaf")),
        (4 * 167, 4 * 167, 0),
        "JDK {version}"
    );
    let open: Vec<_> = slices
        .iter()
        .filter(|(_, call)| call.open_start || call.open_end)
        .collect();
    assert!(
        open.is_empty(),
        "JDK {version}: every call began and ended within the recording, but {} did not: {:?}",
        open.len(),
        open[0]
    );
    let deepest = slices
        .iter()
        .filter(|(name, _)| name == "Calls.recursive")
        .map(|(_, call)| call.depth)
        .max();
    assert_eq!(deepest, Some(12), "JDK {version}: calls nest");
    assert_eq!(timeline.losses(), [], "nothing was lost");
}

fn slices(timeline: &TimelineFile) -> Vec<(String, Slice)> {
    let threads = tracks(timeline, TrackKind::Thread);
    let all = threads.flat_map(|(id, _)| timeline.slices(id, 0, u64::MAX, 0).expect("slices"));
    all.map(|slice| (timeline.string(slice.name).to_owned(), slice))
        .collect()
}

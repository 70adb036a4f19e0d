//! What a JVM counts about itself, sampled from outside, against what its own management bean says: examples/calls/src/Loads.java.

use crate::support::{Running, java, jdks, last_json, machine, number, open, plumb, scratch, succeed, wait_for};
use plumb_trace::timeline::{Query, TimelineFile, Track, TrackKind};
use std::io::Write;

/// Classes that the program is told to load.
const LOADED: u64 = 700;

#[test]
fn loaded_classes_are_those_that_the_jvm_tells_of() {
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let mut loads = Running::start(&mut java(&home, &["Loads"]));
        let before = number(&last_json(&loads.line_with("ready")), "ready");
        let mut recorder = Running::start(
            plumb()
                .args([
                    "record",
                    "--no-kernel",
                    "-f",
                    "jvm",
                    "--pid",
                    &loads.pid().to_string(),
                    "-o",
                ])
                .arg(dir.path().join("r")),
        );
        recorder.line_with("recording");
        writeln!(loads.stdin(), "{LOADED}").expect("the program listens");
        loads.line_with("loaded");
        // The JVM itself brings its counters up to date from time to time only.
        let mut merges = 0;
        wait_for("the counter to have grown", || {
            merges += 1;
            let timeline = dir.path().join(format!("{merges}.plumb"));
            succeed(plumb().arg("merge").arg(dir.path().join("r")).arg("-o").arg(&timeline));
            let values = values(&open(&timeline), "jvm.classes_loaded");
            let grown = values.last()?.checked_sub(*values.first()?)?;
            (grown >= LOADED as i64).then_some(())
        });
        recorder.signal("INT");
        let (status, said) = recorder.end();
        assert!(status.success(), "JDK {version}: {said}");
        let (_, said) = loads.end();
        let all = number(&last_json(&said), "end") - before;

        let timeline = open(&dir.path().join("r.plumb"));
        let is_of_jvm = |track: &Track| timeline.processes()[track.process.0 as usize].jvm;
        let is_counter = |track: &&Track| track.name.starts_with("jvm.");
        assert!(timeline.tracks().iter().filter(is_counter).all(is_of_jvm));
        let loaded = growth(&timeline, "jvm.classes_loaded");
        assert!(
            (LOADED..=all).contains(&loaded),
            "JDK {version}: {loaded} of {all} classes that were loaded since the program was ready"
        );
        for name in ["jvm.compilations", "jvm.safepoint_time", "jvm.threads"] {
            assert!(values(&timeline, name).len() >= 2, "JDK {version}: {name}");
        }
    }
}

#[test]
fn a_jvm_that_starts_under_the_recorder_is_counted_too() {
    let _machine = machine();
    let Some((_, home)) = jdks().pop() else { return };
    let dir = scratch();
    let java = java(&home, &["Loads"]);
    let mut recorder = plumb();
    recorder
        .args(["record", "--no-kernel", "-f", "jvm", "-o"])
        .arg(dir.path().join("r"));
    let mut recorder = Running::start(recorder.arg("--").arg(java.get_program()).args(java.get_args()));
    recorder.line_with("ready");
    let mut merges = 0;
    wait_for("samples on the disk", || {
        merges += 1;
        let timeline = dir.path().join(format!("{merges}.plumb"));
        succeed(plumb().arg("merge").arg(dir.path().join("r")).arg("-o").arg(&timeline));
        (values(&open(&timeline), "jvm.classes_loaded").len() >= 2).then_some(())
    });
    writeln!(recorder.stdin(), "{LOADED}").expect("the program listens");
    recorder.line_with("loaded");
    let (status, said) = recorder.end();
    assert!(status.success(), "{said}");
}

/// The samples of a counter of the one JVM; none where the timeline has no such counter.
fn values(timeline: &TimelineFile, name: &str) -> Vec<i64> {
    let tracks = timeline.tracks().iter().enumerate();
    let mut of_name = tracks.filter(|(_, track)| matches!(track.kind, TrackKind::Counter { .. }) && track.name == name);
    let Some((index, _)) = of_name.next() else {
        return Vec::new();
    };
    assert!(of_name.next().is_none(), "{name} is one of the one JVM");
    let id = plumb_trace::timeline::TrackId(index as u32);
    let points = timeline.counters(id, 0, u64::MAX, 0).expect("samples");
    points.iter().map(|point| point.last).collect()
}

fn growth(timeline: &TimelineFile, name: &str) -> u64 {
    let values = values(timeline, name);
    let (first, last) = (values.first().expect("samples"), values.last().expect("samples"));
    u64::try_from(last - first).expect("it grows")
}

//! Units of work that change threads, against what the program counts by itself: examples/calls/src/Units.java.

use crate::support::{Running, checkout, java, jdks, last_json, machine, open, plumb, record, scratch, succeed};
use plumb_trace::timeline::{Query, TimelineFile, Unit};
use serde_json::Value;
use std::{collections::BTreeMap, io::Write, path::Path};

type Counts = BTreeMap<String, u64>;

#[test]
fn units_and_their_parts_are_what_the_program_counts() {
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let rules = checkout("examples/calls/units.toml");
        let (printed, _) = record(dir.path(), &["-f", &rules.to_string_lossy()], &java(&home, &["Units"]));
        check(version, &dir.path().join("r.plumb"), &last_json(&printed));
    }
}

#[test]
fn units_after_attaching_are_what_the_program_counts() {
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let mut units = Running::start(&mut java(&home, &["Units", "wait"]));
        units.line_with("ready");
        let mut recorder = Running::start(
            plumb()
                .args(["record", "--pid", &units.pid().to_string(), "-f"])
                .arg(checkout("examples/calls/units.toml"))
                .arg("-o")
                .arg(dir.path().join("r")),
        );
        recorder.line_with("recording");
        writeln!(units.stdin()).expect("the program reads");
        let counted = last_json(&units.line_with("{\"units\""));
        recorder.signal("INT");
        let (status, said) = recorder.end();
        assert!(status.success(), "{said}");
        writeln!(units.stdin()).expect("the program lives on");
        let (status, said) = units.end();
        assert!(status.success(), "the traced program failed: {said}");
        check(version, &dir.path().join("r.plumb"), &counted);
    }
}

fn check(version: &str, path: &Path, counted: &Value) {
    let counts = |name: &str| serde_json::from_value::<Counts>(counted[name].clone()).expect("counts");
    let timeline = open(path);
    check_units(version, &timeline, &counts("units"));
    check_parts(version, &timeline, &counts("elsewhere"));
    check_ledger(path, &counts("units"));
}

/// `request /pool/1`
fn called(timeline: &TimelineFile, unit: &Unit) -> String {
    let key = timeline.string(unit.key);
    format!("{} {key}", timeline.string(unit.name)).trim_end().to_owned()
}

fn check_units(version: &str, timeline: &TimelineFile, counted: &Counts) {
    let units = timeline.units(0, u64::MAX).expect("units");
    let mut found = Counts::new();
    for unit in &units {
        *found.entry(called(timeline, unit)).or_default() += 1;
    }
    assert_eq!(&found, counted, "JDK {version}");
    let notes = &timeline.info().notes;
    let incomplete: Vec<_> = units.iter().filter(|unit| !unit.complete).collect();
    assert!(
        incomplete.is_empty(),
        "JDK {version}: {} units not seen whole: {:?}; {notes:?}",
        incomplete.len(),
        incomplete[0]
    );
    let thrown: Vec<String> = units
        .iter()
        .filter(|unit| unit.thrown)
        .map(|unit| called(timeline, unit))
        .collect();
    assert!(thrown.iter().all(|unit| unit == "request /thrown"), "{thrown:?}");
    assert_eq!(thrown.len() as u64, counted["request /thrown"]);
    assert_eq!(timeline.losses(), [], "nothing was lost");
}

/// Beside its own thread's part, a unit has one for each task that another thread ran; of a tree of forks, as many as there were threefold at the most.
fn check_parts(version: &str, timeline: &TimelineFile, elsewhere: &Counts) {
    let parts = timeline.unit_parts(0, u64::MAX).expect("parts");
    let mut found = Counts::new();
    for unit in timeline
        .units(0, u64::MAX)
        .expect("units")
        .iter()
        .filter(|unit| unit.number > 0)
    {
        let own: Vec<_> = parts.iter().filter(|part| part.number == unit.number).collect();
        assert!(
            own.iter()
                .all(|part| unit.start_ns <= part.handed_ns && part.end_ns <= unit.end_ns),
            "{unit:?}: {own:?}"
        );
        *found.entry(called(timeline, unit)).or_default() += own.len() as u64 - 1;
    }
    let forks = found.remove("request /fork").unwrap_or(0);
    assert!(
        forks >= 3 * 40,
        "JDK {version}: each of the trees ran in the pool: {forks}"
    );
    assert_eq!(&found, elsewhere, "JDK {version}");
}

/// The ledger counts the units, and shows how long what they handed over waited.
fn check_ledger(timeline: &Path, counted: &Counts) {
    let printed = succeed(plumb().args(["ledger", "--by", "unit", "--json"]).arg(timeline));
    let ledger: Value = serde_json::from_str(&printed).expect("JSON");
    let rows = ledger["rows"].as_array().expect("rows");
    let found: Counts = rows
        .iter()
        .map(|row| {
            (
                row["key"].as_str().expect("a key").to_owned(),
                row["count"].as_u64().expect("a count"),
            )
        })
        .collect();
    assert_eq!(&found, counted);
    let of = |key: &str| rows.iter().find(|row| row["key"] == key).expect("a row");
    assert!(of("request /pool/1")["queue_ns"].as_u64() > Some(0));
    assert_eq!(of("request")["queue_ns"], 0);
    // Its tasks take 300 µs at least, in whatever states: without the kernel's records most of it is unknown.
    let states = of("request /pool/1")["states_ns"].as_object().expect("states");
    let sum: u64 = states.values().filter_map(Value::as_u64).sum();
    assert!(sum >= counted["request /pool/1"] * 300_000, "{states:?}");
}

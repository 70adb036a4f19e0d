//! SIGKILL at any time: what was drained is merged, and the traced JVM goes on.

use crate::support::{Running, allows, checkout, java, jdks, machine, open, plumb, scratch, succeed, told, wait_for};
use plumb_trace::timeline::{Query, TimelineFile};
use std::{io::Write, path::Path, time::Duration};

#[test]
fn a_killed_recorder_leaves_a_recording_that_merges_and_a_jvm_that_works() {
    if !allows("kernel-events", "killed") {
        return;
    }
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let recording = dir.path().join("r");
        let mut calls = Running::start(&mut java(&home, &["Calls", "wait"]));
        calls.line_with("ready");
        let mut recorder = Running::start(
            plumb()
                .args(["record", "-f", "kernel", "--pid", &calls.pid().to_string(), "-f"])
                .arg(checkout("examples/calls/rules.toml"))
                .arg("-o")
                .arg(&recording),
        );
        recorder.line_with("recording");
        let before = size(&recording);
        wait_for("the recording to grow", || {
            let has_names = recording.join("host.seg").metadata().is_ok_and(|file| file.len() > 0);
            (has_names && size(&recording) > before + 4096).then_some(())
        });
        recorder.signal("KILL");
        let _killed = recorder.end();

        succeed(plumb().arg("merge").arg(&recording));
        let timeline = open(&dir.path().join("r.plumb"));
        let processes = timeline.processes();
        assert!(
            processes.iter().any(|process| process.pid == calls.pid()),
            "the JVM is there"
        );
        let notes = &timeline.info().notes;
        assert!(
            notes.iter().any(|note| note.contains("killed")),
            "it is said that something is missing: {notes:?}"
        );
        check_tail(&timeline, &dir.path().join("r.plumb"));

        // The life line is cut: a second recorder finds the JVM as the first one did.
        succeed(
            plumb()
                .args([
                    "record",
                    "-d",
                    "200ms",
                    "-f",
                    "jvm",
                    "--pid",
                    &calls.pid().to_string(),
                    "-o",
                ])
                .arg(dir.path().join("again")),
        );
        writeln!(calls.stdin()).expect("the program lives on");
        calls.line_with("{\"calls\"");
        writeln!(calls.stdin()).expect("the program lives on");
        let (status, said) = calls.end();
        assert!(status.success(), "JDK {version}: the traced program failed: {said}");
    }
}

#[test]
fn a_recorder_killed_at_its_very_begin_leaves_a_loss() {
    if !allows("kernel-events", "killed") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let recording = dir.path().join("r");
    let recorder = Running::start(plumb().args(["record", "--all", "-f", "kernel", "-o"]).arg(&recording));
    wait_for("the manifest", || {
        recording.join("manifest.json").exists().then_some(())
    });
    recorder.signal("KILL");
    let _killed = recorder.end();
    succeed(plumb().arg("merge").arg(&recording));
    let merged = dir.path().join("r.plumb");
    check_tail(&open(&merged), &merged);
}

/// From its very first moment on: what there is by then either merges, with what is missing marked, or is no recording yet.
#[test]
fn a_recorder_killed_at_any_moment_leaves_what_merges_or_nothing() {
    if !allows("kernel-events", "killed") {
        return;
    }
    let _machine = machine();
    let mut merged = 0;
    for after_ms in [0, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 200, 400, 900, 1500] {
        let dir = scratch();
        let recording = dir.path().join("r");
        let recorder = Running::start(plumb().args(["record", "--all", "-f", "kernel", "-o"]).arg(&recording));
        std::thread::sleep(Duration::from_millis(after_ms));
        recorder.signal("KILL");
        let _killed = recorder.end();
        let has_manifest = recording.join("manifest.json").exists();
        let output = plumb().arg("merge").arg(&recording).output().expect("plumb runs");
        let said = told(&output);
        assert_eq!(output.status.success(), has_manifest, "after {after_ms} ms: {said}");
        if has_manifest {
            merged += 1;
            let timeline = dir.path().join("r.plumb");
            check_tail(&open(&timeline), &timeline);
        } else {
            assert!(said.contains("remedy: ") && !said.contains("panicked"), "{said}");
        }
    }
    assert!(merged > 0, "no recorder lived long enough to begin");
}

/// What was not drained is a loss, of an unknown number of events, and everybody who asks is told.
fn check_tail(timeline: &TimelineFile, path: &Path) {
    let losses = timeline.losses();
    assert!(!losses.is_empty(), "what was not drained is a loss");
    assert!(
        losses.iter().all(|loss| loss.events.is_none()),
        "nobody knows how much was not drained: {losses:?}"
    );
    let told = succeed(plumb().args(["ledger", "--json"]).arg(path));
    let ledger: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let told = ledger["losses"].as_array().expect("losses");
    assert_eq!(told.len(), losses.len(), "{told:?}");
    assert!(told.iter().all(|loss| loss["events"].is_null()), "{told:?}");
}

/// Bytes of all files below a directory.
fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

//! SIGKILL at any time: what was drained is merged, and the traced JVM goes on.

use crate::support::{Running, allows, checkout, java, jdks, machine, open, plumb, scratch, succeed, wait_for};
use plumb_trace::timeline::Query;
use std::{io::Write, path::Path};

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
            (size(&recording) > before + 4096).then_some(())
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
        let losses = timeline.losses();
        assert!(
            losses.iter().all(|loss| loss.events.is_none()),
            "nobody knows how much was not drained: {losses:?}"
        );

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

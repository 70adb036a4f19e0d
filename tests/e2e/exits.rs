//! Processes that end while they are recorded, or while they are attached to; and two recorders of one JVM.

use crate::held::Held;
use crate::support::{
    Running, allows, attach, check_rows, checkout, interrupt, java, jdks, last_json, machine, number, open, plumb,
    scratch, told, wait_for,
};
use plumb_trace::timeline::Query;
use std::{io::Write, path::Path};

#[test]
fn a_process_that_ends_while_it_is_recorded_ends_the_recording_and_is_there_whole() {
    if !allows("kernel-events", "exits") {
        return;
    }
    let _machine = machine();
    let rules = checkout("examples/calls/rules.toml");
    for (version, home) in jdks() {
        let dir = scratch();
        let mut calls = Running::start(&mut java(&home, &["Calls", "wait"]));
        let pid = calls.pid();
        calls.line_with("ready");
        let arguments = ["-f", "kernel", "-f", &rules.to_string_lossy()];
        let recorder = attach(&arguments, pid, &dir.path().join("r"));
        writeln!(calls.stdin()).expect("the program reads");
        let counted = last_json(&calls.line_with("{\"calls\""));
        writeln!(calls.stdin()).expect("the program reads");
        let (status, said) = calls.end();
        assert!(status.success(), "{said}");
        // Nobody has told the recorder to stop.
        let (status, said) = recorder.end();
        assert!(status.success() && !said.contains("warning"), "JDK {version}: {said}");
        let path = dir.path().join("r.plumb");
        let timeline = open(&path);
        crate::calls::check(version, &timeline, &counted);
        let rows = check_rows(&path);
        let mut own = rows.iter().filter(|row| row["pid"] == pid);
        assert!(own.clone().count() > 5, "a JVM has threads of its own");
        let ended = own.all(|row| number(row, "end_ns") < timeline.info().to_ns);
        assert!(ended, "they ended before the recording did");
    }
}

#[test]
fn a_jvm_that_is_killed_while_it_is_attached_to_is_told_and_nothing_is_left() {
    let _machine = machine();
    let Some((_, home)) = jdks().into_iter().next() else {
        return;
    };
    let dir = scratch();
    let recording = dir.path().join("r");
    let mut calls = Running::start(&mut java(&home, &["Calls", "wait"]));
    calls.line_with("ready");
    let pid = calls.pid();
    let held = Held::hold(pid);
    let mut recorder = plumb();
    recorder.args(["record", "--no-kernel", "-f", "jvm", "--pid", &pid.to_string(), "-o"]);
    let recorder = Running::start(recorder.arg(&recording));
    let request = format!("/tmp/.attach_pid{pid}");
    wait_for("the attach request", || Path::new(&request).exists().then_some(()));
    calls.signal("KILL");
    drop(held);
    let _killed = calls.end();
    let (status, said) = recorder.end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&pid.to_string()) && said.contains("remedy: "), "{said}");
    assert!(!said.contains("did not answer"), "it is gone, not slow: {said}");
    assert!(!Path::new(&request).exists(), "the request is taken back");
    assert!(!recording.exists(), "nothing was recorded");
}

#[test]
fn a_second_recorder_of_a_jvm_is_refused_and_the_first_loses_nothing() {
    let _machine = machine();
    let rules = checkout("examples/calls/rules.toml");
    for (version, home) in jdks() {
        let dir = scratch();
        let mut calls = Running::start(&mut java(&home, &["Calls", "wait"]));
        calls.line_with("ready");
        let pid = calls.pid();
        let first = attach(&["-f", &rules.to_string_lossy()], pid, &dir.path().join("first"));
        let mut second = plumb();
        second.args(["record", "-f", "jvm", "--pid", &pid.to_string(), "-o"]);
        let second = second.arg(dir.path().join("second")).output().expect("plumb runs");
        let said = told(&second);
        assert_eq!(second.status.code(), Some(1), "{said}");
        assert!(said.contains("another plumb") && said.contains("remedy: "), "{said}");
        assert!(!dir.path().join("second").exists(), "nothing was recorded");
        writeln!(calls.stdin()).expect("the program reads");
        let counted = last_json(&calls.line_with("{\"calls\""));
        interrupt(first);
        crate::calls::check(version, &open(&dir.path().join("first.plumb")), &counted);
    }
}

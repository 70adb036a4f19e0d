//! Ctrl-C while a JVM does not answer: the recording ends at once and cleanly, and keeps what there is.

use crate::held::Held;
use crate::support::{Running, allows, java, jdks, machine, open, plumb, scratch, wait_for};
use plumb_trace::timeline::Query;
use std::{os::unix::net::UnixStream, path::Path};

#[test]
fn a_jvm_that_does_not_answer_the_attach_does_not_hold_up_an_interrupt() {
    if !allows("kernel-events", "interrupt") {
        return;
    }
    let _machine = machine();
    let Some((_, home)) = jdks().into_iter().next() else {
        return;
    };
    let dir = scratch();
    let recording = dir.path().join("r");
    let mut calls = Running::start(&mut java(&home, &["Calls", "wait"]));
    calls.line_with("ready");
    let pid = calls.pid().to_string();
    let held = Held::hold(calls.pid());
    let recorder = Running::start(
        plumb()
            .args(["record", "-f", "jvm", "-f", "kernel", "--pid", &pid, "-o"])
            .arg(&recording),
    );
    let request = format!("/tmp/.attach_pid{pid}");
    wait_for("the attach request", || Path::new(&request).exists().then_some(()));
    recorder.signal("INT");
    let (status, said) = recorder.end();
    drop(held);
    // Who waits for the JVM to the end fails with its silence.
    assert!(status.success() && !said.contains("did not answer"), "{said}");
    assert!(!Path::new(&request).exists(), "the request is taken back");
    let timeline = open(&dir.path().join("r.plumb"));
    assert!(
        timeline.processes().iter().any(|process| process.pid == calls.pid()),
        "what was recorded is kept"
    );
    assert!(calls.is_alive());
}

#[test]
fn an_agent_that_says_nothing_does_not_hold_up_an_interrupt() {
    let _machine = machine();
    let dir = scratch();
    // It ends with the test, whose pipe it reads.
    let script = "echo \"$JAVA_TOOL_OPTIONS\"; exec cat";
    let mut recorder = Running::start(
        plumb()
            .args(["record", "--no-kernel", "-f", "jvm", "-o"])
            .arg(dir.path().join("r"))
            .args(["--", "sh", "-c", script]),
    );
    let options = recorder.line_with("socket=");
    let (_, socket) = options.split_once("socket=").expect("just seen");
    let silent = UnixStream::connect(socket.trim_matches('"')).expect("the recorder listens");
    recorder.line_with("recording");
    recorder.signal("INT");
    let (status, said) = recorder.end();
    drop(silent);
    assert!(status.success() && !said.contains("did not answer"), "{said}");
}

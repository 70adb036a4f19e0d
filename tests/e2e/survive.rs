//! Everything that comes and goes, fails and overflows in a JVM: it survives, and the books are right. `cargo xtask soak survive` does it for long.

use crate::support::{
    Running, allows, check_rows, checkout, classes_of, jdk_program, jdks, last_json, machine, number, open, plumb,
    scratch, succeed, tracks,
};
use plumb_trace::timeline::{Query, TimelineFile, TrackKind};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

fn churn() -> &'static Path {
    classes_of("examples/churn")
}

/// Calls of a method in the timeline.
fn calls(timeline: &TimelineFile, name: &str) -> u64 {
    let threads = tracks(timeline, TrackKind::Thread).chain(tracks(timeline, TrackKind::VirtualThread));
    let all = threads.flat_map(|(id, _)| timeline.slices(id, 0, u64::MAX, 0).expect("slices"));
    all.filter(|slice| timeline.string(slice.name) == name).count() as u64
}

/// Every thread's states sum to its life, and nothing was lost.
fn check_books(path: &Path, what: &str) {
    assert!(!check_rows(path).is_empty(), "{what}");
    assert_eq!(open(path).losses(), [], "{what}");
}

#[test]
fn what_comes_and_goes_is_survived_with_every_collector_and_under_the_jvms_own_checks() {
    if !allows("kernel-events", "survive") {
        return;
    }
    let _machine = machine();
    let options: [&[&str]; 6] = [
        &["-XX:+UseG1GC"],
        &["-XX:+UseSerialGC"],
        &["-XX:+UseParallelGC"],
        // Before JDK 15 it is an experiment.
        &["-XX:+UnlockExperimentalVMOptions", "-XX:+UseZGC"],
        &["-Xint"],
        &["-Xcheck:jni", "-Xverify:all"],
    ];
    for (version, home) in jdks() {
        for options in options {
            let (what, dir) = (format!("JDK {version} {options:?}"), scratch());
            let mut recorder = plumb();
            recorder
                .arg("record")
                .arg("-f")
                .arg(checkout("examples/churn/rules.toml"));
            recorder
                .arg("-o")
                .arg(dir.path().join("r"))
                .arg("--")
                .arg(home.join("bin/java"));
            recorder
                .args(options)
                .args(["-Xmx128m", "-XX:+UnlockDiagnosticVMOptions"]);
            recorder.arg(format!("-XX:ErrorFile={}/hs_err.log", dir.path().display()));
            recorder.arg("-cp").arg(churn()).args(["Turnover", "300"]);
            let output = recorder.output().expect("plumb runs");
            let said = crate::support::told(&output);
            assert!(output.status.success(), "{what}: {said}");
            assert!(!dir.path().join("hs_err.log").exists(), "{what}: it crashed");
            // The checks complain about the JDK's own natives, too; these lines are about ours.
            let complaints = said
                .lines()
                .filter(|line| line.contains("WARNING in native") || line.contains("FATAL"));
            assert_eq!(complaints.collect::<Vec<_>>(), Vec::<&str>::new(), "{what}");
            let path = dir.path().join("r.plumb");
            let timeline = open(&path);
            assert_eq!(
                calls(&timeline, "Turnover.work"),
                number(&last_json(&said), "calls"),
                "{what}"
            );
            assert!(calls(&timeline, "Turnover.deepWithProbes") > 100, "{what}");
            check_books(&path, &what);
        }
    }
}

#[test]
fn a_jvm_that_is_killed_or_aborts_leaves_all_its_calls() {
    let _machine = machine();
    for (version, home) in jdks() {
        for signal in ["KILL", "ABRT"] {
            let (what, dir) = (format!("JDK {version} {signal}"), scratch());
            let mut calls_of = crate::support::java(&home, &["Calls", "wait"]);
            // Where a core would be written, if one is.
            let mut program = Running::start(calls_of.current_dir(dir.path()));
            program.line_with("ready");
            let mut recorder = Running::start(
                plumb()
                    .args(["record", "--no-kernel", "--pid", &program.pid().to_string(), "-f"])
                    .arg(checkout("examples/calls/rules.toml"))
                    .arg("-o")
                    .arg(dir.path().join("r")),
            );
            recorder.line_with("recording");
            writeln!(program.stdin()).expect("the program reads");
            let counted = last_json(&program.line_with("{\"calls\""));
            program.signal(signal);
            let (status, _) = program.end();
            assert!(!status.success(), "{what}");
            let (status, said) = recorder.end();
            assert!(status.success(), "{what}: {said}");
            crate::calls::check(version, &open(&dir.path().join("r.plumb")), &counted);
        }
    }
}

#[test]
fn five_thousand_threads_fit_an_arena() {
    const THREADS: u64 = 5000;
    const CALLS: u64 = 20;
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let rules = dir.path().join("crowd.toml");
        fs::write(&rules, "use = [\"jvm\"]\n[[method]]\nmatch = \"Crowd.work\"\n").expect("written");
        let mut recorder = plumb();
        recorder.args(["record", "--no-kernel", "-f"]).arg(&rules);
        recorder
            .arg("-o")
            .arg(dir.path().join("r"))
            .arg("--")
            .arg(home.join("bin/java"));
        recorder.arg("-cp").arg(churn());
        recorder.args(["Crowd", &THREADS.to_string(), &CALLS.to_string()]);
        let output = recorder.output().expect("plumb runs");
        let said = crate::support::told(&output);
        if said.contains("unable to create native thread") {
            crate::support::say("cannot run five thousand threads on this machine");
            return;
        }
        assert!(output.status.success(), "{said}");
        let timeline = open(&dir.path().join("r.plumb"));
        assert_eq!(timeline.losses(), [], "JDK {version}: {said}");
        assert_eq!(calls(&timeline, "Crowd.work"), THREADS * CALLS, "JDK {version}");
    }
}

#[test]
fn ten_thousand_patterns_find_what_they_are_to() {
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let rules = dir.path().join("many.toml");
        let mut text = fs::read_to_string(checkout("examples/calls/rules.toml")).expect("the rules");
        for number in 0..10_000 {
            text.push_str(&format!(
                "[[method]]\nmatch = \"com.shop{number}.**.Service*.handle{number}*\"\n"
            ));
        }
        fs::write(&rules, text).expect("written");
        let (printed, timeline) = crate::support::record(
            dir.path(),
            &["--no-kernel", "-f", &rules.to_string_lossy()],
            &crate::support::java(&home, &["Calls"]),
        );
        crate::calls::check(version, &timeline, &last_json(&printed));
    }
}

/// The other agent as an archive.
fn marker() -> PathBuf {
    let jar = Path::new(env!("CARGO_TARGET_TMPDIR")).join("marker.jar");
    let mut command = Command::new(jdk_program("jar"));
    command.args(["--create", "--file"]).arg(&jar).arg("--manifest");
    command.arg(checkout("examples/churn/marker.mf"));
    command.arg("-C").arg(churn()).arg("Marker.class");
    succeed(&mut command);
    jar
}

#[test]
fn a_second_agent_that_transforms_the_same_class_and_jfr_lose_nothing() {
    let _machine = machine();
    let marker = marker();
    for (version, home) in jdks() {
        let dir = scratch();
        let rules = dir.path().join("marked.toml");
        fs::write(&rules, "use = [\"jvm\"]\n[[method]]\nmatch = \"Marked.word\"\n").expect("written");
        let mut java = Command::new(home.join("bin/java"));
        java.arg(format!("-javaagent:{}", marker.display()));
        java.arg(format!(
            "-XX:StartFlightRecording=filename={}/r.jfr",
            dir.path().display()
        ));
        java.arg("-cp").arg(churn()).arg("Marked");
        let mut marked = Running::start(&mut java);
        marked.line_with("ready");
        let ask = |marked: &mut Running, line: &str| {
            writeln!(marked.stdin(), "{line}").expect("it reads");
            let said = marked.line_with("it says");
            assert!(said.contains("REPLACED"), "JDK {version}: {said}");
        };
        ask(&mut marked, "before");
        for name in ["first", "second"] {
            let mut recorder = plumb();
            recorder.args(["record", "--no-kernel", "--pid", &marked.pid().to_string(), "-f"]);
            let mut recorder = Running::start(recorder.arg(&rules).arg("-o").arg(dir.path().join(name)));
            recorder.line_with("recording");
            ask(&mut marked, "with probes");
            ask(&mut marked, "again");
            ask(&mut marked, "with probes, transformed again");
            recorder.signal("INT");
            let (status, said) = recorder.end();
            assert!(status.success(), "{said}");
            ask(&mut marked, "plumb has left");
            ask(&mut marked, "again");
            let timeline = open(&dir.path().join(format!("{name}.plumb")));
            assert_eq!(calls(&timeline, "Marked.word"), 3, "JDK {version}");
        }
        let (status, said) = marked.end();
        assert!(status.success(), "{said}");
        let events = fs::metadata(dir.path().join("r.jfr")).expect("JFR's file").len();
        assert!(events > 0, "JFR recorded, too");
    }
}

//! What a JVM stops all its threads for, against its own log of safepoints: examples/calls/src/Halts.java.

use crate::support::{allows, java, jdks_from, machine, record, scratch, tracks};
use plumb_trace::State;
use plumb_trace::pauses::PauseName;
use plumb_trace::timeline::{Query, Slice, TimelineFile, TrackKind};
use std::path::Path;

const RULES: &str = "[kernel]\nscope = \"tree\"\nsafepoints = true\n";
/// Between a probe and the log's reading of the clock the log is written, ns a safepoint.
const APART_NS: u64 = 200_000;

#[test]
fn pauses_and_their_causes_are_those_of_the_safepoint_log() {
    if !allows("jvm-probes", "pauses_and_their_causes_are_those_of_the_safepoint_log") {
        return;
    }
    let _machine = machine();
    // The log of earlier releases is another one, and says no causes.
    for (version, home) in jdks_from(17) {
        for (collector, options) in [
            ("G1", &["jvm"][..]),
            ("Serial", &["jvm"]),
            ("ZGC", &["jvm"]),
            ("G1", &[]),
        ] {
            let dir = scratch();
            let timeline = halts(&home, collector, options, dir.path());
            let with_agent = !options.is_empty();
            let logged = logged(&dir.path().join("safepoints.log"));
            let pauses = pauses(&timeline);
            let told: Vec<&str> = pauses.iter().map(|(cause, _)| cause.as_str()).collect();
            let expected: Vec<&str> = logged.iter().map(|(cause, _)| cause.as_str()).collect();
            assert_eq!(told, expected, "JDK {version} {collector}, agent {with_agent}");
            let sum = |all: &[(String, u64)]| all.iter().map(|(_, ns)| ns).sum::<u64>();
            let (told_ns, logged_ns) = (sum(&pauses), sum(&logged));
            println!(
                "JDK {version} {collector}, agent {with_agent}: {} safepoints, {logged_ns} ns in the log, {told_ns} ns in the timeline",
                logged.len()
            );
            let slack_ns = logged_ns / 10 + APART_NS * logged.len() as u64;
            assert!(told_ns.abs_diff(logged_ns) <= slack_ns, "{pauses:?}\n{logged:?}");
            for cause in [
                "ThreadDump",
                "FindDeadlocks",
                "PrintThreads",
                "GC_HeapInspection",
                "HeapDumper",
            ] {
                assert!(told.contains(&cause), "{cause} is missing: {told:?}");
            }
            if with_agent {
                spinner_is_held(&timeline, at_safepoints(&dir.path().join("safepoints.log")), told_ns);
            }
        }
    }
}

/// Runs the program under the recorder.
fn halts(home: &Path, collector: &str, presets: &[&str], dir: &Path) -> TimelineFile {
    let rules = dir.join("rules.toml");
    std::fs::write(&rules, RULES).expect("a file");
    let rules = rules.to_string_lossy().into_owned();
    let mut arguments: Vec<&str> = presets.iter().flat_map(|preset| ["-f", preset]).collect();
    arguments.extend(["-f", &rules]);
    let log = format!("-Xlog:safepoint:file={}", dir.join("safepoints.log").display());
    let collector = format!("-XX:+Use{collector}{}", if collector == "ZGC" { "" } else { "GC" });
    let halts = java(home, &["-Xmx128m", &collector, &log, "Halts", &dir.to_string_lossy()]);
    record(dir, &arguments, &halts).1
}

/// Causes and lengths, ns, of a log's lines: `… Safepoint "ThreadDump", … Total: 71027 ns`.
fn logged(log: &Path) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(log).expect("a log");
    let parse = |line: &str| {
        let (cause, rest) = line.split_once("Safepoint \"")?.1.split_once('"')?;
        let total = rest.rsplit_once("Total:")?.1.trim().split(' ').next()?;
        Some((cause.to_owned(), total.parse().ok()?))
    };
    text.lines().filter_map(parse).collect()
}

/// How long the threads stood at all these safepoints, without their way there, ns.
fn at_safepoints(log: &Path) -> u64 {
    let text = std::fs::read_to_string(log).expect("a log");
    let parse = |line: &str| {
        line.split_once("At safepoint:")?
            .1
            .trim()
            .split(' ')
            .next()?
            .parse::<u64>()
            .ok()
    };
    text.lines().filter_map(parse).sum()
}

/// The same of the JVM's track. The last safepoint, in which the VM thread ends, has no end and no line in the log.
fn pauses(timeline: &TimelineFile) -> Vec<(String, u64)> {
    let jvms = tracks(timeline, TrackKind::Jvm);
    let slices = jvms.flat_map(|(id, _)| timeline.slices(id, 0, u64::MAX, 0).expect("slices"));
    let pauses = slices.filter(|slice| slice.depth == 0 && !slice.open_end);
    let told = |pause: Slice| {
        let cause = PauseName::parse(timeline.string(pause.name)).cause().to_owned();
        (cause, pause.end_ns - pause.start_ns)
    };
    pauses.map(told).collect()
}

/// A thread that computes is held in every safepoint of its life, from its coming there on. It is there for nearly all of them.
fn spinner_is_held(timeline: &TimelineFile, at_safepoints_ns: u64, pauses_ns: u64) {
    let (spinner, _) = tracks(timeline, TrackKind::Thread)
        .find(|(_, track)| track.name == "spinner")
        .expect("the thread that computes");
    let states = timeline.states(spinner, 0, u64::MAX).expect("states");
    let held = states.iter().filter(|interval| interval.state == State::Pause);
    let held_ns: u64 = held.map(|interval| interval.end_ns - interval.start_ns).sum();
    println!("  the spinner was held {held_ns} ns of {pauses_ns}");
    assert!(held_ns >= at_safepoints_ns / 2, "{held_ns} ns of {at_safepoints_ns}");
    assert!(held_ns <= pauses_ns / 10 * 11, "{held_ns} ns of {pauses_ns}");
}

//! The JVM's pause track against its own GC log: examples/calls/src/Churn.java.

use crate::support::{java, jdks, machine, record, scratch, tracks};
use plumb_trace::timeline::{Query, TimelineFile, TrackKind};

#[test]
fn pauses_agree_with_the_gc_log() {
    let _machine = machine();
    for (version, home) in jdks() {
        for collector in ["-XX:+UseSerialGC", "-XX:+UseG1GC"] {
            let dir = scratch();
            let log = dir.path().join("gc.log");
            let churn = java(
                &home,
                &[
                    "-Xmx256m",
                    collector,
                    &format!("-Xlog:gc:file={}", log.display()),
                    "Churn",
                ],
            );
            let (_, timeline) = record(dir.path(), &["-f", "jvm"], &churn);
            let (pauses, logged_ns) = logged(&std::fs::read_to_string(&log).expect("a GC log"));
            let traced_ns = traced_ns(&timeline);
            let off = traced_ns.abs_diff(logged_ns) as f64 / logged_ns as f64;
            println!(
                "JDK {version} {collector}: {pauses} pauses, {logged_ns} ns in the log, {traced_ns} ns in the timeline, off {:.1} %",
                off * 100.0
            );
            assert!(pauses > 5, "the program made too little garbage: {pauses} pauses");
            assert!(
                off <= 0.05,
                "JDK {version} {collector}: {traced_ns} ns of pauses, the log says {logged_ns}"
            );
        }
    }
}

/// Number and sum of the pauses of a GC log: lines such as `[0.1s][info][gc] GC(0) Pause Young (Allocation Failure) 16M->8M(61M) 4.213ms`.
fn logged(log: &str) -> (usize, u64) {
    let pauses = log
        .lines()
        .filter(|line| line.contains(" Pause "))
        .filter_map(|line| line.rsplit(' ').next()?.strip_suffix("ms"));
    let ns: Vec<u64> = pauses.map(|ms| (ms.parse::<f64>().expect("ms") * 1e6) as u64).collect();
    (ns.len(), ns.iter().sum())
}

fn traced_ns(timeline: &TimelineFile) -> u64 {
    let jvms = tracks(timeline, TrackKind::Jvm);
    let pauses = jvms.flat_map(|(id, _)| timeline.slices(id, 0, u64::MAX, 0).expect("slices"));
    pauses.map(|pause| pause.end_ns - pause.start_ns).sum()
}

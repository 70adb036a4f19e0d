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
                    &format!("-Xlog:gc:file={}:uptimenanos", log.display()),
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

/// Number and sum of the pauses of a GC log. JDK 11 logs a full collection that a young one became beside that one, within which it was: it does not count twice.
fn logged(log: &str) -> (usize, u64) {
    let pauses: Vec<(u64, u64)> = log.lines().filter_map(logged_pause).collect();
    let is_within = |(begin, end), outer: &(u64, u64)| outer.0 < begin && end < outer.1;
    let outermost = pauses
        .iter()
        .filter(|pause| !pauses.iter().any(|outer| is_within(**pause, outer)));
    let ns: Vec<u64> = outermost.map(|(begin, end)| end - begin).collect();
    (ns.len(), ns.iter().sum())
}

/// Begin and end by the JVM's clock of a line such as `[673072896ns] GC(2) Pause Young (Allocation Failure) 189M->85M(247M) 121.850ms`, which is written at the end.
fn logged_pause(line: &str) -> Option<(u64, u64)> {
    let (written, pause) = line.strip_prefix('[')?.split_once("ns] ")?;
    let ms = pause.rsplit(' ').next()?.strip_suffix("ms")?;
    let ns = (ms.parse::<f64>().expect("ms") * 1e6) as u64;
    let end: u64 = written.parse().expect("ns");
    pause.contains(" Pause ").then(|| (end - ns, end))
}

fn traced_ns(timeline: &TimelineFile) -> u64 {
    let jvms = tracks(timeline, TrackKind::Jvm);
    let pauses = jvms.flat_map(|(id, _)| timeline.slices(id, 0, u64::MAX, 0).expect("slices"));
    pauses.map(|pause| pause.end_ns - pause.start_ns).sum()
}

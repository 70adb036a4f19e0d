//! Threads that wait long, against the books that they keep themselves: examples/calls/src/LongWaits.java.

use crate::support::{allows, java, jdks_from, last_json, machine, number, record, scratch, tracks};
use plumb_trace::State;
use plumb_trace::timeline::{Query, StateInterval, TimelineFile, TrackId, TrackKind};
use serde_json::Value;

/// What is shorter is not one of the waits that the program counts.
const LONG_NS: u64 = 300_000_000;

fn book<'v>(printed: &'v Value, thread: &str) -> &'v Value {
    &printed["waits"][thread]
}

fn named(timeline: &TimelineFile, kind: TrackKind, name: &str) -> TrackId {
    let found = tracks(timeline, kind).find(|(_, track)| track.name == name);
    found.unwrap_or_else(|| panic!("the timeline has no {name}")).0
}

#[test]
fn every_long_wait_has_its_java_stack() {
    let _machine = machine();
    if !allows("bpf", "every_long_wait_has_its_java_stack") {
        return;
    }
    let ways = [
        ("long-sleep", "LongWaits.inSleep"),
        ("long-park", "LongWaits.inPark"),
        ("long-wait", "LongWaits.inWait"),
        ("long-monitor", "LongWaits.inMonitor"),
        ("long-read", "LongWaits.inRead"),
    ];
    for (version, home) in jdks_from(16) {
        for kernel in [&["-f", "kernel"][..], &["--no-kernel"]] {
            let dir = scratch();
            let rules = dir.path().join("rules.toml");
            std::fs::write(
                &rules,
                "use = [\"jvm\"]\n[[stack]]\nthreads = \"long-*\"\nlonger = \"50ms\"\n",
            )
            .expect("rules are written");
            let rules = rules.to_string_lossy();
            let arguments = [kernel, &["-f", &rules]].concat();
            let (printed, timeline) = record(dir.path(), &arguments, &java(&home, &["LongWaits"]));
            let printed = last_json(&printed);
            for (thread, method) in ways {
                // Without the kernel nobody tells that it reads.
                if thread == "long-read" && kernel.contains(&"--no-kernel") {
                    continue;
                }
                let count = number(book(&printed, thread), "count");
                let track = named(&timeline, TrackKind::Thread, thread);
                let told = stacks(&timeline, track, method, "java.lang.Thread.run");
                assert!(
                    told >= count,
                    "JDK {version} {kernel:?}: {told} of {count} waits of {thread} have a stack"
                );
            }
        }
    }
}

/// Long sleeps of a thread with this method on their Java stack; all others have one, too.
fn stacks(timeline: &TimelineFile, thread: TrackId, method: &str, outermost: &str) -> u64 {
    let sleeps = timeline.sleeps(thread, 0, u64::MAX).expect("sleeps");
    let long = sleeps.iter().filter(|sleep| sleep.end_ns - sleep.start_ns >= LONG_NS);
    long.filter(|sleep| {
        let frames: Vec<&str> = timeline
            .stack(sleep.java_stack)
            .iter()
            .map(|frame| timeline.string(*frame))
            .collect();
        assert_eq!(frames.first(), Some(&outermost), "outermost first: {frames:?}");
        frames.contains(&method)
    })
    .count() as u64
}

/// A way in which a virtual thread waits.
struct Way {
    thread: &'static str,
    state: State,
    method: &'static str,
    /// The last release in which it keeps its carrier meanwhile.
    pinned_until: u32,
}

const WAYS: [Way; 5] = [
    Way::new("long-sleep", State::Sleep, "LongWaits.inSleep", 0),
    Way::new("long-park", State::Park, "LongWaits.inPark", 0),
    // Before JDK 24 who has or wants a monitor keeps its carrier.
    Way::new("long-wait", State::Wait, "LongWaits.inWait", 23),
    Way::new("long-monitor", State::Monitor, "LongWaits.inMonitor", 23),
    Way::new("long-pinned", State::Sleep, "LongWaits.inInitialiser", u32::MAX),
];

impl Way {
    const fn new(thread: &'static str, state: State, method: &'static str, pinned_until: u32) -> Way {
        Way {
            thread,
            state,
            method,
            pinned_until,
        }
    }
}

#[test]
fn virtual_threads_wait_as_they_say_with_their_stacks_and_who_is_pinned_is_told() {
    let _machine = machine();
    for (version, home) in jdks_from(21) {
        let dir = scratch();
        let rules = dir.path().join("rules.toml");
        std::fs::write(
            &rules,
            "use = [\"jvm\", \"kernel\"]\n[jvm]\nvirtual_threads = true\n[[stack]]\nthreads = \"long-*\"\nlonger = \"50ms\"\n",
        )
        .expect("rules are written");
        let (printed, timeline) = record(
            dir.path(),
            &["-f", &rules.to_string_lossy()],
            &java(&home, &["LongWaits", "virtual"]),
        );
        let printed = last_json(&printed);
        for way in &WAYS {
            check_way(
                version.parse().expect("a release"),
                &timeline,
                way,
                book(&printed, way.thread),
            );
        }
    }
}

fn check_way(release: u32, timeline: &TimelineFile, way: &Way, book: &Value) {
    let Way { thread, state, .. } = way;
    let (count, ns) = (number(book, "count"), number(book, "ns"));
    let is_pinned = release <= way.pinned_until;
    let track = named(timeline, TrackKind::VirtualThread, thread);
    let told = stacks(timeline, track, way.method, "jdk.internal.vm.Continuation.enter");
    // A JVM before 24 stops all threads for the stack of one without a carrier: it is left alone.
    match release >= 24 || is_pinned {
        true => assert!(
            told >= count,
            "JDK {release}: {told} of {count} waits of {thread} have a stack"
        ),
        false => assert_eq!(told, 0, "JDK {release}: stacks of {thread}"),
    }
    let states = timeline.states(track, 0, u64::MAX).expect("states");
    let waits = states
        .iter()
        .filter(|interval| interval.state == *state && interval.is_pinned() == is_pinned);
    // Where it puts its books together the threads wait for each other, shortly and off the books.
    let long: Vec<u64> = waits
        .map(StateInterval::length_ns)
        .filter(|&ns| ns >= LONG_NS)
        .collect();
    let sum: u64 = long.iter().sum();
    assert_eq!(
        long.len() as u64,
        count,
        "JDK {release}: waits of {thread}: {states:#?}"
    );
    assert!(
        sum <= ns && sum > ns / 2,
        "JDK {release}: {thread} waited {ns} ns, and {sum} are told"
    );
}

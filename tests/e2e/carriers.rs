//! Virtual threads that wait for a carrier, against the books that they keep themselves: examples/calls/src/Carriers.java.

use crate::support::{check_rows, java, jdks_from, last_json, machine, number, record, scratch, tracks};
use plumb_trace::State;
use plumb_trace::timeline::{Cause, Query, StateInterval, TimelineFile, TrackKind};

/// A virtual thread's longest interval in this state, if one is asked for, and what comes after it, or at its begin.
fn wait_and_next(timeline: &TimelineFile, name: &str, state: Option<State>) -> (Option<StateInterval>, StateInterval) {
    let found = tracks(timeline, TrackKind::VirtualThread).find(|(_, track)| track.name == name);
    let (track, _) = found.unwrap_or_else(|| panic!("the timeline has no {name}"));
    let states = timeline.states(track, 0, u64::MAX).expect("states");
    let of_state = states.iter().filter(|interval| Some(interval.state) == state);
    let wait = of_state.max_by_key(|interval| interval.length_ns()).copied();
    let next = states
        .iter()
        .find(|next| wait.is_none_or(|wait| wait.end_ns == next.start_ns));
    (
        wait,
        *next.unwrap_or_else(|| panic!("{name} ends in its wait: {states:#?}")),
    )
}

/// Whether the peer is a thread that carries nobody.
fn is_by_a_platform_thread(timeline: &TimelineFile, interval: &StateInterval) -> bool {
    let peer = interval.peer.map(|peer| &timeline.tracks()[peer.0 as usize]);
    peer.is_some_and(|peer| peer.kind == TrackKind::Thread && !peer.name.starts_with("ForkJoinPool"))
}

#[test]
fn virtual_threads_that_wait_for_a_carrier_are_ready_for_as_long_as_they_say() {
    let _machine = machine();
    for (version, home) in jdks_from(21) {
        let dir = scratch();
        let rules = dir.path().join("rules.toml");
        std::fs::write(&rules, "use = [\"jvm\", \"kernel\"]\n[jvm]\nvirtual_threads = true\n")
            .expect("rules are written");
        let carriers = [
            "-Djdk.virtualThreadScheduler.parallelism=2",
            "-Djdk.virtualThreadScheduler.maxPoolSize=2",
            "Carriers",
        ];
        let (printed, timeline) = record(dir.path(), &["-f", &rules.to_string_lossy()], &java(&home, &carriers));
        check_rows(&dir.path().join("r.plumb"));
        let printed = last_json(&printed);
        let ways = [
            ("parked", Some(State::Park), Cause::Woken),
            ("sleeping", Some(State::Sleep), Cause::Woken),
            ("new", None, Cause::Born),
        ];
        let each = ways
            .iter()
            .flat_map(|(name, wait, cause)| (0..3).map(move |own| (format!("{name}-{own}"), wait, cause)));
        for (name, wait, cause) in each {
            let book = &printed[&name];
            let (waited_ns, ready_ns) = (number(book, "waited_ns"), number(book, "ready_ns"));
            let (told, ready) = wait_and_next(&timeline, &name, *wait);
            assert_eq!(ready.state, State::Ready, "JDK {version}: {name}");
            let told_ns = ready.length_ns();
            assert!(
                told_ns > ready_ns / 2 && told_ns <= ready_ns,
                "JDK {version}: {name} waited {ready_ns} ns for a carrier, and {told_ns} are told"
            );
            assert_eq!(ready.cause, *cause, "JDK {version}: {name}");
            assert!(
                is_by_a_platform_thread(&timeline, &ready),
                "JDK {version}: {name} is let go on by the program's first thread: {ready:?}"
            );
            assert_eq!(told.is_some(), wait.is_some(), "JDK {version}: {name}");
            let Some(told) = told else { continue };
            let told_ns = told.length_ns();
            assert!(
                told_ns > waited_ns / 2 && told_ns + ready.length_ns() <= waited_ns + ready_ns,
                "JDK {version}: {name} waited {waited_ns} ns, and {told_ns} are told"
            );
            assert_eq!(told.peer, ready.peer, "JDK {version}: {name}");
        }
    }
}

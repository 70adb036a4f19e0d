//! The flight recorder through the command: each way of setting it off saves a window that holds what set it off, and says how much of it there is.

use crate::support::{
    Running, allows, example, java, jdks, machine, open, plumb, scratch, succeed, thread, told, tracks,
};
use plumb_trace::{
    State,
    timeline::{Query, TimelineFile, TrackKind},
};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

const MS: u64 = 1_000_000;

/// Rules with this condition behind one that is never met.
fn rules(dir: &Path, begin: &str, when: &str) -> PathBuf {
    let file = dir.join("rules.toml");
    let text = format!(
        "{begin}\n[[trigger]]\nwhen = \"ready(*) > 1h\"\n[[trigger]]\nwhen = \"{when}\"\nkeep = \"20s\"\nafter = \"100ms\"\n"
    );
    fs::write(&file, text).expect("rules are written");
    file
}

/// `plumb record -f RULES -o DIR/r ARGUMENTS`
fn record(dir: &Path, rules: &Path, arguments: &[&str]) -> Command {
    let mut recorder = plumb();
    recorder.arg("record").arg("-f").arg(rules).arg("-o").arg(dir.join("r"));
    recorder.args(arguments);
    recorder
}

/// The timeline of the first window, which names its cause.
fn first_window(dir: &Path, cause: &str) -> TimelineFile {
    let timeline = open(&dir.join("r/window-0001.plumb"));
    let notes = &timeline.info().notes;
    assert!(notes.iter().any(|note| note.contains(cause)), "{notes:?}");
    timeline
}

/// The number of the thread in "… (thread 123: …" or "… (thread 123 of the JVM, …".
fn culprit(line: &str) -> u64 {
    let number = line
        .split("(thread ")
        .nth(1)
        .and_then(|rest| rest.split([':', ' ']).next());
    let number = number.and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no thread in {line:?}"))
}

/// The longest stretch of a thread in a state, ns.
fn longest(timeline: &TimelineFile, tid: u64, state: State) -> u64 {
    let intervals = timeline.states(thread(timeline, tid), 0, u64::MAX).expect("states");
    let of_state = intervals.iter().filter(|interval| interval.state == state);
    of_state
        .map(|interval| interval.end_ns - interval.start_ns)
        .max()
        .unwrap_or(0)
}

#[test]
fn who_waits_for_a_cpu_sets_it_off() {
    if !allows("kernel-events", "who_waits_for_a_cpu_sets_it_off") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let begin = "use = [\"kernel\"]\n[[group]]\nname = \"spin\"\nthreads = \"spinner\"";
    let rules = rules(dir.path(), begin, "ready(spin) > 500us");
    let spinner = example("spinner");
    let output = record(dir.path(), &rules, &["--no-jvm", "--", &spinner.to_string_lossy()])
        .output()
        .expect("plumb runs");
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    let line = said.lines().find(|line| line.contains("ready(spin) > 500us (thread "));
    let line = line.unwrap_or_else(|| panic!("it was not set off: {said}"));
    let timeline = first_window(dir.path(), "ready(spin) > 500us");
    assert!(longest(&timeline, culprit(line), State::Ready) > 500_000);
}

#[test]
fn many_who_wait_for_a_cpu_set_it_off() {
    if !allows("kernel-events", "many_who_wait_for_a_cpu_set_it_off") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let rules = rules(dir.path(), "use = [\"kernel\"]", "runqueue > 3");
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let script = format!(
        "i=0; while [ $i -lt {} ]; do timeout 3 sh -c 'while :; do :; done' & i=$((i+1)); done; wait",
        cpus + 8
    );
    let mut recorder = Running::start(&mut record(
        dir.path(),
        &rules,
        &["--no-jvm", "--", "sh", "-c", &script],
    ));
    let line = recorder.line_with("runqueue > 3 (");
    assert!(line.contains("threads waited for a CPU"), "{line}");
    let (status, said) = recorder.end();
    assert!(status.success(), "{said}");
    let timeline = first_window(dir.path(), "runqueue > 3");
    let hungry = tracks(&timeline, TrackKind::Thread).filter(|(id, track)| {
        let ready = timeline
            .totals(*id, 0, u64::MAX)
            .map(|totals| totals.states.get(State::Ready));
        track.name == "sh" && ready.is_ok_and(|ready| ready > MS)
    });
    assert!(hungry.count() > 3);
}

/// Also before it ends: who waits for it to end would learn of a deadlock never.
#[test]
fn a_monitor_that_is_not_given_back_and_a_unit_that_hangs_set_it_off() {
    let _machine = machine();
    for (version, home) in jdks() {
        let monitor = "[[group]]\nname = \"customers\"\nthreads = \"customer*\"";
        let unit = "[[method]]\nmatch = \"Hangs.order\"\nunit = \"order\"";
        for (begin, when) in [(monitor, "monitor(customers) > 200ms"), (unit, "unit(order) > 200ms")] {
            let dir = scratch();
            let rules = rules(dir.path(), &format!("use = [\"jvm\"]\n{begin}"), when);
            let mut hangs = Running::start(&mut java(&home, &["Hangs"]));
            hangs.line_with("begin");
            let pid = hangs.pid().to_string();
            let mut recorder = Running::start(&mut record(dir.path(), &rules, &["--pid", &pid]));
            recorder.line_with("keeping");
            writeln!(hangs.stdin()).expect("it reads");
            hangs.line_with("ready");
            let line = recorder.line_with(when);
            assert!(line.contains("still under way"), "JDK {version}: {line}");
            // Its end is no news: the window at the end is the only other one.
            writeln!(hangs.stdin()).expect("it reads");
            hangs.line_with("done");
            let (status, said) = hangs.end();
            assert!(status.success(), "{said}");
            let (status, said) = recorder.end();
            assert!(status.success(), "{said}");
            let windows = said.lines().filter(|line| line.starts_with("saved "));
            assert_eq!(windows.count(), 2, "JDK {version} {when}: {said}");
            let timeline = first_window(dir.path(), when);
            let tid = culprit(&line);
            assert!(
                longest(&timeline, tid, State::Monitor) > 200 * MS,
                "JDK {version} {when}"
            );
            let track = thread(&timeline, tid);
            assert_eq!(timeline.tracks()[track.0 as usize].name, "customer", "JDK {version}");
        }
    }
}

#[test]
fn a_unit_that_took_too_long_sets_it_off() {
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let begin = "use = [\"jvm\"]\n[[method]]\nmatch = \"LongWaits.inSleep\"\nunit = \"nap\"";
        let rules = rules(dir.path(), begin, "unit(nap) > 300ms");
        let home = home.join("bin/java");
        let classes = crate::support::java_classes().to_string_lossy();
        let output = record(
            dir.path(),
            &rules,
            &[
                "--no-kernel",
                "--",
                &home.to_string_lossy(),
                "-cp",
                &classes,
                "LongWaits",
            ],
        )
        .output()
        .expect("plumb runs");
        let said = told(&output);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("unit(nap) > 300ms (thread "), "JDK {version}: {said}");
        let timeline = first_window(dir.path(), "unit(nap) > 300ms");
        let slices = tracks(&timeline, TrackKind::Thread)
            .flat_map(|(id, _)| timeline.slices(id, 0, u64::MAX, 0).expect("slices"));
        let mut naps = slices.filter(|slice| timeline.string(slice.name) == "LongWaits.inSleep");
        assert!(naps.any(|nap| nap.end_ns - nap.start_ns > 300 * MS), "JDK {version}");
    }
}

#[test]
fn a_signal_and_a_command_save_and_recording_goes_on() {
    if !allows("kernel-events", "a_signal_and_a_command_save_and_recording_goes_on") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let mut recorder = Running::start(
        plumb()
            .args(["record", "--all", "--flight", "30s", "-o"])
            .arg(dir.path().join("r")),
    );
    let pid = recorder.pid().to_string();
    recorder.line_with(&format!("plumb save --pid {pid}"));
    succeed(plumb().args(["save", "--pid", &pid]));
    let line = recorder.line_with("saved ");
    assert!(line.contains("window-0001"), "{line}");
    recorder.signal("USR1");
    recorder.line_with("window-0002");
    // What thirty seconds take is told as soon as it was measured.
    let kept = recorder.said("keeping the last ");
    assert!(kept.contains("30.0 s"), "{kept}");
    recorder.signal("INT");
    let (status, said) = recorder.end();
    assert!(status.success() && said.contains("the end of the recording"), "{said}");
    let windows =
        ["window-0001", "window-0002", "window-0003"].map(|name| open(&dir.path().join(format!("r/{name}.plumb"))));
    let infos = windows.each_ref().map(|window| window.info());
    // All of them were asked for within thirty seconds of the begin: nothing was forgotten in between.
    assert!(
        infos
            .windows(2)
            .all(|pair| pair[0].from_ns == pair[1].from_ns && pair[0].to_ns < pair[1].to_ns)
    );
    assert!(
        infos
            .iter()
            .all(|info| !info.notes.iter().any(|note| note.contains("missing")))
    );
}

#[test]
fn who_is_no_flight_recorder_is_not_signalled() {
    let _machine = machine();
    let mut sleeper = Running::start(Command::new("sleep").arg("1000"));
    let output = plumb().args(["save", "--pid", &sleeper.pid().to_string()]).output();
    let output = output.expect("plumb runs");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("remedy: "), "{}", told(&output));
    assert!(sleeper.is_alive(), "the signal would have killed it");
    if !allows("kernel-events", "who_is_no_flight_recorder_is_not_signalled") {
        return;
    }
    // One that writes everything has nothing to save, and says so to whoever signals it by hand.
    let dir = scratch();
    let mut recorder = Running::start(plumb().args(["record", "--all", "-o"]).arg(dir.path().join("r")));
    recorder.line_with("recording");
    recorder.signal("USR1");
    recorder.line_with("this recording writes everything");
    recorder.signal("INT");
    let (status, said) = recorder.end();
    assert!(status.success(), "{said}");
}

#[test]
fn what_was_really_kept_is_told() {
    if !allows("kernel-events", "what_was_really_kept_is_told") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let begin = "use = [\"kernel\"]\n[[group]]\nname = \"spin\"\nthreads = \"spinner\"";
    let rules = rules(dir.path(), begin, "ready(spin) > 500us");
    // The trigger asks for 20 s, the window holds a tenth of a second, and the recording is older than that when it fires.
    let script = format!("sleep 1; exec {}", example("spinner").display());
    let output = record(
        dir.path(),
        &rules,
        &["--flight", "100ms", "--no-jvm", "--", "sh", "-c", &script],
    )
    .output()
    .expect("plumb runs");
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("asked for, too, and forgotten already"), "{said}");
    let timeline = first_window(dir.path(), "ready(spin)");
    let notes = &timeline.info().notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("flight recorder's memory did not hold")),
        "{notes:?}"
    );
}

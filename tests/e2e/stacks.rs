//! Where threads sleep and where they are woken from, against a program that knows: examples/sleeper.rs.

use crate::support::{
    Running, allows, example, last_json, machine, number, open, plumb, record, scratch, succeed, thread, tracks,
};
use plumb_trace::State;
use plumb_trace::timeline::{Query, Sleep, StackId, TimelineFile, TrackId, TrackKind};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// The first interrupted sleep of a recording, or one that a signal cuts short, is one more.
const SURPLUS: u64 = 2;

#[test]
fn sleeps_have_the_stacks_of_the_functions_that_slept() {
    if !allows("kernel-extras", "stacks") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let (printed, timeline) = record_sleeper(dir.path(), "system", "both");
    let books = last_json(&printed);
    assert_eq!(timeline.losses(), [], "nothing was lost");
    slept(
        &timeline,
        &books["clerk"],
        &["serves_order", "checks_stock", "waits_for_stock"],
    );
    slept(&timeline, &books["porter"], &["closes_shop", "waits_for_door"]);
    woken(&timeline, &books);
    folded(dir.path(), &books);
}

#[test]
fn whoever_is_not_in_scope_has_no_stacks_and_wakers_only_where_asked_for() {
    if !allows("kernel-extras", "stacks") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let (printed, timeline) = record_sleeper(dir.path(), "tree", "block");
    let pid = number(&last_json(&printed), "pid");
    let mut count = 0;
    for (track, about) in tracks(&timeline, TrackKind::Thread) {
        let process = &timeline.processes()[about.process.0 as usize];
        for sleep in timeline.sleeps(track, 0, u64::MAX).expect("sleeps") {
            assert_eq!(u64::from(process.pid), pid, "{about:?}");
            assert_eq!((sleep.waker, sleep.waker_stack), (None, StackId::default()));
            count += 1;
        }
    }
    assert!(count > 30, "{count} sleeps");
}

#[test]
fn a_signal_saves_a_window_whose_stacks_have_names() {
    if !allows("kernel-extras", "stacks") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let (rules, out) = (dir.path().join("stacks.toml"), dir.path().join("flight"));
    std::fs::write(&rules, "[kernel]\nstacks = \"block\"\n").expect("the rules");
    let mut command = plumb();
    command
        .args(["record", "--no-jvm", "--flight", "60s", "-f"])
        .arg(&rules);
    command.arg("-o").arg(&out);
    // It lives on until the window is saved.
    command
        .args(["--", "sh", "-c", "\"$0\" && read line"])
        .arg(example("sleeper"));
    let mut recorder = Running::start(&mut command);
    let books = last_json(&recorder.line_with("\"clerk\""));
    recorder.signal("USR1");
    recorder.line_with("saved");
    writeln!(recorder.stdin()).expect("the command reads");
    let (status, said) = recorder.end();
    assert!(status.success(), "{said}");
    let timeline = open(&out.join("window-0001.plumb"));
    slept(
        &timeline,
        &books["clerk"],
        &["serves_order", "checks_stock", "waits_for_stock"],
    );
    slept(&timeline, &books["porter"], &["closes_shop", "waits_for_door"]);
}

/// `plumb record` of examples/sleeper with stacks; what it printed, and the timeline.
fn record_sleeper(dir: &Path, scope: &str, stacks: &str) -> (String, TimelineFile) {
    let rules = dir.join("stacks.toml");
    std::fs::write(
        &rules,
        format!("[kernel]\nscope = \"{scope}\"\nstacks = \"{stacks}\"\n"),
    )
    .expect("the rules");
    let rules = rules.to_string_lossy();
    record(dir, &["--no-jvm", "-f", &rules], &Command::new(example("sleeper")))
}

/// The thread slept as often and as long as it says, in these functions, the kernel's after them.
fn slept(timeline: &TimelineFile, book: &Value, functions: &[&str]) {
    let track = thread(timeline, number(book, "tid"));
    let sleeps = sleeps_in(timeline, track, functions);
    let (times, ns) = (number(book, "times"), number(book, "ns"));
    // Where the kernel hides the clock's interrupt, the end of a sleep is not known, nor what the thread did until it is seen again.
    let states = timeline.states(track, 0, u64::MAX).expect("states");
    let unknown = states.iter().filter(|interval| interval.state == State::Unknown);
    let unknown: Vec<u64> = unknown.map(|interval| interval.end_ns - interval.start_ns).collect();
    let (count, hidden) = (sleeps.len() as u64, unknown.len() as u64);
    assert!(
        (times..=times + SURPLUS + hidden).contains(&(count + hidden)),
        "{count} sleeps of {times}, {hidden} times it is not known what it did"
    );
    let lasted: u64 = sleeps.iter().map(|sleep| sleep.end_ns - sleep.start_ns).sum();
    let unknown: u64 = unknown.iter().sum();
    // A sleep of a set time ends when the clock says so, but begins some microseconds after the program has asked.
    assert!(
        lasted + unknown > ns / 100 * 97,
        "{lasted} ns of {ns}, {unknown} ns are not known"
    );
    // The clock wakes it; where its interrupt comes in the midst of somebody's write, that one is taken for the cause.
    let by_somebody = sleeps.iter().filter(|sleep| sleep.waker.is_some()).count();
    assert!(by_somebody * 4 <= sleeps.len(), "{sleeps:?}");
    for sleep in &sleeps {
        let frames = names(timeline, sleep.stack);
        let at = frames
            .iter()
            .position(|frame| frame == functions[0])
            .expect("found before");
        assert_eq!(frames[at..at + functions.len()], *functions);
        let kernel = &frames[at + functions.len()..];
        assert!(
            kernel.iter().all(|frame| frame.ends_with("_[k]")) && !kernel.is_empty(),
            "{frames:?}"
        );
    }
}

/// Sleeps with this function innermost of the program's.
fn sleeps_in(timeline: &TimelineFile, track: TrackId, functions: &[&str]) -> Vec<Sleep> {
    let all = timeline.sleeps(track, 0, u64::MAX).expect("sleeps");
    for pair in all.windows(2) {
        assert!(pair[0].end_ns <= pair[1].start_ns, "{pair:?}");
    }
    let innermost = functions.last().expect("one");
    let is_there = |sleep: &Sleep| names(timeline, sleep.stack).iter().any(|frame| frame == innermost);
    all.into_iter().filter(is_there).collect()
}

fn names(timeline: &TimelineFile, stack: StackId) -> Vec<String> {
    let frames = timeline.stack(stack).into_iter();
    frames.map(|frame| timeline.string(frame).to_owned()).collect()
}

/// Who waits for another is woken by it, from where it says.
fn woken(timeline: &TimelineFile, books: &Value) {
    let track = thread(timeline, number(&books["woken"], "tid"));
    let sleeps = sleeps_in(timeline, track, &["waits_for_other"]);
    assert!(sleeps.len() as u64 >= number(&books["woken"], "times"), "{sleeps:?}");
    let waker = thread(timeline, number(books, "pid"));
    for sleep in sleeps {
        assert_eq!(sleep.waker, Some(waker), "{sleep:?}");
        let frames = names(timeline, sleep.waker_stack);
        assert!(frames.iter().any(|frame| frame == "wakes_other"), "{frames:?}");
        assert!(
            frames
                .iter()
                .any(|frame| frame.contains("futex") && frame.ends_with("_[k]")),
            "{frames:?}"
        );
    }
}

/// The lines of a flame graph add up to what the program slept.
fn folded(dir: &Path, books: &Value) {
    let out = dir.join("out.folded");
    let mut export = plumb();
    export
        .arg("export")
        .arg(dir.join("r.plumb"))
        .args(["--format", "folded", "-o"])
        .arg(&out);
    succeed(&mut export);
    let text = std::fs::read_to_string(out).expect("the lines");
    let slept: u64 = text
        .lines()
        .filter(|line| {
            line.starts_with("sleeper;clerk;") && line.contains(";serves_order;checks_stock;waits_for_stock;")
        })
        .map(|line| {
            line.rsplit(' ')
                .next()
                .and_then(|ns| ns.parse::<u64>().ok())
                .expect("a number")
        })
        .sum();
    let book = number(&books["clerk"], "ns");
    assert!(slept > book / 100 * 97, "{slept} ns of {book} in\n{text}");
}

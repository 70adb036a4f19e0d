//! Truncated and flipped bytes in recordings and timelines: an error that says so, or a shorter result; never a panic, and what
//! is not damaged is not lost.

use crate::support::{allows, example, machine, open, plumb, record, scratch, told, tracks};
use plumb_trace::{
    State,
    timeline::{Query, TimelineFile, TrackKind},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

#[test]
fn damaged_recordings_merge_as_far_as_they_are_whole() {
    if !allows("kernel-events", "damage") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let (_, whole) = record(
        dir.path(),
        &["--no-jvm", "-f", "kernel"],
        &Command::new(example("pingpong")),
    );
    assert!(threads_that_ran(&whole) > 1);
    let files = files_below(&dir.path().join("r"));
    assert!(files.len() > 1, "manifest and streams");
    for file in &files {
        for (name, damage) in [("cut", cut as Damage), ("flip", flip), ("empty", empty), ("gone", gone)] {
            let copy = dir.path().join("copy");
            copy_dir(&dir.path().join("r"), &copy);
            let hit = copy.join(file.strip_prefix(dir.path().join("r")).expect("below"));
            rewrite(&hit, damage);
            let out = dir.path().join("copy.plumb");
            let output = plumb()
                .arg("merge")
                .arg(&copy)
                .arg("-o")
                .arg(&out)
                .output()
                .expect("plumb runs");
            assert_no_crash(&output, &hit);
            if output.status.success() {
                let merged = open(&out);
                assert!(
                    threads_that_ran(&merged) > 0,
                    "{} {name}: nothing is left",
                    hit.display()
                );
                let is_of_cpu = hit
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("cpu-"));
                assert!(
                    !is_of_cpu || !merged.losses().is_empty(),
                    "{} {name}: what is missing is a loss",
                    hit.display()
                );
                fs::remove_file(&out).expect("removable");
            } else {
                assert!(told(&output).contains("remedy: "), "{}", told(&output));
            }
            fs::remove_dir_all(&copy).expect("removable");
        }
    }
}

#[test]
fn damaged_timelines_are_refused_or_read_but_never_crash() {
    if !allows("kernel-events", "damage") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    record(
        dir.path(),
        &["--no-jvm", "-f", "kernel"],
        &Command::new(example("pingpong")),
    );
    let whole = fs::read(dir.path().join("r.plumb")).expect("a timeline");
    let damaged = dir.path().join("damaged.plumb");
    for step in 0..24 {
        let mut bytes = whole.clone();
        let at = bytes.len() * step / 24;
        bytes[at] ^= 0x40;
        fs::write(&damaged, &bytes).expect("writable");
        check_readers(&damaged);
        fs::write(&damaged, &whole[..at]).expect("writable");
        check_readers(&damaged);
        assert!(
            TimelineFile::open(&damaged).is_err(),
            "a timeline cut at {at} has lost its footer"
        );
    }
}

/// Threads that only slept are known from the snapshot alone, and lost with it.
fn threads_that_ran(timeline: &TimelineFile) -> usize {
    let ran = |id| {
        timeline
            .totals(id, 0, u64::MAX)
            .is_ok_and(|totals| totals.states.get(State::Running) > 0)
    };
    tracks(timeline, TrackKind::Thread).filter(|(id, _)| ran(*id)).count()
}

fn check_readers(timeline: &Path) {
    for command in ["ledger", "report"] {
        let output = plumb().arg(command).arg(timeline).output().expect("plumb runs");
        assert_no_crash(&output, timeline);
        assert!(
            output.status.success() || told(&output).contains("remedy: "),
            "{}",
            told(&output)
        );
    }
}

fn assert_no_crash(output: &Output, file: &Path) {
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}: {}\n{}",
        file.display(),
        output.status,
        told(output)
    );
    assert!(
        !told(output).contains("panicked"),
        "{}: {}",
        file.display(),
        told(output)
    );
}

/// What becomes of a file's bytes; `None`: the file goes.
type Damage = fn(Vec<u8>) -> Option<Vec<u8>>;

fn cut(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    bytes.truncate(bytes.len() / 2);
    Some(bytes)
}

fn flip(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x10;
    }
    Some(bytes)
}

fn empty(_: Vec<u8>) -> Option<Vec<u8>> {
    Some(Vec::new())
}

fn gone(_: Vec<u8>) -> Option<Vec<u8>> {
    None
}

fn rewrite(file: &Path, damage: Damage) {
    match damage(fs::read(file).expect("readable")) {
        Some(bytes) => fs::write(file, bytes).expect("writable"),
        None => fs::remove_file(file).expect("removable"),
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        match entry.path().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    files
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new directory");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_dir(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

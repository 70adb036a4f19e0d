//! Rules that change while a recording goes on.

use crate::support::{Running, attach, interrupt, java, jdks, last_json, machine, number, open, scratch, tracks};
use plumb_trace::timeline::{Query, TimelineFile, TrackKind};
use std::{fs, io::Write};

#[test]
fn rules_that_are_read_again_count_from_then_on() {
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = scratch();
        let rules = dir.path().join("rules.toml");
        let write = |text: &str| fs::write(&rules, text).expect("rules are written");
        write("use = [\"jvm\"]\n[[method]]\nmatch = \"Calls.leaf\"\n");
        let mut calls = Running::start(&mut java(&home, &["Calls", "wait"]));
        calls.line_with("ready");
        let arguments = ["--no-kernel", "-f", &rules.to_string_lossy()];
        let mut recorder = attach(&arguments, calls.pid(), &dir.path().join("r"));

        write("[[method]]\nmatsch = \"Calls.recursive\"\n");
        recorder.signal("USR2");
        recorder.line_with("the rules stay as they are");
        write("[[method]]\nmatch = \"Calls.recursive\"\n");
        recorder.signal("USR2");
        recorder.line_with("probes in 1 method of 1 loaded class");

        writeln!(calls.stdin()).expect("the program reads");
        let counted = last_json(&calls.line_with("{\"calls\""));
        interrupt(recorder);
        writeln!(calls.stdin()).expect("the program lives on");
        let (status, said) = calls.end();
        assert!(status.success(), "the traced program failed: {said}");

        let timeline = open(&dir.path().join("r.plumb"));
        let recursive = number(&counted["calls"], "Calls.recursive");
        assert_eq!(slices(&timeline, "Calls.recursive"), recursive, "JDK {version}");
        assert_eq!(slices(&timeline, "Calls.leaf"), 0, "JDK {version}");
        let manifest = fs::read_to_string(dir.path().join("r/manifest.json")).expect("a manifest");
        assert!(manifest.contains("Calls.leaf") && manifest.contains("Calls.recursive"));
    }
}

fn slices(timeline: &TimelineFile, name: &str) -> u64 {
    let threads = tracks(timeline, TrackKind::Thread);
    let all = threads.flat_map(|(id, _)| timeline.slices(id, 0, u64::MAX, 0).expect("slices"));
    all.filter(|slice| timeline.string(slice.name) == name).count() as u64
}

//! Recordings written by hand, and the timelines that come of them (`tests/golden`, see the README there).

mod support;

use std::path::Path;
use support::{Script, dump, merge};

/// Merges `tests/golden/NAME.in` and compares with `NAME.out`, whatever the sizes of the segments.
fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(folder.join(name).with_extension("in")).unwrap();
    // `----` begins a further recording.
    let scripts: Vec<Script> = text.split("\n----\n").map(Script::parse).collect();
    let expected = folder.join(name).with_extension("out");
    for flush in [1000, 1, 3] {
        let temp = tempfile::tempdir().unwrap();
        let dirs: Vec<_> = scripts
            .iter()
            .enumerate()
            .map(|(index, script)| script.record(&temp.path().join(index.to_string()), flush).dir)
            .collect();
        let (_, timeline) = merge(&dirs, &temp.path().join("out.plumb")).unwrap();
        let found = dump(&timeline);
        if std::env::var_os("PLUMB_BLESS").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        assert!(
            found == wanted,
            "{name} with segments of {flush} records; PLUMB_BLESS=1 makes this the expectation:\n{found}\nwanted:\n{wanted}"
        );
    }
}

macro_rules! goldens {
    ($($name:ident)*) => { $(#[test] fn $name() { check(stringify!($name)); })* };
}

goldens! { absent begun killed_early running preempted first_seen causes lifes calls monitors pauses safepoints probe_parks losses killed no_kernel several namespaces unseen delays waits waits_lost waits_unseen parked counters jvm_counters counted long_calls virtual_threads virtual_ready handover java_stacks virtual_stacks facts alone stacks requests }

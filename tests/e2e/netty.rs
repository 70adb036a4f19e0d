//! The preset `netty` on a server of Netty's, which says when it had nothing to do: examples/netty/src/NettyServer.java.

use crate::support::{
    allows, check_rows, checkout, classes_with, jdks, last_json, machine, number, plumb, record, say, scratch, succeed,
};
use plumb_trace::timeline::Query;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The jars that the server needs, of those that `cargo xtask test` brings.
const JARS: [&str; 4] = [
    "netty-common.jar",
    "netty-buffer.jar",
    "netty-resolver.jar",
    "netty-transport.jar",
];

/// How many threads each group of the rules has.
const GROUPS: [(&str, usize); 3] = [("event-loop", 3), ("executor", 2), ("timer", 1)];

#[test]
fn event_loops_executors_and_timers_without_work_are_idle() {
    let _machine = machine();
    let Some(jars) = env::var_os("PLUMB_JARS").map(PathBuf::from) else {
        return say(
            "cannot run a server of Netty's: set PLUMB_JARS to a directory with its jars, or run `cargo xtask test`",
        );
    };
    if !allows("kernel-events", "a server of Netty's") {
        return;
    }
    let jars = JARS.map(|jar| jars.join(jar).to_string_lossy().into_owned()).join(":");
    let classes = classes_with("examples/netty/src", &jars).to_string_lossy();
    let rules = checkout("examples/netty/rules.toml");
    for (version, home) in jdks() {
        let dir = scratch();
        let mut server = Command::new(home.join("bin/java"));
        server.args(["-cp", &format!("{classes}:{jars}"), "NettyServer"]);
        let (printed, timeline) = record(dir.path(), &["-f", &rules.to_string_lossy()], &server);
        let printed = last_json(&printed);
        let units = timeline.units(0, u64::MAX).expect("units");
        assert_eq!(units.len() as u64, number(&printed, "requests"), "JDK {version}");
        check_rows(&dir.path().join("r.plumb"));
        check_quiet(version, &dir.path().join("r.plumb"), &printed);
    }
}

/// While nobody wanted anything of the server, whoever waited there was idle.
fn check_quiet(version: &str, timeline: &Path, printed: &Value) {
    let instant = |key: &str| format!("@{}", number(printed, key));
    let window = ["--from", &instant("quiet_from_ns"), "--to", &instant("quiet_to_ns")];
    let told = succeed(plumb().args(["ledger", "--json"]).args(window).arg(timeline));
    let ledger: Value = serde_json::from_str(&told).expect("JSON");
    let mut counts = BTreeMap::new();
    for row in ledger["rows"].as_array().expect("rows") {
        let Some((group, _)) = GROUPS.iter().find(|(group, _)| row["group"] == *group) else {
            continue;
        };
        *counts.entry(*group).or_insert(0) += 1;
        let states = row["states_ns"].as_object().expect("states");
        // The timer ticks; a kernel that hides whom an interrupt woke leaves it unknown until it runs.
        let on_its_way = ["idle", "running", "ready", "stolen", "unknown"];
        let others = states
            .iter()
            .filter(|(state, ns)| !on_its_way.contains(&state.as_str()) && **ns != 0);
        assert_eq!(others.count(), 0, "JDK {version}: {row}");
        assert!(number(&row["states_ns"], "idle") > 0, "JDK {version}: {row}");
    }
    assert_eq!(counts, BTreeMap::from(GROUPS), "JDK {version}: {told}");
}

//! Who had the lock that several threads queue for, against the program's own book: examples/calls/src/Queues.java.

use crate::support::{allows, java, jdks, last_json, machine, number, plumb, record, scratch, succeed};
use serde_json::Value;

const RULES: &str = "\
use = [\"jvm\"]
[[group]]
name = \"worker\"
threads = \"worker-*\"
[[group]]
name = \"auditor\"
threads = \"auditor\"
";

/// How far shares may be apart.
const OFF: f64 = 0.04;

#[test]
fn who_had_the_lock_is_who_the_program_says_of_monitors_and_reentrant_locks() {
    if !allows(
        "bpf",
        "who_had_the_lock_is_who_the_program_says_of_monitors_and_reentrant_locks",
    ) {
        return;
    }
    let _machine = machine();
    for (version, home) in jdks() {
        for (kind, class) in [
            ("monitor", "java.util.concurrent.locks.ReentrantLock"),
            ("lock", "java.util.concurrent.locks.ReentrantLock$NonfairSync"),
        ] {
            let dir = scratch();
            let rules = dir.path().join("rules.toml");
            std::fs::write(&rules, RULES).expect("the rules");
            let (printed, _) = record(
                dir.path(),
                &["-f", "kernel", "-f", &rules.to_string_lossy()],
                &java(&home, &["Queues", kind]),
            );
            let book = last_json(&printed);
            let share = number(&book, "for_auditor_ns") as f64 / number(&book, "waited_ns") as f64;
            let told = succeed(plumb().args(["report", "--json"]).arg(dir.path().join("r.plumb")));
            let told: Value = serde_json::from_str(&told).expect("JSON");
            let auditor = auditors_share(&told, class);
            println!("JDK {version} {kind}: the auditor's share is {share:.3}, {auditor:.3} is told");
            assert!(
                (share - auditor).abs() <= OFF,
                "JDK {version} {kind}: the auditor's share is {share}, {auditor} is told: {told:#}"
            );
        }
    }
}

/// Of the time that workers waited.
fn auditors_share(report: &Value, class: &str) -> f64 {
    let findings = report["findings"].as_array().expect("findings");
    let of_workers = findings
        .iter()
        .find(|finding| finding["kind"] == "lock-contended" && finding["group"] == "worker");
    let of_workers = of_workers.unwrap_or_else(|| panic!("workers wait for a lock: {report:#}"));
    let culprits = of_workers["culprits"].as_array().expect("culprits");
    let auditor = culprits
        .iter()
        .find(|culprit| culprit["group"] == "auditor" && culprit["class"] == class);
    auditor.map_or(0.0, |culprit| culprit["share"].as_f64().expect("a share"))
}

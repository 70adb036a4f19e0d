//! Counters of perf events against what the kernel's own books say of each thread: examples/counted.rs.

use crate::support::{allows, example, last_json, machine, number, plumb, record, scratch, succeed};
use plumb_trace::timeline::{Query, TimelineFile};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const SOFTWARE: &str = "counters = [\"task-clock\", \"page-faults\", \"cpu-migrations\", \"minor-faults\"]";
const HARDWARE: &str = "counters = [\"cycles\", \"instructions\", \"cache-misses\"]";
/// What the kernel does on a thread's behalf while its books are read.
const FAULTS: u64 = 4;
/// perf counts a move when the thread runs again: that of the waking before the first reading stands in the first slice, and in the book before it.
const MOVED_MORE: u64 = 1;
/// Share by which two clocks of the same time may differ.
const SHARE: f64 = 0.02;
/// A switch is recorded, and counters are read, some time after the scheduler has taken its time: more where a thread is moved by another one.
const SWITCH_NS: u64 = 50_000;

/// Records the example with such counters: its books, and the timeline.
fn recorded(dir: &Path, counters: &str, more: &str) -> (Vec<Value>, TimelineFile) {
    let rules = dir.join("counters.toml");
    std::fs::write(&rules, format!("[kernel]\n{counters}\n{more}")).expect("the rules");
    let rules = rules.to_string_lossy();
    let (printed, timeline) = record(dir, &["--no-jvm", "-f", &rules], &Command::new(example("counted")));
    assert_eq!(timeline.losses(), [], "nothing was lost");
    let threads = last_json(&printed)["threads"].as_array().expect("threads").clone();
    (threads, timeline)
}

/// A thread's row of the ledger of its own window.
fn row(dir: &Path, books: &Value) -> Value {
    let at = |key: &str| format!("@{}", number(books, key));
    let mut ledger = plumb();
    ledger.arg("ledger").arg(dir.join("r.plumb")).arg("--json");
    ledger.args(["--from", &at("from_ns"), "--to", &at("to_ns")]);
    let ledger: Value = serde_json::from_str(&succeed(&mut ledger)).expect("JSON");
    let rows = ledger["rows"].as_array().expect("rows");
    let found = rows.iter().find(|row| row["tid"] == books["tid"]);
    found.expect("its row").clone()
}

/// Slices of which nothing was counted: their begin was hidden.
fn uncounted(counters: &Value) -> u64 {
    counters
        .get("task-clock.uncounted")
        .and_then(Value::as_u64)
        .unwrap_or(0)
}

#[test]
fn faults_migrations_and_time_are_those_of_the_kernel_s_books() {
    if !allows("counters", "counters") || !allows("kernel-extras", "counters") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let (threads, timeline) = recorded(dir.path(), SOFTWARE, "");
    for thread in &threads {
        let (name, books) = (&thread["name"], &thread["books"]);
        let row = row(dir.path(), books);
        let counters = &row["counters"];
        println!("{name} {books} {counters}");
        let faults = number(counters, "page-faults");
        let book = number(books, "faults");
        assert!(
            faults <= book + FAULTS && (faults >= book || uncounted(counters) > 0),
            "{name}: {faults} faults of {book}"
        );
        if let Some(book) = books["migrations"].as_u64() {
            // The kernel counts a thread that was moved twice before it ran twice.
            let counted = number(counters, "cpu-migrations");
            assert!(
                counted <= book + MOVED_MORE && (counted + book / 50 >= book || uncounted(counters) > 0),
                "{name}: {counted} migrations of {book}"
            );
        }
        // perf's clock goes on while the hypervisor has the CPU.
        let clock = number(counters, "task-clock");
        let ran = number(&row["states_ns"], "running") + number(&row["states_ns"], "stolen");
        let switches = number(&row["switches"], "voluntary") + number(&row["switches"], "involuntary");
        let allowed = switches * SWITCH_NS + (ran as f64 * SHARE) as u64;
        let book = number(books, "cpu_ns");
        assert!(clock <= ran + allowed, "{name}: {clock} ns of {ran}");
        // Slices whose begin the kernel hid are told as not counted, and what they counted is in no counter.
        if uncounted(counters) == 0 {
            assert!(clock + allowed >= ran, "{name}: {clock} ns of {ran}");
            assert!(
                clock + allowed >= book,
                "{name}: {clock} ns, the thread's own clock says {book}"
            );
        }
    }
    assert!(
        timeline.info().notes.iter().all(|note| !note.contains("counter")),
        "{:?}",
        timeline.info().notes
    );
}

/// Where only a tree is in scope: the command's first child is in it, and what a process does between its exit and its last switch is its own.
#[test]
fn a_process_counts_from_its_first_slice_to_its_last() {
    if !allows("counters", "counters") || !allows("kernel-extras", "counters") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let rules = dir.path().join("rules.toml");
    std::fs::write(&rules, format!("[kernel]\nscope = \"tree\"\n{SOFTWARE}\n")).expect("the rules");
    // Others on the machine sleep, too.
    let napper = dir.path().join("napper");
    std::fs::copy("/bin/sleep", &napper).expect("a copy");
    let naps = format!("for i in 1 2 3 4 5 6 7 8; do {} 0.01; done; true", napper.display());
    let mut children = Command::new("sh");
    children.args(["-c", &naps]);
    record(dir.path(), &["--no-jvm", "-f", &rules.to_string_lossy()], &children);
    let mut ledger = plumb();
    ledger.arg("ledger").arg(dir.path().join("r.plumb")).arg("--json");
    let ledger: Value = serde_json::from_str(&succeed(&mut ledger)).expect("JSON");
    let rows = ledger["rows"].as_array().expect("rows");
    let children: Vec<&Value> = rows.iter().filter(|row| row["name"] == "napper").collect();
    assert_eq!(children.len(), 8);
    for row in children {
        let states = &row["states_ns"];
        let ran = number(states, "running") + number(states, "stolen");
        let switches = number(&row["switches"], "voluntary") + number(&row["switches"], "involuntary") + 1;
        let clock = number(&row["counters"], "task-clock");
        let allowed = switches * SWITCH_NS + (ran as f64 * SHARE) as u64;
        assert!(clock <= ran + allowed, "{clock} ns of {ran}: {row}");
        assert!(
            clock + allowed >= ran || uncounted(&row["counters"]) > 0,
            "{clock} ns of {ran}: {row}"
        );
        assert!(number(states, "sleep") >= 9_000_000, "what it slept in is told: {row}");
    }
}

#[test]
fn counters_of_whom_is_not_in_scope_are_not_there() {
    if !allows("counters", "counters") || !allows("kernel-extras", "counters") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let (threads, _) = recorded(dir.path(), SOFTWARE, "threads = \"touches\"\n");
    for thread in &threads {
        let row = row(dir.path(), &thread["books"]);
        let is_wanted = thread["name"] == "touches";
        assert_eq!(row["counters"].get("page-faults").is_some(), is_wanted, "{row}");
    }
}

#[test]
fn hardware_counters_count_where_there_are_some_and_are_missed_aloud_elsewhere() {
    if !allows("kernel-extras", "counters") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let (threads, timeline) = recorded(dir.path(), HARDWARE, "");
    if !allows("hardware-counters", "counters") {
        for name in ["cycles", "instructions", "cache-misses"] {
            let note = timeline
                .info()
                .notes
                .iter()
                .find(|note| note.contains(&format!("`{name}`")));
            assert!(note.is_some(), "{:?}", timeline.info().notes);
        }
        return;
    }
    let computes = threads
        .iter()
        .find(|thread| thread["name"] == "computes")
        .expect("it is there");
    let row = row(dir.path(), &computes["books"]);
    let per_cycle = row["instructions_per_cycle"].as_f64().expect("both were counted");
    assert!(per_cycle > 0.05 && per_cycle < 20.0, "{row}");
    // From 100 MHz to 10 GHz.
    let per_ns = number(&row["counters"], "cycles") as f64 / number(&computes["books"], "cpu_ns") as f64;
    assert!(per_ns > 0.1 && per_ns < 10.0, "{row}");
}

//! The fallback without BPF: who ran when, by perf events.

mod common;

use common::switches::deaf_cpus;
use common::threads::{gettid, voluntary};
use common::{kernel_options, kernel_records, place, works};
use plumb_collector::{Interface, KernelOptions, Options, Recorder, Scope};
use plumb_trace::record::{KernelKind, NOT_TOLD, flags};
use std::process::Command;
use std::thread;
use std::time::Duration;

#[test]
fn switches_of_everybody_and_their_births_names_and_ends() {
    if !works("perf-events", "switches_of_everybody_and_their_births_names_and_ends") {
        return;
    }
    let (_base, dir) = place();
    let options = kernel_options(&dir, Scope::System, None);
    let kernel = KernelOptions {
        interface: Interface::PerfEvents,
        ..options.kernel.clone().unwrap_or_default()
    };
    let recorder = Recorder::start(Options {
        kernel: Some(kernel),
        ..options
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let mut child = Command::new("sleep").arg("0.1").spawn().expect("sleep");
    let me = gettid();
    let before = voluntary(me);
    (0..50).for_each(|_| thread::sleep(Duration::from_millis(1)));
    let after = voluntary(me);
    let pid = child.id();
    child.wait().expect("its end");
    let summary = recorder.stop().expect("a recording");
    assert!(
        summary.notes.iter().any(|note| note.contains("without BPF")),
        "{summary:?}"
    );
    let records = kernel_records(&dir);
    assert_eq!(records.len() as u64, summary.counts.kernel_stored);

    let switches = || records.iter().filter(|record| record.kind == KernelKind::Switch as u8);
    let mine = switches().filter(|record| record.tid == me && record.value == 1 && record.flags & flags::PREEMPT == 0);
    let mine = mine.count() as u64;
    assert!(
        (after - before..=after - before + 30).contains(&mine),
        "{mine} of {}",
        after - before
    );
    // Where nothing is lost, who leaves is who came last.
    if summary.counts.kernel_lost == 0 {
        let mut running = std::collections::HashMap::new();
        let deaf = deaf_cpus(&records);
        for record in switches() {
            let came = running.insert(record.cpu, (record.other_tid, record.other_pid));
            let is_whole = came.is_none_or(|(tid, pid)| {
                // A sandbox's process 1 is hidden from perf events as it is from BPF programs: its threads are not seen to leave.
                let is_hidden = pid == 1;
                // Where several threads are preempted in their ends at once it is not known which of them comes.
                let is_not_told = tid == NOT_TOLD;
                // Nor is, there, who comes after the idle task.
                let is_after_idle = tid == 0 && deaf.contains(&record.cpu);
                tid == record.tid || is_hidden || is_not_told || is_after_idle
            });
            assert!(is_whole, "{came:?} {record:?}");
        }
    }
    let of_child = |kind: KernelKind| records.iter().find(|r| r.kind == kind as u8 && r.tid == pid);
    assert_eq!(
        of_child(KernelKind::Fork).map(|record| record.other_pid),
        Some(std::process::id())
    );
    assert_eq!(
        of_child(KernelKind::Exec).map(|record| record.comm()).as_deref(),
        Some("sleep")
    );
    assert_eq!(
        of_child(KernelKind::Exit).map(|record| record.comm()).as_deref(),
        Some("sleep")
    );
    let last = switches().rfind(|record| record.tid == pid).expect("its switches");
    assert_eq!(last.value, 0x80, "its last switch is its death");
    let ran: Vec<u64> = switches().filter(|r| r.tid == pid).map(|r| r.charged_ns).collect();
    assert!(
        ran.is_sorted() && ran.last().is_some_and(|&ns| ns > 100_000 && ns < 100_000_000),
        "{ran:?}"
    );
}

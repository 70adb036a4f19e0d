//! Least privilege, in one program of its own: a process has one user, whatever its threads do. Few capabilities are enough to record, and none are left when all is set up.

mod common;

use common::rights::{BPF, PERFMON, SYS_NICE, apart, become_nobody};
use common::threads::gettid;
use common::{kernel_records, kernel_works, place, start};
use plumb_trace::record::KernelKind;
use std::thread;
use std::time::Duration;

/// CapEff and CapPrm of a thread of ours.
fn capabilities(task: &str) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/self/task/{task}/status")).expect("a thread of ours");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.expect("a field").trim(), 16).expect("a number")
    };
    (field("CapEff:"), field("CapPrm:"))
}

/// Threads of the recorder, by name.
fn recorder_threads() -> Vec<(String, String)> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("our threads").flatten();
    let named = tasks.filter_map(|task| {
        let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
        Some((comm.trim().to_owned(), task.file_name().to_string_lossy().into_owned()))
    });
    named.filter(|(comm, _)| comm.starts_with("plumb-")).collect()
}

/// Waits until the recorder's threads have given up what they had.
fn await_none() {
    for _ in 0..2_000 {
        let threads = recorder_threads();
        if threads.len() == 3 && threads.iter().all(|(_, task)| capabilities(task) == (0, 0)) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!(
        "{:?}",
        recorder_threads()
            .iter()
            .map(|(comm, task)| (comm, capabilities(task)))
            .collect::<Vec<_>>()
    );
}

fn record_without_rights() {
    let (_base, dir) = place();
    let recorder = start(&dir, None);
    let kept = recorder.drop_privileges(false).expect("capset");
    assert_eq!(kept.names(), Vec::<&str>::new());
    assert_eq!(capabilities(&gettid().to_string()), (0, 0));
    await_none();
    (0..50).for_each(|_| thread::sleep(Duration::from_millis(1)));
    let summary = recorder.stop().expect("it ends");
    assert_eq!((summary.counts.kernel_lost, summary.cut_short), (0, None));
    assert!(
        !summary.notes.iter().any(|note| note.contains("priority")),
        "{:?}",
        summary.notes
    );
    let own = gettid();
    let naps = kernel_records(&dir)
        .iter()
        .filter(|record| record.kind == KernelKind::Switch as u8 && record.tid == own)
        .count();
    assert!(naps >= 50, "{naps} switches recorded after the rights were gone");
}

#[test]
fn recording_goes_on_without_any_right_and_few_are_needed_to_begin() {
    if !kernel_works("recording_goes_on_without_any_right_and_few_are_needed_to_begin") {
        return;
    }
    apart(record_without_rights);
    apart(|| {
        become_nobody(BPF | PERFMON | SYS_NICE);
        record_without_rights();
    });
}

//! Least privilege, in one program of its own: a process has one user, whatever its threads do. Few capabilities are enough to record, and none are left when all is set up.
#![allow(unsafe_code, reason = "capabilities and users have no safe form in std")]

mod common;

use common::{kernel_records, kernel_works, place, start};
use plumb_trace::record::KernelKind;
use std::thread;
use std::time::Duration;

/// A user that owns nothing here.
const NOBODY: u64 = 65_534;
const SYS_NICE: u64 = 1 << 23;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

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
    assert_eq!(capabilities(&thread_id()), (0, 0));
    await_none();
    (0..50).for_each(|_| thread::sleep(Duration::from_millis(1)));
    let summary = recorder.stop().expect("it ends");
    assert_eq!((summary.counts.kernel_lost, summary.cut_short), (0, None));
    assert!(
        !summary.notes.iter().any(|note| note.contains("priority")),
        "{:?}",
        summary.notes
    );
    let own: u32 = thread_id().parse().expect("a number");
    let naps = kernel_records(&dir)
        .iter()
        .filter(|record| record.kind == KernelKind::Switch as u8 && record.tid == own)
        .count();
    assert!(naps >= 50, "{naps} switches recorded after the rights were gone");
}

fn thread_id() -> String {
    let link = std::fs::read_link("/proc/thread-self").expect("/proc/thread-self");
    link.file_name().expect("a thread id").to_string_lossy().into_owned()
}

/// Makes the calling thread one of a user who has these capabilities and no others.
fn become_nobody(capabilities: u64) {
    let halves = [
        capabilities as u32,
        capabilities as u32,
        0,
        (capabilities >> 32) as u32,
        (capabilities >> 32) as u32,
        0,
    ];
    let header = [0x2008_0522u32, 0];
    // SAFETY: system calls upon the calling thread alone; header and halves are as capset's third version has them.
    let done = unsafe {
        libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) == 0
            && libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY) == 0
            && libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) == 0
            && libc::syscall(libc::SYS_capset, header.as_ptr(), halves.as_ptr()) == 0
            // Else /proc/self is root's.
            && libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
}

/// Runs `body` in a thread, whose credentials may change.
fn apart(body: impl FnOnce() + Send + 'static) {
    thread::spawn(body)
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
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

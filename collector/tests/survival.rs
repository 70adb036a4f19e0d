//! What a recorder must survive: a bomb of threads, another recorder, a clock that is set.

mod common;

use common::switches::of_kind;
use common::threads::gettid;
use common::{kernel_records, kernel_works, place, segments, start};
use plumb_trace::record::KernelKind;
use plumb_trace::recording::{ClockPair, FileKind, Payload};
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[test]
fn a_bomb_of_ten_thousand_threads_is_recorded_whole() {
    if !kernel_works("a_bomb_of_ten_thousand_threads_is_recorded_whole") {
        return;
    }
    const THREADS: usize = 10_000;
    let (_base, dir) = place();
    let recorder = start(&dir, Some(64 << 20));
    // Each of these begins and ends a hundred at a time.
    for _ in 0..THREADS / 100 {
        let batch: Vec<_> = (0..100).map(|_| thread::spawn(|| ())).collect();
        batch.into_iter().for_each(|thread| thread.join().expect("its end"));
    }
    let summary = recorder.stop().expect("a recording");
    assert_eq!((summary.counts.kernel_lost, summary.cut_short), (0, None));
    let records = kernel_records(&dir);
    assert_eq!(records.len() as u64, summary.counts.kernel_stored);
    let me = std::process::id();
    // Thread ids may come again.
    let forks = of_kind(&records, KernelKind::Fork).filter(|record| record.pid == me && record.tid != me);
    let born: Vec<u32> = forks.map(|record| record.tid).collect();
    assert!(born.len() >= THREADS, "{}", born.len());
    let ends = of_kind(&records, KernelKind::Exit).filter(|record| record.pid == me);
    let ended: HashSet<u32> = ends.map(|record| record.tid).collect();
    let missing = born.iter().filter(|tid| !ended.contains(tid)).count();
    // Other tests' threads live on.
    assert!(missing < 100, "{missing} of {} were not seen to end", born.len());
}

#[test]
fn two_recorders_at_once_see_the_same() {
    if !kernel_works("two_recorders_at_once_see_the_same") {
        return;
    }
    let (_base, first_dir) = place();
    let (_other_base, second_dir) = place();
    let first = start(&first_dir, None);
    let second = start(&second_dir, None);
    let link = |name: &'static str| {
        let body = move || {
            (0..50).for_each(|_| thread::sleep(Duration::from_millis(1)));
            gettid()
        };
        let thread = thread::Builder::new().name(name.into()).spawn(body).expect("a thread");
        thread.join().expect("its end")
    };
    let both = link("plumb-both");
    first.stop().expect("a recording");
    let only_second = link("plumb-second");
    second.stop().expect("a recording");
    let switches = |dir: &Path, tid: u32| -> Vec<(u64, u16)> {
        let records = kernel_records(dir);
        let switches = of_kind(&records, KernelKind::Switch).filter(|record| record.tid == tid);
        switches.map(|record| (record.charged_ns, record.nvcsw)).collect()
    };
    let seen = switches(&first_dir, both);
    assert!(seen.len() >= 50, "{}", seen.len());
    assert_eq!(seen, switches(&second_dir, both));
    assert_eq!(switches(&first_dir, only_second).len(), 0);
    assert!(switches(&second_dir, only_second).len() >= 50);
}

/// Sets CLOCK_REALTIME forward by so much, or back; the time between the question and the answer is lost, some milliseconds.
fn set_clock(by_s: i64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let then_s = now.as_secs().saturating_add_signed(by_s);
    let then = format!("@{then_s}.{:09}", now.subsec_nanos());
    let set = Command::new("date").args(["-s", &then]).output();
    set.is_ok_and(|output| output.status.success())
}

fn clock_pairs(dir: &Path) -> Vec<ClockPair> {
    let mut pairs = Vec::new();
    for segment in segments(dir, |kind| kind == FileKind::Clock) {
        if let Payload::Clock(more) = segment.payload {
            pairs.extend(more);
        }
    }
    pairs
}

#[test]
fn a_clock_that_is_set_changes_no_time_of_a_record() {
    const NAME: &str = "a_clock_that_is_set_changes_no_time_of_a_record";
    if !kernel_works(NAME) {
        return;
    }
    let (_base, dir) = place();
    let recorder = start(&dir, None);
    let began_ns = plumb_collector::clock::monotonic_ns();
    if !set_clock(3) {
        return println!("left out: {NAME}: the clock cannot be set here");
    }
    let stepped_ns = plumb_collector::clock::realtime_ns();
    (0..600).for_each(|_| thread::sleep(Duration::from_millis(1)));
    assert!(set_clock(-3));
    let summary = recorder.stop().expect("a recording");
    let ended_ns = plumb_collector::clock::monotonic_ns();
    let length_ns = ended_ns - began_ns;
    assert!(summary.duration_ns.abs_diff(length_ns) < 500_000_000, "{summary:?}");
    let records = kernel_records(&dir);
    assert!(records.iter().all(|record| record.time_ns < ended_ns));
    let pairs = clock_pairs(&dir);
    assert!(pairs.is_sorted_by_key(|pair| pair.monotonic_ns) && pairs.is_sorted_by_key(|pair| pair.tsc));
    // The pairs tell what the clock did.
    assert!(pairs.iter().any(|pair| pair.realtime_ns >= stepped_ns));
    let last = pairs.last().expect("a pair");
    assert!(last.realtime_ns < stepped_ns, "{last:?}");
}

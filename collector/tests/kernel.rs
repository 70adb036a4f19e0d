//! The kernel side against a real kernel, with threads whose switches are known.

mod common;

use common::switches::of_kind;
use common::threads::{gettid, voluntary};
use common::{Quota, definitions, kernel_options, kernel_records, kernel_works, place, start};
use plumb_collector::proc::Stat;
use plumb_collector::{Recorder, Scope};
use plumb_trace::definition::Definition;
use plumb_trace::record::{KernelKind, KernelRecord, fd_kind, flags};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn every_switch_of_a_thread_is_there_with_its_cause() {
    if !kernel_works("every_switch_of_a_thread_is_there_with_its_cause") {
        return;
    }
    const ROUNDS: usize = 200;
    let (_base, dir) = place();
    let recorder = start(&dir, None);
    let (mut ours, mut theirs) = UnixStream::pair().expect("a socket pair");
    let (tid, before, after) = thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let (tid, mut byte) = (gettid(), [0]);
            let before = voluntary(tid);
            for _ in 0..ROUNDS {
                theirs.read_exact(&mut byte).expect("a byte");
                theirs.write_all(&byte).expect("an answer");
            }
            (tid, before, voluntary(tid))
        });
        let mut byte = [7];
        for _ in 0..ROUNDS {
            // The reader is given time to block in its read.
            thread::sleep(Duration::from_micros(200));
            ours.write_all(&byte).expect("a byte");
            ours.read_exact(&mut byte).expect("an answer");
        }
        reader.join().expect("the reader")
    });
    let me = gettid();
    let summary = recorder.stop().expect("a recording");
    assert_eq!(summary.cut_short, None);
    let records = kernel_records(&dir);

    let out: Vec<_> = of_kind(&records, KernelKind::Switch)
        .filter(|record| record.tid == tid)
        .collect();
    let counted = out.iter().filter(|r| {
        (1..=(after - before) as u16).contains(&r.nvcsw.wrapping_sub(before as u16))
            && r.value != 0
            && r.flags & flags::PREEMPT == 0
    });
    // The record's nvcsw counts this switch, too: each of them is there once.
    assert_eq!(counted.count() as u64, after - before);
    let reads = out
        .iter()
        .filter(|record| record.flags & flags::SYSCALL != 0 && record.syscall == libc::SYS_recvfrom as i16);
    let sockets: Vec<_> = reads.filter(|record| record.fd_kind == fd_kind::SOCKET).collect();
    assert!(
        sockets.len() >= ROUNDS / 2,
        "{} of {ROUNDS} reads blocked on a socket",
        sockets.len()
    );

    let wakings = of_kind(&records, KernelKind::Waking)
        .filter(|r| r.tid == tid && r.other_tid == me && r.flags & flags::INTERRUPT == 0);
    assert!(wakings.count() >= sockets.len(), "the writer is who wakes the reader");

    let comes = of_kind(&records, KernelKind::Switch)
        .filter(|record| record.other_tid == tid)
        .count();
    // Some kernels run no program on behalf of process 1: who comes after it comes unseen.
    let unseen = unseen_comings(&records, tid);
    assert!(
        (comes + unseen).abs_diff(out.len()) <= 1,
        "who leaves has come: {comes}, {unseen} unseen, and {}",
        out.len()
    );
}

/// How often a thread left a CPU that somebody else was the last to be seen to come to: a thread of process 1, or of a namespace's.
fn unseen_comings(records: &[KernelRecord], tid: u32) -> usize {
    let mut has = HashMap::new();
    let mut unseen = 0;
    for record in of_kind(records, KernelKind::Switch) {
        let before = has.insert(record.cpu, record.other_tid);
        unseen += usize::from(record.tid == tid && before.is_some_and(|before| before != tid));
    }
    unseen
}

#[test]
fn who_is_interrupted_is_not_the_cause() {
    if !kernel_works("who_is_interrupted_is_not_the_cause") {
        return;
    }
    let (_base, dir) = place();
    let recorder = start(&dir, None);
    let done = std::sync::atomic::AtomicBool::new(false);
    let (sleeper, spinners) = thread::scope(|scope| {
        let cpus = thread::available_parallelism().map_or(2, usize::from);
        let spin = || {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            gettid()
        };
        let spinners: Vec<_> = (0..cpus).map(|_| scope.spawn(spin)).collect();
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(1));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        (
            gettid(),
            spinners
                .into_iter()
                .map(|spinner| spinner.join().expect("a spinner"))
                .collect::<Vec<_>>(),
        )
    });
    recorder.stop().expect("a recording");
    let records = kernel_records(&dir);
    let by_spinner: Vec<_> = of_kind(&records, KernelKind::Waking)
        .filter(|record| record.tid == sleeper && spinners.contains(&record.other_tid))
        .collect();
    assert!(
        by_spinner.len() > 20,
        "the timer interrupted spinners {} times",
        by_spinner.len()
    );
    // The end of a spinner may wake us in earnest.
    let interrupted = by_spinner
        .iter()
        .filter(|record| record.flags & flags::INTERRUPT != 0)
        .count();
    assert!(
        interrupted + spinners.len() >= by_spinner.len(),
        "{interrupted} of {}",
        by_spinner.len()
    );
}

#[test]
fn charged_time_is_the_kernel_s_own() {
    if !kernel_works("charged_time_is_the_kernel_s_own") {
        return;
    }
    let (_base, dir) = place();
    let recorder = start(&dir, None);
    let (finish, wait) = mpsc::channel::<()>();
    let (told, tids) = mpsc::channel();
    let spinner = thread::spawn(move || {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(100) {
            std::hint::spin_loop();
        }
        told.send(gettid()).expect("the test listens");
        let _ = wait.recv();
    });
    let tid = tids.recv().expect("a thread id");
    let sleeps = || Stat::of_thread(std::process::id(), tid).is_some_and(|stat| stat.state == b'S');
    while !sleeps() {
        thread::yield_now();
    }
    // Of a thread that sleeps schedstat does not lag.
    let schedstat = std::fs::read_to_string(format!("/proc/self/task/{tid}/schedstat")).expect("schedstat");
    let run_ns: u64 = schedstat
        .split_ascii_whitespace()
        .next()
        .and_then(|run| run.parse().ok())
        .expect("a time");
    finish.send(()).expect("the spinner waits");
    spinner.join().expect("the spinner");
    recorder.stop().expect("a recording");
    let records = kernel_records(&dir);
    let charged: Vec<u64> = of_kind(&records, KernelKind::Switch)
        .filter(|record| record.tid == tid)
        .map(|record| record.charged_ns)
        .collect();
    assert!(charged.is_sorted());
    assert!(charged.contains(&run_ns), "{run_ns} is none of {charged:?}");
}

#[test]
fn a_process_that_begins_meanwhile_is_described() {
    if !kernel_works("a_process_that_begins_meanwhile_is_described") {
        return;
    }
    let (_base, dir) = place();
    let recorder = start(&dir, None);
    let mut child = Command::new("sleep").arg("1.25").spawn().expect("sleep");
    let pid = child.id();
    child.wait().expect("its end");
    recorder.stop().expect("a recording");

    let found = definitions(&dir).into_iter().any(|dated| {
        matches!(dated.definition, Definition::Process { pid: found, cmdline, .. } if found == pid && cmdline == "sleep 1.25")
    });
    assert!(found, "a definition of sleep");
    let records = kernel_records(&dir);
    let of_child = |kind| of_kind(&records, kind).find(|record| record.tid == pid).copied();
    let fork = of_child(KernelKind::Fork).expect("a fork");
    assert_eq!((fork.other_pid, fork.value), (std::process::id(), pid));
    assert_eq!(
        of_child(KernelKind::Exec).map(|record| record.comm()).as_deref(),
        Some("sleep")
    );
    assert_eq!(
        of_child(KernelKind::Exit).map(|record| record.comm()).as_deref(),
        Some("sleep")
    );
    let nap = of_kind(&records, KernelKind::Switch)
        .find(|record| record.tid == pid && record.syscall == libc::SYS_clock_nanosleep as i16)
        .expect("the sleep itself");
    assert_eq!((nap.value, nap.fd_kind), (1, fd_kind::NONE));
}

#[test]
fn threads_from_before_are_in_the_snapshot() {
    if !kernel_works("threads_from_before_are_in_the_snapshot") {
        return;
    }
    let (_base, dir) = place();
    let recorder = start(&dir, None);
    recorder.stop().expect("a recording");
    let (pid, tid) = (std::process::id(), gettid());
    let found = definitions(&dir);
    let process = found
        .iter()
        .position(|d| matches!(d.definition, Definition::Process { pid: p, .. } if p == pid));
    let thread = found
        .iter()
        .position(|d| matches!(d.definition, Definition::Thread { tid: t, pid: p, .. } if (t, p) == (tid, pid)));
    assert!(
        process.is_some() && process < thread,
        "a process stands before its threads"
    );
    let kthreadd = found
        .iter()
        .find(|d| matches!(d.definition, Definition::Thread { tid: 2, .. }));
    assert!(kthreadd.is_none_or(|d| matches!(d.definition, Definition::Thread { kthread: true, .. })));
}

#[test]
fn a_tree_holds_wakeups_of_its_own_and_everybody_s_switches() {
    if !kernel_works("a_tree_holds_wakeups_of_its_own_and_everybody_s_switches") {
        return;
    }
    let (_base, dir) = place();
    let mut recorder =
        Recorder::start(kernel_options(&dir, Scope::Tree, None)).unwrap_or_else(|error| panic!("{error}"));
    let mut tree = Command::new("sh")
        .args(["-c", "read line; sleep 0.05; sh -c 'sleep 0.05; exit 0'"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("sh");
    recorder.add_target(tree.id()).unwrap_or_else(|error| panic!("{error}"));
    tree.stdin.take().expect("a pipe").write_all(b"go\n").expect("a line");
    for _ in 0..50 {
        thread::sleep(Duration::from_millis(1));
    }
    tree.wait().expect("its end");
    recorder.stop().expect("a recording");
    let records = kernel_records(&dir);
    let me = std::process::id();
    assert!(
        of_kind(&records, KernelKind::Switch).any(|record| record.pid == me),
        "switches of others"
    );
    assert_eq!(
        of_kind(&records, KernelKind::Waking)
            .filter(|record| record.pid == me)
            .count(),
        0,
        "no wakeups of others"
    );
    assert!(
        of_kind(&records, KernelKind::Waking).any(|record| record.pid == tree.id()),
        "wakeups of the target"
    );
    let children: Vec<u32> = of_kind(&records, KernelKind::Fork)
        .filter(|r| r.other_pid == tree.id())
        .map(|r| r.pid)
        .collect();
    assert!(
        children
            .iter()
            .any(|&child| of_kind(&records, KernelKind::Waking).any(|r| r.pid == child)),
        "wakeups of its children"
    );
}

#[test]
fn a_spent_quota_is_told() {
    if !kernel_works("a_spent_quota_is_told") {
        return;
    }
    let quota = match Quota::new("spent") {
        Ok(quota) => quota,
        Err(error) => return println!("left out: a_spent_quota_is_told: no cpu cgroup can be made: {error}"),
    };
    let (_base, dir) = place();
    let recorder = start(&dir, None);
    let script = format!(
        "echo $$ > {}/cgroup.procs; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done",
        quota.path.display()
    );
    let mut hog = Command::new("sh").args(["-c", &script]).spawn().expect("sh");
    let pid = hog.id();
    hog.wait().expect("its end");
    let throttled = quota.throttled();
    let summary = recorder.stop().expect("a recording");
    let records = kernel_records(&dir);
    let told = of_kind(&records, KernelKind::Switch)
        .filter(|r| r.tid == pid && r.flags & flags::THROTTLED != 0)
        .count();
    println!("throttled {throttled} times, told {told}");
    assert!(throttled > 0 && summary.notes.iter().all(|note| !note.contains("throttling")));
    // A quota that is spent just as its thread goes by itself throttles nobody.
    assert!(told > 0 && told <= throttled + 1, "{told} of {throttled}");
}

//! What perf events tell without BPF, for each level of rights. In one program of its own: a process has one user, whatever its threads do.
#![allow(unsafe_code, reason = "capabilities and users have no safe form in std")]

mod common;

use common::{kernel_options, kernel_records, place};
use plumb_collector::{Interface, KernelOptions, Options, Recorder, Scope, Summary, doctor};
use plumb_trace::record::{KernelKind, KernelRecord, flags};
use std::collections::HashSet;
use std::process::Command;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

const NOBODY: u64 = 65_534;
const DAC_READ_SEARCH: u64 = 1 << 2;
const PERFMON: u64 = 1 << 38;
const EXCHANGES: usize = 40;

fn works(check: &str, test: &str) -> bool {
    let check = doctor::check(check).expect("doctor knows the check");
    if !check.ok {
        println!("left out: {test}: {}", check.why);
    }
    check.ok
}

/// Makes the calling thread one of a user who has these capabilities and no others.
fn become_nobody(capabilities: u64) {
    let (low, high) = (capabilities as u32, (capabilities >> 32) as u32);
    let halves = [low, low, 0, high, high, 0];
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
    let done = thread::spawn(body).join();
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn own_tid() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").expect("/proc/thread-self");
    let name = link.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).expect("a thread id")
}

/// A recording, and who took part in it.
struct Recorded {
    records: Vec<KernelRecord>,
    notes: Vec<String>,
    /// This thread naps, and wakes the other one.
    me: u32,
    other: u32,
    child: u32,
}

impl Recorded {
    fn of(&self, kind: KernelKind) -> impl Iterator<Item = &KernelRecord> {
        self.records.iter().filter(move |record| record.kind == kind as u8)
    }

    fn says(&self, what: &str) -> bool {
        self.notes.iter().any(|note| note.contains(what))
    }
}

/// One test at a time: the children of the other would be in the tree.
static ALONE: Mutex<()> = Mutex::new(());

/// Records two threads that wake each other, and a child that naps.
fn recorded(interface: Interface, scope: Scope) -> Recorded {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_base, dir) = place();
    let options = kernel_options(&dir, scope, None);
    let kernel = KernelOptions {
        interface,
        ..options.kernel.clone().unwrap_or_default()
    };
    let recorder = Recorder::start(Options {
        kernel: Some(kernel),
        targets: vec![std::process::id()],
        ..options
    });
    let recorder = recorder.unwrap_or_else(|error| panic!("{error}"));
    let (to_other, inbox) = mpsc::channel();
    let (answers, from_other) = mpsc::channel();
    let other = thread::spawn(move || {
        inbox.iter().for_each(|()| answers.send(()).unwrap_or_default());
        own_tid()
    });
    for _ in 0..EXCHANGES {
        // By then the other one sleeps.
        thread::sleep(Duration::from_millis(2));
        to_other.send(()).expect("it listens");
        from_other.recv().expect("it answers");
    }
    drop(to_other);
    let other = other.join().expect("its id");
    let mut child = Command::new("sleep").arg("0.05").spawn().expect("sleep");
    let pid = child.id();
    child.wait().expect("its end");
    let Summary { notes, counts, .. } = recorder.stop().expect("a recording");
    assert_eq!(counts.kernel_lost, 0);
    Recorded {
        records: kernel_records(&dir),
        notes,
        me: own_tid(),
        other,
        child: pid,
    }
}

/// What every level tells of the recording's own threads.
fn tells_lives(found: &Recorded) {
    let naps = found
        .of(KernelKind::Switch)
        .filter(|record| record.tid == found.me && record.value != 0);
    assert!(naps.count() >= EXCHANGES, "each nap is a switch");
    let exec = found.of(KernelKind::Exec).find(|record| record.tid == found.child);
    assert_eq!(exec.map(|record| record.comm()).as_deref(), Some("sleep"));
    let last = found
        .of(KernelKind::Switch)
        .filter(|record| record.tid == found.child)
        .last();
    assert_eq!(
        last.map(|record| record.value),
        Some(0x80),
        "its last switch is its death"
    );
}

fn strangers(found: &Recorded) -> usize {
    let known = [0, std::process::id(), found.child];
    found
        .of(KernelKind::Switch)
        .filter(|record| !known.contains(&record.pid))
        .count()
}

#[test]
fn with_tracepoints_wakers_are_known_and_scopes_leave_others_wakeups_out() {
    if !works(doctor::PERF_TRACEPOINTS, "with_tracepoints") {
        return;
    }
    let found = recorded(Interface::PerfTracepoints, Scope::System);
    tells_lives(&found);
    let woken = |record: &&KernelRecord| record.tid == found.other && record.other_tid == found.me;
    let by_me = found.of(KernelKind::Waking).filter(woken).count();
    assert!(by_me >= EXCHANGES * 9 / 10, "{by_me} wakings of {EXCHANGES}");
    let queued = found
        .of(KernelKind::Wakeup)
        .filter(|record| record.tid == found.other)
        .count();
    assert!(queued >= EXCHANGES * 9 / 10, "{queued} of {by_me}");
    let naps = found.of(KernelKind::Waking).filter(|record| record.tid == found.me);
    let (by_clock, by_somebody): (Vec<&KernelRecord>, Vec<&KernelRecord>) =
        naps.partition(|record| record.flags & flags::INTERRUPT != 0);
    assert!(
        by_clock.len() >= EXCHANGES * 9 / 10,
        "{} wakings by the clock's interrupt, others by {:?}",
        by_clock.len(),
        by_somebody
            .iter()
            .map(|record| (record.cpu, record.other_pid, record.other_tid))
            .collect::<Vec<_>>()
    );
    assert!(
        found.says("without BPF") && !found.says("no waker"),
        "{:?}",
        found.notes
    );

    let found = recorded(Interface::PerfTracepoints, Scope::Tree);
    let wakeups = || found.of(KernelKind::Waking).chain(found.of(KernelKind::Wakeup));
    let pids: HashSet<u32> = wakeups().map(|record| record.pid).collect();
    assert!(pids.contains(&std::process::id()), "{pids:?}");
    assert!(
        pids.iter().all(|pid| [std::process::id(), found.child].contains(pid)),
        "{pids:?}"
    );
    assert!(strangers(&found) > 0, "who else had a CPU is told");
}

#[test]
fn without_tracefs_there_are_switches_and_without_rights_one_s_own() {
    if !works("perf-events", "without_tracefs") {
        return;
    }
    apart(|| {
        become_nobody(PERFMON);
        let found = recorded(Interface::Best, Scope::System);
        tells_lives(&found);
        assert!(strangers(&found) > 0, "who else had a CPU is told");
        assert_eq!(found.of(KernelKind::Waking).count(), 0);
        assert!(found.says("CAP_DAC_READ_SEARCH"), "{:?}", found.notes);
    });
    let is_mounted = std::path::Path::new("/sys/kernel/tracing/events").exists();
    if !is_mounted {
        println!("left out: tracefs with CAP_DAC_READ_SEARCH alone: it is not mounted");
    }
    apart(move || {
        if !is_mounted {
            return;
        }
        become_nobody(PERFMON | DAC_READ_SEARCH);
        let found = recorded(Interface::Best, Scope::System);
        tells_lives(&found);
        assert!(found.of(KernelKind::Waking).count() > 0, "{:?}", found.notes);
    });
    if !works(doctor::PERF_OWN, "without_tracefs") {
        return;
    }
    apart(|| {
        become_nobody(0);
        let found = recorded(Interface::Best, Scope::System);
        tells_lives(&found);
        assert_eq!(strangers(&found), 0);
        assert!(
            found
                .of(KernelKind::Switch)
                .all(|record| record.flags & flags::ALONE != 0)
        );
        assert!(found.says("who else had a CPU is not known"), "{:?}", found.notes);
        // Nothing is told twice: who comes was away, who leaves was there.
        let mine = found
            .of(KernelKind::Switch)
            .filter(|record| [record.tid, record.other_tid].contains(&found.me));
        let comes: Vec<bool> = mine.map(|record| record.other_tid == found.me).collect();
        assert!(comes.windows(2).all(|pair| pair[0] != pair[1]), "{comes:?}");
    });
}

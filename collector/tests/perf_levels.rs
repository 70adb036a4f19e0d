//! What perf events tell without BPF, for each level of rights. In one program of its own: a process has one user, whatever its threads do.

mod common;

use common::rights::{DAC_READ_SEARCH, PERFMON, apart, become_nobody};
use common::switches::{Stretch, deaf_cpus, holes, is_hidden, of_kind, sleeps};
use common::threads::{gettid, on_each_cpu};
use common::{kernel_options, kernel_records, place, told_losses, works};
use plumb_collector::clock::monotonic_ns;
use plumb_collector::{Interface, KernelOptions, Options, Recorder, Scope, Summary, doctor};
use plumb_trace::record::{KernelKind, KernelRecord, flags};
use plumb_trace::recording::FileKind;
use std::collections::HashSet;
use std::process::Command;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// On each CPU.
const EXCHANGES: usize = 40;

/// A recording, and who took part in it.
struct Recorded {
    records: Vec<KernelRecord>,
    notes: Vec<String>,
    /// This thread naps, and wakes the other one.
    me: u32,
    other: u32,
    child: u32,
    /// From the first exchange to the last, and how many there were.
    exchanges: Stretch,
    rounds: usize,
}

impl Recorded {
    fn of(&self, kind: KernelKind) -> impl Iterator<Item = &KernelRecord> {
        of_kind(&self.records, kind)
    }

    /// When a thread slept while the exchanges went on.
    fn sleeps(&self, tid: u32) -> Vec<Stretch> {
        let (begun, ended) = self.exchanges;
        let sleeps = sleeps(&self.records, tid).into_iter();
        sleeps.filter(|(from, to)| begun <= *from && *to <= ended).collect()
    }

    /// Records of a kind about a thread, in a stretch.
    fn about(&self, kind: KernelKind, tid: u32, (from, to): Stretch) -> Vec<&KernelRecord> {
        let of_it = |record: &&KernelRecord| record.tid == tid && (from..=to).contains(&record.time_ns);
        self.of(kind).filter(of_it).collect()
    }

    /// Whether a sleep begins or ends on one of these CPUs.
    fn is_on(&self, cpus: &[u16], (from, to): Stretch) -> bool {
        let of_it = |record: &&KernelRecord| [from, to].contains(&record.time_ns);
        self.of(KernelKind::Switch)
            .filter(of_it)
            .any(|record| cpus.contains(&record.cpu))
    }

    /// What was recorded in a stretch, for a message.
    fn story(&self, (from, to): Stretch) -> String {
        let line = |record: &KernelRecord| {
            let KernelRecord {
                time_ns,
                kind,
                flags,
                cpu,
                tid,
                pid,
                other_tid,
                other_pid,
                value,
                ..
            } = record;
            format!("{time_ns} CPU {cpu}: {kind} {flags:#x} {tid} of {pid}, {other_tid} of {other_pid}, {value:#x}\n")
        };
        let within = |record: &&KernelRecord| (from..=to.saturating_add(1_000_000)).contains(&record.time_ns);
        self.records.iter().filter(within).map(line).collect()
    }

    fn says(&self, what: &str) -> bool {
        self.notes.iter().any(|note| note.contains(what))
    }
}

/// One test at a time: the children of the other would be in the tree.
static ALONE: Mutex<()> = Mutex::new(());

/// Records two threads that wake each other, and a child that naps; again, where other programs switch so often meanwhile that something is lost.
fn recorded(interface: Interface, scope: Scope) -> Recorded {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tries = (0..20).map(|_| record(interface, scope));
    tries.find_map(|recorded| recorded).expect("a recording without a loss")
}

/// Starts somebody who has a CPU now and then for a second, and is nobody's child: on a quiet machine nobody else may have one for a while.
fn start_stranger() {
    let mut naps = Command::new("sh");
    naps.args(["-c", "for nap in $(seq 50); do sleep 0.02; done &"]);
    assert!(naps.status().expect("a shell").success());
}

/// `None`: something was lost, and is counted.
fn record(interface: Interface, scope: Scope) -> Option<Recorded> {
    let (_base, dir) = place();
    start_stranger();
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
        gettid()
    });
    let begun_ns = monotonic_ns();
    let exchange = || {
        // By then the other one sleeps.
        thread::sleep(Duration::from_millis(2));
        to_other.send(()).expect("it listens");
        from_other.recv().expect("it answers");
    };
    let rounds = EXCHANGES * on_each_cpu(|| (0..EXCHANGES).for_each(|_| exchange()));
    let exchanges = (begun_ns, monotonic_ns());
    drop(to_other);
    let other = other.join().expect("its id");
    let mut child = Command::new("sleep").arg("0.05").spawn().expect("sleep");
    let pid = child.id();
    child.wait().expect("its end");
    let Summary { notes, counts, .. } = recorder.stop().expect("a recording");
    let is_whole = counts.kernel_lost == 0 && told_losses(&dir, |kind| matches!(kind, FileKind::Cpu(_))) == 0;
    is_whole.then(|| Recorded {
        records: kernel_records(&dir),
        notes,
        me: gettid(),
        other,
        child: pid,
        exchanges,
        rounds,
    })
}

/// What every level tells of the recording's own threads.
fn tells_lives(found: &Recorded) {
    let naps = found
        .of(KernelKind::Switch)
        .filter(|record| record.tid == found.me && record.value != 0);
    let naps = naps.count();
    assert!(naps >= found.rounds, "each nap is a switch, {naps}: {:?}", found.notes);
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

/// Each sleep ends by a waking that is told, but for those that a kernel hides (see `common::switches`): the clock's interrupt wakes who naps, whoever runs there.
fn tells_each_waking(found: &Recorded) {
    let (holes, deaf) = (holes(&found.records), deaf_cpus(&found.records));
    if !deaf.is_empty() {
        println!("left out: wakings of who slept on CPUs {deaf:?}: nothing is told that happened while they idled");
    }
    let (mut hidden, mut unexplained) = (0, Vec::new());
    for tid in [found.me, found.other] {
        let mut awake_since = found.exchanges.0;
        for sleep in found.sleeps(tid) {
            // A waker on another CPU may come before the switch is told.
            let until_awake = (awake_since, sleep.1);
            awake_since = sleep.1;
            let wakings = found.about(KernelKind::Waking, tid, until_awake);
            let queued = found.about(KernelKind::Wakeup, tid, until_awake);
            let is_told = !wakings.is_empty() && !queued.is_empty();
            hidden += usize::from(!is_told);
            if !is_told && !is_hidden(&holes, sleep) && !found.is_on(&deaf, sleep) {
                unexplained.push(format!(
                    "thread {tid}, {sleep:?}: {wakings:?}, {queued:?}\n{}",
                    found.story(until_awake)
                ));
            }
        }
    }
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let is_by_clock = |record: &&KernelRecord| record.flags & flags::INTERRUPT != 0;
    let of_me = found.about(KernelKind::Waking, found.me, found.exchanges);
    let (by_clock, by_somebody): (Vec<&KernelRecord>, Vec<&KernelRecord>) = of_me.into_iter().partition(is_by_clock);
    // Who moves to another CPU is woken there by the kernel's thread that moved it.
    let strange = by_somebody.iter().filter(|record| record.other_tid != found.other);
    let moves = found.rounds / EXCHANGES;
    assert!(strange.count() <= moves, "{by_somebody:?}");
    assert!(
        !by_clock.is_empty() && by_clock.len() + hidden >= found.rounds,
        "{} by the clock, {hidden} hidden",
        by_clock.len()
    );
    let of_other = found.about(KernelKind::Waking, found.other, found.exchanges);
    assert!(
        !of_other.is_empty()
            && of_other
                .iter()
                .all(|record| record.other_tid == found.me || is_by_clock(record)),
        "{of_other:?}"
    );
}

#[test]
fn with_tracepoints_wakers_are_known_and_scopes_leave_others_wakeups_out() {
    if !works(doctor::PERF_TRACEPOINTS, "with_tracepoints") {
        return;
    }
    let found = recorded(Interface::PerfTracepoints, Scope::System);
    tells_lives(&found);
    tells_each_waking(&found);
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

//! The JVM's own events: contended monitors, waits, parks, sleeps, collections, renames, virtual threads.

use std::collections::{BTreeMap, HashMap, HashSet};

use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{JvmKind, JvmRecord};

use super::jvm::{Subject, jdks, wait_until};
use super::recorder::{Recorder, Stream};
use super::{RULES, TIMEOUT, attached, options};
use plumb_agent::client::attach;

/// Monitors of a class of this name, begun by `begin` and ended by `end` in the same thread with the same hash.
fn pairs(recorder: &Recorder, begin: JvmKind, end: JvmKind, class: &str) -> usize {
    let is_pair = |pair: &[&JvmRecord]| {
        pair[0].kind() == Some(begin)
            && pair[1].kind() == Some(end)
            && pair[0].value() == pair[1].value()
            && recorder.class_name(pair[0].detail()) == Some(class)
    };
    let pairs_of = |stream: &Stream| {
        let of_kinds: Vec<_> = stream
            .records()
            .filter(|record| [Some(begin), Some(end)].contains(&record.kind()))
            .collect();
        of_kinds.windows(2).filter(|pair| is_pair(pair)).count()
    };
    recorder.streams.values().map(pairs_of).sum()
}

#[test]
fn contended_monitors_waits_and_collections() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (_session, mut recorder) = attached(&subject);
        subject.order("lock 5");
        subject.order("wait 4");
        subject.order("gc 3");
        recorder.drain(false);
        let contended = pairs(&recorder, JvmKind::MonitorEnter, JvmKind::MonitorEntered, "Contended");
        assert_eq!(contended, 5, "JDK {}", jdk.name);
        let waits = pairs(&recorder, JvmKind::Wait, JvmKind::Waited, "java.lang.Object");
        assert!(waits >= 4, "{waits} waits on JDK {}", jdk.name);
        let (starts, finishes) = (recorder.of_kind(JvmKind::GcStart), recorder.of_kind(JvmKind::GcFinish));
        assert!(
            starts.len() >= 3 && starts.len() == finishes.len(),
            "{starts:?} {finishes:?}"
        );
        assert!(
            starts
                .iter()
                .zip(&finishes)
                .all(|(start, finish)| start.ticks < finish.ticks)
        );
    }
}

#[test]
fn parks_with_their_blockers_class() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (session, mut recorder) = attached(&subject);
        subject.order("park 20");
        session.stop(TIMEOUT).expect("stops");
        subject.order("park 5");
        recorder.drain(false);
        let parks = pairs(&recorder, JvmKind::Park, JvmKind::Unparked, "Contended");
        assert_eq!(parks, 20, "JDK {}", jdk.name);
        let condition = "java.util.concurrent.locks.AbstractQueuedSynchronizer$ConditionObject";
        let takes = pairs(&recorder, JvmKind::Park, JvmKind::Unparked, condition);
        assert!(takes >= 20, "{takes} on JDK {}", jdk.name);
        subject.quit();
    }
}

#[test]
fn sleeps_whether_they_are_a_native_method_or_not() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        for _ in 0..2 {
            let (session, mut recorder) = attached(&subject);
            subject.order("sleep 10");
            session.stop(TIMEOUT).expect("stops");
            subject.order("sleep 3");
            recorder.drain(false);
            let (sleeps, slept) = (recorder.of_kind(JvmKind::Sleep), recorder.of_kind(JvmKind::Slept));
            assert_eq!((sleeps.len(), slept.len()), (10, 10), "JDK {}", jdk.name);
        }
        subject.quit();
    }
}

#[test]
fn sleeps_and_names_are_told_without_a_change_to_a_class() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let mut session = attach(subject.pid(), &options("[jvm]\nthreads = true\nsleeps = true\n")).expect("attaches");
        session.wait_until_armed(TIMEOUT).expect("is armed");
        let mut recorder = Recorder::new(session.arena().expect("a descriptor"));
        for number in [1, 2] {
            subject.order(&format!("rename {number}"));
            wait_for_name(&mut recorder, &format!("renamed-to-{number}"));
        }
        let of_renames = recorder.of_kind(JvmKind::Sleep).len();
        subject.order("sleep 10");
        let stopped = session.stop(TIMEOUT).expect("stops");
        assert_eq!((stopped.restored, stopped.failed), (0, 0), "JDK {}", jdk.name);
        recorder.drain(false);
        assert_eq!(
            recorder.of_kind(JvmKind::Sleep).len(),
            of_renames + 10,
            "JDK {}",
            jdk.name
        );
        subject.quit();
    }
}

#[test]
fn a_pools_worker_is_idle_between_its_jobs() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (_session, mut recorder) = attached(&subject);
        subject.order("pool 10");
        recorder.drain(false);
        let of_worker = |stream: &&Stream| stream.records().any(|record| record.kind() == Some(JvmKind::Idle));
        let workers: Vec<&Stream> = recorder.streams.values().filter(of_worker).collect();
        assert_eq!(workers.len(), 1, "JDK {}", jdk.name);
        let of_kind = |kind| {
            workers[0]
                .records()
                .filter(|record| record.kind() == Some(kind))
                .count()
        };
        // The first job comes with the thread; nine more, and the end.
        assert_eq!(
            (of_kind(JvmKind::Idle), of_kind(JvmKind::Busy)),
            (10, 10),
            "JDK {}",
            jdk.name
        );
    }
}

#[test]
fn a_thread_that_is_renamed_by_itself_or_another_has_its_new_name_soon() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (_session, mut recorder) = attached(&subject);
        for number in [7, 8] {
            subject.order(&format!("rename {number}"));
            wait_for_name(&mut recorder, &format!("renamed-to-{number}"));
        }
    }
}

fn wait_for_name(recorder: &mut Recorder, wanted: &str) {
    wait_until("the new name", || {
        recorder.drain(false);
        recorder.definitions.iter().any(|dated| {
            matches!(&dated.definition, Definition::JavaThreadName { tid, name } if *name == wanted && *tid != 0)
        })
    });
}

/// Has each thread's calls begin and end while it is mounted, whichever carrier that is; gives the calls by thread.
fn calls_by_virtual_thread(recorder: &Recorder) -> HashMap<u64, usize> {
    let mut calls = HashMap::new();
    for stream in recorder.streams.values() {
        let mut mounted = 0;
        for record in stream.records() {
            match record.kind() {
                Some(JvmKind::Mount) => {
                    assert_eq!(mounted, 0, "two at once");
                    mounted = record.java_id();
                }
                Some(JvmKind::Unmount) => {
                    assert_eq!(mounted, record.java_id(), "another one than was mounted");
                    mounted = 0;
                }
                Some(JvmKind::Enter) if mounted != 0 => *calls.entry(mounted).or_default() += 1,
                _ => {}
            }
        }
    }
    calls
}

/// Has somebody give each thread to the scheduler after it left its carrier, or was made, and before its next mount.
fn mounts_are_told_before(recorder: &Recorder, jdk: &str) {
    let mut records = Vec::new();
    for (stream, of_stream) in recorder.streams.values().enumerate() {
        records.extend(of_stream.records().map(|record| (record.ticks, stream, record)));
    }
    records.sort_by_key(|(ticks, ..)| *ticks);
    let (mut ready, mut left) = (HashSet::new(), HashMap::new());
    let mut told = 0;
    for (_, stream, record) in records {
        let id = record.java_id();
        match record.kind() {
            Some(JvmKind::VthreadReady) => {
                ready.insert(id);
            }
            Some(JvmKind::Mount) => {
                // One that cannot leave its carrier is put back.
                let is_back = left.remove(&stream) == Some(id);
                let is_told = ready.remove(&id);
                assert!(is_told || is_back, "JDK {jdk}: nobody has said that {id} may go on");
                told += usize::from(is_told);
            }
            Some(JvmKind::Unmount) => {
                assert!(!ready.contains(&id), "JDK {jdk}: {id} may go on, and has its carrier");
                left.insert(stream, id);
            }
            _ => {}
        }
    }
    assert!(told > 2000, "{told} mounts are told before: each sleeps twenty times");
}

#[test]
fn virtual_threads_that_are_asked_for() {
    for jdk in jdks().into_iter().filter(|jdk| jdk.is_at_least(21)) {
        let mut subject = Subject::start(&jdk, &[]);
        subject.order("virtual 2");
        for _ in 0..2 {
            let rules = format!("{RULES}\n[jvm]\nvirtual_threads = true\n");
            let mut session = attach(subject.pid(), &options(&rules)).expect("attaches");
            session.wait_until_armed(TIMEOUT).expect("is armed");
            let mut recorder = Recorder::new(session.arena().expect("a descriptor"));
            subject.order("virtual 20");
            session.stop(TIMEOUT).expect("stops");
            recorder.drain(false);
            let count = |kind| recorder.of_kind(kind).len();
            assert_eq!((count(JvmKind::VthreadStart), count(JvmKind::VthreadEnd)), (100, 100));
            assert!(
                count(JvmKind::Mount) > 2000,
                "{} mounts: each sleeps twenty times",
                count(JvmKind::Mount)
            );
            mounts_are_told_before(&recorder, jdk.name);
            let calls = calls_by_virtual_thread(&recorder);
            assert_eq!(calls.len(), 100);
            assert!(
                calls.values().all(|calls| *calls == 40),
                "outer and step, twenty times: {calls:?}"
            );
            subject.order("virtual 2");
        }
        subject.quit();
    }
}

#[test]
fn virtual_threads_have_the_names_that_they_had_and_get() {
    for jdk in jdks().into_iter().filter(|jdk| jdk.is_at_least(21)) {
        let mut subject = Subject::start(&jdk, &[]);
        subject.order("virtualname 1");
        let first = [vec!["late"], vec!["older", "renamed"], vec!["sleeper"], vec!["younger"]];
        let second = [vec!["renamed", "renamed"], vec!["younger"]];
        for expected in [&first[..], &second] {
            let rules = format!("{RULES}\n[jvm]\nvirtual_threads = true\nthreads = true\n");
            let mut session = attach(subject.pid(), &options(&rules)).expect("attaches");
            session.wait_until_armed(TIMEOUT).expect("is armed");
            let mut recorder = Recorder::new(session.arena().expect("a descriptor"));
            subject.order("virtualname 2");
            session.stop(TIMEOUT).expect("stops");
            recorder.drain(false);
            let mut names: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
            for dated in &recorder.definitions {
                if let Definition::VirtualThread { java_id, name } = &dated.definition {
                    names.entry(*java_id).or_default().push(name);
                }
            }
            let names: Vec<Vec<&str>> = names.into_values().collect();
            assert_eq!(names, expected, "JDK {}", jdk.name);
        }
        subject.quit();
    }
}

#[test]
fn virtual_threads_are_nobody_elses_threads() {
    for jdk in jdks().into_iter().filter(|jdk| jdk.is_at_least(21)) {
        let mut subject = Subject::start(&jdk, &[]);
        let (session, mut recorder) = attached(&subject);
        subject.order("virtual 20");
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(false);
        assert_eq!(recorder.count(JvmKind::Enter, "Probed.step"), 2000);
        let started = |dated: &&Dated| matches!(&dated.definition, Definition::JavaThread { started: true, .. });
        let threads = recorder.definitions.iter().filter(started).count();
        assert!(threads < 50, "{threads} threads: carriers, not a hundred virtual ones");
        subject.quit();
    }
}

//! The JVM's own events: contended monitors, waits, collections, renames.

use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{JvmKind, JvmRecord};

use super::jvm::{Subject, jdks, wait_until};
use super::recorder::{Recorder, Stream};
use super::{TIMEOUT, attached};

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
fn a_thread_that_is_renamed_has_its_new_name_soon() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (_session, mut recorder) = attached(&subject);
        for number in [7, 8] {
            subject.order(&format!("rename {number}"));
            wait_until("the new name", || {
                recorder.drain(false);
                let wanted = format!("renamed-to-{number}");
                recorder.definitions.iter().any(|dated| {
                    matches!(&dated.definition, Definition::JavaThreadName { tid, name } if *name == wanted && *tid != 0)
                })
            });
        }
    }
}

#[test]
fn virtual_threads_are_nobody_elses_threads() {
    for jdk in jdks().into_iter().filter(|jdk| jdk.name != "17") {
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

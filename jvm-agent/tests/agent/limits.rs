//! Full arenas, killed JVMs, two recorders at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use plumb_agent::client::{AttachError, attach, detach};
use plumb_trace::arena;
use plumb_trace::record::JvmKind;

use super::jvm::{Subject, jdks, wait_until};
use super::recorder::{Recorder, Stream};
use super::{RULES, TIMEOUT, attached, options, try_attach};

/// The calls of `work COUNT` that threads made, in records: two methods, two records each.
const RECORDS_A_CALL: usize = 4;

#[test]
fn what_a_full_arena_drops_is_counted() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let mut options = options(RULES);
        options.config.arena_bytes = arena::MIN_BYTES;
        let mut session = attach(subject.pid(), &options).expect("attaches");
        session.wait_until_armed(TIMEOUT).expect("is armed");
        let mut recorder = Recorder::new(session.arena().expect("a descriptor"));
        let count = 20_000;
        subject.order(&format!("work {count}"));
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(false);
        let calls: usize = [JvmKind::Enter, JvmKind::Exit, JvmKind::Thrown]
            .map(|kind| recorder.of_kind(kind).len())
            .iter()
            .sum();
        assert!(recorder.lost() > 0);
        assert!(calls as u64 + recorder.lost() >= (RECORDS_A_CALL * 4 * count) as u64);
    }
}

#[test]
fn a_small_arena_that_is_drained_loses_nothing_it_does_not_count() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let mut options = options("[[method]]\nmatch = \"Probed.*\"\ncode_bytes_min = 0\n");
        options.config.arena_bytes = arena::MIN_BYTES;
        let mut session = attach(subject.pid(), &options).expect("attaches");
        session.wait_until_armed(TIMEOUT).expect("is armed");
        let mut recorder = Recorder::new(session.arena().expect("a descriptor"));
        let over = AtomicBool::new(false);
        let count = 50_000;
        thread::scope(|scope| {
            let over = &over;
            let drained = scope.spawn({
                let mut recorder = SendRecorder(&mut recorder);
                move || {
                    let recorder = &mut recorder;
                    while !over.load(Ordering::Acquire) {
                        recorder.0.drain(true);
                        thread::yield_now();
                    }
                }
            });
            subject.order(&format!("work {count}"));
            session.stop(TIMEOUT).expect("stops");
            over.store(true, Ordering::Release);
            drained.join().expect("drains");
        });
        recorder.drain(false);
        let stored: usize = [JvmKind::Enter, JvmKind::Exit, JvmKind::Thrown]
            .map(|kind| recorder.of_kind(kind).len())
            .iter()
            .sum();
        assert_eq!(
            stored as u64 + recorder.lost(),
            (RECORDS_A_CALL * 4 * count) as u64,
            "JDK {}",
            jdk.name
        );
        let is_forward = |stream: &Stream| stream.records().is_sorted_by_key(|record| record.ticks);
        assert!(recorder.streams.values().all(is_forward), "JDK {}", jdk.name);
    }
}

/// The mapping may be read from any thread.
struct SendRecorder<'a>(&'a mut Recorder);

// SAFETY: a recorder is used by one thread at a time, which the borrow sees to; its mapping belongs to the process.
unsafe impl Send for SendRecorder<'_> {}

#[test]
fn a_jvm_that_is_killed_leaves_its_records() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (session, mut recorder) = attached(&subject);
        subject.order("work 300");
        assert!(session.is_alive());
        subject.kill();
        wait_until("the end of the session", || !session.is_alive());
        recorder.drain(false);
        assert_eq!(recorder.count(JvmKind::Enter, "Probed.step"), 1200);
        assert!(matches!(session.stop(TIMEOUT), Err(AttachError::Ended(_))));
    }
}

#[test]
fn a_second_recorder_is_refused_and_harms_nothing() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (session, mut recorder) = attached(&subject);
        let second = try_attach(&subject).map(drop);
        assert!(matches!(&second, Err(AttachError::Refused { .. })), "{second:?}");
        subject.order("work 30");
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(false);
        assert_eq!(recorder.count(JvmKind::Enter, "Probed.outer"), 120);
    }
}

#[test]
fn detach_ends_somebody_elses_session() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        assert!(!detach(subject.pid()).expect("nothing to take out"));
        let (session, mut recorder) = attached(&subject);
        assert!(detach(subject.pid()).expect("detaches"));
        wait_until("the end of the session", || !session.is_alive());
        subject.order("work 30");
        recorder.drain(false);
        assert_eq!(recorder.count(JvmKind::Enter, "Probed.outer"), 0);
        assert!(!detach(subject.pid()).expect("nothing left"));
        let words = session.last_words();
        assert!(words.is_some_and(|reason| reason.contains("plumb detach")));
    }
}

#[test]
fn probes_come_and_go_under_load() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        subject.order("spin 3");
        for _ in 0..5 {
            let (session, mut recorder) = attached(&subject);
            wait_until("records", || {
                recorder.drain(true);
                recorder.count(JvmKind::Enter, "Probed.step") > 0
            });
            session.stop(TIMEOUT).expect("stops");
        }
        subject.quit();
    }
}

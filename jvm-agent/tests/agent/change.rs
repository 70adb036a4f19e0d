//! Other rules for a session that goes on.

use std::sync::atomic::AtomicBool;

use plumb_agent::client::AttachError;
use plumb_trace::record::JvmKind;

use super::jvm::{Subject, jdks, wait_until};
use super::recorder::Recorder;
use super::{RULES, TIMEOUT, attached, config};

/// Nobody asks to stop.
static GO_ON: AtomicBool = AtomicBool::new(false);

fn compiled(rules: &str) -> Vec<u8> {
    config(rules).matcher
}

const STEP_ONLY: &str = "[jvm]\nexceptions = true\n[[method]]\nmatch = \"Probed.step\"\nunit = \"other\"\n";

fn calls(recorder: &mut Recorder) -> (usize, usize) {
    recorder.drain(true);
    (
        recorder.count(JvmKind::Enter, "Probed.outer"),
        recorder.count(JvmKind::Enter, "Probed.step"),
    )
}

#[test]
fn methods_and_settings_come_and_go() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (mut session, mut recorder) = attached(&subject);
        subject.order("work 10");
        assert_eq!(calls(&mut recorder), (40, 40));

        let armed = session
            .change_rules(compiled(STEP_ONLY), &GO_ON, TIMEOUT)
            .expect("changes");
        assert_eq!((armed.classes, armed.methods), (1, 1));
        subject.order("work 10");
        assert_eq!(calls(&mut recorder), (40, 80));
        assert!(!recorder.counted().is_empty(), "exceptions are counted by now");

        let refused = session.change_rules(b"no rules".to_vec(), &GO_ON, TIMEOUT);
        assert!(matches!(refused, Err(AttachError::Unchanged { .. })), "{refused:?}");
        subject.order("work 10");
        assert_eq!(calls(&mut recorder), (40, 120));

        session
            .change_rules(compiled(RULES), &GO_ON, TIMEOUT)
            .expect("changes back");
        let counted = recorder.of_kind(JvmKind::Counted).len();
        subject.order("work 10");
        subject.order("load 5");
        assert_eq!(calls(&mut recorder), (80, 160));
        assert_eq!(recorder.count(JvmKind::Enter, "Late.once"), 5);
        assert_eq!(recorder.of_kind(JvmKind::Counted).len(), counted);

        let stopped = session.stop(TIMEOUT).expect("stops");
        assert_eq!(stopped.failed, 0);
        subject.order("work 10");
        assert_eq!((calls(&mut recorder), recorder.lost()), ((80, 160), 0));
        subject.quit();
    }
}

#[test]
fn each_sleep_is_told_once_whether_virtual_threads_are_recorded_or_not() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (mut session, mut recorder) = attached(&subject);
        let with_virtual = format!("{RULES}\n[jvm]\nsleeps = true\nvirtual_threads = true\n");
        let mut told = 0;
        for rules in [RULES, &with_virtual, RULES] {
            session.change_rules(compiled(rules), &GO_ON, TIMEOUT).expect("changes");
            subject.order("sleep 10");
            recorder.drain(true);
            told += 10;
            let (sleeps, slept) = (recorder.of_kind(JvmKind::Sleep), recorder.of_kind(JvmKind::Slept));
            assert_eq!((sleeps.len(), slept.len()), (told, told), "JDK {}", jdk.name);
        }
        session.stop(TIMEOUT).expect("stops");
        subject.quit();
    }
}

#[test]
fn calls_that_are_under_way_end_as_they_began() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (mut session, mut recorder) = attached(&subject);
        std::thread::scope(|scope| {
            let work = scope.spawn(|| subject.order("work 100000"));
            for rules in [STEP_ONLY, "[jvm]\nthreads = true\n", RULES].iter().cycle() {
                if work.is_finished() {
                    break;
                }
                session.change_rules(compiled(rules), &GO_ON, TIMEOUT).expect("changes");
                recorder.drain(true);
            }
        });
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(true);
        for method in ["Probed.outer", "Probed.step"] {
            let count = |kind| recorder.count(kind, method);
            let (enters, ends) = (count(JvmKind::Enter), count(JvmKind::Exit) + count(JvmKind::Thrown));
            assert_eq!(enters, ends, "{method} on JDK {}", jdk.name);
        }
        assert_eq!((recorder.lost(), recorder.calls_of_nobody()), (0, 0));
        subject.quit();
    }
}

/// Rules with probes in the classes that `Fresh.java` loads.
const FRESH: &str = "[[method]]\nmatch = \"Fresh*.once\"\n";
const NOT_FRESH: &str = "[[method]]\nmatch = \"Probed.step\"\n";
const FRESH_CLASSES: usize = 300;
/// The same on JVMs before 13, which look through all of their classes for each one that is changed: with more they take minutes.
const FRESH_CLASSES_BEFORE_13: usize = 50;

#[test]
fn classes_that_load_while_rules_change_go_by_the_new_ones() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (mut session, mut recorder) = attached(&subject);
        let fresh = match jdk.is_at_least(13) {
            true => FRESH_CLASSES,
            false => FRESH_CLASSES_BEFORE_13,
        };
        let calls = |subject: &mut Subject, recorder: &mut Recorder| {
            let enters = |recorder: &mut Recorder| {
                recorder.drain(true);
                recorder.of_kind(JvmKind::Enter).len()
            };
            let before = enters(recorder);
            subject.order("callfresh");
            enters(recorder) - before
        };
        for (rules, expected) in [(FRESH, 1), (NOT_FRESH, 0)].iter().cycle().take(12) {
            std::thread::scope(|scope| {
                scope.spawn(|| subject.order(&format!("fresh {fresh}")));
                session.change_rules(compiled(rules), &GO_ON, TIMEOUT).expect("changes");
            });
            let classes = subject.order("callfresh");
            let classes: usize = classes.trim_start_matches("calls=").parse().expect("a number");
            wait_until(&format!("all classes by the last rules on JDK {}", jdk.name), || {
                calls(&mut subject, &mut recorder) == classes * expected
            });
        }
        session.stop(TIMEOUT).expect("stops");
        assert_eq!(calls(&mut subject, &mut recorder), 0);
        subject.quit();
    }
}

/// Rules of which the twins have probes, and rules of which they have none.
const TWINS: &str = "[[method]]\nmatch = \"Twins$Twin.once\"\n";
const NO_TWINS: &str = "[[method]]\nmatch = \"Probed.step\"\n";
/// Rules without methods: the JVM is spared the hook.
const NO_METHODS: &str = "[jvm]\nmonitors = true\n";

/// The hook has seen the second class by the rules of before, or was off; and the first of its name goes by those of now: names do not tell which class is behind.
#[test]
fn a_class_of_the_same_name_in_another_loader_goes_by_the_new_rules_too() {
    for jdk in jdks() {
        for (before, after, expected) in [(TWINS, NO_TWINS, 0), (NO_TWINS, TWINS, 1), (NO_METHODS, TWINS, 1)] {
            let mut subject = Subject::start(&jdk, &[]);
            let (mut session, mut recorder) = attached(&subject);
            session
                .change_rules(compiled(before), &GO_ON, TIMEOUT)
                .expect("changes");
            subject.order("twins 1");
            session.change_rules(compiled(after), &GO_ON, TIMEOUT).expect("changes");
            subject.order("twins 2");
            let mut calls = |subject: &mut Subject, twin: u32| {
                recorder.drain(true);
                let before = recorder.count(JvmKind::Enter, "Twins$Twin.once");
                subject.order(&format!("calltwin {twin}"));
                recorder.drain(true);
                recorder.count(JvmKind::Enter, "Twins$Twin.once") - before
            };
            let what = format!("{expected} probes in both classes on JDK {}", jdk.name);
            wait_until(&what, || calls(&mut subject, 2) == expected);
            assert_eq!(calls(&mut subject, 1), expected, "{what}");
            let stopped = session.stop(TIMEOUT).expect("stops");
            assert_eq!(stopped.failed, 0);
            assert_eq!((calls(&mut subject, 1), calls(&mut subject, 2)), (0, 0));
            subject.quit();
        }
    }
}

//! Stacks of threads that wait long.

use std::collections::BTreeMap;

use plumb_trace::definition::Definition;
use plumb_trace::record::JvmKind;

use super::jvm::{Jdk, Subject, jdks, wait_until};
use super::recorder::Recorder;
use super::{TIMEOUT, options};
use plumb_agent::client::{JvmSession, attach};

const RULES: &str = "[jvm]\nparks = true\n[[stack]]\nthreads = \"long-*\"\nlonger = \"20ms\"\n";

/// How each of the threads waits: a method that must be on its stack, not always as the innermost.
const WAYS: [(&str, &str); 5] = [
    ("long-monitor", "Waits.inMonitor"),
    ("long-park", "Waits.inPark"),
    ("long-read", "Waits.inRead"),
    ("long-sleep", "Waits.inSleep"),
    ("long-wait", "Waits.inWait"),
];

/// Stacks by the name of their thread, frames from the innermost on.
fn stacks(recorder: &Recorder) -> BTreeMap<String, Vec<Vec<String>>> {
    let (mut threads, mut frames, mut stacks) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for dated in &recorder.definitions {
        match &dated.definition {
            Definition::JavaThread { tid, name, .. } => drop(threads.insert(*tid, name.clone())),
            Definition::JavaFrame { id, name } => drop(frames.insert(*id, name.clone())),
            Definition::JavaStack { id, frames } => drop(stacks.insert(*id, frames.clone())),
            _ => {}
        }
    }
    let mut found: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for record in recorder.of_kind(JvmKind::Stack) {
        let names = stacks[&record.detail()]
            .iter()
            .map(|frame| frames[frame].clone())
            .collect();
        found.entry(threads[&record.value()].clone()).or_default().push(names);
    }
    found
}

fn count(recorder: &mut Recorder, thread: &str) -> usize {
    recorder.drain(true);
    stacks(recorder).get(thread).map_or(0, Vec::len)
}

fn attached(subject: &Subject, rules: &str) -> (JvmSession, Recorder) {
    let mut session = attach(subject.pid(), &options(rules)).expect("attaches");
    session.wait_until_armed(TIMEOUT).expect("is armed");
    let recorder = Recorder::new(session.arena().expect("a descriptor"));
    (session, recorder)
}

/// The runtimes that give one thread's stack without stopping all others.
fn jdks_with_stacks() -> impl Iterator<Item = Jdk> {
    jdks().into_iter().filter(|jdk| jdk.is_at_least(16))
}

fn wait_for_all(recorder: &mut Recorder, jdk: &Jdk, times: usize) {
    for (thread, _) in WAYS {
        let what = format!("stack {times} of {thread} on JDK {}", jdk.name);
        wait_until(&what, || count(recorder, thread) >= times);
    }
}

#[test]
fn each_long_wait_is_told_once_with_its_stack_whatever_it_waits_for() {
    for jdk in jdks_with_stacks() {
        let mut subject = Subject::start(&jdk, &[]);
        subject.order("waits 1");
        let (session, mut recorder) = attached(&subject, RULES);
        wait_for_all(&mut recorder, &jdk, 1);
        subject.order("waits 1");
        wait_for_all(&mut recorder, &jdk, 2);
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(true);
        let found = stacks(&recorder);
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let expected = WAYS.map(|(thread, _)| thread);
        assert_eq!(
            names, expected,
            "nobody who is idle, busy or not named, on JDK {}",
            jdk.name
        );
        for (thread, method) in WAYS {
            for stack in &found[thread] {
                let at = stack.iter().position(|frame| frame == method);
                let outermost = stack.last().map(String::as_str);
                assert!(
                    at.is_some() && outermost == Some("java.lang.Thread.run"),
                    "{thread}: {stack:?}"
                );
            }
            assert_eq!(found[thread].len(), 2, "{thread} on JDK {}", jdk.name);
        }
        assert_eq!(recorder.lost(), 0);
        subject.quit();
    }
}

#[test]
fn a_jvm_that_would_stop_for_each_stack_is_asked_for_none_and_that_is_told() {
    for jdk in jdks().into_iter().filter(|jdk| !jdk.is_at_least(16)) {
        let mut subject = Subject::start(&jdk, &[]);
        let (session, mut recorder) = attached(&subject, RULES);
        subject.order("waits 1");
        let reason = "no stacks of long waits: a JVM before version 16 would stop all threads for each";
        wait_until("the note of stacks", || {
            recorder.drain(true);
            recorder
                .definitions
                .iter()
                .any(|dated| matches!(&dated.definition, Definition::LeftAlone { reason: told, .. } if told == reason))
        });
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(true);
        assert_eq!(stacks(&recorder), BTreeMap::new(), "JDK {}", jdk.name);
        subject.quit();
    }
}

#[test]
fn stacks_come_and_go_with_the_rules() {
    for jdk in jdks_with_stacks() {
        let mut subject = Subject::start(&jdk, &[]);
        subject.order("waits 1");
        let (mut session, mut recorder) = attached(&subject, "[jvm]\nparks = true\n");
        let compiled = |rules: &str| options(rules).config.matcher;
        let go_on = std::sync::atomic::AtomicBool::new(false);
        session.change_rules(compiled(RULES), &go_on, TIMEOUT).expect("changes");
        wait_for_all(&mut recorder, &jdk, 1);
        session
            .change_rules(
                compiled("[jvm]\nparks = true\n[[stack]]\nthreads = \"long-s*\"\nlonger = \"20ms\"\n"),
                &go_on,
                TIMEOUT,
            )
            .expect("changes");
        subject.order("waits 1");
        wait_until("the next sleep", || count(&mut recorder, "long-sleep") >= 2);
        session.stop(TIMEOUT).expect("stops");
        assert_eq!(count(&mut recorder, "long-park"), 1, "JDK {}", jdk.name);
        subject.quit();
    }
}

#[test]
fn who_waits_without_a_carrier_is_told_by_rules_that_came_meanwhile() {
    let rules = |longer: &str| {
        format!("[jvm]\nparks = true\nvirtual_threads = true\n[[stack]]\nthreads = \"long-*\"\nlonger = \"{longer}\"\n")
    };
    for jdk in jdks().into_iter().filter(|jdk| jdk.is_at_least(24)) {
        let mut subject = Subject::start(&jdk, &[]);
        let (mut session, mut recorder) = attached(&subject, &rules("1000s"));
        subject.order("virtualwait 1");
        let mut of_kind = |kind| {
            recorder.drain(true);
            recorder.of_kind(kind).len()
        };
        wait_until("it leaves its carrier", || of_kind(JvmKind::Unmount) > 0);
        assert_eq!(of_kind(JvmKind::VthreadStack), 0, "JDK {}", jdk.name);
        let go_on = std::sync::atomic::AtomicBool::new(false);
        let compiled = options(&rules("20ms")).config.matcher;
        session.change_rules(compiled, &go_on, TIMEOUT).expect("changes");
        wait_until("its stack", || of_kind(JvmKind::VthreadStack) > 0);
        session.stop(TIMEOUT).expect("stops");
        assert_eq!(of_kind(JvmKind::VthreadStack), 1, "once, JDK {}", jdk.name);
        subject.quit();
    }
}

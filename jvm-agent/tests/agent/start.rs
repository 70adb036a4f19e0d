//! JVMs that are started with the agent.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use plumb_agent::client::{JvmSession, Listener, Users, agent_library};
use plumb_trace::record::JvmKind;

use super::jvm::{Jdk, Subject, jdks, wait_until};
use super::recorder::Recorder;
use super::{RULES, TIMEOUT, attached, config};

fn library() -> PathBuf {
    agent_library().expect("the library is built")
}

/// A JVM started with the agent and these further arguments, recorded from its start.
fn started(jdk: &Jdk, arguments: &[&str]) -> (Subject, JvmSession) {
    let listener = Listener::bind(config(RULES), Users::Own).expect("listens");
    let agent = listener.jvm_argument(&library()).into_string().expect("UTF-8");
    let accepted = thread::spawn(move || listener.accept(TIMEOUT).expect("greets").expect("connects"));
    let mut all = vec![agent.as_str()];
    all.extend(arguments);
    let subject = Subject::start(jdk, &all);
    let session = accepted.join().expect("accepts");
    assert_eq!(session.pid, subject.pid());
    (subject, session)
}

#[test]
fn the_first_call_is_recorded() {
    for jdk in jdks() {
        let (mut subject, mut session) = started(&jdk, &[]);
        session.wait_until_armed(TIMEOUT).expect("is armed");
        let mut recorder = Recorder::new(session.arena().expect("a descriptor"));
        subject.order("work 300");
        subject.order("load 12");
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(false);
        assert_eq!(recorder.count(JvmKind::Enter, "Probed.step"), 1200);
        assert_eq!(recorder.count(JvmKind::Thrown, "Probed.step"), 400);
        assert_eq!(recorder.count(JvmKind::Exit, "Late.once"), 12);
        assert_eq!(recorder.calls_of_nobody(), 0, "JDK {}", jdk.name);
        subject.order("work 300");
        let complaints = subject.quit();
        assert_eq!(complaints, "", "JDK {}", jdk.name);
    }
}

#[test]
fn the_jvms_own_checks_find_nothing() {
    for jdk in jdks() {
        let (mut subject, mut session) = started(&jdk, &["-Xcheck:jni", "-Xverify:all"]);
        session.wait_until_armed(TIMEOUT).expect("is armed");
        for command in ["work 300", "lock 2", "wait 2", "gc 1", "rename 1", "load 3"] {
            subject.order(command);
        }
        session.stop(TIMEOUT).expect("stops");
        let (session, _recorder) = attached(&subject);
        subject.order("work 300");
        session.stop(TIMEOUT).expect("stops");
        // `Subject` looks at stdout for warnings, where these checks write.
        let complaints = subject.quit();
        let of_ours = complaints
            .lines()
            .filter(|line| !line.contains("Xverify") && !line.contains("BytecodeVerification"));
        assert_eq!(of_ours.collect::<Vec<_>>(), Vec::<&str>::new(), "JDK {}", jdk.name);
    }
}

#[test]
fn an_agent_without_a_recorder_sleeps_until_somebody_attaches() {
    for jdk in jdks() {
        let agent = format!("-agentpath:{}", library().display());
        let mut subject = Subject::start(&jdk, &[&agent]);
        subject.order("work 300");
        let names = subject.thread_names().expect("its threads");
        assert!(!names.iter().any(|name| name.contains("plumb")), "{names:?}");
        let (session, mut recorder) = attached(&subject);
        subject.order("work 30");
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(false);
        assert_eq!(recorder.count(JvmKind::Enter, "Probed.outer"), 120);
    }
}

#[test]
fn a_jvm_whose_recorder_is_not_there_starts_as_ever() {
    for jdk in jdks() {
        let agent = format!("-agentpath:{}=socket=/tmp/nobody-listens-here", library().display());
        let mut subject = Subject::start(&jdk, &[&agent]);
        subject.order("work 300");
        assert_eq!(subject.quit(), "");
    }
}

#[test]
fn a_recorder_that_goes_away_leaves_the_jvm_asleep() {
    for jdk in jdks() {
        let (mut subject, mut session) = started(&jdk, &[]);
        session.wait_until_armed(TIMEOUT).expect("is armed");
        drop(session);
        wait_until("the end of the control thread", || {
            subject
                .thread_names()
                .is_ok_and(|names| !names.iter().any(|name| name.starts_with("plumb-agent")))
        });
        subject.order("work 300");
        assert!(
            Listener::bind(config(RULES), Users::Own)
                .expect("listens")
                .accept(Duration::ZERO)
                .is_ok_and(|none| none.is_none())
        );
        let (session, mut recorder) = attached(&subject);
        subject.order("work 3");
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(false);
        assert_eq!(recorder.count(JvmKind::Enter, "Probed.outer"), 12);
    }
}

#[test]
fn a_jvm_that_ends_while_it_is_recorded_ends_as_ever() {
    for jdk in jdks() {
        for _ in 0..3 {
            let (mut subject, session) = started(&jdk, &[]);
            let _recorder = Recorder::new(session.arena().expect("a descriptor"));
            subject.order("spin 2");
            assert_eq!(subject.quit(), "", "JDK {}", jdk.name);
            assert!(!session.is_alive());
        }
    }
}

//! Rules with a minimum duration.

use plumb_agent::client::{JvmSession, attach};
use plumb_trace::record::{JvmKind, JvmRecord};

use super::jvm::{Subject, jdks};
use super::recorder::Recorder;
use super::{TIMEOUT, options};

const RULES: &str = r#"
[[method]]
match = "Timed.*"
min = "500ms"
[[method]]
match = "Probed.*"
min = "1h"
"#;

fn attached(subject: &Subject) -> (JvmSession, Recorder) {
    let mut session = attach(subject.pid(), &options(RULES)).expect("attaches");
    session.wait_until_armed(TIMEOUT).expect("is armed");
    let recorder = Recorder::new(session.arena().expect("a descriptor"));
    (session, recorder)
}

/// Depth and whether thrown, of the calls told in one stream, in order. Each has its begin told just before.
fn told(records: &[&JvmRecord]) -> Vec<(u32, bool)> {
    let mut told = Vec::new();
    for pair in records.windows(2) {
        if pair[1].kind() == Some(JvmKind::Called) {
            assert_eq!(pair[0].kind(), Some(JvmKind::Past));
            told.push((pair[1].detail() >> 1, pair[1].detail() & 1 == 1));
        }
    }
    told
}

#[test]
fn only_long_calls_are_told_with_their_depth() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        for _ in 0..2 {
            let (session, mut recorder) = attached(&subject);
            subject.order("work 100");
            subject.order("timed 1000");
            session.stop(TIMEOUT).expect("stops");
            recorder.drain(false);
            let all: Vec<_> = recorder
                .streams
                .values()
                .map(|stream| told(&stream.records().collect::<Vec<_>>()))
                .collect();
            let all = all.concat();
            let returned = [4, 3, 2, 1, 0].map(|depth| (depth, false));
            let thrown = [4, 3, 2, 1, 0].map(|depth| (depth, true));
            assert_eq!(all, [returned, thrown].concat(), "JDK {}", jdk.name);
            assert_eq!(recorder.of_kind(JvmKind::Enter).len(), 0);
        }
        subject.quit();
    }
}

#[test]
fn calls_in_which_a_virtual_thread_changes_its_carrier() {
    for jdk in jdks().into_iter().filter(|jdk| jdk.is_at_least(21)) {
        let mut subject = Subject::start(&jdk, &[]);
        let (session, mut recorder) = attached(&subject);
        subject.order("timedvirtual 20");
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(false);
        let called = recorder.of_kind(JvmKind::Called);
        let at_depth = |depth: u32, thrown: bool| {
            let wanted = depth << 1 | u32::from(thrown);
            called.iter().filter(|record| record.detail() == wanted).count()
        };
        for depth in 0..5 {
            assert_eq!(
                (at_depth(depth, false), at_depth(depth, true)),
                (20, 20),
                "depth {depth}"
            );
        }
        subject.quit();
    }
}

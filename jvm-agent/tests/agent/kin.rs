//! Rules about subclasses and annotations.

use plumb_agent::client::{JvmSession, attach};
use plumb_trace::record::JvmKind;

use super::jvm::{Subject, jdks, wait_until};
use super::recorder::Recorder;
use super::{TIMEOUT, options};

const RULES: &str = r#"
[[method]]
match = "+Shape.area"
[[method]]
match = "@Marked.*"
"#;

fn attached(subject: &Subject) -> (JvmSession, Recorder) {
    let mut session = attach(subject.pid(), &options(RULES)).expect("attaches");
    session.wait_until_armed(TIMEOUT).expect("is armed");
    let recorder = Recorder::new(session.arena().expect("a descriptor"));
    (session, recorder)
}

#[test]
fn classes_that_are_there() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        subject.order("kin 1");
        let (session, mut recorder) = attached(&subject);
        subject.order("kin 30");
        let stopped = session.stop(TIMEOUT).expect("stops");
        recorder.drain(false);
        assert_eq!(stopped.failed, 0);
        for method in ["Square.area", "Base.edges"] {
            assert_eq!(
                recorder.count(JvmKind::Enter, method),
                30,
                "{method} on JDK {}",
                jdk.name
            );
        }
        subject.quit();
    }
}

#[test]
fn classes_that_are_loaded_before_their_bases() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (_session, mut recorder) = attached(&subject);
        subject.order("kin 5");
        recorder.drain(false);
        // An annotation stands in the class file itself.
        assert_eq!(recorder.count(JvmKind::Enter, "Base.edges"), 5, "JDK {}", jdk.name);
        wait_until(
            "calls of an implementer that was loaded before what it implements",
            || {
                subject.order("kin 5");
                recorder.drain(false);
                recorder.count(JvmKind::Enter, "Square.area") > 0
            },
        );
        subject.quit();
    }
}

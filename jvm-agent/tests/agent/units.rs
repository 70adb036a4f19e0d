//! Units with keys: what the records say a unit is about. What becomes of handed-over tasks is the merger's business, and tests/e2e/units.rs holds it to a program's own books.

use std::collections::BTreeMap;

use plumb_agent::client::attach;
use plumb_trace::definition::Definition;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::jvm::{Subject, jdks};
use super::recorder::Recorder;
use super::{TIMEOUT, options};

const RULES: &str = r#"
[[method]]
match = "Keyed.text"
unit = "text"
key = 1

[[method]]
match = "Keyed.number"
unit = "number"
key = 3

[[method]]
match = "Keyed.neither"
unit = "neither"
key = 2
"#;

/// Keys that the agent tells apart.
const KEYS_MAX: u64 = 16_384;

/// Units by their method and key; `other` for those beyond what is told apart.
fn units(recorder: &Recorder) -> BTreeMap<(String, String), u64> {
    let (mut methods, mut keys) = (BTreeMap::new(), BTreeMap::new());
    for dated in &recorder.definitions {
        match &dated.definition {
            Definition::Method { id, name, .. } => drop(methods.insert(*id, name.clone())),
            Definition::UnitKey { id, key } => assert_eq!(keys.insert(*id, key.clone()), None, "told once"),
            _ => {}
        }
    }
    let mut units = BTreeMap::new();
    for record in recorder.of_kind(JvmKind::Enter) {
        let key = match record.detail() {
            0 => "none",
            JvmRecord::KEY_OTHER => "other",
            number => keys[&number].as_str(),
        };
        *units
            .entry((methods[&record.value()].clone(), key.to_owned()))
            .or_default() += 1;
    }
    units
}

#[test]
fn keys_are_those_of_the_arguments() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &["-Xcheck:jni"]);
        // Keys of an earlier session are forgotten, and told again.
        for _ in 0..2 {
            let mut session = attach(subject.pid(), &options(RULES)).expect("attaches");
            session.wait_until_armed(TIMEOUT).expect("is armed");
            let mut recorder = Recorder::new(session.arena().expect("a descriptor"));
            subject.order("keys 100");
            session.stop(TIMEOUT).expect("stops");
            recorder.drain(false);
            let cut = format!("/{}…", "x".repeat(127));
            let expected = [
                ("text", "/shop/é𝄞", 400),
                ("text", cut.as_str(), 400),
                ("text", "none", 400),
                ("text", "", 400),
                ("number", "-1", 400),
                ("number", "4611686018427387904", 400),
                ("neither", "none", 400),
            ];
            let expected = expected.map(|(method, key, count)| ((method.to_owned(), key.to_owned()), count));
            assert_eq!(units(&recorder), BTreeMap::from(expected), "JDK {}", jdk.name);
            let told = |dated: &&plumb_trace::definition::Dated| matches!(&dated.definition, Definition::LeftAlone { method, .. } if method.starts_with("neither"));
            assert_eq!(recorder.definitions.iter().filter(told).count(), 1);
        }
        subject.quit();
    }
}

#[test]
fn of_too_many_keys_those_that_came_first_are_told_apart() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let mut session = attach(subject.pid(), &options(RULES)).expect("attaches");
        session.wait_until_armed(TIMEOUT).expect("is armed");
        let mut recorder = Recorder::new(session.arena().expect("a descriptor"));
        subject.order("manykeys 20000");
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(false);
        let units = units(&recorder);
        let other = units.get(&("number".to_owned(), "other".to_owned())).copied();
        assert_eq!(other, Some(2 * (20_000 - KEYS_MAX)), "JDK {}", jdk.name);
        assert_eq!(units.len() as u64, KEYS_MAX + 1);
        assert!(units.iter().all(|((_, key), count)| key == "other" || *count == 2));
        subject.quit();
    }
}

//! What is counted by place, where the rules ask for it: exceptions, allocations.

use plumb_agent::client::attach;

use super::jvm::{Subject, jdks};
use super::recorder::Recorder;
use super::{TIMEOUT, options};

/// What the subject made while it was recorded with this setting alone.
fn recorded(subject: &mut Subject, setting: &str, orders: &[&str]) -> Recorder {
    let rules = format!("[jvm]\n{setting} = true\n");
    let mut session = attach(subject.pid(), &options(&rules)).expect("attaches");
    session.wait_until_armed(TIMEOUT).expect("is armed");
    let mut recorder = Recorder::new(session.arena().expect("a descriptor"));
    for order in orders {
        subject.order(order);
    }
    session.stop(TIMEOUT).expect("stops");
    for order in orders {
        subject.order(order);
    }
    recorder.drain(false);
    recorder
}

#[test]
fn exceptions_are_counted_by_class_and_place() {
    for jdk in jdks() {
        // Some are made by interpreted code and some by compiled: the counts are the same. The first JVM also watches what is done with its JNI.
        for arguments in [&["-Xcheck:jni"][..], &[]] {
            let mut subject = Subject::start(&jdk, arguments);
            let recorder = recorded(&mut subject, "exceptions", &["throw 3000", "throw 1000"]);
            let counted = recorder.counted();
            let of = |class: &str, method: &str| counted.get(&("exceptions", class, method)).copied();
            assert_eq!(of("Counted$Failure", "Counted.fail"), Some(4000), "{counted:?}");
            assert_eq!(
                of("java.lang.Exception", "Counted$Built.<init>"),
                Some(4000),
                "{counted:?}"
            );
            assert_eq!(
                of("java.lang.NullPointerException", "Counted.exceptions"),
                Some(4000),
                "{counted:?}"
            );
            let parsed = counted
                .iter()
                .find(|((_, class, _), _)| *class == "java.lang.NumberFormatException");
            let ((_, _, method), count) = parsed.expect("exceptions of the JDK");
            assert!(
                method.starts_with("java.lang.") && method.ends_with("<Counted.parse"),
                "{method}"
            );
            assert_eq!(*count, 4000);
            assert!(counted.keys().all(|(_, class, _)| *class != "Counted$Traceless"));
            assert_eq!(recorder.lost(), 0);
            subject.quit();
        }
    }
}

#[test]
fn exceptions_where_the_stack_is_nearly_full_harm_nobody() {
    for jdk in jdks() {
        for arguments in [&[][..], &["-Xint"]] {
            let mut subject = Subject::start(&jdk, arguments);
            let recorder = recorded(&mut subject, "exceptions", &["overflow 50"]);
            let counted = recorder.counted();
            let made = counted.get(&("exceptions", "java.lang.Exception", "Counted.dive"));
            assert!(made.is_some_and(|made| *made >= 50), "JDK {}: {counted:?}", jdk.name);
            subject.quit();
        }
    }
}

#[test]
fn allocations_are_estimated_by_class_and_place() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        for _ in 0..2 {
            let recorder = recorded(&mut subject, "allocations", &["allocate 512"]);
            let counted = recorder.counted();
            let bytes = counted.get(&("allocations", "byte[]", "Counted.allocate")).copied();
            let mebibytes = bytes.unwrap_or(0) >> 20;
            // A thousand samples in the mean: four standard deviations are an eighth.
            assert!((448..=576).contains(&mebibytes), "JDK {}: {counted:?}", jdk.name);
        }
        subject.quit();
    }
}

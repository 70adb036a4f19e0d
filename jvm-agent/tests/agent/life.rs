//! Attach, record, detach, attach again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use plumb_agent::client::attach;
use plumb_trace::arena;
use plumb_trace::definition::Definition;
use plumb_trace::record::JvmKind;

use super::jvm::{Subject, jdks, wait_until};
use super::{RULES, TIMEOUT, attached, options};

/// `work` was done `count` times in each of its four threads: every call has its enter, and its exit or its thrown.
fn check_work(recorder: &super::Recorder, count: usize) {
    let (calls, thrown) = (4 * count, 4 * (count / 3));
    for method in ["Probed.outer", "Probed.step"] {
        assert_eq!(recorder.count(JvmKind::Enter, method), calls, "{method}");
        assert_eq!(recorder.count(JvmKind::Thrown, method), thrown, "{method}");
        assert_eq!(recorder.count(JvmKind::Exit, method), calls - thrown, "{method}");
    }
    assert_eq!(recorder.lost(), 0);
}

#[test]
fn every_call_is_recorded_between_attach_and_detach_and_none_else() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        subject.order("work 1000");
        for count in [30_000, 999] {
            let (session, mut recorder) = attached(&subject);
            subject.order(&format!("work {count}"));
            let stopped = session.stop(TIMEOUT).expect("stops");
            assert!(stopped.restored >= 1 && stopped.failed == 0, "{stopped:?}");
            subject.order("work 500");
            recorder.drain(false);
            check_work(&recorder, count);
            assert_eq!(recorder.slots_in(arena::SLOT_OWNED), 0, "JDK {}", jdk.name);
        }
        subject.quit();
    }
}

/// The other agent, `examples/bytecodes.rs`. `cargo test` builds it only when it runs all tests; else it is built in a directory of its own,
/// because a build beside this test would replace the very library that other tests are loading.
fn bytecodes_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let executable = std::env::current_exe().expect("this test");
        let profile = executable.ancestors().nth(2).expect("the build's directory");
        let built = profile.join("examples/libbytecodes.so");
        if built.exists() {
            return built;
        }
        let target = profile.join("bytecodes");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "plumb-agent", "--example", "bytecodes"]);
        let cargo = cargo.arg("--target-dir").arg(&target);
        let status = cargo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success());
        target.join("debug/examples/libbytecodes.so")
    })
}

/// The bytecode that runs now, as another agent sees it.
fn bytecodes(subject: &Subject) -> String {
    seen(subject).0
}

/// The bytecode that runs now, and the sizes of constant pools with the number of classes, as another agent sees them.
fn seen(subject: &Subject) -> (String, String) {
    seen_of(
        subject,
        "Probed,Subject,java/lang/Thread,java/util/concurrent/locks/LockSupport",
    )
}

fn seen_of(subject: &Subject, classes: &str) -> (String, String) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let options = format!("{},{classes}", file.path().display());
    let pid = subject.pid().to_string();
    let mut jcmd = Command::new("jcmd");
    jcmd.args([&pid, "JVMTI.agent_load"])
        .arg(bytecodes_library())
        .arg(options);
    let output = jcmd.output().expect("jcmd runs");
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(file.path()).expect("bytecodes");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let (code, sizes): (Vec<&str>, Vec<&str>) = lines.into_iter().partition(|line| line.starts_with('L'));
    (code.join("\n"), sizes.join("\n"))
}

#[test]
fn twenty_times_in_and_out_leave_no_trace() {
    const ROUNDS: usize = 20;
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        for command in ["work 3", "park 1", "rename 1"] {
            subject.order(command);
        }
        let before = bytecodes(&subject);
        let mut sizes = None;
        for round in 1..=ROUNDS {
            let (session, mut recorder) = attached(&subject);
            subject.order("work 30");
            let stopped = session.stop(TIMEOUT).expect("stops");
            assert!(stopped.restored >= 1 && stopped.failed == 0, "{stopped:?}");
            recorder.drain(false);
            check_work(&recorder, 30);
            // The first round brings the probes' class, and constant pools their entries; what comes after finds them.
            if round == 2 || round == ROUNDS {
                let (code, now) = seen(&subject);
                assert_eq!(code, before, "JDK {} after {round} rounds", jdk.name);
                assert!(now.contains("pool LProbed;") && now.contains("classes "), "{now}");
                assert_eq!(
                    *sizes.get_or_insert(now.clone()),
                    now,
                    "JDK {} after {round} rounds",
                    jdk.name
                );
            }
        }
        subject.quit();
    }
}

#[test]
fn detach_gives_the_jvm_its_own_bytecode_back() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        subject.order("work 3");
        subject.order("park 1");
        let before = bytecodes(&subject);
        assert!(before.contains("LProbed; step(I)J") && before.contains("Ljava/lang/Thread; setName"));
        for _ in 0..3 {
            let (session, _recorder) = attached(&subject);
            assert_ne!(bytecodes(&subject), before);
            session.stop(TIMEOUT).expect("stops");
            assert_eq!(bytecodes(&subject), before, "JDK {}", jdk.name);
        }
    }
}

/// Its file has gone through the hook, and its base is being looked for: nobody can see it when the session ends. Another of its name, which may have been there before the session, is not taken for it.
#[test]
fn a_class_that_comes_to_be_after_the_end_gets_its_own_bytecode_too() {
    for (jdk, is_first_older) in jdks().into_iter().flat_map(|jdk| [(jdk.clone(), false), (jdk, true)]) {
        let mut subject = Subject::start(&jdk, &[]);
        if is_first_older {
            subject.order("twins 0");
        }
        let rules = options("[[method]]\nmatch = \"Twins$Twin.once\"\n");
        let mut session = attach(subject.pid(), &rules).expect("attaches");
        session.wait_until_armed(TIMEOUT).expect("is armed");
        subject.order("twins 1");
        let stopped = session.stop(TIMEOUT).expect("stops");
        assert_eq!((stopped.restored, stopped.failed), (1, 0), "the first twin alone");
        subject.order("twins 2");
        wait_until(&format!("both twins as they were on JDK {}", jdk.name), || {
            let (code, _) = seen_of(&subject, "Twins$Twin");
            let mut twins = code.lines().filter(|line| line.contains(" once("));
            let (first, second) = (twins.next(), twins.next());
            assert!(second.is_some() && twins.next().is_none(), "{code}");
            first == second
        });
        // Meanwhile, and after, somebody may attach.
        let (session, _recorder) = attached(&subject);
        session.stop(TIMEOUT).expect("stops");
        subject.quit();
    }
}

#[test]
fn classes_that_could_not_be_initialised_keep_nobody() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        subject.order("broken 40");
        let rules = format!("{RULES}[[method]]\nmatch = \"Broken$Fragile.*\"\n");
        for expected in [0, 7] {
            let mut session = attach(subject.pid(), &options(&rules)).expect("attaches");
            let armed = session.wait_until_armed(TIMEOUT).expect("is armed");
            assert_eq!(armed.left_alone, 0, "JDK {}", jdk.name);
            // These get their probes while they are loaded, and fail then.
            subject.order(&format!("broken {expected}"));
            subject.order("work 3");
            let stopped = session.stop(TIMEOUT).expect("stops");
            assert!(
                stopped.restored >= 1 && stopped.failed == 0,
                "JDK {}: {stopped:?}",
                jdk.name
            );
        }
        subject.quit();
    }
}

#[test]
fn a_class_that_the_jvm_does_not_take_is_named_and_keeps_none_of_its_batch() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        // Both are there, and in one batch.
        subject.order("work 3");
        subject.order("unlinkable 1");
        let rules =
            "[[method]]\nmatch = \"Unlinkable$Half.once\"\n[[method]]\nmatch = \"Probed.*\"\ncode_bytes_min = 0\n";
        for _ in 0..2 {
            let mut session = attach(subject.pid(), &options(rules)).expect("attaches");
            let armed = session.wait_until_armed(TIMEOUT).expect("is armed");
            assert_eq!((armed.classes, armed.left_alone), (1, 1), "JDK {}", jdk.name);
            let mut recorder = super::Recorder::new(session.arena().expect("a descriptor"));
            subject.order("work 30");
            session.stop(TIMEOUT).expect("stops");
            recorder.drain(false);
            check_work(&recorder, 30);
            let named = recorder.definitions.iter().find_map(|dated| match &dated.definition {
                Definition::LeftAlone { class, reason, .. } => Some((class.as_str(), reason.as_str())),
                _ => None,
            });
            let (class, reason) = named.expect("it is named");
            assert_eq!(class, "Unlinkable$Half");
            assert!(reason.starts_with("the JVM refused it with probes"), "{reason}");
        }
        subject.quit();
    }
}

/// A library that is loaded stays what the probes call: an agent from elsewhere, as an upgrade brings it, does not come beside it.
#[test]
fn plumb_that_was_upgraded_finds_the_agent_that_is_there() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let installed = tempfile::tempdir().expect("a directory");
        let library = installed.path().join("libplumb_agent.so");
        let ours = options(RULES).agent_library;
        std::fs::copy(&ours, &library).expect("copied");
        for turn in 0..4 {
            let mut options = options(RULES);
            match turn {
                0 => options.agent_library = library.clone(),
                // The file is replaced, then gone, while the JVM has the old one mapped.
                1 => {
                    std::fs::remove_file(&library).expect("removed");
                    std::fs::copy(&ours, &library).expect("copied");
                }
                2 => std::fs::remove_file(&library).expect("removed"),
                _ => {}
            }
            let mut session = attach(subject.pid(), &options).expect("attaches");
            session.wait_until_armed(TIMEOUT).expect("is armed");
            let mut recorder = super::Recorder::new(session.arena().expect("a descriptor"));
            subject.order("work 30");
            let stopped = session.stop(TIMEOUT).expect("stops");
            assert_eq!(stopped.failed, 0);
            recorder.drain(false);
            check_work(&recorder, 30);
        }
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", subject.pid())).expect("its maps");
        let libraries = maps
            .lines()
            .filter(|line| line.contains("libplumb_agent.so") && line.contains(" 00000000 "));
        assert_eq!(libraries.count(), 1, "JDK {}: {maps}", jdk.name);
        subject.quit();
    }
}

#[test]
fn streams_begin_armed_and_go_forward() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (session, mut recorder) = attached(&subject);
        subject.order("work 3000");
        session.stop(TIMEOUT).expect("stops");
        recorder.drain(false);
        assert!(recorder.streams.len() >= 4);
        for (number, stream) in &recorder.streams {
            assert_eq!(
                stream.records().next().and_then(|record| record.kind()),
                Some(JvmKind::Armed),
                "stream {number}"
            );
            assert!(
                stream.records().is_sorted_by_key(|record| record.ticks),
                "stream {number}"
            );
            assert!(stream.tid != 0);
        }
    }
}

#[test]
fn threads_have_names_and_linux_ids() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let (_session, mut recorder) = attached(&subject);
        subject.order("work 10");
        recorder.drain(false);
        let mut old = 0;
        let mut workers = 0;
        for dated in &recorder.definitions {
            let Definition::JavaThread {
                tid,
                name,
                started,
                java_id,
                group,
                daemon,
                priority,
            } = &dated.definition
            else {
                continue;
            };
            assert!(*java_id != 0, "{name}");
            if *started {
                let is_worker = name.starts_with("worker-");
                workers += usize::from(is_worker);
                assert!(
                    !is_worker || (&**group, *daemon, *priority) == ("main", false, 5),
                    "{name}"
                );
                assert!(*tid != 0, "{name}");
            } else if name == "a-thread-with-a-long-name-of-its-own" {
                old += 1;
                let comm =
                    std::fs::read_to_string(format!("/proc/{}/task/{tid}/comm", subject.pid())).expect("its thread");
                assert_eq!(comm.trim_end(), &name[..15]);
                assert_eq!((&**group, *daemon, *priority), ("main", true, 7));
            }
        }
        assert_eq!((old, workers), (1, 4), "JDK {}", jdk.name);
        let is_end =
            |dated: &&plumb_trace::definition::Dated| matches!(dated.definition, Definition::JavaThreadEnd { .. });
        assert!(recorder.definitions.iter().filter(is_end).count() >= 4);
    }
}

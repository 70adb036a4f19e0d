//! Processes that cannot be recorded: a clear cause and remedy, and they go on as before.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use plumb_agent::client::{AttachError, attach};
use plumb_trace::record::JvmKind;

use super::jvm::{Subject, jdks, wait_until};
use super::{RULES, TIMEOUT, attached, options, try_attach};

fn refusal(pid: u32) -> AttachError {
    let error = attach(pid, &options(RULES)).map(drop).expect_err("a refusal");
    assert!(!error.to_string().contains('\n') && !error.remedy().is_empty());
    error
}

struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_no_jvm_is_not_touched() {
    let mut other = Other(Command::new("sleep").arg("1000").spawn().expect("sleep runs"));
    assert!(matches!(refusal(other.0.id()), AttachError::NoJvm(_)));
    assert!(other.0.try_wait().expect("its state").is_none());
    assert!(matches!(refusal(u32::MAX >> 3), AttachError::NoSuchProcess(_)));
}

#[test]
fn jvms_that_forbid_it_say_so() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &["-XX:-EnableDynamicAgentLoading"]);
        let error = refusal(subject.pid());
        assert!(
            matches!(error, AttachError::AgentsDisabled(_)),
            "JDK {}: {error}",
            jdk.name
        );
        subject.order("work 3");
        subject.quit();
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// Whether its first thread is stopped (`T`): it may take a moment until a signal has done its work.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

#[test]
fn a_jvm_that_is_stopped_is_not_asked() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let pid = subject.pid();
        signal(pid, "-STOP");
        wait_until("it is stopped", || is_stopped(pid));
        let error = refusal(pid);
        signal(pid, "-CONT");
        assert!(matches!(error, AttachError::Stopped(_)), "JDK {}: {error}", jdk.name);
        subject.order("work 3");
        assert!(!subject.has_said("Full thread dump"), "nobody asked for it");
        subject.quit();
    }
}

/// Arguments and variables.
type Way<'w> = (&'w [&'w str], &'w [(&'w str, &'w str)]);

#[test]
fn a_jvm_that_forbids_attaching_says_so_wherever_its_options_stand() {
    const OPTION: &str = "-XX:+DisableAttachMechanism";
    const OFF: &str = "-XX:-DisableAttachMechanism";
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("options are written");
        path.display().to_string()
    };
    let arguments = format!("@{}", file("arguments", &format!("-Dan=argument\n{OPTION}\n")));
    let options = format!("-XX:VMOptionsFile={}", file("options", OPTION));
    let flags = format!("-XX:Flags={}", file("flags", "+DisableAttachMechanism\n"));
    // More than the JVM tells of its options.
    let long = format!("-Dlong={}", "x".repeat(2000));
    let ways: [Way<'_>; 8] = [
        (&[OPTION], &[]),
        (&[&arguments], &[]),
        (&[&options], &[]),
        (&[&flags], &[]),
        (&[], &[("JDK_JAVA_OPTIONS", OPTION)]),
        (&[], &[("JDK_JAVA_OPTIONS", &arguments)]),
        (&[], &[("JAVA_TOOL_OPTIONS", OPTION)]),
        (&[&long, OPTION, "-XX:-UsePerfData"], &[]),
    ];
    for jdk in jdks() {
        for (arguments, variables) in ways {
            let mut subject = Subject::start_with(&jdk, arguments, variables);
            let error = refusal(subject.pid());
            let what = format!("{arguments:?} {variables:?} on JDK {}", jdk.name);
            assert!(matches!(error, AttachError::AttachDisabled(_)), "{what}: {error}");
            subject.order("work 3");
            // Asked by a signal it would have written all its threads.
            assert!(!subject.has_said("Full thread dump"), "{what}");
        }
        let subject = Subject::start(&jdk, &[&arguments, OFF]);
        try_attach(&subject)
            .expect("the last word counts")
            .stop(TIMEOUT)
            .expect("stops");
    }
}

#[test]
fn a_jvm_that_a_sigquit_would_kill_gets_none() {
    for jdk in jdks() {
        // With -Xrs nobody catches the signal; the JVM has its socket open from the start instead.
        let mut subject = Subject::start(&jdk, &["-Xrs"]);
        let (session, _recorder) = attached(&subject);
        session.stop(TIMEOUT).expect("stops");
        std::fs::remove_file(format!("/tmp/.java_pid{}", subject.pid())).expect("the socket was there");
        assert!(matches!(refusal(subject.pid()), AttachError::NoSigquit(_)));
        subject.order("work 3");
        subject.quit();
    }
}

#[test]
fn a_rule_file_of_another_version_is_refused_by_the_agent() {
    for jdk in jdks() {
        let mut subject = Subject::start(&jdk, &[]);
        let mut broken = options(RULES);
        broken.config.matcher.truncate(7);
        let mut session = attach(subject.pid(), &broken);
        if let Ok(session) = &mut session {
            assert!(matches!(
                session.wait_until_armed(TIMEOUT),
                Err(AttachError::Refused { .. })
            ));
        }
        assert!(
            !matches!(&session, Err(error) if !matches!(error, AttachError::Refused { .. })),
            "{session:?}"
        );
        drop(session);
        subject.order("work 3");
        super::jvm::wait_until("the agent is free again", || match try_attach(&subject) {
            Ok(session) => session.stop(TIMEOUT).is_ok(),
            Err(error) => {
                assert!(matches!(error, AttachError::Refused { .. }), "{error}");
                false
            }
        });
    }
}

#[test]
fn root_records_another_users_jvm_that_cannot_read_our_files() {
    const NOBODY: u32 = 65534;
    if !is_root() {
        eprintln!("not tested: a JVM of another user (needs root)");
        return;
    }
    for jdk in jdks() {
        let mut version = Command::new(jdk.program("java"));
        if version.arg("-version").uid(NOBODY).current_dir("/").output().is_err() {
            // Where a JDK lies in root's own directory.
            eprintln!(
                "not tested with JDK {}: a JVM of another user, who may not run it",
                jdk.name
            );
            continue;
        }
        let directory = open_classes();
        let mut subject = Subject::start_as(&jdk, &[], Some(NOBODY), directory.path());
        for _ in 0..2 {
            let (session, mut recorder) = attached(&subject);
            subject.order("work 30");
            session.stop(TIMEOUT).expect("stops");
            recorder.drain(false);
            assert_eq!(recorder.count(JvmKind::Enter, "Probed.outer"), 120);
        }
        let left: Vec<_> = std::fs::read_dir("/tmp")
            .expect("/tmp")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert!(
            !left
                .iter()
                .any(|name| name.to_string_lossy() == format!(".attach_pid{}", subject.pid())),
            "{left:?}"
        );
    }
}

/// The classes where anybody can read them.
fn open_classes() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::Builder::new()
        .prefix("plumb-classes-")
        .tempdir_in("/tmp")
        .expect("a directory");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("opens");
    for class in std::fs::read_dir(super::jvm::classes()).expect("classes").flatten() {
        std::fs::copy(class.path(), directory.path().join(class.file_name())).expect("copies");
    }
    directory
}

fn is_root() -> bool {
    // SAFETY: reads our own credentials.
    unsafe { libc::geteuid() == 0 }
}

//! A JVM that another program has made within itself, and that program's own threads, which come and go in it.

use std::io::BufRead;
use std::path::Path;
use std::process::Command;
use std::{env, fs, thread};

use jni::objects::{JObject, JString, JValue};
use jni::strings::JNIString;
use jni::{AttachConfig, Env, InitArgsBuilder, JavaVM, jni_sig, jni_str};
use plumb_agent::client::AttachError;
use plumb_trace::definition::Definition;
use plumb_trace::record::JvmKind;

use super::jvm::{Jdk, Subject, classes, jdks, wait_until};
use super::recorder::Recorder;
use super::{TIMEOUT, attached};

/// Home of the JVM that [`program`] embeds; without it, that is a test with nothing to do.
const HOME: &str = "PLUMB_TEST_EMBED";
/// The program's threads.
const THREADS: usize = 3;

/// This test's own executable as a program that embeds a JVM: it obeys as `Subject.java` does, which it calls for all that it does not do itself.
fn start(jdk: &Jdk) -> Subject {
    let mut command = Command::new(env::current_exe().expect("this test"));
    command.args(["--exact", "embedded::program", "--nocapture"]);
    let home = &jdk.home;
    Subject::run(command.env(HOME, home))
}

#[test]
fn program() {
    let Some(home) = env::var_os(HOME) else { return };
    let class_path = format!("-Djava.class.path={}", classes().display());
    let arguments = InitArgsBuilder::new()
        .option(class_path)
        .option("-Xmx128m")
        .option("-Xcheck:jni");
    let library = Path::new(&home).join("lib/server/libjvm.so");
    let vm = JavaVM::with_libjvm(arguments.build().expect("good options"), || Ok(library)).expect("a JVM");
    println!("ready");
    let mut goes_on = false;
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (command, count) = line.split_once(' ').unwrap_or((&line, "0"));
        let count: i32 = count.parse().expect("a number");
        match command {
            "quit" => break,
            "end" => {
                goes_on = true;
                break;
            }
            "native" => native(&vm, count),
            command => vm
                .attach_current_thread(|env| obey(env, command, count))
                .expect("obeys"),
        }
        println!("done");
    }
    // SAFETY: no other thread of ours is in it.
    unsafe { vm.destroy() }.expect("the JVM ends");
    wait_until("the agent's thread leaves native code", || !is_agent_in_native_code());
    if goes_on {
        println!("done");
        std::io::stdin().lock().lines().next();
    }
}

/// Whether the JVM, which has ended, had to wait for the agent's thread, as it does for threads in native code. One that wants to go from there into a JVM that has ended waits there for good, in a futex.
fn is_agent_in_native_code() -> bool {
    let read = |task: &Path, file: &str| fs::read_to_string(task.join(file)).unwrap_or_default();
    let futex = format!("{} ", libc::SYS_futex);
    let mut tasks = fs::read_dir("/proc/self/task")
        .expect("own threads")
        .flatten()
        .map(|task| task.path());
    tasks.any(|task| read(&task, "comm").trim_end() == "plumb-agent" && !read(&task, "syscall").starts_with(&futex))
}

fn obey(env: &mut Env<'_>, command: &str, count: i32) -> jni::errors::Result<()> {
    let command: JObject<'_> = JString::from_str(env, command)?.into();
    let arguments = [JValue::from(&command), JValue::from(count)];
    let signature = jni_sig!("(Ljava/lang/String;I)Ljava/lang/String;");
    env.call_static_method(jni_str!("Subject"), jni_str!("obey"), signature, &arguments)?;
    Ok(())
}

/// Threads that are the JVM's for a while; each calls `outer` so often, of which every third call throws into the native code.
fn native(vm: &JavaVM, count: i32) {
    let body = |number: usize| {
        let name = JNIString::from(format!("native-{number}"));
        let config = || AttachConfig::new().scoped(true).thread_name(&name);
        let calls = vm.attach_current_thread_with_config(config, Some(16), |env| {
            for i in 0..count {
                let called =
                    env.call_static_method(jni_str!("Probed"), jni_str!("outer"), jni_sig!("(I)J"), &[i.into()]);
                assert_eq!(called.is_err(), i % 3 == 2);
                env.exception_clear();
            }
            Ok::<_, jni::errors::Error>(())
        });
        calls.expect("calls");
    };
    thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn(move || body(number));
        }
    });
}

/// Starts and ends of the program's threads that the JVM told of.
fn lives(recorder: &Recorder) -> (usize, usize) {
    let mut tids = Vec::new();
    for dated in &recorder.definitions {
        if let Definition::JavaThread {
            tid,
            name,
            started: true,
            ..
        } = &dated.definition
            && name.starts_with("native-")
        {
            assert_ne!(*tid, 0, "{name}");
            tids.push(*tid);
        }
    }
    let is_end =
        |definition: &Definition| matches!(definition, Definition::JavaThreadEnd { tid } if tids.contains(tid));
    let ends = recorder.definitions.iter().filter(|dated| is_end(&dated.definition));
    (tids.len(), ends.count())
}

#[test]
fn an_embedded_jvm_and_the_threads_that_its_program_lends_it() {
    for jdk in jdks() {
        let mut program = start(&jdk);
        program.order("native 3");
        for _ in 0..2 {
            let (session, mut recorder) = attached(&program);
            program.order("native 300");
            program.order("work 30");
            let stopped = session.stop(TIMEOUT).expect("stops");
            assert!(stopped.restored >= 1 && stopped.failed == 0, "{stopped:?}");
            program.order("native 3");
            recorder.drain(false);
            let (calls, thrown) = (THREADS * 300 + 4 * 30, THREADS * 100 + 4 * 10);
            for method in ["Probed.outer", "Probed.step"] {
                let count = |kind| recorder.count(kind, method);
                assert_eq!(count(JvmKind::Enter), calls, "{method} on JDK {}", jdk.name);
                assert_eq!(count(JvmKind::Thrown), thrown, "{method} on JDK {}", jdk.name);
                assert_eq!(count(JvmKind::Exit), calls - thrown, "{method} on JDK {}", jdk.name);
            }
            assert_eq!(recorder.lost(), 0);
            assert_eq!(lives(&recorder), (THREADS, THREADS), "JDK {}", jdk.name);
        }
        program.quit();
    }
}

#[test]
fn an_embedded_jvm_that_its_program_ends_while_it_is_recorded() {
    for jdk in jdks() {
        let mut program = start(&jdk);
        let (session, mut recorder) = attached(&program);
        program.order("native 30");
        program.quit();
        recorder.drain(false);
        assert_eq!(
            recorder.count(JvmKind::Enter, "Probed.outer"),
            THREADS * 30,
            "JDK {}",
            jdk.name
        );
        assert!(!session.is_alive());
    }
}

#[test]
fn a_program_that_goes_on_without_its_jvm_keeps_no_recorder_waiting() {
    for jdk in jdks() {
        let mut program = start(&jdk);
        let (session, _recorder) = attached(&program);
        program.order("native 3");
        program.order("end");
        assert!(session.is_alive(), "its threads might still record");
        let error = session.stop(TIMEOUT).expect_err("nobody listens");
        assert!(matches!(error, AttachError::Ended(_)), "JDK {}: {error}", jdk.name);
        program.quit();
    }
}

//! What is put into /tmp: readable for whom it is meant, and gone when nobody needs it any more.

use crate::support::{Running, jdks, machine, plumb, say, scratch, succeed, told, wait_for};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Nobody: a user without rights.
const NOBODY: &str = "65534";

/// Makes it look as if it had been left behind a while ago, but not before the machine began to run: a process whose environment not even root may read is excused by its age alone.
fn grow_old(directory: &Path) {
    succeed(Command::new("touch").args(["-d", "30 seconds ago"]).arg(directory));
}

/// `plumb record --no-kernel -f jvm -o DIR/NAME -- sh -c SCRIPT`
fn record_script(program: Command, dir: &Path, name: &str, script: &str) -> Command {
    let mut command = program;
    command
        .args(["record", "--no-kernel", "-f", "jvm", "-o"])
        .arg(dir.join(name))
        .args(["--", "sh", "-c", script]);
    command
}

/// The directory of the library or the socket, as a path in what JVMs are told.
fn place_in(options: &str) -> PathBuf {
    let (_, socket) = options.split_once("socket=").expect("the socket is named");
    Path::new(socket.trim_matches('"'))
        .parent()
        .expect("in a directory")
        .to_owned()
}

/// plumb and its library where only root can read them; the directory.
fn private_copy(dir: &Path) -> PathBuf {
    let private = dir.join("private");
    fs::create_dir(&private).expect("a new directory");
    for name in ["plumb", "libplumb_agent.so"] {
        let source = Path::new(env!("CARGO_BIN_EXE_plumb")).with_file_name(name);
        fs::copy(source, private.join(name)).expect("copied");
    }
    succeed(Command::new("chmod").args(["700"]).arg(&private));
    private
}

/// The library in what JVMs are told.
fn library_in(options: &str) -> PathBuf {
    let (_, rest) = options.split_once("-agentpath:").expect("the library is named");
    let (library, _) = rest.split_once('=').expect("with its options");
    library.into()
}

#[test]
fn a_later_plumb_removes_what_a_killed_one_has_left() {
    let _machine = machine();
    let dir = scratch();
    let script = "echo \"$JAVA_TOOL_OPTIONS\"; exec cat";
    let mut killed = Running::start(&mut record_script(plumb(), dir.path(), "killed", script));
    let left = place_in(&killed.line_with("socket="));
    let mut living = Running::start(&mut record_script(plumb(), dir.path(), "living", script));
    let in_use = place_in(&living.line_with("socket="));
    killed.signal("KILL");
    drop(killed);
    for place in [&left, &in_use] {
        grow_old(place);
    }
    succeed(&mut record_script(plumb(), dir.path(), "next", "true"));
    assert!(!left.exists(), "its recorder is dead");
    assert!(in_use.exists(), "its recorder lives");
    living.end();
    assert!(!in_use.exists());
}

#[test]
fn another_users_jvm_starts_although_only_root_can_read_the_library() {
    let _machine = machine();
    let Some((_, home)) = jdks().into_iter().next() else {
        return;
    };
    let dir = scratch();
    let as_nobody = format!(
        "setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {}/bin/java",
        home.display()
    );
    let can = Command::new("sh")
        .args(["-c", &format!("{as_nobody} -version")])
        .output();
    if !can.is_ok_and(|output| output.status.success()) {
        say(
            "cannot run another user's JVM on this machine: only root may run the JDK, or root may not become somebody else",
        );
        return;
    }
    let private = private_copy(dir.path());
    // A second process goes on when the command has ended: it may start a JVM yet.
    let script =
        format!("echo \"$JAVA_TOOL_OPTIONS\"; {as_nobody} -version && read go && {as_nobody} -version && echo both");
    let mut recorder = Running::start(&mut record_script(
        Command::new(private.join("plumb")),
        dir.path(),
        "r",
        &script,
    ));
    let options = recorder.line_with("-agentpath:");
    let library = library_in(&options);
    assert!(
        library.starts_with("/tmp") && !library.starts_with(&private),
        "{}",
        library.display()
    );
    recorder.line_with("Runtime Environment");
    use std::io::Write as _;
    writeln!(recorder.stdin()).expect("it waits");
    let (status, said) = recorder.end();
    assert!(status.success() && said.contains("both"), "{said}");
    // A recorder that has given its rights up cannot look into every process, and leaves what it has doubts about to a later one.
    if library.exists() {
        let place = library.parent().expect("in a directory");
        grow_old(place);
        succeed(&mut record_script(plumb(), dir.path(), "next", "true"));
    }
    assert!(!library.exists(), "nobody needs the copy any more");
}

#[test]
fn a_copy_of_the_library_stays_while_a_jvm_may_need_it() {
    let _machine = machine();
    let dir = scratch();
    let private = private_copy(dir.path());
    let mut recorder = Running::start(&mut record_script(
        Command::new(private.join("plumb")),
        dir.path(),
        "r",
        "echo \"$JAVA_TOOL_OPTIONS\"; cat",
    ));
    let options = recorder.line_with("-agentpath:");
    let library = library_in(&options);
    recorder.said("recording");
    recorder.signal("INT");
    recorder.line_with("goes on without plumb");
    wait_for("the recorder to end", || (!recorder.is_alive()).then_some(()));
    assert!(library.exists(), "what the command may start needs it");
    drop(recorder);
    grow_old(library.parent().expect("in a directory"));
    wait_for("a later plumb to remove it", || {
        let again = scratch();
        let output = record_script(plumb(), again.path(), "next", "true")
            .output()
            .expect("plumb runs");
        assert!(output.status.success(), "{}", told(&output));
        (!library.exists()).then_some(())
    });
}

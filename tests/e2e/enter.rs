//! JVMs that are not simply ours: of another user, or in a container.

use crate::calls;
use crate::support::{
    Running, allows, checkout, java_classes, jdks, last_json, machine, open, plumb, say, succeed, wait_for,
};
use std::{
    fs,
    fs::Permissions,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

/// Nobody: a user without rights.
const AS_NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// A directory that everybody may enter, outside of /tmp, with the compiled programs in it.
fn open_scratch() -> TempDir {
    let dir = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("ours");
    let classes = dir.path().join("classes");
    fs::create_dir(&classes).expect("new");
    for class in fs::read_dir(java_classes()).expect("the classes").flatten() {
        fs::copy(class.path(), classes.join(class.file_name())).expect("copied");
    }
    dir
}

/// `java -cp DIR/classes Calls ARGUMENTS`, behind other words.
fn calls_behind(words: &[&str], home: &Path, dir: &Path) -> Vec<String> {
    let java = home.join("bin/java").display().to_string();
    let classes = dir.join("classes").display().to_string();
    let words = words.iter().map(|word| (*word).to_owned());
    words
        .chain([java, "-cp".to_owned(), classes, "Calls".to_owned()])
        .collect()
}

/// Whether this works here; says so where it does not.
fn works(words: &[&str], what: &str) -> bool {
    let output: Option<Output> = Command::new(words[0]).args(&words[1..]).output().ok();
    let works = output.is_some_and(|output| output.status.success());
    if !works {
        say(&format!("cannot run {what} on this machine"));
    }
    works
}

#[test]
fn another_users_jvm_that_the_command_starts_is_recorded() {
    let _machine = machine();
    for (version, home) in jdks() {
        let dir = open_scratch();
        let mut words = calls_behind(&AS_NOBODY, &home, dir.path());
        let mut version_only: Vec<&str> = words[..7].iter().map(String::as_str).collect();
        version_only.push("-version");
        if !works(
            &version_only,
            "another user's JVM (root's rights, a JDK that all may run)",
        ) {
            continue;
        }
        let recording = dir.path().join("r");
        let mut command = plumb();
        // What the variable held before stays.
        command.env("JAVA_TOOL_OPTIONS", "-Dplumb.test=kept");
        command
            .args(["record", "--no-kernel", "-f"])
            .arg(checkout("examples/calls/rules.toml"));
        command.arg("-o").arg(&recording).arg("--").args(words.drain(..));
        let output = command.output().expect("plumb runs");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        assert!(output.status.success() && said.contains("-Dplumb.test=kept"), "{said}");
        calls::check(version, &open(&dir.path().join("r.plumb")), &last_json(&said));
    }
}

/// A JVM in namespaces of its own, whose /tmp is not ours, is attached to, recorded, left, and attached to again.
fn record_in_container(what: &str, words: &[&str], of_kernel: &[&str]) {
    let mut probe = words.to_vec();
    probe.push("true");
    if !works(&probe, what) {
        return;
    }
    for (version, home) in jdks() {
        let dir = open_scratch();
        let mut words = calls_behind(words, &home, dir.path());
        words.push("wait".to_owned());
        let mut calls = Running::start(Command::new(&words[0]).args(&words[1..]));
        calls.line_with("ready");
        let pid = wait_for("the JVM in its container", || jvm_below(calls.pid()));
        let record = |name: &str| {
            let mut command = plumb();
            command.arg("record").args(of_kernel);
            command.args(["--pid", &pid.to_string(), "-f"]);
            command.arg(checkout("examples/calls/rules.toml"));
            command.arg("-o").arg(dir.path().join(name));
            command
        };
        succeed(record("before").args(["-d", "100ms"]));
        let mut recorder = Running::start(&mut record("r"));
        recorder.line_with("recording");
        writeln!(calls.stdin()).expect("the program reads");
        let counted = last_json(&calls.line_with("{\"calls\""));
        recorder.signal("INT");
        let (status, said) = recorder.end();
        assert!(status.success(), "{said}");
        let tmp = format!("/proc/{pid}/root/tmp");
        let left: Vec<String> = fs::read_dir(&tmp)
            .expect("its /tmp")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(".plumb") || name.starts_with(".attach_pid"))
            .collect();
        assert_eq!(left, Vec::<String>::new(), "left in its /tmp");
        writeln!(calls.stdin()).expect("the program lives on");
        let (status, said) = calls.end();
        assert!(status.success(), "the traced program failed: {said}");
        calls::check(version, &open(&dir.path().join("r.plumb")), &counted);
    }
}

/// The process below this one that has libjvm mapped.
fn jvm_below(pid: u32) -> Option<u32> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    if maps.contains("/libjvm.so") {
        return Some(pid);
    }
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let mut pids = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
    pids.find_map(jvm_below)
}

#[test]
fn a_jvm_in_a_container_is_recorded() {
    if !allows("kernel-events", "a JVM in a container") {
        return;
    }
    let _machine = machine();
    let own_tmp = "mount -t tmpfs none /tmp && exec \"$@\"";
    record_in_container(
        "a JVM in a container (new namespaces, root's rights)",
        &["unshare", "-mpf", "--mount-proc", "sh", "-c", own_tmp, "sh"],
        &["-f", "kernel"],
    );
}

#[test]
fn a_jvm_of_another_user_in_a_container_is_recorded() {
    let _machine = machine();
    let own_tmp = format!(
        "mount -t tmpfs -o mode=1777 none /tmp && exec {} \"$@\"",
        AS_NOBODY.join(" ")
    );
    record_in_container(
        "another user's JVM in a container (new namespaces, root's rights)",
        &["unshare", "-mpf", "--mount-proc", "sh", "-c", &own_tmp, "sh"],
        &["--no-kernel"],
    );
}

#[test]
fn a_jvm_in_a_container_without_root_is_recorded() {
    let _machine = machine();
    let words = [
        &AS_NOBODY[..],
        &[
            "unshare",
            "-Urmpf",
            "--mount-proc",
            "sh",
            "-c",
            "mount -t tmpfs none /tmp && exec \"$@\"",
            "sh",
        ],
    ]
    .concat();
    record_in_container("a JVM in a user namespace of its own", &words, &["--no-kernel"]);
}

//! Wrong and hostile input: a clear error with a remedy, the right exit status, and nothing lost.

use crate::support::{Running, allows, java, jdks, machine, plumb, say, scratch, succeed, told};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Nobody: a user without rights.
const NOBODY: &str = "65534";

/// Runs it and checks that it fails with `status`, says each of `words`, and tells a remedy.
fn check(command: &mut Command, status: i32, words: &[&str]) {
    let output: Output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = told(&output);
    assert_eq!(output.status.code(), Some(status), "{command:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{command:?} does not say {word:?}: {said}");
    }
    assert!(
        status == 2 || said.contains("remedy: "),
        "{command:?} tells no remedy: {said}"
    );
    assert!(!said.contains("panicked"), "{command:?}: {said}");
}

/// `program` as nobody, copied to where nobody may execute it.
fn as_nobody(dir: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_plumb"));
    for name in ["plumb", "libplumb_agent.so"] {
        let source = program.with_file_name(name);
        if source.exists() {
            fs::copy(source, dir.join(name)).expect("copied");
        }
    }
    succeed(Command::new("chmod").args(["-R", "a+rwX"]).arg(dir));
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            NOBODY,
            "--regid",
            NOBODY,
            "--clear-groups",
            "--inh-caps=-all",
        ])
        .arg(dir.join("plumb"))
        .current_dir(dir);
    command
}

#[test]
fn wrong_usage_is_status_2() {
    check(plumb().arg("record"), 2, &["--pid"]);
    check(
        plumb().args(["ledger", "x.plumb", "--from", "5"]),
        2,
        &["number and a unit"],
    );
    check(plumb().args(["record", "--sideways", "--all"]), 2, &["--sideways"]);
    check(plumb().args(["guess", "a", "b"]), 2, &["guess"]);
}

#[test]
fn rule_mistakes_are_told_with_line_and_column_before_anything_is_recorded() {
    let dir = scratch();
    let rules = dir.path().join("rules.toml");
    let text = "[[method]]\nmatch = \"com.shop.Order.place\"\nminimal = \"1us\"\n\n[[rule]]\nname = \"x\"\n";
    fs::write(&rules, text).expect("writable");
    check(
        plumb().args(["rules", "check"]).arg(&rules),
        1,
        &["rules.toml:3:1", "minimal", "rules.toml:5:3", "rule"],
    );
    let out = dir.path().join("out");
    check(
        plumb().args(["record", "--all", "-o"]).arg(&out).arg("-f").arg(&rules),
        1,
        &["rules.toml:3:1"],
    );
    assert!(!out.exists(), "no recording was begun");
}

#[test]
fn a_process_that_is_no_jvm_is_left_alone() {
    let dir = scratch();
    let mut sleeper = Running::start(Command::new("sleep").arg("1000"));
    let pid = sleeper.pid().to_string();
    check(
        plumb()
            .args(["record", "--no-kernel", "--pid", &pid, "-o"])
            .arg(dir.path().join("out")),
        1,
        &[&pid, "JVM"],
    );
    check(plumb().args(["detach", "--pid", &pid]), 1, &[&pid, "JVM"]);
    assert!(sleeper.is_alive(), "the attach signal would have killed it");
    check(
        plumb()
            .args(["record", "--no-kernel", "--pid", "999999999", "-o"])
            .arg(dir.path().join("out")),
        1,
        &["999999999"],
    );
}

#[test]
fn what_may_not_be_looked_at_and_is_no_jvm_is_called_so() {
    let dir = scratch();
    let sleeper = Running::start(Command::new("sleep").arg("1000"));
    let pid = sleeper.pid().to_string();
    check(
        as_nobody(dir.path()).args(["detach", "--pid", &pid]),
        1,
        &["is no JVM", &pid],
    );
}

#[test]
fn a_jvm_of_another_user_is_refused_to_who_has_no_right() {
    let _machine = machine();
    let Some((_, home)) = jdks().into_iter().next() else {
        return;
    };
    let dir = scratch();
    let mut calls = Running::start(&mut java(&home, &["Calls", "wait"]));
    calls.line_with("ready");
    let pid = calls.pid().to_string();
    check(
        as_nobody(dir.path()).args(["record", "--no-kernel", "--pid", &pid, "-o", "out"]),
        1,
        &[&pid, "another user"],
    );
    assert!(calls.is_alive());
}

#[test]
fn an_output_directory_that_exists_is_not_touched() {
    let dir = scratch();
    let out = dir.path().join("out");
    fs::create_dir(&out).expect("a new directory");
    fs::write(out.join("precious"), "data").expect("writable");
    check(
        plumb().args(["record", "--all", "-d", "100ms", "-o"]).arg(&out),
        1,
        &["exists", "out"],
    );
    let left: Vec<_> = fs::read_dir(&out)
        .expect("still there")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["precious"]);
}

#[test]
fn without_root_the_kernel_side_says_what_is_missing() {
    let dir = scratch();
    check(
        as_nobody(dir.path()).args(["record", "--all", "-d", "100ms", "-o", "out"]),
        1,
        &["root"],
    );
}

#[test]
fn without_btf_less_is_recorded_and_it_is_said() {
    if !allows("kernel-events", "without BTF") || !can_mount("without BTF") {
        return;
    }
    let dir = scratch();
    let script = format!(
        "mount -t tmpfs none /sys/kernel/btf && exec {} record --all -d 100ms -o {}",
        env!("CARGO_BIN_EXE_plumb"),
        dir.path().join("out").display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .output()
        .expect("unshare runs");
    let said = told(&output);
    assert!(said.contains("/sys/kernel/btf"), "{said}");
    assert!(output.status.success() || said.contains("remedy: "), "{said}");
}

#[test]
fn a_full_disk_ends_the_recording_and_keeps_what_was_written() {
    if !allows("kernel-events", "full disk") || !can_mount("full disk") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let (mount, program) = (dir.path().display(), env!("CARGO_BIN_EXE_plumb"));
    let pingpong = crate::support::example("pingpong");
    // The timeline goes elsewhere, as an operator would do.
    let script = format!(
        "mount -t tmpfs -o size=1m none {mount} && {program} record --no-jvm --no-merge -f kernel -o {mount}/r -- {} && exit 9; \
         status=$?; mkdir {mount}.merged && {program} merge {mount}/r -o {mount}.merged/t.plumb && {program} ledger {mount}.merged/t.plumb; exit $status",
        pingpong.display()
    );
    check(
        Command::new("unshare").args(["--mount", "sh", "-c", &script]),
        1,
        &["space left", "pingpong"],
    );
    fs::remove_dir_all(format!("{mount}.merged")).expect("the merged timeline was there");
}

#[test]
fn a_disk_that_is_full_when_a_window_is_saved_is_told_and_the_window_merges_elsewhere() {
    if !allows("kernel-events", "full disk") || !can_mount("full disk") {
        return;
    }
    let _machine = machine();
    let dir = scratch();
    let (mount, program) = (dir.path().display(), env!("CARGO_BIN_EXE_plumb"));
    let pingpong = crate::support::example("pingpong");
    let script = format!(
        "mount -t tmpfs -o size=64k none {mount} && {program} record --flight 30s --no-jvm -f kernel -o {mount}/r -- {} && exit 9; \
         status=$?; mkdir {mount}.merged && {program} merge {mount}/r/window-0001 -o {mount}.merged/t.plumb && {program} ledger --json {mount}.merged/t.plumb; exit $status",
        pingpong.display()
    );
    check(
        Command::new("unshare").args(["--mount", "sh", "-c", &script]),
        1,
        &["is not whole", "space left", "\"events\": null"],
    );
    fs::remove_dir_all(format!("{mount}.merged")).expect("the merged timeline was there");
}

/// Whether a mount of our own is allowed; says so where not.
fn can_mount(test: &str) -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        say(&format!(
            "cannot run {test} on this machine: mounting in a namespace of one's own is denied"
        ));
    }
    can
}

#[test]
fn what_belongs_to_somebody_else_is_called_so() {
    let (own, dir) = (scratch(), scratch());
    let (timeline, recording) = (own.path().join("x.plumb"), own.path().join("r"));
    fs::write(&timeline, "").expect("writable");
    fs::create_dir(&recording).expect("a new directory");
    succeed(Command::new("chmod").arg("700").arg(own.path()));
    let somebody = &["somebody else"];
    check(as_nobody(dir.path()).arg("report").arg(&timeline), 1, somebody);
    check(as_nobody(dir.path()).arg("merge").arg(&recording), 1, somebody);
}

#[test]
fn a_cause_is_told_once() {
    for command in ["view", "report", "ledger"] {
        let output = plumb().args([command, "/dev/null"]).output().expect("plumb runs");
        let said = told(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.matches("not a regular file").count(), 1, "{said}");
        let lines: Vec<&str> = said.lines().collect();
        assert!(
            lines.len() == 2 && lines[0].contains("not a regular file") && lines[1].starts_with("remedy: "),
            "{said}"
        );
    }
}

#[test]
fn files_that_are_no_timeline_or_recording_are_refused() {
    let dir = scratch();
    let file = dir.path().join("x.plumb");
    check(plumb().arg("report").arg(&file), 1, &["x.plumb"]);
    fs::write(&file, "this is no timeline").expect("writable");
    for command in ["report", "ledger"] {
        check(plumb().arg(command).arg(&file), 1, &["x.plumb"]);
    }
    check(
        plumb().arg("report").arg(dir.path().join("gone.plumb")),
        1,
        &["gone.plumb", "check its name"],
    );
    check(plumb().arg("merge").arg(dir.path().join("nowhere")), 1, &["nowhere"]);
    check(plumb().arg("merge").arg(dir.path()), 1, &["manifest"]);
}

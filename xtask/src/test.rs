//! `cargo xtask test`: everything that is checked, in the order of what fails fastest.
//!
//! With `--jdk 11` also on a release that tests run on only where somebody asks for it.

use crate::{jdk, packages, process, workspace};
use anyhow::Result;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Runs rustfmt, clippy and all tests; on the releases of Java that were asked for, too.
pub fn run(asked_for: &[&str]) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    let jdks = runtimes(asked_for)?;
    mount_tracefs();
    process::run(&mut workspace::cargo(&["fmt", "--all", "--check"]))?;
    process::run(&mut workspace::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    // The command and the agent's library lie side by side only after a build of both.
    process::run(&mut workspace::cargo(&["build", "--workspace", "--all-targets"]))?;
    let mut tests = workspace::cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.envs(jdks);
    if let Some(jars) = packages::libraries()? {
        tests.env("PLUMB_JARS", jars);
    }
    process::run(&mut tests)
}

/// The runtimes that the tests run on, by the variables that tell them.
fn runtimes(asked_for: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let of_all = jdk::RELEASES
        .into_iter()
        .filter(|release| !jdk::ON_REQUEST.contains(release));
    let mut releases: Vec<&str> = of_all.collect();
    releases.extend(asked_for);
    let named = |release: &str| Ok((format!("PLUMB_JDK{release}"), jdk::home(release)?));
    releases.into_iter().map(named).collect()
}

/// Mounts tracefs where every distribution has it: what plumb says of switches and interrupts is compared with what the kernel's own tracer says.
fn mount_tracefs() {
    const TRACEFS: &str = "/sys/kernel/tracing";
    if Path::new(TRACEFS).join("events").exists() {
        return;
    }
    let mount = process::output(Command::new("mount").args(["-t", "tracefs", "nodev", TRACEFS]));
    if let Err(error) = mount {
        println!("note: tests that need tracefs will say that they cannot run: {error:#}");
    }
}

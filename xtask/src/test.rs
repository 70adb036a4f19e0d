//! `cargo xtask test`: everything that is checked, in the order of what fails fastest.

use crate::{jdk, packages, process, workspace};
use anyhow::Result;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Runs rustfmt, clippy and all tests.
pub fn run() -> Result<()> {
    packages::ensure(packages::BUILD)?;
    let jdks = jdk::RELEASES.map(|release| Ok((format!("PLUMB_JDK{release}"), jdk::home(release)?)));
    let jdks: Vec<(String, PathBuf)> = jdks.into_iter().collect::<Result<_>>()?;
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

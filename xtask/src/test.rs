//! `cargo xtask test`: everything that is checked, in the order of what fails fastest.

use crate::{jdk, packages, process, workspace};
use anyhow::Result;

/// Runs rustfmt, clippy and all tests.
pub fn run() -> Result<()> {
    packages::ensure(packages::BUILD)?;
    let (jdk17, jdk25) = (jdk::jdk17()?, jdk::jdk25()?);
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
    tests.env("PLUMB_JDK17", jdk17).env("PLUMB_JDK25", jdk25);
    if let Some(jars) = packages::libraries()? {
        tests.env("PLUMB_JARS", jars);
    }
    process::run(&mut tests)
}

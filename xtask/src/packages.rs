//! Debian packages: what is missing is installed, saying so.

use crate::{process, workspace};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What building plumb takes.
pub const BUILD: &[&str] = &["clang-14", "libbpf-dev", "libc6-dev"];

/// A Java 17 compiler; left out where another package brought one.
pub const JDK17: &str = "openjdk-17-jdk-headless";

/// The demo's server and load. tomcat10-common is Tomcat without the system service, which would take port 8080.
pub const SERVER: &[&str] = &["tomcat10-common", "wrk"];

/// Servers, and a language with a compiler of its own, whose classes the tests give probes to; and what these need to be linked.
const LIBRARIES: &[&str] = &[
    "libtomcat10-java",
    "libjetty9-java",
    "libzookeeper-java",
    "libactivemq-java",
    "libclojure-java",
    "libservlet-api-java",
    "libslf4j-java",
    "libnetty-java",
    "libgeronimo-jms-1.1-spec-java",
];

/// The folder with the jars of [`LIBRARIES`], which are unpacked under target/ and not installed: with all that they ask for they would be two hundred packages. `None`, saying so, where this is not Debian.
///
/// # Errors
/// They cannot be had.
pub fn libraries() -> Result<Option<PathBuf>> {
    let dir = workspace::target().join("libraries");
    let jars = dir.join("usr/share/java");
    let complete = dir.join("complete");
    if complete.exists() {
        return Ok(Some(jars));
    }
    if !on_path("apt-get") || !on_path("dpkg-deb") {
        println!(
            "not tested: the classes of {}: there is no apt-get",
            LIBRARIES.join(", ")
        );
        return Ok(None);
    }
    println!("unpacking {}", LIBRARIES.join(" "));
    let dir = workspace::fresh_dir("libraries")?;
    if is_root()? {
        process::run(&mut apt(&["update", "-qq"]))?;
    }
    process::run(apt(&["download", "-qq"]).args(LIBRARIES).current_dir(&dir))?;
    for package in workspace::files_below(&dir, ".deb")? {
        process::run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&dir))?;
        fs::remove_file(package)?;
    }
    fs::write(complete, "")?;
    Ok(Some(jars))
}

/// Installs those of `packages` that are missing.
///
/// # Errors
/// Where something is missing and this is not Debian, not root, or apt fails: with the line to run by hand.
pub fn ensure(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !on_path("apt-get") {
        bail!("these Debian packages are missing and there is no apt-get: {names}\nremedy: install their like by hand");
    }
    if !is_root()? {
        bail!("these packages are missing: {names}\nremedy: as root, apt-get install --no-install-recommends {names}");
    }
    println!("installing missing packages: {names}");
    process::run(&mut apt(&["update", "-qq"]))?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(missing);
    process::run(&mut apt(&arguments))
}

/// True where the program stands in PATH.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn installed(package: &str) -> bool {
    // An OpenJDK of another packager does as well, as long as it lies where Debian's lies.
    if package == JDK17 && crate::jdk::debian_17().is_some() {
        return true;
    }
    let query = Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(Path::new("/proc/self"))
        .context("cannot read /proc/self")?
        .uid()
        == 0)
}

//! Whether an archive works where nothing else of plumb is.

use crate::{jdk, process, workspace};
use anyhow::{Context, Result, bail};
use std::{fs, path::Path, process::Command};

/// Unpacks an archive in an empty directory and tries what is in it.
///
/// # Errors
/// Where it does not work.
pub fn unpacked(archive: &Path, name: &str) -> Result<()> {
    let dir = workspace::fresh_dir("dist/tried")?;
    process::run(
        Command::new("tar")
            .arg("--extract")
            .arg("--file")
            .arg(archive)
            .arg("--directory")
            .arg(&dir),
    )?;
    let home = dir.join(name);
    let plumb = home.join("plumb");
    let java = jdk::jdk17()?.join("bin/java");
    let run = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new(&plumb);
        // Nothing of the one who builds: no target directory, no variable that names the library.
        command
            .current_dir(&dir)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .args(arguments);
        process::output(&mut command).with_context(|| format!("plumb {} does not work unpacked", arguments.join(" ")))
    };
    let version = run(&["--version"])?;
    if !version.contains(env!("CARGO_PKG_VERSION")) {
        bail!("the unpacked command is of another version: {version}");
    }
    for rules in workspace::files_below(&home.join("rules"), ".toml")? {
        run(&["rules", "check", &rules.to_string_lossy()])?;
    }
    run(&[
        "record",
        "--no-kernel",
        "-f",
        "jvm",
        "-o",
        "tried",
        "--",
        &java.to_string_lossy(),
        "-version",
    ])?;
    let ledger = run(&["ledger", "tried.plumb", "--json"])?;
    if !ledger.contains("\"name\":") {
        bail!("the unpacked command recorded no thread of a Java program: {ledger}");
    }
    run(&["view", "tried.plumb", "--screenshot", "tried.png"])?;
    let bytes = fs::metadata(dir.join("tried.png"))?.len();
    println!(
        "unpacked in {}: it records, merges and draws ({bytes} bytes of picture)",
        dir.display()
    );
    Ok(())
}

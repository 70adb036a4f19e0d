//! Where things lie, and building them.

use crate::process;
use anyhow::{Context, Result};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A `cargo` command in the checkout.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// An empty directory under target/, made anew.
pub fn fresh_dir(name: &str) -> Result<PathBuf> {
    let dir = target().join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot clear {}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// Builds the command and its agent library optimised; the path of the command. PLUMB_BUILT names a command that is built already, to be taken in its place.
pub fn build_release() -> Result<PathBuf> {
    if let Some(built) = std::env::var_os("PLUMB_BUILT") {
        println!("note: PLUMB_BUILT is set: {} is what is measured", built.display());
        return Ok(built.into());
    }
    process::run(&mut cargo(&["build", "--release"]))?;
    Ok(target().join("release/plumb"))
}

/// Builds one of the programs in examples/ optimised; its path.
pub fn build_example(name: &str) -> Result<PathBuf> {
    process::run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "plumb",
        "--example",
        name,
    ]))?;
    Ok(target().join("release/examples").join(name))
}

/// Builds one of the programs in jvm-agent/examples/ optimised; its path.
pub fn build_agent_example(name: &str) -> Result<PathBuf> {
    process::run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "plumb-agent",
        "--example",
        name,
    ]))?;
    Ok(target().join("release/examples").join(name))
}

/// Builds one of the libraries in jvm-agent/examples/ optimised; its path.
pub fn build_agent_library(name: &str) -> Result<PathBuf> {
    Ok(build_agent_example(name)?.with_file_name(format!("lib{name}.so")))
}

/// All files below `dir` whose name ends in `suffix`, sorted.
pub fn files_below(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path, suffix)?);
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

//! The illness "a process that hogs the CPUs". The other one, the lock, is in the shop itself: see `load::path`.

use crate::process::{Background, bound};
use anyhow::{Context, Result};
use std::path::Path;

/// Hogs for each CPU: with two, a thread that loses its CPU finds a queue.
const HOGS_PER_CPU: usize = 2;

/// Starts shells that do nothing but spin, under a name that the report should come up with.
pub fn hog_the_cpus(dir: &Path) -> Result<Vec<Background>> {
    // The kernel names a process after the path that was executed: a link gives the shell another name.
    let hog = dir.join("cpu-hog");
    std::os::unix::fs::symlink("/bin/sh", &hog).with_context(|| format!("cannot link {}", hog.display()))?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let program = hog.to_string_lossy();
    (0..cpus * HOGS_PER_CPU)
        .map(|_| Background::start("cpu-hog", bound(&program).args(["-c", "while :; do :; done"])))
        .collect()
}

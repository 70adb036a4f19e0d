//! The flight recorder on the command line.

use super::{
    Plan,
    merge::{default_output, merge},
};
use crate::{
    failure::{OrRemedy, whole},
    time::{parse_length, shown},
};
use anyhow::{Context, Result, anyhow};
use plumb_collector::{
    Recorder,
    flight::{Keep, Saved},
};
use signal_hook::{consts::SIGUSR1, flag};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Reads SIZE or TIME: for clap.
pub fn parse_keep(text: &str) -> Result<Keep, String> {
    let units = [("K", 10), ("M", 20), ("G", 30)];
    let size = units.iter().find_map(|(unit, bits)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(1 << bits)
    });
    match (size, parse_length(text)) {
        (Some(0), _) | (None, Ok(0)) => Err("nothing would be kept".to_owned()),
        (Some(bytes), _) => Ok(Keep::Bytes(bytes)),
        (None, Ok(ns)) => Ok(Keep::Time(ns)),
        (None, Err(_)) => Err("write a size in K, M or G, as in 64M, or a time, as in 30s".to_owned()),
    }
}

/// In words.
pub fn shown_keep(keep: Keep) -> String {
    match keep {
        Keep::Bytes(bytes) => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        Keep::Time(ns) => shown(ns),
    }
}

/// SIGUSR1: save now.
pub struct SaveSignal(Arc<AtomicBool>);

impl SaveSignal {
    /// Catches the signal from now on.
    pub fn catch() -> Result<SaveSignal> {
        let raised = Arc::new(AtomicBool::new(false));
        flag::register(SIGUSR1, Arc::clone(&raised)).context("cannot catch SIGUSR1")?;
        Ok(SaveSignal(raised))
    }

    /// Whether it came since the last call.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Somebody asks by SIGUSR1.
pub fn save(recorder: &Recorder) {
    match recorder.is_flight() {
        true => recorder.save("SIGUSR1 or `plumb save`"),
        false => eprintln!(
            "note: SIGUSR1 has a flight recorder save (--flight); this recording writes everything as it comes"
        ),
    }
}

/// Says which windows were saved. Returns how many could not be.
pub fn tell(saved: &[Saved]) -> usize {
    saved.iter().for_each(tell_one);
    saved.iter().filter(|saved| saved.error.is_some()).count()
}

/// The error where windows could not be saved.
pub fn all_saved(failed: usize) -> Result<()> {
    match failed {
        0 => Ok(()),
        failed => Err(anyhow!("{failed} windows are not whole"))
            .remedy("free space, or record elsewhere with -o; what is there can be merged"),
    }
}

fn tell_one(saved: &Saved) {
    let Saved {
        dir,
        reason,
        from_ns,
        to_ns,
        missing_ns,
        error,
    } = saved;
    let length = shown(to_ns.saturating_sub(*from_ns));
    match error {
        None => eprintln!("saved {length} in {}: {reason}", dir.display()),
        Some(error) => eprintln!("warning: {} is not whole: {error}", dir.display()),
    }
    if *missing_ns > 0 {
        eprintln!(
            "note: {} before that were asked for, too, and forgotten already: --flight SIZE says how much memory there is",
            shown(*missing_ns)
        );
    }
}

/// Makes a timeline of each window that was saved.
pub fn merge_all(plan: &Plan) -> Result<()> {
    let dir = &plan.options.dir;
    if plan.timeline.is_none() || !dir.exists() {
        return Ok(());
    }
    let entries = dir.read_dir().with_context(|| dir.display().to_string())?;
    let mut windows: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    windows.retain(|window| window.is_dir());
    windows.sort();
    let failed = windows.iter().filter_map(|window| {
        let merged = merge(std::slice::from_ref(window), &default_output(window));
        merged
            .err()
            .map(|error| eprintln!("warning: {}: {}", window.display(), whole(&error)))
    });
    match failed.count() {
        0 => Ok(()),
        count => Err(anyhow!("{count} windows could not be merged")).remedy("they stay as they are: try `plumb merge`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!(parse_keep("64M"), Ok(Keep::Bytes(64 << 20)));
        assert_eq!(parse_keep("5m"), Ok(Keep::Time(300_000_000_000)));
        assert_eq!(parse_keep("1.5s"), Ok(Keep::Time(1_500_000_000)));
        for wrong in ["", "64", "0s", "0M", "x", "99999999999G", "-1s"] {
            assert!(parse_keep(wrong).is_err(), "{wrong}");
        }
    }
}

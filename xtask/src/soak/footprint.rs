//! What a process takes of the machine, as /proc tells it.

use super::judge::{Slack, Verdicts};
use anyhow::{Context, Result};
use std::{fs, path::Path};

/// What one process takes.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// Memory in RAM, without what it shares with files, KiB.
    pub anonymous_kib: f64,
    /// Open descriptors.
    pub descriptors: f64,
    /// Mappings.
    pub mappings: f64,
    /// Threads.
    pub threads: f64,
}

impl Footprint {
    /// Of a process.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn of(pid: u32) -> Result<Footprint> {
        let dir = format!("/proc/{pid}");
        let gone = || format!("process {pid} is gone");
        let status = fs::read_to_string(format!("{dir}/status")).with_context(gone)?;
        let maps = fs::read_to_string(format!("{dir}/maps")).with_context(gone)?;
        Ok(Footprint {
            anonymous_kib: number(&status, "RssAnon:"),
            descriptors: fs::read_dir(format!("{dir}/fd")).with_context(gone)?.count() as f64,
            mappings: maps.lines().count() as f64,
            threads: number(&status, "Threads:"),
        })
    }
}

/// Judges all four; `memory` says how much the memory may differ.
pub fn judge(verdicts: &mut Verdicts, whose: &str, samples: &[Footprint], memory: Slack, few: f64) {
    let few = Slack { part: 0.0, more: few };
    let mut flat = |what: &str, unit: &str, slack, of: fn(&Footprint) -> f64| {
        let values: Vec<f64> = samples.iter().map(of).collect();
        verdicts.flat(&format!("{whose}'s {what}"), unit, &values, slack);
    };
    flat("memory", "KiB", memory, |sample| sample.anonymous_kib);
    flat("descriptors", "open", few, |sample| sample.descriptors);
    flat("mappings", "lines", few, |sample| sample.mappings);
    flat("threads", "alive", few, |sample| sample.threads);
}

fn number(text: &str, key: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

/// Bytes of all files below a directory; 0 where there is none.
pub fn bytes_below(dir: &Path) -> f64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len() as f64,
        Err(_) => 0.0,
    });
    bytes.sum()
}

/// The first child process of a process.
pub fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_ourselves_take_something() {
        let own = Footprint::of(std::process::id()).expect("we are alive");
        assert!(
            own.anonymous_kib > 0.0 && own.descriptors > 2.0 && own.mappings > 4.0 && own.threads > 0.0,
            "{own:?}"
        );
        assert!(Footprint::of(u32::MAX).is_err());
        assert_eq!(number("a\nRssAnon:\t  42 kB\n", "RssAnon:"), 42.0);
    }
}

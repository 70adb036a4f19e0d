//! What the hypervisor takes, by two books: each slice's stolen time, which plumb sums, and the ticks of /proc/stat.

use super::Options;
use super::judge::Verdicts;
use crate::process::{self, Background, bound};
use crate::{packages, workspace};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{fs, path::Path, process::Command, time::Duration};

/// The books may differ by this part of /proc/stat's, and by so many of its ticks on top.
const PART: f64 = 0.1;
const TICKS: f64 = 4.0;
/// Of less nothing can be said, seconds.
const ENOUGH: f64 = 0.4;
/// Parts that the time is taken in, so that one can see how far they agree.
const ROUNDS: u32 = 4;

/// Keeps all CPUs busy, so that whatever is stolen is stolen from a slice, and records.
pub fn run(options: &Options) -> Result<Verdicts> {
    packages::ensure(packages::BUILD)?;
    let plumb = workspace::build_release()?;
    let dir = workspace::fresh_dir("soak-steal")?;
    let cpus = std::thread::available_parallelism()?.get();
    let _hogs = (0..cpus)
        .map(|_| Background::start("a hog", bound("sh").args(["-c", "while :; do :; done"])))
        .collect::<Result<Vec<_>>>()?;
    let (mut by_stat, mut by_slices) = (0.0, 0.0);
    for round in 1..=ROUNDS {
        let (stat, slices) = one(&plumb, &dir.join(format!("round-{round}")), options.time / ROUNDS)?;
        println!("round {round}: /proc/stat {stat:.2} s stolen, slices {slices:.3} s");
        by_stat += stat;
        by_slices += slices;
    }
    let mut verdicts = Verdicts::default();
    let may = by_stat * PART + TICKS / ticks_per_second()?;
    let judged =
        format!("stolen: {by_slices:.3} s by slices, {by_stat:.2} s by /proc/stat (within {may:.2} s is right)");
    if by_stat.max(by_slices) < ENOUGH {
        verdicts.note(true, format!("{judged}: too little to judge by"));
    } else {
        verdicts.note((by_slices - by_stat).abs() <= may, judged);
    }
    Ok(verdicts)
}

/// Records once: what both books say, s.
fn one(plumb: &Path, recording: &Path, time: Duration) -> Result<(f64, f64)> {
    let length = format!("{}ms", time.as_millis().max(100));
    let before = steal_of_stat()?;
    let mut record = bound(&plumb.to_string_lossy());
    record.args(["record", "--all", "--no-merge", "-d", &length, "-o"]);
    process::output(record.arg(recording))?;
    let stolen = steal_of_stat()? - before;
    process::output(Command::new(plumb).arg("merge").arg(recording))?;
    let timeline = recording.with_extension("plumb");
    let ledger = process::output(Command::new(plumb).arg("ledger").arg(&timeline).arg("--json"))?;
    let ledger = serde_json::from_str(&ledger).context("plumb ledger --json wrote no JSON")?;
    fs::remove_dir_all(recording)?;
    fs::remove_file(timeline)?;
    Ok((stolen, stolen_of_ledger(&ledger)))
}

fn stolen_of_ledger(ledger: &Value) -> f64 {
    let rows = ledger["rows"].as_array().into_iter().flatten();
    let stolen = rows.filter_map(|row| row["states_ns"]["stolen"].as_u64());
    stolen.sum::<u64>() as f64 / 1e9
}

/// Seconds that the hypervisor has taken from all CPUs since the machine began to run.
fn steal_of_stat() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks = ticks_of(&stat).context("/proc/stat has no stolen time")?;
    Ok(ticks as f64 / ticks_per_second()?)
}

fn ticks_of(stat: &str) -> Option<u64> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    all.split_ascii_whitespace().nth(7)?.parse().ok()
}

fn ticks_per_second() -> Result<f64> {
    let text = process::output(Command::new("getconf").arg("CLK_TCK"))?;
    text.trim().parse().context("getconf CLK_TCK gives no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_books_are_read() {
        let stat = "cpu  1 2 3 4 5 6 7 88 9 10\ncpu0 1 2 3 4 5 6 7 44 9 10\n";
        assert_eq!((ticks_of(stat), ticks_of("intr 5")), (Some(88), None));
        let row = |ns: u64| serde_json::json!({"states_ns": {"running": 5, "stolen": ns}});
        let ledger = serde_json::json!({"rows": [row(1_500_000_000), row(500_000_000), {"states_ns": {"running": 1}}]});
        assert!((stolen_of_ledger(&ledger) - 2.0).abs() < 1e-9);
    }
}

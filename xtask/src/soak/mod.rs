//! `cargo xtask soak`: the same thing again and again, or for long, and what must not grow meanwhile.

mod attach;
mod books;
mod footprint;
mod judge;
mod steal;
mod survive;
mod turnover;

use crate::options;
use anyhow::{Result, bail};
use judge::Verdicts;
use std::time::Duration;

/// The page of `cargo xtask soak --help`.
pub const HELP: &str = "\
Record a load that churns, for minutes or a hundred times over, and check that nothing grows and nothing goes missing.

Usage: cargo xtask soak [NAME]... [--minutes N] [--rounds N] [--jdk 17|21|25]

Without a NAME all of these, one after the other:
  attach   Tomcat under full load: attach, record, detach, --rounds times (default 100). No request may fail; the JVM's memory, metaspace,
           classes, threads, mappings and descriptors stay where they were; throughput comes back; nothing of plumb stays but its library.
           Takes about 4 s a round.
  record   A JVM whose threads, virtual threads, class loaders and exceptions come and go, and processes that live for a moment, recorded
           for --minutes (default 5): plumb's memory, threads, mappings and descriptors stay flat, the disk fills at a steady rate, and
           at the end each call that the program counted is in the timeline, each ledger row sums to its thread's life.
  survive  The same load, with stacks that overflow, errors of memory and exceptions through native frames, on every collector, interpreted, under the JVM's own
           checks and beside JFR, for --minutes together: recorded from its start, then attached to eight times. No crash, no complaint, each ledger row sums.
  steal    Every CPU kept busy for --minutes: what the slices say was stolen by the hypervisor agrees with /proc/stat within a tenth.
  flight   The same load under a flight recorder of 10 s for --minutes: the same, and nothing is written before the end.

Options:
  --minutes N   how long each of them but `attach` runs
  --rounds N    rounds of `attach`
  --jdk RELEASE the Java runtime (default 17; 21 and 25 have virtual threads)

Samples are compared by quarters, the least of the last with the least of the second (the first is for warming up).
Exit status 0: all flat. 1: something grew or went missing, named. Examples:
  cargo xtask soak                              all of it, half an hour
  cargo xtask soak attach --rounds 10           a quick look
  cargo xtask soak flight --minutes 600         over night";

/// What the caller chose.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    names: Vec<String>,
    time: Duration,
    rounds: usize,
    jdk: String,
}

const NAMES: [&str; 5] = ["attach", "record", "survive", "steal", "flight"];

impl Options {
    /// Reads the options; `None` where one is not known.
    pub fn parse(arguments: &[&str]) -> Option<Options> {
        let default = Options {
            names: Vec::new(),
            time: Duration::from_secs(300),
            rounds: 100,
            jdk: "17".to_owned(),
        };
        let mut options = options::read(default, arguments, |options, argument, rest| {
            match argument {
                "--minutes" => options.time = minutes(&rest.text()?)?,
                "--rounds" => options.rounds = rest.number()?,
                "--jdk" => options.jdk = rest.text()?,
                name if NAMES.contains(&name) => options.names.push(name.to_owned()),
                _ => return None,
            }
            Some(())
        })?;
        if options.names.is_empty() {
            options.names = NAMES.map(str::to_owned).to_vec();
        }
        Some(options)
    }
}

/// `5` or `0.5`: at most a year.
fn minutes(text: &str) -> Option<Duration> {
    let minutes: f64 = text.parse().ok()?;
    (0.01..=525_600.0)
        .contains(&minutes)
        .then(|| Duration::from_secs_f64(minutes * 60.0))
}

/// Runs what was asked for.
///
/// # Errors
/// Where a step fails, or where something grew or went missing.
pub fn run(options: &Options) -> Result<()> {
    let mut all = Verdicts::default();
    for name in &options.names {
        println!("\n== {name} ==");
        let verdicts = match name.as_str() {
            "attach" => attach::run(options)?,
            "survive" => survive::run(options)?,
            "steal" => steal::run(options)?,
            "record" => turnover::run(options, turnover::Way::Stream)?,
            _ => turnover::run(options, turnover::Way::Flight)?,
        };
        verdicts.print();
        all.extend(name, verdicts);
    }
    let bad = all.bad();
    if bad.is_empty() {
        println!("\nsoak: nothing grew, nothing is missing");
        return Ok(());
    }
    bail!(
        "the soak failed:\n  {}\nremedy: run that part again with more --rounds or --minutes: what is a leak grows on, what was a coincidence does not",
        bad.join("\n  ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_refused() {
        let options = Options::parse(&["flight", "--minutes", "0.5", "--jdk", "25"]).expect("good options");
        assert_eq!(
            (options.names, options.time, options.jdk),
            (vec!["flight".to_owned()], Duration::from_secs(30), "25".to_owned())
        );
        assert_eq!(Options::parse(&[]).expect("all").names.len(), NAMES.len());
        for bad in [&["--rounds", "0"][..], &["--minutes"], &["--minutes", "NaN"], &["swim"]] {
            assert_eq!(Options::parse(bad), None, "{bad:?}");
        }
    }
}

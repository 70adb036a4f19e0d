//! `cargo xtask bench tomcat`: what recording costs a server under full load, beside others, in pairs on one warm Tomcat.
//!
//! A pair is a turn of wrk while nobody records and one while somebody does, either first. Pairs are added until the means are known well enough or time is up.

mod pairs;
pub mod turn;
mod ways;

use crate::demo::shop;
use crate::{jdk, options, packages, workspace};
use anyhow::{Context, Result};
use pairs::Ratios;
use std::time::{Duration, Instant};
use turn::Turn;
use ways::Way;

/// What `--help` says.
pub const HELP: &str = "\
cargo xtask bench tomcat [--minutes N] [--jdk 17|21|25]

What recording costs a Tomcat under full load, beside others who record: requests a second, CPU time a request (everybody's but wrk's) and the 99th percentile of latencies,
each as a ratio to turns in which nobody records, with its 95 % interval. Pairs of turns are added until the half-width of all of plumb's intervals is 0.02, or for N minutes
(15). CPU time is what all CPUs were not idle or stolen, interrupts included: nothing else should run meanwhile. Each turn follows upon some seconds of load that do not count:
what the JVM compiles anew when somebody attaches or leaves is what `bench attach` is about.";

/// Half-width of the interval of the mean that is good enough.
const GOOD_ENOUGH: f64 = 0.02;
/// Pairs that say anything.
const PAIRS_MIN: usize = 4;

/// What the caller chose.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    minutes: u64,
    jdk: String,
}

impl Options {
    /// Reads the options; `None` where one is not known.
    pub fn parse(arguments: &[&str]) -> Option<Options> {
        let default = Options {
            minutes: 15,
            jdk: "17".to_owned(),
        };
        options::read(default, arguments, |options, argument, rest| {
            match argument {
                "--minutes" => options.minutes = rest.number()?,
                "--jdk" => options.jdk = rest.text()?,
                _ => return None,
            }
            Some(())
        })
    }
}

/// Runs it.
///
/// # Errors
/// Where a program is missing or the server fails.
pub fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::SERVER)?;
    if !packages::on_path("perf") {
        packages::ensure(&["linux-perf"])?;
    }
    let home = jdk::home(&options.jdk)?;
    let plumb = workspace::build_release()?;
    let dir = workspace::fresh_dir("bench-tomcat")?;
    let mut shop = shop::start(&home, &dir)?;
    let url = shop.url(turn::PATH);
    println!("{} warms up", shop.name());
    for _ in 0..turn::WARM_UP {
        turn::take(&url)?;
    }
    let ways = ways::all(&plumb, &home, &dir, shop.pid());
    for way in &ways {
        // The first of each is not like those that follow: classes are loaded, code is thrown away and compiled again.
        println!("{} comes and goes once, uncounted", way.name);
        let running = way.start("warm-up")?;
        turn::take(&url)?;
        running.stop()?;
    }
    let mut ratios = vec![Ratios::default(); ways.len()];
    let end = Instant::now() + Duration::from_secs(options.minutes * 60);
    let is_known = |ratios: &[Ratios]| {
        let of_plumb = ratios.iter().zip(&ways).filter(|(_, way)| way.is_plumb);
        of_plumb
            .into_iter()
            .all(|(ratios, _)| ratios.pairs() >= PAIRS_MIN && ratios.half_width() <= GOOD_ENOUGH)
    };
    for round in 0.. {
        if Instant::now() >= end || is_known(&ratios) {
            break;
        }
        for (way, ratios) in ways.iter().zip(&mut ratios) {
            let (bare, recorded) = pair(way, &url, round)?;
            ratios.add(&bare, &recorded);
            println!(
                "{:<34} {} ({:.0} requests/s of {:.0} µs each without)",
                way.name,
                ratios.last(),
                bare.requests_a_second,
                bare.cpu_ns_a_request / 1e3
            );
            shop.still_runs()?;
        }
    }
    print(&ways, &ratios);
    Ok(())
}

/// Nobody records, and this way does; who is first alternates.
fn pair(way: &Way, url: &str, round: usize) -> Result<(Turn, Turn)> {
    let recorded = |url: &str| -> Result<Turn> {
        let running = way
            .start(&format!("round-{round}"))
            .with_context(|| format!("{} does not start", way.name))?;
        let turn = turn::take(url)?;
        running.stop()?;
        Ok(turn)
    };
    if round.is_multiple_of(2) {
        let bare = turn::take(url)?;
        Ok((bare, recorded(url)?))
    } else {
        let recorded = recorded(url)?;
        Ok((turn::take(url)?, recorded))
    }
}

fn print(ways: &[Way], ratios: &[Ratios]) {
    println!(
        "\nas a ratio to the turns in which nobody records, with the 95 % interval of the mean\n{:<34} {:>5} {:>19} {:>19} {:>19} {:>9}",
        "", "pairs", "requests a second", "CPU a request", "99th percentile", "up to"
    );
    for (way, ratios) in ways.iter().zip(ratios) {
        println!("{:<34} {ratios}", way.name);
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn options_are_read_or_refused() {
        let options = |minutes, jdk: &str| {
            Some(Options {
                minutes,
                jdk: jdk.to_owned(),
            })
        };
        assert_eq!(Options::parse(&[]), options(15, "17"));
        assert_eq!(Options::parse(&["--minutes", "3", "--jdk", "25"]), options(3, "25"));
        assert_eq!(Options::parse(&["--minutes", "0"]), None);
        assert_eq!(Options::parse(&["--hours"]), None);
    }
}

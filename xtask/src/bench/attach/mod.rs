//! `cargo xtask bench attach`: what attaching to a server under full load costs it, second by second.

mod curve;
mod load;

use super::recording::Recording;
use super::tomcat::turn;
use crate::demo::shop;
use crate::{jdk, options, packages, workspace};
use anyhow::{Result, bail};
use curve::{drawn, mean, seconds};
use load::Load;
use std::{thread::sleep, time::Duration};

/// What `--help` says.
pub const HELP: &str = "\
cargo xtask bench attach [--rules RULES] [--seconds N] [--warm-up N] [--jdk 17|21|25] [--asleep]

Throughput and latencies of a Tomcat under full load, second by second: before, while plumb records it for the first time for N seconds (60), after it has left, and
while it records it a second time. --asleep starts the server with the agent loaded and asleep.

The first class that is retransformed in a JVM before JDK 23 makes it throw all compiled code away, unless it was started with an agent that may do so; what follows
is the compiler's work. --rules with events only (no parks, no methods) retransforms nothing.";

/// As many as the server has threads.
const CONNECTIONS: usize = 32;
/// Seconds that are measured before, after, and while it is recorded again.
const MEASURED: u64 = 10;

/// What the caller chose.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    rules: String,
    seconds: u64,
    warm_up: u64,
    jdk: String,
    is_asleep: bool,
}

impl Options {
    /// Reads the options; `None` where one is not known.
    pub fn parse(arguments: &[&str]) -> Option<Options> {
        let default = Options {
            rules: "tomcat".to_owned(),
            seconds: 60,
            warm_up: 30,
            jdk: "17".to_owned(),
            is_asleep: false,
        };
        options::read(default, arguments, |options, argument, rest| {
            match argument {
                "--rules" => options.rules = rest.text()?,
                "--seconds" => options.seconds = rest.number()?,
                "--warm-up" => options.warm_up = rest.number()?,
                "--jdk" => options.jdk = rest.text()?,
                "--asleep" => options.is_asleep = true,
                _ => return None,
            }
            Some(())
        })
    }
}

/// Runs it.
///
/// # Errors
/// Where a program is missing, a request fails, or the server does.
pub fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::SERVER)?;
    let home = jdk::home(&options.jdk)?;
    let plumb = workspace::build_release()?;
    let dir = workspace::fresh_dir("bench-attach")?;
    let agent = plumb.with_file_name("libplumb_agent.so");
    let asleep = options.is_asleep.then(|| format!("-agentpath:{}", agent.display()));
    let mut shop = shop::start_with(&home, &dir, asleep.as_slice())?;
    let load = Load::start(&shop.address(), &shop::page(turn::PATH), CONNECTIONS);
    println!("{} warms up for {} s", shop.name(), options.warm_up);
    let rest = |seconds| sleep(Duration::from_secs(seconds));
    rest(options.warm_up + MEASURED);
    let mut happened = Vec::new();
    for (name, time) in [("first", options.seconds), ("second", MEASURED)] {
        let asked = load.now();
        let recording = Recording::start(&plumb, &options.rules, shop.pid(), &dir, name)?;
        happened.push((asked, "attach"));
        happened.push((load.now(), "recording"));
        rest(time);
        happened.push((load.now(), "detach"));
        recording.stop()?;
        happened.push((load.now(), "left"));
        rest(MEASURED);
        shop.still_runs()?;
    }
    let seconds = seconds(&load.finish()?);
    if seconds.is_empty() {
        bail!("the server answered nothing");
    }
    println!("\nrequests of each second\n{}", drawn(&seconds, &happened));
    print_means(&seconds, &happened);
    Ok(())
}

fn print_means(seconds: &[curve::Second], happened: &[(Duration, &str)]) {
    let at = |number: usize| happened.get(number).map_or(0, |(at, _)| at.as_secs() as usize);
    let before = mean(seconds, at(0).saturating_sub(MEASURED as usize), at(0));
    let stretches = [
        ("before", at(0).saturating_sub(MEASURED as usize), at(0)),
        ("first attach, its first 10 s", at(0), at(0) + 10),
        ("the first time it records", at(0), at(2)),
        ("after it has left", at(3) + 1, at(4)),
        ("the second time it records", at(4), at(6)),
        ("after it has left again", at(7) + 1, seconds.len()),
    ];
    for (name, from, to) in stretches {
        let mean = mean(seconds, from, to);
        println!("{name:<30} {mean:>8.0} requests/s, {:.3} of before", mean / before);
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn options_are_read_or_refused() {
        let options = Options::parse(&["--rules", "jvm", "--seconds", "5", "--asleep"]).expect("good");
        assert_eq!(
            (options.rules.as_str(), options.seconds, options.is_asleep),
            ("jvm", 5, true)
        );
        assert_eq!(Options::parse(&["--seconds", "0"]), None);
        assert_eq!(Options::parse(&["--minutes", "1"]), None);
    }
}

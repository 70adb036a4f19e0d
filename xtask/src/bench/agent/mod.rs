//! `cargo xtask bench agent`: bursts of calls of one small hot method; what a call costs bare, recorded, filtered, left again, and by others.

mod verdicts;
mod ways;

use crate::{jdk, options, packages, workspace};
use anyhow::{Context, Result, bail};
use std::process::Command;
use verdicts::Figures;
use ways::Way;

/// What `--help` says.
pub const HELP: &str = "\
cargo xtask bench agent [--turns N] [--jdk 17|21|25]...

CPU time of a call of a small hot method: not recorded, with two native calls that read the processor's clock (the floor), recorded by plumb, filtered by a rule with `min`,
after plumb has left, as a JFR event; in one thread, two and eight. Medians of N turns (5) in which the ways alternate, held against what is promised.";

/// What the caller chose.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    turns: usize,
    jdks: Vec<String>,
}

impl Options {
    /// Reads the options; `None` where one is not known.
    pub fn parse(arguments: &[&str]) -> Option<Options> {
        let default = Options {
            turns: 5,
            jdks: Vec::new(),
        };
        let mut options = options::read(default, arguments, |options, argument, rest| {
            match argument {
                "--turns" => options.turns = rest.number()?,
                "--jdk" => options.jdks.push(rest.text()?),
                _ => return None,
            }
            Some(())
        })?;
        if options.jdks.is_empty() {
            options.jdks = vec!["17".to_owned(), "25".to_owned()];
        }
        Some(options)
    }
}

/// Runs the benchmark.
///
/// # Errors
/// Where a program is missing or fails, or records were lost: what loses them is cheaper than what keeps them.
pub fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    let plumb = workspace::build_release()?;
    let floor = workspace::build_agent_library("floor")?;
    let dir = workspace::fresh_dir("bench-agent")?;
    let source = workspace::root().join("examples/hot");
    jdk::compile(&workspace::files_below(&source, ".java")?, None, &dir)?;
    for version in &options.jdks {
        let places = ways::Places {
            java: jdk::home(version)?.join("bin/java"),
            dir: dir.clone(),
            plumb: plumb.clone(),
            floor: floor.clone(),
        };
        let figures = measure(&ways::all(), &places, options.turns)?;
        println!("\nJDK {version}, {} turns\n{}", options.turns, figures.table());
        println!("{}", figures.verdicts());
    }
    Ok(())
}

fn measure(ways: &[Way], places: &ways::Places, turns: usize) -> Result<Figures> {
    let mut figures = Figures::new(ways.iter().map(|way| way.name));
    for turn in 0..turns {
        for (number, way) in ways.iter().enumerate() {
            let ns = ns_per_call(&mut way.command(places, turn)).with_context(|| way.name)?;
            figures.add(number, ns);
        }
    }
    Ok(figures)
}

fn ns_per_call(command: &mut Command) -> Result<f64> {
    let output = command.output().context("cannot start it")?;
    let (printed, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if !output.status.success() {
        bail!("{}: {said}", output.status);
    }
    if let Some(lost @ 1..) = super::recording::lost(&said) {
        bail!("{lost} records were lost: {said}");
    }
    super::read_figure(&printed, "ns_per_call").with_context(|| format!("it printed no figure: {printed}{said}"))
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn options_are_read_or_refused() {
        let options = Options::parse(&["--turns", "2", "--jdk", "25"]).expect("good");
        assert_eq!((options.turns, options.jdks), (2, vec!["25".to_owned()]));
        assert_eq!(Options::parse(&[]).expect("both").jdks.len(), 2);
        assert_eq!(Options::parse(&["--turns", "0"]), None);
        assert_eq!(Options::parse(&["--jkd", "17"]), None);
    }
}

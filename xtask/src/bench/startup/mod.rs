//! `cargo xtask bench startup`: what recording from its start costs a program that lives for seconds, and how fast classes get probes.

mod sources;

use super::mean::Mean;
use crate::{jdk, options, packages, process, workspace};
use anyhow::{Context, Result};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What `--help` says.
pub const HELP: &str = "\
cargo xtask bench startup [--pairs N] [--files N] [--jdk 17|21|25]

javac of N files (300) that `plumb record -f jvm` has started, beside the same without plumb: wall-clock and CPU time of the compiler as ratios with their 95 % intervals,
of N pairs (10), either first. Then: classes a second that get probes in every method, of all of that JDK's and Tomcat's classes.";

/// Most that a start may take longer, as a ratio.
const RATIO_MAX: f64 = 1.03;
/// Least classes a second.
const CLASSES_A_SECOND_MIN: f64 = 25_000.0;

/// What the caller chose.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    pairs: usize,
    files: usize,
    jdk: String,
}

impl Options {
    /// Reads the options; `None` where one is not known.
    pub fn parse(arguments: &[&str]) -> Option<Options> {
        let default = Options {
            pairs: 10,
            files: 300,
            jdk: "17".to_owned(),
        };
        options::read(default, arguments, |options, argument, rest| {
            match argument {
                "--pairs" => options.pairs = rest.number()?,
                "--files" => options.files = rest.number()?,
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
/// Where a program is missing or fails.
pub fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::SERVER)?;
    let home = jdk::home(&options.jdk)?;
    let plumb = workspace::build_release()?;
    let rewriting = workspace::build_agent_example("rewriting")?;
    let dir = workspace::fresh_dir("bench-startup")?;
    let javac = Javac {
        sources: sources::write(&dir.join("sources"), options.files)?,
        java: home.join("bin/java"),
        plumb,
        dir: dir.clone(),
    };
    let pairs = (0..options.pairs)
        .map(|number| javac.pair(number))
        .collect::<Result<Vec<_>>>()?;
    for (what, of) in [
        ("wall-clock time", Spent::wall as fn(&Spent) -> f64),
        ("CPU time", Spent::cpu),
    ] {
        let logarithms: Vec<f64> = pairs
            .iter()
            .map(|(bare, recorded)| (of(recorded) / of(bare)).ln())
            .collect();
        let mean = Mean::of(&logarithms);
        println!(
            "{}  javac, {what}: × {mean} (at most {RATIO_MAX})",
            verdict(mean.ratio <= RATIO_MAX)
        );
    }
    let rate = classes_a_second(&home, &rewriting, &dir)?;
    println!(
        "{}  classes that get probes: {rate:.0}/s (at least {CLASSES_A_SECOND_MIN:.0})",
        verdict(rate >= CLASSES_A_SECOND_MIN)
    );
    Ok(())
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "BAD  " }
}

/// What a run of the compiler took, s.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spent {
    wall: f64,
    user: f64,
    system: f64,
}

impl Spent {
    fn wall(&self) -> f64 {
        self.wall
    }

    fn cpu(&self) -> f64 {
        self.user + self.system
    }

    /// Of what bash says by our format: `spent 2.345 4.561 0.230`.
    fn read(said: &str) -> Option<Spent> {
        let line = said.lines().rev().find_map(|line| line.strip_prefix("spent "))?;
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        Some(Spent {
            wall: numbers.next()??,
            user: numbers.next()??,
            system: numbers.next()??,
        })
    }
}

struct Javac {
    sources: Vec<PathBuf>,
    java: PathBuf,
    plumb: PathBuf,
    dir: PathBuf,
}

impl Javac {
    /// Without plumb, and recorded.
    fn pair(&self, number: usize) -> Result<(Spent, Spent)> {
        let (bare, recorded) = if number.is_multiple_of(2) {
            let bare = self.run(None)?;
            (bare, self.run(Some(number))?)
        } else {
            let recorded = self.run(Some(number))?;
            (self.run(None)?, recorded)
        };
        println!("{:.2} s without plumb, {:.2} s recorded", bare.wall, recorded.wall);
        Ok((bare, recorded))
    }

    fn run(&self, recorded: Option<usize>) -> Result<Spent> {
        let mut command = match recorded {
            None => Command::new("bash"),
            Some(number) => {
                let mut command = Command::new(&self.plumb);
                command.args(["record", "--no-merge", "-f", "jvm", "-o"]);
                command
                    .arg(self.dir.join(format!("recording-{number}")))
                    .args(["--", "bash"]);
                command
            }
        };
        command.args(["-c", "TIMEFORMAT='spent %3R %3U %3S'; time \"$@\"", "bash"]);
        command.arg(&self.java);
        command.args(["-m", "jdk.compiler/com.sun.tools.javac.Main", "-nowarn", "-d"]);
        command.arg(self.dir.join("classes")).args(&self.sources);
        let output = command
            .stdin(Stdio::null())
            .output()
            .context("cannot start the compiler")?;
        let said = String::from_utf8_lossy(&output.stderr);
        Spent::read(&said)
            .filter(|_| output.status.success())
            .with_context(|| format!("the compiler failed: {said}"))
    }
}

fn classes_a_second(home: &Path, rewriting: &Path, dir: &Path) -> Result<f64> {
    let driver = dir.join("driver");
    let source = workspace::root().join("jvm-agent/tests/java/rewrite/Classes.java");
    jdk::compile(&[source], None, &driver)?;
    let jars = workspace::files_below(Path::new("/usr/share/tomcat10/lib"), ".jar")?;
    let mut java = Command::new(home.join("bin/java"));
    java.arg("-cp").arg(driver).args(["Classes", "dump"]).args(jars);
    let mut dump = java.stdout(Stdio::piped()).spawn().context("cannot start java")?;
    let classes = dump.stdout.take().context("java has no output")?;
    let printed = process::output(Command::new(rewriting).stdin(classes));
    dump.wait()?;
    let printed = printed?;
    super::read_figure(&printed, "classes_per_s").with_context(|| format!("it printed no figure: {printed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_refused() {
        let options = Options::parse(&["--pairs", "2", "--files", "9", "--jdk", "25"]).expect("good");
        assert_eq!((options.pairs, options.files, options.jdk.as_str()), (2, 9, "25"));
        assert_eq!(Options::parse(&["--pairs", "0"]), None);
        assert_eq!(Options::parse(&["--javac"]), None);
    }

    #[test]
    fn what_bash_says_is_understood() {
        let spent = Spent::read("Picked up X\nspent 2.345 4.500 0.250\nrecorded 3 s\n").expect("times");
        assert!((spent.wall() - 2.345).abs() < 1e-9 && (spent.cpu() - 4.75).abs() < 1e-9);
        assert_eq!(Spent::read("spent 1 2"), None);
    }
}

//! `cargo xtask fuzz`: libFuzzer on the targets of fuzz/, with its corpora under target/fuzz.
//!
//! Stable rustc instruments for coverage (`-C passes=sancov-module`); what only a nightly one has are sanitizers, and what they find (wrong `unsafe`) is not what is
//! looked for here. Debug assertions and overflow checks are on.

use crate::{options, packages, process, workspace};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The page of `cargo xtask fuzz --help`.
pub const HELP: &str = "\
Feed what reads bytes of others with bytes that nobody would write, guided by the code that they reach.

Usage: cargo xtask fuzz [TARGET]... [--seconds N]
       cargo xtask fuzz TARGET --replay FILE

Without a TARGET all of these, one after the other:
  classfile       the rewriter of class files, with a probe in every method
  segment         segments of a recording, as they lie in its files
  payload         what a segment holds, of every kind, with the right checksum
  kernel-columns  the columns of kernel records
  timeline        a timeline's file and every question to it, all checksums right
  rules           rule files, what they compile to, and what that matches
  matcher         compiled rules, as the agent gets them
  attach          what agent and recorder say to each other, through a socket
  usdt            the probes that a library's notes tell of
  perfdata        the file that a JVM counts in
  elf             symbols and build ids of a file of code
  maps            what a process has mapped
  kallsyms        the kernel's symbols
  perf-map        what a runtime says that it compiled
  perf-ring       records of perf events, and the books that are kept of them
  tracepoints     where the fields of tracepoints lie, and what is read there

Options:
  --seconds N     how long each runs (default 60)
  --replay FILE   feed this input once: it panics as it did, with a backtrace, under any debugger

An input that fails (a panic, more than 10 s, more than 2 GiB) is kept in target/fuzz/failing/, and the line that replays it is told. What was found to
reach new code stays in target/fuzz/corpus/TARGET/, where the next run goes on; `rm -r target/fuzz/corpus` begins anew. `cargo xtask test` runs
a few thousand mutations of each target's seeds.
Exit status 0: nothing failed. 1: something did, named. Examples:
  cargo xtask fuzz --seconds 10             all targets, a minute and a half
  cargo xtask fuzz timeline --seconds 3600  one of them for an hour";

/// Where libFuzzer's instrumentation is asked for: these are flags of stable rustc, as cargo-fuzz gives them.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// With a target named, flags are for what runs and not for what builds it.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What the caller chose.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    targets: Vec<String>,
    seconds: u64,
    replay: Option<PathBuf>,
}

impl Options {
    /// Reads the options; `None` where one is not known.
    pub fn parse(arguments: &[&str]) -> Option<Options> {
        let default = Options {
            targets: Vec::new(),
            seconds: 60,
            replay: None,
        };
        let options = options::read(default, arguments, |options, argument, rest| {
            match argument {
                "--seconds" => options.seconds = rest.number()?,
                "--replay" => options.replay = Some(PathBuf::from(rest.text()?)),
                option if option.starts_with('-') => return None,
                target => options.targets.push(target.to_owned()),
            }
            Some(())
        })?;
        (options.replay.is_none() || options.targets.len() == 1).then_some(options)
    }
}

/// Runs what was asked for.
///
/// # Errors
/// Where a step fails, where there is no such target, or where an input failed.
pub fn run(options: &Options) -> Result<()> {
    let known = targets()?;
    if let Some(wrong) = options.targets.iter().find(|name| !known.contains(name)) {
        bail!("no target {wrong}\nremedy: one of {}", known.join(", "));
    }
    if let Some(file) = &options.replay {
        let file = fs::canonicalize(file).with_context(|| format!("cannot find {}", file.display()))?;
        return process::run(plumb_fuzz(&["replay", &options.targets[0]]).arg(file));
    }
    packages::ensure(&["g++"])?;
    let program = build()?;
    let chosen = if options.targets.is_empty() {
        &known
    } else {
        &options.targets
    };
    let mut failed = Vec::new();
    for target in chosen {
        if let Some(failure) = fuzz(&program, target, options.seconds)? {
            failed.push(failure);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("inputs that fail:\n  {}", failed.join("\n  "))
}

/// The ordinary program of the targets.
fn plumb_fuzz(arguments: &[&str]) -> Command {
    let mut command = workspace::cargo(&["run", "--quiet", "--package", "plumb-fuzz", "--bin", "plumb-fuzz", "--"]);
    command.args(arguments);
    command
}

fn targets() -> Result<Vec<String>> {
    let list = process::output(&mut plumb_fuzz(&["list"]))?;
    let names = list.lines().filter_map(|line| line.split_ascii_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}

/// Where all of it lies.
fn home() -> PathBuf {
    workspace::target().join("fuzz")
}

fn build() -> Result<PathBuf> {
    let mut cargo = workspace::cargo(&["build", "--release", "--package", "plumb-fuzz", "--bin", "guided"]);
    cargo
        .args(["--features", "libfuzzer", "--target", TRIPLE, "--target-dir"])
        .arg(home());
    cargo.env("RUSTFLAGS", COVERAGE);
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    cargo.env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
    process::run(&mut cargo)?;
    Ok(home().join(TRIPLE).join("release/guided"))
}

/// Runs a target for a time; what failed, if anything did.
fn fuzz(program: &Path, target: &str, seconds: u64) -> Result<Option<String>> {
    let (corpus, failing) = (home().join("corpus").join(target), home().join("failing"));
    for dir in [&corpus, &failing] {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let seeds = home().join("seeds").join(target);
    process::output(plumb_fuzz(&["seeds", target]).arg(&seeds))?;
    let before = listed(&failing, target)?;
    let log = home().join(format!("{target}.log"));
    let mut guided = process::bound(&program.to_string_lossy());
    guided.env("PLUMB_FUZZ_TARGET", target);
    guided.arg(format!("-max_total_time={seconds}"));
    guided.args([
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        "-max_len=65536",
        "-verbosity=1",
    ]);
    guided.arg(format!("-artifact_prefix={}/{target}-", failing.display()));
    guided.arg(&corpus).arg(&seeds);
    guided
        .stdout(fs::File::create(&log)?)
        .stderr(fs::File::options().append(true).open(&log)?);
    let status = guided.status().context("cannot start the fuzzer")?;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let new = listed(&failing, target)?
        .into_iter()
        .find(|path| !before.contains(path));
    println!("{target:<16}{}", summary(&said, fs::read_dir(&corpus)?.count()));
    match new {
        Some(input) => Ok(Some(format!(
            "{target}: {}\n    to see it: cargo xtask fuzz {target} --replay {}",
            cause(&said),
            input.display()
        ))),
        None if status.success() => Ok(None),
        None => bail!("the fuzzer of {target} ended with {status}: see {}", log.display()),
    }
}

/// Inputs of a target that failed.
fn listed(failing: &Path, target: &str) -> Result<Vec<PathBuf>> {
    let mark = format!("{target}-");
    let mut found = workspace::files_below(failing, "")?;
    found.retain(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&mark))
    });
    Ok(found)
}

/// Executions, their speed, what they reached.
fn summary(said: &str, corpus: usize) -> String {
    let stat = |name: &str| {
        let line = said.lines().rev().find_map(|line| line.trim().strip_prefix(name));
        line.map_or("?", str::trim).to_owned()
    };
    let covered = said
        .lines()
        .rev()
        .find_map(|line| line.split_once("cov: ")?.1.split(' ').next());
    format!(
        "{} executions, {}/s, {} edges covered, corpus of {corpus} inputs",
        stat("stat::number_of_executed_units:"),
        stat("stat::average_exec_per_sec:"),
        covered.unwrap_or("?")
    )
}

/// The line that tells why an input failed.
fn cause(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    match panic {
        Some(at) => lines[at..].iter().take(2).copied().collect::<Vec<_>>().join(" "),
        None => lines
            .iter()
            .find(|line| line.contains("ERROR: libFuzzer"))
            .copied()
            .unwrap_or("no cause told")
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_refused() {
        let options = Options::parse(&["timeline", "--seconds", "5"]).expect("good options");
        assert_eq!((options.targets, options.seconds), (vec!["timeline".to_owned()], 5));
        for bad in [&["--seconds"][..], &["--seconds", "0"], &["--replay", "x"], &["--fast"]] {
            assert_eq!(Options::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_libfuzzer_says_is_understood() {
        let said = "#2 INITED cov: 12 ft: 13\n#900 NEW    cov: 44 ft: 61 corp: 9\nstat::number_of_executed_units: 1000\nstat::average_exec_per_sec: 500\n";
        assert_eq!(
            summary(said, 9),
            "1000 executions, 500/s, 44 edges covered, corpus of 9 inputs"
        );
        let failed = "x\nthread 'main' panicked at src/a.rs:1:2:\nit broke\n==1== ERROR: libFuzzer: deadly signal\n";
        assert_eq!(cause(failed), "thread 'main' panicked at src/a.rs:1:2: it broke");
    }
}

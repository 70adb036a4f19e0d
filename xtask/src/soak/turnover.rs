//! A JVM in which everything comes and goes (examples/churn), and processes that live for a moment, recorded for minutes.

use super::footprint::{self, Footprint, bytes_below, child_of};
use super::judge::{Slack, Verdicts, quarter};
use super::{Options, books};
use crate::process::{Background, bound};
use crate::{jdk, packages, workspace};
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File},
    path::Path,
    process::Child,
    thread::sleep,
    time::{Duration, Instant},
};

/// How it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To disk, all of it.
    Stream,
    /// Into memory; the last window is saved at the end.
    Flight,
}

/// Time that the flight recorder keeps.
const FLIGHT: &str = "10s";
/// Samples of a run.
const SAMPLES: u32 = 60;
/// How much faster the disk may fill in the last quarter than in the second.
const RATE_MAX: f64 = 1.5;

struct Samples {
    plumb: Vec<Footprint>,
    jvm: Vec<Footprint>,
    /// Bytes of the recording.
    disk: Vec<f64>,
}

/// Runs it.
pub fn run(options: &Options, way: Way) -> Result<Verdicts> {
    packages::ensure(packages::BUILD)?;
    let home = jdk::home(&options.jdk)?;
    let plumb = workspace::build_release()?;
    let dir = workspace::fresh_dir(match way {
        Way::Stream => "soak-record",
        Way::Flight => "soak-flight",
    })?;
    let classes = dir.join("classes");
    let source = workspace::root().join("examples/churn");
    jdk::compile(&workspace::files_below(&source, ".java")?, None, &classes)?;
    let shells = short_lives()?;
    let mut recorder = start(options, way, (&plumb, &home), &dir)?;
    let samples = watch(&mut recorder, options.time, &dir)?;
    finish(recorder)?;
    drop(shells);
    let mut verdicts = Verdicts::default();
    judge(&mut verdicts, &samples, way);
    check_books(&mut verdicts, &plumb, &dir, way)?;
    Ok(verdicts)
}

/// Shells that start a process, wait for its end, and start the next.
fn short_lives() -> Result<Vec<Background>> {
    (0..2)
        .map(|_| {
            Background::start(
                "a shell",
                bound("sh").args(["-c", "while :; do /bin/true; sleep 0.002; done"]),
            )
        })
        .collect()
}

fn start(options: &Options, way: Way, (plumb, home): (&Path, &Path), dir: &Path) -> Result<Child> {
    let mut command = bound(&plumb.to_string_lossy());
    command.arg("record");
    if way == Way::Flight {
        command.args(["--flight", FLIGHT]);
    }
    command
        .arg("-f")
        .arg(workspace::root().join("examples/churn/rules.toml"));
    command.arg("-o").arg(dir.join("r")).arg("--");
    command.arg(home.join("bin/java"));
    command
        .args(["-Xmx128m", "-Xms128m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC", "-cp"])
        .arg(dir.join("classes"));
    command.args(["Turnover", &options.time.as_millis().to_string()]);
    command.stdout(File::create(dir.join("said.txt"))?);
    command.stderr(File::create(dir.join("plumb.txt"))?);
    command.spawn().context("cannot start plumb")
}

/// Samples both processes until the JVM ends.
fn watch(recorder: &mut Child, time: Duration, dir: &Path) -> Result<Samples> {
    let mut samples = Samples {
        plumb: Vec::new(),
        jvm: Vec::new(),
        disk: Vec::new(),
    };
    let began = Instant::now();
    let mut jvm = None;
    while began.elapsed() < time {
        sleep(time / SAMPLES);
        if let Some(status) = recorder.try_wait()? {
            bail!(
                "plumb ended early: {status}: {}",
                fs::read_to_string(dir.join("plumb.txt"))?
            );
        }
        jvm = jvm.or_else(|| child_of(recorder.id()));
        let Some(jvm) = jvm else { continue };
        // The JVM ends by itself when its time has gone, which may be now.
        let Ok(of_jvm) = Footprint::of(jvm) else { break };
        samples.jvm.push(of_jvm);
        samples.plumb.push(Footprint::of(recorder.id())?);
        samples.disk.push(bytes_below(&dir.join("r")));
    }
    Ok(samples)
}

fn finish(mut recorder: Child) -> Result<()> {
    let status = recorder.wait()?;
    if status.success() {
        Ok(())
    } else {
        bail!("plumb failed: {status}")
    }
}

fn judge(verdicts: &mut Verdicts, samples: &Samples, way: Way) {
    let memory = Slack {
        part: 0.05,
        more: 8192.0,
    };
    footprint::judge(verdicts, "plumb", &samples.plumb, memory, 4.0);
    // The program's own threads come and go, thirty at a time, each with two mappings.
    let memory = Slack {
        part: 0.05,
        more: 32768.0,
    };
    footprint::judge(verdicts, "the JVM", &samples.jvm, memory, 120.0);
    let disk = &samples.disk;
    if way == Way::Flight {
        let most = disk.iter().copied().fold(0.0, f64::max);
        verdicts.note(
            most == 0.0,
            format!("disk: {most:.0} bytes were written before the end"),
        );
        return;
    }
    let rates: Vec<f64> = disk.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mean = |number: usize| {
        let part = &rates[rates.len() * number / 4..rates.len() * (number + 1) / 4];
        part.iter().sum::<f64>() / part.len().max(1) as f64
    };
    let steady = quarter(&rates, 3).is_some() && mean(3) <= mean(1) * RATE_MAX;
    verdicts.note(
        steady,
        format!(
            "disk: {:.0} bytes a sample in the second quarter, {:.0} in the last",
            mean(1),
            mean(3)
        ),
    );
}

/// The calls that the program counted against the units of the timeline, and the timeline's own books.
fn check_books(verdicts: &mut Verdicts, plumb: &Path, dir: &Path, way: Way) -> Result<()> {
    let timeline = workspace::files_below(dir, ".plumb")?;
    let Some(timeline) = timeline.last() else {
        verdicts.note(false, "there is no timeline");
        return Ok(());
    };
    let books = books::read(plumb, timeline)?;
    books.judge(verdicts);
    let said = fs::read_to_string(dir.join("said.txt"))?;
    let json: serde_json::Value = said
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())
        .with_context(|| format!("the program said: {said}"))?;
    let calls = json["calls"].as_u64().unwrap_or(0);
    let line = format!("calls: {} in the timeline, {calls} counted by the program", books.units);
    match way {
        Way::Stream => verdicts.note(books.units == calls && calls > 0, line),
        // The window holds the last ones only.
        Way::Flight => verdicts.note(books.units > 0 && books.units <= calls, line),
    }
    Ok(())
}

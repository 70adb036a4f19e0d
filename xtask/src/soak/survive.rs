//! Everything that comes and goes, fails and overflows (examples/churn), on every collector and under the JVM's own checks: recorded from the start, and attached to and
//! left again and again.

use super::judge::Verdicts;
use super::{Options, books};
use crate::process::{Background, bound};
use crate::{jdk, packages, workspace};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

/// The JVMs, by their options.
const VARIANTS: [(&str, &[&str]); 7] = [
    ("G1", &["-XX:+UseG1GC"]),
    ("Serial", &["-XX:+UseSerialGC"]),
    ("Parallel", &["-XX:+UseParallelGC"]),
    // Before JDK 15 it is an experiment.
    ("ZGC", &["-XX:+UnlockExperimentalVMOptions", "-XX:+UseZGC"]),
    ("interpreter", &["-Xint"]),
    ("checks", &["-Xcheck:jni", "-Xverify:all"]),
    (
        "JFR",
        &["-XX:StartFlightRecording=settings=profile,filename=survive.jfr"],
    ),
];
/// Attach, record, detach: so often in each JVM.
const ROUNDS: u32 = 8;
/// How long the JVM that is attached to would live: longer than anybody waits.
const FOR_LONG: Duration = Duration::from_secs(7 * 24 * 3600);

struct Places {
    home: PathBuf,
    plumb: PathBuf,
    dir: PathBuf,
}

/// Runs it: the time is for all JVMs together.
pub fn run(options: &Options) -> Result<Verdicts> {
    packages::ensure(packages::BUILD)?;
    let places = Places {
        home: jdk::home(&options.jdk)?,
        plumb: workspace::build_release()?,
        dir: workspace::fresh_dir("soak-survive")?,
    };
    let source = workspace::root().join("examples/churn");
    jdk::compile(&workspace::files_below(&source, ".java")?, None, &places.classes())?;
    let time = options.time / (2 * VARIANTS.len() as u32);
    let mut verdicts = Verdicts::default();
    for (name, jvm_options) in VARIANTS {
        println!(
            "{name}: recorded from its start, then attached to {ROUNDS} times, for {:.1} s each",
            time.as_secs_f64()
        );
        let dir = places.dir.join(name);
        fs::create_dir_all(&dir)?;
        from_start(&mut verdicts, &places, &dir, (name, jvm_options), time)?;
        attached(&mut verdicts, &places, &dir, (name, jvm_options), time)?;
        let crashes: Vec<PathBuf> = workspace::files_below(&dir, ".log")?;
        verdicts.note(crashes.is_empty(), format!("{name}: crash reports: {crashes:?}"));
    }
    Ok(verdicts)
}

impl Places {
    fn classes(&self) -> PathBuf {
        self.dir.join("classes")
    }

    /// `plumb record -f churn -o DIR/NAME`
    fn record(&self, dir: &Path, name: &str) -> Command {
        let mut command = bound(&self.plumb.to_string_lossy());
        command.args(["record", "-f"]);
        command.arg(workspace::root().join("examples/churn/rules.toml"));
        command.arg("-o").arg(dir.join(name));
        command.current_dir(dir);
        command
    }

    /// The JVM's arguments, with the program and how long it is to live.
    fn arguments(&self, jvm_options: &[&str], time: Duration) -> Vec<String> {
        let mut arguments: Vec<String> = jvm_options.iter().map(|option| (*option).to_owned()).collect();
        arguments.extend(["-Xmx256m", "-XX:ErrorFile=hs_err_%p.log", "-cp"].map(str::to_owned));
        arguments.push(self.classes().display().to_string());
        arguments.extend(["Turnover".to_owned(), time.as_millis().to_string()]);
        arguments
    }
}

fn from_start(
    verdicts: &mut Verdicts,
    places: &Places,
    dir: &Path,
    (name, jvm_options): (&str, &[&str]),
    time: Duration,
) -> Result<()> {
    let mut command = places.record(dir, "start");
    command.arg("--").arg(places.home.join("bin/java"));
    let output = command
        .args(places.arguments(jvm_options, time))
        .output()
        .context("cannot start plumb")?;
    let said = said_by(&output);
    fs::write(dir.join("start.txt"), &said)?;
    verdicts.note(
        output.status.success(),
        format!("{name}, from its start: {}", output.status),
    );
    note_complaints(verdicts, name, &said);
    let books = books::read(&places.plumb, &dir.join("start.plumb"))?;
    let counted = counted(&said);
    let is_right = books.wrong_rows == 0 && books.lost == 0 && books.uncounted == 0 && Some(books.units) == counted;
    verdicts.note(
        is_right,
        format!("{name}, from its start: {books}; the program counted {counted:?} calls"),
    );
    remove(dir, "start")
}

/// One JVM, to which plumb comes again and again.
fn attached(
    verdicts: &mut Verdicts,
    places: &Places,
    dir: &Path,
    (name, jvm_options): (&str, &[&str]),
    time: Duration,
) -> Result<()> {
    let mut java = bound(&places.home.join("bin/java").to_string_lossy());
    java.args(places.arguments(jvm_options, FOR_LONG));
    let path = dir.join("attached.txt");
    let said = File::create(&path)?;
    java.current_dir(dir).stdout(said.try_clone()?).stderr(said);
    let mut java = Background::start("java", &mut java)?;
    wait_until_it_can_be_attached_to(&mut java)?;
    let mut units = 0;
    for round in 1..=ROUNDS {
        let recording = format!("round-{round}");
        let length = format!("{}ms", (time / ROUNDS).as_millis().max(100));
        let mut command = places.record(dir, &recording);
        let output = command
            .args(["-d", &length, "--pid", &java.pid().to_string()])
            .output()
            .context("cannot start plumb")?;
        java.still_runs()?;
        if !output.status.success() {
            verdicts.note(false, format!("{name}, round {round}: {}", said_by(&output)));
            continue;
        }
        let books = books::read(&places.plumb, &dir.join(format!("{recording}.plumb")))?;
        let is_right = books.wrong_rows == 0 && books.lost == 0 && books.uncounted == 0;
        units += books.units;
        if !is_right {
            verdicts.note(false, format!("{name}, round {round}: {books}"));
        }
        remove(dir, &recording)?;
    }
    // A short round on a busy machine may have none.
    verdicts.note(
        units > 0,
        format!("{name}: {ROUNDS} times attached to and left, {units} units"),
    );
    note_complaints(verdicts, name, &fs::read_to_string(path)?);
    Ok(())
}

/// A JVM that starts dies of the signal that attaching begins with; plumb knows, and waits two seconds at the most.
fn wait_until_it_can_be_attached_to(java: &mut Background) -> Result<()> {
    let status = format!("/proc/{}/maps", java.pid());
    loop {
        java.still_runs()?;
        if fs::read_to_string(&status)?.contains("libjvm.so") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The checks complain about the JDK's own natives, too, as warnings about exceptions that are pending; these lines are about what natives do wrong.
fn note_complaints(verdicts: &mut Verdicts, name: &str, said: &str) {
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("WARNING in native") || line.contains("FATAL ERROR") || line.contains("panicked"))
        .collect();
    verdicts.note(
        complaints.is_empty(),
        format!("{name}: the JVM's complaints: {complaints:?}"),
    );
}

fn said_by(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What the program says at its end: `{"calls": 7}`.
fn counted(said: &str) -> Option<u64> {
    said.lines()
        .find_map(|line| serde_json::from_str::<Value>(line).ok()?["calls"].as_u64())
}

fn remove(dir: &Path, name: &str) -> Result<()> {
    fs::remove_dir_all(dir.join(name))?;
    fs::remove_file(dir.join(format!("{name}.plumb")))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_complaints_are_found() {
        assert_eq!(counted("x\n{\"calls\": 7}\nrecorded 1 s\n"), Some(7));
        assert_eq!(counted("x"), None);
        let mut verdicts = Verdicts::default();
        note_complaints(&mut verdicts, "a", "WARNING in native method: x\n");
        note_complaints(&mut verdicts, "a", "fine\n");
        assert_eq!(verdicts.bad().len(), 1);
    }
}

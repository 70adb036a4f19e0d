//! Attach, record, detach, again and again, on Tomcat under full load.

use super::Options;
use super::books;
use super::footprint::{self, Footprint};
use super::judge::{Slack, Verdicts};
use crate::demo::shop::{self, Shop};
use crate::process::{self, Background, bound};
use crate::{jdk, packages, workspace};
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// How long a round records.
const RECORD: &str = "1s";
/// A round that takes longer than this stood still somewhere: attaching, merging and detaching take a second on top of the recording.
const ROUND_MAX: Duration = Duration::from_secs(10);
/// Samples that are taken, at the most: each costs some collections of the JVM's garbage.
const SAMPLES: usize = 20;
/// How the server's JVM is run, so that a collection takes all that nobody needs any more, and what is there after it is flat where nothing leaks.
///
/// Compiled code that was thrown away keeps the classes that it was made from, those of before each change too (17 a round), until a sweeper has passed: before JDK 20 that one comes when enough
/// code has changed, and here at once. Caches (accessors that reflection makes, forms of method handles: some ninety classes) live for minutes after their last use where memory is plenty,
/// and here for none.
const COLLECTED_AT_ONCE: [&str; 3] = [
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-XX:SweeperThreshold=0.001",
    "-XX:SoftRefLRUPolicyMSPerMB=0",
];
/// Collections before a look, and the time after each for the sweeper: what one finds unreachable the next unloads.
const COLLECTIONS: usize = 3;
const SWEEP_TIME: Duration = Duration::from_millis(200);
/// What is asked of the server: enough work for a real request, little enough for thousands a second.
const PATH: &str = "/order?rounds=2000";
/// Seconds that the throughput is measured, and how often.
const MEASURE_SECONDS: &str = "6";
const MEASURES: usize = 3;
/// Least part of the throughput before that must be there after.
const THROUGHPUT_MIN: f64 = 0.9;

/// What the server was like after a round.
struct Sample {
    process: Footprint,
    classes: f64,
    metaspace_kib: f64,
    metaspace_given_back_kib: f64,
}

/// Runs it.
pub fn run(options: &Options) -> Result<Verdicts> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::SERVER)?;
    let home = jdk::home(&options.jdk)?;
    let plumb = workspace::build_release()?;
    let dir = workspace::fresh_dir("soak-attach")?;
    let mut shop = shop::start_with(&home, &dir, &COLLECTED_AT_ONCE.map(str::to_owned))?;
    let url = shop.url(PATH);
    // The compiler has to be done with its work before anything is measured.
    throughput(&url)?;
    let before = throughput(&url)?;
    let load = Load::start(&url, &dir)?;
    let mut verdicts = Verdicts::default();
    let mut samples = Vec::new();
    let every = options.rounds.div_ceil(SAMPLES);
    for round in 1..=options.rounds {
        record(&plumb, &shop, &dir, round, &mut verdicts)?;
        shop.still_runs()?;
        if round % every == 0 || round == options.rounds {
            let sample = sample(&home, shop.pid())?;
            println!(
                "round {round} of {}: {:.0} KiB, {:.0} descriptors, {:.0} mappings, {:.0} threads, {:.0} classes, metaspace {:.0} KiB and {:.0} given back",
                options.rounds,
                sample.process.anonymous_kib,
                sample.process.descriptors,
                sample.process.mappings,
                sample.process.threads,
                sample.classes,
                sample.metaspace_kib,
                sample.metaspace_given_back_kib
            );
            samples.push(sample);
        }
    }
    load.finish(&mut verdicts)?;
    let after = throughput(&url)?;
    verdicts.note(
        after >= before * THROUGHPUT_MIN,
        format!(
            "throughput: {before:.0} requests/s before, {after:.0} after ({:.3})",
            after / before
        ),
    );
    judge(&mut verdicts, &samples);
    leftovers(&mut verdicts, shop.pid(), &dir)?;
    Ok(verdicts)
}

/// One round, whose recording is checked and removed.
fn record(plumb: &Path, shop: &Shop, dir: &Path, round: usize, verdicts: &mut Verdicts) -> Result<()> {
    let recording = dir.join(format!("round-{round}"));
    let timeline = dir.join(format!("round-{round}.plumb"));
    let mut command = Command::new(plumb);
    command.args(["record", "-d", RECORD, "-f"]);
    command.arg(workspace::root().join("examples/shop/rules.toml"));
    command
        .arg("-o")
        .arg(&recording)
        .args(["--pid", &shop.pid().to_string()]);
    let began = Instant::now();
    let output = command.output().context("cannot start plumb")?;
    let took = began.elapsed();
    if !output.status.success() {
        bail!("round {round} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let books = books::read(plumb, &timeline)?;
    let is_good = books.units > 0 && books.wrong_rows == 0 && books.lost == 0 && books.uncounted == 0;
    if !is_good || took > ROUND_MAX {
        verdicts.note(false, format!("round {round}, {:.1} s: {books}", took.as_secs_f64()));
    }
    if !is_good {
        println!("round {round} is kept: {}", timeline.display());
        return Ok(());
    }
    fs::remove_dir_all(&recording)?;
    fs::remove_file(&timeline)?;
    Ok(())
}

/// After collections of garbage, so that memory is what is used.
fn sample(home: &Path, pid: u32) -> Result<Sample> {
    let jcmd = |question: &str| process::output(Command::new(home.join("bin/jcmd")).args([&pid.to_string(), question]));
    for _ in 0..COLLECTIONS {
        jcmd("GC.run")?;
        thread::sleep(SWEEP_TIME);
    }
    // JVM counters of loaded classes count each retransformation of a class: what lives is told by the heap.
    let classes = instances(&jcmd("GC.class_histogram")?, "java.lang.Class").context("the heap has no classes")?;
    let metaspace = metaspace_kib(&jcmd("VM.metaspace")?).context("the JVM does not tell its metaspace")?;
    Ok(Sample {
        process: Footprint::of(pid)?,
        classes,
        metaspace_kib: metaspace.used - metaspace.given_back,
        metaspace_given_back_kib: metaspace.given_back,
    })
}

/// What a JVM's report says of its metaspace, KiB.
#[derive(Debug, PartialEq)]
struct Metaspace {
    used: f64,
    /// Blocks within what is used that were given back, to be used again: what a class that was changed leaves behind. How soon the JVM finds a use for them is its
    /// own business.
    given_back: f64,
}

/// Reads the line `Both:  764 chunks, … 16.15 MB ( 94%) used, … deallocated: 3496 blocks with 843.42 KB`.
fn metaspace_kib(report: &str) -> Option<Metaspace> {
    let line = report.lines().find_map(|line| line.trim().strip_prefix("Both:"))?;
    let used = line.split(',').find(|part| part.trim_end().ends_with("used"))?;
    let given_back = line.split_once("blocks with").map_or(Some(0.0), |(_, size)| kib(size));
    Some(Metaspace {
        used: kib(used)?,
        given_back: given_back?,
    })
}

/// KiB of `843.42 KB` or `16.15 MB`, whatever stands behind it.
fn kib(text: &str) -> Option<f64> {
    let mut words = text.split_ascii_whitespace();
    let number: f64 = words.next()?.parse().ok()?;
    let factor = match words.next()?.trim_end_matches(',') {
        "bytes" => 1.0 / 1024.0,
        "KB" => 1.0,
        "MB" => 1024.0,
        "GB" => 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number * factor)
}

/// How many objects of a class a histogram counts: `  12:  2099  274536  java.lang.Class (java.base@17.0.15)`.
fn instances(histogram: &str, class: &str) -> Option<f64> {
    let mut rows = histogram
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(3) == Some(&class))?;
    row.get(1)?.parse().ok()
}

fn judge(verdicts: &mut Verdicts, samples: &[Sample]) {
    let processes: Vec<Footprint> = samples.iter().map(|sample| sample.process).collect();
    // malloc's arenas and the compiler's come and go with the load.
    let memory = Slack {
        part: 0.03,
        more: 4096.0,
    };
    footprint::judge(verdicts, "the JVM", &processes, memory, 16.0);
    let values = |of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<f64>>();
    let classes = Slack { part: 0.0, more: 8.0 };
    verdicts.flat("the JVM's classes", "loaded", &values(|sample| sample.classes), classes);
    // A constant pool that grew by an entry a round in each class with a probe would be many times this.
    let metaspace = Slack {
        part: 0.005,
        more: 64.0,
    };
    verdicts.flat(
        "the JVM's metaspace",
        "KiB used",
        &values(|sample| sample.metaspace_kib),
        metaspace,
    );
}

/// What of plumb is left in the JVM: its library's file is mapped, once; nothing else is.
fn leftovers(verdicts: &mut Verdicts, pid: u32, dir: &Path) -> Result<()> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let ours = maps
        .lines()
        .filter(|line| line.contains("plumb") && !line.contains(&*dir.to_string_lossy()));
    let (library, others): (Vec<&str>, Vec<&str>) = ours.partition(|line| line.contains(".so"));
    let starts = library.iter().filter(|line| line.contains("r--p 00000000")).count();
    verdicts.note(
        others.is_empty() && starts <= 1,
        format!(
            "left in the JVM: {starts} library, {} other mappings {others:?}",
            others.len()
        ),
    );
    let crashes = workspace::files_below(dir, ".log")?;
    let crashes: Vec<&PathBuf> = crashes
        .iter()
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("hs_err"))
        })
        .collect();
    verdicts.note(crashes.is_empty(), format!("crash reports: {crashes:?}"));
    Ok(())
}

/// wrk for as long as the rounds take; it tells at its end which requests failed.
struct Load {
    wrk: Background,
    said: PathBuf,
}

impl Load {
    fn start(url: &str, dir: &Path) -> Result<Load> {
        let said = dir.join("wrk.txt");
        let mut wrk = bound("wrk");
        wrk.args([
            "--threads",
            "1",
            "--connections",
            "8",
            "--timeout",
            "20s",
            "--duration",
            "1000h",
            url,
        ]);
        wrk.stdout(File::create(&said)?);
        Ok(Load {
            wrk: Background::start("wrk", &mut wrk)?,
            said,
        })
    }

    fn finish(mut self, verdicts: &mut Verdicts) -> Result<()> {
        self.wrk.interrupt()?;
        let said = fs::read_to_string(&self.said)?;
        let requests = said
            .lines()
            .find(|line| line.contains("requests in"))
            .unwrap_or("none")
            .trim();
        let failed: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("Socket errors") || line.contains("Non-2xx"))
            .collect();
        verdicts.note(
            failed.is_empty() && requests != "none",
            format!("requests under the rounds: {requests}; failed: {failed:?}"),
        );
        Ok(())
    }
}

/// Requests a second, the median of a few measurements.
fn throughput(url: &str) -> Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..MEASURES {
        let mut wrk = Command::new("wrk");
        wrk.args([
            "--threads",
            "1",
            "--connections",
            "8",
            "--duration",
            MEASURE_SECONDS,
            url,
        ]);
        let said = process::output(&mut wrk)?;
        rates.push(requests_a_second(&said).with_context(|| format!("wrk said: {said}"))?);
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[MEASURES / 2])
}

fn requests_a_second(said: &str) -> Option<f64> {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Requests/sec:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn histograms_are_understood() {
        let said = " num     #instances         #bytes  class name (module)\n   1:  10  40  [B (java.base@17)\n   4:  2099  8  java.lang.Class (java.base@17)\n";
        assert_eq!(super::instances(said, "java.lang.Class"), Some(2099.0));
        assert_eq!(super::instances(said, "java.lang.String"), None);
    }

    #[test]
    fn metaspace_is_understood() {
        let said = "   Both:  764 chunks,     17.17 MB capacity,   16.42 MB ( 96%) committed,    16.15 MB ( 94%) used,   276.68 KB (  2%) free,   336 bytes ( <1%) waste , deallocated: 3496 blocks with 843.42 KB\n";
        let metaspace = super::metaspace_kib(said).expect("a line about both");
        assert_eq!((metaspace.used, metaspace.given_back), (16.15 * 1024.0, 843.42));
        assert_eq!(super::metaspace_kib("Both: nothing"), None);
    }

    #[test]
    fn wrk_is_understood() {
        let said = "Running 6s test\n  100 requests in 6.00s, 1.00MB read\nRequests/sec:    16.67\nTransfer/sec: 1MB\n";
        assert_eq!(super::requests_a_second(said), Some(16.67));
        assert_eq!(super::requests_a_second("nothing"), None);
    }
}

//! `cargo xtask demo`: a real Tomcat under load, ill in two ways (or healthy), recorded, reported and drawn; the report is checked.

mod check;
mod illness;
mod load;
pub mod shop;

use crate::{jdk, options, packages, process, workspace};
use anyhow::Result;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What `--help` says.
pub const HELP: &str = "\
cargo xtask demo [--healthy] [--jdk 17|21|25]

A Tomcat under load, recorded for ten seconds, reported and drawn, and whether the report names what ails it: CPUs that others hog, and a lock in the application. --healthy: without
either, and the report must find neither.";

/// How long the recording is.
const RECORD: &str = "10s";

/// What the caller chose.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    healthy: bool,
    jdk: String,
}

impl Options {
    /// Reads the options; `None` where one is not known.
    pub fn parse(arguments: &[&str]) -> Option<Options> {
        let default = Options {
            healthy: false,
            jdk: "17".to_owned(),
        };
        options::read(default, arguments, |options, argument, rest| {
            match argument {
                "--healthy" => options.healthy = true,
                "--jdk" => options.jdk = rest.text()?,
                _ => return None,
            }
            Some(())
        })
    }
}

/// Runs the demo.
///
/// # Errors
/// Where a step fails, or where the report does not name what was planted.
pub fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::SERVER)?;
    let java_home = jdk::home(&options.jdk)?;
    let plumb = workspace::build_release()?;
    let dir = workspace::fresh_dir("demo")?;
    let timeline = record(options, &java_home, &plumb, &dir)?;
    show(&plumb, &timeline)?;
    check::report(&plumb, &timeline, options.healthy)?;
    println!(
        "\nThe timeline is {}. Look at it yourself:\n  {plumb} view {timeline}\n  {plumb} report {timeline}\n  {plumb} ledger {timeline} --by group",
        timeline.display(),
        plumb = plumb.display(),
        timeline = timeline.display(),
    );
    Ok(())
}

/// Server, load and illnesses live only within this function.
fn record(options: &Options, java_home: &Path, plumb: &Path, dir: &Path) -> Result<PathBuf> {
    let mut shop = shop::start(java_home, dir)?;
    let _load = load::start(&shop.url(load::path(options.healthy)))?;
    let hogs = if options.healthy {
        Vec::new()
    } else {
        illness::hog_the_cpus(dir)?
    };
    println!(
        "{} is under load, {} processes hog the CPUs; recording it for {RECORD}",
        shop.name(),
        hogs.len()
    );
    let recording = dir.join("shop");
    let mut command = Command::new(plumb);
    command
        .args(["record", "-d", RECORD, "-f"])
        .arg(workspace::root().join("examples/shop/rules.toml"));
    command
        .arg("-o")
        .arg(&recording)
        .args(["--pid", &shop.pid().to_string()]);
    process::run(&mut command)?;
    shop.still_runs()?;
    Ok(dir.join("shop.plumb"))
}

fn show(plumb: &Path, timeline: &Path) -> Result<()> {
    println!("\nWhere the time of the request threads went:");
    process::run(
        Command::new(plumb)
            .arg("ledger")
            .arg(timeline)
            .args(["--group", "request"]),
    )?;
    println!("\nWhat is overloaded, and why:");
    process::run(Command::new(plumb).arg("report").arg(timeline))?;
    let picture = timeline.with_extension("png");
    process::run(
        Command::new(plumb)
            .arg("view")
            .arg(timeline)
            .arg("--screenshot")
            .arg(&picture)
            .args(["--size", "1600x900"]),
    )?;
    println!("The picture is {}", picture.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn options_are_read_or_refused() {
        let options = |healthy, jdk: &str| {
            Some(Options {
                healthy,
                jdk: jdk.to_owned(),
            })
        };
        assert_eq!(Options::parse(&[]), options(false, "17"));
        assert_eq!(Options::parse(&["--jdk", "25", "--healthy"]), options(true, "25"));
        assert_eq!(Options::parse(&["--jdk"]), None);
        assert_eq!(Options::parse(&["--ill"]), None);
    }
}

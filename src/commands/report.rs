//! `plumb report`.

use super::timeline;
use crate::failure::OrRemedy;
use anyhow::Result;
use plumb_analysis::report;
use std::{
    io::{self, Write},
    path::PathBuf,
};

/// Say what is overloaded, why, and on what evidence
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// The timeline
    #[arg(value_name = "FILE")]
    timeline: PathBuf,
    /// Machine-readable: {"findings": [...], "waits": [...], "units": [...], "efficiency": [...], "places": [...]}
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
A finding names a group of threads, what it waits for (its share of the time in which it had something to do), who has what it \
waits for, and what can be done. Below stands what groups wait for that are longest in park or net (within units, where these \
are recorded; waits between them are told apart), then the latencies of each kind of unit and what they consist of, and, where \
cycles and instructions were counted, how many instructions a cycle did; and, where the rules ask for them, the places of most \
exceptions and of most memory taken.

Examples:
  plumb report slow.plumb
  plumb report slow.plumb --json | jq '.findings[] | {kind, group, share}'";

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    let timeline = timeline::open(&arguments.timeline)?;
    let report = report(&timeline, timeline::window(&timeline, None, None)?).or_remedy(timeline::REMEDY)?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{:#}", report.to_json())?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(())
}

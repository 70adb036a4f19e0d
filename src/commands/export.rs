//! `plumb export`.

use super::timeline;
use crate::failure::OrRemedy;
use anyhow::Result;
use plumb_merger::export;
use std::path::PathBuf;

/// Write a timeline for another tool
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// The timeline
    #[arg(value_name = "FILE")]
    timeline: PathBuf,
    /// The other tool's format
    #[arg(long, value_enum)]
    format: Format,
    /// Where to write; for paraver, OUT.prv, OUT.pcf and OUT.row
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// Paraver: states and method calls
    Paraver,
    /// Time off the CPU by stack, for flame graphs
    Folded,
}

const HELP: &str = "\
Examples:
  plumb export slow.plumb --format paraver -o slow.prv && wxparaver slow.prv
  plumb export slow.plumb --format folded -o slow.folded
  inferno-flamegraph --countname ns slow.folded > slow.svg

Where the rules ask for stacks ([kernel] stacks = \"block\"), folded has a line for each stack that threads slept with; otherwise only states.";

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    let timeline = timeline::open(&arguments.timeline)?;
    let written = match arguments.format {
        Format::Paraver => export::paraver(&timeline, &arguments.output).map(Vec::from),
        Format::Folded => export::folded(&timeline, &arguments.output).map(|file| vec![file]),
    };
    let files = written.or_remedy("name another place with -o, on a file system with space")?;
    files.iter().for_each(|file| println!("{}", file.display()));
    Ok(())
}

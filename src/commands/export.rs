//! `plumb export`.

use anyhow::Result;
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
}

const HELP: &str = "\
Example:
  plumb export slow.plumb --format paraver -o slow.prv && wxparaver slow.prv";

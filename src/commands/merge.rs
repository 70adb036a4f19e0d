//! `plumb merge`.

use crate::{
    failure::{OrRemedy, of_reading},
    time::shown,
};
use anyhow::Result;
use plumb_merger::{MergeError, Progress, Summary};
use std::{
    io::{IsTerminal, stderr},
    path::{Path, PathBuf},
};

/// Merge recordings into one timeline
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// Directories that `plumb record` wrote
    #[arg(required = true, value_name = "DIR")]
    recordings: Vec<PathBuf>,
    /// The timeline [default: the first DIR with .plumb after its name]
    #[arg(short, long, value_name = "FILE.plumb")]
    output: Option<PathBuf>,
}

const HELP: &str = "\
`plumb record` merges by itself; this is for recordings made with --no-merge, and for those whose recorder was killed. What is \
damaged or missing is skipped, told, and marked as a loss in the timeline.

Examples:
  plumb merge slow                          → slow.plumb
  plumb merge slow -o /tmp/again.plumb";

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| default_output(&arguments.recordings[0]));
    merge(&arguments.recordings, &output)
}

/// DIR.plumb: beside the directory, whatever dots its name has.
pub fn default_output(dir: &Path) -> PathBuf {
    let mut name = dir.components().as_path().as_os_str().to_owned();
    name.push(".plumb");
    name.into()
}

/// Merges, and says what came of it.
pub fn merge(recordings: &[PathBuf], output: &Path) -> Result<()> {
    let mut line = ProgressLine {
        is_watched: stderr().is_terminal(),
        percent: None,
    };
    let merged = plumb_merger::merge(recordings, output, &mut |progress| line.tell(progress));
    line.clear();
    tell(output, &merged.or_else(with_remedy)?);
    Ok(())
}

/// What is wrong with a recording is not mended by another output.
fn with_remedy<T>(error: MergeError) -> Result<T> {
    let is_input = matches!(error, MergeError::Recording(_));
    let error = anyhow::Error::from(error);
    let remedy = of_reading(&error).filter(|_| is_input);
    let remedy = remedy.unwrap_or("the recording stays as it is; free space or name another place with -o");
    Err(error).or_remedy(remedy)
}

fn tell(output: &Path, summary: &Summary) {
    let Summary {
        records,
        threads,
        losses,
        lost_records,
        length_ns,
        notes,
    } = summary;
    let lost = lost_records.map_or("of an unknown number of".to_owned(), |records| format!("of {records}"));
    let losses = if *losses == 0 {
        "nothing lost".to_owned()
    } else {
        format!("{losses} losses {lost} records")
    };
    eprintln!(
        "{}: {}, {records} records, {threads} threads, {losses}",
        output.display(),
        shown(*length_ns)
    );
    for note in notes {
        eprintln!("note: {note}");
    }
}

/// Says how far it is, where somebody watches.
struct ProgressLine {
    is_watched: bool,
    percent: Option<u64>,
}

impl ProgressLine {
    fn tell(&mut self, progress: Progress) {
        let percent = progress.records.saturating_mul(100) / progress.records_total.max(1);
        if self.is_watched && self.percent != Some(percent) {
            eprint!("\r\x1b[Kmerging: {percent} %");
            self.percent = Some(percent);
        }
    }

    fn clear(&self) {
        if self.percent.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

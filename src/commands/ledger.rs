//! `plumb ledger`.

use super::timeline;
use crate::{
    failure::OrRemedy,
    time::{Time, parse_time},
};
use anyhow::{Result, anyhow};
use plumb_analysis::ledger;
use plumb_trace::timeline::Query;
use std::{
    io::{self, Write},
    path::PathBuf,
};

/// Say where the time of threads, groups, processes or units went, state by state
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// The timeline
    #[arg(value_name = "FILE")]
    timeline: PathBuf,
    /// One row for each of these
    #[arg(long, value_enum, default_value = "thread")]
    by: By,
    /// Only threads of this group, or units of theirs
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Begin of the window: from the start (1.5s, 200ms), or absolute ns (@NS)
    #[arg(long, value_name = "T", value_parser = parse_time)]
    from: Option<Time>,
    /// End of the window
    #[arg(long, value_name = "T", value_parser = parse_time)]
    to: Option<Time>,
    /// Machine-readable, times in ns
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// For spreadsheets, times in ns
    #[arg(long)]
    csv: bool,
}

/// What a row is.
#[derive(Clone, Copy, clap::ValueEnum)]
enum By {
    Thread,
    Group,
    Process,
    Unit,
}

const HELP: &str = "\
The states of a row sum to its life within the window, to the nanosecond. `ready` is time without a CPU, `stolen` what the \
hypervisor took, `monitor` waiting for a Java monitor, `unknown` what was not seen. Losses are listed below the rows.

Units have a row for each name and key. A unit that several threads worked on is the sum of what they did for it; `queue` is \
how long its tasks waited for a thread after they were handed over, beside its life, not in it.

Examples:
  plumb ledger slow.plumb --by group
  plumb ledger slow.plumb --by unit --from 10s --to 20s
  plumb ledger slow.plumb --group request --json | jq '.rows[].states_ns.ready'";

impl From<By> for plumb_analysis::By {
    fn from(by: By) -> plumb_analysis::By {
        match by {
            By::Thread => plumb_analysis::By::Thread,
            By::Group => plumb_analysis::By::Group,
            By::Process => plumb_analysis::By::Process,
            By::Unit => plumb_analysis::By::Unit,
        }
    }
}

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    let timeline = timeline::open(&arguments.timeline)?;
    check_group(arguments.group.as_deref(), &timeline.info().groups)?;
    let window = timeline::window(&timeline, arguments.from, arguments.to)?;
    let ledger =
        ledger(&timeline, arguments.by.into(), window, arguments.group.as_deref()).or_remedy(timeline::REMEDY)?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{:#}", ledger.to_json())?;
    } else if arguments.csv {
        write!(out, "{}", ledger.to_csv())?;
    } else {
        write!(out, "{ledger}")?;
    }
    Ok(())
}

/// A group that no rule made is a mistake of whoever asks, not an empty table.
fn check_group(asked: Option<&str>, known: &[String]) -> Result<()> {
    match asked {
        Some(name) if !known.iter().any(|known| known == name) => {
            let cause = Err(anyhow!("the timeline has no group `{}`", name.escape_debug()));
            cause.remedy(&match known {
                [] => "the rules that it was recorded with have no groups: ask without --group".to_owned(),
                known => format!("take one of these: {}", known.join(", ")),
            })
        }
        _ => Ok(()),
    }
}

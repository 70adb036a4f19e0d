//! `plumb detach`.

use super::record::with_remedy;
use anyhow::Result;
use plumb_agent::client;

/// Take plumb out of a running JVM
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// The JVM
    #[arg(long, value_name = "PID")]
    pid: u32,
}

const HELP: &str = "\
Recording detaches by itself at its end, even where the recorder was killed. This is for certainty: afterwards the JVM has its \
original bytecode, no event of plumb's is enabled, and there is no ring. It does nothing to a JVM that plumb is not in.

Example:
  plumb detach --pid 4711";

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    let had_session = client::detach(arguments.pid).map_err(|error| with_remedy(&error))?;
    match had_session {
        true => println!("plumb is out of JVM {}: it has its original bytecode", arguments.pid),
        false => println!("plumb was not recording in JVM {}", arguments.pid),
    }
    Ok(())
}

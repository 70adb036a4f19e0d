//! `plumb save`.

use anyhow::Result;
use plumb_collector::flight;

/// Have a flight recorder save what it holds
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// The flight recorder: the pid that `plumb record --flight` says at its begin
    #[arg(long, value_name = "PID")]
    pid: u32,
}

const HELP: &str = "\
For scripts and for alarms of other tools: a flight recorder saves by itself when a [[trigger]] of its rules fires, and with this when \
somebody else knows that now is the moment. It goes on recording, says where the window is, and merges it at its end; until then \
`plumb merge DIR/window-0001` makes its timeline. SIGUSR1 does the same; this looks first who would get the signal.

Example:
  plumb record --flight 30s -f tomcat --pid 4711 -o watch
  plumb save --pid 4800    as it has told; the window is watch/window-0001";

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    flight::ask_to_save(arguments.pid)?;
    println!("plumb (process {}) saves what it holds, and says where", arguments.pid);
    Ok(())
}

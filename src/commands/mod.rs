//! The subcommands.

mod rules;

use anyhow::Result;

/// What plumb does.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Check rule files: every mistake, and what they would match
    Rules(rules::Arguments),
}

/// Runs a subcommand.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Rules(arguments) => rules::run(&arguments),
    }
}

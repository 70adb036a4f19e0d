//! The subcommands.

mod detach;
mod doctor;
mod export;
mod kernel_options;
mod ledger;
mod merge;
mod record;
mod report;
mod rules;
mod save;
mod timeline;
mod view;

use anyhow::Result;

/// What plumb does.
#[derive(clap::Subcommand)]
pub enum Command {
    Doctor(doctor::Arguments),
    Record(record::Arguments),
    Merge(merge::Arguments),
    View(view::Arguments),
    Report(report::Arguments),
    Ledger(ledger::Arguments),
    Export(export::Arguments),
    /// Check rule files: every mistake, and what they would match
    Rules(rules::Arguments),
    Save(save::Arguments),
    Detach(detach::Arguments),
}

/// Runs a subcommand.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Record(arguments) => record::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::View(arguments) => view::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Ledger(arguments) => ledger::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Rules(arguments) => rules::run(&arguments),
        Command::Save(arguments) => save::run(&arguments),
        Command::Detach(arguments) => detach::run(&arguments),
    }
}

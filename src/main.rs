//! The command `plumb`: one small file a subcommand in `commands/`, which turns arguments into calls of the crates and their
//! answers into text. No logic of its own.

mod commands;
mod failure;
mod interrupt;
mod time;

use clap::Parser;
use std::process::ExitCode;

/// Shows on one time axis what a JVM's methods, its threads and the kernel's scheduler were doing: which threads of an overloaded
/// server wait, for what, and who has what they wait for.
#[derive(Parser)]
#[command(name = "plumb", version, max_term_width = 110, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: commands::Command,
}

const EXAMPLES: &str = "\
The way from a slow server to an answer:
  plumb doctor                                      does everything work here?
  plumb record -f tomcat --pid 4711 -d 30s -o slow  30 seconds of a running server
  plumb report slow.plumb                           what is overloaded, why, on what evidence
  plumb view slow.plumb                             look at it

Exit status: 0 done, 1 failed, 2 wrong usage. Errors go to stderr: a line of cause, a line of remedy.";

fn main() -> ExitCode {
    match commands::run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::tell(&error),
    }
}

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
  plumb doctor                        does everything work here?
  plumb record -f tomcat --pid 4711 -d 30s -o slow
                                      30 seconds of a running server
  plumb report slow.plumb             what is overloaded, why, on what evidence
  plumb view slow.plumb               look at it

Exit status: 0 done, 1 failed, 2 wrong usage. Errors go to stderr: a line of cause, a line of remedy.";

fn main() -> ExitCode {
    match commands::run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::tell(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, CommandFactory};

    /// Columns of a small terminal.
    const COLUMNS: usize = 80;

    fn check(command: &Command) {
        let helps = [command.get_after_long_help(), command.get_after_help()];
        for help in helps.into_iter().flatten().map(ToString::to_string) {
            let lines: Vec<&str> = help.lines().collect();
            for (line, next) in lines.iter().zip(lines.iter().skip(1).chain([&""])) {
                let name = command.get_name();
                // What is broken by hand and then again by the terminal cannot be read; examples, which are copied, must not be broken at all.
                assert!(
                    !line.starts_with(' ') || line.chars().count() <= COLUMNS,
                    "{name}: {line}"
                );
                let is_prose = |line: &str| line.starts_with(char::is_alphanumeric) && !line.ends_with(':');
                assert!(
                    !(is_prose(line) && is_prose(next)),
                    "{name}: a paragraph is broken: {line}"
                );
            }
        }
        command.get_subcommands().for_each(check);
    }

    #[test]
    fn help_can_be_read_on_any_terminal() {
        let command = Arguments::command();
        command.clone().debug_assert();
        check(&command);
    }
}

//! `cargo xtask TASK`: what a newcomer, a developer and CI run. Every task installs what it needs and says so.
//!
//! Design constraints: works on a fresh Debian 12 with Rust, gcc and root, no network but package registries; few
//! dependencies, because this crate is built before anything else; no task leaves a process behind.

mod bench;
mod demo;
mod dist;
mod fuzz;
mod jdk;
mod options;
mod packages;
mod process;
mod soak;
mod test;
mod workspace;

use anyhow::Result;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask demo [--healthy] [--jdk RELEASE] a real server, overloaded in two ways (or in none), recorded, reported, drawn
cargo xtask test [--jdk 11]                  rustfmt, clippy, every test of the workspace; also on JDK 11
cargo xtask bench kernel|agent               what one scheduler switch, one recorded method call costs, beside perf and JFR
cargo xtask bench tomcat                     what recording costs a server under full load, beside JFR and perf, in pairs
cargo xtask bench attach                     what attaching costs a server, second by second
cargo xtask bench startup                    what recording from its start costs a compiler, and how fast classes get probes
cargo xtask fuzz [TARGET] [--seconds N]      bytes that nobody would write, for whatever reads bytes of others
cargo xtask soak [NAME]                      the same thing for long: attach again and again, record, keep a flight recorder
cargo xtask dist                             the archive that is given away, made and tried

Missing Debian packages are installed (as root). Everything else is made under target/. With PLUMB_BUILT=PATH bench and soak take that command, and the library beside it,
in place of building one.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(Done::Yes) => ExitCode::SUCCESS,
        Ok(Done::WrongUsage) => {
            eprintln!(
                "error: no such task: {}\nremedy: one of these\n\n{USAGE}",
                arguments.join(" ")
            );
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

enum Done {
    Yes,
    WrongUsage,
}

fn run(arguments: &[&str]) -> Result<Done> {
    match arguments {
        ["demo", rest @ ..] => task(demo::HELP, demo::Options::parse, demo::run, rest),
        ["test"] => done(test::run(&[])),
        ["test", "--jdk", release] => done(test::run(&[release])),
        ["bench", "kernel"] => done(bench::kernel::run()),
        ["bench", "agent", rest @ ..] => task(
            bench::agent::HELP,
            bench::agent::Options::parse,
            bench::agent::run,
            rest,
        ),
        ["bench", "attach", rest @ ..] => task(
            bench::attach::HELP,
            bench::attach::Options::parse,
            bench::attach::run,
            rest,
        ),
        ["bench", "startup", rest @ ..] => task(
            bench::startup::HELP,
            bench::startup::Options::parse,
            bench::startup::run,
            rest,
        ),
        ["bench", "tomcat", rest @ ..] => task(
            bench::tomcat::HELP,
            bench::tomcat::Options::parse,
            bench::tomcat::run,
            rest,
        ),
        ["dist"] => done(dist::run()),
        ["dist", "--help" | "-h"] => done(say(dist::HELP)),
        ["fuzz", rest @ ..] => task(fuzz::HELP, fuzz::Options::parse, fuzz::run, rest),
        ["soak", rest @ ..] => task(soak::HELP, soak::Options::parse, soak::run, rest),
        []
        | ["help" | "--help" | "-h"]
        | ["test" | "bench", "--help" | "-h"]
        | ["bench", "kernel", "--help" | "-h"] => done(say(USAGE)),
        _ => Ok(Done::WrongUsage),
    }
}

/// A task with options of its own.
fn task<O>(
    help: &str,
    parse: impl Fn(&[&str]) -> Option<O>,
    run: impl Fn(&O) -> Result<()>,
    rest: &[&str],
) -> Result<Done> {
    match (rest, parse(rest)) {
        (["--help" | "-h"], _) => done(say(help)),
        (_, Some(options)) => done(run(&options)),
        (_, None) => Ok(Done::WrongUsage),
    }
}

fn say(text: &str) -> Result<()> {
    println!("{text}");
    Ok(())
}

fn done(ran: Result<()>) -> Result<Done> {
    ran.map(|()| Done::Yes)
}

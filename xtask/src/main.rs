//! `cargo xtask TASK`: what a newcomer, a developer and CI run. Every task installs what it needs and says so.
//!
//! Design constraints: works on a fresh Debian 12 with Rust, gcc and root, no network but package registries; few
//! dependencies, because this crate is built before anything else; no task leaves a process behind.

mod bench;
mod demo;
mod dist;
mod fuzz;
mod jdk;
mod packages;
mod process;
mod soak;
mod test;
mod workspace;

use anyhow::Result;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask demo [--healthy] [--jdk 17|25]   a real server, overloaded in two ways (or in none), recorded, reported, drawn
cargo xtask test                             rustfmt, clippy, every test of the workspace
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
        ["demo", options @ ..] => match demo::Options::parse(options) {
            Some(options) => demo::run(&options)?,
            None => return Ok(Done::WrongUsage),
        },
        ["test"] => test::run()?,
        ["bench", "kernel"] => bench::kernel::run()?,
        ["bench", "agent", "--help" | "-h"] => println!("{}", bench::agent::HELP),
        ["bench", "agent", options @ ..] => match bench::agent::Options::parse(options) {
            Some(options) => bench::agent::run(&options)?,
            None => return Ok(Done::WrongUsage),
        },
        ["bench", "attach", "--help" | "-h"] => println!("{}", bench::attach::HELP),
        ["bench", "attach", options @ ..] => match bench::attach::Options::parse(options) {
            Some(options) => bench::attach::run(&options)?,
            None => return Ok(Done::WrongUsage),
        },
        ["bench", "startup", "--help" | "-h"] => println!("{}", bench::startup::HELP),
        ["bench", "startup", options @ ..] => match bench::startup::Options::parse(options) {
            Some(options) => bench::startup::run(&options)?,
            None => return Ok(Done::WrongUsage),
        },
        ["bench", "tomcat", "--help" | "-h"] => println!("{}", bench::tomcat::HELP),
        ["bench", "tomcat", options @ ..] => match bench::tomcat::Options::parse(options) {
            Some(options) => bench::tomcat::run(&options)?,
            None => return Ok(Done::WrongUsage),
        },
        ["dist", "--help" | "-h"] => println!("{}", dist::HELP),
        ["dist"] => dist::run()?,
        ["fuzz", "--help" | "-h"] => println!("{}", fuzz::HELP),
        ["fuzz", options @ ..] => match fuzz::Options::parse(options) {
            Some(options) => fuzz::run(&options)?,
            None => return Ok(Done::WrongUsage),
        },
        ["soak", "--help" | "-h"] => println!("{}", soak::HELP),
        ["soak", options @ ..] => match soak::Options::parse(options) {
            Some(options) => soak::run(&options)?,
            None => return Ok(Done::WrongUsage),
        },
        [] | ["help" | "--help" | "-h"] => println!("{USAGE}"),
        _ => return Ok(Done::WrongUsage),
    }
    Ok(Done::Yes)
}

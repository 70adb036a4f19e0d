//! `plumb doctor`.

use anyhow::{Result, bail};
use plumb_agent::client;
use plumb_collector::doctor;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Say what works on this machine, what does not, why, and what to do about it
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// Machine-readable: {"checks": [{"name", "ok", "why", "remedy", "optional"}]}
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Looks at the kernel (BPF, BTF, tracepoints, rights, real-time priority, clock source) and at what the JVM's side needs. Nothing is \
changed. Run it as the user who will record.

Examples:
  plumb doctor
  plumb doctor --json | jq '.checks[] | select(.ok | not)'

Exit status 1 where something that recording needs does not work; `no` stands before what only some rules ask for.";

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<()> {
    let checks = checks();
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(
            out,
            "{:#}",
            json!({"checks": checks.iter().map(to_json).collect::<Vec<_>>()})
        )?;
    } else {
        checks.iter().try_for_each(|check| write!(out, "{}", to_text(check)))?;
    }
    let failed = checks.iter().filter(|check| !check.ok && !check.optional).count();
    if failed > 0 {
        bail!(
            "{failed} of {} checks failed\nsee what each of them says to do",
            checks.len()
        );
    }
    Ok(())
}

/// What the collector and the agent's client found, in one form.
struct Check {
    name: String,
    ok: bool,
    why: String,
    remedy: String,
    optional: bool,
}

fn checks() -> Vec<Check> {
    let kernel = doctor::checks().into_iter().map(|check| Check {
        name: check.name.to_owned(),
        ok: check.ok,
        why: check.why,
        remedy: check.remedy,
        optional: check.optional,
    });
    let jvm = client::checks()
        .into_iter()
        .map(|client::Check { name, ok, why, remedy }| Check {
            name,
            ok,
            why,
            remedy,
            optional: false,
        });
    kernel.chain(jvm).collect()
}

fn to_json(check: &Check) -> Value {
    let Check {
        name,
        ok,
        why,
        remedy,
        optional,
    } = check;
    json!({"name": name, "ok": ok, "why": why, "remedy": remedy, "optional": optional})
}

fn to_text(check: &Check) -> String {
    let Check {
        name,
        ok,
        why,
        remedy,
        optional,
    } = check;
    let mark = match (ok, optional) {
        (true, _) => "ok  ",
        (false, true) => "no  ",
        (false, false) => "FAIL",
    };
    let remedy = if *ok || remedy.is_empty() {
        String::new()
    } else {
        format!("     remedy: {remedy}\n")
    };
    format!("{mark} {name}: {why}\n{remedy}")
}

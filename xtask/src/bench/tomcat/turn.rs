//! One turn of wrk against the server, and what the machine spent meanwhile.

use crate::process;
use anyhow::{Context, Result};
use std::{fs, process::Command};

/// What is asked: enough work for a real request, little enough for thousands a second. A request also waits for a bank that thinks for some milliseconds.
pub const PATH: &str = "/order?rounds=20000";
/// Turns before anything is measured: the compiler has to be done.
pub const WARM_UP: usize = 4;
const SECONDS: &str = "6";
/// As many as the server has threads: then all its CPUs are busy.
const CONNECTIONS: &str = "32";
/// Of USER_HZ, in which /proc counts.
const TICK_NS: f64 = 1e7;

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    pub requests_a_second: f64,
    /// All CPU time of the machine but wrk's.
    pub cpu_ns_a_request: f64,
    pub p99_ms: f64,
}

/// Takes a turn.
pub fn take(url: &str) -> Result<Turn> {
    let mut wrk = Command::new("wrk");
    wrk.args(["--latency", "--threads", "1", "--connections", CONNECTIONS])
        .args(["--timeout", "20s", "--duration", SECONDS, url]);
    let (machine, children) = (machine_ns()?, children_ns()?);
    let said = process::output(&mut wrk)?;
    let spent = machine_ns()? - machine - (children_ns()? - children);
    read(&said, spent).with_context(|| format!("wrk said: {said}"))
}

fn read(said: &str, spent_ns: f64) -> Option<Turn> {
    let line = |prefix: &str| said.lines().find_map(|line| line.trim().strip_prefix(prefix));
    let requests = said.lines().find(|line| line.contains(" requests in "))?;
    let requests: f64 = requests.split_whitespace().next()?.parse().ok()?;
    Some(Turn {
        requests_a_second: line("Requests/sec:")?.trim().parse().ok()?,
        cpu_ns_a_request: spent_ns / requests,
        p99_ms: milliseconds(line("99%")?.trim())?,
    })
}

fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

/// CPU time that the machine has spent since it started, ns: user, nice, system, interrupts and soft interrupts of /proc/stat.
fn machine_ns() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let fields: Vec<&str> = text.lines().next().unwrap_or("").split_whitespace().collect();
    let ticks = [1, 2, 3, 6, 7].map(|field| fields.get(field)?.parse::<f64>().ok());
    let ticks: Option<f64> = ticks.into_iter().sum();
    Ok(ticks.context("/proc/stat is not as it should be")? * TICK_NS)
}

/// CPU time of this process's children that have ended, ns.
fn children_ns() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let after_name = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = after_name
        .split(' ')
        .skip(13)
        .take(2)
        .map(|field| field.parse::<f64>().ok());
    let ticks: Option<f64> = ticks.sum();
    Ok(ticks.context("/proc/self/stat is not as it should be")? * TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_is_understood() {
        let said = "  Latency Distribution\n     50%    1.05ms\n     99%  850.00us\n  30000 requests in 6.00s, 4.02MB read\nRequests/sec:   5000.25\n";
        let turn = Turn {
            requests_a_second: 5000.25,
            cpu_ns_a_request: 100.0,
            p99_ms: 0.85,
        };
        assert_eq!(read(said, 3e6), Some(turn));
        assert_eq!(read("", 1.0), None);
        assert_eq!(milliseconds("1.50s"), Some(1500.0));
    }
}

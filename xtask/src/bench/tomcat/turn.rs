//! One turn of wrk against the server, and what the machine spent meanwhile.

use crate::process;
use anyhow::{Context, Result};
use std::{fs, process::Command, time::Instant};

/// What is asked: enough work for a real request, little enough for thousands a second. A request also waits for a bank that thinks for some milliseconds.
pub const PATH: &str = "/order?rounds=20000";
/// Turns before anything is measured: the compiler has to be done.
pub const WARM_UP: usize = 4;
const SECONDS: &str = "6";
/// Load before each turn that does not count: what the JVM compiles anew when somebody attaches or leaves is `bench attach`'s.
const RAMP_SECONDS: &str = "5";
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
    process::output(&mut wrk(url, RAMP_SECONDS))?;
    let before = Book::read()?;
    let said = process::output(&mut wrk(url, SECONDS))?;
    let spent_ns = before.spent_ns(&Book::read()?);
    let turn = of_wrk_ns(&said).and_then(|of_wrk_ns| read(&said, spent_ns - of_wrk_ns));
    turn.with_context(|| format!("wrk said: {said}"))
}

fn wrk(url: &str, seconds: &str) -> Command {
    // Bash tells what a program used to the millisecond, which /proc does in ticks.
    let mut wrk = Command::new("bash");
    wrk.args(["-c", "TIMEFORMAT='cpu %3U %3S'; { time wrk \"$@\"; } 2>&1", "bash"]);
    wrk.args(["--latency", "--threads", "1", "--connections", CONNECTIONS])
        .args(["--timeout", "20s", "--duration", seconds, url]);
    wrk
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

/// CPU time, so far.
struct Book {
    at: Instant,
    cpus: f64,
    /// When the CPUs were idle, or taken away from this machine, ns.
    not_ours_ns: f64,
}

impl Book {
    /// What /proc/stat says. Times that programs used are sampled there by ticks; idle and stolen time is kept to the nanosecond, and told to the tick. What is left of the
    /// time of all CPUs was used: by programs, the kernel, its interrupts.
    fn read() -> Result<Book> {
        let (text, at) = (fs::read_to_string("/proc/stat")?, Instant::now());
        let (cpus, ticks) = not_ours(&text).context("/proc/stat is not as it should be")?;
        Ok(Book {
            at,
            cpus,
            not_ours_ns: ticks * TICK_NS,
        })
    }

    fn spent_ns(&self, later: &Book) -> f64 {
        let wall_ns = later.at.duration_since(self.at).as_nanos() as f64 * self.cpus;
        wall_ns - (later.not_ours_ns - self.not_ours_ns)
    }
}

/// Number of CPUs, and ticks in which they were idle, waited for a disk, or were stolen.
fn not_ours(stat: &str) -> Option<(f64, f64)> {
    let cpus = stat
        .lines()
        .filter(|line| line.starts_with("cpu"))
        .count()
        .checked_sub(1)?;
    let fields: Vec<&str> = stat.lines().next()?.split_whitespace().collect();
    let ticks: Option<f64> = [4, 5, 8]
        .map(|field| fields.get(field)?.parse::<f64>().ok())
        .into_iter()
        .sum();
    Some((cpus as f64, ticks?))
}

/// What the shell says of the CPU time of wrk, ns: `cpu 1.234 0.567`.
fn of_wrk_ns(said: &str) -> Option<f64> {
    let line = said.lines().rev().find_map(|line| line.strip_prefix("cpu "))?;
    let seconds: Option<f64> = line.split_whitespace().map(|part| part.parse::<f64>().ok()).sum();
    Some(seconds? * 1e9)
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
        assert_eq!(of_wrk_ns("Transfer/sec: 1MB\ncpu 1.250 0.500\n"), Some(1.75e9));
        assert_eq!(of_wrk_ns("Transfer/sec: 1MB\n"), None);
    }

    #[test]
    fn time_that_was_not_ours_is_understood() {
        let stat =
            "cpu  100 0 200 30 4 0 0 5 0 0\ncpu0 50 0 100 15 2 0 0 2 0 0\ncpu1 50 0 100 15 2 0 0 3 0 0\nintr 7\n";
        assert_eq!(not_ours(stat), Some((2.0, 39.0)));
        assert_eq!(not_ours("cpu 1 2"), None);
    }
}

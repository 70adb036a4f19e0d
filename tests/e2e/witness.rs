//! What the kernel itself says of a CPU: its own tracepoints, read through tracefs, which plumb has no part in.

use crate::support::say;
use std::{
    fs,
    path::{Path, PathBuf},
};

const TRACEFS: &str = "/sys/kernel/tracing";
/// Every one of these has an `_entry` and an `_exit`.
const INTERRUPTS: [&str; 8] = [
    "irq_vectors/local_timer",
    "irq_vectors/reschedule",
    "irq_vectors/call_function",
    "irq_vectors/call_function_single",
    "irq_vectors/irq_work",
    "irq_vectors/x86_platform_ipi",
    "irq/irq_handler",
    "irq/softirq",
];

/// What happened on CPU 0, CLOCK_MONOTONIC ns, good to a µs.
#[derive(Debug, Default)]
pub struct Account {
    /// Stretches in interrupts.
    pub interrupts: Vec<(u64, u64)>,
    /// When one thread took over from another.
    pub switches: Vec<u64>,
}

/// A tracefs instance of our own, taken away at the end.
pub struct Witness {
    instance: PathBuf,
}

impl Witness {
    /// Begins to watch CPU 0; `None`, said why, where this machine does not let us.
    pub fn of_cpu_0() -> Option<Witness> {
        let instance = Path::new(TRACEFS).join(format!("instances/plumb-test-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&instance) {
            say(&format!(
                "cannot tell on this machine whether gaps are interrupts: {}: {error}",
                instance.display()
            ));
            return None;
        }
        let witness = Witness { instance };
        let settings = [
            ("trace_clock", "mono"),
            ("tracing_cpumask", "1"),
            ("buffer_size_kb", "16384"),
        ];
        settings.iter().for_each(|(file, value)| witness.set(file, value));
        witness.set("events/sched/sched_switch/enable", "1");
        for event in INTERRUPTS {
            // An exit without its entry is passed over; an entry without its exit would never end.
            witness.set(&format!("events/{event}_exit/enable"), "1");
            witness.set(&format!("events/{event}_entry/enable"), "1");
        }
        Some(witness)
    }

    /// What it has seen so far.
    pub fn account(&self) -> Account {
        self.set("tracing_on", "0");
        let trace = fs::read_to_string(self.instance.join("trace")).expect("a trace");
        let mut account = Account::default();
        let mut depth = 0_u32;
        let mut from_ns = 0;
        for (at_ns, event) in trace.lines().filter_map(event) {
            match (event.ends_with("_entry"), depth) {
                _ if event == "sched_switch" => {
                    account.switches.push(at_ns);
                    continue;
                }
                (true, 0) => from_ns = at_ns,
                (false, 1) => account.interrupts.push((from_ns, at_ns)),
                _ => {}
            }
            depth = if event.ends_with("_entry") {
                depth + 1
            } else {
                depth.saturating_sub(1)
            };
        }
        account
    }

    fn set(&self, file: &str, value: &str) {
        let path = self.instance.join(file);
        fs::write(&path, value).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.instance);
    }
}

/// `  spinner-71  [000] d.h1.  3357.686237: local_timer_entry: vector=236`: when, and what.
fn event(line: &str) -> Option<(u64, &str)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words
        .windows(2)
        .find_map(|pair| Some((seconds(pair[0].strip_suffix(':')?)?, pair[1].strip_suffix(':')?)))
}

fn seconds(text: &str) -> Option<u64> {
    let (whole, micros) = text.split_once('.').filter(|(_, micros)| micros.len() == 6)?;
    Some(whole.parse::<u64>().ok()? * 1_000_000_000 + micros.parse::<u64>().ok()? * 1_000)
}

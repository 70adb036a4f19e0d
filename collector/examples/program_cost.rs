//! What recording costs inside the kernel: mean time of each BPF program by the kernel's own statistics, while two threads wake each other.
//!
//! `empty` is a program that does nothing (what the statistics themselves cost), `clock_only` one that reads the clock and the threads' fields and stores
//! nothing: the floor. With the argument `extras`, those of all that rules may ask for beside the scheduler are measured too, but for stacks, which are with the argument `stacks`; with `counters` the one that reads three software counters. One line of JSON for each program: `{"program", "runs", "mean_ns"}`; rounds in turn, the medians of which are told.

#[path = "../tests/common/threads.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod threads;

use plumb_collector::{
    CollectorError, Counter, Extras, KernelOptions, Options, ProgramCost, Recorder, Scope, Stacks, enable_statistics,
    probe_cost,
};
use std::collections::BTreeMap;
use threads::ping_pong;

const ROUNDS: usize = 5;
const EXCHANGES: usize = 100_000;
/// All system calls have numbers below this.
const CALLS: u16 = 512;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let extras = match std::env::args().nth(1).as_deref() {
        None => Extras::default(),
        Some("extras") => Extras {
            interrupts: true,
            faults: true,
            disk: true,
            calls: (0..CALLS).collect(),
            safepoints: true,
            parks: true,
            ..Extras::default()
        },
        Some("stacks") => Extras {
            stacks: Stacks {
                block: true,
                wakeup: true,
            },
            ..Extras::default()
        },
        Some("counters") => Extras {
            counters: ["task-clock", "page-faults", "cpu-migrations"]
                .into_iter()
                .filter_map(Counter::named)
                .collect(),
            ..Extras::default()
        },
        Some(_) => return Err("the only argument is `extras`, `stacks` or `counters`".into()),
    };
    let _statistics = enable_statistics()?;
    let mut costs: BTreeMap<String, Vec<ProgramCost>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let probes = ["empty", "clock_only"].map(|name| probe_cost(name, exchange));
        for probe in probes {
            costs.extend_with(probe?);
        }
        costs.extend_with(recorded(&extras)?);
    }
    for (program, rounds) in costs {
        let mut means: Vec<f64> = rounds.iter().map(ProgramCost::mean_ns).collect();
        means.sort_by(f64::total_cmp);
        let runs: u64 = rounds.iter().map(|cost| cost.runs).sum();
        println!(
            r#"{{"program": "{program}", "runs": {runs}, "mean_ns": {:.1}}}"#,
            means[means.len() / 2]
        );
    }
    Ok(())
}

trait ExtendWith {
    fn extend_with(&mut self, costs: impl IntoIterator<Item = ProgramCost>);
}

impl ExtendWith for BTreeMap<String, Vec<ProgramCost>> {
    fn extend_with(&mut self, costs: impl IntoIterator<Item = ProgramCost>) {
        for cost in costs {
            self.entry(cost.name.clone()).or_default().push(cost);
        }
    }
}

/// The programs' costs during a recording, which is thrown away.
fn recorded(extras: &Extras) -> Result<Vec<ProgramCost>, CollectorError> {
    let dir = std::env::temp_dir().join(format!("plumb-program-cost-{}", std::process::id()));
    let kernel = Some(KernelOptions {
        scope: Scope::System,
        extras: extras.clone(),
        ..KernelOptions::default()
    });
    let recorder = Recorder::start(Options {
        dir: dir.clone(),
        kernel,
        ..Options::default()
    })?;
    exchange();
    let costs = recorder.program_costs();
    let summary = recorder.stop()?;
    eprintln!(
        "stored {}, lost {}",
        summary.counts.kernel_stored, summary.counts.kernel_lost
    );
    summary.notes.iter().for_each(|note| eprintln!("{note}"));
    let _ = std::fs::remove_dir_all(dir);
    Ok(costs)
}

/// Two threads that wake each other.
fn exchange() {
    ping_pong(EXCHANGES);
}

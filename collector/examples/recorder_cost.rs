//! What the recorder itself costs: CPU time of its threads for each event, and idle.
//!
//! `cargo run --release -p plumb-collector --example recorder_cost [SECONDS]`, as root. The load is `perf bench sched pipe`: threads that wake each other; figures are the kernel's
//! (schedstat), so that other work on the machine disturbs them little, but caches that are shared with it do.

use plumb_collector::{CollectorError, Counts, KernelOptions, Options, Recorder, proc};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// CPU time of this process's threads of that name, ns.
fn cpu_ns(comm: &str) -> u64 {
    let pid = std::process::id();
    let of_thread = |tid: u32| {
        proc::Stat::of_thread(pid, tid).filter(|stat| stat.comm == comm)?;
        let schedstat = proc::read_trimmed(format!("/proc/{pid}/task/{tid}/schedstat"))?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    };
    proc::tids(pid).into_iter().filter_map(of_thread).sum()
}

const THREADS: [&str; 3] = ["plumb-drain", "plumb-writer", "plumb-watch"];

/// Records while `load` runs for that long. Returns CPU time of each thread, ns, what was recorded, and how long it took.
fn measured(length: Duration, load: usize) -> Result<([u64; 3], Counts, Duration), CollectorError> {
    let dir: PathBuf = std::env::temp_dir().join(format!("plumb-recorder-cost-{}", std::process::id()));
    let recorder = Recorder::start(Options {
        dir: dir.clone(),
        kernel: Some(KernelOptions::default()),
        ..Options::default()
    })?;
    // The snapshot at the start is not what is measured.
    sleep(Duration::from_secs(2));
    let (before, stored) = (THREADS.map(cpu_ns), recorder.live());
    let began = Instant::now();
    let loads: Vec<_> = (0..load)
        .filter_map(|_| {
            let seconds = length.as_secs().to_string();
            Command::new("timeout")
                .args([&seconds, "perf", "bench", "sched", "pipe", "-l", "1000000000"])
                .stdout(Stdio::null())
                .spawn()
                .ok()
        })
        .collect();
    sleep(length);
    for mut load in loads {
        let _ = load.wait();
    }
    sleep(Duration::from_secs(1));
    let (after, elapsed) = (THREADS.map(cpu_ns), began.elapsed());
    let spent = std::array::from_fn(|index| after[index] - before[index]);
    let counts = recorder.live();
    let _ = recorder.stop();
    let _ = std::fs::remove_dir_all(dir);
    let counts = Counts {
        kernel_stored: counts.kernel_stored - stored.kernel_stored,
        bytes: counts.bytes - stored.bytes,
        ..counts
    };
    Ok((spent, counts, elapsed))
}

fn main() -> Result<(), CollectorError> {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10);
    for load in [0, 2] {
        let (spent, counts, elapsed) = measured(Duration::from_secs(seconds), load)?;
        let total: u64 = spent.iter().sum();
        let events = counts.kernel_stored.max(1) as f64;
        println!(
            "load {load}: {} events ({:.0}/s), {} lost, {:.1} bytes an event; {:.1} ns of CPU an event, {:.3} % of a CPU",
            counts.kernel_stored,
            events / elapsed.as_secs_f64(),
            counts.kernel_lost,
            counts.bytes as f64 / events,
            total as f64 / events,
            total as f64 / elapsed.as_nanos() as f64 * 100.0
        );
        for (name, ns) in THREADS.iter().zip(spent) {
            println!(
                "    {name:14} {:8.2} ms, {:.1} ns an event",
                ns as f64 / 1e6,
                ns as f64 / events
            );
        }
    }
    Ok(())
}

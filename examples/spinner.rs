//! A judge of timelines from outside the kernel's own books: a thread that spins on the clock and logs the gaps it sees, beside
//! a rival that takes the same CPU from it now and then. Prints one line of JSON, times in CLOCK_MONOTONIC ns.

use anyhow::{Context, Result};
use rustix::{
    thread::{CpuSet, gettid, sched_setaffinity},
    time::{ClockId, clock_gettime},
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// How long to spin.
const SPIN_NS: u64 = 2_000_000_000;
/// Shorter gaps are not logged: reading the clock takes some tens of ns.
const GAP_MIN_NS: u64 = 1_000;
/// Bound of the log, allocated before spinning.
const GAPS_MAX: usize = 1 << 20;
/// The rival works and sleeps in turns.
const RIVAL_TURN: Duration = Duration::from_millis(7);

static DONE: AtomicBool = AtomicBool::new(false);

fn main() -> Result<()> {
    let mut set = CpuSet::new();
    set.set(0);
    sched_setaffinity(None, &set)?;
    let rival = thread::Builder::new().name("rival".to_owned()).spawn(rival)?;
    let spinner = thread::Builder::new().name("spinner".to_owned()).spawn(spin)?;
    let (tid, from_ns, to_ns, gaps) = spinner.join().ok().context("the spinner panicked")?;
    DONE.store(true, Ordering::Relaxed);
    let _ended = rival.join();
    println!(
        "{}",
        serde_json::json!({"tid": tid, "from_ns": from_ns, "to_ns": to_ns, "gaps": gaps})
    );
    Ok(())
}

fn spin() -> (i32, u64, u64, Vec<(u64, u64)>) {
    let mut gaps = Vec::with_capacity(GAPS_MAX);
    // Touched before, so that no page of the log is faulted in while spinning.
    gaps.resize(GAPS_MAX, (1, 1));
    gaps.clear();
    let from_ns = now_ns();
    let mut last = from_ns;
    while last - from_ns < SPIN_NS && gaps.len() < GAPS_MAX {
        let now = now_ns();
        if now - last > GAP_MIN_NS {
            gaps.push((last, now));
        }
        last = now;
    }
    (gettid().as_raw_nonzero().get(), from_ns, last, gaps)
}

fn rival() {
    while !DONE.load(Ordering::Relaxed) {
        let until = now_ns() + RIVAL_TURN.as_nanos() as u64;
        while now_ns() < until {}
        thread::sleep(RIVAL_TURN);
    }
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

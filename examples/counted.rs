//! A program whose threads do what perf counts, and keep books of it: one touches fresh memory, one goes from CPU to CPU, one computes. Each reads its own books of the kernel's before and after:
//! page faults (/proc/thread-self/stat), migrations (/proc/thread-self/sched, where the kernel tells them), CPU time (CLOCK_THREAD_CPUTIME_ID).
//!
//! Each sleeps before the first reading and after the last, so that what was counted belongs to slices that are over. Prints one line of JSON.

use anyhow::{Context, Result};
use rustix::{
    thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};
use serde_json::{Value, json};
use std::{
    hint::black_box,
    thread::{self, sleep},
    time::{Duration, Instant},
};

const MEMORY_BYTES: usize = 16 << 20;
const PAGE_BYTES: usize = 4096;
const MOVES: usize = 200;
const COMPUTES: Duration = Duration::from_millis(300);
/// A scope by name reaches a thread some tenths of a second after it has its name, on a busy machine.
const PAUSE: Duration = Duration::from_millis(400);

/// What a thread does.
type Body = fn() -> Result<()>;

fn main() -> Result<()> {
    let bodies: [(&str, Body); 3] = [("touches", touch), ("moves", wander), ("computes", compute)];
    let mut threads = Vec::new();
    for (name, body) in bodies {
        let thread = thread::Builder::new().name(name.to_owned());
        let result = thread.spawn(move || kept(body))?.join();
        let books = result.ok().with_context(|| format!("{name} failed"))??;
        threads.push(json!({"name": name, "books": books}));
    }
    println!("{}", json!({ "threads": threads }));
    Ok(())
}

/// What the calling thread's books say of `body`.
fn kept(body: Body) -> Result<Value> {
    // Whatever a first reading needs is there then.
    migrations();
    faults()?;
    sleep(PAUSE);
    let (from_ns, moved, faulted, used) = (now_ns(), migrations(), faults()?, cpu_time_ns());
    body()?;
    let (cpu_ns, faults) = (cpu_time_ns() - used, faults()? - faulted);
    let migrations = migrations().zip(moved).map(|(after, before)| after - before);
    sleep(PAUSE);
    Ok(json!({
        "tid": gettid().as_raw_nonzero().get(), "from_ns": from_ns, "to_ns": now_ns(), "cpu_ns": cpu_ns, "faults": faults, "migrations": migrations,
    }))
}

/// A fault for each page.
fn touch() -> Result<()> {
    let mut memory = vec![0_u8; MEMORY_BYTES];
    memory.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = 1);
    black_box(memory);
    Ok(())
}

/// From CPU to CPU, as far as there are several.
fn wander() -> Result<()> {
    let allowed = sched_getaffinity(None)?;
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect();
    for cpu in cpus.iter().cycle().take(MOVES) {
        let mut one = CpuSet::new();
        one.set(*cpu);
        sched_setaffinity(None, &one)?;
    }
    Ok(sched_setaffinity(None, &allowed)?)
}

fn compute() -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < COMPUTES {
        black_box((0..1000_u64).map(black_box).sum::<u64>());
    }
    Ok(())
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

fn cpu_time_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Page faults of this thread, minor and major.
fn faults() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat")?;
    let after_name = stat.rsplit_once(')').context("no name")?.1;
    let field = |number: usize| {
        let text = after_name.split_ascii_whitespace().nth(number - 3);
        text.context("too short")?.parse::<u64>().context("no number")
    };
    Ok(field(10)? + field(12)?)
}

/// How often this thread came to another CPU, where the kernel says it.
fn migrations() -> Option<u64> {
    let sched = std::fs::read_to_string("/proc/thread-self/sched").ok()?;
    let line = sched.lines().find(|line| line.starts_with("se.nr_migrations"))?;
    line.rsplit_once(':')?.1.trim().parse().ok()
}

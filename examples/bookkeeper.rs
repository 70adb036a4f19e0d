//! A program whose threads the kernel keeps books of: they compute (two of them within a quota, where a cpu cgroup of version 1 can be made), sleep, contend for a
//! lock and play ping-pong. Each waits at a gate before and after its work, and there, off its CPU, its schedstat and status in /proc/self/task/TID
//! are read (of a running thread schedstat lags).
//! Prints one line of JSON: by thread what the kernel charged between the two readings, and when they were made (CLOCK_MONOTONIC ns).

use anyhow::{Context, Result, bail};
use rustix::{
    thread::gettid,
    time::{ClockId, clock_gettime},
};
use std::{
    hint::black_box,
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// How long each thread works.
const WORK: Duration = Duration::from_secs(2);
/// How long the reader waits for a thread to stand at a gate.
const PATIENCE: Duration = Duration::from_secs(30);

/// A thread's work, until the time given.
type Work = Box<dyn FnOnce(Instant) + Send>;

/// The kernel's books of one thread at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Books {
    run_ns: u64,
    wait_ns: u64,
    slices: u64,
    voluntary: u64,
    involuntary: u64,
}

struct Worker {
    name: &'static str,
    tid: i32,
    gate: Sender<()>,
    arrived: Receiver<i32>,
    handle: thread::JoinHandle<()>,
}

fn main() -> Result<()> {
    let quota = Quota::new()
        .inspect_err(|error| eprintln!("no thread works within a quota: {error}"))
        .ok();
    let workers = cast(quota.as_ref())?
        .into_iter()
        .map(|(name, work)| start(name, work))
        .collect::<Result<Vec<_>>>()?;
    let before = workers.iter().map(read_at_gate).collect::<Result<Vec<_>>>()?;
    for worker in &workers {
        worker.gate.send(())?;
    }
    for worker in &workers {
        worker
            .arrived
            .recv()
            .with_context(|| format!("{} died at work", worker.name))?;
    }
    let after = workers.iter().map(read_at_gate).collect::<Result<Vec<_>>>()?;
    let rows: Vec<_> = workers
        .iter()
        .zip(before.into_iter().zip(after))
        .map(|(worker, (before, after))| row(worker, before, after))
        .collect();
    println!("{}", serde_json::json!({"threads": rows}));
    for worker in workers {
        worker.gate.send(())?;
        let _ended = worker.handle.join();
    }
    Ok(())
}

/// Who takes part.
fn cast(quota: Option<&Quota>) -> Result<Vec<(&'static str, Work)>> {
    let lock = Arc::new(Mutex::new(0_u64));
    let (ping_reader, ping_writer) = pipe()?;
    let (pong_reader, pong_writer) = pipe()?;
    let contender = |lock: &Arc<Mutex<u64>>| -> Work {
        let lock = Arc::clone(lock);
        Box::new(move |until| contend(&lock, until))
    };
    let mut cast: Vec<(&str, Work)> = vec![
        ("compute-1", Box::new(compute)),
        ("compute-2", Box::new(compute)),
        ("compute-3", Box::new(compute)),
        ("sleep-1", Box::new(|until| sleep(Duration::from_micros(300), until))),
        ("sleep-2", Box::new(|until| sleep(Duration::from_millis(5), until))),
        ("contend-1", contender(&lock)),
        ("contend-2", contender(&lock)),
        ("contend-3", contender(&lock)),
        (
            "ping",
            Box::new(move |until| play(ping_writer, pong_reader, Some(until))),
        ),
        ("pong", Box::new(move |_| play(pong_writer, ping_reader, None))),
    ];
    for name in ["quota-1", "quota-2"] {
        if let Some(Quota(path)) = quota {
            let tasks = path.join("tasks");
            cast.push((name, Box::new(move |until| compute_within(&tasks, until))));
        }
    }
    Ok(cast)
}

fn start(name: &'static str, work: Work) -> Result<Worker> {
    let (gate, opened) = channel::<()>();
    let (arrival, arrived) = channel();
    let body = move || {
        let tid = gettid().as_raw_nonzero().get();
        // An error means that the main thread is gone, and with it the process.
        let _ = arrival.send(tid);
        let _ = opened.recv();
        work(Instant::now() + WORK);
        let _ = arrival.send(tid);
        let _ = opened.recv();
    };
    let handle = thread::Builder::new().name(name.to_owned()).spawn(body)?;
    let tid = arrived.recv().context("a thread died at its start")?;
    Ok(Worker {
        name,
        tid,
        gate,
        arrived,
        handle,
    })
}

fn row(worker: &Worker, (from_ns, before): (u64, Books), (to_ns, after): (u64, Books)) -> serde_json::Value {
    serde_json::json!({
        "tid": worker.tid, "name": worker.name, "from_ns": from_ns, "to_ns": to_ns,
        "run_ns": after.run_ns - before.run_ns, "wait_ns": after.wait_ns - before.wait_ns, "slices": after.slices - before.slices,
        "voluntary": after.voluntary - before.voluntary, "involuntary": after.involuntary - before.involuntary,
    })
}

/// The books of a thread that stands at its gate, and the time: read until it sleeps and nothing changes any more.
fn read_at_gate(worker: &Worker) -> Result<(u64, Books)> {
    let began = Instant::now();
    let mut last = None;
    while began.elapsed() < PATIENCE {
        let books = Some(read_books(worker.tid)?);
        if books == last && sleeps(worker.tid)? {
            return Ok((now_ns(), read_books(worker.tid)?));
        }
        last = books;
        thread::sleep(Duration::from_millis(5));
    }
    bail!("{} does not come to rest", worker.name)
}

fn sleeps(tid: i32) -> Result<bool> {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat"))?;
    let state = stat.rsplit_once(") ").context("no state in /proc stat")?.1;
    Ok(state.starts_with('S'))
}

fn read_books(tid: i32) -> Result<Books> {
    let line = std::fs::read_to_string(format!("/proc/self/task/{tid}/schedstat"))?;
    let numbers = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<Vec<u64>, _>>()?;
    let [run_ns, wait_ns, slices] = numbers[..] else {
        bail!("schedstat has not three numbers: {line}")
    };
    let status = std::fs::read_to_string(format!("/proc/self/task/{tid}/status"))?;
    let counter = |name: &str| -> Result<u64> {
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(value.with_context(|| format!("no {name}"))?.trim().parse()?)
    };
    Ok(Books {
        run_ns,
        wait_ns,
        slices,
        voluntary: counter("voluntary_ctxt_switches")?,
        involuntary: counter("nonvoluntary_ctxt_switches")?,
    })
}

/// A cpu cgroup that may use 10 ms of each 50; removed at the end.
struct Quota(PathBuf);

impl Quota {
    fn new() -> std::io::Result<Quota> {
        let quota = Quota(format!("/sys/fs/cgroup/cpu/plumb-books-{}", std::process::id()).into());
        std::fs::create_dir(&quota.0)?;
        std::fs::write(quota.0.join("cpu.cfs_period_us"), "50000")?;
        std::fs::write(quota.0.join("cpu.cfs_quota_us"), "10000")?;
        Ok(quota)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Computes within the group whose list of threads that is.
fn compute_within(tasks: &Path, until: Instant) {
    if let Err(error) = std::fs::write(tasks, "0") {
        eprintln!("{}: {error}", tasks.display());
    }
    compute(until);
    let everybody = tasks.parent().and_then(Path::parent).map(|root| root.join("tasks"));
    let _ = everybody.map(|tasks| std::fs::write(tasks, "0"));
}

fn compute(until: Instant) {
    let mut value = 1_u64;
    while Instant::now() < until {
        for _ in 0..10_000 {
            value = black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

fn sleep(time: Duration, until: Instant) {
    while Instant::now() < until {
        thread::sleep(time);
    }
}

fn contend(lock: &Mutex<u64>, until: Instant) {
    while Instant::now() < until {
        if let Ok(mut guarded) = lock.lock() {
            *guarded += 1;
            compute(Instant::now() + Duration::from_micros(50));
        }
        thread::sleep(Duration::from_micros(20));
    }
}

/// Sends a byte, awaits one; the side with a time limit starts and ends the game, the other ends when its pipe is closed.
fn play(mut writer: PipeWriter, mut reader: PipeReader, until: Option<Instant>) {
    let mut byte = [0];
    if until.is_none() && reader.read_exact(&mut byte).is_err() {
        return;
    }
    while until.is_none_or(|until| Instant::now() < until) {
        if writer.write_all(&byte).is_err() || reader.read_exact(&mut byte).is_err() {
            return;
        }
    }
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

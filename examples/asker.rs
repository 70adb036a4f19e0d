//! A program that asks the kernel for much, and keeps books of it: it writes and reads in a counted number of system calls, touches fresh memory, and writes past
//! the page cache to the directory that it is given. Before and after, it reads what the kernel itself has counted: page faults of the thread (/proc/thread-self/stat), interrupts of
//! all CPUs (/proc/interrupts), requests of each disk (/proc/diskstats).
//!
//! It sleeps before each reading, so that what was counted until then belongs to slices that are over. Prints one line of JSON.

use anyhow::{Context, Result};
use rustix::{
    thread::gettid,
    time::{ClockId, clock_gettime},
};
use serde_json::{Value, json};
use std::{
    fs::{File, OpenOptions},
    hint::black_box,
    io::{Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    thread::sleep,
    time::Duration,
};

const WRITES: usize = 20_000;
const READS: usize = 10_000;
const READS_AT: usize = 5_000;
const MEMORY_BYTES: usize = 16 << 20;
const DISK_WRITES: u64 = 300;
const BLOCK_BYTES: usize = 4096;
const PAUSE: Duration = Duration::from_millis(30);
/// In which requests that are still under way end, and those whose end is not told grow old (`collector/src/kernel/requests.rs`).
const LAST_PAUSE: Duration = Duration::from_millis(200);
/// x86-64's.
const O_DIRECT: i32 = 0o40000;

fn main() -> Result<()> {
    let dir = std::env::args_os().nth(1).context("the directory is missing")?;
    // Once for nothing, so that what a first time needs is there.
    work(Path::new(&dir))?;
    books()?;
    faults()?;

    sleep(PAUSE);
    let faults_before = faults()?;
    let before = books()?;
    let disk_writes = work(Path::new(&dir))?;
    let faults_after = faults()?;
    sleep(PAUSE);
    let after = books()?;
    sleep(LAST_PAUSE);
    println!(
        "{}",
        json!({
            "tid": gettid().as_raw_nonzero().get(), "before": before, "after": after, "disk_writes": disk_writes,
            "calls": {"write(character device)": WRITES, "read(character device)": READS, "pread64(file)": READS_AT},
            "minor_faults": faults_after.0 - faults_before.0, "major_faults": faults_after.1 - faults_before.1,
        })
    );
    Ok(())
}

/// Does it all; returns how many writes went past the page cache.
fn work(dir: &Path) -> Result<u64> {
    let mut null = OpenOptions::new().write(true).open("/dev/null")?;
    (0..WRITES).try_for_each(|_| null.write_all(&[0]))?;
    let mut zero = File::open("/dev/zero")?;
    (0..READS).try_for_each(|_| zero.read_exact(&mut [0]))?;
    let own = File::open("/proc/self/exe")?;
    (0..READS_AT).try_for_each(|at| own.read_exact_at(&mut [0], at as u64))?;
    black_box(vec![1_u8; MEMORY_BYTES]);
    Ok(write_to_disk(dir).unwrap_or(0))
}

/// Fails where the file system always goes through its cache.
fn write_to_disk(dir: &Path) -> std::io::Result<u64> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(O_DIRECT);
    let file = options.open(dir.join("asker"))?;
    let room = vec![7_u8; 2 * BLOCK_BYTES];
    let block = &room[room.as_ptr().align_offset(BLOCK_BYTES)..][..BLOCK_BYTES];
    (0..DISK_WRITES).try_for_each(|number| file.write_all_at(block, number * BLOCK_BYTES as u64))?;
    Ok(DISK_WRITES)
}

/// Minor and major page faults of this thread.
fn faults() -> Result<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat")?;
    let after_name = stat.rsplit_once(')').context("no name")?.1;
    let field = |number: usize| {
        let text = after_name.split_ascii_whitespace().nth(number - 3);
        text.context("too short")?.parse().context("no number")
    };
    Ok((field(10)?, field(12)?))
}

/// The time, and what is counted of the whole machine.
fn books() -> Result<Value> {
    let now = clock_gettime(ClockId::Monotonic);
    Ok(json!({
        "at_ns": now.tv_sec * 1_000_000_000 + now.tv_nsec, "interrupts": interrupts()?, "disks": disks()?, "first_process_ns": first_process_ns()?,
    }))
}

/// Interrupts with a handler, and those between CPUs and of their timers.
fn interrupts() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/interrupts")?;
    let mut sum = 0;
    for line in text.lines().skip(1) {
        let (name, counts) = line.split_once(':').context("no name")?;
        let name = name.trim();
        // TLB is a part of CAL.
        if name.parse::<u32>().is_ok() || ["LOC", "IWI", "RES", "CAL"].contains(&name) {
            let counts = counts
                .split_ascii_whitespace()
                .map_while(|count| count.parse::<u64>().ok());
            sum += counts.sum::<u64>();
        }
    }
    Ok(sum)
}

/// How long threads of process 1 have used a CPU.
fn first_process_ns() -> Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir("/proc/1/task")? {
        // One may have ended meanwhile.
        let books = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        sum += books.split_ascii_whitespace().next().map_or(Ok(0), str::parse::<u64>)?;
    }
    Ok(sum)
}

/// By name: reads, sectors read, writes, sectors written, flushes; all done.
fn disks() -> Result<Value> {
    let text = std::fs::read_to_string("/proc/diskstats")?;
    let mut disks = serde_json::Map::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        let name = fields.get(2).copied().unwrap_or_default().to_owned();
        disks.insert(name, json!([number(3), number(5), number(7), number(9), number(18)]));
    }
    Ok(Value::Object(disks))
}

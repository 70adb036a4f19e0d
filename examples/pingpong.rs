//! Two threads on one CPU hand a byte to and fro through two pipes: each hand-over is a scheduler switch. Prints what one costs.

use anyhow::Result;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::{
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    time::Instant,
};

/// Hand-overs to warm up, and for each of the measured rounds.
const HAND_OVERS: u32 = 20_000;
const ROUNDS: usize = 15;

fn main() -> Result<()> {
    stay_on_cpu(0)?;
    let (mut ping_reader, ping_writer) = pipe()?;
    let (pong_reader, mut pong_writer) = pipe()?;
    let other = std::thread::spawn(move || echo(&mut ping_reader, &mut pong_writer));
    let mut ends = (ping_writer, pong_reader);
    round(&mut ends)?;
    let mut figures = (0..ROUNDS).map(|_| round(&mut ends)).collect::<Result<Vec<f64>>>()?;
    figures.sort_by(f64::total_cmp);
    println!(
        "{{\"ns_per_switch\": {:.1}, \"ns_per_switch_min\": {:.1}}}",
        figures[ROUNDS / 2],
        figures[0]
    );
    drop(ends);
    let _ended = other.join();
    Ok(())
}

fn stay_on_cpu(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Nanoseconds a switch: every hand-over to and fro is two.
fn round((writer, reader): &mut (PipeWriter, PipeReader)) -> Result<f64> {
    let began = Instant::now();
    let mut byte = [0];
    for _ in 0..HAND_OVERS {
        writer.write_all(&byte)?;
        reader.read_exact(&mut byte)?;
    }
    Ok(began.elapsed().as_nanos() as f64 / f64::from(2 * HAND_OVERS))
}

/// Until the other side closes its pipe.
fn echo(reader: &mut PipeReader, writer: &mut PipeWriter) {
    let mut byte = [0];
    while reader.read_exact(&mut byte).is_ok() && writer.write_all(&byte).is_ok() {}
}

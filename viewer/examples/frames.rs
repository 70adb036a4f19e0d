//! What a frame costs, in ms of wall time, over windows of several lengths: of a timeline, or without one of a made-up server whose CPUs switch
//! a few hundred thousand times.
//!
//! ```text
//! cargo run --release -p plumb-viewer --example frames [FILE.plumb]
//! ```

use plumb_trace::State;
use plumb_trace::timeline::{
    Cause, HostInfo, Occupancy, Process, ProcessId, Query, StateInterval, TimelineError, TimelineFile, TimelineWriter,
    Track, TrackId, TrackKind,
};
use plumb_viewer::{Part, frame_cost};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CPUS: u32 = 8;
const THREADS_OF_A_CPU: u32 = 12;
const LENGTH_NS: u64 = 30_000_000_000;
/// Mean length of a slice on a CPU, ns.
const SLICE_NS: u64 = 60_000;
/// Time between two samples of a counter, ns.
const SAMPLE_NS: u64 = 250_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        None => made_up(dir.path())?,
    };
    let info = TimelineFile::open(&path)?.info().clone();
    let total_ns = info.to_ns.saturating_sub(info.from_ns);
    println!(
        "{:>12} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "window", "first", "still", "pan", "pan, max", "triangles"
    );
    for divisor in [1, 3, 30, 300, 3000] {
        let middle_ns = info.from_ns + total_ns / 2;
        let half_ns = total_ns / divisor / 2;
        let part = Part {
            from_ns: Some(middle_ns - half_ns),
            to_ns: Some(middle_ns + half_ns),
        };
        let cost = frame_cost(std::slice::from_ref(&path), (1600, 900), part)?;
        let ms = |duration: Duration| format!("{:.2} ms", duration.as_secs_f64() * 1e3);
        println!(
            "{:>9.3} s {:>11} {:>10} {:>10} {:>10} {:>10}",
            2.0 * half_ns as f64 / 1e9,
            ms(cost.first),
            ms(cost.still),
            ms(cost.panned),
            ms(cost.panned_max),
            cost.triangles
        );
    }
    Ok(())
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn made_up(dir: &Path) -> Result<PathBuf, TimelineError> {
    let path = dir.join("made-up.plumb");
    let mut writer = TimelineWriter::create(&path)?;
    let info = writer.info_mut();
    (info.from_ns, info.to_ns) = (0, LENGTH_NS);
    info.hosts.push(HostInfo {
        name: "made-up".into(),
        cpus: CPUS,
        has_kernel: true,
        ..HostInfo::default()
    });
    let idle = writer.add_process(Process {
        name: "swapper".into(),
        kernel: true,
        ..Process::default()
    });
    let server = writer.add_process(Process {
        pid: 4711,
        name: "java".into(),
        jvm: true,
        target: true,
        ..Process::default()
    });
    for number in 0..6 {
        counter(&mut writer, idle, number)?;
    }
    for number in 0..CPUS {
        cpu(&mut writer, idle, server, number)?;
    }
    writer.finish()?;
    Ok(path)
}

fn track(writer: &mut TimelineWriter, process: ProcessId, kind: TrackKind, tid: Option<u32>, name: String) -> TrackId {
    writer.add_track(Track {
        kind,
        process,
        tid,
        vthread: None,
        name,
        former_names: Vec::new(),
        group: None,
        start_ns: 0,
        end_ns: LENGTH_NS,
        java: false,
    })
}

fn counter(writer: &mut TimelineWriter, idle: ProcessId, number: u64) -> Result<(), TimelineError> {
    let unit = writer.string("ns");
    let track = track(
        writer,
        idle,
        TrackKind::Counter { unit },
        None,
        format!("psi.made-up-{number}.some"),
    );
    let (mut random, mut value) = (Random(number), 0);
    for at_ns in (0..LENGTH_NS).step_by(SAMPLE_NS as usize) {
        writer.counter(track, at_ns, value)?;
        value += random.below(SAMPLE_NS / (1 + number)) as i64;
    }
    Ok(())
}

/// A CPU that its threads share: who runs not waits in poll.
fn cpu(writer: &mut TimelineWriter, idle: ProcessId, server: ProcessId, number: u32) -> Result<(), TimelineError> {
    let mut random = Random(u64::from(number));
    let cpu = track(writer, idle, TrackKind::Cpu, Some(number), format!("CPU {number}"));
    let mut threads: Vec<(TrackId, u64)> = Vec::new();
    for thread in 0..THREADS_OF_A_CPU {
        let tid = 5000 + number * 100 + thread;
        let name = format!("worker-{number}-{thread}");
        threads.push((track(writer, server, TrackKind::Thread, Some(tid), name), 0));
    }
    let mut at_ns = 0;
    while at_ns < LENGTH_NS {
        let end_ns = (at_ns + 1 + random.below(2 * SLICE_NS)).min(LENGTH_NS);
        let who = random.below(u64::from(THREADS_OF_A_CPU) * 3 / 2) as usize;
        let on = threads.get(who).map(|thread| thread.0);
        writer.occupancy(
            cpu,
            &Occupancy {
                start_ns: at_ns,
                end_ns,
                track: on,
            },
        )?;
        if let Some((thread, free_ns)) = threads.get_mut(who) {
            state(writer, *thread, State::Poll, *free_ns, at_ns)?;
            state(writer, *thread, State::Running, at_ns, end_ns)?;
            *free_ns = end_ns;
        }
        at_ns = end_ns;
    }
    for (thread, free_ns) in threads {
        state(writer, thread, State::Poll, free_ns, LENGTH_NS)?;
    }
    Ok(())
}

fn state(
    writer: &mut TimelineWriter,
    thread: TrackId,
    state: State,
    start_ns: u64,
    end_ns: u64,
) -> Result<(), TimelineError> {
    if start_ns == end_ns {
        return Ok(());
    }
    let interval = StateInterval {
        start_ns,
        end_ns,
        state,
        cpu: (state == State::Running).then_some(0),
        stolen_ns: 0,
        peer: None,
        cause: Cause::None,
        involuntary: false,
    };
    writer.state(thread, &interval)
}

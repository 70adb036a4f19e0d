//! How fast the formats are (in CPU time) and how much room they take, on synthetic but realistic switches, or on a real recording.
//!
//! ```text
//! cargo run --release -p plumb-trace --example speed [RECORDING]
//! ```

use plumb_trace::State;
use plumb_trace::arena::Clock;
use plumb_trace::record::{JvmKind, JvmRecord, KernelKind, KernelRecord, flags};
use plumb_trace::recording::segment::{decode, encode};
use plumb_trace::recording::{Payload, Recording, SegmentHeader};
use plumb_trace::timeline::{
    Cause, HostInfo, Occupancy, Process, ProcessId, Query, Slice, StateInterval, StringId, TimelineError, TimelineFile,
    TimelineWriter, Track, TrackId, TrackKind,
};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// Records of a segment: about what a busy CPU gives in a second.
const SEGMENT_RECORDS: usize = 32_768;
const SWITCHES: usize = 500_000;
const THREADS: u64 = 400;
const INTERVALS: u64 = 4_000_000;

/// How often each segment is written and read: what the machine does beside makes single turns slower, and none faster.
const TURNS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(dir) => measure_recording(Path::new(&dir)),
        None => {
            measure(
                "kernel, synthetic",
                split(&synthetic_switches(), |part| Payload::Kernel(part.to_vec())),
            )?;
            measure(
                "JVM, synthetic",
                split(&synthetic_calls(), |part| Payload::Jvm(part.to_vec())),
            )?;
            measure_timeline()?;
            measure_levels()
        }
    }
}

/// CPU time of this thread: on a machine that others use too, it says more than a clock.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse::<f64>().ok())
        .unwrap_or_default()
        / 1e9
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    /// Below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
    /// Around `mean`, mostly less, sometimes much more.
    fn length(&mut self, mean: u64) -> u64 {
        mean / 8 + self.below(mean) * (1 + self.below(8)) / (1 + self.below(8))
    }
}

/// One CPU of a server: a waker wakes a thread, it is queued, it runs, it blocks; every eighth is preempted instead.
fn synthetic_switches() -> Vec<KernelRecord> {
    let mut random = Random(7);
    let mut threads = vec![(0u64, 0u32, 0u32, 0u64); THREADS as usize];
    let mut records = Vec::new();
    let (mut now, mut current) = (40_000_000_000, 0usize);
    let tid = |thread: usize| if thread == 0 { 0 } else { 20_000 + thread as u32 };
    let pid = |thread: usize| if thread == 0 { 0 } else { 20_000 + thread as u32 / 100 };
    for _ in 0..SWITCHES {
        let next = if current != 0 && random.below(2) == 0 {
            0
        } else {
            1 + random.below(random.0 % THREADS.min(40) + 1) as usize % 399
        };
        let blank = KernelRecord {
            time_ns: now,
            ..KernelRecord::default()
        };
        if next != 0 {
            let (tid, pid, other_tid, other_pid) = (tid(next), pid(next), tid(current), pid(current));
            records.push(KernelRecord {
                kind: KernelKind::Waking as u8,
                tid,
                pid,
                other_tid,
                other_pid,
                ..blank
            });
            let waited = 800 + random.below(1500);
            now += waited;
            threads[next].3 += waited;
        }
        let ran = random.length(60_000);
        now += ran;
        let preempted = current != 0 && random.below(8) == 0;
        let leaver = &mut threads[current];
        if current != 0 {
            leaver.0 += ran + random.below(4000) - 2000.min(ran);
        }
        if preempted {
            leaver.2 += 1
        } else {
            leaver.1 += 1
        }
        let (charged_ns, nvcsw, nivcsw, _) = *leaver;
        let blocks = current != 0 && !preempted;
        let mut switch = KernelRecord {
            time_ns: now,
            kind: KernelKind::Switch as u8,
            flags: if preempted {
                flags::PREEMPT
            } else if blocks {
                flags::SYSCALL
            } else {
                0
            },
            cpu: 0,
            tid: tid(current),
            pid: pid(current),
            other_tid: tid(next),
            other_pid: pid(next),
            value: u32::from(blocks),
            charged_ns,
            syscall: if blocks { [202, 0, 7, 232][current % 4] } else { -1 },
            fd_kind: if blocks { (current % 4) as u8 } else { 0 },
            prio: 120,
            fd: if blocks { current as i32 } else { 0 },
            nvcsw: nvcsw as u16,
            nivcsw: nivcsw as u16,
            lag: 300 + random.below(200) as u32,
            ..blank
        };
        switch.set_comer(threads[next].0, Some(threads[next].3));
        records.push(switch);
        current = next;
    }
    records
}

/// Calls of a thread, nested up to 20 deep.
fn synthetic_calls() -> Vec<JvmRecord> {
    let mut random = Random(11);
    let mut stack: Vec<u32> = Vec::new();
    let mut ticks = 1 << 40;
    let call = |_| {
        ticks += 60 + random.length(1500);
        if stack.len() < 20 && (stack.is_empty() || random.below(2) == 0) {
            let probe = random.below(400) as u32;
            stack.push(probe);
            JvmRecord::new(ticks, JvmKind::Enter, 0, probe)
        } else {
            JvmRecord::new(ticks, JvmKind::Exit, 0, stack.pop().unwrap_or_default())
        }
    };
    (0..1_000_000).map(call).collect()
}

fn split<T>(records: &[T], payload: impl Fn(&[T]) -> Payload) -> Vec<Payload> {
    records.chunks(SEGMENT_RECORDS).map(payload).collect()
}

fn measure_recording(dir: &Path) -> Result<(), Box<dyn Error>> {
    let (mut kernel, mut jvm) = (Vec::new(), Vec::new());
    for file in Recording::open(dir)?.files() {
        for segment in file.segments() {
            match segment?.payload {
                payload @ Payload::Kernel(_) => kernel.push(payload),
                payload @ Payload::Jvm(_) => jvm.push(payload),
                _ => {}
            }
        }
    }
    measure("kernel, real", kernel)?;
    measure("JVM, real", jvm)
}

/// Encodes and decodes, the best of three.
/// The least time of a few turns, seconds, and what came of the last.
fn fastest<T>(mut turn: impl FnMut() -> T) -> (f64, T) {
    let mut timed = || {
        // A turn is shorter than the kernel's books of a running thread are fine.
        let begin = Instant::now();
        let result = turn();
        (begin.elapsed().as_secs_f64(), result)
    };
    let (mut least, mut result) = timed();
    for _ in 1..TURNS {
        let (time, next) = timed();
        (least, result) = (least.min(time), next);
    }
    (least, result)
}

fn measure(name: &str, payloads: Vec<Payload>) -> Result<(), Box<dyn Error>> {
    let records: usize = payloads.iter().map(Payload::len).sum();
    let switches: usize = payloads.iter().map(switches).sum();
    let header = SegmentHeader::new(Clock::Monotonic, 0);
    let mut segments = Vec::new();
    let mut best = (0.0, 0.0);
    for payload in &payloads {
        let (encoding, segment) = fastest(|| encode(&header, payload));
        let segment = segment?;
        let (decoding, decoded) = fastest(|| decode(&segment));
        assert_eq!(decoded?.payload.len(), payload.len());
        best = (best.0 + encoding, best.1 + decoding);
        segments.push(segment);
    }
    let bytes: usize = segments.iter().map(Vec::len).sum();
    let (each, million) = (records.max(1) as f64, records as f64 / 1e6);
    println!(
        "{name}: {records} records, {} segments, {:.2} bytes a record",
        segments.len(),
        bytes as f64 / each
    );
    if switches > 0 {
        println!(
            "  {switches} switches, {:.2} bytes a switch with its wakeups",
            bytes as f64 / switches as f64
        );
    }
    println!(
        "  {:.1} M records/s in, {:.1} M records/s out",
        million / best.0,
        million / best.1
    );
    Ok(())
}

fn switches(payload: &Payload) -> usize {
    match payload {
        Payload::Kernel(records) => records
            .iter()
            .filter(|record| record.kind == KernelKind::Switch as u8)
            .count(),
        _ => 0,
    }
}

fn measure_timeline() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("speed.plumb");
    let begin = cpu_seconds();
    let mut writer = TimelineWriter::create(&path)?;
    fill(&mut writer)?;
    writer.finish()?;
    let wrote = cpu_seconds() - begin;
    let bytes = std::fs::metadata(&path)?.len();
    let rows = (INTERVALS + INTERVALS / 4) as f64;
    println!(
        "timeline: {INTERVALS} intervals and {} slices on {THREADS} tracks",
        INTERVALS / 4
    );
    println!(
        "  {:.1} bytes a row with index and levels, {:.1} M rows/s in",
        bytes as f64 / rows,
        rows / 1e6 / wrote
    );
    let begin = cpu_seconds();
    let file = TimelineFile::open(&path)?;
    println!("  open {:.2} ms", (cpu_seconds() - begin) * 1e3);
    let end = file.info().to_ns;
    let each =
        |name: &str, question: &dyn Fn(TrackId) -> Result<usize, Box<dyn Error>>| -> Result<(), Box<dyn Error>> {
            let begin = cpu_seconds();
            let mut rows = 0;
            for track in 0..THREADS as u32 {
                rows += question(TrackId(track))?;
            }
            let seconds = cpu_seconds() - begin;
            println!(
                "  {name}: {:.1} us a track, {rows} rows, {:.1} M rows/s",
                seconds * 1e6 / THREADS as f64,
                rows as f64 / 1e6 / seconds
            );
            Ok(())
        };
    each("states, all", &|track| Ok(file.states(track, 0, u64::MAX)?.len()))?;
    each("slices, all", &|track| Ok(file.slices(track, 0, u64::MAX, 0)?.len()))?;
    each("coarse states, all on 1920 pixels", &|track| {
        Ok(file.coarse_states(track, 0, end, end / 1920)?.len())
    })?;
    each("coarse states, a hundredth on 1920 pixels", &|track| {
        Ok(file
            .coarse_states(track, end / 2, end / 2 + end / 100, end / 192_000)?
            .len())
    })?;
    each("totals, inner half", &|track| {
        Ok(usize::from(file.totals(track, end / 4, end * 3 / 4)?.states.sum() > 0))
    })
}

/// What a level of detail is asked: track, window, resolution; gives how many rows came.
type Question = fn(&TimelineFile, TrackId, u64, u64, u64) -> Result<usize, TimelineError>;

/// One CPU that many threads share, and one counter with a sample for each of the CPU's switches.
fn measure_levels() -> Result<(), Box<dyn Error>> {
    let mut random = Random(3);
    measure_level(
        "occupancy",
        TrackKind::Cpu,
        |writer, cpu, start_ns, end_ns| {
            let who = random.below(80) as u32;
            let track = (who < 40).then_some(TrackId(who));
            writer.occupancy(
                cpu,
                &Occupancy {
                    start_ns,
                    end_ns,
                    track,
                },
            )
        },
        |file, cpu, from_ns, to_ns, resolution_ns| Ok(file.coarse_occupancy(cpu, from_ns, to_ns, resolution_ns)?.len()),
    )?;
    let (mut random, mut value) = (Random(3), 0);
    measure_level(
        "counter",
        TrackKind::Counter { unit: StringId(0) },
        |writer, counter, start_ns, _| {
            value += random.below(1000) as i64;
            writer.counter(counter, start_ns, value)
        },
        |file, counter, from_ns, to_ns, resolution_ns| Ok(file.counters(counter, from_ns, to_ns, resolution_ns)?.len()),
    )
}

fn measure_level(
    name: &str,
    kind: TrackKind,
    mut push: impl FnMut(&mut TimelineWriter, TrackId, u64, u64) -> Result<(), TimelineError>,
    question: Question,
) -> Result<(), Box<dyn Error>> {
    const TIMES: u32 = 200;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("level.plumb");
    let begin = cpu_seconds();
    let mut writer = TimelineWriter::create(&path)?;
    writer.info_mut().hosts.push(HostInfo::default());
    writer.add_process(Process::default());
    let track = (0..40)
        .map(|_| writer.add_track(blank_track(kind)))
        .fold(TrackId(0), TrackId::max);
    let (mut random, mut end_ns) = (Random(9), 0);
    for _ in 0..INTERVALS {
        let start_ns = end_ns;
        end_ns += random.length(100_000) + 1;
        push(&mut writer, track, start_ns, end_ns)?;
    }
    writer.finish()?;
    let (rows, seconds) = (INTERVALS as f64, cpu_seconds() - begin);
    println!(
        "{name}: {:.1} bytes a row with index and levels, {:.1} M rows/s in",
        std::fs::metadata(&path)?.len() as f64 / rows,
        rows / 1e6 / seconds
    );
    let file = TimelineFile::open(&path)?;
    for (part, from_ns, to_ns) in [
        ("all", 0, end_ns),
        ("a hundredth", end_ns / 2, end_ns / 2 + end_ns / 100),
    ] {
        let (begin, read) = (cpu_seconds(), file.bytes_read());
        let mut rows = 0;
        for _ in 0..TIMES {
            rows = question(&file, track, from_ns, to_ns, (to_ns - from_ns) / 1920)?;
        }
        let us = (cpu_seconds() - begin) * 1e6 / f64::from(TIMES);
        let bytes = (file.bytes_read() - read) / u64::from(TIMES);
        println!("  {part} on 1920 pixels: {us:.0} us, {rows} rows, {bytes} bytes read");
    }
    Ok(())
}

fn blank_track(kind: TrackKind) -> Track {
    Track {
        kind,
        process: ProcessId(0),
        tid: Some(1),
        vthread: None,
        name: String::new(),
        former_names: Vec::new(),
        group: None,
        start_ns: 0,
        end_ns: 0,
        java: true,
    }
}

/// Threads that run, become ready and wait, with a slice around every four intervals, in the order of time.
fn fill(writer: &mut TimelineWriter) -> Result<(), Box<dyn Error>> {
    let mut random = Random(5);
    writer.info_mut().hosts.push(HostInfo::default());
    writer.add_process(Process::default());
    let blank = blank_track(TrackKind::Thread);
    let tracks: Vec<TrackId> = (0..THREADS)
        .map(|number| {
            writer.add_track(Track {
                name: format!("t{number}"),
                ..blank.clone()
            })
        })
        .collect();
    let mut ends = vec![(0u64, 0u64); tracks.len()];
    let states = [State::Running, State::Monitor, State::Ready, State::Running, State::Net];
    for number in 0..INTERVALS / THREADS {
        for &track in &tracks {
            let (start_ns, began_ns) = ends[track.0 as usize];
            let state = states[number as usize % states.len()];
            let end_ns = start_ns + random.length(100_000) + 1;
            let peer = (state == State::Ready).then_some(TrackId(random.below(THREADS) as u32));
            let cpu = matches!(state, State::Running | State::Ready).then_some(random.below(8) as u16);
            let cause = if state == State::Ready {
                Cause::Woken
            } else {
                Cause::None
            };
            writer.state(
                track,
                &StateInterval {
                    start_ns,
                    end_ns,
                    state,
                    cpu,
                    stolen_ns: 0,
                    peer,
                    cause,
                    involuntary: false,
                },
            )?;
            ends[track.0 as usize].0 = end_ns;
            if number % 4 == 3 {
                let name = writer.string(["doGet", "invoke", "query", "render"][random.below(4) as usize]);
                writer.slice(
                    track,
                    &Slice {
                        start_ns: began_ns,
                        end_ns,
                        name,
                        depth: 1,
                        thrown: false,
                        open_start: false,
                        open_end: false,
                    },
                )?;
                ends[track.0 as usize].1 = end_ns;
            }
        }
    }
    let end_ns = ends.iter().map(|end| end.0).max().unwrap_or_default();
    writer.info_mut().to_ns = end_ns;
    tracks
        .into_iter()
        .for_each(|track| writer.track_mut(track).end_ns = end_ns);
    Ok(())
}

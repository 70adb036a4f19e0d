//! Good inputs, made by plumb's own writers: small, and with something of everything.

use plumb_trace::State;
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{JvmKind, JvmRecord, KernelKind, KernelRecord, flags};
use plumb_trace::recording::{ClockPair, CounterSample, Payload};
use plumb_trace::timeline::{
    Cause, HostInfo, Loss, Occupancy, Process, ProcessId, Sleep, Slice, StackId, StateInterval, TimelineError,
    TimelineWriter, Track, TrackId, TrackKind, Unit, UnitPart,
};
use std::path::Path;

/// A payload of each kind, short ones and longer ones.
pub fn payloads() -> Vec<Payload> {
    let mut all = Vec::new();
    for count in [0, 1, 5, 60] {
        all.push(Payload::Kernel((0..count).map(kernel).collect()));
        all.push(Payload::Jvm((0..count).map(jvm).collect()));
        all.push(Payload::Counters((0..count).map(sample).collect()));
        all.push(Payload::Clock((0..count).map(pair).collect()));
    }
    all.push(Payload::Definitions(definitions()));
    all
}

/// Switches and wakeups of three threads.
fn kernel(number: u64) -> KernelRecord {
    let kinds = [KernelKind::Waking, KernelKind::Wakeup, KernelKind::Switch];
    let (tid, other) = (100 + number as u32 % 3, 100 + (number as u32 + 1) % 3);
    KernelRecord {
        time_ns: 1_000_000 + number * 7_001,
        kind: kinds[number as usize % 3] as u8,
        flags: if number.is_multiple_of(5) {
            flags::PREEMPT
        } else {
            flags::SYSCALL | flags::WAITED
        },
        cpu: number as u16 % 2,
        tid,
        pid: 100,
        other_tid: other,
        other_pid: 100,
        value: u32::from(number.is_multiple_of(4)),
        charged_ns: number * 6_500,
        other_charged_ns: (number * 6_000) | ((number * 900) << 32),
        syscall: 45,
        fd: 7,
        prio: 120,
        ..KernelRecord::default()
    }
}

fn jvm(number: u64) -> JvmRecord {
    let kinds = [JvmKind::Enter, JvmKind::Enter, JvmKind::Exit, JvmKind::Exit];
    JvmRecord {
        ticks: 5_000 + number * 300,
        word: JvmRecord::pack(kinds[number as usize % 4], 0, number as u32 % 5),
    }
}

fn sample(number: u64) -> CounterSample {
    CounterSample {
        at_ns: number * 250_000_000,
        counter: number as u32 % 4,
        value: number * 1_000_003,
    }
}

fn pair(number: u64) -> ClockPair {
    ClockPair {
        monotonic_ns: number * 1_000_000,
        ..ClockPair::default()
    }
}

fn definitions() -> Vec<Dated> {
    let counter = Definition::Counter {
        id: 1,
        name: "psi.cpu.some".into(),
        unit: "ns".into(),
        cumulative: true,
        cpu_plus_1: 0,
        cgroup: "/shop".into(),
    };
    let traced = Definition::Traced {
        pid: 4711,
        start_ticks: 99,
    };
    let frame = Definition::Frame {
        id: 3,
        kernel: true,
        function: "do_nanosleep".into(),
        module: "[kernel]".into(),
        build_id: String::new(),
        offset: 0,
    };
    let stack = Definition::Stack {
        id: 1 << 60,
        frames: vec![3, 3, 9],
    };
    [counter, traced, frame, stack]
        .into_iter()
        .enumerate()
        .map(|(at, definition)| Dated {
            at: at as u64,
            definition,
        })
        .collect()
}

const MS: u64 = 1_000_000;

/// A timeline with a track of every kind, `turns` times the same.
pub fn timeline(path: &Path, turns: u64) -> Result<(), TimelineError> {
    let mut writer = TimelineWriter::create(path)?;
    let info = writer.info_mut();
    (info.from_ns, info.to_ns) = (0, turns * 10 * MS);
    info.hosts.push(HostInfo::default());
    info.groups.push("request".into());
    let process = writer.add_process(Process {
        name: "java".into(),
        ..Process::default()
    });
    let unit = writer.string("ns");
    let name = writer.string("com.shop.Cart.add");
    let tracks: Vec<TrackId> = [
        TrackKind::Thread,
        TrackKind::Cpu,
        TrackKind::Counter { unit },
        TrackKind::VirtualThread,
        TrackKind::Jvm,
    ]
    .into_iter()
    .map(|kind| writer.add_track(track(kind, process, turns)))
    .collect();
    let stack = writer.add_stack().unwrap_or_default();
    writer.define_stack(stack, &[name, unit]);
    for turn in 0..turns {
        let (start_ns, end_ns) = (turn * 10 * MS, (turn + 1) * 10 * MS);
        states(&mut writer, tracks[0], start_ns, end_ns)?;
        states(&mut writer, tracks[3], start_ns, end_ns)?;
        writer.occupancy(
            tracks[1],
            &Occupancy {
                start_ns,
                end_ns: start_ns + 3 * MS,
                track: (!turn.is_multiple_of(3)).then_some(tracks[0]),
            },
        )?;
        writer.sleep(
            tracks[0],
            &Sleep {
                start_ns,
                end_ns: start_ns + 6 * MS,
                stack,
                waker_stack: StackId::default(),
                waker: Some(tracks[0]),
                java_stack: stack,
            },
        )?;
        writer.counter(tracks[2], start_ns, (turn * turn) as i64)?;
        let slice = Slice {
            start_ns,
            end_ns: end_ns - MS,
            name,
            depth: 0,
            thrown: turn.is_multiple_of(2),
            open_start: false,
            open_end: false,
        };
        writer.slice(tracks[0], &slice)?;
        writer.slice(tracks[4], &slice)?;
        writer.unit(&Unit {
            name,
            key: name,
            track: tracks[0],
            number: turn,
            start_ns,
            end_ns: end_ns - MS,
            thrown: false,
            complete: true,
        })?;
        writer.unit_part(&UnitPart {
            number: turn,
            name,
            key: name,
            track: tracks[0],
            handed_ns: start_ns,
            start_ns,
            end_ns: end_ns - MS,
        })?;
    }
    writer.loss(Loss {
        stream: "cpu-0".into(),
        from_ns: MS,
        to_ns: 2 * MS,
        events: None,
    });
    writer.finish()
}

fn states(writer: &mut TimelineWriter, thread: TrackId, start_ns: u64, end_ns: u64) -> Result<(), TimelineError> {
    let interval = |start_ns, end_ns, state, cause| StateInterval {
        start_ns,
        end_ns,
        state,
        cpu: (state == State::Running).then_some(0),
        stolen_ns: u64::from(state == State::Running) * 1_000,
        peer: (state == State::Ready).then_some(thread),
        cause,
        involuntary: false,
    };
    let (woken, runs) = (start_ns + 6 * MS, start_ns + 7 * MS);
    let call = Cause::Syscall { number: 45, fd_kind: 1 };
    writer.state(thread, &interval(start_ns, woken, State::Net, call))?;
    writer.state(thread, &interval(woken, runs, State::Ready, Cause::Woken))?;
    writer.state(thread, &interval(runs, end_ns, State::Running, Cause::None))
}

fn track(kind: TrackKind, process: ProcessId, turns: u64) -> Track {
    Track {
        kind,
        process,
        tid: Some(1),
        vthread: None,
        name: "t".into(),
        former_names: Vec::new(),
        group: Some(0),
        start_ns: 0,
        end_ns: turns * 10 * MS,
        java: true,
    }
}

//! From the files of a recording to lanes: one for each stream.

use super::lane::{Gap, Lane, LaneClock, LaneKind};
use super::load::{Input, JvmInput, Opened, OpenedFile};
use super::{absent, definitions};
use plumb_trace::recording::{Content, FileKind, SegmentEntry};
use rustc_hash::FxHashMap;

/// Adds the lanes of a recording. Up to `kernel_until` another recording has the kernel's records already.
pub(super) fn add(input: &mut Input, host: usize, opened: &Opened, clock: &LaneClock, kernel_until: u64) {
    for of in &opened.files {
        input.records += of
            .entries
            .iter()
            .map(|entry| u64::from(entry.header.count))
            .sum::<u64>();
        match of.file.kind {
            FileKind::Clock => {}
            FileKind::Cpu(_) | FileKind::Jvm { .. } if absent::is_empty(of) => {}
            FileKind::Host | FileKind::Counters => {
                let from_ns = input.hosts[host].from_ns;
                let kind = match of.file.kind {
                    FileKind::Counters => LaneKind::Counters { host },
                    _ => LaneKind::Host { host },
                };
                push(input, kind, of, &of.entries, clock, from_ns);
            }
            FileKind::Cpu(cpu) => match u16::try_from(cpu) {
                Ok(cpu) => add_cpu(input, (host, cpu), opened, of, clock, kernel_until),
                Err(_) => input
                    .notes
                    .push(format!("{}: no such CPU; left out", of.file.path.display())),
            },
            FileKind::Jvm { pid, start_ticks } => add_jvm(input, host, (pid, start_ticks), opened, of, clock),
        }
    }
}

fn push<'a>(
    input: &'a mut Input,
    kind: LaneKind,
    of: &OpenedFile,
    entries: &[SegmentEntry],
    clock: &LaneClock,
    from_ns: u64,
) -> Option<&'a mut Lane> {
    let mut lane = Lane::new(kind, of.file.clone(), clock.clone(), entries, from_ns);
    lane.is_torn = of.is_torn();
    input.lanes.push(lane);
    input.lanes.last_mut()
}

fn started_ns(opened: &Opened, clock: &LaneClock) -> u64 {
    opened
        .recording
        .manifest
        .started_ns
        .saturating_add_signed(clock.shift_ns)
}

fn add_cpu(
    input: &mut Input,
    (host, cpu): (usize, u16),
    opened: &Opened,
    of: &OpenedFile,
    clock: &LaneClock,
    kernel_until: u64,
) {
    let from_ns = input.hosts[host].from_ns.max(kernel_until);
    if let Some(lane) = push(input, LaneKind::Cpu { host, cpu }, of, &of.entries, clock, from_ns) {
        // Two recordings of the same instant hold the same switches: they are taken once.
        lane.skip_until_ns = kernel_until;
        let started = started_ns(opened, clock);
        lane.blind_until_ns = (0 < kernel_until && kernel_until < started).then_some(started);
    }
}

/// Makes the lanes of a JVM's file: one for its definitions, one for each of its streams.
fn add_jvm(
    input: &mut Input,
    host: usize,
    (pid, start_ticks): (u32, u64),
    opened: &Opened,
    of: &OpenedFile,
    clock: &LaneClock,
) {
    let manifest = &opened.recording.manifest;
    let described = manifest
        .jvms
        .iter()
        .find(|jvm| jvm.pid == pid && jvm.start_ticks == start_ticks);
    let ns_pid = described.map_or(pid, |jvm| jvm.ns_pid);
    let tids = if ns_pid == pid {
        FxHashMap::default()
    } else {
        tids_of(opened, pid)
    };
    let jvm = input.jvms.len();
    let streams = streams_of(&of.entries, jvm);
    let classes = definitions::classes(&of.file, &streams[0].1);
    input.jvms.push(JvmInput {
        host,
        pid,
        ns_pid,
        start_ticks,
        classes,
        tids,
    });
    for &at in &of.damaged_at {
        if let Some(gap) = gap_at(of, at, clock) {
            input.gaps.push((LaneKind::JvmDefinitions { jvm }, gap));
        }
    }
    for (kind, entries) in streams {
        push(input, kind, of, &entries, clock, started_ns(opened, clock));
    }
}

/// What lies between the segments before and after a damaged stretch, if there are both.
fn gap_at(of: &OpenedFile, at: u64, clock: &LaneClock) -> Option<Gap> {
    let next = of.entries.partition_point(|entry| entry.offset < at);
    let after = &of.entries.get(next)?.header;
    let to_ns = clock.ns(after.clock, after.first_time, &mut 0)?;
    let before = next.checked_sub(1).and_then(|before| of.entries.get(before));
    let from_ns = before.and_then(|before| clock.ns(before.header.clock, before.header.last_time, &mut 0));
    Some(Gap {
        from_ns: from_ns.unwrap_or(to_ns).min(to_ns),
        to_ns,
        events: None,
    })
}

/// The segments of each stream; the definitions' (there may be none) are the first.
fn streams_of(entries: &[SegmentEntry], jvm: usize) -> Vec<(LaneKind, Vec<SegmentEntry>)> {
    let mut streams = vec![(LaneKind::JvmDefinitions { jvm }, Vec::new())];
    let mut places: FxHashMap<u32, usize> = FxHashMap::default();
    for entry in entries {
        let header = &entry.header;
        let place = match header.content {
            Content::Definitions => 0,
            _ => *places.entry(header.stream).or_insert_with(|| {
                let (stream, tid) = (header.stream, header.tid);
                streams.push((LaneKind::Jvm { jvm, stream, tid }, Vec::new()));
                streams.len() - 1
            }),
        };
        streams[place].1.push(*entry);
    }
    streams
}

fn tids_of(opened: &Opened, pid: u32) -> FxHashMap<u32, u32> {
    opened
        .of_kind(|kind| kind == FileKind::Host)
        .flat_map(|of| definitions::namespaced_tids(&of.file, &of.entries))
        .filter_map(|((of, ns_tid), tid)| (of == pid).then_some((ns_tid, tid)))
        .collect()
}

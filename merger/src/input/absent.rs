//! Streams of which nothing is left: a file that is missing, or that was emptied. What was in it is lost, and how much it was nobody knows.
//!
//! The manifest tells which CPUs were online when the recording began; each of them has got a file with a segment in it, also where it had nothing to tell.
//! A JVM's file comes with its first definition: where that is missing although the recorder came to its end, there was none.

use super::lane::{Lane, LaneClock, LaneKind, TIME_MAX_NS};
use super::load::{Input, JvmInput, Opened, OpenedFile};
use plumb_trace::recording::{FileKind, Manifest};
use std::collections::BTreeSet;

/// Adds lanes for the streams of a recording that are not there, each one gap. Up to `kernel_until` another recording has the kernel's records.
pub(super) fn add(input: &mut Input, host: usize, opened: &Opened, clock: &LaneClock, kernel_until: u64) {
    let manifest = &opened.recording.manifest;
    let from_ns = shifted(manifest.started_ns, clock);
    // Where the recorder was killed, to the end of the timeline.
    let to_ns = manifest.ended_ns.map_or(TIME_MAX_NS, |ended| shifted(ended, clock));
    for cpu in absent_cpus(opened) {
        note(input, opened, FileKind::Cpu(u32::from(cpu)));
        let (kind, from_ns) = (LaneKind::Cpu { host, cpu }, from_ns.max(kernel_until));
        if from_ns < to_ns {
            input.lanes.push(Lane::absent(kind, clock.clone(), from_ns, to_ns));
        }
    }
    for (pid, start_ticks) in absent_jvms(opened) {
        note(input, opened, FileKind::Jvm { pid, start_ticks });
        let jvm = jvm_of(input, host, manifest, (pid, start_ticks));
        let kind = LaneKind::JvmDefinitions { jvm };
        input.lanes.push(Lane::absent(kind, clock.clone(), from_ns, to_ns));
    }
}

fn shifted(ns: u64, clock: &LaneClock) -> u64 {
    ns.saturating_add_signed(clock.shift_ns).min(TIME_MAX_NS)
}

/// Of a recorder that was killed it is said already.
fn note(input: &mut Input, opened: &Opened, kind: FileKind) {
    let Manifest { host, ended_ns, .. } = &opened.recording.manifest;
    if ended_ns.is_some() {
        let (host, file) = (&host.name, kind.file_name());
        input
            .notes
            .push(format!("{host}: {file} is missing or empty: what was in it is lost"));
    }
}

fn absent_cpus(opened: &Opened) -> BTreeSet<u16> {
    let cpu_of = |of: &OpenedFile| match of.file.kind {
        FileKind::Cpu(cpu) => u16::try_from(cpu).ok(),
        _ => None,
    };
    let (empty, present): (Vec<_>, Vec<_>) = opened.files.iter().partition(|of| is_empty(of));
    let present: BTreeSet<u16> = present.into_iter().filter_map(cpu_of).collect();
    let Manifest { kernel, host, .. } = &opened.recording.manifest;
    let online = host.online.iter().filter(|_| *kernel);
    let expected = online.filter_map(|&cpu| u16::try_from(cpu).ok());
    let expected: BTreeSet<u16> = expected.chain(empty.into_iter().filter_map(cpu_of)).collect();
    expected.difference(&present).copied().collect()
}

fn absent_jvms(opened: &Opened) -> BTreeSet<(u32, u64)> {
    let key_of = |of: &OpenedFile| match of.file.kind {
        FileKind::Jvm { pid, start_ticks } => Some((pid, start_ticks)),
        _ => None,
    };
    let (empty, present): (Vec<_>, Vec<_>) = opened.files.iter().partition(|of| is_empty(of));
    let present: BTreeSet<(u32, u64)> = present.into_iter().filter_map(key_of).collect();
    let manifest = &opened.recording.manifest;
    let killed = manifest.jvms.iter().filter(|_| manifest.ended_ns.is_none());
    let expected = killed.map(|jvm| (jvm.pid, jvm.start_ticks));
    let expected: BTreeSet<(u32, u64)> = expected.chain(empty.into_iter().filter_map(key_of)).collect();
    expected.difference(&present).copied().collect()
}

/// A file is made when its first segment is written.
pub(super) fn is_empty(of: &OpenedFile) -> bool {
    of.entries.is_empty() && of.damaged_at.is_empty()
}

/// The JVM's number; it gets one if it has none.
fn jvm_of(input: &mut Input, host: usize, manifest: &Manifest, (pid, start_ticks): (u32, u64)) -> usize {
    let is_it = |jvm: &JvmInput| (jvm.host, jvm.pid, jvm.start_ticks) == (host, pid, start_ticks);
    if let Some(known) = input.jvms.iter().position(is_it) {
        return known;
    }
    let described = manifest
        .jvms
        .iter()
        .find(|jvm| (jvm.pid, jvm.start_ticks) == (pid, start_ticks));
    input.jvms.push(JvmInput {
        host,
        pid,
        ns_pid: described.map_or(pid, |jvm| jvm.ns_pid),
        start_ticks,
        classes: super::Classes::default(),
        tids: rustc_hash::FxHashMap::default(),
    });
    input.jvms.len() - 1
}

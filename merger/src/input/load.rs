//! Opening recordings: hosts, clocks, JVMs and lanes.

use super::clock::ClockMap;
use super::definitions::Classes;
use super::lane::{Gap, Lane, LaneClock, LaneKind, TIME_MAX_NS};
use super::{absent, lanes};
use crate::MergeError;
use plumb_trace::recording::{
    ClockPair, FileKind, Manifest, Payload, Recording, RecordingError, SegmentEntry, StreamFile,
};
use rustc_hash::FxHashMap;
use std::collections::HashSet;
use std::path::PathBuf;
use std::rc::Rc;

/// One boot of one host: the recordings that share a clock.
#[derive(Debug)]
pub(crate) struct HostInput {
    /// The manifests of its recordings, in order of their start.
    pub(crate) manifests: Vec<Manifest>,
    /// First instant, on the timeline's clock, ns.
    pub(crate) from_ns: u64,
    /// End, as far as the recorders came to one, ns.
    pub(crate) to_ns: Option<u64>,
    pub(crate) has_kernel: bool,
    /// CLOCK_REALTIME minus CLOCK_MONOTONIC at the start, ns.
    pub(crate) realtime_offset_ns: i64,
    /// Time since boot minus CLOCK_MONOTONIC, ns (what the host slept).
    pub(crate) boottime_offset_ns: i64,
    /// From its CLOCK_MONOTONIC to the timeline's clock, ns.
    pub(crate) shift_ns: i64,
    pub(crate) clock_uncertainty_ns: u64,
}

/// A JVM whose agent was recorded.
#[derive(Debug)]
pub(crate) struct JvmInput {
    pub(crate) host: usize,
    pub(crate) pid: u32,
    pub(crate) ns_pid: u32,
    pub(crate) start_ticks: u64,
    pub(crate) classes: Classes,
    /// Thread ids in the initial namespace by those of the JVM's own, where they differ.
    pub(crate) tids: FxHashMap<u32, u32>,
}

/// Everything that a merge reads.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) hosts: Vec<HostInput>,
    pub(crate) jvms: Vec<JvmInput>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) notes: Vec<String>,
    /// Stretches of files that hold several streams and are damaged: whose records they were is not known.
    pub(crate) gaps: Vec<(LaneKind, Gap)>,
    /// Records in all lanes.
    pub(crate) records: u64,
}

/// A recording with the headers of its files.
pub(super) struct Opened {
    pub(super) recording: Recording,
    host: usize,
    pub(super) files: Vec<OpenedFile>,
}

/// A file with its headers.
pub(super) struct OpenedFile {
    pub(super) file: StreamFile,
    pub(super) entries: Vec<SegmentEntry>,
    /// Where what is no segment begins.
    pub(super) damaged_at: Vec<u64>,
}

/// Opens recordings; those of the same boot of a host become one host.
///
/// # Errors
/// [`MergeError`] where there is none, or one is no recording. Damage within is noted and left out.
pub(crate) fn load(dirs: &[PathBuf]) -> Result<Input, MergeError> {
    let mut known = HashSet::new();
    let is_known = |dir: &&PathBuf| dir.canonicalize().is_ok_and(|path| !known.insert(path));
    if let Some(dir) = dirs.iter().find(is_known) {
        return Err(MergeError::Twice(dir.clone()));
    }
    let mut recordings = dirs
        .iter()
        .map(|dir| Recording::open(dir))
        .collect::<Result<Vec<_>, RecordingError>>()?;
    if recordings.is_empty() {
        return Err(MergeError::Nothing);
    }
    let first_boot = recordings[0].manifest.host.boot_id.clone();
    // The first host named stays the first: its clock is the timeline's.
    recordings.sort_by_key(|recording| {
        (
            recording.manifest.host.boot_id != first_boot,
            recording.manifest.started_ns,
        )
    });
    let mut input = Input::default();
    let mut boots: Vec<String> = Vec::new();
    let mut opened = Vec::new();
    for recording in recordings {
        let boot = &recording.manifest.host.boot_id;
        let host = boots.iter().position(|known| known == boot).unwrap_or_else(|| {
            boots.push(boot.clone());
            boots.len() - 1
        });
        opened.push(open(recording, host, &mut input.notes));
    }
    for host in 0..boots.len() {
        let mine: Vec<&Opened> = opened.iter().filter(|one| one.host == host).collect();
        add_host(&mut input, &mine);
    }
    Ok(input)
}

fn open(recording: Recording, host: usize, notes: &mut Vec<String>) -> Opened {
    let mut files = Vec::new();
    for file in recording.files() {
        let index = file.index();
        notes.extend(index.damage.iter().map(|damage| format!("damaged: {damage}")));
        files.push(OpenedFile {
            file: file.clone(),
            entries: index.entries,
            damaged_at: index.damage.iter().map(|damage| damage.offset).collect(),
        });
    }
    Opened { recording, host, files }
}

impl OpenedFile {
    /// What follows the last segment is damaged.
    pub(super) fn is_torn(&self) -> bool {
        let last = self.entries.last().map_or(0, |last| last.offset);
        self.damaged_at.iter().any(|&at| at >= last)
    }
}

impl Opened {
    pub(super) fn of_kind(&self, wanted: impl Fn(FileKind) -> bool) -> impl Iterator<Item = &OpenedFile> {
        self.files.iter().filter(move |opened| wanted(opened.file.kind))
    }
}

/// Makes one host of the recordings of one boot.
fn add_host(input: &mut Input, recordings: &[&Opened]) {
    let host = input.hosts.len();
    let pairs: Vec<ClockPair> = recordings.iter().flat_map(|one| clock_pairs(one)).collect();
    let manifests: Vec<Manifest> = recordings.iter().map(|one| one.recording.manifest.clone()).collect();
    let mut entry = host_input(manifests, &pairs);
    if let Some(first) = input.hosts.first() {
        entry.shift_ns = entry.realtime_offset_ns.saturating_sub(first.realtime_offset_ns);
        entry.from_ns = entry.from_ns.saturating_add_signed(entry.shift_ns);
        entry.to_ns = entry.to_ns.map(|to| to.saturating_add_signed(entry.shift_ns));
        input.notes.push(format!(
            "{}: aligned to {} by both hosts' real-time clocks; how far these were apart is not known, a few ms under NTP",
            entry.manifests[0].host.name, first.manifests[0].host.name
        ));
    }
    entry.from_ns = entry.from_ns.min(TIME_MAX_NS);
    entry.to_ns = entry.to_ns.map(|to| to.min(TIME_MAX_NS));
    let map = ClockMap::new(pairs).map(Rc::new);
    entry.clock_uncertainty_ns = map.as_ref().map_or(0, |map| map.uncertainty_ns());
    let clock = LaneClock {
        tsc: map,
        shift_ns: entry.shift_ns,
    };
    input.hosts.push(entry);
    let mut kernel_until = 0;
    for opened in recordings {
        lanes::add(input, host, opened, &clock, kernel_until);
        absent::add(input, host, opened, &clock, kernel_until);
        let manifest = &opened.recording.manifest;
        if manifest.kernel {
            kernel_until = kernel_until.max(
                manifest
                    .ended_ns
                    .unwrap_or_else(|| last_ns(opened))
                    .saturating_add_signed(clock.shift_ns),
            );
        }
    }
}

/// Last time in a recording's CPU streams, on its host's CLOCK_MONOTONIC.
fn last_ns(opened: &Opened) -> u64 {
    let cpus = opened.of_kind(|kind| matches!(kind, FileKind::Cpu(_)));
    cpus.flat_map(|opened| &opened.entries)
        .map(|entry| entry.header.last_time)
        .max()
        .unwrap_or(0)
}

fn clock_pairs(opened: &Opened) -> Vec<ClockPair> {
    let clocks = opened.of_kind(|kind| kind == FileKind::Clock);
    let segments = clocks.flat_map(|of| of.entries.iter().filter_map(|entry| of.file.read_at(entry.offset).ok()));
    segments
        .filter_map(|segment| match segment.payload {
            Payload::Clock(pairs) => Some(pairs),
            _ => None,
        })
        .flatten()
        .collect()
}

fn host_input(manifests: Vec<Manifest>, pairs: &[ClockPair]) -> HostInput {
    let difference = |a: u64, b: u64| (i128::from(a) - i128::from(b)).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    let first = &manifests[0];
    let unfinished = manifests.iter().any(|manifest| manifest.ended_ns.is_none());
    HostInput {
        from_ns: manifests.iter().map(|manifest| manifest.started_ns).min().unwrap_or(0),
        to_ns: (!unfinished)
            .then(|| manifests.iter().filter_map(|manifest| manifest.ended_ns).max())
            .flatten(),
        has_kernel: manifests.iter().any(|manifest| manifest.kernel),
        realtime_offset_ns: difference(first.started_realtime_ns, first.started_ns),
        boottime_offset_ns: pairs
            .first()
            .map_or(0, |pair| difference(pair.boottime_ns, pair.monotonic_ns)),
        shift_ns: 0,
        clock_uncertainty_ns: 0,
        manifests,
    }
}

//! What the tests share: a recording in a temporary directory, and its records.
#![allow(dead_code, reason = "each test program uses a part")]

pub mod killed;
pub mod rights;
pub mod switches;
pub mod threads;

use plumb_collector::{KernelOptions, Options, Recorder, Scope, doctor};
use plumb_trace::definition::Dated;
use plumb_trace::record::KernelRecord;
use plumb_trace::recording::{FileKind, Payload, Recording, Segment};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Whether the kernel side can be tested here.
pub fn kernel_works(test: &str) -> bool {
    works(doctor::KERNEL, test)
}

/// Whether a check of `doctor` is good. Where not, says which test is left out and why; a machine on which `doctor` says that it works never comes here.
pub fn works(check: &str, test: &str) -> bool {
    let check = doctor::check(check).expect("doctor knows the check");
    if !check.ok {
        println!("left out: {test}: {}", check.why);
    }
    check.ok
}

/// A directory that is removed at the end, and the name of a recording in it.
pub fn place() -> (TempDir, PathBuf) {
    let base = tempfile::tempdir().expect("a temporary directory");
    let dir = base.path().join("recording");
    (base, dir)
}

/// Options for a recording of the kernel side.
pub fn kernel_options(dir: &Path, scope: Scope, ring_bytes: Option<usize>) -> Options {
    Options {
        dir: dir.to_owned(),
        kernel: Some(KernelOptions {
            scope,
            ring_bytes,
            ..KernelOptions::default()
        }),
        ..Options::default()
    }
}

/// Starts to record the kernel side of the whole system.
pub fn start(dir: &Path, ring_bytes: Option<usize>) -> Recorder {
    Recorder::start(kernel_options(dir, Scope::System, ring_bytes)).unwrap_or_else(|error| panic!("{error}"))
}

/// All segments of the files of which `wanted` is true, none of them damaged.
pub fn segments(dir: &Path, wanted: impl Fn(FileKind) -> bool) -> Vec<Segment> {
    let recording = Recording::open(dir).unwrap_or_else(|error| panic!("{error}"));
    let files = recording.files().iter().filter(|file| wanted(file.kind));
    files
        .flat_map(|file| file.segments())
        .map(|segment| segment.unwrap_or_else(|damage| panic!("{damage:?}")))
        .collect()
}

/// All kernel records, by time.
pub fn kernel_records(dir: &Path) -> Vec<KernelRecord> {
    let mut records = Vec::new();
    for segment in segments(dir, |kind| matches!(kind, FileKind::Cpu(_))) {
        if let Payload::Kernel(more) = segment.payload {
            records.extend(more);
        }
    }
    records.sort_by_key(|record| record.time_ns);
    records
}

/// All definitions of the recorder.
pub fn definitions(dir: &Path) -> Vec<Dated> {
    let mut definitions = Vec::new();
    for segment in segments(dir, |kind| kind == FileKind::Host) {
        if let Payload::Definitions(more) = segment.payload {
            definitions.extend(more);
        }
    }
    definitions
}

/// Sum of all losses that the segments tell.
pub fn told_losses(dir: &Path, wanted: impl Fn(FileKind) -> bool) -> u64 {
    segments(dir, wanted)
        .iter()
        .map(|segment| segment.header.lost_before)
        // One of unknown size is as large as can be.
        .fold(0, u64::saturating_add)
}

/// A cpu cgroup (version 1 or 2) of a test's own, with 10 ms of each 50; removed at the end.
pub struct Quota {
    /// Its directory.
    pub path: PathBuf,
    /// Its path in the hierarchy.
    pub name: String,
}

impl Quota {
    pub fn new(test: &str) -> std::io::Result<Quota> {
        let name = format!("plumb-test-{test}-{}", std::process::id());
        let old = Path::new("/sys/fs/cgroup/cpu");
        let base = if old.is_dir() { old } else { Path::new("/sys/fs/cgroup") };
        let path = base.join(&name);
        std::fs::create_dir(&path)?;
        if base == old {
            std::fs::write(path.join("cpu.cfs_period_us"), "50000")?;
            std::fs::write(path.join("cpu.cfs_quota_us"), "10000")?;
        } else {
            std::fs::write(path.join("cpu.max"), "10000 50000")?;
        }
        let name = format!("/{name}");
        Ok(Quota { path, name })
    }

    pub fn throttled(&self) -> usize {
        let stat = std::fs::read_to_string(self.path.join("cpu.stat")).expect("cpu.stat");
        let line = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        line.and_then(|count| count.parse().ok()).expect("a count")
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.path);
    }
}

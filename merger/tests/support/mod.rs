//! Recordings and timelines as text, so that a test reads as what happened and what came of it. See `tests/golden/README.md`.
#![allow(dead_code, reason = "each test file uses its part")]

mod dump;
mod script;

#[allow(unused_imports, reason = "each test file uses its part")]
pub use dump::dump;
pub use script::Script;

use plumb_merger::{MergeError, Summary};
use plumb_trace::arena::Clock;
use plumb_trace::recording::segment::{self, SegmentHeader};
use plumb_trace::recording::{FileKind, Host, MANIFEST_VERSION, Manifest, Payload, SegmentWriter, create_directory};
use plumb_trace::timeline::TimelineFile;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A manifest of a recording from 1000 ns on.
pub fn manifest() -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        plumb_version: "0".into(),
        host: Host {
            name: "here".into(),
            boot_id: "boot".into(),
            kernel: "6.18".into(),
            cpus: 2,
            online: Vec::new(),
            clocksource: "tsc".into(),
        },
        started_ns: 1000,
        started_realtime_ns: 1_000_001_000,
        ended_ns: None,
        recorder_pid: 99,
        kernel: true,
        kernel_absent: None,
        scope: "system".into(),
        targets: Vec::new(),
        jvms: Vec::new(),
        groups: Vec::new(),
        units: Vec::new(),
        rules: Vec::new(),
        cut_short: None,
        notes: Vec::new(),
    }
}

/// Writes a recording, a segment at a time.
pub struct Recorder {
    pub dir: PathBuf,
    files: HashMap<FileKind, SegmentWriter>,
    sequences: HashMap<(FileKind, bool, u32), u32>,
}

impl Recorder {
    pub fn create(dir: &Path, manifest: &Manifest) -> Recorder {
        create_directory(dir).unwrap();
        manifest.write(dir).unwrap();
        Recorder {
            dir: dir.to_owned(),
            files: HashMap::new(),
            sequences: HashMap::new(),
        }
    }

    /// Appends a segment; `at` is its time where it holds no record.
    pub fn append(&mut self, file: FileKind, header: SegmentHeader, payload: &Payload) {
        let key = (file, matches!(payload, Payload::Definitions(_)), header.stream);
        let sequence = self.sequences.entry(key).or_insert(0);
        let header = SegmentHeader {
            sequence: *sequence,
            ..header
        };
        *sequence += 1;
        let bytes = segment::encode(&header, payload).unwrap();
        let path = self.dir.join(file.file_name());
        let writer = self
            .files
            .entry(file)
            .or_insert_with(|| SegmentWriter::create(&path).unwrap());
        writer.append(&bytes).unwrap();
    }
}

/// A header for `stream`.
pub fn header(stream: u32, tid: u32) -> SegmentHeader {
    SegmentHeader {
        tid,
        ..SegmentHeader::new(Clock::Monotonic, stream)
    }
}

/// Merges recordings and opens the timeline. The directory lives as long as the timeline is needed.
pub fn merge(dirs: &[PathBuf], out: &Path) -> Result<(Summary, TimelineFile), MergeError> {
    let summary = plumb_merger::merge(dirs, out, &mut |_| {})?;
    Ok((summary, TimelineFile::open(out).unwrap()))
}

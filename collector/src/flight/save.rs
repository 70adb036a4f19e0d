//! From a window to a recording on the disk, in a thread of its own: the writer goes on meanwhile.

use super::base::Base;
use super::{Kept, Saved};
use crate::live::Live;
use plumb_trace::arena::Clock;
use plumb_trace::definition::Dated;
use plumb_trace::recording::{
    self, FileKind, Manifest, Payload, RecordingError, SegmentHeader, SegmentWriter, segment,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// Windows that a trigger of the rules saves; after that only who asks in person gets one. A condition that is always true must not fill a disk.
const BY_RULE_MAX: u32 = 100;
/// Definitions in one segment.
const DEFINITIONS: usize = 4096;

/// A window that is to be saved.
#[derive(Debug)]
pub(crate) struct Request {
    pub segments: Vec<Kept>,
    pub base: Base,
    /// With `started_ns` at the window's begin.
    pub manifest: Manifest,
    pub to_ns: u64,
    /// How much before the window was asked for, too, and not held, ns.
    pub missing_ns: u64,
    pub reason: String,
    pub by_rule: bool,
    /// Clocks of JVMs, by pid and start.
    pub clocks: HashMap<(u32, u64), Clock>,
}

/// Saves one window at a time.
#[derive(Debug)]
pub(crate) struct Saver {
    dir: PathBuf,
    live: Arc<Live>,
    count: u32,
    by_rule: u32,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    /// Windows become recordings in this directory.
    pub fn new(dir: PathBuf, live: Arc<Live>) -> Saver {
        Saver {
            dir,
            live,
            count: 0,
            by_rule: 0,
            thread: None,
        }
    }

    /// Whether another window of a rule may be saved.
    pub fn has_room(&self) -> bool {
        self.by_rule < BY_RULE_MAX
    }

    /// Starts to save; waits for the window before, if that is still being written.
    pub fn save(&mut self, request: Request) {
        self.wait();
        self.count += 1;
        self.by_rule += u32::from(request.by_rule);
        if request.by_rule && !self.has_room() {
            self.live.note(format!(
                "triggers saved {BY_RULE_MAX} windows; no more are saved by them, to leave the disk some room"
            ));
        }
        let dir = self.dir.join(format!("window-{:04}", self.count));
        let live = Arc::clone(&self.live);
        let body = move || live.saved(write(dir, request));
        match Builder::new().name("plumb-save".into()).spawn(body) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => self
                .live
                .note(format!("a window could not be saved: no thread for it: {error}")),
        }
    }

    /// Until everything is saved.
    pub fn wait(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.live
                .note("a window could not be saved: a thread of the recorder panicked".into());
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.wait();
    }
}

fn write(dir: PathBuf, request: Request) -> Saved {
    let error = write_all(&dir, &request).err();
    Saved {
        reason: request.reason,
        from_ns: request.manifest.started_ns,
        to_ns: request.to_ns,
        missing_ns: request.missing_ns,
        error: error.map(|error| error.to_string()),
        dir,
    }
}

fn write_all(dir: &Path, request: &Request) -> Result<(), RecordingError> {
    recording::create_directory(dir)?;
    // Without an end at first: a recorder that is killed here leaves a recording that says so.
    let mut manifest = request.manifest.clone();
    manifest.write(dir)?;
    let mut files = Files {
        dir,
        files: HashMap::new(),
    };
    let started_ns = manifest.started_ns;
    files.define(FileKind::Host, Clock::Monotonic, request.base.of_host(started_ns))?;
    for jvm in &manifest.jvms {
        let (pid, start_ticks) = (jvm.pid, jvm.start_ticks);
        if let Some(&clock) = request.clocks.get(&(pid, start_ticks)) {
            files.define(
                FileKind::Jvm { pid, start_ticks },
                clock,
                request.base.of_jvm((pid, start_ticks)),
            )?;
        }
    }
    for kept in &request.segments {
        files.append(kept.file, kept.bytes.to_vec())?;
    }
    files.complete_cpus(&manifest, request.to_ns)?;
    manifest.ended_ns = Some(request.to_ns);
    manifest.write(dir)
}

/// The files of a recording, and how many segments each stream of them has.
struct Files<'a> {
    dir: &'a Path,
    files: HashMap<FileKind, (SegmentWriter, Counts)>,
}

/// Segments of each stream of a file so far. A JVM's definitions are a stream of their own beside its stream 0.
type Counts = HashMap<(bool, u32), u32>;

impl Files<'_> {
    fn define(&mut self, file: FileKind, clock: Clock, definitions: Vec<Dated>) -> Result<(), RecordingError> {
        for part in definitions.chunks(DEFINITIONS) {
            let payload = Payload::Definitions(part.to_vec());
            if let Ok(bytes) = segment::encode(&SegmentHeader::new(clock, 0), &payload) {
                self.append(file, bytes)?;
            }
        }
        Ok(())
    }

    /// A CPU that had nothing to tell within the window gets an empty segment, as in any recording.
    fn complete_cpus(&mut self, manifest: &Manifest, now: u64) -> Result<(), RecordingError> {
        for &cpu in manifest.host.online.iter().filter(|_| manifest.kernel) {
            let header = SegmentHeader {
                first_time: now,
                last_time: now,
                ..SegmentHeader::new(Clock::Monotonic, cpu)
            };
            if !self.files.contains_key(&FileKind::Cpu(cpu))
                && let Ok(bytes) = segment::encode(&header, &Payload::Kernel(Vec::new()))
            {
                self.append(FileKind::Cpu(cpu), bytes)?;
            }
        }
        Ok(())
    }

    /// Appends a segment as the next one of its stream.
    fn append(&mut self, file: FileKind, mut bytes: Vec<u8>) -> Result<(), RecordingError> {
        let Some(header) = segment::header(&bytes) else {
            return Ok(());
        };
        if !self.files.contains_key(&file) {
            let writer = SegmentWriter::create(&self.dir.join(file.file_name()))?;
            self.files.insert(file, (writer, HashMap::new()));
        }
        let Some((writer, streams)) = self.files.get_mut(&file) else {
            return Ok(());
        };
        let is_definitions = header.content == recording::Content::Definitions;
        let next = streams.entry((is_definitions, header.stream)).or_insert(0);
        if segment::renumber(&mut bytes, *next).is_err() {
            return Ok(());
        }
        *next += 1;
        writer.append(&bytes)
    }
}

//! A stream on its way into segments, and the file that takes them.

use crate::clock;
use crate::flight::Kept;
use plumb_trace::recording::segment::{LOST_UNKNOWN, encode};
use plumb_trace::recording::{FileKind, Payload, RecordingError, SegmentHeader, SegmentWriter};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// Where the segments of a recording go.
#[derive(Clone, Debug)]
pub(super) enum Sink {
    /// Files of this directory.
    Disk(PathBuf),
    /// The window of a flight recorder.
    Memory(Sender<Kept>),
}

/// A segment file, made when its first segment comes, or what stands for it in memory.
#[derive(Debug)]
pub(super) struct StreamFile {
    kind: FileKind,
    sink: Sink,
    writer: Option<SegmentWriter>,
}

impl StreamFile {
    pub fn new(kind: FileKind, sink: &Sink) -> StreamFile {
        StreamFile {
            kind,
            sink: sink.clone(),
            writer: None,
        }
    }

    /// Takes a segment, of this payload. Returns its length, bytes.
    fn append(&mut self, segment: Vec<u8>, payload: &Payload) -> Result<u64, RecordingError> {
        let bytes = segment.len() as u64;
        match (&self.sink, &mut self.writer) {
            (Sink::Memory(window), _) => {
                // The window is there as long as the writer is.
                let _ = window.send(Kept::new(self.kind, segment, payload, clock::monotonic_ns()));
                Ok(bytes)
            }
            (Sink::Disk(_), Some(writer)) => writer.append(&segment).map(|()| bytes),
            (Sink::Disk(dir), none) => {
                let writer = none.insert(SegmentWriter::create(&dir.join(self.kind.file_name()))?);
                writer.append(&segment).map(|()| bytes)
            }
        }
    }
}

/// Records of one stream that are not in a segment yet.
#[derive(Debug)]
pub(super) struct Stream {
    header: SegmentHeader,
    pub payload: Payload,
    /// Whether a record is older than the one before it.
    pub is_mixed: bool,
    /// When the oldest of them came.
    pub since: Option<Instant>,
}

/// What came of writing a segment.
#[derive(Debug)]
pub(super) struct Flushed {
    /// Records in it.
    pub stored: u64,
    /// Records that were to be in it and are lost.
    pub unwritten: u64,
    /// Bytes in the file.
    pub bytes: u64,
    pub error: Option<RecordingError>,
}

impl Stream {
    pub fn new(header: SegmentHeader, payload: Payload) -> Stream {
        Stream {
            header,
            payload,
            is_mixed: false,
            since: None,
        }
    }

    pub fn set_tid(&mut self, tid: u32) {
        self.header.tid = tid;
    }

    /// Records were added to the payload just now.
    pub fn touched(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// A loss lies after all records so far: they have to be flushed before.
    pub fn lose(&mut self, lost: u64, now: Instant) {
        self.header.lost_before = add_lost(self.header.lost_before, lost);
        self.touched(now);
    }

    pub fn has_loss(&self) -> bool {
        self.header.lost_before > 0
    }

    /// Bytes in memory, about.
    pub fn weight(&self) -> usize {
        self.payload.len() * super::weight_of(&self.payload)
    }

    /// Writes an empty segment: whoever finds none in the file later knows that something was taken away.
    pub fn begin(&mut self, file: &mut StreamFile, now: u64) -> Flushed {
        self.write(file, now)
    }

    /// Writes what there is as one segment. Where that fails its records become a loss of this stream.
    ///
    /// `now` is the time on the stream's clock, for a loss without records.
    pub fn flush(&mut self, file: &mut StreamFile, now: u64) -> Flushed {
        self.since = None;
        if self.payload.is_empty() && self.header.lost_before == 0 {
            return Flushed {
                stored: 0,
                unwritten: 0,
                bytes: 0,
                error: None,
            };
        }
        self.write(file, now)
    }

    fn write(&mut self, file: &mut StreamFile, now: u64) -> Flushed {
        let count = self.payload.len() as u64;
        if std::mem::take(&mut self.is_mixed) {
            sort(&mut self.payload);
        }
        let header = SegmentHeader {
            first_time: now,
            last_time: now,
            ..self.header
        };
        let written = match encode(&header, &self.payload) {
            Ok(segment) => file.append(segment, &self.payload),
            // Cannot be: streams are flushed long before a segment is too long. If it is, the records are lost, and counted.
            Err(_) => Ok(0),
        };
        empty(&mut self.payload);
        match written {
            Ok(bytes) if bytes > 0 => {
                self.header.lost_before = 0;
                self.header.sequence += 1;
                Flushed {
                    stored: count,
                    unwritten: 0,
                    bytes,
                    error: None,
                }
            }
            other => {
                self.header.lost_before = add_lost(self.header.lost_before, count);
                Flushed {
                    stored: 0,
                    unwritten: count,
                    bytes: 0,
                    error: other.err(),
                }
            }
        }
    }
}

fn add_lost(lost: u64, more: u64) -> u64 {
    if lost == LOST_UNKNOWN || more == LOST_UNKNOWN {
        LOST_UNKNOWN
    } else {
        lost.saturating_add(more)
    }
}

/// Puts records of a CPU in the order of their times. They are already, but where an interrupt wrote in the midst of a fork, exec, exit or rename.
fn sort(payload: &mut Payload) {
    if let Payload::Kernel(records) = payload {
        records.sort_by_key(|record| record.time_ns);
    }
}

/// Leaves nothing in it, and no room either but to a CPU that is busy: its next segment is as long, and to take new memory for each would cost a tenth of the writer's time.
fn empty(payload: &mut Payload) {
    match payload {
        Payload::Kernel(records) if records.len() >= records.capacity() / 4 => records.clear(),
        Payload::Kernel(records) => *records = Vec::new(),
        Payload::Jvm(records) => *records = Vec::new(),
        Payload::Definitions(definitions) => *definitions = Vec::new(),
        Payload::Clock(pairs) => *pairs = Vec::new(),
        Payload::Counters(samples) => *samples = Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumb_trace::record::KernelRecord;

    #[test]
    fn room_stays_with_who_is_busy_and_with_nobody_else() {
        let room = |payload: &Payload| match payload {
            Payload::Kernel(records) => records.capacity(),
            _ => 0,
        };
        let mut payload = Payload::Kernel(vec![KernelRecord::default(); 1000]);
        empty(&mut payload);
        assert!(payload.is_empty() && room(&payload) >= 1000);
        if let Payload::Kernel(records) = &mut payload {
            records.push(KernelRecord::default());
        }
        empty(&mut payload);
        assert!(payload.is_empty() && room(&payload) == 0);
    }
}

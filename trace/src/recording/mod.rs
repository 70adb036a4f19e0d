//! A recording: a directory of what the recorder wrote.
//!
//! ```text
//! DIR/manifest.json            Manifest: host, boot, clocks, rules; written first, rewritten (by rename) when the recording ends
//! DIR/clock.seg                stream of clock pairs
//! DIR/host.seg                 definitions of processes and threads
//! DIR/counters.seg             samples of counters: pressure, stolen time, throttled cgroups, CPUs that come and go
//! DIR/cpu-N.seg                records of CPU N
//! DIR/jvm-PID-START.seg        records and definitions of one JVM: a stream for each of its threads, stream 0 for its definitions
//! ```
//! A segment file is a sequence of [`segment`]s, each complete in itself and checksummed, appended in whole: whatever process is killed at whatever point, all segments
//! but the torn last one can be read.

mod counter_rows;
mod jvm_rows;
mod kernel_rows;
mod manifest;
mod reader;
pub mod segment;
mod writer;

pub use counter_rows::CounterSample;
pub use manifest::{Group, Host, Jvm, MANIFEST_VERSION, Manifest, RuleSource};
pub use reader::{Damage, FileKind, Index, Recording, RecordingError, SegmentEntry, SegmentIter, StreamFile};
pub use segment::{ClockPair, Content, Payload, Segment, SegmentHeader};
pub use writer::{SegmentWriter, create_directory};

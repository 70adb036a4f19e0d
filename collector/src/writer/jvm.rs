//! A JVM's streams and definitions.

use super::stream::{Sink, Stream, StreamFile};
use super::{DEFINITIONS, count, time_of};
use crate::kernel::NamedThreads;
use crate::live::Live;
use crate::proc;
use crate::snapshot::thread;
use crate::trigger::Watcher;
use plumb_trace::arena::Clock;
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::recording::{FileKind, Payload, SegmentHeader};
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

/// A JVM on its way into segments.
pub(super) struct Jvm {
    pub pid: u32,
    pub ns_pid: u32,
    pub start_ticks: u64,
    pub file: StreamFile,
    pub clock: Clock,
    /// Thread streams, and stream 0: records that found no slot.
    pub streams: HashMap<u32, Stream>,
    pub definitions: Stream,
}

impl Jvm {
    /// One of which nothing has come yet.
    pub fn new((pid, ns_pid): (u32, u32), start_ticks: u64, clock: Clock, sink: &Sink) -> Jvm {
        Jvm {
            pid,
            ns_pid,
            start_ticks,
            file: StreamFile::new(FileKind::Jvm { pid, start_ticks }, sink),
            clock,
            streams: HashMap::new(),
            definitions: Stream::new(SegmentHeader::new(clock, 0), Payload::Definitions(Vec::new())),
        }
    }

    /// Takes a definition, as bytes.
    pub fn definition(
        &mut self,
        bytes: &[u8],
        named: Option<&mut NamedThreads>,
        watcher: Option<(usize, &mut Watcher)>,
        live: &Live,
        now: Instant,
    ) {
        let decoded = Dated::decode(bytes);
        if (named.is_some() || watcher.is_some())
            && let Ok(Some(dated)) = &decoded
        {
            self.name(named, watcher, &dated.definition);
        }
        match (decoded, &mut self.definitions.payload) {
            (Ok(Some(dated)), Payload::Definitions(definitions)) => {
                definitions.push(dated);
                self.definitions.touched(now);
            }
            (Ok(None), _) => {}
            _ => live.note("a JVM sent a definition that cannot be read; it was left out".into()),
        }
        if self.definitions.payload.len() >= DEFINITIONS {
            let flushed = self.definitions.flush(&mut self.file, time_of(self.clock));
            count(live, flushed, &AtomicU64::new(0), &live.definitions_unwritten);
        }
    }

    /// The JVM knows a thread's whole name, the kernel a part of it.
    fn name(&self, named: Option<&mut NamedThreads>, watcher: Option<(usize, &mut Watcher)>, definition: &Definition) {
        let mut host_tid = None;
        if let Definition::JavaThread { tid, name, .. } | Definition::JavaThreadName { tid, name } = definition {
            host_tid = self.host_tid(*tid).filter(|tid| *tid != 0);
            if let (Some(named), Some(tid)) = (named, host_tid) {
                named.name(tid, name);
            }
        }
        if let Some((number, watcher)) = watcher {
            watcher.define_in_jvm(number, definition, host_tid);
        }
    }

    /// Who a thread of a JVM in another pid namespace is outside of it, if these bytes tell of one: for recordings without the kernel's own word.
    pub fn thread_outside(&self, bytes: &[u8]) -> Option<Dated> {
        if self.pid == self.ns_pid {
            return None;
        }
        let Ok(Some(Dated { at: _, definition })) = Dated::decode(bytes) else {
            return None;
        };
        match definition {
            Definition::JavaThread { tid, started: true, .. } => thread(self.pid, self.host_tid(tid)?, true),
            _ => None,
        }
    }

    fn host_tid(&self, tid: u32) -> Option<u32> {
        if self.pid == self.ns_pid {
            Some(tid)
        } else {
            proc::tid_of_ns(self.pid, tid)
        }
    }
}

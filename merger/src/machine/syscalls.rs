//! System calls, where the rules ask for every one: each becomes a slice on the track of who calls, named like `read(socket)`.
//!
//! A slice lies within the methods that are open then. A call that has no exit when the thread calls again, or ends, ends there (`open_end`); an exit without an enter
//! belongs to a call that was under way at the beginning (`open_start`), unless something is known of the thread: then records are missing, and nothing is said.

use super::Machine;
use plumb_trace::record::{KernelRecord, fd_kind};
use plumb_trace::syscalls;
use plumb_trace::timeline::{Slice, StringId, TimelineError, TrackId};
use rustc_hash::FxHashMap;

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// The calls of all threads.
#[derive(Debug, Default)]
pub(super) struct SystemCalls {
    /// By place in the registry's threads; `None`: not in a call.
    threads: FxHashMap<usize, Option<Open>>,
    names: FxHashMap<(i16, u8), StringId>,
    /// The last stream of each of the JVMs' threads, by place in the registry.
    streams: FxHashMap<usize, (usize, u32)>,
}

/// A call that goes on.
#[derive(Clone, Copy, Debug)]
struct Open {
    call: i16,
    name: StringId,
    start_ns: u64,
}

impl SystemCalls {
    /// A JVM's stream is this thread's.
    pub(super) fn has_stream(&mut self, thread: usize, stream: (usize, u32)) {
        self.streams.insert(thread, stream);
    }
}

impl Machine {
    pub(super) fn call_enters(&mut self, host: usize, at: u64, record: &KernelRecord) -> Result {
        let Some(thread) = self.thread_of(host, record.tid, record.pid, at)? else {
            return Ok(());
        };
        let open = Open {
            call: record.syscall,
            name: self.call_name(record.syscall, record.fd_kind),
            start_ns: at,
        };
        match self.system_calls.threads.insert(thread, Some(open)) {
            Some(Some(before)) => self.call_slice(thread, before, at, true),
            _ => Ok(()),
        }
    }

    pub(super) fn call_exits(&mut self, host: usize, at: u64, record: &KernelRecord) -> Result {
        let Some(thread) = self.thread_of(host, record.tid, record.pid, at)? else {
            return Ok(());
        };
        match self.system_calls.threads.insert(thread, None) {
            Some(Some(open)) if open.call == record.syscall => self.call_slice(thread, open, at, false),
            // Its enter, and the exit of the one before, are missing.
            Some(Some(open)) => self.call_slice(thread, open, at, true),
            Some(None) => Ok(()),
            None => {
                let name = self.call_name(record.syscall, fd_kind::NONE);
                let track = self.registry.threads[thread].track;
                let start_ns = self.writer.track_mut(track).start_ns.min(at);
                let depth = self.call_depth(thread);
                let slice = Slice {
                    open_start: true,
                    ..Slice::whole((start_ns, at), name, depth)
                };
                self.writer.slice(track, &slice)
            }
        }
    }

    fn call_slice(&mut self, thread: usize, open: Open, at: u64, open_end: bool) -> Result {
        let depth = self.call_depth(thread);
        let entry = &self.registry.threads[thread];
        let track: TrackId = entry.mounted.map_or(entry.track, |mounted| mounted.track);
        let slice = Slice {
            open_end,
            ..Slice::whole((open.start_ns, at.max(open.start_ns)), open.name, depth)
        };
        self.writer.slice(track, &slice)
    }

    /// How many methods are open around.
    fn call_depth(&self, thread: usize) -> u16 {
        let key = self.system_calls.streams.get(&thread);
        let stream = key.and_then(|key| self.streams.get(key));
        stream.map_or(0, |stream| stream.calls.depth())
    }

    fn call_name(&mut self, call: i16, kind: u8) -> StringId {
        let writer = &mut self.writer;
        let name = || {
            let call = u16::try_from(call).ok().and_then(syscalls::name);
            let name = format!("{}({})", call.unwrap_or("system call"), kind_name(kind));
            writer.string(&name)
        };
        *self.system_calls.names.entry((call, kind)).or_insert_with(name)
    }

    /// Calls that go on end with their threads.
    pub(super) fn close_system_calls(&mut self, to_ns: u64) -> Result {
        let mut open: Vec<(usize, Open)> = (self.system_calls.threads.drain())
            .filter_map(|(thread, open)| Some((thread, open?)))
            .collect();
        open.sort_by_key(|(thread, _)| *thread);
        for (thread, open) in open {
            let entry = &self.registry.threads[thread];
            let (track, ended) = (entry.track, entry.ended);
            let end_ns = if ended {
                self.writer.track_mut(track).end_ns
            } else {
                to_ns
            };
            self.call_slice(thread, open, end_ns, true)?;
        }
        Ok(())
    }
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        fd_kind::SOCKET => "socket",
        fd_kind::REGULAR => "file",
        fd_kind::PIPE => "pipe",
        fd_kind::ANON => "anonymous inode",
        fd_kind::BLOCK => "block device",
        fd_kind::CHAR => "character device",
        fd_kind::OTHER => "other file",
        _ => "",
    }
}

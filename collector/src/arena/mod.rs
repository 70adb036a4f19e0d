//! The reader's side of a JVM's arena. Layout and protocol: [`plumb_trace::arena`].
//!
//! The JVM writes into this memory while it is read, and what it writes is not trusted: every index and length is checked, and what cannot be is dropped and
//! told, never followed.

mod definitions;
mod streams;

#[cfg(test)]
mod tests;

use crate::parcel::{Item, Kind, Parcel, Source};
use crate::shared_memory::SharedMemory;
use crate::{CollectorError, proc};
use definitions::Definitions;
use plumb_trace::arena::{self, Clock, Header};
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use streams::Streams;

/// A JVM whose agent has an arena for the recorder.
#[derive(Debug)]
pub struct JvmSource {
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Process id in its own namespace.
    pub ns_pid: u32,
    /// Start time, clock ticks since boot.
    pub start_ticks: u64,
    /// The sealed memfd.
    pub arena: OwnedFd,
}

/// How thoroughly to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Full chunks and definitions only: some microseconds.
    Quick,
    /// Also chunks that are still written into, and threads that have ended.
    Thorough,
    /// Nothing more will come: take what is there, gaps and all.
    Last,
}

/// What a JVM's arena has given so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArenaTotals {
    /// Records read.
    pub read: u64,
    /// Records that the agent dropped.
    pub lost: u64,
    /// Definitions that did not fit into the arena.
    pub definitions_lost: u64,
}

/// One JVM's arena, as far as the reader has come.
pub(crate) struct Arena {
    memory: SharedMemory,
    source: Source,
    /// Clock of the records' ticks.
    pub clock: Clock,
    pid: u32,
    start_ticks: u64,
    /// Readable when the JVM has ended; `None` when it had before, or where no such descriptor is to be had.
    alive: Option<OwnedFd>,
    streams: Streams,
    definitions: Definitions,
    unslotted: u64,
    pub totals: ArenaTotals,
}

impl Arena {
    /// Maps the arena after checking that it is one. `number` counts the JVMs of a recording.
    pub fn open(jvm: &JvmSource, number: usize) -> Result<Arena, CollectorError> {
        let bad = |cause: String| CollectorError::Arena { pid: jvm.pid, cause };
        let bytes = checked_size(&jvm.arena).map_err(bad)?;
        let memory = SharedMemory::map(&jvm.arena, bytes).map_err(|error| bad(error.to_string()))?;
        let clock = checked_header(&memory, bytes).map_err(bad)?;
        let source = Source::Jvm(number);
        Ok(Arena {
            streams: Streams::new(source, arena::chunk_count(bytes)),
            memory,
            source,
            clock,
            pid: jvm.pid,
            start_ticks: jvm.start_ticks,
            alive: pidfd(jvm.pid, jvm.start_ticks),
            definitions: Definitions::default(),
            unslotted: 0,
            totals: ArenaTotals::default(),
        })
    }

    /// The JVM.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the JVM has ended: its memory stays, nothing is written into it any more.
    pub fn has_ended(&self) -> bool {
        match &self.alive {
            Some(alive) => readable(alive),
            None => proc::start_ticks(self.pid) != Some(self.start_ticks),
        }
    }

    /// What is wrong with the arena, if something was found to be.
    pub fn damage(&self) -> Option<&'static str> {
        self.streams.damage.or(self.definitions.damage)
    }

    /// Moves what has come into the parcel. Returns whether everything fitted.
    pub fn drain(&mut self, parcel: &mut Parcel, pass: Pass) -> bool {
        let whole = self.definitions.drain(&self.memory, self.source, parcel);
        let whole = self.streams.drain(&self.memory, parcel, pass, &mut self.totals) && whole;
        if pass != Pass::Quick && parcel.space() > 0 {
            self.drain_unslotted(parcel);
        }
        whole
    }

    fn drain_unslotted(&mut self, parcel: &mut Parcel) {
        let load = |at| self.memory.u64_at(at).map_or(0, |field| field.load(Ordering::Acquire));
        self.totals.definitions_lost = load(offset_of!(Header, definitions_lost));
        let lost = load(offset_of!(Header, lost_unslotted));
        let more = lost.saturating_sub(self.unslotted);
        if more > 0 {
            self.unslotted = lost;
            self.totals.lost = self.totals.lost.saturating_add(more);
            parcel.close_item(parcel.bytes.len(), Item::new(self.source, Kind::Records, 0, 0, more));
        }
    }
}

/// The file's size, if it is a possible one that can never shrink under the mapping.
fn checked_size(fd: &OwnedFd) -> Result<usize, String> {
    #[expect(unsafe_code, reason = "fcntl")]
    // SAFETY: F_GET_SEALS takes no pointer.
    let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
    if seals == -1 || seals & libc::F_SEAL_SHRINK == 0 {
        return Err("it is no memfd that is sealed against shrinking".into());
    }
    let file = File::from(fd.try_clone().map_err(|error| error.to_string())?);
    let bytes = file.metadata().map_err(|error| error.to_string())?.len();
    match usize::try_from(bytes) {
        Ok(size) if (arena::MIN_BYTES..=arena::MAX_BYTES).contains(&size) => Ok(size),
        _ => Err(format!("{bytes} bytes are no size for an arena")),
    }
}

fn checked_header(memory: &SharedMemory, bytes: usize) -> Result<Clock, String> {
    let word = |at| memory.u64_at(at).map_or(0, |field| field.load(Ordering::Acquire));
    let half = |at| memory.u32_at(at).map_or(0, |field| field.load(Ordering::Acquire));
    if word(offset_of!(Header, magic)) != arena::MAGIC {
        return Err("it does not begin as an arena does".into());
    }
    let version = half(offset_of!(Header, version));
    if version != arena::VERSION {
        return Err(format!("it has version {version}, this plumb knows {}", arena::VERSION));
    }
    if word(offset_of!(Header, bytes)) != bytes as u64 {
        return Err("its header gives another size than it has".into());
    }
    match half(offset_of!(Header, clock)) {
        0 => Ok(Clock::Monotonic),
        1 => Ok(Clock::Tsc),
        clock => Err(format!("its clock {clock} is unknown")),
    }
}

/// A descriptor that becomes readable when the process ends; `None` if it has, or if its pid is another's by now.
fn pidfd(pid: u32, start_ticks: u64) -> Option<OwnedFd> {
    #[expect(unsafe_code, reason = "pidfd_open has no wrapper")]
    // SAFETY: the call takes no pointer; a descriptor that it returns is ours alone.
    let fd = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))?
    };
    // Looked at after the descriptor is held: from here on the pid cannot become another's unseen.
    (proc::start_ticks(pid) == Some(start_ticks)).then_some(fd)
}

fn readable(fd: &OwnedFd) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    #[expect(unsafe_code, reason = "poll")]
    // SAFETY: `poll` is one valid pollfd; a time-out of 0 returns at once.
    let count = unsafe { libc::poll(&raw mut poll, 1, 0) };
    count == 1 || (count == -1 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted)
}

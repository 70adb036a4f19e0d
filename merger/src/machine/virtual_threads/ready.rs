//! Virtual threads that may go on and have no carrier.
//!
//! Whoever gives one to its scheduler tells so before anybody can mount it: from there on it is ready. The same thing may be told twice, and may be told late of one that has gone on
//! meanwhile: of one that has a carrier, is ready or has ended it says nothing.

use super::super::Machine;
use super::super::thread::Doing;
use super::{Key, Result, VirtualThread};
use plumb_trace::State;
use plumb_trace::timeline::{Cause, TimelineWriter, TrackId};
use std::collections::VecDeque;

/// How the JDK's own threads begin that end sleeps (21) and give monitors on (25), in a name that the kernel may have cut.
const SCHEDULER_NAMES: &str = "VirtualThread-u";

/// So many are known to have ended: a late record comes some microseconds late.
const ENDED_MAX: usize = 64;

/// Those that ended last.
#[derive(Debug, Default)]
pub(super) struct Ended(VecDeque<Key>);

impl Ended {
    pub(super) fn add(&mut self, key: Key) {
        if self.0.len() == ENDED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(key);
    }
}

impl Machine {
    /// A virtual thread is given to its scheduler by a thread (place among the threads), or by the one that this carries.
    pub(in super::super) fn virtual_ready(&mut self, key: Key, by: usize, at: u64) -> Result {
        if self.virtual_threads.ended.0.contains(&key) {
            return Ok(());
        }
        self.make_virtual_thread(key, by, at);
        let peer = self.who_acts(by);
        match self.virtual_threads.living.get_mut(&key) {
            Some(thread) => thread.may_go_on(&mut self.writer, at, peer),
            None => Ok(()),
        }
    }

    /// In whose name a thread acts. A carrier without a virtual thread and the JDK's own threads do what a clock, or somebody before, has asked them for: of them nobody knows.
    fn who_acts(&mut self, thread: usize) -> Option<TrackId> {
        let entry = &self.registry.threads[thread];
        match entry.mounted {
            Some(mounted) => Some(mounted.track),
            None if entry.is_carrier => None,
            None => {
                let track = entry.track;
                let is_scheduler = self.writer.track_mut(track).name.starts_with(SCHEDULER_NAMES);
                (!is_scheduler).then_some(track)
            }
        }
    }

    /// Records of a JVM's carrier are missing from `from_ns` on: who was ready may have got it.
    pub(in super::super) fn lose_ready(&mut self, jvm: usize, from_ns: u64) -> Result {
        let living = self.virtual_threads.living.iter_mut();
        for (_, thread) in living.filter(|((of, _), thread)| *of == jvm && thread.is_ready()) {
            thread.write(&mut self.writer, from_ns)?;
            thread.doing = Doing::UNKNOWN;
        }
        Ok(())
    }
}

impl VirtualThread {
    fn is_ready(&self) -> bool {
        self.carrier.is_none() && self.doing.state == State::Ready
    }

    fn may_go_on(&mut self, writer: &mut TimelineWriter, at: u64, peer: Option<TrackId>) -> Result {
        if self.carrier.is_some() || self.is_ready() {
            return Ok(());
        }
        if self.doing.is_off() {
            self.doing.peer = peer;
        }
        self.write(writer, at)?;
        self.doing = Doing {
            peer,
            cause: Cause::Woken,
            ..Doing::just(State::Ready)
        };
        Ok(())
    }

    /// It is new: who gave it to its scheduler has started it.
    pub(super) fn is_born(&mut self) {
        if self.is_ready() {
            self.doing.cause = Cause::Born;
        }
    }
}

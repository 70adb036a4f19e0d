//! Virtual threads that may go on and have no carrier.
//!
//! Whoever gives one to its scheduler tells so before anybody can mount it: from there on it is ready. The same thing may be told twice, and may be told late of one that has gone on
//! meanwhile: of one that has a carrier, is ready or has ended it says nothing.

use super::super::Machine;
use super::super::thread::Doing;
use super::{Key, Result, VirtualThread};
use plumb_trace::State;
use plumb_trace::timeline::{Cause, TimelineWriter, TrackId};
use rustc_hash::FxHashSet;
use std::collections::VecDeque;

/// How the JDK's own threads begin that end sleeps (21) and give monitors on (25), in a name that the kernel may have cut.
const SCHEDULER_NAMES: &str = "VirtualThread-u";

/// So many are known to have ended: a late record comes some microseconds late.
const ENDED_MAX: usize = 4096;

/// Those that ended last.
#[derive(Debug, Default)]
pub(super) struct Ended {
    in_order: VecDeque<Key>,
    all: FxHashSet<Key>,
}

impl Ended {
    pub(super) fn add(&mut self, key: Key) {
        if self.in_order.len() == ENDED_MAX
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.all.remove(&oldest);
        }
        self.in_order.push_back(key);
        self.all.insert(key);
    }

    fn has(&self, key: Key) -> bool {
        self.all.contains(&key)
    }
}

impl Machine {
    /// A virtual thread is given to its scheduler by a thread (place among the threads), or by the one that this carries.
    pub(in super::super) fn virtual_ready(&mut self, key: Key, by: usize, at: u64) -> Result {
        if self.virtual_threads.ended.has(key) {
            return Ok(());
        }
        self.make_virtual_thread(key, by, at);
        let peer = self.who_acts(by);
        let jvm = &mut self.jvms[key.0];
        jvm.tells_ready = true;
        match self.virtual_threads.living.get_mut(&key) {
            // Its carrier may be one whose records are missing.
            Some(thread) if at < jvm.carriers_unseen_until => thread.lose_sight(&mut self.writer, at),
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

    /// Records of a JVM's carrier are missing: who was ready, or is meanwhile, may have got it.
    pub(in super::super) fn lose_ready(&mut self, jvm: usize, (from_ns, to_ns): (u64, u64)) -> Result {
        let unseen_until = &mut self.jvms[jvm].carriers_unseen_until;
        *unseen_until = to_ns.max(*unseen_until);
        let living = self.virtual_threads.living.iter_mut();
        for (_, thread) in living.filter(|((of, _), thread)| *of == jvm && thread.is_ready()) {
            thread.lose_sight(&mut self.writer, from_ns)?;
        }
        Ok(())
    }
}

impl VirtualThread {
    fn is_ready(&self) -> bool {
        self.carrier.is_none() && self.doing.state == State::Ready
    }

    fn lose_sight(&mut self, writer: &mut TimelineWriter, at: u64) -> Result {
        if self.carrier.is_none() {
            self.write(writer, at)?;
            self.doing = Doing::UNKNOWN;
        }
        Ok(())
    }

    /// It leaves a carrier that it was not seen to get.
    pub(super) fn was_mounted_unseen(&mut self, writer: &mut TimelineWriter, at: u64) -> Result {
        if self.is_ready() {
            self.lose_sight(writer, at)
        } else {
            Ok(())
        }
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

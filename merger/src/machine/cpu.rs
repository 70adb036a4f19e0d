//! One CPU: who has it, since when, and from when on its stream tells everything.

use plumb_trace::timeline::{Occupancy, TimelineError, TimelineWriter, TrackId};

/// Who has a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupant {
    /// Not seen yet, or not since a loss.
    Unknown,
    /// Nobody: the idle task.
    Idle,
    /// This thread (place in the registry).
    Thread(usize),
}

/// One CPU.
#[derive(Debug)]
pub(crate) struct Cpu {
    /// Its track, from its first switch on.
    pub(crate) track: Option<TrackId>,
    pub(crate) occupant: Occupant,
    since: u64,
    /// When it was last had by somebody whose leaving was not recorded.
    pub(crate) hole: Option<(u64, u64)>,
    /// From here on no switch of this CPU is missing; `None` before the first switch on any CPU.
    pub(crate) known_from: Option<u64>,
}

impl Cpu {
    pub(crate) fn new(known_from: Option<u64>) -> Cpu {
        Cpu {
            track: None,
            occupant: Occupant::Unknown,
            hole: None,
            since: known_from.unwrap_or(0),
            known_from,
        }
    }

    /// The host's first switch was at `from`: nothing of this CPU is missing since then, unless a loss has said so.
    pub(crate) fn cover(&mut self, from: u64) {
        if self.known_from.is_none() {
            self.known_from = Some(from);
            self.since = self.since.max(from);
        }
    }

    /// The CPU goes from `from` to `to` at `at`. What the record says of `from` counts, also where somebody else was thought to be there.
    pub(crate) fn switch(
        &mut self,
        writer: &mut TimelineWriter,
        at: u64,
        from: (Occupant, Option<TrackId>),
        to: Occupant,
    ) -> Result<(), TimelineError> {
        let (before, track) = from;
        // Before the first switch since a loss, the idle task had it if that is who leaves.
        let is_told = self.occupant == before || (self.occupant == Occupant::Unknown && self.known_from.is_some());
        if is_told && before != Occupant::Unknown {
            self.write(writer, at, track)?;
        }
        self.since = self.since.max(at);
        self.occupant = to;
        Ok(())
    }

    /// Who has it is not known from `at` until `known_from`. `track` is the occupant's.
    pub(crate) fn lose(
        &mut self,
        writer: &mut TimelineWriter,
        at: u64,
        known_from: u64,
        track: Option<TrackId>,
    ) -> Result<(), TimelineError> {
        if self.occupant != Occupant::Unknown {
            self.write(writer, at, track)?;
        }
        self.occupant = Occupant::Unknown;
        self.known_from = Some(known_from);
        self.since = known_from.max(self.since);
        Ok(())
    }

    fn write(&mut self, writer: &mut TimelineWriter, at: u64, track: Option<TrackId>) -> Result<(), TimelineError> {
        let occupancy = Occupancy {
            start_ns: self.since,
            end_ns: at,
            track,
        };
        match self.track {
            Some(cpu) if at > self.since => writer.occupancy(cpu, &occupancy),
            _ => Ok(()),
        }
    }

    /// Who had it left before `at`, and who came then is told by whoever leaves next.
    pub(crate) fn is_told_from(&mut self, at: u64) {
        self.occupant = Occupant::Unknown;
        self.known_from = Some(at);
        self.since = self.since.max(at);
    }

    /// From when on the occupant may have it at the earliest, where its coming was not seen.
    pub(crate) fn unseen_from(&self) -> Option<u64> {
        match self.hole {
            Some((begin, end)) if self.known_from == Some(end) => Some(begin),
            _ => self.known_from,
        }
    }

    /// Since when the occupant has it.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// This thread has had it since `from`, which was not recorded.
    pub(crate) fn assume(&mut self, thread: usize, from: u64) {
        if self.occupant != Occupant::Thread(thread) {
            self.since = self.since.max(from);
            self.occupant = Occupant::Thread(thread);
        }
    }

    /// The first switch since `known_from` on this CPU is still to come.
    pub(crate) fn is_unseen(&self) -> bool {
        self.occupant == Occupant::Unknown
    }
}

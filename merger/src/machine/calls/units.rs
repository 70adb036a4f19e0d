//! Units of work of one JVM that go on in tasks which other threads run.
//!
//! A unit lasts while a thread works for it or a task that was handed over on its behalf waits to be run; it ends with the last of its parts. What cannot be told for certain
//! is not linked: where a task was handed over by several units (or by one and by nobody) before it ran, none of them gets it, and they are not complete.

use plumb_trace::timeline::{StringId, TimelineError, TimelineWriter, TrackId, Unit, UnitPart};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// Most tasks that wait at once: beyond, none of them is linked.
const TASKS_MAX: usize = 1 << 20;

/// A unit that goes on.
#[derive(Debug)]
struct Open {
    name: StringId,
    key: StringId,
    track: TrackId,
    start_ns: u64,
    end_ns: u64,
    thrown: bool,
    complete: bool,
    /// Threads that work for it and tasks that wait.
    live: u32,
    /// Its only part so far, which is not written yet: a unit of one part needs none.
    only: Option<UnitPart>,
    /// It has several, which are written.
    has_parts: bool,
}

/// What waits: on behalf of which units, and since when (the same task may wait several times).
#[derive(Debug, Default)]
struct Waiting {
    units: Vec<u64>,
    since: VecDeque<u64>,
}

/// All that go on.
#[derive(Debug)]
pub(in super::super) struct Units {
    open: FxHashMap<u64, Open>,
    /// By identity hash.
    tasks: FxHashMap<u32, Waiting>,
    /// Virtual threads that were started and have not begun.
    threads: FxHashMap<u64, Waiting>,
    next: u64,
    /// Records of before are missing: what was handed over by then may have run, and been handed over again.
    lost_until: u64,
    /// Units whose key is beyond those that the agent tells apart.
    pub(in super::super) other_keys: u64,
    /// Units that are not complete since it was not certain whose task ran.
    pub(in super::super) uncertain: u64,
}

/// A task begins to run: on behalf of these units, handed over then.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) units: Vec<u64>,
    pub(super) since: u64,
}

impl Units {
    /// Of the JVM at this place: numbers of units are those of no other.
    pub(in super::super) fn new(jvm: usize) -> Units {
        Units {
            open: FxHashMap::default(),
            tasks: FxHashMap::default(),
            threads: FxHashMap::default(),
            next: (jvm as u64) << 40,
            lost_until: 0,
            other_keys: 0,
            uncertain: 0,
        }
    }

    /// A unit begins on a thread, which works for it.
    pub(super) fn begin(&mut self, (name, key): (StringId, StringId), track: TrackId, at: u64) -> u64 {
        self.next += 1;
        self.open.insert(
            self.next,
            Open {
                name,
                key,
                track,
                start_ns: at,
                end_ns: at,
                thrown: false,
                complete: true,
                live: 1,
                only: None,
                has_parts: false,
            },
        );
        self.next
    }

    /// Whether the unit is of this name.
    pub(super) fn is_of(&self, unit: u64, name: StringId) -> bool {
        self.open.get(&unit).is_some_and(|open| open.name == name)
    }

    /// The call that the unit began with was left by an exception.
    pub(super) fn thrown(&mut self, unit: u64) {
        if let Some(open) = self.open.get_mut(&unit) {
            open.thrown = true;
        }
    }

    /// Not all of the unit was seen.
    pub(super) fn incomplete(&mut self, unit: u64) {
        if let Some(open) = self.open.get_mut(&unit) {
            open.complete = false;
        }
    }

    /// A thread worked for the unit.
    pub(super) fn part(
        &mut self,
        writer: &mut TimelineWriter,
        unit: u64,
        track: TrackId,
        (handed_ns, start_ns, end_ns): (u64, u64, u64),
    ) -> Result {
        let Some(open) = self.open.get_mut(&unit) else {
            return Ok(());
        };
        open.end_ns = open.end_ns.max(end_ns);
        let part = UnitPart {
            number: unit,
            name: open.name,
            key: open.key,
            track,
            handed_ns,
            start_ns,
            end_ns,
        };
        match open.only.take() {
            Some(first) => {
                open.has_parts = true;
                writer.unit_part(&first)?;
                writer.unit_part(&part)
            }
            None if open.has_parts => writer.unit_part(&part),
            None => {
                open.only = Some(part);
                Ok(())
            }
        }
    }

    /// A thread works for the unit no more, or a task of it waits no more.
    pub(super) fn release(&mut self, writer: &mut TimelineWriter, unit: u64) -> Result {
        let Some(open) = self.open.get_mut(&unit) else {
            return Ok(());
        };
        open.live = open.live.saturating_sub(1);
        if open.live > 0 {
            return Ok(());
        }
        match self.open.remove(&unit) {
            Some(open) => open.write(writer, unit),
            None => Ok(()),
        }
    }

    /// A thread that works for these units hands a task over.
    pub(super) fn hand_over(&mut self, writer: &mut TimelineWriter, task: u32, units: Vec<u64>, at: u64) -> Result {
        let is_again = |waiting: &Waiting| waiting.since.len() >= TASKS_MAX;
        if self.tasks.len() >= TASKS_MAX || self.tasks.get(&task).is_some_and(is_again) {
            self.forget(writer, at)?;
        }
        let waiting = self.tasks.entry(task).or_default();
        if waiting.since.is_empty() || waiting.units == units {
            waiting.since.push_back(at);
            self.wait(&units);
            self.tasks.entry(task).or_default().units = units;
            return Ok(());
        }
        // Whoever runs it next, nobody knows for whom.
        let (others, times) = (std::mem::take(&mut waiting.units), waiting.since.len());
        waiting.since.push_back(at);
        for unit in units.into_iter().chain(others.iter().copied()) {
            self.doubt(unit);
        }
        self.end_waits(writer, &others, times)
    }

    /// A thread that works for these units starts a virtual thread.
    pub(super) fn start(&mut self, thread: u64, units: Vec<u64>, at: u64) {
        if self.threads.len() >= TASKS_MAX || self.threads.contains_key(&thread) {
            units.into_iter().for_each(|unit| self.doubt(unit));
        } else if !units.is_empty() {
            self.wait(&units);
            let since = VecDeque::from([at]);
            self.threads.insert(thread, Waiting { units, since });
        }
    }

    /// A task begins to run: it waits no more, and its thread works for its units instead.
    pub(super) fn take(&mut self, writer: &mut TimelineWriter, task: u32) -> Result<Taken> {
        let Some(waiting) = self.tasks.get_mut(&task) else {
            return Ok(Taken::default());
        };
        let taken = Taken {
            units: waiting.units.clone(),
            since: waiting.since.pop_front().unwrap_or(0),
        };
        if waiting.since.is_empty() {
            self.tasks.remove(&task);
        }
        if taken.since >= self.lost_until {
            return Ok(taken);
        }
        taken.units.iter().for_each(|unit| self.doubt(*unit));
        self.end_waits(writer, &taken.units, 1)?;
        Ok(Taken::default())
    }

    /// As [`Units::take`], of a virtual thread that begins.
    pub(super) fn take_thread(&mut self, thread: u64) -> Option<Taken> {
        let Waiting { units, since } = self.threads.remove(&thread)?;
        Some(Taken {
            units,
            since: since.front().copied().unwrap_or(0),
        })
    }

    /// A task that was handed over last will not be run.
    pub(in super::super) fn take_back(&mut self, writer: &mut TimelineWriter, task: u32) -> Result {
        let Some(waiting) = self.tasks.get_mut(&task) else {
            return Ok(());
        };
        waiting.since.pop_back();
        let units = waiting.units.clone();
        if waiting.since.is_empty() {
            self.tasks.remove(&task);
        }
        self.end_waits(writer, &units, 1)
    }

    /// Records are missing up to `until`: of no task that was handed over by then is known whether it has run.
    pub(in super::super) fn forget(&mut self, writer: &mut TimelineWriter, until: u64) -> Result {
        self.lost_until = self.lost_until.max(until);
        let mut forgotten: Vec<(u32, Waiting)> = self.tasks.drain().collect();
        forgotten.sort_unstable_by_key(|(task, _)| *task);
        for (_, waiting) in forgotten {
            waiting.units.iter().for_each(|unit| self.doubt(*unit));
            self.end_waits(writer, &waiting.units, waiting.since.len())?;
        }
        Ok(())
    }

    /// The end of the recording: what still goes on was not seen whole.
    pub(in super::super) fn close(&mut self, writer: &mut TimelineWriter) -> Result {
        let mut open: Vec<(u64, Open)> = self.open.drain().collect();
        open.sort_unstable_by_key(|(unit, _)| *unit);
        for (unit, mut open) in open {
            open.complete = false;
            open.write(writer, unit)?;
        }
        Ok(())
    }

    fn wait(&mut self, units: &[u64]) {
        for unit in units {
            if let Some(open) = self.open.get_mut(unit) {
                open.live += 1;
            }
        }
    }

    fn doubt(&mut self, unit: u64) {
        if let Some(open) = self.open.get_mut(&unit) {
            self.uncertain += u64::from(open.complete);
            open.complete = false;
        }
    }

    fn end_waits(&mut self, writer: &mut TimelineWriter, units: &[u64], times: usize) -> Result {
        for unit in units {
            for _ in 0..times {
                self.release(writer, *unit)?;
            }
        }
        Ok(())
    }
}

impl Open {
    fn write(self, writer: &mut TimelineWriter, number: u64) -> Result {
        let Open {
            name,
            key,
            track,
            start_ns,
            end_ns,
            thrown,
            complete,
            has_parts,
            ..
        } = self;
        writer.unit(&Unit {
            name,
            key,
            track,
            number: if has_parts { number } else { 0 },
            start_ns,
            end_ns,
            thrown,
            complete,
        })
    }
}

//! For which units a thread works, and since when: by calls that began here, and by tasks that were handed over to it.

use super::units::{Taken, Units};
use plumb_trace::timeline::{StringId, TimelineError, TimelineWriter, TrackId};

type Result<T = ()> = std::result::Result<T, TimelineError>;

/// Deepest nesting of tasks that is followed.
const RUNS_MAX: usize = 4096;

/// What runs a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Runner {
    /// A pool's worker, which runs one after the other.
    Pool,
    /// Whatever code wants it done: such tasks nest.
    Within,
    /// The thread is the task.
    Thread,
}

/// A task that runs.
#[derive(Debug)]
struct Run {
    runner: Runner,
    task: u32,
    /// What lies above belongs to it.
    holds: usize,
    frames: usize,
    /// It was no task of a unit but the thread's way to carry a virtual one.
    is_void: bool,
}

/// The thread works for a unit.
#[derive(Debug)]
struct Hold {
    unit: u64,
    /// It did not before; so what it does counts.
    is_part: bool,
    /// By a call that has not ended.
    by_call: bool,
    handed_ns: u64,
    start_ns: u64,
}

/// For whom a thread works.
#[derive(Debug, Default)]
pub(super) struct Work {
    runs: Vec<Run>,
    holds: Vec<Hold>,
}

/// Where what ends is written.
pub(in super::super) struct Output<'a> {
    pub(in super::super) writer: &'a mut TimelineWriter,
    pub(in super::super) units: &'a mut Units,
    pub(in super::super) track: TrackId,
}

impl Work {
    /// Whether the thread works for a unit of this name, as far as the task that runs goes.
    pub(super) fn is_for(&self, units: &Units, name: StringId) -> bool {
        self.current().iter().any(|hold| units.is_of(hold.unit, name))
    }

    /// Calls below this many are not the running task's.
    pub(super) fn first_frame(&self) -> usize {
        self.runs.last().map_or(0, |run| run.frames)
    }

    /// The units that it works for now.
    pub(super) fn units(&self) -> Vec<u64> {
        let mut units: Vec<u64> = self.current().iter().map(|hold| hold.unit).collect();
        units.sort_unstable();
        units.dedup();
        units
    }

    fn current(&self) -> &[Hold] {
        let from = self.runs.last().map_or(0, |run| run.holds);
        self.holds.get(from..).unwrap_or_default()
    }

    /// A call begins that is a unit.
    pub(super) fn begin(&mut self, unit: u64, at: u64) {
        self.holds.push(Hold {
            unit,
            is_part: true,
            by_call: true,
            handed_ns: at,
            start_ns: at,
        });
    }

    /// That call ends; `complete`: its end was seen.
    pub(super) fn end(&mut self, out: &mut Output<'_>, unit: u64, at: u64, complete: bool) -> Result {
        let Some(place) = self.holds.iter().rposition(|hold| hold.by_call && hold.unit == unit) else {
            return Ok(());
        };
        let hold = self.holds.remove(place);
        if !complete {
            out.units.incomplete(unit);
        }
        hold.end(out, at, false)
    }

    /// A task begins to run, with `frames` calls around it.
    pub(super) fn run(&mut self, out: &mut Output<'_>, at: u64, runner: Runner, task: u32, frames: usize) -> Result {
        let taken = match runner {
            Runner::Thread => return Ok(()),
            Runner::Within => out.units.take(out.writer, task)?,
            Runner::Pool => {
                // That the one before has run was not told: the pool's class keeps it from us.
                self.ran(out, at, Runner::Pool, None)?;
                out.units.take(out.writer, task)?
            }
        };
        self.push(out, at, (runner, task), frames, taken)
    }

    /// The thread itself is a task that begins.
    pub(super) fn run_thread(&mut self, out: &mut Output<'_>, at: u64, taken: Taken) -> Result {
        self.push(out, at, (Runner::Thread, 0), 0, taken)
    }

    fn push(
        &mut self,
        out: &mut Output<'_>,
        at: u64,
        (runner, task): (Runner, u32),
        frames: usize,
        taken: Taken,
    ) -> Result {
        if self.runs.len() >= RUNS_MAX {
            for unit in taken.units {
                out.units.incomplete(unit);
                out.units.release(out.writer, unit)?;
            }
            return Ok(());
        }
        self.runs.push(Run {
            runner,
            task,
            holds: self.holds.len(),
            frames,
            is_void: false,
        });
        for unit in taken.units {
            let is_part = !self.holds.iter().any(|hold| hold.unit == unit);
            self.holds.push(Hold {
                unit,
                is_part,
                by_call: false,
                handed_ns: taken.since.min(at),
                start_ns: at,
            });
        }
        Ok(())
    }

    /// The last task of this runner has run: this one, or whichever it was.
    pub(super) fn ran(&mut self, out: &mut Output<'_>, at: u64, runner: Runner, task: Option<u32>) -> Result {
        let is_it = |run: &Run| run.runner == runner && task.is_none_or(|task| task == run.task);
        match self.runs.iter().rposition(is_it) {
            Some(place) => self.end_runs(out, at, place),
            None => Ok(()),
        }
    }

    /// Only so many calls are left: what ran within the others has run.
    pub(super) fn left(&mut self, out: &mut Output<'_>, at: u64, frames: usize) -> Result {
        match self.runs.iter().position(|run| run.frames > frames) {
            Some(place) => self.end_runs(out, at, place),
            None => Ok(()),
        }
    }

    /// What the thread runs is a virtual thread's: for the thread itself, it was no task.
    pub(super) fn carries(&mut self) {
        let within = self.runs.iter_mut().filter(|run| run.runner == Runner::Within);
        within.for_each(|run| run.is_void = true);
    }

    /// Nothing is known any more.
    pub(super) fn cut(&mut self, out: &mut Output<'_>, at: u64) -> Result {
        self.holds.iter().for_each(|hold| out.units.incomplete(hold.unit));
        self.end_runs(out, at, 0)?;
        self.end_holds(out, at, 0, false)
    }

    fn end_runs(&mut self, out: &mut Output<'_>, at: u64, place: usize) -> Result {
        while self.runs.len() > place
            && let Some(run) = self.runs.pop()
        {
            self.end_holds(out, at, run.holds, run.is_void)?;
        }
        Ok(())
    }

    fn end_holds(&mut self, out: &mut Output<'_>, at: u64, from: usize, is_void: bool) -> Result {
        while self.holds.len() > from
            && let Some(hold) = self.holds.pop()
        {
            if hold.by_call {
                // A call that goes on where the task around it has ended: its end was not seen.
                out.units.incomplete(hold.unit);
            }
            hold.end(out, at, is_void)?;
        }
        Ok(())
    }
}

impl Hold {
    fn end(self, out: &mut Output<'_>, at: u64, is_void: bool) -> Result {
        let Hold {
            unit,
            is_part,
            handed_ns,
            start_ns,
            ..
        } = self;
        if is_part && !is_void {
            let times = (handed_ns, start_ns, at.max(start_ns));
            out.units.part(out.writer, unit, out.track, times)?;
        }
        out.units.release(out.writer, unit)
    }
}

//! Method calls of one thread: enter and exit records to slices and units.
//!
//! An exit belongs to the innermost open call of its method; calls inside that one whose exits are missing end there with it
//! (`open_end`). An exit without a call began before anything was known (`open_start`). After a loss nothing of the old stack is believed.
//!
//! A unit is the outermost call of its name: a filter chain that calls itself is one request. Units that go on in tasks which other threads run are in [`units`], and for which of them a
//! thread works in [`work`].

mod units;
mod work;

use plumb_trace::timeline::{Slice, StringId, TimelineError, TimelineWriter, TrackId, Unit};
pub(super) use units::Units;
use work::Work;
pub(super) use work::{Output, Runner};

/// Deepest stack that is kept: what is called below leaves no slice.
const DEPTH_MAX: usize = u16::MAX as usize;

/// What a probe id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) name: StringId,
    pub(super) unit: Option<StringId>,
    /// The unit goes on in tasks that are handed over.
    pub(super) hands_over: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    method: u32,
    probe: Probe,
    start_ns: u64,
    unit: UnitCall,
}

/// Which unit a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnitCall {
    /// None, or part of one that goes on.
    None,
    /// One that ends with it, with its key.
    Own(StringId),
    /// One that may go on elsewhere.
    Shared(u64),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ending {
    thrown: bool,
    open_start: bool,
    open_end: bool,
}

/// The open calls of a thread.
#[derive(Debug)]
pub(super) struct Calls {
    frames: Vec<Frame>,
    /// Open calls below [`DEPTH_MAX`].
    too_deep: u64,
    /// From here on no record is missing.
    known_from: u64,
    /// Begin of the call that the next record tells of.
    past: Option<u64>,
    work: Work,
}

impl Calls {
    pub(super) fn new(known_from: u64) -> Calls {
        Calls {
            frames: Vec::new(),
            too_deep: 0,
            known_from,
            past: None,
            work: Work::default(),
        }
    }

    /// Calls that are open.
    pub(super) fn depth(&self) -> u16 {
        u16::try_from(self.frames.len()).unwrap_or(u16::MAX)
    }

    /// A call that was long enough to be told began at `start_ns`; the next record tells the rest.
    pub(super) fn began(&mut self, start_ns: u64) {
        self.past = Some(start_ns);
    }

    /// That call ends at `at`, `depth` calls of its kind below.
    pub(super) fn called(
        &mut self,
        writer: &mut TimelineWriter,
        track: TrackId,
        at: u64,
        (name, depth, thrown): (StringId, u32, bool),
    ) -> Result<(), TimelineError> {
        let Some(start_ns) = self.past.take() else {
            return Ok(());
        };
        let depth = (self.frames.len() as u64).saturating_add(depth.into());
        let slice = Slice {
            start_ns: start_ns.min(at),
            end_ns: at,
            name,
            depth: u16::try_from(depth).unwrap_or(u16::MAX),
            thrown,
            open_start: false,
            open_end: false,
        };
        writer.slice(track, &slice)
    }

    /// A call of a method begins; of one that is a unit, `key` is the unit's.
    pub(super) fn enter(
        &mut self,
        units: &mut Units,
        track: TrackId,
        at: u64,
        (method, probe): (u32, Probe),
        key: StringId,
    ) {
        if self.frames.len() >= DEPTH_MAX {
            self.too_deep += 1;
            return;
        }
        let unit = match self.outermost(units, probe) {
            Some(name) if probe.hands_over => {
                let unit = units.begin((name, key), track, at);
                self.work.begin(unit, at);
                UnitCall::Shared(unit)
            }
            Some(_) => UnitCall::Own(key),
            None => UnitCall::None,
        };
        self.frames.push(Frame {
            method,
            probe,
            start_ns: at,
            unit,
        });
    }

    /// The name of the unit that a call is, if it is the outermost of that name.
    fn outermost(&self, units: &Units, probe: Probe) -> Option<StringId> {
        let name = probe.unit?;
        let around = self.frames.get(self.work.first_frame()..).unwrap_or_default();
        let is_within = around.iter().any(|frame| frame.probe.unit == Some(name)) || self.work.is_for(units, name);
        (!is_within).then_some(name)
    }

    /// A call of `method` returns, or is left by an exception.
    pub(super) fn exit(
        &mut self,
        out: &mut Output<'_>,
        at: u64,
        (method, probe): (u32, Probe),
        thrown: bool,
    ) -> Result<(), TimelineError> {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return Ok(());
        }
        let ending = Ending {
            thrown,
            ..Ending::default()
        };
        if let Some(depth) = self.frames.iter().rposition(|frame| frame.method == method) {
            self.close_to(out, at, depth + 1)?;
            return self.pop(out, at, ending);
        }
        self.close_to(out, at, 0)?;
        let unit = self.outermost(out.units, probe);
        self.frames.push(Frame {
            method,
            probe,
            start_ns: self.known_from.min(at),
            unit: unit.map_or(UnitCall::None, |_| UnitCall::Own(StringId(0))),
        });
        self.pop(
            out,
            at,
            Ending {
                open_start: true,
                ..ending
            },
        )
    }

    /// Ends all open calls at `at` without their exits; records are complete again from `known_from`.
    pub(super) fn cut(&mut self, out: &mut Output<'_>, at: u64, known_from: u64) -> Result<(), TimelineError> {
        self.close_to(out, at, 0)?;
        self.work.cut(out, at)?;
        self.too_deep = 0;
        self.past = None;
        self.known_from = known_from;
        Ok(())
    }

    /// The thread hands a task over.
    pub(super) fn hand_over(&mut self, out: &mut Output<'_>, at: u64, task: u32) -> Result<(), TimelineError> {
        out.units.hand_over(out.writer, task, self.work.units(), at)
    }

    /// The thread starts a virtual one.
    pub(super) fn start(&mut self, units: &mut Units, at: u64, thread: u64) {
        units.start(thread, self.work.units(), at);
    }

    /// A task begins to run.
    pub(super) fn run(
        &mut self,
        out: &mut Output<'_>,
        at: u64,
        runner: Runner,
        task: u32,
    ) -> Result<(), TimelineError> {
        self.work.run(out, at, runner, task, self.frames.len())
    }

    /// The virtual thread with this id begins, whose calls these are.
    pub(super) fn run_thread(&mut self, out: &mut Output<'_>, at: u64, thread: u64) -> Result<(), TimelineError> {
        match out.units.take_thread(thread) {
            Some(taken) => self.work.run_thread(out, at, taken),
            None => Ok(()),
        }
    }

    /// The last task of this runner has run: this one, or whichever it was.
    pub(super) fn ran(
        &mut self,
        out: &mut Output<'_>,
        at: u64,
        runner: Runner,
        task: Option<u32>,
    ) -> Result<(), TimelineError> {
        self.work.ran(out, at, runner, task)
    }

    /// The thread begins to carry a virtual one.
    pub(super) fn carries(&mut self) {
        self.work.carries();
    }

    fn close_to(&mut self, out: &mut Output<'_>, at: u64, depth: usize) -> Result<(), TimelineError> {
        while self.frames.len() > depth {
            self.pop(
                out,
                at,
                Ending {
                    open_end: true,
                    ..Ending::default()
                },
            )?;
        }
        Ok(())
    }

    fn pop(&mut self, out: &mut Output<'_>, at: u64, ending: Ending) -> Result<(), TimelineError> {
        let Some(Frame {
            probe, start_ns, unit, ..
        }) = self.frames.pop()
        else {
            return Ok(());
        };
        let Ending {
            thrown,
            open_start,
            open_end,
        } = ending;
        let end_ns = at.max(start_ns);
        let depth = self.frames.len() as u16;
        out.writer.slice(
            out.track,
            &Slice {
                start_ns,
                end_ns,
                name: probe.name,
                depth,
                thrown,
                open_start,
                open_end,
            },
        )?;
        self.work.left(out, end_ns, self.frames.len())?;
        let complete = !open_start && !open_end;
        match (unit, probe.unit) {
            (UnitCall::Own(key), Some(name)) => out.writer.unit(&Unit {
                name,
                key,
                track: out.track,
                number: 0,
                start_ns,
                end_ns,
                thrown,
                complete,
            }),
            (UnitCall::Shared(unit), _) => {
                if thrown {
                    out.units.thrown(unit);
                }
                self.work.end(out, unit, end_ns, complete)
            }
            _ => Ok(()),
        }
    }
}

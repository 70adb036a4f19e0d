//! Method calls of one thread: enter and exit records to slices and units.
//!
//! An exit belongs to the innermost open call of its method; calls inside that one whose exits are missing end there with it
//! (`open_end`). An exit without a call began before anything was known (`open_start`). After a loss nothing of the old stack is believed.

use plumb_trace::timeline::{Slice, StringId, TimelineError, TimelineWriter, TrackId, Unit};

/// Deepest stack that is kept: what is called below leaves no slice.
const DEPTH_MAX: usize = u16::MAX as usize;

/// What a probe id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) name: StringId,
    pub(super) unit: Option<StringId>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    method: u32,
    probe: Probe,
    start_ns: u64,
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
}

impl Calls {
    pub(super) fn new(known_from: u64) -> Calls {
        Calls {
            frames: Vec::new(),
            too_deep: 0,
            known_from,
            past: None,
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

    pub(super) fn enter(&mut self, at: u64, method: u32, probe: Probe) {
        if self.frames.len() < DEPTH_MAX {
            self.frames.push(Frame {
                method,
                probe,
                start_ns: at,
            });
        } else {
            self.too_deep += 1;
        }
    }

    /// A call of `method` returns, or is left by an exception.
    pub(super) fn exit(
        &mut self,
        writer: &mut TimelineWriter,
        track: TrackId,
        at: u64,
        (method, probe): (u32, Probe),
        thrown: bool,
    ) -> Result<(), TimelineError> {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return Ok(());
        }
        if let Some(depth) = self.frames.iter().rposition(|frame| frame.method == method) {
            self.close_to(writer, track, at, depth + 1)?;
            return self.pop(
                writer,
                track,
                at,
                Ending {
                    thrown,
                    ..Ending::default()
                },
            );
        }
        self.close_to(writer, track, at, 0)?;
        self.frames.push(Frame {
            method,
            probe,
            start_ns: self.known_from.min(at),
        });
        self.pop(
            writer,
            track,
            at,
            Ending {
                thrown,
                open_start: true,
                ..Ending::default()
            },
        )
    }

    /// Ends all open calls at `at` without their exits; records are complete again from `known_from`.
    pub(super) fn cut(
        &mut self,
        writer: &mut TimelineWriter,
        track: TrackId,
        at: u64,
        known_from: u64,
    ) -> Result<(), TimelineError> {
        self.close_to(writer, track, at, 0)?;
        self.too_deep = 0;
        self.past = None;
        self.known_from = known_from;
        Ok(())
    }

    fn close_to(
        &mut self,
        writer: &mut TimelineWriter,
        track: TrackId,
        at: u64,
        depth: usize,
    ) -> Result<(), TimelineError> {
        while self.frames.len() > depth {
            self.pop(
                writer,
                track,
                at,
                Ending {
                    open_end: true,
                    ..Ending::default()
                },
            )?;
        }
        Ok(())
    }

    fn pop(
        &mut self,
        writer: &mut TimelineWriter,
        track: TrackId,
        at: u64,
        ending: Ending,
    ) -> Result<(), TimelineError> {
        let Some(Frame { probe, start_ns, .. }) = self.frames.pop() else {
            return Ok(());
        };
        let Ending {
            thrown,
            open_start,
            open_end,
        } = ending;
        let end_ns = at.max(start_ns);
        let depth = self.frames.len() as u16;
        writer.slice(
            track,
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
        match probe.unit {
            // A unit is the outermost call: a filter chain that calls itself is one request.
            Some(name) if self.frames.iter().all(|frame| frame.probe.unit != Some(name)) => writer.unit(&Unit {
                name,
                track,
                start_ns,
                end_ns,
                thrown,
                complete: !open_start && !open_end,
            }),
            _ => Ok(()),
        }
    }
}

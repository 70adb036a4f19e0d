//! Finds where in a constructor `this` becomes an object: after the call of `super(…)` or `this(…)`.
//!
//! The walk goes through the code in its order. Frames say at every place that is jumped to whether `this` is
//! initialised; between frames, code runs straight, and a constructor call is the one on `this` if no object of its
//! class that was made by `new` still waits for its constructor. The list of those that wait may be too long (an object
//! was dropped), never too short; so a call is never taken for the one on `this` wrongly, and the worst that can happen
//! is that it is not found, which is a constructor left alone.
//!
//! Classes from before Java 6 have no frames: there the call must come before the first jump.

use std::ops::Range;

use super::Reason;
use super::body::Body;
use super::plan::Plan;
use crate::classfile::frames::{Frame, Frames, Type};
use crate::classfile::instructions::{Instruction, op};
use crate::classfile::{ClassView, Method};

/// More objects than this that wait for their constructor at once are no compiler's work.
const PENDING_MAX: usize = 256;
/// Types looked at in the frames of one constructor: hostile frames are not to cost seconds.
const TYPES_MAX: usize = 1 << 20;

/// The plan of a constructor's probes.
pub(super) fn plan(view: &ClassView<'_>, method: &Method<'_>, body: &Body<'_>) -> Result<Plan, Reason> {
    let Some(super_name) = view.super_name else {
        return Err(Reason::ConstructorUnclear);
    };
    let mut walk = Walk {
        body,
        view,
        own_names: [view.name, super_name],
        initialised: false,
        pending: Vec::new(),
        enter_at: Vec::new(),
        covered: Vec::new(),
        open: None,
    };
    let mut state = FrameState::new(body, method.descriptor)?;
    let mut flow_ended = false;
    for instruction in body.instructions() {
        let instruction = instruction?;
        if let Some(uninitialised) = state.at(instruction.pc)? {
            walk.take_frame(instruction.pc, uninitialised)?;
        } else if flow_ended && body.has_frames() {
            return Err(Reason::ConstructorUnclear);
        }
        walk.step(&instruction)?;
        flow_ended = instruction.ends_flow();
    }
    walk.finish()
}

struct Walk<'a, 'v> {
    body: &'v Body<'a>,
    view: &'v ClassView<'a>,
    /// The class and its superclass: a constructor calls one of theirs on `this`.
    own_names: [&'a [u8]; 2],
    initialised: bool,
    /// Classes of the objects that wait for their constructor, while `this` does.
    pending: Vec<&'a [u8]>,
    enter_at: Vec<usize>,
    covered: Vec<Range<usize>>,
    /// Where the range of code in which `this` is initialised began.
    open: Option<usize>,
}

impl<'a> Walk<'a, '_> {
    fn take_frame(&mut self, pc: usize, uninitialised: &Uninitialised) -> Result<(), Reason> {
        if self.enter_at.last() == Some(&pc) && uninitialised.this {
            return Err(Reason::ConstructorUnclear);
        }
        match (uninitialised.this, self.open) {
            (true, Some(start)) => {
                self.covered.push(start..pc);
                self.open = None;
            }
            (false, None) => self.open = Some(pc),
            _ => {}
        }
        self.initialised = !uninitialised.this;
        self.pending.clear();
        if !self.initialised {
            for &new_at in &uninitialised.objects {
                self.pending.push(self.class_of_new(new_at)?);
            }
        }
        Ok(())
    }

    fn class_of_new(&self, at: u16) -> Result<&'a [u8], Reason> {
        match self.body.code.get(usize::from(at)..) {
            Some(&[op::NEW, high, low, ..]) => Ok(self.view.pool.class_name(u16::from_be_bytes([high, low]))?),
            _ => Err(Reason::ConstructorUnclear),
        }
    }

    fn step(&mut self, instruction: &Instruction<'a>) -> Result<(), Reason> {
        if self.initialised {
            return Ok(());
        }
        let jumps = instruction.is_branch() || instruction.ends_flow();
        match instruction.opcode() {
            op::NEW if self.pending.len() == PENDING_MAX => return Err(Reason::ConstructorUnclear),
            op::NEW => self.pending.push(self.view.pool.class_name(instruction.u16())?),
            op::INVOKESPECIAL => self.call(instruction)?,
            _ if instruction.is_return() => return Err(Reason::ConstructorUnclear),
            _ if jumps && !self.body.has_frames() => return Err(Reason::ConstructorUnclear),
            _ => {}
        }
        Ok(())
    }

    fn call(&mut self, instruction: &Instruction<'a>) -> Result<(), Reason> {
        let called = self.view.pool.method_ref(instruction.u16())?;
        if called.name != b"<init>" {
            return Ok(());
        }
        if let Some(made) = self.pending.iter().rposition(|&class| class == called.class) {
            self.pending.remove(made);
            return Ok(());
        }
        if !self.own_names.contains(&called.class) {
            return Err(Reason::ConstructorUnclear);
        }
        self.initialised = true;
        self.open = Some(instruction.next_pc());
        self.enter_at.push(instruction.next_pc());
        Ok(())
    }

    fn finish(mut self) -> Result<Plan, Reason> {
        if let Some(start) = self.open {
            self.covered.push(start..self.body.code.len());
        }
        match self.enter_at.is_empty() {
            true => Err(Reason::ConstructorUnclear),
            false => Ok(Plan {
                enter_at: self.enter_at,
                covered: self.covered,
            }),
        }
    }
}

/// What is not initialised at a frame.
#[derive(Debug, Default)]
struct Uninitialised {
    this: bool,
    /// Places of the `new` instructions of the others, each once.
    objects: Vec<u16>,
}

impl Uninitialised {
    fn add(&mut self, kind: Type) -> Result<(), Reason> {
        match kind {
            Type::UninitializedThis => self.this = true,
            Type::Uninitialized(at) if !self.objects.contains(&at) => self.objects.push(at),
            Type::Uninitialized(_) | Type::Other => {}
        }
        if self.objects.len() > PENDING_MAX {
            return Err(Reason::ConstructorUnclear);
        }
        Ok(())
    }
}

/// The frames of a constructor, followed one after the other.
struct FrameState<'a> {
    frames: Option<Frames<'a>>,
    next: Option<Frame<'a>>,
    /// Kinds of the locals at the frame reached last, `this` first.
    locals: Vec<Type>,
    reached: Uninitialised,
    /// How many types may still be looked at.
    budget: usize,
}

impl<'a> FrameState<'a> {
    fn new(body: &Body<'a>, descriptor: &[u8]) -> Result<Self, Reason> {
        let mut frames = body.frames().map(Frames::new).transpose()?;
        let next = frames.as_mut().map_or(Ok(None), Frames::read_next)?;
        let mut locals = vec![Type::UninitializedThis];
        locals.resize(1 + parameter_count(descriptor), Type::Other);
        Ok(Self {
            frames,
            next,
            locals,
            reached: Uninitialised::default(),
            budget: TYPES_MAX,
        })
    }

    /// What is not initialised at `pc`, if a frame says so.
    fn at(&mut self, pc: usize) -> Result<Option<&Uninitialised>, Reason> {
        let Some(frame) = self.next.take_if(|frame| frame.pc <= pc) else {
            return Ok(None);
        };
        if frame.pc < pc {
            // A frame inside of an instruction.
            return Err(Reason::ConstructorUnclear);
        }
        self.take(&frame)?;
        self.next = self.frames.as_mut().map_or(Ok(None), Frames::read_next)?;
        Ok(Some(&self.reached))
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<(), Reason> {
        match frame.tag {
            248..=250 => self
                .locals
                .truncate(self.locals.len().saturating_sub(usize::from(251 - frame.tag))),
            252..=254 => self.locals.extend(frame.locals.iter().map(|(kind, _)| kind)),
            255 => self.locals = frame.locals.iter().map(|(kind, _)| kind).collect(),
            _ => {}
        }
        self.reached = Uninitialised::default();
        let looked_at = self.locals.len() + usize::from(frame.stack.count);
        self.budget = self.budget.checked_sub(looked_at).ok_or(Reason::ConstructorUnclear)?;
        for &kind in &self.locals {
            self.reached.add(kind)?;
        }
        for (kind, _) in frame.stack.iter() {
            self.reached.add(kind)?;
        }
        Ok(())
    }
}

/// Number of parameters of a descriptor; of a malformed one, some number up to its length.
fn parameter_count(descriptor: &[u8]) -> usize {
    let mut rest = descriptor.strip_prefix(b"(").unwrap_or_default();
    let mut count = 0;
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b')' => break,
            b'[' => continue,
            b'L' => {
                rest = after
                    .split(|&byte| byte == b';')
                    .next()
                    .map_or(&[], |name| &after[name.len()..])
            }
            b';' => continue,
            _ => {}
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_by_their_types() {
        for (descriptor, count) in [
            ("()V", 0),
            ("(I)V", 1),
            ("(J[[DLa/B;[La/L;Z)V", 5),
            ("(La/B", 1),
            ("", 0),
        ] {
            assert_eq!(parameter_count(descriptor.as_bytes()), count, "{descriptor}");
        }
    }
}

//! Where in a body the probes go.

use std::ops::Range;

use super::body::Body;
use super::{Reason, constructor};
use crate::classfile::instructions::op;
use crate::classfile::{ClassView, Method};

/// Where in a body the probes go, in offsets of its original bytecode.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Instructions before which the method counts as entered, in order.
    pub enter_at: Vec<usize>,
    /// Code from which an exception that is not caught is reported, in order.
    pub covered: Vec<Range<usize>>,
}

impl Plan {
    /// No probe anywhere.
    pub fn nothing() -> Self {
        Self {
            enter_at: Vec::new(),
            covered: Vec::new(),
        }
    }

    /// Probes for all of `method`; for a constructor, from `super(…)` or `this(…)` on.
    pub fn of(view: &ClassView<'_>, method: &Method<'_>, body: &Body<'_>) -> Result<Self, Reason> {
        match method.name {
            b"<init>" => constructor::plan(view, method, body),
            b"finalize" if method.descriptor == b"()V" && body.code == [op::RETURN] => Err(Reason::EmptyFinalizer),
            _ => Ok(Self {
                enter_at: vec![0],
                covered: std::iter::once(0..body.code.len()).collect(),
            }),
        }
    }

    /// True if the body gets probes.
    pub fn probes(&self) -> bool {
        !self.enter_at.is_empty()
    }
}

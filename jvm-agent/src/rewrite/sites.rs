//! Where each original instruction went.

use super::Reason;
use crate::classfile::ClassError;

/// The new places of one original instruction. Between them lie the probes:
/// `before` … enter … `target` … exit … `own`, the instruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// Before all probes: where what ended here still ends, and lines begin.
    pub before: u32,
    /// Where jumps land: after the enter probe, before the exit probe.
    pub target: u32,
    /// The instruction itself.
    pub own: u32,
}

const NONE: Site = Site {
    before: u32::MAX,
    target: u32::MAX,
    own: u32::MAX,
};

/// The sites of all instructions of a body, and of its end.
#[derive(Debug)]
pub(super) struct Sites {
    by_pc: Vec<Site>,
    /// Offset in the class file of the original code, for errors.
    base: usize,
}

impl Sites {
    pub fn new(code_len: usize, base: usize) -> Self {
        Self {
            by_pc: vec![NONE; code_len + 1],
            base,
        }
    }

    pub fn set(&mut self, pc: usize, site: Site) {
        self.by_pc[pc] = site;
    }

    fn error(&self, pc: usize, reason: &'static str) -> ClassError {
        ClassError {
            offset: self.base.saturating_add(pc),
            reason,
        }
    }

    /// The site of the instruction at `pc`; the end of the body is no instruction.
    pub fn instruction(&self, pc: usize) -> Result<Site, ClassError> {
        match self.by_pc.get(pc) {
            Some(site) if site.own != u32::MAX && pc + 1 < self.by_pc.len() => Ok(*site),
            _ => Err(self.error(pc, "is jumped to but begins no instruction")),
        }
    }

    /// The site at `pc`, which may be the end of the body.
    pub fn boundary(&self, pc: usize) -> Result<Site, ClassError> {
        match self.by_pc.get(pc) {
            Some(site) if site.own != u32::MAX => Ok(*site),
            _ => Err(self.error(pc, "bounds a range but no instruction")),
        }
    }

    /// The site of the instruction that `pc` lies in: debug tables may be sloppy, and no JVM minds.
    pub fn nearest(&self, pc: usize) -> Result<Site, ClassError> {
        let upto = self
            .by_pc
            .get(..=pc)
            .ok_or_else(|| self.error(pc, "lies beyond the code"))?;
        let found = upto.iter().rev().find(|site| site.own != u32::MAX);
        found.copied().ok_or_else(|| self.error(pc, "lies before the code"))
    }
}

/// A place in new code as the 16 bits that tables have for it.
pub(super) fn narrow(place: u32) -> Result<u16, Reason> {
    u16::try_from(place).map_err(|_| Reason::CodeTooLong)
}

//! Type annotations inside of a body name instructions and ranges of locals by offset. Their length never changes, so
//! the attribute is copied and the offsets are written over.

use super::Reason;
use super::sites::{Sites, narrow};
use super::tables::moved_range;
use crate::classfile::{ClassError, Reader, annotations};

/// A `RuntimeVisibleTypeAnnotations` or `RuntimeInvisibleTypeAnnotations` of a body.
pub(super) fn relocate(original: Reader<'_>, sites: &Sites) -> Result<Vec<u8>, Reason> {
    let mut patch = Patch {
        data: original.rest().to_vec(),
        base: original.offset(),
    };
    let mut reader = original;
    for _ in 0..reader.u16()? {
        patch.target(&mut reader, sites)?;
        let path_steps = usize::from(reader.u8()?);
        reader.skip(2 * path_steps)?;
        annotations::skip_annotation(&mut reader)?;
    }
    reader.end()?;
    Ok(patch.data)
}

struct Patch {
    data: Vec<u8>,
    base: usize,
}

impl Patch {
    /// Writes `value` over what stands at `offset` of the class file.
    fn write(&mut self, offset: usize, value: u16) {
        let at = offset - self.base;
        self.data[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    /// Steps over the target of an annotation (JVM specification, 4.7.20.1) and moves its offsets.
    fn target(&mut self, reader: &mut Reader<'_>, sites: &Sites) -> Result<(), Reason> {
        match reader.u8()? {
            0x40 | 0x41 => return self.local_ranges(reader, sites),
            0x43..=0x46 => self.instruction(reader, sites)?,
            0x47..=0x4b => {
                self.instruction(reader, sites)?;
                reader.skip(1)?;
            }
            other => skip_unmoved(reader, other)?,
        }
        Ok(())
    }

    fn local_ranges(&mut self, reader: &mut Reader<'_>, sites: &Sites) -> Result<(), Reason> {
        for _ in 0..reader.u16()? {
            let at = reader.offset();
            let (start, length) = moved_range(reader, sites)?;
            self.write(at, start);
            self.write(at + 2, length);
            reader.skip(2)?;
        }
        Ok(())
    }

    fn instruction(&mut self, reader: &mut Reader<'_>, sites: &Sites) -> Result<(), Reason> {
        let at = reader.offset();
        let pc = reader.u16()?;
        self.write(at, narrow(sites.nearest(pc.into())?.own)?);
        Ok(())
    }
}

/// Steps over targets without offsets: parameters, bounds, handlers (whose order plumb keeps), and the like.
fn skip_unmoved(reader: &mut Reader<'_>, kind: u8) -> Result<(), ClassError> {
    match kind {
        0x13..=0x15 => Ok(()),
        0x00 | 0x01 | 0x16 => reader.skip(1),
        0x10..=0x12 | 0x17 | 0x42 => reader.skip(2),
        _ => Err(reader.error("type annotation of unknown kind")),
    }
}

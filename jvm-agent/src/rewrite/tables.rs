//! The tables of a body that hold offsets: handlers, lines, local variables, frames.

use std::ops::Range;

use super::Reason;
use super::sites::{Sites, narrow};
use crate::classfile::frames::{Frame, FrameWriter, Frames, Type, Types, encode_uninitialized};
use crate::classfile::{ClassError, Reader};

/// Appends the exception table: the original handlers (8 bytes each), then plumb's for each range of `covered`.
/// Being last, plumb's sees only what none of the others caught.
pub(super) fn handlers(
    mut original: Reader<'_>,
    sites: &Sites,
    covered: &[Range<usize>],
    handler: u32,
    data: &mut Vec<u8>,
) -> Result<(), Reason> {
    let count = u16::try_from(original.remaining() / 8 + covered.len()).map_err(|_| Reason::TableFull)?;
    data.extend_from_slice(&count.to_be_bytes());
    while original.remaining() > 0 {
        let (start, end) = (original.u16()?, original.u16()?);
        let (target, class) = (original.u16()?, original.u16()?);
        let target = narrow(sites.instruction(target.into())?.target)?;
        push_handler(sites, usize::from(start)..usize::from(end), target, class, data)?;
    }
    for range in covered {
        push_handler(sites, range.clone(), narrow(handler)?, 0, data)?;
    }
    Ok(())
}

/// Appends one row. The range begins after an enter probe at its start (whose failure is not the method's) and ends
/// before one at its end (there the types of the locals are others).
fn push_handler(sites: &Sites, range: Range<usize>, target: u16, class: u16, data: &mut Vec<u8>) -> Result<(), Reason> {
    let start = narrow(sites.instruction(range.start)?.target)?;
    let end = narrow(sites.boundary(range.end)?.before)?;
    data.extend([start, end, target, class].into_iter().flat_map(u16::to_be_bytes));
    Ok(())
}

/// A `LineNumberTable`: probes have the line of what they precede.
pub(super) fn lines(mut original: Reader<'_>, sites: &Sites) -> Result<Vec<u8>, Reason> {
    let count = original.u16()?;
    let mut data = Vec::with_capacity(2 + original.remaining());
    data.extend_from_slice(&count.to_be_bytes());
    for _ in 0..count {
        let (start, line) = (original.u16()?, original.u16()?);
        let start = narrow(sites.nearest(start.into())?.before)?;
        data.extend([start, line].into_iter().flat_map(u16::to_be_bytes));
    }
    original.end()?;
    Ok(data)
}

/// A `LocalVariableTable` or `LocalVariableTypeTable`.
pub(super) fn locals(mut original: Reader<'_>, sites: &Sites) -> Result<Vec<u8>, Reason> {
    let count = original.u16()?;
    let mut data = Vec::with_capacity(2 + original.remaining());
    data.extend_from_slice(&count.to_be_bytes());
    for _ in 0..count {
        let (start, length) = moved_range(&mut original, sites)?;
        data.extend([start, length].into_iter().flat_map(u16::to_be_bytes));
        data.extend_from_slice(original.take(6)?);
    }
    original.end()?;
    Ok(data)
}

/// Reads the start and length of a range of code and says where it went.
pub(super) fn moved_range(reader: &mut Reader<'_>, sites: &Sites) -> Result<(u16, u16), Reason> {
    let (start, length) = (usize::from(reader.u16()?), usize::from(reader.u16()?));
    let end = sites.nearest(start + length)?.before;
    let start = sites.nearest(start)?.before;
    Ok((narrow(start)?, narrow(end - start)?))
}

/// A `StackMapTable`, with a frame for plumb's handler (its place and the pool index of its class) at the end.
pub(super) fn frames(
    original: Option<Reader<'_>>,
    sites: &Sites,
    handler: Option<(u32, u16)>,
) -> Result<Vec<u8>, Reason> {
    let mut writer = FrameWriter::new(original.map_or(16, |reader| reader.remaining() + 16));
    if let Some(original) = original {
        let mut frames = Frames::new(original)?;
        while let Some(frame) = frames.read_next()? {
            push_frame(&mut writer, &frame, sites)?;
        }
    }
    if let Some((place, class)) = handler {
        writer.push_handler(place as usize, class).ok_or(Reason::TableFull)?;
    }
    Ok(writer.finish())
}

fn push_frame(writer: &mut FrameWriter, frame: &Frame<'_>, sites: &Sites) -> Result<(), Reason> {
    let place = sites.instruction(frame.pc)?.target;
    writer.push(frame.tag, place as usize).ok_or(Reason::TableFull)?;
    if frame.tag == 255 {
        writer.push_bytes(&frame.locals.count.to_be_bytes());
    }
    push_types(writer, frame.locals, sites)?;
    if frame.tag == 255 {
        writer.push_bytes(&frame.stack.count.to_be_bytes());
    }
    push_types(writer, frame.stack, sites)
}

fn push_types(writer: &mut FrameWriter, types: Types<'_>, sites: &Sites) -> Result<(), Reason> {
    for (kind, encoded) in types.iter() {
        match kind {
            Type::Uninitialized(pc) => writer.push_bytes(&encode_uninitialized(place_of_new(pc, sites)?)),
            Type::Other | Type::UninitializedThis => writer.push_bytes(encoded),
        }
    }
    Ok(())
}

/// An object that is not initialised yet is named by the `new` instruction itself, not by what precedes it.
fn place_of_new(pc: u16, sites: &Sites) -> Result<u16, Reason> {
    let site = sites.instruction(pc.into()).map_err(|error| ClassError {
        reason: "frame names no instruction",
        ..error
    })?;
    narrow(site.own)
}

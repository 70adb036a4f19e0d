//! Annotations: the names of their types, and stepping over their values.

use std::borrow::Cow;

use super::pool::{ConstantPool, text};
use super::{ClassError, Reader};

/// Deeper nesting than this is no annotation that a compiler wrote; the limit bounds our stack.
const DEPTH_MAX: u32 = 64;

/// Internal names of the annotation types in a `RuntimeVisibleAnnotations` attribute.
///
/// # Errors
/// If the attribute is malformed.
pub fn type_names<'a>(pool: &ConstantPool<'a>, mut data: Reader<'a>) -> Result<Vec<Cow<'a, str>>, ClassError> {
    let mut names = Vec::new();
    for _ in 0..data.u16()? {
        let mut descriptor = data;
        let descriptor = pool.utf8(descriptor.u16()?)?;
        let name = descriptor
            .strip_prefix(b"L")
            .and_then(|name| name.strip_suffix(b";"))
            .unwrap_or(descriptor);
        names.push(text(name));
        skip_annotation(&mut data)?;
    }
    Ok(names)
}

/// Steps over one annotation.
///
/// # Errors
/// If it is malformed or nested without reason.
pub fn skip_annotation(reader: &mut Reader<'_>) -> Result<(), ClassError> {
    skip_nested_annotation(reader, 0)
}

fn skip_nested_annotation(reader: &mut Reader<'_>, depth: u32) -> Result<(), ClassError> {
    reader.skip(2)?;
    for _ in 0..reader.u16()? {
        reader.skip(2)?;
        skip_value(reader, depth + 1)?;
    }
    Ok(())
}

fn skip_value(reader: &mut Reader<'_>, depth: u32) -> Result<(), ClassError> {
    if depth > DEPTH_MAX {
        return Err(reader.error("annotation nested too deeply"));
    }
    match reader.u8()? {
        b'e' => reader.skip(4),
        b'@' => skip_nested_annotation(reader, depth),
        b'[' => {
            for _ in 0..reader.u16()? {
                skip_value(reader, depth + 1)?;
            }
            Ok(())
        }
        b'B' | b'C' | b'D' | b'F' | b'I' | b'J' | b'S' | b'Z' | b's' | b'c' => reader.skip(2),
        _ => Err(reader.error("annotation value of unknown kind")),
    }
}

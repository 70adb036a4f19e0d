//! The constant pool: an index over the original entries, and new entries appended after them.
//!
//! Appending only keeps every index of the original class valid, whatever refers to it.

use std::borrow::Cow;

use super::{ClassError, Reader};

mod tag {
    pub const UTF8: u8 = 1;
    pub const INTEGER: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const LONG: u8 = 5;
    pub const DOUBLE: u8 = 6;
    pub const CLASS: u8 = 7;
    pub const STRING: u8 = 8;
    pub const FIELD: u8 = 9;
    pub const METHOD: u8 = 10;
    pub const INTERFACE_METHOD: u8 = 11;
    pub const NAME_AND_TYPE: u8 = 12;
    pub const METHOD_HANDLE: u8 = 15;
    pub const METHOD_TYPE: u8 = 16;
    pub const DYNAMIC: u8 = 17;
    pub const INVOKE_DYNAMIC: u8 = 18;
    pub const MODULE: u8 = 19;
    pub const PACKAGE: u8 = 20;
}

/// The original constant pool of a class.
#[derive(Debug)]
pub struct ConstantPool<'a> {
    class: &'a [u8],
    /// Offset of each entry's tag; 0 where there is none (index 0, second half of a long or double).
    entries: Vec<u32>,
}

/// A method as an instruction names it.
#[derive(Debug, PartialEq, Eq)]
pub struct MethodRef<'a> {
    /// Internal name of the class, in modified UTF-8.
    pub class: &'a [u8],
    /// Name of the method, in modified UTF-8.
    pub name: &'a [u8],
}

impl<'a> ConstantPool<'a> {
    /// Indexes the pool that begins (with its count) where `reader`, a reader over the whole `class`, stands.
    pub fn parse(class: &'a [u8], reader: &mut Reader<'a>) -> Result<Self, ClassError> {
        let count = usize::from(reader.u16()?);
        let mut entries = vec![0; 1];
        while entries.len() < count {
            let at = reader.offset();
            let offset = u32::try_from(at).map_err(|_| reader.error("class file too long"))?;
            entries.push(offset);
            if skip_entry(reader)? == Slots::Two {
                entries.push(0);
            }
        }
        if entries.len() > count.max(1) {
            return Err(reader.error("constant pool ends within a long or double"));
        }
        Ok(Self { class, entries })
    }

    /// Number of indices in use: one more than the largest.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    fn entry(&self, index: u16, tags: &[u8]) -> Result<Reader<'a>, ClassError> {
        let offset = self.entries.get(usize::from(index)).map_or(0, |&at| at as usize);
        let mut reader = Reader::new(&self.class[offset..], offset);
        if offset == 0 || !tags.contains(&reader.u8()?) {
            return Err(ClassError {
                offset,
                reason: "constant pool index of the wrong kind or out of range",
            });
        }
        Ok(reader)
    }

    /// The bytes (modified UTF-8) of a name or descriptor.
    pub fn utf8(&self, index: u16) -> Result<&'a [u8], ClassError> {
        let mut reader = self.entry(index, &[tag::UTF8])?;
        let length = reader.u16()?;
        reader.take(length.into())
    }

    /// The internal name of a class entry.
    pub fn class_name(&self, index: u16) -> Result<&'a [u8], ClassError> {
        let name = self.entry(index, &[tag::CLASS])?.u16()?;
        self.utf8(name)
    }

    /// Class and name of a method entry (of a class or of an interface).
    pub fn method_ref(&self, index: u16) -> Result<MethodRef<'a>, ClassError> {
        let mut reader = self.entry(index, &[tag::METHOD, tag::INTERFACE_METHOD])?;
        let class = self.class_name(reader.u16()?)?;
        let name = self.entry(reader.u16()?, &[tag::NAME_AND_TYPE])?.u16()?;
        Ok(MethodRef {
            class,
            name: self.utf8(name)?,
        })
    }
}

#[derive(PartialEq, Eq)]
enum Slots {
    One,
    Two,
}

fn skip_entry(reader: &mut Reader<'_>) -> Result<Slots, ClassError> {
    let (length, slots) = match reader.u8()? {
        tag::UTF8 => (usize::from(reader.u16()?), Slots::One),
        tag::LONG | tag::DOUBLE => (8, Slots::Two),
        tag::CLASS | tag::STRING | tag::METHOD_TYPE | tag::MODULE | tag::PACKAGE => (2, Slots::One),
        tag::METHOD_HANDLE => (3, Slots::One),
        tag::INTEGER
        | tag::FLOAT
        | tag::FIELD
        | tag::METHOD
        | tag::INTERFACE_METHOD
        | tag::NAME_AND_TYPE
        | tag::DYNAMIC
        | tag::INVOKE_DYNAMIC => (4, Slots::One),
        _ => return Err(reader.error("constant pool entry of unknown kind")),
    };
    reader.skip(length)?;
    Ok(slots)
}

/// The constant pool is full: an entry more would not have an index of 16 bits.
#[derive(Debug, PartialEq, Eq)]
pub struct PoolFull;

/// Entries to append to a constant pool.
#[derive(Debug)]
pub struct Additions {
    first: usize,
    count: usize,
    bytes: Vec<u8>,
}

impl Additions {
    /// Additions to a pool whose indices up to `first` (exclusive) are taken.
    pub fn after(first: usize) -> Self {
        Self {
            first: first.max(1),
            count: 0,
            bytes: Vec::new(),
        }
    }

    /// The count to write before the pool, with what was added.
    pub fn pool_count(&self) -> u16 {
        // `push` keeps the sum within 16 bits, and `first` came from 16 bits.
        (self.first + self.count) as u16
    }

    /// The added entries, encoded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What stands now, for [`Additions::back_to`].
    pub fn mark(&self) -> (usize, usize) {
        (self.count, self.bytes.len())
    }

    /// Takes back what was added since `mark`.
    pub fn back_to(&mut self, mark: (usize, usize)) {
        self.count = mark.0;
        self.bytes.truncate(mark.1);
    }

    fn push(&mut self, tag: u8, content: &[&[u8]]) -> Result<u16, PoolFull> {
        let index = u16::try_from(self.first + self.count).map_err(|_| PoolFull)?;
        if index == u16::MAX {
            return Err(PoolFull);
        }
        self.bytes.push(tag);
        for part in content {
            self.bytes.extend_from_slice(part);
        }
        self.count += 1;
        Ok(index)
    }

    /// A name or descriptor. Texts of more than 65,535 bytes have no place in a class file: they count as no room.
    pub fn utf8(&mut self, text: &str) -> Result<u16, PoolFull> {
        let length = u16::try_from(text.len()).map_err(|_| PoolFull)?;
        self.push(tag::UTF8, &[&length.to_be_bytes(), text.as_bytes()])
    }

    /// A class by its internal name.
    pub fn class(&mut self, name: &str) -> Result<u16, PoolFull> {
        let name = self.utf8(name)?;
        self.push(tag::CLASS, &[&name.to_be_bytes()])
    }

    /// An `int`.
    pub fn integer(&mut self, value: i32) -> Result<u16, PoolFull> {
        self.push(tag::INTEGER, &[&value.to_be_bytes()])
    }

    /// A method of `class`, all three given by their indices.
    pub fn method(&mut self, class: u16, name: u16, descriptor: u16) -> Result<u16, PoolFull> {
        let pair = self.push(tag::NAME_AND_TYPE, &[&name.to_be_bytes(), &descriptor.to_be_bytes()])?;
        self.push(tag::METHOD, &[&class.to_be_bytes(), &pair.to_be_bytes()])
    }
}

/// Modified UTF-8 (NUL in two bytes, characters beyond U+FFFF as two surrogates of three bytes) as text. Surrogates
/// without their pair become U+FFFD.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(String::from_utf16_lossy(&utf16_units(bytes))),
    }
}

fn utf16_units(bytes: &[u8]) -> Vec<u16> {
    let low_bits = |at: usize| {
        bytes
            .get(at)
            .filter(|&&byte| byte & 0xc0 == 0x80)
            .map(|&byte| u16::from(byte & 0x3f))
    };
    let mut units = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&first) = bytes.get(at) {
        let (unit, length) = match (first, low_bits(at + 1), low_bits(at + 2)) {
            (0..0x80, _, _) => (u16::from(first), 1),
            (0xc0..0xe0, Some(a), _) => (u16::from(first & 0x1f) << 6 | a, 2),
            (0xe0..0xf0, Some(a), Some(b)) => (u16::from(first & 0x0f) << 12 | a << 6 | b, 3),
            _ => (0xfffd, 1),
        };
        units.push(unit);
        at += length;
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modified_utf8_becomes_text() {
        assert_eq!(text(b"java/lang/Object"), "java/lang/Object");
        assert_eq!(text(b"a\xc0\x80b"), "a\0b");
        assert_eq!(text(b"\xed\xa0\xbd\xed\xb8\x80"), "\u{1f600}");
        assert_eq!(text(b"x\xff\xc3"), "x\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_full_pool_says_so_and_takes_nothing() {
        let mut additions = Additions::after(65_533);
        assert_eq!(additions.integer(1), Ok(65_533));
        assert_eq!(additions.integer(2), Ok(65_534));
        let full = additions.mark();
        assert_eq!(additions.integer(3), Err(PoolFull));
        assert_eq!(additions.mark(), full);
        assert_eq!(additions.pool_count(), 65_535);
    }
}

//! A checked cursor over big-endian bytes that knows where in the class file it stands.

use super::ClassError;

/// Reads big-endian numbers from a part of a class file.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
    base: usize,
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`, which begin at offset `base` of the class file.
    pub fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, pos: 0, base }
    }

    /// Where in the class file the next byte lies.
    pub fn offset(&self) -> usize {
        self.base + self.pos
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.pos
    }

    /// An error at the present offset.
    pub fn error(&self, reason: &'static str) -> ClassError {
        ClassError {
            offset: self.offset(),
            reason,
        }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], ClassError> {
        if count > self.remaining() {
            return Err(self.error("ends early"));
        }
        let bytes = &self.bytes[self.pos..self.pos + count];
        self.pos += count;
        Ok(bytes)
    }

    /// The next `count` bytes as a reader of their own.
    pub fn part(&mut self, count: usize) -> Result<Reader<'a>, ClassError> {
        let base = self.offset();
        Ok(Reader::new(self.take(count)?, base))
    }

    /// All bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.pos..]
    }

    /// Steps over `count` bytes.
    pub fn skip(&mut self, count: usize) -> Result<(), ClassError> {
        self.take(count).map(|_| ())
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, ClassError> {
        Ok(self.take(1)?[0])
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, ClassError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, ClassError> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Ok if nothing is left.
    pub fn end(&self) -> Result<(), ClassError> {
        match self.remaining() {
            0 => Ok(()),
            _ => Err(self.error("has bytes after its end")),
        }
    }
}

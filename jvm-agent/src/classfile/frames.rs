//! The `StackMapTable`: types of locals and stack at the places that are jumped to.
//!
//! ```text
//! tag 0..=63    same locals, empty stack; the tag is the delta
//!    64..=127   same locals, one on the stack; the tag less 64 is the delta
//!         247   u16 delta, one on the stack
//!    248..=250  u16 delta, the last 251 - tag locals gone
//!         251   u16 delta
//!    252..=254  u16 delta, tag - 251 more locals
//!         255   u16 delta, u16 count, locals, u16 count, stack
//! ```
//! A frame's place is the place before it + delta + 1; the first one's is its delta.

use super::{ClassError, Reader};

/// A frame as encoded.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Its form, see the module's table.
    pub tag: u8,
    /// Offset in the bytecode at which it holds.
    pub pc: usize,
    /// Locals that it adds (252..=254) or all of them (255).
    pub locals: Types<'a>,
    /// Its stack.
    pub stack: Types<'a>,
}

/// A verification type, as far as it matters to whoever moves code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Anything else, a class among them.
    Other,
    /// `this` before the constructor of the superclass ran.
    UninitializedThis,
    /// An object between `new`, which stands at this offset, and its constructor.
    Uninitialized(u16),
}

/// A list of verification types, still encoded but checked.
#[derive(Debug, Clone, Copy)]
pub struct Types<'a> {
    /// How many.
    pub count: u16,
    /// Encoded form.
    pub bytes: &'a [u8],
}

const TYPE_THIS: u8 = 6;
const TYPE_OBJECT: u8 = 7;
const TYPE_NEW: u8 = 8;

/// Encoded length of a verification type by its tag.
fn type_length(tag: u8) -> Option<usize> {
    match tag {
        0..=TYPE_THIS => Some(1),
        TYPE_OBJECT | TYPE_NEW => Some(3),
        _ => None,
    }
}

impl<'a> Types<'a> {
    const NONE: Types<'static> = Types { count: 0, bytes: &[] };

    fn parse(reader: &mut Reader<'a>, count: u16) -> Result<Self, ClassError> {
        let bytes = reader.rest();
        let before = reader.remaining();
        for _ in 0..count {
            let tag = reader.u8()?;
            let length = type_length(tag).ok_or_else(|| reader.error("verification type unknown"))?;
            reader.skip(length - 1)?;
        }
        Ok(Self {
            count,
            bytes: &bytes[..before - reader.remaining()],
        })
    }

    /// The types with their encoded bytes.
    pub fn iter(self) -> impl Iterator<Item = (Type, &'a [u8])> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (one, after) = rest.split_at_checked(type_length(*rest.first()?)?)?;
            rest = after;
            let kind = match one {
                [TYPE_THIS] => Type::UninitializedThis,
                [TYPE_NEW, high, low] => Type::Uninitialized(u16::from_be_bytes([*high, *low])),
                _ => Type::Other,
            };
            Some((kind, one))
        })
    }
}

/// Reads the frames of a `StackMapTable`.
#[derive(Debug)]
pub struct Frames<'a> {
    reader: Reader<'a>,
    left: u16,
    next_base: usize,
}

impl<'a> Frames<'a> {
    /// The frames of an attribute's data.
    ///
    /// # Errors
    /// If the data have no count.
    pub fn new(mut reader: Reader<'a>) -> Result<Self, ClassError> {
        let left = reader.u16()?;
        Ok(Self {
            reader,
            left,
            next_base: 0,
        })
    }

    /// The next frame.
    ///
    /// # Errors
    /// If the table is malformed or has bytes after its end.
    pub fn read_next(&mut self) -> Result<Option<Frame<'a>>, ClassError> {
        if self.left == 0 {
            return self.reader.end().map(|()| None);
        }
        self.left -= 1;
        let frame = self.parse_frame()?;
        self.next_base = frame.pc + 1;
        Ok(Some(frame))
    }

    fn parse_frame(&mut self) -> Result<Frame<'a>, ClassError> {
        let reader = &mut self.reader;
        let tag = reader.u8()?;
        let delta = match tag {
            0..=127 => usize::from(tag & 63),
            247..=255 => usize::from(reader.u16()?),
            _ => return Err(reader.error("frame of unknown kind")),
        };
        let (locals, stack) = match tag {
            64..=127 | 247 => (Types::NONE, Types::parse(reader, 1)?),
            252..=254 => (Types::parse(reader, u16::from(tag - 251))?, Types::NONE),
            255 => (parse_counted(reader)?, parse_counted(reader)?),
            _ => (Types::NONE, Types::NONE),
        };
        Ok(Frame {
            tag,
            pc: self.next_base + delta,
            locals,
            stack,
        })
    }
}

fn parse_counted<'a>(reader: &mut Reader<'a>) -> Result<Types<'a>, ClassError> {
    let count = reader.u16()?;
    Types::parse(reader, count)
}

/// Writes a `StackMapTable`, keeping each frame's form where its delta allows.
#[derive(Debug)]
pub struct FrameWriter {
    bytes: Vec<u8>,
    count: u16,
    next_base: usize,
}

impl FrameWriter {
    /// An empty table; `capacity` is a guess at its bytes.
    pub fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(&[0, 0]);
        Self {
            bytes,
            count: 0,
            next_base: 0,
        }
    }

    /// Appends a frame of the form of `tag` that holds at `pc`; its types are left to [`FrameWriter::push_bytes`].
    /// None if `pc` does not come after the frame before, is too far, or the table is full.
    pub fn push(&mut self, tag: u8, pc: usize) -> Option<()> {
        let delta = u16::try_from(pc.checked_sub(self.next_base)?).ok()?;
        match (tag, u8::try_from(delta)) {
            (0..=63, Ok(short @ 0..=63)) => self.bytes.push(short),
            (64..=127, Ok(short @ 0..=63)) => self.bytes.push(64 + short),
            (0..=63, _) => self.push_long(251, delta),
            (64..=127, _) => self.push_long(247, delta),
            _ => self.push_long(tag, delta),
        }
        self.count = self.count.checked_add(1)?;
        self.next_base = pc + 1;
        Some(())
    }

    fn push_long(&mut self, tag: u8, delta: u16) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&delta.to_be_bytes());
    }

    /// Appends encoded counts or types to the frame that was pushed last.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a frame with no locals and one object on the stack, whose class is given by its pool index. No locals
    /// is true of any code, so the frame suits a handler that covers a whole body.
    pub fn push_handler(&mut self, pc: usize, class: u16) -> Option<()> {
        self.push(255, pc)?;
        self.push_bytes(&[0, 0, 0, 1, TYPE_OBJECT]);
        self.push_bytes(&class.to_be_bytes());
        Some(())
    }

    /// The data of the attribute.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[..2].copy_from_slice(&self.count.to_be_bytes());
        self.bytes
    }
}

/// An encoded [`Type::Uninitialized`].
pub fn encode_uninitialized(pc: u16) -> [u8; 3] {
    let [high, low] = pc.to_be_bytes();
    [TYPE_NEW, high, low]
}

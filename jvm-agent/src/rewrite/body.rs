//! A method's body: taken apart, and put together again with probes.
//!
//! ```text
//! u16 max_stack · u16 max_locals · u32 length, bytecode · u16 count, handlers of 8 bytes · u16 count, attributes
//! ```

use super::plan::Plan;
use super::sites::{Site, Sites, narrow};
use super::snippets::Snippets;
use super::{Reason, tables, type_annotations};
use crate::classfile::instructions::{Instruction, Instructions, op, switch_padding};
use crate::classfile::{Attribute, ClassError, ClassView, Reader};

/// The longest bytecode a method may have, in bytes.
const CODE_MAX: usize = 65_535;
/// The longest bytecode that HotSpot compiles (`-XX:+DontCompileHugeMethods`), in bytes.
const COMPILED_MAX: usize = 8_000;
/// Frames decide whether code is valid from this major version on (Java 6).
pub(super) const FRAMES_SINCE: u16 = 50;

/// A body, taken apart as far as probes need it.
#[derive(Debug)]
pub(super) struct Body<'a> {
    major: u16,
    max_stack: u16,
    max_locals: u16,
    pub code: &'a [u8],
    /// Offset of `code` in the class file.
    pub code_at: usize,
    handlers: Reader<'a>,
    attributes: Vec<Attribute<'a>>,
}

impl<'a> Body<'a> {
    pub fn parse(view: &ClassView<'a>, attribute: &Attribute<'a>) -> Result<Self, ClassError> {
        let mut reader = attribute.reader();
        let (max_stack, max_locals) = (reader.u16()?, reader.u16()?);
        let length = reader.u32()? as usize;
        if length == 0 || length > CODE_MAX {
            return Err(reader.error("bytecode of a length that no method has"));
        }
        let code_at = reader.offset();
        let code = reader.take(length)?;
        let handler_count = usize::from(reader.u16()?);
        let handlers = reader.part(8 * handler_count)?;
        let mut attributes = Vec::new();
        for _ in 0..reader.u16()? {
            attributes.push(Attribute::parse(&view.pool, &mut reader)?);
        }
        reader.end()?;
        Ok(Self {
            major: view.major,
            max_stack,
            max_locals,
            code,
            code_at,
            handlers,
            attributes,
        })
    }

    pub fn instructions(&self) -> Instructions<'a> {
        Instructions::new(self.code, self.code_at)
    }

    /// True where the JVM reads frames of this body.
    pub fn has_frames(&self) -> bool {
        self.major >= FRAMES_SINCE
    }

    /// The frames, where the JVM reads them and the body has some.
    pub fn frames(&self) -> Option<Reader<'a>> {
        let found = self
            .attributes
            .iter()
            .find(|attribute| attribute.name == b"StackMapTable")?;
        self.has_frames().then(|| found.reader())
    }

    /// The data of a `Code` attribute with `snippets` in the places of `plan`.
    pub fn rebuild(&self, plan: &Plan, snippets: &Snippets) -> Result<Vec<u8>, Reason> {
        let Moved { code, sites, handler } = Moved::new(self, plan, snippets)?;
        let growth = snippets.enter.len() + snippets.thrown.len();
        let mut data = Vec::with_capacity(self.code.len() * 2 + self.handlers.remaining() + growth);
        data.extend_from_slice(&self.max_stack(plan, snippets)?.to_be_bytes());
        data.extend_from_slice(&self.max_locals.to_be_bytes());
        data.extend_from_slice(&(code.len() as u32).to_be_bytes());
        data.extend_from_slice(&code);
        tables::handlers(self.handlers, &sites, &plan.covered, handler, &mut data)?;
        self.rebuild_attributes(&sites, plan, snippets, handler, &mut data)?;
        u32::try_from(data.len()).map_err(|_| Reason::TableFull)?;
        Ok(data)
    }

    /// A probe pushes its id on whatever is there; the handler, on the exception.
    fn max_stack(&self, plan: &Plan, snippets: &Snippets) -> Result<u16, Reason> {
        match plan.probes() {
            true => self
                .max_stack
                .checked_add(1)
                .map(|needed| needed.max(2).max(snippets.enter_stack))
                .ok_or(Reason::TableFull),
            false => Ok(self.max_stack),
        }
    }

    fn rebuild_attributes(
        &self,
        sites: &Sites,
        plan: &Plan,
        snippets: &Snippets,
        handler: u32,
        data: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        let count_at = data.len();
        data.extend_from_slice(&[0, 0]);
        let mut count = 0_u16;
        let mut add = |name: u16, content: &[u8]| {
            let length = u32::try_from(content.len()).map_err(|_| Reason::TableFull)?;
            data.extend_from_slice(&name.to_be_bytes());
            data.extend_from_slice(&length.to_be_bytes());
            data.extend_from_slice(content);
            count = count.checked_add(1).ok_or(Reason::TableFull)?;
            Ok::<(), Reason>(())
        };
        let handler_frame = plan.probes().then_some((handler, snippets.throwable));
        let mut framed = false;
        for attribute in &self.attributes {
            let reader = attribute.reader();
            let content = match attribute.name {
                b"LineNumberTable" => tables::lines(reader, sites)?,
                b"LocalVariableTable" | b"LocalVariableTypeTable" => tables::locals(reader, sites)?,
                b"RuntimeVisibleTypeAnnotations" | b"RuntimeInvisibleTypeAnnotations" => {
                    type_annotations::relocate(reader, sites)?
                }
                b"StackMapTable" if !self.has_frames() => continue,
                b"StackMapTable" if framed => return Err(reader.error("body has two tables of frames").into()),
                b"StackMapTable" => {
                    framed = true;
                    tables::frames(Some(reader), sites, handler_frame)?
                }
                // It may hold offsets that would be wrong now, and no JVM reads it.
                _ => continue,
            };
            add(attribute.name_index, &content)?;
        }
        if self.has_frames() && !framed && plan.probes() {
            add(snippets.frames_name, &tables::frames(None, sites, handler_frame)?)?;
        }
        data[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
        Ok(())
    }
}

/// A jump whose distance is to be written when all places are known.
struct Jump {
    /// Where in the new code the distance stands.
    operand_at: usize,
    /// New place of the instruction that jumps: distances count from it.
    from: u32,
    /// Original offset of the target.
    to: usize,
    wide: bool,
}

/// Bytecode with the probes in it.
struct Moved {
    code: Vec<u8>,
    sites: Sites,
    /// Place of the handler: the end of the code that it covers.
    handler: u32,
}

impl Moved {
    fn new(body: &Body<'_>, plan: &Plan, snippets: &Snippets) -> Result<Self, Reason> {
        let length = body.code.len();
        let mut mover = Mover {
            code: Vec::with_capacity(length + length / 4 + 32),
            sites: Sites::new(length, body.code_at),
            jumps: Vec::new(),
        };
        let mut enters = plan.enter_at.iter().peekable();
        for instruction in body.instructions() {
            let instruction = instruction?;
            let entered = enters.next_if(|&&at| at == instruction.pc).map(|_| &snippets.enter[..]);
            let left = instruction.is_return().then_some(&snippets.exit[..]);
            mover.place(&instruction, entered.unwrap_or_default(), left.unwrap_or_default())?;
        }
        if enters.next().is_some() {
            return Err(ClassError {
                offset: body.code_at + length,
                reason: "bytecode runs off its end",
            }
            .into());
        }
        let handler = narrow(mover.code.len() as u32).map(u32::from)?;
        mover.sites.set(
            length,
            Site {
                before: handler,
                target: handler,
                own: handler,
            },
        );
        mover.code.extend_from_slice(&snippets.thrown);
        mover.connect_jumps()?;
        match mover.code.len() {
            CODE_MAX.. if mover.code.len() > CODE_MAX => Err(Reason::CodeTooLong),
            new if new > COMPILED_MAX && length <= COMPILED_MAX => Err(Reason::WouldNotCompile),
            _ => Ok(Self {
                code: mover.code,
                sites: mover.sites,
                handler,
            }),
        }
    }
}

struct Mover {
    code: Vec<u8>,
    sites: Sites,
    jumps: Vec<Jump>,
}

impl Mover {
    /// Appends an instruction with the probes that come before it.
    fn place(&mut self, instruction: &Instruction<'_>, enter: &[u8], exit: &[u8]) -> Result<(), Reason> {
        if instruction.is_subroutine() {
            return Err(Reason::Subroutines);
        }
        let before = self.code.len() as u32;
        self.code.extend_from_slice(enter);
        let target = self.code.len() as u32;
        self.code.extend_from_slice(exit);
        let own = self.code.len() as u32;
        self.sites.set(instruction.pc, Site { before, target, own });
        self.copy(instruction, own)
    }

    fn copy(&mut self, instruction: &Instruction<'_>, own: u32) -> Result<(), Reason> {
        if instruction.is_switch() {
            return self.copy_switch(instruction, own);
        }
        self.code.extend_from_slice(instruction.bytes);
        let operand_at = own as usize + 1;
        if instruction.is_branch() {
            let distance = i32::from(instruction.u16().cast_signed());
            self.jump(instruction, operand_at, distance, false)?;
        } else if let [op::GOTO_W, distance @ ..] = instruction.bytes {
            self.jump(instruction, operand_at, int(distance), true)?;
        }
        Ok(())
    }

    /// Copies a switch: the padding depends on the place, and every entry is a jump.
    fn copy_switch(&mut self, instruction: &Instruction<'_>, own: u32) -> Result<(), Reason> {
        self.code.push(instruction.opcode());
        self.code.extend(std::iter::repeat_n(0, switch_padding(own as usize)));
        let (default, rest) = instruction.switch_operands().split_at(4);
        self.wide_jump(instruction, default)?;
        let (head, entry) = match instruction.opcode() {
            op::TABLESWITCH => (8, 4),
            _ => (4, 8),
        };
        let (head, entries) = rest.split_at(head);
        self.code.extend_from_slice(head);
        for entry in entries.chunks_exact(entry) {
            let (key, distance) = entry.split_at(entry.len() - 4);
            self.code.extend_from_slice(key);
            self.wide_jump(instruction, distance)?;
        }
        Ok(())
    }

    /// Appends a distance of 32 bits to be connected later.
    fn wide_jump(&mut self, instruction: &Instruction<'_>, distance: &[u8]) -> Result<(), Reason> {
        let operand_at = self.code.len();
        self.code.extend_from_slice(distance);
        self.jump(instruction, operand_at, int(distance), true)
    }

    fn jump(&mut self, from: &Instruction<'_>, operand_at: usize, distance: i32, wide: bool) -> Result<(), Reason> {
        // Code is at most 64 KiB: as i64 the sum is exact, and what is negative or beyond fails in `Sites`.
        let to = usize::try_from(from.pc as i64 + i64::from(distance)).unwrap_or(usize::MAX - 1);
        let from = self.sites.instruction(from.pc)?.own;
        self.jumps.push(Jump {
            operand_at,
            from,
            to,
            wide,
        });
        Ok(())
    }

    fn connect_jumps(&mut self) -> Result<(), Reason> {
        for &Jump {
            operand_at,
            from,
            to,
            wide,
        } in &self.jumps
        {
            let distance = i64::from(self.sites.instruction(to)?.target) - i64::from(from);
            if wide {
                let distance = i32::try_from(distance).map_err(|_| Reason::JumpTooFar)?;
                self.code[operand_at..operand_at + 4].copy_from_slice(&distance.to_be_bytes());
            } else {
                let distance = i16::try_from(distance).map_err(|_| Reason::JumpTooFar)?;
                self.code[operand_at..operand_at + 2].copy_from_slice(&distance.to_be_bytes());
            }
        }
        Ok(())
    }
}

/// The first four bytes as a number; 0 where there are fewer.
fn int(bytes: &[u8]) -> i32 {
    bytes.first_chunk().copied().map_or(0, i32::from_be_bytes)
}

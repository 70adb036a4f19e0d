//! Bytecode, one instruction after the other.

use super::ClassError;

/// The opcodes that plumb looks at, by their names in the JVM specification.
pub mod op {
    #![expect(missing_docs, reason = "the JVM specification documents them")]
    pub const ACONST_NULL: u8 = 1;
    pub const ICONST_0: u8 = 3;
    pub const ILOAD: u8 = 21;
    pub const LLOAD: u8 = 22;
    pub const ALOAD: u8 = 25;
    pub const ILOAD_0: u8 = 26;
    pub const LLOAD_0: u8 = 30;
    pub const ALOAD_0: u8 = 42;
    pub const BIPUSH: u8 = 16;
    pub const SIPUSH: u8 = 17;
    pub const LDC_W: u8 = 19;
    pub const IINC: u8 = 132;
    pub const I2L: u8 = 133;
    pub const IFEQ: u8 = 153;
    pub const GOTO: u8 = 167;
    pub const JSR: u8 = 168;
    pub const RET: u8 = 169;
    pub const TABLESWITCH: u8 = 170;
    pub const LOOKUPSWITCH: u8 = 171;
    pub const IRETURN: u8 = 172;
    pub const RETURN: u8 = 177;
    pub const INVOKESPECIAL: u8 = 183;
    pub const INVOKESTATIC: u8 = 184;
    pub const NEW: u8 = 187;
    pub const ATHROW: u8 = 191;
    pub const WIDE: u8 = 196;
    pub const IFNULL: u8 = 198;
    pub const IFNONNULL: u8 = 199;
    pub const GOTO_W: u8 = 200;
    pub const JSR_W: u8 = 201;
}

/// Length of each instruction, by opcode; 0 where it depends on the operands.
const LENGTHS: [u8; 202] = lengths();

const fn lengths() -> [u8; 202] {
    let mut table = [1; 202];
    let two = [(16, 16), (18, 18), (21, 25), (54, 58), (169, 169), (188, 188)];
    let three = [
        (17, 17),
        (19, 20),
        (132, 132),
        (153, 168),
        (178, 184),
        (187, 187),
        (189, 189),
        (192, 193),
        (198, 199),
    ];
    let five = [(185, 186), (200, 201)];
    let mut i = 0;
    while i < two.len() {
        fill(&mut table, two[i], 2);
        i += 1;
    }
    i = 0;
    while i < three.len() {
        fill(&mut table, three[i], 3);
        i += 1;
    }
    i = 0;
    while i < five.len() {
        fill(&mut table, five[i], 5);
        i += 1;
    }
    fill(&mut table, (197, 197), 4);
    fill(&mut table, (170, 171), 0);
    fill(&mut table, (196, 196), 0);
    table
}

const fn fill(table: &mut [u8; 202], (first, last): (usize, usize), length: u8) {
    let mut opcode = first;
    while opcode <= last {
        table[opcode] = length;
        opcode += 1;
    }
}

/// One instruction and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Instruction<'a> {
    /// Offset in the bytecode.
    pub pc: usize,
    /// Opcode and operands.
    pub bytes: &'a [u8],
}

impl<'a> Instruction<'a> {
    /// The opcode.
    pub fn opcode(&self) -> u8 {
        self.bytes[0]
    }

    /// Where the next instruction begins.
    pub fn next_pc(&self) -> usize {
        self.pc + self.bytes.len()
    }

    /// The 16-bit operand that follows the opcode, as of `new` and `invokespecial`; 0 if the instruction is shorter.
    pub fn u16(&self) -> u16 {
        match self.bytes {
            [_, high, low, ..] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        }
    }

    /// True for the six return instructions.
    pub fn is_return(&self) -> bool {
        (op::IRETURN..=op::RETURN).contains(&self.opcode())
    }

    /// True for branches with a 16-bit offset.
    pub fn is_branch(&self) -> bool {
        matches!(self.opcode(), op::IFEQ..=op::JSR | op::IFNULL | op::IFNONNULL)
    }

    /// True for `tableswitch` and `lookupswitch`.
    pub fn is_switch(&self) -> bool {
        matches!(self.opcode(), op::TABLESWITCH | op::LOOKUPSWITCH)
    }

    /// True if the instruction after this one is never reached from it.
    pub fn ends_flow(&self) -> bool {
        self.is_return() || self.is_switch() || matches!(self.opcode(), op::GOTO | op::GOTO_W | op::ATHROW)
    }

    /// True for the instructions of subroutines (`jsr`, `ret`), which compilers stopped writing with Java 6.
    pub fn is_subroutine(&self) -> bool {
        let opcode = if self.opcode() == op::WIDE {
            self.bytes[1]
        } else {
            self.opcode()
        };
        matches!(opcode, op::JSR | op::JSR_W | op::RET)
    }

    /// The operands of a switch after the padding: `default`, then bounds or count, then the table.
    pub fn switch_operands(&self) -> &'a [u8] {
        &self.bytes[1 + switch_padding(self.pc)..]
    }
}

/// Bytes between the opcode of a switch at `pc` and its first operand, which is aligned to 4.
pub fn switch_padding(pc: usize) -> usize {
    3 - pc % 4
}

/// Iterates over bytecode; after an error it ends.
#[derive(Debug)]
pub struct Instructions<'a> {
    code: &'a [u8],
    pc: usize,
    base: usize,
}

impl<'a> Instructions<'a> {
    /// The instructions of `code`, which begins at offset `base` of the class file.
    pub fn new(code: &'a [u8], base: usize) -> Self {
        Self { code, pc: 0, base }
    }
}

impl<'a> Iterator for Instructions<'a> {
    type Item = Result<Instruction<'a>, ClassError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.pc >= self.code.len() {
            return None;
        }
        let pc = self.pc;
        let bytes = length(self.code, pc).and_then(|length| self.code.get(pc..pc.checked_add(length)?));
        self.pc = bytes.map_or(self.code.len(), |bytes| pc + bytes.len());
        let error = ClassError {
            offset: self.base + pc,
            reason: "instruction unknown or cut short",
        };
        Some(bytes.map(|bytes| Instruction { pc, bytes }).ok_or(error))
    }
}

fn length(code: &[u8], pc: usize) -> Option<usize> {
    let opcode = code[pc];
    match opcode {
        op::WIDE => wide_length(*code.get(pc + 1)?),
        op::TABLESWITCH | op::LOOKUPSWITCH => switch_length(code, pc),
        _ => LENGTHS.get(usize::from(opcode)).map(|&length| usize::from(length)),
    }
}

fn wide_length(opcode: u8) -> Option<usize> {
    match opcode {
        op::IINC => Some(6),
        21..=25 | 54..=58 | op::RET => Some(4),
        _ => None,
    }
}

fn switch_length(code: &[u8], pc: usize) -> Option<usize> {
    let operands = pc + 1 + switch_padding(pc);
    let int = |at: usize| {
        code.get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes)
    };
    let length = if code[pc] == op::TABLESWITCH {
        let (low, high) = (i64::from(int(operands + 4)?), i64::from(int(operands + 8)?));
        let targets = usize::try_from(high - low + 1).ok().filter(|&targets| targets > 0)?;
        12 + targets.checked_mul(4)?
    } else {
        8 + usize::try_from(int(operands + 4)?).ok()?.checked_mul(8)?
    };
    (operands - pc).checked_add(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths_of(code: &[u8]) -> Result<Vec<usize>, ClassError> {
        Instructions::new(code, 100)
            .map(|found| found.map(|instruction| instruction.bytes.len()))
            .collect()
    }

    #[test]
    fn every_form_has_its_length() {
        let mut code = vec![
            0, 16, 7, 17, 0, 1, 185, 0, 1, 1, 0, 196, 21, 0, 1, 196, 132, 0, 1, 0, 1, 197, 0, 1, 2,
        ];
        assert_eq!(lengths_of(&code), Ok(vec![1, 2, 3, 5, 4, 6, 4]));
        code = vec![0, 171, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 9, 177];
        assert_eq!(lengths_of(&code), Ok(vec![1, 19, 1]));
    }

    #[test]
    fn hostile_code_is_an_error_at_its_offset() {
        for code in [&[0, 202][..], &[0, 17, 0], &[0, 196], &[0, 196, 0, 0, 0]] {
            assert_eq!(lengths_of(code).unwrap_err().offset, 101, "{code:?}");
        }
        let backwards = [170, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 8];
        let endless = [171, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff];
        assert!(lengths_of(&backwards).is_err() && lengths_of(&endless).is_err());
    }
}

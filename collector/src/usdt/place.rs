//! Where an argument of a probe is when its place is reached.

/// Registers of x86-64 in the order of the kernel's `struct pt_regs`, with the names of their parts of 8, 4, 2 and 1 bytes. Its other members (orig_ax, ip, cs, flags, ss)
/// hold no arguments.
const REGISTERS: [(u8, [&str; 4]); 16] = [
    (0, ["r15", "r15d", "r15w", "r15b"]),
    (1, ["r14", "r14d", "r14w", "r14b"]),
    (2, ["r13", "r13d", "r13w", "r13b"]),
    (3, ["r12", "r12d", "r12w", "r12b"]),
    (4, ["rbp", "ebp", "bp", "bpl"]),
    (5, ["rbx", "ebx", "bx", "bl"]),
    (6, ["r11", "r11d", "r11w", "r11b"]),
    (7, ["r10", "r10d", "r10w", "r10b"]),
    (8, ["r9", "r9d", "r9w", "r9b"]),
    (9, ["r8", "r8d", "r8w", "r8b"]),
    (10, ["rax", "eax", "ax", "al"]),
    (11, ["rcx", "ecx", "cx", "cl"]),
    (12, ["rdx", "edx", "dx", "dl"]),
    (13, ["rsi", "esi", "si", "sil"]),
    (14, ["rdi", "edi", "di", "dil"]),
    (19, ["rsp", "esp", "sp", "spl"]),
];

/// Where an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a register, by its number in `struct pt_regs`.
    Register(u8),
    /// In memory, `offset` bytes from where a register points.
    Memory {
        /// Number in `struct pt_regs`.
        base: u8,
        /// Bytes.
        offset: i32,
    },
    /// It is always this.
    Constant(i64),
}

impl Place {
    /// Reads `SIZE@PLACE`; `None` for what compilers seldom write (an index, a name).
    #[must_use]
    pub fn parse(text: &str) -> Option<Place> {
        let (_, place) = text.split_once('@')?;
        if let Some(number) = place.strip_prefix('$') {
            return number.parse().ok().map(Place::Constant);
        }
        if let Some(name) = place.strip_prefix('%') {
            return register(name).map(Place::Register);
        }
        let (offset, base) = place.strip_suffix(')')?.split_once("(%")?;
        let offset = if offset.is_empty() { 0 } else { offset.parse().ok()? };
        let base = register(base)?;
        Some(Place::Memory { base, offset })
    }
}

fn register(name: &str) -> Option<u8> {
    let found = REGISTERS.iter().find(|(_, names)| names.contains(&name));
    found.map(|(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_compilers_write_them() {
        let memory = |base, offset| Some(Place::Memory { base, offset });
        let expected = [
            ("8@%r12", Some(Place::Register(3))),
            ("-4@%eax", Some(Place::Register(10))),
            ("1@%dil", Some(Place::Register(14))),
            ("8@-144(%rbp)", memory(4, -144)),
            ("8@(%rsp)", memory(19, 0)),
            ("1@$1", Some(Place::Constant(1))),
            ("-4@$-7", Some(Place::Constant(-7))),
        ];
        for (text, place) in expected {
            assert_eq!(Place::parse(text), place, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_place() {
        for text in [
            "",
            "8",
            "8@",
            "8@%",
            "8@%rip",
            "8@%xmm0",
            "8@$",
            "8@4(%rax,%rbx,8)",
            "8@name(%rip)",
            "8@99999999999(%rax)",
            "8@(%rax",
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}

//! As much of ELF as is needed to find a section, and the place in the file of an instruction.

use super::{Source, UsdtError};

/// Most sections and segments that are looked at; a library has some forty.
const HEADERS_MAX: u16 = 4096;
/// Longest table of sections' names that is read, bytes.
const NAMES_BYTES_MAX: u64 = 1 << 20;

const HEADER_BYTES: usize = 64;
const SECTION_BYTES: usize = 64;
const SEGMENT_BYTES: usize = 56;

/// x86-64
const MACHINE: u16 = 62;
/// A segment that is loaded.
const LOAD: u32 = 1;
/// A segment that is code.
const EXECUTABLE: u32 = 1;
/// A section without bytes in the file.
const NOBITS: u32 = 8;

/// What is known of a file.
#[derive(Debug)]
pub(super) struct Elf {
    sections: Vec<(Vec<u8>, Section)>,
    code: Vec<Segment>,
}

/// A section with bytes in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub address: u64,
    pub offset: u64,
    pub bytes: u64,
}

/// A segment of code.
#[derive(Clone, Copy, Debug)]
struct Segment {
    offset: u64,
    address: u64,
    bytes: u64,
}

/// Numbers in a header, at places within it.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let bytes = self.0.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
        bytes.unwrap_or([0; N])
    }
}

impl Elf {
    pub fn read(source: &(impl Source + ?Sized)) -> Result<Elf, UsdtError> {
        let header = source.read(0, HEADER_BYTES)?;
        let fields = Fields(&header);
        // Magic, 64 bits, little endian.
        if !header.starts_with(b"\x7fELF\x02\x01") || fields.u16(18) != MACHINE {
            return Err(UsdtError::Malformed("its first bytes"));
        }
        let segments = table(source, fields.u64(32), fields.u16(56), (fields.u16(54), SEGMENT_BYTES))?;
        let sections = table(source, fields.u64(40), fields.u16(60), (fields.u16(58), SECTION_BYTES))?;
        let names = match sections.chunks_exact(SECTION_BYTES).nth(fields.u16(62).into()) {
            Some(header) => names(source, section(header).1)?,
            None => Vec::new(),
        };
        let named = sections
            .chunks_exact(SECTION_BYTES)
            .filter(|header| Fields(header).u32(4) != NOBITS);
        Ok(Elf {
            sections: named.map(|header| named_section(header, &names)).collect(),
            code: segments.chunks_exact(SEGMENT_BYTES).filter_map(code).collect(),
        })
    }

    /// The first section of this name.
    pub fn section(&self, name: &str) -> Option<Section> {
        let found = self
            .sections
            .iter()
            .find(|(of_section, _)| of_section == name.as_bytes());
        found.map(|(_, section)| *section)
    }

    /// Where the instruction at this address is in the file; `None` where no code is.
    pub fn code_offset(&self, address: u64) -> Option<u64> {
        self.code.iter().find_map(|segment| {
            let within = address
                .checked_sub(segment.address)
                .filter(|&within| within < segment.bytes)?;
            segment.offset.checked_add(within)
        })
    }
}

/// `count` headers of the size that is known.
fn table(
    source: &(impl Source + ?Sized),
    offset: u64,
    count: u16,
    (bytes, known_bytes): (u16, usize),
) -> Result<Vec<u8>, UsdtError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if usize::from(bytes) != known_bytes || count > HEADERS_MAX {
        return Err(UsdtError::Malformed("its tables of segments and sections"));
    }
    Ok(source.read(offset, known_bytes * usize::from(count))?)
}

fn names(source: &(impl Source + ?Sized), section: Section) -> Result<Vec<u8>, UsdtError> {
    if section.bytes > NAMES_BYTES_MAX {
        return Err(UsdtError::Malformed("its sections' names are too long"));
    }
    Ok(source.read(section.offset, section.bytes as usize)?)
}

/// Where a section's name begins among the names, and the section.
fn section(header: &[u8]) -> (usize, Section) {
    let fields = Fields(header);
    let section = Section {
        address: fields.u64(16),
        offset: fields.u64(24),
        bytes: fields.u64(32),
    };
    (fields.u32(0) as usize, section)
}

fn named_section(header: &[u8], names: &[u8]) -> (Vec<u8>, Section) {
    let (name, section) = section(header);
    // The names that are asked for are short.
    let from = names.get(name..).unwrap_or_default();
    let name = from.iter().take(64).take_while(|&&byte| byte != 0);
    (name.copied().collect(), section)
}

fn code(header: &[u8]) -> Option<Segment> {
    let fields = Fields(header);
    let is_code = fields.u32(0) == LOAD && fields.u32(4) & EXECUTABLE != 0;
    is_code.then(|| Segment {
        offset: fields.u64(8),
        address: fields.u64(16),
        bytes: fields.u64(32),
    })
}

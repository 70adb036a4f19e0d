//! A file of code: its functions, where they lie when it is mapped, and its build id.
//!
//! Only what is asked for is read, piece by piece and never by a map: who cuts a mapped file short kills who reads it. A file may say anything of itself; each length is checked
//! against a bound before it is read.

use super::table::Table;
use object::elf::{FileHeader64, NT_GNU_BUILD_ID, PT_LOAD, PT_NOTE, SHT_DYNSYM, SHT_SYMTAB, STT_FUNC, STT_GNU_IFUNC};
use object::endian::Endianness;
use object::read::ReadRef;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use std::fmt::Write as _;

type Header = FileHeader64<Endianness>;

/// Longest symbol table, and longest table of its names, that are read, bytes: those of a browser or of a JVM are a tenth of that.
const TABLE_MAX: u64 = 128 << 20;
/// Longest note segment that is read, bytes.
const NOTES_MAX: u64 = 64 << 10;
/// Longest build id that is told, bytes.
const BUILD_ID_MAX: usize = 32;
/// Where a count does not fit into its field (elf(5)); such files are no code of anybody.
const PN_XNUM: u16 = 0xffff;

/// A part of the file that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// Where it lies in the file, and its bytes.
    offset: u64,
    bytes: u64,
    /// Its address, as symbols have it.
    address: u64,
}

/// What is known of a file.
#[derive(Clone, Debug, Default)]
pub struct Code {
    segments: Vec<Segment>,
    functions: Table,
    /// Hexadecimal digits, or empty.
    pub build_id: String,
}

impl Code {
    /// Reads a file of 64 bits; `None` where it is none, or damaged where it matters.
    pub fn read<'data, R: ReadRef<'data>>(data: R) -> Option<Code> {
        let header = Header::parse(data).ok()?;
        let endian = header.endian().ok()?;
        if header.e_phnum.get(endian) == PN_XNUM {
            return None;
        }
        let headers = header.program_headers(endian, data).ok()?;
        let loaded = headers.iter().filter(|header| header.p_type(endian) == PT_LOAD);
        let segment = |header: &<Header as FileHeader>::ProgramHeader| Segment {
            offset: header.p_offset(endian),
            bytes: header.p_filesz(endian),
            address: header.p_vaddr(endian),
        };
        let notes = headers.iter().filter(|header| header.p_type(endian) == PT_NOTE);
        Some(Code {
            segments: loaded.map(segment).collect(),
            build_id: notes
                .filter_map(|header| build_id(header, endian, data))
                .next()
                .unwrap_or_default(),
            functions: functions(header, endian, data).unwrap_or_default(),
        })
    }

    /// The address, as symbols have it, of a place in the file.
    pub fn address_of(&self, offset: u64) -> Option<u64> {
        let inside = |segment: &&Segment| offset >= segment.offset && offset - segment.offset < segment.bytes;
        let segment = self.segments.iter().find(inside)?;
        segment.address.checked_add(offset - segment.offset)
    }

    /// The function that an address lies in: where it begins, and its name.
    pub fn function(&self, address: u64) -> Option<(u64, String)> {
        self.functions.find(address)
    }

    /// Where the file is mapped, and its build id, are still known.
    pub fn forget_functions(&mut self) {
        self.functions = Table::default();
    }

    /// Bytes in memory, about.
    pub fn weight(&self) -> usize {
        self.functions.weight() + size_of_val(&*self.segments)
    }
}

fn build_id<'data, R: ReadRef<'data>>(
    header: &<Header as FileHeader>::ProgramHeader,
    endian: Endianness,
    data: R,
) -> Option<String> {
    if header.p_filesz(endian) > NOTES_MAX {
        return None;
    }
    let mut notes = header.notes(endian, data).ok()??;
    while let Ok(Some(note)) = notes.next() {
        if note.name() == b"GNU" && note.n_type(endian) == NT_GNU_BUILD_ID {
            let mut id = String::new();
            for byte in note.desc().iter().take(BUILD_ID_MAX) {
                // Cannot fail: a string takes all.
                let _ = write!(id, "{byte:02x}");
            }
            return Some(id);
        }
    }
    None
}

/// Of the whole symbol table, or, where the file was stripped of it, of the one that it is linked by.
fn functions<'data, R: ReadRef<'data>>(header: &Header, endian: Endianness, data: R) -> Option<Table> {
    // No sections, or so many that they are counted elsewhere.
    if header.e_shnum.get(endian) == 0 {
        return None;
    }
    let sections = header.sections(endian, data).ok()?;
    let whole = symbols(&sections, SHT_SYMTAB, endian, data).filter(|table| !table.is_empty());
    whole.or_else(|| symbols(&sections, SHT_DYNSYM, endian, data))
}

fn symbols<'data, R: ReadRef<'data>>(
    sections: &SectionTable<'data, Header, R>,
    kind: u32,
    endian: Endianness,
    data: R,
) -> Option<Table> {
    let section = sections.iter().find(|section| section.sh_type(endian) == kind)?;
    let names = sections.section(section.link(endian)).ok()?;
    if section.sh_size(endian) > TABLE_MAX || names.sh_size(endian) > TABLE_MAX {
        return None;
    }
    let names = names.data(endian, data).ok()?;
    let symbols: &[<Header as FileHeader>::Sym] = section.data_as_array(endian, data).ok()?;
    let mut table = Table::with_names(names.to_vec());
    for symbol in symbols {
        let is_function = matches!(symbol.st_type(), STT_FUNC | STT_GNU_IFUNC);
        if is_function && !symbol.is_undefined(endian) {
            table.push_at(symbol.st_value(endian), symbol.st_size(endian), symbol.st_name(endian));
        }
    }
    table.seal();
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_code() -> (Vec<u8>, Code) {
        let file = std::fs::read("/proc/self/exe").expect("this program");
        let code = Code::read(&*file).expect("an ELF file");
        (file, code)
    }

    #[test]
    fn this_program_has_its_functions() {
        let (_, code) = own_code();
        let (start, name) = code
            .functions
            .find(code.functions.find(0).map_or(u64::MAX >> 1, |(start, _)| start))
            .unwrap_or_default();
        assert!(code.functions.weight() > 0, "{start} {name}");
        let main = (0..1 << 24).step_by(16).filter_map(|address| code.function(address));
        assert!(
            main.take(1 << 16).any(|(_, name)| name == "main"),
            "no function is called main"
        );
    }

    #[test]
    fn places_in_the_file_have_addresses() {
        let code = Code {
            segments: vec![
                Segment {
                    offset: 0,
                    bytes: 0x100,
                    address: 0,
                },
                Segment {
                    offset: 0x100,
                    bytes: 0x50,
                    address: 0x2100,
                },
            ],
            ..Code::default()
        };
        assert_eq!(code.address_of(0xff), Some(0xff));
        assert_eq!(code.address_of(0x100), Some(0x2100));
        assert_eq!(code.address_of(0x150), None);
    }

    #[test]
    fn without_functions_a_file_is_still_known() {
        let (_, mut code) = own_code();
        let whole = code.clone();
        code.forget_functions();
        assert!(code.weight() < whole.weight() && code.function(u64::MAX >> 1).is_none());
        assert_eq!((code.segments, code.build_id), (whole.segments, whole.build_id));
    }

    #[test]
    fn what_is_cut_or_changed_is_no_panic() {
        let (file, _) = own_code();
        for length in (0..4096).chain([file.len() / 2, file.len() - 1]) {
            let _ = Code::read(&file[..length]);
        }
        for at in 0..512 {
            let mut changed = file[..4096.min(file.len())].to_vec();
            changed[at] = 0xff;
            let _ = Code::read(&*changed);
        }
        assert!(Code::read(&b"\x7fELF"[..]).is_none());
    }
}

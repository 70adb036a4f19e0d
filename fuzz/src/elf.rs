//! Small files of code, made by hand: ELF's header, two program headers, sections and their bytes.

/// Kinds of sections.
pub const SYMBOLS: u32 = 2;
pub const STRINGS: u32 = 3;
pub const NOTES: u32 = 7;
/// Bytes of the header, of a program header, of a section's header.
const HEADER: u64 = 64;
const SEGMENT: u64 = 56;
const SECTION: u64 = 64;

/// A section.
#[derive(Clone, Debug, Default)]
pub struct Section {
    pub name: &'static str,
    pub kind: u32,
    pub address: u64,
    /// Number of the section that it refers to: the first one has number 1.
    pub link: u32,
    /// Bytes of one entry, of tables.
    pub entry: u64,
    pub bytes: Vec<u8>,
}

/// A file with a segment of code (0x800 of the file is at 0x1000), a segment of notes, and sections.
pub fn file(notes: &[u8], sections: &[Section]) -> Vec<u8> {
    let sections = with_names(sections);
    let count = sections.len() as u64;
    let (headers, notes_at) = (HEADER + 2 * SEGMENT, HEADER + 2 * SEGMENT + count * SECTION);
    let mut file = header(headers, count as u16);
    segment(&mut file, 1, [0x800, 0x1000, 0x500]);
    segment(&mut file, 4, [notes_at, 0, notes.len() as u64]);
    let (mut name, mut at) = (0, notes_at + notes.len() as u64);
    for section in &sections {
        numbers(&mut file, &[name, section.kind]);
        let length = section.bytes.len() as u64;
        words(&mut file, &[0, section.address, at, length]);
        numbers(&mut file, &[section.link, 0]);
        words(&mut file, &[1, section.entry]);
        name += section.name.len() as u32 + 1;
        at += length;
    }
    file.extend(notes);
    file.extend(sections.into_iter().flat_map(|section| section.bytes));
    file
}

/// With the one that every file begins with, and the one of their names at the end.
fn with_names(sections: &[Section]) -> Vec<Section> {
    let mut all = vec![Section::default()];
    all.extend_from_slice(sections);
    all.push(Section {
        name: ".shstrtab",
        kind: STRINGS,
        ..Section::default()
    });
    let names = all.iter().flat_map(|section| section.name.bytes().chain([0])).collect();
    if let Some(last) = all.last_mut() {
        last.bytes = names;
    }
    all
}

fn header(sections_at: u64, sections: u16) -> Vec<u8> {
    let mut header = vec![0; HEADER as usize];
    for (at, bytes) in [
        (0, &b"\x7fELF\x02\x01\x01"[..]),
        (16, &3_u16.to_le_bytes()),
        (18, &62_u16.to_le_bytes()),
        (20, &1_u32.to_le_bytes()),
        (32, &HEADER.to_le_bytes()),
        (40, &sections_at.to_le_bytes()),
        (52, &(HEADER as u16).to_le_bytes()),
        (54, &(SEGMENT as u16).to_le_bytes()),
        (56, &2_u16.to_le_bytes()),
        (58, &(SECTION as u16).to_le_bytes()),
        (60, &sections.to_le_bytes()),
        (62, &(sections - 1).to_le_bytes()),
    ] {
        header[at..at + bytes.len()].copy_from_slice(bytes);
    }
    header
}

/// What it is, and where it lies: in the file, in memory, its bytes.
fn segment(file: &mut Vec<u8>, kind: u32, [offset, address, bytes]: [u64; 3]) {
    numbers(file, &[kind, 5]);
    words(file, &[offset, address, address, bytes, bytes, 4]);
}

fn numbers(file: &mut Vec<u8>, numbers: &[u32]) {
    file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

fn words(file: &mut Vec<u8>, words: &[u64]) {
    file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

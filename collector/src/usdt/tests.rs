use super::*;

/// A library with one segment of code at 0x1000 (0x800 in the file), and these notes.
fn library(notes: &[u8], base: u64) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.note.stapsdt\0.stapsdt.base\0.shstrtab\0";
    let mut file = vec![0; 64];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(18, &62_u16.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(40, &(64_u64 + 56).to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &1_u16.to_le_bytes());
    put(58, &64_u16.to_le_bytes());
    put(60, &3_u16.to_le_bytes());
    put(62, &2_u16.to_le_bytes());
    // A segment: load, executable.
    file.extend([1_u32, 5].into_iter().flat_map(u32::to_le_bytes));
    file.extend(
        [0x800_u64, 0x1000, 0x1000, 0x500, 0x500, 0x1000]
            .into_iter()
            .flat_map(u64::to_le_bytes),
    );
    let data = 64 + 56 + 3 * 64_u64;
    let sections = [
        (1_u32, 0, data, notes.len() as u64),
        (15, base, 0, 1),
        (29, 0, data + notes.len() as u64, NAMES.len() as u64),
    ];
    for (name, address, offset, bytes) in sections {
        file.extend([name, 7].into_iter().flat_map(u32::to_le_bytes));
        file.extend(
            [0, address, offset, bytes, 0, 0, 0]
                .into_iter()
                .flat_map(u64::to_le_bytes),
        );
    }
    file.extend_from_slice(notes);
    file.extend_from_slice(NAMES);
    file
}

fn note_of(pc: u64, semaphore: u64, texts: &str) -> Vec<u8> {
    let mut descriptor: Vec<u8> = [pc, 0x3000, semaphore].into_iter().flat_map(u64::to_le_bytes).collect();
    descriptor.extend_from_slice(texts.as_bytes());
    let mut note: Vec<u8> = [8, descriptor.len() as u32, 3]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    note.extend_from_slice(b"stapsdt\0");
    note.extend_from_slice(&descriptor);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

#[test]
fn a_probe_is_found_where_its_instruction_is_in_the_file() {
    let notes = [
        note_of(0x1234, 0, "hotspot\0vmops__begin\x008@%r12 8@%rdx -4@nowhere\0"),
        note_of(0x1010, 9, "hotspot\0gc__end\0\0"),
        note_of(0x9999, 0, "hotspot\0in__no__code\0\0"),
    ];
    // The library was moved by 0x100 after it was linked.
    let found = probes(library(&notes.concat(), 0x3100).as_slice()).expect("a library");
    let begin = Probe {
        provider: "hotspot".into(),
        name: "vmops__begin".into(),
        offset: 0x800 + 0x334,
        has_semaphore: false,
        arguments: vec![Some(Place::Register(3)), Some(Place::Register(12)), None],
    };
    let end = Probe {
        provider: "hotspot".into(),
        name: "gc__end".into(),
        offset: 0x800 + 0x110,
        has_semaphore: true,
        arguments: Vec::new(),
    };
    assert_eq!(found, [begin, end]);
}

#[test]
fn what_is_cut_short_is_refused() {
    let notes = note_of(0x1234, 0, "hotspot\0vmops__begin\x008@%r12\0");
    let whole = library(&notes, 0x3000);
    assert_eq!(probes(whole.as_slice()).expect("a library").len(), 1);
    for length in 0..whole.len() {
        assert!(probes(&whole[..length]).is_err(), "{length}");
    }
    for length in [1, 11, 19, 30, notes.len() - 9] {
        let found = probes(library(&notes[..length], 0x3000).as_slice());
        assert!(matches!(found, Err(UsdtError::Malformed(_))), "{length}: {found:?}");
    }
}

#[test]
fn sizes_that_nobody_has_take_no_memory() {
    let mut huge = library(&[], 0);
    huge[64 + 56 + 32..64 + 56 + 40].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(probes(huge.as_slice()), Err(UsdtError::Malformed(_))));
    let mut many = library(&[], 0);
    many[60..62].copy_from_slice(&u16::MAX.to_le_bytes());
    assert!(matches!(probes(many.as_slice()), Err(UsdtError::Malformed(_))));
}

#[test]
fn a_library_without_notes_has_no_probes() {
    let own = File::open("/proc/self/exe").expect("this program");
    assert_eq!(probes(&own).expect("an ELF file"), []);
    assert!(probes(b"#!/bin/sh".as_slice()).is_err());
}

//! Notes of libraries: whoever runs a JVM may have put any file in the place of its libjvm.

use plumb_collector::usdt;

/// A library.
pub fn run(bytes: &[u8]) {
    let Ok(probes) = usdt::probes(bytes) else { return };
    assert!(probes.len() <= bytes.len() / 36, "a probe has a note of its own");
    assert!(
        probes.iter().all(|probe| probe.arguments.len() <= 12),
        "no more arguments than there can be"
    );
}

/// A library with three probes.
pub fn seeds() -> Vec<Vec<u8>> {
    let notes = [
        note(0x1234, "hotspot\0vmops__begin\x008@%r12 8@%rdx -4@%eax\0"),
        note(0x1010, "hotspot\0thread__park__end\x008@-144(%rbp)\0"),
        note(0x1020, "hotspot\0gc__begin\x001@$1\0"),
    ];
    vec![library(&notes.concat())]
}

fn note(pc: u64, texts: &str) -> Vec<u8> {
    let numbers = [pc, 0x3000, 0].into_iter().flat_map(u64::to_le_bytes);
    let descriptor: Vec<u8> = numbers.chain(texts.bytes()).collect();
    let head = [8, descriptor.len() as u32, 3].into_iter().flat_map(u32::to_le_bytes);
    let mut note: Vec<u8> = head.chain(*b"stapsdt\0").chain(descriptor).collect();
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// ELF's header, a segment of code, and sections for the notes, their base and the sections' names.
fn library(notes: &[u8]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.note.stapsdt\0.stapsdt.base\0.shstrtab\0";
    let mut file = vec![0; 64];
    for (at, bytes) in [
        (0, &b"\x7fELF\x02\x01"[..]),
        (18, &62_u16.to_le_bytes()),
        (32, &64_u64.to_le_bytes()),
        (40, &120_u64.to_le_bytes()),
        (54, &56_u16.to_le_bytes()),
        (56, &1_u16.to_le_bytes()),
        (58, &64_u16.to_le_bytes()),
        (60, &3_u16.to_le_bytes()),
        (62, &2_u16.to_le_bytes()),
    ] {
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }
    file.extend([1_u32, 5].into_iter().flat_map(u32::to_le_bytes));
    let segment = [0x800_u64, 0x1000, 0x1000, 0x500, 0x500, 0x1000];
    file.extend(segment.into_iter().flat_map(u64::to_le_bytes));
    let (data, length) = (120 + 3 * 64, notes.len() as u64);
    for (name, address, offset, bytes) in [
        (1_u32, 0, data, length),
        (15, 0x3000, 0, 1),
        (29, 0, data + length, NAMES.len() as u64),
    ] {
        file.extend([name, 7].into_iter().flat_map(u32::to_le_bytes));
        let section = [0, address, offset, bytes, 0, 0, 0];
        file.extend(section.into_iter().flat_map(u64::to_le_bytes));
    }
    [file.as_slice(), notes, NAMES].concat()
}

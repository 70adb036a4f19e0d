//! Notes of libraries: whoever runs a JVM may have put any file in the place of its libjvm.

use crate::elf::{self, Section};
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

fn library(notes: &[u8]) -> Vec<u8> {
    let section = |name, address, bytes: &[u8]| Section {
        name,
        kind: elf::NOTES,
        address,
        bytes: bytes.to_vec(),
        ..Section::default()
    };
    elf::file(
        &[],
        &[
            section(".note.stapsdt", 0, notes),
            section(".stapsdt.base", 0x3000, &[0]),
        ],
    )
}

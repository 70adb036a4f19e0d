//! Class files with mistakes: an answer for each, never a panic, never more memory than the input justifies.

use std::fs;

use plumb_agent::classfile::ClassView;
use plumb_agent::rewrite::{MethodInfo, Probes, rewrite, round_trip};

use crate::java;

/// Mutated copies of each class.
const COPIES: usize = 2_000;

#[test]
fn mutated_classes_get_an_answer() {
    let classes = java::compile(&["Behaviour.java", "Classes.java"], &["--release", "17"], "mutated");
    let (mut taken, mut refused) = (0, 0);
    for entry in fs::read_dir(classes).expect("compiled classes") {
        let class = fs::read(entry.expect("entry").path()).expect("class");
        let mut random = Random(class.len() as u64);
        for _ in 0..COPIES {
            match answer(&mutate(&class, &mut random)) {
                true => taken += 1,
                false => refused += 1,
            }
        }
        for end in (0..class.len()).step_by(7) {
            assert!(!answer(&class[..end]), "a class cut at {end} is none");
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(
        taken > 1_000 && refused > 1_000,
        "the mutations reach both ends: {taken} taken, {refused} refused"
    );
}

/// True if the bytes were taken for a class.
fn answer(class: &[u8]) -> bool {
    let mut every = |_: &str, method: &MethodInfo<'_>| Some(method.code_len.wrapping_mul(1_000));
    let rewritten = rewrite(class, &Probes::PLUMB, &mut every);
    if let Ok(Some(rewritten)) = &rewritten {
        // The shortest instruction, a return, grows to seven bytes; a method brings at most a few dozen.
        let bound = 8 * class.len() + 100 * (rewritten.probed.len() + 10);
        assert!(
            rewritten.bytes.len() < bound,
            "{} of {}",
            rewritten.bytes.len(),
            class.len()
        );
        ClassView::parse(&rewritten.bytes).expect("what was written can be read");
    }
    // May refuse: must only not panic.
    let _ = round_trip(class);
    if let Ok(view) = ClassView::parse(class) {
        let _ = view.annotations();
        for method in &view.methods {
            let _ = view.method_annotations(method);
        }
    }
    rewritten.is_ok()
}

/// One to four mistakes: a flipped bit, an extreme number, a piece moved or cut out.
fn mutate(class: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = class.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0..=2 => bytes[at] ^= 1 << random.below(8),
            3 => bytes[at] = [0, 0xff, 0x7f, 0x80][random.below(4)],
            4 => {
                let from = random.below(bytes.len());
                let length = random.below(16).min(bytes.len() - at.max(from));
                bytes.copy_within(from..from + length, at);
            }
            _ => {
                let end = (at + random.below(4)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

/// A small generator of numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

//! Mutations without a guide: what a fuzzer does to its inputs, the same in every run.

/// Numbers that look random and are the same in every run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A row of numbers of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

/// Bytes that often are limits.
const TELLING: [&[u8]; 8] = [
    &[0],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
];

/// A copy of one of the inputs with a few changes, at most `bytes_max` long.
#[must_use]
pub fn mutate(inputs: &[Vec<u8>], bytes_max: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = inputs.get(random.below(inputs.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(4) {
        change(&mut bytes, inputs, random);
    }
    bytes.truncate(bytes_max);
    bytes
}

fn change(bytes: &mut Vec<u8>, inputs: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len());
    let end = (at + 1 + random.below(16)).min(bytes.len());
    match random.below(8) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        2 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
        3 => {
            let telling = TELLING[random.below(TELLING.len())];
            let end = (at + telling.len()).min(bytes.len());
            bytes.splice(at..end, telling.iter().copied());
        }
        4 => drop(bytes.drain(at..end)),
        5 => {
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        6 => bytes.truncate(at),
        _ => {
            let other = &inputs[random.below(inputs.len())];
            let from = random.below(other.len());
            let piece = &other[from..(from + 1 + random.below(32)).min(other.len())];
            bytes.splice(at..end, piece.iter().copied());
        }
    }
}

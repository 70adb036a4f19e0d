//! Compression of what columns give: zstd level 1, or as it is where that is not smaller.

use std::cell::RefCell;
use zstd::bulk::{Compressor, Decompressor};

const LEVEL: i32 = 1;

thread_local! {
    // Contexts cost more to make than a block costs to compress: one for each thread.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends `raw`, compressed, to `out`, and says how many bytes that took: exactly `raw.len()` means that it stands there as it is.
pub(crate) fn pack(raw: &[u8], out: &mut Vec<u8>) -> usize {
    let begin = out.len();
    out.resize(begin + raw.len(), 0);
    // A result that does not fit into `raw.len()` bytes is an error of the compressor's, and no gain.
    let packed = COMPRESSOR.with_borrow_mut(|compressor| {
        if compressor.is_none() {
            *compressor = Compressor::new(LEVEL).ok();
        }
        compressor.as_mut()?.compress_to_buffer(raw, &mut out[begin..]).ok()
    });
    match packed {
        Some(length) if length < raw.len() => {
            out.truncate(begin + length);
            length
        }
        _ => {
            out[begin..].copy_from_slice(raw);
            raw.len()
        }
    }
}

/// The `raw_length` bytes that were packed into `stored`; `None` where they are not that. The caller bounds `raw_length`.
pub(crate) fn unpack(stored: &[u8], raw_length: usize) -> Option<Vec<u8>> {
    if stored.len() == raw_length {
        return Some(stored.to_vec());
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        if decompressor.is_none() {
            *decompressor = Decompressor::new().ok();
        }
        let raw = decompressor.as_mut()?.decompress(stored, raw_length).ok()?;
        (raw.len() == raw_length).then_some(raw)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let noise: Vec<u8> = (0..100u32)
            .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for raw in [vec![], vec![1], vec![0; 10_000], noise] {
            let mut out = vec![9];
            let length = pack(&raw, &mut out);
            assert_eq!(out.len(), 1 + length);
            assert!(length <= raw.len());
            assert_eq!(unpack(&out[1..], raw.len()), Some(raw));
        }
    }

    #[test]
    fn a_wrong_length_is_none() {
        let mut out = Vec::new();
        pack(&[0; 1000], &mut out);
        assert_eq!(unpack(&out, 999), None);
        assert_eq!(unpack(&out, 1001), None);
    }
}

//! Segments of a recording. `segment` takes a file's bytes; `payload` and `kernel-columns` take what lies within, and put the right header before it.

use crate::build;
use plumb_trace::arena::Clock;
use plumb_trace::recording::segment::{decode, encode, header};
use plumb_trace::recording::{Content, Payload, Segment, SegmentHeader};

/// Where a header's fields lie (see the picture in `trace/src/recording/segment.rs`).
mod at {
    pub const CONTENT: usize = 10;
    pub const COUNT: usize = 24;
    pub const RAW_BYTES: usize = 28;
    pub const STORED_BYTES: usize = 56;
    pub const PAYLOAD_CRC: usize = 60;
    pub const HEADER_CRC: usize = 64;
    pub const END: usize = 68;
}

/// Bytes before the payload in an input of `payload`: content, and the number of records.
const PREFIX: usize = 3;

/// A file: its header's checksums are mended where there is a header.
pub fn run_file(bytes: &[u8]) {
    let _ = decode(bytes);
    let mut mended = bytes.to_vec();
    mend(&mut mended);
    let _ = header(&mended);
    check(&mended);
}

/// A payload of the kind that the first byte says.
pub fn run_payload(bytes: &[u8]) {
    if let Some((&[content, low, high], raw)) = bytes.split_first_chunk::<PREFIX>() {
        check(&file(content, u16::from_le_bytes([low, high]), raw));
    }
}

/// A payload of kernel records.
pub fn run_kernel(bytes: &[u8]) {
    if let Some((&[low, high], raw)) = bytes.split_first_chunk::<2>() {
        check(&file(Content::Kernel as u8, u16::from_le_bytes([low, high]), raw));
    }
}

/// What decodes is as many records as the header says, and comes back the same when it is written and read again.
fn check(bytes: &[u8]) {
    let Ok(Segment { header, payload }) = decode(bytes) else {
        return;
    };
    let is_whole = payload.len() == header.count as usize;
    // Definitions of kinds that this version does not know are passed over.
    assert!(
        is_whole || header.content == Content::Definitions,
        "the count of {:?}",
        header.content
    );
    if let Ok(again) = encode(&header, &payload) {
        let again = decode(&again).expect("what was written can be read");
        assert!(
            again.payload == payload,
            "{:?} does not come back the same",
            header.content
        );
    }
}

/// A segment with a payload that is not compressed, checksums right.
fn file(content: u8, count: u16, raw: &[u8]) -> Vec<u8> {
    let mut bytes = blank();
    bytes.truncate(at::END);
    bytes[at::CONTENT] = content;
    bytes[at::COUNT..at::COUNT + 4].copy_from_slice(&u32::from(count).to_le_bytes());
    let length = (raw.len() as u32).to_le_bytes();
    bytes[at::RAW_BYTES..at::RAW_BYTES + 4].copy_from_slice(&length);
    bytes[at::STORED_BYTES..at::STORED_BYTES + 4].copy_from_slice(&length);
    bytes.extend_from_slice(raw);
    mend(&mut bytes);
    bytes
}

/// A good segment without records.
fn blank() -> Vec<u8> {
    let header = SegmentHeader::new(Clock::Monotonic, 1);
    encode(&header, &Payload::Kernel(Vec::new())).unwrap_or_default()
}

/// Makes both checksums right.
fn mend(bytes: &mut [u8]) {
    let Some(stored) = bytes.get(at::END..) else { return };
    let length = u32::from_le_bytes(std::array::from_fn(|index| bytes[at::STORED_BYTES + index])) as usize;
    let payload = crc32fast::hash(stored.get(..length).unwrap_or(stored));
    bytes[at::PAYLOAD_CRC..at::PAYLOAD_CRC + 4].copy_from_slice(&payload.to_le_bytes());
    let header = crc32fast::hash(&bytes[..at::HEADER_CRC]);
    bytes[at::HEADER_CRC..at::END].copy_from_slice(&header.to_le_bytes());
}

/// Good segments of every kind.
pub fn seeds_of_files() -> Vec<Vec<u8>> {
    let header = SegmentHeader::new(Clock::Monotonic, 1);
    let payloads = build::payloads();
    payloads
        .iter()
        .filter_map(|payload| encode(&header, payload).ok())
        .collect()
}

/// What they hold.
pub fn seeds_of_payloads() -> Vec<Vec<u8>> {
    let open = |bytes: Vec<u8>| {
        let header = header(&bytes)?;
        let stored = bytes.get(at::END..)?;
        let raw = match stored.len() == header.raw_bytes as usize {
            true => stored.to_vec(),
            false => zstd::bulk::decompress(stored, header.raw_bytes as usize).ok()?,
        };
        let count = u16::try_from(header.count).ok()?.to_le_bytes();
        Some([&[header.content as u8], &count[..], &raw].concat())
    };
    seeds_of_files().into_iter().filter_map(open).collect()
}

/// Those of kernel records.
pub fn seeds_of_kernel() -> Vec<Vec<u8>> {
    let mut seeds = seeds_of_payloads();
    seeds.retain(|seed| seed.first() == Some(&(Content::Kernel as u8)));
    seeds.into_iter().map(|seed| seed[1..].to_vec()).collect()
}

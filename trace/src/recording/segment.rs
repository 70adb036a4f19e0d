//! A segment: some records of one stream, complete in itself. Header, then payload; little endian.
//!
//! ```text
//! byte  0      8        10       11     12      16   20        24     28         32           40          48         56            60           64          68
//!       magic  version  content  clock  stream  tid  sequence  count  raw_bytes  lost_before  first_time  last_time  stored_bytes  payload_crc  header_crc  payload …
//! ```
//! - `payload_crc` is the CRC-32 of the stored payload, `header_crc` that of the 64 bytes before it: headers can be trusted without reading payloads, so that
//!   an index of a file takes one small read a segment.
//! - The payload is `stored_bytes` long; zstd makes `raw_bytes` of it, or it is raw where the two are equal.
//! - Raw payload by content: kernel and JVM records as columns (`kernel_rows`, `jvm_rows`); definitions each as varint length and bytes
//!   (see [`crate::definition`]); clock pairs as five varints, each the difference to the pair before; samples of counters (`counter_rows`).
//! - A loss with nothing after it is a segment of 0 records with `lost_before` > 0; its times are when it was noticed.

use super::counter_rows::{self, CounterSample};
use super::{jvm_rows, kernel_rows};
use crate::arena::Clock;
use crate::definition::Dated;
use crate::pack;
use crate::record::{JvmRecord, KernelRecord};
use crate::varint;

/// First eight bytes of a segment.
pub const MAGIC: [u8; 8] = *b"PLMBSEG1";
/// Version of the layout.
pub const VERSION: u16 = 4;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 68;
/// Most records in a segment.
pub const RECORDS_MAX: usize = 1 << 20;
/// Most bytes of a raw payload, and of a stored one.
pub const PAYLOAD_MAX: usize = 64 << 20;
/// [`SegmentHeader::lost_before`] where the number of lost records cannot be known.
pub const LOST_UNKNOWN: u64 = u64::MAX;

const HEADER_CRC_AT: usize = 64;

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Content {
    /// Kernel records of one CPU.
    Kernel = 1,
    /// Records of one thread of a JVM.
    Jvm = 2,
    /// Definitions of a JVM or a host.
    Definitions = 3,
    /// Clock pairs.
    Clock = 4,
    /// Samples of counters of a host.
    Counters = 5,
}

impl Content {
    fn from_u8(number: u8) -> Option<Content> {
        let known = [
            Content::Kernel,
            Content::Jvm,
            Content::Definitions,
            Content::Clock,
            Content::Counters,
        ];
        known.into_iter().find(|&content| content as u8 == number)
    }
}

/// One instant on all clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockPair {
    /// Time-stamp counter, ticks (0 on machines without).
    pub tsc: u64,
    /// CLOCK_MONOTONIC, ns.
    pub monotonic_ns: u64,
    /// CLOCK_REALTIME, ns.
    pub realtime_ns: u64,
    /// CLOCK_BOOTTIME, ns.
    pub boottime_ns: u64,
    /// How far `tsc` and `monotonic_ns` may lie apart, ns.
    pub uncertainty_ns: u64,
}

/// The records of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// See [`Content::Kernel`].
    Kernel(Vec<KernelRecord>),
    /// See [`Content::Jvm`].
    Jvm(Vec<JvmRecord>),
    /// See [`Content::Definitions`]. Kinds that this version does not know are left out when reading.
    Definitions(Vec<Dated>),
    /// See [`Content::Clock`].
    Clock(Vec<ClockPair>),
    /// See [`Content::Counters`].
    Counters(Vec<CounterSample>),
}

impl Payload {
    /// What it holds.
    #[must_use]
    pub fn content(&self) -> Content {
        match self {
            Payload::Kernel(_) => Content::Kernel,
            Payload::Jvm(_) => Content::Jvm,
            Payload::Definitions(_) => Content::Definitions,
            Payload::Clock(_) => Content::Clock,
            Payload::Counters(_) => Content::Counters,
        }
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Payload::Kernel(records) => records.len(),
            Payload::Jvm(records) => records.len(),
            Payload::Definitions(records) => records.len(),
            Payload::Clock(records) => records.len(),
            Payload::Counters(records) => records.len(),
        }
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the columns, and gives first and last time, on the stream's clock.
    fn encode(&self, out: &mut Vec<u8>) -> Option<(u64, u64)> {
        match self {
            // In the same pass: they do not fit the nearest cache.
            Payload::Kernel(records) => kernel_rows::encode(records, out),
            Payload::Jvm(records) => {
                jvm_rows::encode(records, out);
                range(records.iter().map(|record| record.ticks))
            }
            Payload::Definitions(records) => {
                encode_definitions(records, out);
                range(records.iter().map(|record| record.at))
            }
            Payload::Clock(records) => {
                encode_clock(records, out);
                range(records.iter().map(|record| record.monotonic_ns))
            }
            Payload::Counters(records) => {
                counter_rows::encode(records, out);
                range(records.iter().map(|record| record.at_ns))
            }
        }
    }

    fn decode(content: Content, raw: &[u8], count: usize) -> Option<Payload> {
        Some(match content {
            Content::Kernel => Payload::Kernel(kernel_rows::decode(raw, count)?),
            Content::Jvm => Payload::Jvm(jvm_rows::decode(raw, count)?),
            Content::Definitions => Payload::Definitions(decode_definitions(raw, count)?),
            Content::Clock => Payload::Clock(decode_clock(raw, count)?),
            Content::Counters => Payload::Counters(counter_rows::decode(raw, count)?),
        })
    }
}

fn range(times: impl Iterator<Item = u64>) -> Option<(u64, u64)> {
    times.fold(None, |range, time| Some(wider(range, time)))
}

/// The range, and this time in it.
pub(super) fn wider(range: Option<(u64, u64)>, time: u64) -> (u64, u64) {
    let (first, last) = range.unwrap_or((time, time));
    (first.min(time), last.max(time))
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// What the segment holds. Set by [`encode`].
    pub content: Content,
    /// Clock of the times.
    pub clock: Clock,
    /// CPU number, a JVM's stream number, or 0.
    pub stream: u32,
    /// Thread that wrote a JVM's stream, as the JVM sees it; else 0.
    pub tid: u32,
    /// Place of the segment in its stream, from 0: a gap is a loss of unknown size.
    pub sequence: u32,
    /// Number of records. Set by [`encode`].
    pub count: u32,
    /// Records lost directly before the first one; [`LOST_UNKNOWN`] where their number cannot be known.
    pub lost_before: u64,
    /// Smallest time. Set by [`encode`] where there is a record.
    pub first_time: u64,
    /// Largest time. Set by [`encode`] where there is a record.
    pub last_time: u64,
    /// Length of the decompressed payload. Set by [`encode`].
    pub raw_bytes: u32,
    /// Length of the payload in the file. Set by [`encode`].
    pub stored_bytes: u32,
}

impl SegmentHeader {
    /// A header to be completed by the caller (tid, sequence, losses) and [`encode`] (the rest).
    #[must_use]
    pub fn new(clock: Clock, stream: u32) -> SegmentHeader {
        SegmentHeader {
            content: Content::Kernel,
            clock,
            stream,
            tid: 0,
            sequence: 0,
            count: 0,
            lost_before: 0,
            first_time: 0,
            last_time: 0,
            raw_bytes: 0,
            stored_bytes: 0,
        }
    }

    /// Bytes of the whole segment.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.stored_bytes)
    }

    fn to_bytes(self, payload_crc: u32) -> [u8; HEADER_BYTES] {
        let Self {
            content,
            clock,
            stream,
            tid,
            sequence,
            count,
            lost_before,
            first_time,
            last_time,
            raw_bytes,
            stored_bytes,
        } = self;
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = content as u8;
        bytes[11] = clock as u32 as u8;
        bytes[12..16].copy_from_slice(&stream.to_le_bytes());
        bytes[16..20].copy_from_slice(&tid.to_le_bytes());
        bytes[20..24].copy_from_slice(&sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&count.to_le_bytes());
        bytes[28..32].copy_from_slice(&raw_bytes.to_le_bytes());
        bytes[32..40].copy_from_slice(&lost_before.to_le_bytes());
        bytes[40..48].copy_from_slice(&first_time.to_le_bytes());
        bytes[48..56].copy_from_slice(&last_time.to_le_bytes());
        bytes[56..60].copy_from_slice(&stored_bytes.to_le_bytes());
        bytes[60..64].copy_from_slice(&payload_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header, and the checksum of the payload that follows it.
    pub(super) fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<(SegmentHeader, u32), &'static str> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if bytes[..8] != MAGIC {
            return Err("no segment begins here");
        }
        if u32_at(HEADER_CRC_AT) != crc32fast::hash(&bytes[..HEADER_CRC_AT]) {
            return Err("the header's checksum is wrong");
        }
        if u16::from_le_bytes([bytes[8], bytes[9]]) != VERSION {
            return Err("the segment is of a version that this plumb does not know");
        }
        let header = SegmentHeader {
            content: Content::from_u8(bytes[10]).ok_or("the segment holds what this plumb does not know")?,
            clock: clock_from_u8(bytes[11]).ok_or("the segment has a clock that this plumb does not know")?,
            stream: u32_at(12),
            tid: u32_at(16),
            sequence: u32_at(20),
            count: u32_at(24),
            raw_bytes: u32_at(28),
            lost_before: u64_at(32),
            first_time: u64_at(40),
            last_time: u64_at(48),
            stored_bytes: u32_at(56),
        };
        header.check_lengths()?;
        Ok((header, u32_at(60)))
    }

    fn check_lengths(&self) -> Result<(), &'static str> {
        let (raw, stored, count) = (self.raw_bytes as usize, self.stored_bytes as usize, self.count as usize);
        if raw > PAYLOAD_MAX || stored > raw || count > RECORDS_MAX || count > raw {
            return Err("the header's lengths cannot be");
        }
        Ok(())
    }
}

fn clock_from_u8(number: u8) -> Option<Clock> {
    [Clock::Monotonic, Clock::Tsc]
        .into_iter()
        .find(|&clock| clock as u32 == u32::from(number))
}

/// A segment that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its header.
    pub header: SegmentHeader,
    /// Its records.
    pub payload: Payload,
}

/// More records than one segment may hold: split them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a segment holds at most {RECORDS_MAX} records and {PAYLOAD_MAX} bytes; write several")]
pub struct TooLong;

/// The bytes of a segment, ready to be appended. What can be known from the payload is filled into the header.
///
/// # Errors
/// [`TooLong`] where the payload passes [`RECORDS_MAX`] or [`PAYLOAD_MAX`].
pub fn encode(header: &SegmentHeader, payload: &Payload) -> Result<Vec<u8>, TooLong> {
    let count = u32::try_from(payload.len()).map_err(|_| TooLong)?;
    let mut raw = Vec::new();
    let times = payload.encode(&mut raw);
    if count as usize > RECORDS_MAX || raw.len() > PAYLOAD_MAX {
        return Err(TooLong);
    }
    let mut bytes = vec![0; HEADER_BYTES];
    let stored = pack::pack(&raw, &mut bytes);
    let (first_time, last_time) = times.unwrap_or((header.first_time, header.last_time));
    let (raw_bytes, stored_bytes) = (raw.len() as u32, stored as u32);
    let header = SegmentHeader {
        content: payload.content(),
        count,
        first_time,
        last_time,
        raw_bytes,
        stored_bytes,
        ..*header
    };
    let crc = crc32fast::hash(&bytes[HEADER_BYTES..]);
    bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes(crc));
    Ok(bytes)
}

/// The header at the front of `bytes`, if there is a good one.
#[must_use]
pub fn header(bytes: &[u8]) -> Option<SegmentHeader> {
    let (header, _) = SegmentHeader::from_bytes(bytes.first_chunk()?).ok()?;
    Some(header)
}

/// Gives an encoded segment another place in its stream: who keeps only the last segments of a stream counts them from 0 again.
///
/// # Errors
/// Why there is no good header at the front of `bytes`.
pub fn renumber(bytes: &mut [u8], sequence: u32) -> Result<(), &'static str> {
    let head = bytes.first_chunk_mut().ok_or("the segment is cut short")?;
    let (header, payload_crc) = SegmentHeader::from_bytes(head)?;
    *head = SegmentHeader { sequence, ..header }.to_bytes(payload_crc);
    Ok(())
}

/// Reads the segment at the front of `bytes`; more bytes may follow it.
///
/// # Errors
/// Why there is no whole and undamaged segment.
pub fn decode(bytes: &[u8]) -> Result<Segment, &'static str> {
    let (head, rest) = bytes.split_first_chunk().ok_or("the segment is cut short")?;
    let (header, crc) = SegmentHeader::from_bytes(head)?;
    decode_payload(
        header,
        crc,
        rest.get(..header.stored_bytes as usize)
            .ok_or("the segment is cut short")?,
    )
}

pub(super) fn decode_payload(header: SegmentHeader, crc: u32, stored: &[u8]) -> Result<Segment, &'static str> {
    if crc32fast::hash(stored) != crc {
        return Err("the payload's checksum is wrong");
    }
    let raw = pack::unpack(stored, header.raw_bytes as usize).ok_or("the payload does not decompress")?;
    let payload = Payload::decode(header.content, &raw, header.count as usize).ok_or("the payload does not decode")?;
    Ok(Segment { header, payload })
}

fn encode_definitions(records: &[Dated], out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    for record in records {
        bytes.clear();
        record.encode(&mut bytes);
        varint::put(out, bytes.len() as u64);
        out.extend_from_slice(&bytes);
    }
}

fn decode_definitions(mut raw: &[u8], count: usize) -> Option<Vec<Dated>> {
    let mut records = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(varint::take(&mut raw)?).ok()?;
        let (bytes, rest) = raw.split_at_checked(length)?;
        raw = rest;
        records.extend(Dated::decode(bytes).ok()?);
    }
    raw.is_empty().then_some(records)
}

fn fields(pair: &mut ClockPair) -> [&mut u64; 5] {
    let ClockPair {
        tsc,
        monotonic_ns,
        realtime_ns,
        boottime_ns,
        uncertainty_ns,
    } = pair;
    [tsc, monotonic_ns, realtime_ns, boottime_ns, uncertainty_ns]
}

fn encode_clock(records: &[ClockPair], out: &mut Vec<u8>) {
    let mut before = ClockPair::default();
    for mut pair in records.iter().copied() {
        for (value, last) in fields(&mut pair).into_iter().zip(fields(&mut before)) {
            varint::put_signed(out, value.wrapping_sub(*last) as i64);
            *last = *value;
        }
    }
}

fn decode_clock(mut raw: &[u8], count: usize) -> Option<Vec<ClockPair>> {
    let mut pair = ClockPair::default();
    let mut records = Vec::new();
    for _ in 0..count {
        for value in fields(&mut pair) {
            *value = value.wrapping_add(varint::take_signed(&mut raw)? as u64);
        }
        records.push(pair);
    }
    raw.is_empty().then_some(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What passes every checksum may still be made up by somebody.
        #[test]
        fn made_up_payloads_are_no_panic(
            columns in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(2), any::<u8>()], 0..30), 11),
            count in 0usize..30,
        ) {
            for content in [Content::Kernel, Content::Jvm, Content::Definitions, Content::Clock, Content::Counters] {
                let columns = if content == Content::Jvm { &columns[..4] } else { &columns[..] };
                let mut raw = Vec::new();
                columns.iter().for_each(|column| varint::put(&mut raw, column.len() as u64));
                raw.extend(columns.concat());
                let _ = Payload::decode(content, &raw, count);
            }
        }
    }
}

//! Recordings: what is written comes back, and what is damaged is told, skipped and never believed.

use plumb_trace::arena::Clock;
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{JvmKind, JvmRecord, KERNEL_RECORD_BYTES, KernelKind, KernelRecord};
use plumb_trace::recording::segment::{HEADER_BYTES, LOST_UNKNOWN, decode, encode, renumber};
use plumb_trace::recording::{
    ClockPair, Content, CounterSample, FileKind, Host, MANIFEST_VERSION, Manifest, Payload, Recording, RecordingError,
    SegmentHeader,
};
use plumb_trace::recording::{SegmentWriter, StreamFile, create_directory};
use proptest::prelude::*;
use std::path::Path;

fn header() -> SegmentHeader {
    SegmentHeader {
        tid: 4711,
        sequence: 3,
        lost_before: LOST_UNKNOWN,
        ..SegmentHeader::new(Clock::Tsc, 9)
    }
}

fn check_round_trip(payload: Payload) {
    let bytes = encode(&header(), &payload).expect("short enough");
    let segment = decode(&bytes).expect("what was encoded decodes");
    assert_eq!(segment.payload, payload);
    let SegmentHeader {
        content,
        clock,
        stream,
        tid,
        sequence,
        count,
        lost_before,
        ..
    } = segment.header;
    assert_eq!((content, count as usize), (payload.content(), payload.len()));
    assert_eq!(
        (clock, stream, tid, sequence, lost_before),
        (Clock::Tsc, 9, 4711, 3, LOST_UNKNOWN)
    );
    assert_eq!(segment.header.segment_bytes(), bytes.len() as u64);
}

fn any_kernel_record() -> impl Strategy<Value = KernelRecord> {
    // Few threads and kinds, so that predictions are met and missed; and any bytes at all.
    let likely = (
        0u64..1000,
        0u8..8,
        any::<u8>(),
        0u32..4,
        0u32..4,
        0u32..3,
        0u64..5000,
        any::<i16>(),
        -1i32..9,
    )
        .prop_map(
            |(time_ns, kind, flags, tid, other_tid, value, charged_ns, syscall, fd)| KernelRecord {
                time_ns,
                kind,
                flags,
                tid,
                other_tid,
                value,
                charged_ns,
                syscall,
                fd,
                ..KernelRecord::default()
            },
        );
    let bytes = prop::array::uniform32(any::<u8>());
    let any = (bytes, bytes, 0u8..9).prop_map(|(low, high, kind)| {
        let mut bytes = [0; KERNEL_RECORD_BYTES];
        bytes[..32].copy_from_slice(&low);
        bytes[32..].copy_from_slice(&high);
        KernelRecord {
            kind,
            ..KernelRecord::from_bytes(&bytes)
        }
    });
    prop_oneof![likely, any]
}

#[test]
fn a_segment_can_be_renumbered() {
    let header = SegmentHeader {
        sequence: 77,
        ..SegmentHeader::new(Clock::Monotonic, 3)
    };
    let mut bytes = encode(&header, &definitions()).expect("short enough");
    renumber(&mut bytes, 2).expect("a segment");
    let segment = decode(&bytes).expect("a segment");
    assert_eq!(
        (segment.header.sequence, segment.header.stream, segment.payload),
        (2, 3, definitions())
    );
    bytes[20] ^= 1;
    assert!(renumber(&mut bytes, 0).is_err() && renumber(&mut bytes[..60], 0).is_err());
}

proptest! {
    #[test]
    fn kernel_records_come_back(records in prop::collection::vec(any_kernel_record(), 0..60)) {
        check_round_trip(Payload::Kernel(records));
    }

    #[test]
    fn jvm_records_come_back(records in prop::collection::vec((any::<u64>(), any::<u64>(), 0u64..12, any::<bool>()), 0..60)) {
        let record = |(ticks, word, kind, likely)| JvmRecord { ticks, word: if likely { kind | (word % 3) << 32 } else { word } };
        check_round_trip(Payload::Jvm(records.into_iter().map(record).collect()));
    }

    #[test]
    fn clock_pairs_come_back(rows in prop::collection::vec(prop::array::uniform5(any::<u64>()), 0..20)) {
        let pair = |[tsc, monotonic_ns, realtime_ns, boottime_ns, uncertainty_ns]: [u64; 5]| ClockPair { tsc, monotonic_ns, realtime_ns, boottime_ns, uncertainty_ns };
        check_round_trip(Payload::Clock(rows.into_iter().map(pair).collect()));
    }

    #[test]
    fn samples_of_counters_come_back(rows in prop::collection::vec((any::<u64>(), 0u32..4, any::<u64>()), 0..60)) {
        let sample = |(at_ns, counter, value): (u64, u32, u64)| CounterSample { at_ns, counter: counter.wrapping_sub(1), value };
        check_round_trip(Payload::Counters(rows.into_iter().map(sample).collect()));
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }
}

fn definitions() -> Payload {
    let class = |id| Dated {
        at: 100 + u64::from(id),
        definition: Definition::Class {
            id,
            name: format!("com.shop.Class{id}"),
        },
    };
    Payload::Definitions((0..10).map(class).collect())
}

fn switches(count: u64) -> Payload {
    let switch = |n: u64| KernelRecord {
        time_ns: 1_000_000 + n * 1500,
        kind: KernelKind::Switch as u8,
        tid: 10 + (n % 3) as u32,
        other_tid: 10 + ((n + 1) % 3) as u32,
        charged_ns: n * 1400,
        ..KernelRecord::default()
    };
    Payload::Kernel((0..count).map(switch).collect())
}

#[test]
fn definitions_come_back() {
    check_round_trip(definitions());
}

#[test]
fn times_of_the_header_are_those_of_the_records() {
    let bytes = encode(&header(), &switches(10)).expect("short enough");
    let header = decode(&bytes).expect("decodes").header;
    assert_eq!((header.first_time, header.last_time), (1_000_000, 1_000_000 + 9 * 1500));
}

#[test]
fn a_loss_without_records_keeps_its_time() {
    let noticed = SegmentHeader {
        first_time: 77,
        last_time: 77,
        lost_before: 12,
        ..header()
    };
    let bytes = encode(&noticed, &Payload::Kernel(Vec::new())).expect("short enough");
    let header = decode(&bytes).expect("decodes").header;
    assert_eq!(
        (header.first_time, header.last_time, header.lost_before, header.count),
        (77, 77, 12, 0)
    );
}

#[test]
fn too_many_records_are_refused() {
    let payload = Payload::Jvm(vec![JvmRecord::new(0, JvmKind::Enter, 0, 1); (1 << 20) + 1]);
    assert!(encode(&header(), &payload).is_err());
}

#[test]
fn every_flipped_byte_and_every_cut_is_an_error() {
    for payload in [switches(40), definitions()] {
        let good = encode(&header(), &payload).expect("short enough");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x41;
            assert!(decode(&bad).is_err(), "byte {at}");
            assert!(decode(&good[..at]).is_err(), "cut at {at}");
        }
    }
}

/// Writes the segments into a file, lets `spoil` change its bytes and gives the file.
fn file_of(dir: &Path, payloads: &[Payload], spoil: impl FnOnce(&mut Vec<u8>)) -> StreamFile {
    let path = dir.join("cpu-0.seg");
    let _ = std::fs::remove_file(&path);
    let mut writer = SegmentWriter::create(&path).expect("a new file");
    for payload in payloads {
        writer
            .append(&encode(&header(), payload).expect("short enough"))
            .expect("room on the disk");
    }
    let mut bytes = std::fs::read(&path).expect("file");
    assert_eq!(bytes.len() as u64, writer.bytes());
    spoil(&mut bytes);
    std::fs::write(&path, &bytes).expect("file");
    StreamFile::open(&path, FileKind::Cpu(0)).expect("opens")
}

fn counts(file: &StreamFile) -> Vec<Result<u32, u64>> {
    file.segments()
        .map(|result| {
            result
                .map(|segment| segment.header.count)
                .map_err(|damage| damage.skipped_bytes)
        })
        .collect()
}

#[test]
fn a_spoilt_segment_costs_only_itself() {
    let dir = tempfile::tempdir().expect("tempdir");
    let payloads = [switches(10), switches(20), switches(30)];
    let lengths: Vec<usize> = payloads
        .iter()
        .map(|payload| encode(&header(), payload).expect("short").len())
        .collect();
    for at in lengths[0]..lengths[0] + lengths[1] {
        let file = file_of(dir.path(), &payloads, |bytes| bytes[at] ^= 0x10);
        assert_eq!(counts(&file), [Ok(10), Err(lengths[1] as u64), Ok(30)], "byte {at}");
    }
}

#[test]
fn a_torn_tail_and_rubbish_between_are_skipped() {
    let dir = tempfile::tempdir().expect("tempdir");
    let payloads = [switches(10), switches(20)];
    let first = encode(&header(), &payloads[0]).expect("short").len();
    let file = file_of(dir.path(), &payloads, |bytes| bytes.truncate(first + HEADER_BYTES + 3));
    assert_eq!(counts(&file), [Ok(10), Err(HEADER_BYTES as u64 + 3)]);
    let rubbish = 200_000;
    let file = file_of(dir.path(), &payloads, |bytes| {
        drop(bytes.splice(first..first, vec![b'P'; rubbish]))
    });
    assert_eq!(counts(&file), [Ok(10), Err(rubbish as u64), Ok(20)]);
    let index = file.index();
    assert_eq!(
        index.entries.iter().map(|entry| entry.header.count).collect::<Vec<_>>(),
        [10, 20]
    );
    assert_eq!(index.damage.len(), 1);
    let last = file.read_at(index.entries[1].offset).expect("reads");
    assert_eq!(
        (last.header.content, last.payload),
        (Content::Kernel, payloads[1].clone())
    );
}

fn manifest() -> Manifest {
    let host = Host {
        name: "h".into(),
        boot_id: "b".into(),
        kernel: "6.18".into(),
        cpus: 2,
        online: vec![0, 1],
        clocksource: "tsc".into(),
    };
    Manifest {
        version: MANIFEST_VERSION,
        plumb_version: "0".into(),
        host,
        started_ns: 5,
        started_realtime_ns: 6,
        ended_ns: None,
        recorder_pid: 7,
        kernel: true,
        kernel_absent: None,
        scope: "system".into(),
        targets: vec![1],
        jvms: Vec::new(),
        groups: Vec::new(),
        units: Vec::new(),
        rules: Vec::new(),
        cut_short: None,
        notes: Vec::new(),
    }
}

#[test]
fn a_recording_opens_with_its_files_in_order() {
    let parent = tempfile::tempdir().expect("tempdir");
    let dir = parent.path().join("r");
    create_directory(&dir).expect("a new directory");
    for kind in [
        FileKind::Jvm { pid: 3, start_ticks: 9 },
        FileKind::Cpu(10),
        FileKind::Cpu(2),
        FileKind::Host,
        FileKind::Clock,
    ] {
        SegmentWriter::create(&dir.join(kind.file_name())).expect("a new file");
    }
    std::fs::write(dir.join("notes.txt"), "mine").expect("file");
    manifest().write(&dir).expect("first time");
    let ended = Manifest {
        ended_ns: Some(9),
        ..manifest()
    };
    ended.write(&dir).expect("again");
    let recording = Recording::open(&dir).expect("opens");
    assert_eq!(recording.manifest, ended);
    let names: Vec<String> = recording.files().iter().map(|file| file.kind.file_name()).collect();
    assert_eq!(
        names,
        ["clock.seg", "host.seg", "cpu-2.seg", "cpu-10.seg", "jvm-3-9.seg"]
    );
}

#[test]
fn only_the_owner_can_read_and_nothing_is_overwritten_or_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let parent = tempfile::tempdir().expect("tempdir");
    let dir = parent.path().join("r");
    create_directory(&dir).expect("a new directory");
    assert_eq!(dir.metadata().expect("metadata").permissions().mode() & 0o777, 0o700);
    assert!(matches!(create_directory(&dir), Err(RecordingError::Exists(_))));
    symlink("nowhere", parent.path().join("link")).expect("link");
    assert!(matches!(
        create_directory(&parent.path().join("link")),
        Err(RecordingError::Exists(_))
    ));
    let writer = SegmentWriter::create(&dir.join("cpu-0.seg")).expect("a new file");
    assert_eq!(
        writer.path().metadata().expect("metadata").permissions().mode() & 0o777,
        0o600
    );
    assert!(SegmentWriter::create(writer.path()).is_err());
    symlink("elsewhere", dir.join("cpu-1.seg")).expect("link");
    assert!(SegmentWriter::create(&dir.join("cpu-1.seg")).is_err());
    manifest().write(&dir).expect("writes");
    assert!(
        Recording::open(&dir).is_err(),
        "a link in place of a stream is not followed"
    );
}

#[test]
fn what_is_no_recording_is_told_with_a_remedy() {
    let dir = tempfile::tempdir().expect("tempdir");
    assert!(matches!(
        Recording::open(dir.path()),
        Err(RecordingError::NoManifest(_))
    ));
    let write = |text: &str| std::fs::write(dir.path().join("manifest.json"), text).expect("file");
    write("{\"version\": 99}");
    assert!(matches!(
        Recording::open(dir.path()),
        Err(RecordingError::Version { found: 99, .. })
    ));
    let alone = format!("{{\"version\": {MANIFEST_VERSION}}}");
    for text in ["", "{", "[]", &alone] {
        write(text);
        let error = Recording::open(dir.path()).expect_err("no manifest");
        assert!(matches!(error, RecordingError::BadManifest { .. }), "{text}");
        assert_eq!(error.to_string().lines().count(), 2, "{error}");
    }
}

//! A JVM's arena on its way through a whole recording. (What the arena's reader makes of all that can be in one: `src/arena/tests.rs`.)

mod common;

use common::{place, segments};
use plumb_collector::{JvmSource, Options, Recorder, proc};
use plumb_trace::arena::*;
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{JvmKind, JvmRecord};
use plumb_trace::recording::{FileKind, Manifest, Payload};
use std::fs::File;
use std::mem::offset_of;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

const BYTES: usize = MIN_BYTES;

/// A sealed arena; it is written through the file, which is the same memory.
fn arena() -> File {
    #[expect(unsafe_code, reason = "memfd_create and fcntl have no safe wrapper here")]
    // SAFETY: the name is a string with its NUL; the descriptor is ours alone; F_ADD_SEALS takes a number.
    let file = unsafe {
        let fd = libc::memfd_create(c"arena".as_ptr(), libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC);
        assert!(fd >= 0);
        let file = File::from_raw_fd(fd);
        file.set_len(BYTES as u64).expect("a size");
        assert_eq!(libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_SHRINK), 0);
        file
    };
    put(&file, offset_of!(Header, magic), &MAGIC.to_le_bytes());
    put(&file, offset_of!(Header, version), &VERSION.to_le_bytes());
    put(&file, offset_of!(Header, clock), &(Clock::Tsc as u32).to_le_bytes());
    put(&file, offset_of!(Header, bytes), &(BYTES as u64).to_le_bytes());
    file
}

fn put(file: &File, at: usize, bytes: &[u8]) {
    file.write_all_at(bytes, at as u64).expect("a write");
}

/// A chunk of records of stream 5, with some lost before it.
fn put_chunk(file: &File, chunk: usize, lost: u64, records: &[JvmRecord]) {
    let at = CHUNKS_AT + chunk * CHUNK_BYTES;
    put(file, at + offset_of!(ChunkHeader, stream), &5u32.to_le_bytes());
    put(file, at + offset_of!(ChunkHeader, tid), &77u32.to_le_bytes());
    put(file, at + offset_of!(ChunkHeader, lost_before), &lost.to_le_bytes());
    for (index, record) in records.iter().enumerate() {
        put(file, at + CHUNK_HEADER_BYTES + index * 16, &record.to_bytes());
    }
    put(
        file,
        at + offset_of!(ChunkHeader, head),
        &(records.len() as u32).to_le_bytes(),
    );
    put(file, STATES_AT + chunk, &[CHUNK_OWNED]);
}

fn source(arena: OwnedFd) -> JvmSource {
    let pid = std::process::id();
    JvmSource {
        pid,
        ns_pid: 3,
        start_ticks: proc::start_ticks(pid).expect("this process"),
        arena,
    }
}

#[test]
fn records_losses_and_definitions_come_into_the_recording() {
    let (_base, dir) = place();
    let arena = arena();
    let records: Vec<JvmRecord> = (0..100)
        .map(|n| JvmRecord::new(1000 + n, JvmKind::Enter, 0, 9))
        .collect();
    put_chunk(&arena, 4, 3, &records);
    let class = Dated {
        at: 1000,
        definition: Definition::Class {
            id: 1,
            name: "com.shop.Cart".into(),
        },
    };
    let mut frame = vec![0; 4];
    class.encode(&mut frame);
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    put(&arena, DEFINITIONS_AT, &frame);
    put(
        &arena,
        offset_of!(Header, definitions_head),
        &(frame.len().next_multiple_of(4) as u64).to_le_bytes(),
    );

    let options = Options {
        dir: dir.clone(),
        kernel_absent: Some("not asked for".into()),
        ..Options::default()
    };
    let mut recorder = Recorder::start(options).unwrap_or_else(|error| panic!("{error}"));
    let jvm = source(arena.into());
    let kind = FileKind::Jvm {
        pid: jvm.pid,
        start_ticks: jvm.start_ticks,
    };
    let twice = source(jvm.arena.try_clone().expect("a descriptor"));
    recorder.add_jvm(jvm).unwrap_or_else(|error| panic!("{error}"));
    assert!(recorder.add_jvm(twice).is_err(), "one arena has one reader");
    let summary = recorder.stop().expect("a recording");

    assert_eq!((summary.counts.jvm_stored, summary.counts.jvm_lost), (100, 3));
    assert_eq!(
        summary.notes.iter().filter(|note| note.contains("damaged")).count(),
        0,
        "{:?}",
        summary.notes
    );
    let manifest = Manifest::read(&dir).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(manifest.jvms.iter().map(|jvm| jvm.ns_pid).collect::<Vec<_>>(), [3]);
    assert!(!manifest.kernel && manifest.ended_ns.is_some());
    let found = segments(&dir, |file| file == kind);
    let of_thread: Vec<_> = found.iter().filter(|segment| segment.header.stream == 5).collect();
    assert_eq!(
        of_thread
            .iter()
            .map(|s| (s.header.tid, s.header.lost_before))
            .collect::<Vec<_>>(),
        [(77, 3)]
    );
    assert_eq!(of_thread[0].payload, Payload::Jvm(records));
    assert!(
        found
            .iter()
            .any(|segment| segment.payload == Payload::Definitions(vec![class.clone()]))
    );
}

#[test]
fn what_is_no_arena_is_refused_and_the_recording_goes_on() {
    let (_base, dir) = place();
    let options = Options {
        dir: dir.clone(),
        ..Options::default()
    };
    let mut recorder = Recorder::start(options).unwrap_or_else(|error| panic!("{error}"));
    let file = File::open("/proc/self/exe").expect("a file");
    let error = recorder.add_jvm(source(file.into())).expect_err("no arena").to_string();
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(error.contains("sealed"), "{error}");
    let summary = recorder.stop().expect("a recording");
    assert_eq!(summary.cut_short, None);
    assert!(Manifest::read(&dir).is_ok_and(|manifest| manifest.jvms.is_empty()));
}

//! Whatever the records say, however the bytes are damaged: every thread's states are contiguous and as long as its life, and nothing panics.

mod support;

use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{JvmKind, JvmRecord, KernelRecord};
use plumb_trace::recording::segment::{LOST_UNKNOWN, SegmentHeader};
use plumb_trace::recording::{FileKind, Payload};
use plumb_trace::timeline::{Query, TimelineFile, TrackId, TrackKind};
use proptest::prelude::*;
use std::path::Path;
use support::{Recorder, Script, header, manifest, merge};

/// A kernel record with small numbers, so that ids meet.
fn kernel_record() -> impl Strategy<Value = (u32, KernelRecord)> {
    let ids = (0u32..6, 0u32..3, 0u32..6, 0u32..3);
    let what = (
        0u8..9,
        any::<u8>(),
        prop_oneof![Just(0u32), Just(1), Just(2), Just(0x80), any::<u32>()],
    );
    let books = (0u64..2_000, 0u64..2_000, 0u16..20, 0u16..20);
    let call = (prop_oneof![Just(202i16), Just(-1), Just(0), Just(24)], 0u8..9);
    (0u32..3, 0u64..100, ids, what, books, call).prop_map(|(cpu, step, ids, what, books, call)| {
        let record = KernelRecord {
            time_ns: step,
            kind: what.0,
            flags: what.1,
            cpu: cpu as u16,
            tid: ids.0,
            pid: ids.1,
            other_tid: ids.2,
            other_pid: ids.3,
            value: what.2,
            charged_ns: books.0,
            other_charged_ns: books.1,
            syscall: call.0,
            fd_kind: call.1,
            nvcsw: books.2,
            nivcsw: books.3,
            ..KernelRecord::default()
        };
        (cpu, record)
    })
}

/// (stream, step, kind, detail, value)
fn jvm_record() -> impl Strategy<Value = (u32, u64, u8, u32, u32)> {
    (0u32..5, 0u64..100, prop_oneof![0u8..27, 40u8..46], 0u32..4, 0u32..4)
}

fn definition() -> impl Strategy<Value = Definition> {
    let thread = (
        0u32..6,
        0u32..3,
        any::<u64>(),
        prop_oneof![Just('S'), Just('R'), Just('T')],
    );
    prop_oneof![
        thread.prop_map(|(tid, pid, start_ns, state)| Definition::Thread {
            tid,
            pid,
            ns_tid: tid,
            start_ns,
            comm: "thread".into(),
            state: state as u32,
            kthread: false
        }),
        (0u32..3, 0u64..3).prop_map(|(pid, start_ticks)| Definition::Process {
            pid,
            ns_pid: pid,
            start_ticks,
            ppid: 1,
            uid: 0,
            comm: "process".into(),
            cmdline: String::new(),
            cgroup: String::new()
        }),
    ]
}

/// Everything that a recording may hold.
#[derive(Debug)]
struct Streams {
    kernel: Vec<(u32, KernelRecord)>,
    jvm: Vec<(u32, u64, u8, u32, u32)>,
    definitions: Vec<Definition>,
    losses: Vec<u8>,
    has_kernel: bool,
    ended: bool,
}

fn streams() -> impl Strategy<Value = Streams> {
    let kernel = prop::collection::vec(kernel_record(), 0..120);
    let jvm = prop::collection::vec(jvm_record(), 0..60);
    let definitions = prop::collection::vec(definition(), 0..10);
    (
        kernel,
        jvm,
        definitions,
        prop::collection::vec(any::<u8>(), 1..10),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(kernel, jvm, definitions, losses, has_kernel, ended)| Streams {
            kernel,
            jvm,
            definitions,
            losses,
            has_kernel,
            ended,
        })
}

/// Writes the streams, some records a segment, with losses here and there. Times mostly grow.
fn record(streams: Streams, dir: &Path) -> Recorder {
    let mut manifest = manifest();
    manifest.kernel = streams.has_kernel;
    manifest.ended_ns = streams.ended.then_some(8_000);
    let mut recorder = Recorder::create(dir, &manifest);
    let mut now = 900;
    let mut losses = streams.losses.into_iter().cycle();
    let mut lost = |head: SegmentHeader| SegmentHeader {
        lost_before: match losses.next() {
            Some(0..5) => LOST_UNKNOWN,
            Some(number @ 5..40) => u64::from(number),
            _ => 0,
        },
        ..head
    };
    for chunk in streams.kernel.chunks(7) {
        for cpu in 0..3 {
            let mut records: Vec<KernelRecord> = chunk
                .iter()
                .filter(|(of, _)| *of == cpu)
                .map(|(_, record)| *record)
                .collect();
            for record in &mut records {
                now += record.time_ns;
                // Every tenth comes early.
                record.time_ns = if now % 10 == 0 { now.saturating_sub(150) } else { now };
            }
            recorder.append(FileKind::Cpu(cpu), lost(header(cpu, 0)), &Payload::Kernel(records));
        }
    }
    let mut now = 950;
    for (stream, step, kind, detail, value) in streams.jvm {
        now += step;
        let word = JvmRecord::pack(JvmKind::Enter, detail, value) & !0xff | u64::from(kind);
        let payload = Payload::Jvm(vec![JvmRecord { ticks: now, word }]);
        let file = FileKind::Jvm { pid: 1, start_ticks: 1 };
        recorder.append(file, lost(header(stream, stream)), &payload);
    }
    let dated = streams.definitions.into_iter().enumerate();
    let dated = dated.map(|(index, definition)| Dated {
        at: 1000 + index as u64 * 300,
        definition,
    });
    recorder.append(FileKind::Host, header(0, 0), &Payload::Definitions(dated.collect()));
    recorder
}

/// What holds of every timeline.
fn check_timeline(timeline: &TimelineFile) {
    let info = timeline.info();
    for (index, track) in timeline.tracks().iter().enumerate() {
        let id = TrackId(index as u32);
        assert!(
            info.from_ns <= track.start_ns && track.start_ns <= track.end_ns && track.end_ns <= info.to_ns,
            "{track:?}"
        );
        let mut until = 0;
        for one in timeline.occupancy(id, 0, u64::MAX).unwrap() {
            assert!(until <= one.start_ns && one.end_ns <= info.to_ns);
            until = one.end_ns;
        }
        for slice in timeline.slices(id, 0, u64::MAX, 0).unwrap() {
            assert!(
                slice.start_ns <= slice.end_ns && slice.end_ns <= info.to_ns,
                "{slice:?}"
            );
        }
        if track.kind != TrackKind::Thread {
            continue;
        }
        let mut at = track.start_ns;
        for interval in timeline.states(id, 0, u64::MAX).unwrap() {
            assert_eq!(interval.start_ns, at, "{track:?}");
            at = interval.end_ns;
        }
        assert_eq!(at, track.end_ns, "{track:?}");
        let totals = timeline.totals(id, 0, u64::MAX).unwrap();
        assert_eq!(totals.states.sum(), track.end_ns - track.start_ns, "{track:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_records_make_a_timeline(streams in streams()) {
        let temp = tempfile::tempdir().unwrap();
        let recorder = record(streams, &temp.path().join("in"));
        let (_, timeline) = merge(&[recorder.dir], &temp.path().join("out.plumb")).unwrap();
        check_timeline(&timeline);
        plumb_merger::export::paraver(&timeline, &temp.path().join("out")).ok();
    }
}

/// Records of calls, tasks and virtual threads: (stream, step, kind, detail, value), with small numbers, so that they meet.
fn task_record() -> impl Strategy<Value = (u32, u64, u8, u32, u32)> {
    let call = (1u8..4, 0u32..2, 1u32..3);
    let task = (40u8..44, 0u32..2, 0u32..4);
    let thread = (prop_oneof![17u8..21, Just(44u8), Just(15u8)], Just(0u32), 1u32..3);
    let what = prop_oneof![3 => call, 4 => task, 1 => thread];
    (1u32..4, 0u64..100, what).prop_map(|(stream, step, (kind, detail, value))| (stream, step, kind, detail, value))
}

fn record_tasks(rows: &[(u32, u64, u8, u32, u32)], dir: &Path) -> Recorder {
    let mut recorder = Recorder::create(dir, &manifest());
    let file = FileKind::Jvm { pid: 1, start_ticks: 1 };
    let methods = [1, 2].into_iter().flat_map(|id| {
        let unit = Definition::Method {
            id,
            class: "Shop".into(),
            name: "serve".into(),
            descriptor: String::new(),
            unit: if id == 1 { "request" } else { "job" }.into(),
        };
        [unit, Definition::HandsOver { id }]
    });
    let methods = methods.map(|definition| Dated { at: 900, definition });
    recorder.append(file, header(0, 0), &Payload::Definitions(methods.collect()));
    let mut now = 1000;
    for &(stream, step, kind, detail, value) in rows {
        now += step;
        let word = JvmRecord::pack(JvmKind::Enter, detail, value) & !0xff | u64::from(kind);
        recorder.append(
            file,
            header(stream, stream),
            &Payload::Jvm(vec![JvmRecord { ticks: now, word }]),
        );
    }
    recorder
}

/// Parts belong to a unit each, end with it, and no thread does two of one unit at once.
fn check_units(timeline: &TimelineFile) {
    let units = timeline.units(0, u64::MAX).unwrap();
    let mut parts = timeline.unit_parts(0, u64::MAX).unwrap();
    for unit in units.iter().filter(|unit| unit.number > 0) {
        assert_eq!(units.iter().filter(|other| other.number == unit.number).count(), 1);
        let ends = parts
            .iter()
            .filter(|part| part.number == unit.number)
            .map(|part| part.end_ns);
        assert_eq!(ends.max(), Some(unit.end_ns), "{unit:?}");
    }
    for part in &parts {
        assert!(
            part.handed_ns <= part.start_ns && part.start_ns <= part.end_ns,
            "{part:?}"
        );
        let unit = units.iter().find(|unit| unit.number == part.number).expect("a unit");
        assert!(
            (unit.name, unit.key) == (part.name, part.key) && unit.start_ns <= part.handed_ns,
            "{part:?}"
        );
    }
    parts.sort_by_key(|part| (part.number, part.track, part.start_ns, part.end_ns));
    for pair in parts.windows(2) {
        let same = (pair[0].number, pair[0].track) == (pair[1].number, pair[1].track);
        assert!(!same || pair[0].end_ns <= pair[1].start_ns, "{pair:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tasks_make_units(rows in prop::collection::vec(task_record(), 0..80)) {
        let temp = tempfile::tempdir().unwrap();
        let recorder = record_tasks(&rows, &temp.path().join("in"));
        let (_, timeline) = merge(&[recorder.dir], &temp.path().join("out.plumb")).unwrap();
        check_timeline(&timeline);
        check_units(&timeline);
    }
}

/// A whole recording, damaged at every 7th byte of each file in turn.
#[test]
fn damaged_bytes_are_losses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(folder.join("pauses.in")).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let dir = Script::parse(&text).record(&temp.path().join("in"), 4).dir;
    let out = temp.path().join("out.plumb");
    let whole = merge(std::slice::from_ref(&dir), &out).unwrap().0.records;
    for file in std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        let good = std::fs::read(&file).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            std::fs::write(&file, &bad).unwrap();
            let (summary, timeline) = merge(std::slice::from_ref(&dir), &out).unwrap();
            check_timeline(&timeline);
            assert!(summary.records < whole, "{}: byte {at}", file.display());
            assert!(
                summary.notes.iter().any(|note| note.contains("damaged")),
                "{:?}",
                summary.notes
            );
            let is_clock = file.file_name().is_some_and(|name| name == "clock.seg");
            assert!(summary.losses > 0 || is_clock, "{}: byte {at}", file.display());
            std::fs::write(&file, &good[..at]).unwrap();
            check_timeline(&merge(std::slice::from_ref(&dir), &out).unwrap().1);
        }
        std::fs::write(&file, &good).unwrap();
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out.plumb");
    let refused = |dirs: &[std::path::PathBuf]| plumb_merger::merge(dirs, &out, &mut |_| {}).unwrap_err().to_string();
    assert!(refused(&[]).contains("no recording"));
    assert!(refused(&[temp.path().to_owned()]).contains("no recording"));
    let (dir, same) = (temp.path().to_owned(), temp.path().join("."));
    assert!(refused(&[dir, same]).contains("twice"));
    assert!(!out.exists());
}

//! What is lost is counted, told where it happened, and nothing else is lost.

mod common;

use common::killed::{record_until_killed, start_recorder};
use common::threads::ping_pong;
use common::{kernel_records, kernel_works, place, start, told_losses};
use plumb_collector::Recorder;
use plumb_trace::record::{KernelKind, KernelRecord};
use plumb_trace::recording::{FileKind, Manifest, Payload, Recording};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

fn is_cpu(kind: FileKind) -> bool {
    matches!(kind, FileKind::Cpu(_))
}

#[test]
fn a_small_ring_loses_and_tells_exactly_what() {
    if !kernel_works("a_small_ring_loses_and_tells_exactly_what") {
        return;
    }
    let (_base, dir) = place();
    // 64 records a CPU: some are lost in any 5 ms of this.
    let recorder = start(&dir, Some(64 * 64));
    ping_pong(20_000);
    let summary = recorder.stop().expect("a recording");
    let counts = summary.counts;
    assert!(counts.kernel_lost > 0, "{counts:?}");
    assert_eq!(told_losses(&dir, is_cpu), counts.kernel_lost);
    assert_eq!(kernel_records(&dir).len() as u64, counts.kernel_stored);
}

/// What a CPU's chain of switches says of the next one: who leaves is who came last. Some machines run no BPF program for process 1 (a sandbox's): its threads are not seen to leave.
fn breaks(running: &mut Option<(u32, u32)>, record: &KernelRecord) -> bool {
    let before = running.replace((record.other_tid, record.other_pid));
    before.is_some_and(|(tid, pid)| tid != record.tid && pid != 1)
}

/// Where a segment tells no loss before it, who leaves a CPU first is who came to it last; a loss may break that chain, and nothing else.
#[test]
fn a_loss_is_told_where_it_happened() {
    if !kernel_works("a_loss_is_told_where_it_happened") {
        return;
    }
    let (_base, dir) = place();
    let recorder = start(&dir, Some(256 * 64));
    ping_pong(20_000);
    recorder.stop().expect("a recording");
    let recording = Recording::open(&dir).unwrap_or_else(|error| panic!("{error}"));
    let (mut broken, mut losses) = (0, 0);
    for file in recording.files().iter().filter(|file| is_cpu(file.kind)) {
        let mut running = None;
        for segment in file.segments().map(Result::unwrap) {
            let Payload::Kernel(records) = segment.payload else {
                panic!("kernel records")
            };
            if segment.header.lost_before > 0 {
                losses += 1;
                running = None;
            }
            for record in records.iter().filter(|record| record.kind == KernelKind::Switch as u8) {
                broken += u32::from(breaks(&mut running, record));
            }
        }
    }
    assert!(losses > 1, "{losses}");
    assert_eq!(broken, 0, "with {losses} losses");
}

#[test]
fn a_large_ring_loses_nothing_and_every_chain_is_whole() {
    if !kernel_works("a_large_ring_loses_nothing_and_every_chain_is_whole") {
        return;
    }
    let (_base, dir) = place();
    let recorder = start(&dir, Some(16 << 20));
    ping_pong(50_000);
    let summary = recorder.stop().expect("a recording");
    assert_eq!((summary.counts.kernel_lost, summary.cut_short), (0, None));
    let records = kernel_records(&dir);
    assert_eq!(records.len() as u64, summary.counts.kernel_stored);
    let mut running = std::collections::HashMap::new();
    for record in records.iter().filter(|record| record.kind == KernelKind::Switch as u8) {
        assert!(!breaks(running.entry(record.cpu).or_default(), record), "{record:?}");
    }
}

#[test]
fn a_storm_of_forks_is_recorded_whole() {
    if !kernel_works("a_storm_of_forks_is_recorded_whole") {
        return;
    }
    const FORKS: usize = 1000;
    let (_base, dir) = place();
    let recorder = start(&dir, None);
    let script = format!("i=0; while [ $i -lt {FORKS} ]; do (:); i=$((i+1)); done");
    let mut shell = Command::new("sh").args(["-c", &script]).spawn().expect("sh");
    let pid = shell.id();
    assert!(shell.wait().expect("its end").success());
    let summary = recorder.stop().expect("a recording");
    assert_eq!(summary.counts.kernel_lost, 0);
    let records = kernel_records(&dir);
    let of_kind = |kind: KernelKind| records.iter().filter(move |record| record.kind == kind as u8);
    let children: std::collections::HashSet<u32> = of_kind(KernelKind::Fork)
        .filter(|record| record.other_pid == pid)
        .map(|record| record.tid)
        .collect();
    assert_eq!(children.len(), FORKS);
    let ended = of_kind(KernelKind::Exit)
        .filter(|record| children.contains(&record.tid))
        .count();
    assert_eq!(ended, FORKS);
}

/// Not a test: the recorder of the next one, in a process of its own that can be killed.
#[test]
fn recorder_to_be_killed() {
    record_until_killed(|| ping_pong(1000));
}

#[test]
fn what_was_drained_survives_the_recorder() {
    if !kernel_works("what_was_drained_survives_the_recorder") {
        return;
    }
    let (_base, dir) = place();
    let mut child = start_recorder(&dir);
    let deadline = Instant::now() + Duration::from_secs(60);
    let bytes = || std::fs::metadata(dir.join("cpu-0.seg")).map_or(0, |file| file.len());
    while bytes() < 20_000 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");

    let manifest = Manifest::read(&dir).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((manifest.ended_ns, manifest.recorder_pid), (None, child.id()));
    let recording = Recording::open(&dir).unwrap_or_else(|error| panic!("{error}"));
    let segments: Vec<_> = recording.files().iter().flat_map(|file| file.segments()).collect();
    // At most the segment that was being written is torn, in each file.
    assert!(segments.iter().filter(|segment| segment.is_err()).count() <= recording.files().len());
    let records: usize = segments.iter().flatten().map(|segment| segment.payload.len()).sum();
    assert!(records > 1000, "{records}");
}

#[test]
fn an_existing_directory_is_left_alone() {
    let (_base, dir) = place();
    std::fs::create_dir(&dir).expect("a directory");
    let options = plumb_collector::Options {
        dir: dir.clone(),
        ..Default::default()
    };
    let error = Recorder::start(options).err().expect("a refusal").to_string();
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(error.contains("exists"), "{error}");
    assert!(dir.is_dir() && dir.read_dir().is_ok_and(|mut entries| entries.next().is_none()));
}

/// A small file system in memory, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<SmallDisk> {
        let at = tempfile::tempdir().expect("a directory");
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(SmallDisk(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_ends_the_recording_and_loses_nothing_untold() {
    if !kernel_works("a_full_disk_ends_the_recording_and_loses_nothing_untold") {
        return;
    }
    let Some(disk) = SmallDisk::mount("1m") else {
        println!("left out: a_full_disk_ends_the_recording_and_loses_nothing_untold: tmpfs cannot be mounted");
        return;
    };
    let dir = disk.0.path().join("recording");
    let recorder = start(&dir, None);
    let deadline = Instant::now() + Duration::from_secs(120);
    while recorder.ended_early().is_none() && Instant::now() < deadline {
        ping_pong(2000);
    }
    ping_pong(2000);
    let summary = recorder.stop().expect("a recording");
    assert!(
        summary.cut_short.as_ref().is_some_and(|why| why.contains("space")),
        "{summary:?}"
    );
    assert!(
        summary.counts.kernel_stored > 0 && summary.counts.kernel_lost > 0,
        "{summary:?}"
    );
    let manifest = Manifest::read(&dir).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(manifest.cut_short, summary.cut_short);
    assert_eq!(kernel_records(&dir).len() as u64, summary.counts.kernel_stored);
    assert_eq!(told_losses(&dir, is_cpu), summary.counts.kernel_lost);
}

#[test]
fn a_disk_too_small_to_begin_is_refused() {
    let Some(disk) = SmallDisk::mount("64k") else {
        println!("left out: a_disk_too_small_to_begin_is_refused: tmpfs cannot be mounted");
        return;
    };
    let dir = disk.0.path().join("recording");
    let options = plumb_collector::Options {
        dir: dir.clone(),
        ..Default::default()
    };
    let error = Recorder::start(options).err().expect("a refusal").to_string();
    assert!(error.contains("space"), "{error}");
    assert!(!dir.exists(), "nothing is left behind");
}

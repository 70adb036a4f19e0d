//! Damaged, cut and hostile files: an error that names the file, or the right answer; never a panic.

use super::model::{timeline, track};
use plumb_trace::State;
use plumb_trace::timeline::{
    Cause, Occupancy, Query, Slice, StateInterval, StringId, TimelineError, TimelineFile, TimelineWriter, TrackId,
    TrackKind, format,
};
use std::path::Path;

fn fill(writer: &mut TimelineWriter) {
    let states = [State::Running, State::Ready, State::Park];
    for at in 0..1100u64 {
        let interval = StateInterval {
            start_ns: at * 100,
            end_ns: at * 100 + 100,
            state: states[at as usize % 3],
            cpu: Some((at % 2) as u16),
            stolen_ns: 0,
            peer: Some(TrackId(0)),
            cause: Cause::Woken,
            involuntary: at % 5 == 0,
        };
        writer.state(TrackId(0), &interval).expect("in order");
    }
    let name = writer.string("method");
    for at in 0..10u64 {
        let slice = Slice {
            start_ns: at * 9000,
            end_ns: at * 9900,
            name,
            depth: 0,
            thrown: false,
            open_start: false,
            open_end: false,
        };
        writer.slice(TrackId(0), &slice).expect("in order");
    }
}

/// With what has levels of detail besides states: a CPU and a counter.
fn fill_levels(writer: &mut TimelineWriter) {
    let cpu = writer.add_track(track(TrackKind::Cpu, "cpu 0"));
    let unit = writer.string("ns");
    let counter = writer.add_track(track(TrackKind::Counter { unit }, "steal"));
    for at in 0..1100u64 {
        let occupancy = Occupancy {
            start_ns: at * 100,
            end_ns: at * 100 + 90 + at % 11,
            track: (at % 3 > 0).then_some(TrackId(at as u32 % 2)),
        };
        writer.occupancy(cpu, &occupancy).expect("in order");
        writer
            .counter(counter, at * 100, (at % 13) as i64 - 6)
            .expect("in order");
    }
}

/// All that a file with levels answers, or the first error.
fn level_answers(file: &TimelineFile) -> Result<String, TimelineError> {
    let (cpu, counter) = (TrackId(1), TrackId(2));
    let mut said = format!("{:?}", file.occupancy(cpu, 0, u64::MAX)?);
    for resolution_ns in [0, 512, 4096, 1 << 20] {
        said += &format!("{:?}", file.coarse_occupancy(cpu, 0, u64::MAX, resolution_ns)?);
        said += &format!("{:?}", file.counters(counter, 0, u64::MAX, resolution_ns)?);
    }
    Ok(said)
}

/// All that a file answers, or the first error.
fn answers(file: &TimelineFile) -> Result<String, TimelineError> {
    let track = TrackId(0);
    Ok(format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {} {:?} {:?} {:?}",
        file.info(),
        file.tracks(),
        file.states(track, 0, u64::MAX)?,
        file.coarse_states(track, 0, u64::MAX, 4096)?,
        file.totals(track, 5050, 77_777)?,
        file.slices(track, 0, u64::MAX, 0)?,
        file.string(StringId(1)),
        file.occupancy(track, 0, u64::MAX)?,
        file.units(0, u64::MAX)?,
        file.unit_parts(0, u64::MAX)?,
    ))
}

fn check_names_file(error: &TimelineError, path: &Path) {
    let text = error.to_string();
    assert!(text.contains(path.to_str().expect("a name")), "{text}");
    assert_eq!(text.lines().count(), 2, "a cause and a remedy: {text}");
}

/// Flips every byte of a file, and gives how many of them nobody sees.
fn harmless_flips(fill: fn(&mut TimelineWriter), answers: fn(&TimelineFile) -> Result<String, TimelineError>) -> f64 {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("t.plumb");
    let good = answers(&timeline(&path, 1, fill)).expect("undamaged");
    let bytes = std::fs::read(&path).expect("file");
    let bad_path = dir.path().join("bad.plumb");
    let mut harmless = 0;
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x41;
        std::fs::write(&bad_path, &bad).expect("file");
        match TimelineFile::open(&bad_path).and_then(|file| answers(&file)) {
            Ok(answer) => {
                assert_eq!(answer, good, "byte {at}");
                harmless += 1;
            }
            Err(error) => check_names_file(&error, &bad_path),
        }
    }
    f64::from(harmless) / bytes.len() as f64
}

#[test]
fn every_flipped_byte_is_an_error_or_changes_nothing() {
    // The header's four spare bytes, and levels of the pyramid that were not asked for.
    for share in [
        harmless_flips(fill, answers),
        harmless_flips(fill_levels, level_answers),
    ] {
        assert!(share < 0.25, "{share} of the flips went unseen");
    }
}

#[test]
fn a_damaged_block_leaves_the_rest_readable() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("t.plumb");
    timeline(&path, 1, fill);
    let mut bytes = std::fs::read(&path).expect("file");
    // The first block follows the header: the states of the first 512 intervals.
    bytes[16 + 40] ^= 1;
    std::fs::write(&path, &bytes).expect("file");
    let file = TimelineFile::open(&path).expect("tables are whole");
    assert!(matches!(
        file.states(TrackId(0), 0, 100),
        Err(TimelineError::Damaged { offset: 16, .. })
    ));
    assert_eq!(file.states(TrackId(0), 60_000, 60_100).expect("another block").len(), 1);
}

#[test]
fn a_file_cut_anywhere_is_incomplete() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("t.plumb");
    timeline(&path, 1, fill);
    let bytes = std::fs::read(&path).expect("file");
    for length in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        std::fs::write(&path, &bytes[..length]).expect("file");
        let error = TimelineFile::open(&path).expect_err("cut");
        if length < 16 {
            assert!(matches!(error, TimelineError::NotATimeline(_)), "{length}: {error}");
        } else {
            assert!(matches!(error, TimelineError::Incomplete(_)), "{length}: {error}");
        }
        check_names_file(&error, &path);
    }
}

#[test]
fn what_is_no_timeline_is_told() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("t.plumb");
    assert!(matches!(TimelineFile::open(&path), Err(TimelineError::Io { .. })));
    assert!(matches!(TimelineFile::open(dir.path()), Err(TimelineError::Io { .. })));
    std::fs::write(&path, vec![b'x'; 5000]).expect("file");
    assert!(matches!(TimelineFile::open(&path), Err(TimelineError::NotATimeline(_))));
}

#[test]
fn a_timeline_of_another_version_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("t.plumb");
    timeline(&path, 1, fill);
    let whole = std::fs::read(&path).expect("file");
    for version in [1, format::VERSION + 1, u32::MAX] {
        let mut other = whole.clone();
        other[8..12].copy_from_slice(&version.to_le_bytes());
        std::fs::write(&path, other).expect("file");
        let error = TimelineFile::open(&path).expect_err("another version");
        assert!(
            matches!(error, TimelineError::Version { found, .. } if found == version),
            "{error}"
        );
        assert!(error.to_string().contains("merge the recording again"), "{error}");
        check_names_file(&error, &path);
    }
}

#[test]
fn an_unfinished_writer_leaves_nothing_and_a_finished_one_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("t.plumb");
    drop(TimelineWriter::create(&path).expect("a new file"));
    assert_eq!(std::fs::read_dir(dir.path()).expect("directory").count(), 0);
    timeline(&path, 1, fill);
    assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).expect("directory").count(), 1);
}

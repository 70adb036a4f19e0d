//! A timeline's file: every checksum is made right before it is opened, then every question is asked.

use crate::build;
use plumb_trace::timeline::format::{
    ENTRY_BYTES, EXTENT_BYTES, Entry, Extent, HEIGHT_MAX, SEQUENCE_BYTES, Sequence, TAIL_BYTES, Tail,
};
use plumb_trace::timeline::{Query, TimelineError, TimelineFile, TrackId};
use std::cell::OnceCell;
use std::ops::Range;
use tempfile::TempDir;

/// Tracks that are asked, and pieces of a file whose checksums are mended, at the most: more tell nothing new.
const TRACKS_MAX: u32 = 12;
const PIECES_MAX: usize = 4096;
/// Where an extent holds its checksum, and an entry its extent.
const CRC_IN_EXTENT: Range<usize> = 16..20;
const ROOT_IN_SEQUENCE: usize = SEQUENCE_BYTES - ENTRY_BYTES;
/// Where the tail holds its checksum and what it points to.
const CRC_IN_TAIL: Range<usize> = 12..16;
const META_IN_TAIL: usize = 24;
const STRINGS_IN_TAIL: usize = META_IN_TAIL + EXTENT_BYTES;
const UNITS_IN_TAIL: usize = STRINGS_IN_TAIL + EXTENT_BYTES;
const STACKS_IN_TAIL: usize = UNITS_IN_TAIL + EXTENT_BYTES;

thread_local! {
    static DIR: OnceCell<Option<TempDir>> = const { OnceCell::new() };
}

/// Opens the bytes as a timeline, as they are and mended, and asks.
pub fn run(bytes: &[u8]) {
    DIR.with(|dir| {
        let Some(dir) = dir.get_or_init(|| tempfile::tempdir().ok()) else {
            return;
        };
        let path = dir.path().join("fuzz.plumb");
        let mut mended = bytes.to_vec();
        mend(&mut mended);
        // A file of its own each time: the one before may still be mapped.
        if std::fs::remove_file(&path).is_err() && path.exists() {
            return;
        }
        if std::fs::write(&path, &mended).is_err() {
            return;
        }
        if let Ok(file) = TimelineFile::open(&path) {
            // Damage is a fine answer.
            let _ = ask(&file);
        }
    });
}

/// Every question at several windows; answers have to be within what was asked.
fn ask(file: &TimelineFile) -> Result<(), TimelineError> {
    let info = file.info();
    let (from_ns, to_ns) = (info.from_ns, info.to_ns);
    let middle_ns = from_ns / 2 + to_ns / 2;
    let windows = [
        (from_ns, to_ns),
        (0, u64::MAX),
        (middle_ns, middle_ns.saturating_add(1)),
        (to_ns, from_ns),
    ];
    let mut worst = Ok(());
    for track in (0..file.tracks().len() as u32).take(TRACKS_MAX as usize).map(TrackId) {
        for window in windows {
            worst = ask_track(file, track, window).and(worst);
        }
    }
    for (from_ns, to_ns) in windows {
        let units = file.units(from_ns, to_ns)?;
        let _ = file.unit_parts(from_ns, to_ns)?;
        assert!(
            units.is_sorted_by_key(|unit| unit.end_ns),
            "units are in order of their ends"
        );
    }
    worst
}

fn ask_track(file: &TimelineFile, track: TrackId, (from_ns, to_ns): (u64, u64)) -> Result<(), TimelineError> {
    let states = file.states(track, from_ns, to_ns)?;
    assert!(
        states
            .iter()
            .all(|state| state.start_ns < to_ns && state.end_ns > from_ns),
        "states overlap the window"
    );
    let totals = file.totals(track, from_ns, to_ns)?;
    let _ = totals.states.sum();
    for resolution_ns in [1, 1 << 22, u64::MAX / 2] {
        let coarse = file.coarse_states(track, from_ns, to_ns, resolution_ns)?;
        assert!(
            coarse.iter().all(|state| state.start_ns < state.end_ns),
            "no stretch is empty"
        );
        let busy = file.coarse_occupancy(track, from_ns, to_ns, resolution_ns)?;
        assert!(
            busy.iter().all(|each| each.track.is_some() == (each.busy > 0)),
            "who is busy has a name"
        );
        let _ = file.counters(track, from_ns, to_ns, resolution_ns)?;
    }
    let _ = file.counters(track, from_ns, to_ns, 0)?;
    let _ = file.occupancy(track, from_ns, to_ns)?;
    let _ = file.coarse_widths(track)?;
    for sleep in file.sleeps(track, from_ns, to_ns)? {
        let _ = [sleep.stack, sleep.waker_stack, sleep.java_stack].map(|stack| file.stack(stack));
    }
    let slices = file.slices(track, from_ns, to_ns, 1)?;
    assert!(
        slices.iter().all(|slice| slice.end_ns > slice.start_ns),
        "slices of 1 ns and more"
    );
    Ok(())
}

/// Makes every checksum right that can be reached from the tail.
fn mend(bytes: &mut [u8]) {
    let Some(at) = bytes.len().checked_sub(TAIL_BYTES) else {
        return;
    };
    let mut pieces_left = PIECES_MAX;
    let length = bytes.len() as u64;
    bytes[at + 16..at + 24].copy_from_slice(&length.to_le_bytes());
    mend_tail(bytes, at);
    let Some(tail) = tail(bytes, at) else { return };
    for track in 0..u64::from(tail.track_count).min(64) {
        if let Ok(place) = usize::try_from(tail.tracks_at.saturating_add(track * EXTENT_BYTES as u64)) {
            mend_list(bytes, place, &mut pieces_left);
        }
    }
    mend_list(bytes, at + UNITS_IN_TAIL, &mut pieces_left);
    mend_extent(bytes, at + META_IN_TAIL);
    mend_extent(bytes, at + STRINGS_IN_TAIL);
    mend_extent(bytes, at + STACKS_IN_TAIL);
    mend_tail(bytes, at);
}

fn tail(bytes: &[u8], at: usize) -> Option<Tail> {
    Tail::from_bytes(bytes.get(at..)?.first_chunk()?).ok().flatten()
}

fn mend_tail(bytes: &mut [u8], at: usize) {
    bytes[at + CRC_IN_TAIL.start..at + CRC_IN_TAIL.end].fill(0);
    let crc = crc32fast::hash(&bytes[at..]);
    bytes[at + CRC_IN_TAIL.start..at + CRC_IN_TAIL.end].copy_from_slice(&crc.to_le_bytes());
}

/// The checksum of the extent that stands at a place.
fn mend_extent(bytes: &mut [u8], place: usize) {
    let Some((_, stored)) = extent_at(bytes, place) else {
        return;
    };
    let crc = crc32fast::hash(&bytes[stored]);
    bytes[place + CRC_IN_EXTENT.start..place + CRC_IN_EXTENT.end].copy_from_slice(&crc.to_le_bytes());
}

/// The extent at a place, and the bytes that it points to.
fn extent_at(bytes: &[u8], place: usize) -> Option<(Extent, Range<usize>)> {
    let extent = Extent::from_bytes(bytes.get(place..place.checked_add(EXTENT_BYTES)?)?)?;
    let begin = usize::try_from(extent.offset).ok()?;
    let range = begin..begin.checked_add(extent.stored_bytes as usize)?;
    bytes.get(range.clone()).map(|_| (extent, range))
}

/// The list of sequences that the extent at a place points to, and all below.
fn mend_list(bytes: &mut [u8], place: usize, pieces_left: &mut usize) {
    let Some((_, list)) = extent_at(bytes, place) else {
        return;
    };
    for at in list.clone().step_by(SEQUENCE_BYTES) {
        let sequence = bytes.get(at..at + SEQUENCE_BYTES).and_then(Sequence::list_from_bytes);
        if let Some(height) = sequence.and_then(|found| Some(found.first()?.height)) {
            mend_tree(bytes, at + ROOT_IN_SEQUENCE, height.min(HEIGHT_MAX), pieces_left);
        }
    }
    mend_extent(bytes, place);
}

/// The tree whose root's entry stands at a place: children first.
fn mend_tree(bytes: &mut [u8], place: usize, height: u8, pieces_left: &mut usize) {
    let Some(left) = pieces_left.checked_sub(1) else { return };
    *pieces_left = left;
    if height > 0
        && let Some((_, node)) = extent_at(bytes, place)
        && bytes.get(node.clone()).and_then(Entry::node_from_bytes).is_some()
    {
        for at in node.step_by(ENTRY_BYTES) {
            mend_tree(bytes, at, height - 1, pieces_left);
        }
    }
    mend_extent(bytes, place);
}

/// Small timelines; their tables are not compressed, so that mutations get at them.
pub fn seeds() -> Vec<Vec<u8>> {
    [0, 1, 3, 12].into_iter().filter_map(seed).collect()
}

fn seed(turns: u64) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().ok()?;
    let path = dir.path().join("seed.plumb");
    build::timeline(&path, turns).ok()?;
    let bytes = std::fs::read(&path).ok()?;
    let at = bytes.len().checked_sub(TAIL_BYTES)?;
    let mut tail = tail(&bytes, at)?;
    let mut plain = bytes[..at].to_vec();
    for extent in [&mut tail.meta, &mut tail.strings, &mut tail.stacks] {
        let raw = unpacked(&bytes, *extent)?;
        *extent = Extent {
            offset: plain.len() as u64,
            stored_bytes: raw.len() as u32,
            raw_bytes: raw.len() as u32,
            crc: crc32fast::hash(&raw),
        };
        plain.extend_from_slice(&raw);
    }
    tail.file_bytes = (plain.len() + TAIL_BYTES) as u64;
    plain.extend_from_slice(&tail.to_bytes());
    Some(plain)
}

fn unpacked(bytes: &[u8], extent: Extent) -> Option<Vec<u8>> {
    let begin = extent.offset as usize;
    let stored = bytes.get(begin..begin + extent.stored_bytes as usize)?;
    if extent.stored_bytes == extent.raw_bytes {
        return Some(stored.to_vec());
    }
    zstd::bulk::decompress(stored, extent.raw_bytes as usize).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_open_and_mending_leaves_them_as_they_are() {
        let all = seeds();
        assert_eq!(all.len(), 4);
        for seed in all {
            let mut mended = seed.clone();
            mend(&mut mended);
            assert!(mended == seed, "a good file has good checksums");
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("seed.plumb");
            std::fs::write(&path, &seed).expect("it can be written");
            ask(&TimelineFile::open(&path).expect("it opens")).expect("it answers");
        }
    }

    #[test]
    fn a_flipped_bit_is_mended() {
        let mut seed = seeds().pop().expect("a seed");
        let before = seed.clone();
        // Within the first block.
        seed[40] ^= 1;
        mend(&mut seed);
        assert!(seed != before);
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("seed.plumb");
        std::fs::write(&path, &seed).expect("it can be written");
        let file = TimelineFile::open(&path).expect("it opens");
        let told = ask(&file).map_err(|error| error.to_string());
        assert!(
            !told.is_err_and(|error| error.contains("checksum")),
            "no checksum is wrong"
        );
    }
}

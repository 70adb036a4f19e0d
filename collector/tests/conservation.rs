//! Produced = stored + lost, against a book that somebody else keeps: a second recorder, whose rings are large enough for everything, sees the same events.

mod common;

use common::threads::ping_pong;
use common::{kernel_works, place, start};
use plumb_trace::record::{KernelKind, KernelRecord};
use plumb_trace::recording::{FileKind, Payload, Recording};
use std::path::Path;

/// What a CPU's file tells, in its order: how many were lost before a record, and the record.
type Told = Vec<(u64, KernelRecord)>;

fn told(dir: &Path, cpu: u32) -> Told {
    let recording = Recording::open(dir).unwrap_or_else(|error| panic!("{error}"));
    let file = recording.files().iter().find(|file| file.kind == FileKind::Cpu(cpu));
    let (mut told, mut lost) = (Told::new(), 0);
    for segment in file.expect("a file of each CPU").segments() {
        let segment = segment.unwrap_or_else(|damage| panic!("{damage:?}"));
        lost += segment.header.lost_before;
        if let Payload::Kernel(records) = segment.payload {
            for record in records {
                told.push((std::mem::take(&mut lost), record));
            }
        }
    }
    told
}

/// What tells a switch from all others. Each recorder reads the clock by itself, so their times differ.
fn switch(record: &KernelRecord) -> Option<(u32, u32, u64, u64, u16)> {
    let is_switch = record.kind == KernelKind::Switch as u8;
    is_switch.then_some((
        record.tid,
        record.other_tid,
        record.charged_ns,
        record.other_charged_ns,
        record.nvcsw,
    ))
}

/// How far a record may be from where the losses before it put it. A program that finds the ring full in the very moment in which the reader makes room counts a moment later: that
/// loss is told with those of the next time that the ring is full. Places are counted from the first record on, so nothing adds up.
const NEAR: usize = 2;

/// Where each stored switch of the small recorder must be in the whole book, if its losses are right. Returns how many switches came after a loss.
fn check(small: &Told, whole: &Told, cpu: u32) -> usize {
    let Some(first) = small.iter().position(|(_, record)| switch(record).is_some()) else {
        return 0;
    };
    let key = switch(&small[first].1);
    let mut places = whole
        .iter()
        .enumerate()
        .filter(|(_, (_, record))| switch(record) == key);
    let mut at = places.next().expect("the other recorder has seen it").0;
    assert!(places.next().is_none(), "{key:?} does not tell one switch");
    let (mut after_losses, mut lost_since_switch) = (0, false);
    for (lost, record) in &small[first + 1..] {
        at += 1 + *lost as usize;
        lost_since_switch |= *lost > 0;
        if switch(record).is_none() {
            continue;
        }
        let near = at.saturating_sub(NEAR)..(at + NEAR + 1).min(whole.len());
        let seen: Vec<_> = whole
            .get(near)
            .unwrap_or_default()
            .iter()
            .map(|(_, record)| switch(record))
            .collect();
        let stored = switch(record);
        assert!(
            seen.contains(&stored),
            "CPU {cpu}: record {at} of all is not {stored:?}, nor one beside it: {seen:?}"
        );
        after_losses += usize::from(std::mem::take(&mut lost_since_switch));
    }
    after_losses
}

#[test]
fn every_event_that_a_small_ring_lost_is_counted_where_it_was() {
    if !kernel_works("every_event_that_a_small_ring_lost_is_counted_where_it_was") {
        return;
    }
    let (_base, dir) = place();
    let (_small_base, small_dir) = place();
    let whole = start(&dir, Some(32 << 20));
    // 64 records a CPU.
    let small = start(&small_dir, Some(64 * 64));
    ping_pong(20_000);
    let small = small.stop().expect("a recording");
    let whole = whole.stop().expect("a recording");
    assert_eq!(whole.counts.kernel_lost, 0);
    assert!(small.counts.kernel_lost > 0, "{small:?}");
    // Events that a program could not see because it ran already are told as a note, and belong to no place.
    let mut notes = small.notes.iter().chain(&whole.notes);
    assert!(!notes.any(|note| note.contains("while the program for them was running")));
    let recording = Recording::open(&small_dir).unwrap_or_else(|error| panic!("{error}"));
    let mut after_losses = 0;
    for file in recording.files() {
        if let FileKind::Cpu(cpu) = file.kind {
            after_losses += check(&told(&small_dir, cpu), &told(&dir, cpu), cpu);
        }
    }
    assert!(after_losses > 2, "{after_losses}");
}

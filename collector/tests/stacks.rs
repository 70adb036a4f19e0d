//! Stacks: what is told of them is whole, whatever the rings hold, and those that find no room are counted and not made up.

mod common;

use common::threads::ping_pong;
use common::{definitions, kernel_options, kernel_records, kernel_works, place, told_losses};
use plumb_collector::{Extras, Recorder, Scope, Stacks, Summary};
use plumb_trace::definition::Definition;
use plumb_trace::record::{KernelKind, KernelRecord, stack_flags};
use plumb_trace::recording::FileKind;
use std::collections::HashMap;
use std::path::Path;

fn record(dir: &Path, ring_bytes: Option<usize>, rounds: usize) -> Summary {
    let mut options = kernel_options(dir, Scope::System, ring_bytes);
    if let Some(kernel) = &mut options.kernel {
        kernel.extras = Extras {
            stacks: Stacks {
                block: true,
                wakeup: true,
            },
            ..Extras::default()
        };
    }
    let recorder = Recorder::start(options).unwrap_or_else(|error| panic!("{error}"));
    ping_pong(rounds);
    recorder.stop().expect("a recording")
}

/// Frames by the number of the stack; defined again, a stack is the same.
fn stacks(dir: &Path) -> HashMap<u64, Vec<u32>> {
    let mut stacks = HashMap::new();
    for dated in definitions(dir) {
        if let Definition::Stack { id, frames } = dated.definition {
            assert!(!frames.is_empty());
            stacks.insert(id, frames);
        }
    }
    stacks
}

fn referring(records: &[KernelRecord]) -> impl Iterator<Item = &KernelRecord> {
    records.iter().filter(|record| record.kind == KernelKind::Stack as u8)
}

#[test]
fn every_stack_that_was_told_has_frames_and_records_add_up() {
    if !kernel_works("every_stack_that_was_told_has_frames_and_records_add_up") {
        return;
    }
    let (_base, dir) = place();
    let summary = record(&dir, None, 200);
    assert_eq!(summary.counts.kernel_lost, 0);
    let (records, stacks) = (kernel_records(&dir), stacks(&dir));
    let mut found = 0;
    for record in referring(&records) {
        assert_eq!(
            record.flags & stack_flags::PART,
            0,
            "parts became definitions: {record:?}"
        );
        if record.flags & stack_flags::UNTOLD == 0 {
            for number in [record.charged_ns, record.other_charged_ns] {
                assert!(number == 0 || stacks.contains_key(&number), "{record:?}");
            }
            found += 1;
        }
    }
    assert!(found > 100, "{found}");
    // A stack's record stands right before what it is of.
    let told: u64 = referring(&records)
        .map(|record| {
            let [kernel, user, ..] = record.value.to_le_bytes();
            u64::from(kernel.div_ceil(6)) + u64::from(user.div_ceil(6))
        })
        .sum();
    assert_eq!(records.len() as u64 + told, summary.counts.kernel_stored);
}

#[test]
fn in_a_small_ring_none_is_made_up() {
    if !kernel_works("in_a_small_ring_none_is_made_up") {
        return;
    }
    let (_base, dir) = place();
    let summary = record(&dir, Some(64 * 64), 20_000);
    let counts = summary.counts;
    assert!(counts.kernel_lost > 0, "{counts:?}");
    assert_eq!(
        told_losses(&dir, |kind| matches!(kind, FileKind::Cpu(_))),
        counts.kernel_lost
    );
    let (records, stacks) = (kernel_records(&dir), stacks(&dir));
    for record in referring(&records).filter(|record| record.value != 0) {
        let numbers = [record.charged_ns, record.other_charged_ns];
        let [kernel, user, ..] = record.value.to_le_bytes();
        for (number, count) in numbers.into_iter().zip([kernel, user]) {
            assert!(count == 0 || stacks.contains_key(&number), "{record:?}");
        }
    }
    // So many blocks in so short a time are more than are taken.
    let is_told = summary.notes.iter().any(|note| note.contains("stacks were not taken"));
    assert!(is_told || referring(&records).count() < 10_000, "{:?}", summary.notes);
}

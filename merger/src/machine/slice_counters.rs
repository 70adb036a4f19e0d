//! What perf counted in each slice, as cumulative counters of threads.
//!
//! | counter | unit | what |
//! | --- | --- | --- |
//! | `WHAT NAME` | as recorded | what is known to have been counted, and what is estimated of the part of a slice in which the event was not on the hardware (multiplexing) |
//! | `WHAT.estimated NAME` | as recorded | the estimated part of it |
//! | `WHAT.uncounted NAME` | count | slices in which it was not counted at all: what it grew by in them is in no other counter |

use super::Machine;
use super::extras::{What, Whose};
use plumb_trace::record::{COUNTERS_A_RECORD, KernelRecord, UNCOUNTED};
use plumb_trace::timeline::TimelineError;
use rustc_hash::FxHashMap;

/// Counters of one host, at most; numbers beyond mean nothing.
const COUNTERS_MAX: u32 = 64;

/// Which of a counter's tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// What is estimated of it.
    Estimated,
    /// Slices in which it was not counted.
    Uncounted,
}

/// What the numbers of counters mean: name and unit by host and number.
#[derive(Debug, Default)]
pub(super) struct SliceCounters(FxHashMap<(usize, u16), (String, String)>);

impl SliceCounters {
    /// A number begins to mean a counter.
    pub(super) fn define(&mut self, (host, number): (usize, u32), name: &str, unit: &str) {
        if let (true, Ok(number)) = (number < COUNTERS_MAX, u16::try_from(number)) {
            self.0.insert((host, number), (name.to_owned(), unit.to_owned()));
        }
    }

    /// Name and unit of a counter's track.
    pub(super) fn name_and_unit(&self, host: usize, number: u16, part: Part) -> (String, String) {
        let (name, unit) = self.0.get(&(host, number)).cloned().unwrap_or_default();
        match part {
            Part::Whole => (name, unit),
            Part::Estimated => (format!("{name}.estimated"), unit),
            Part::Uncounted => (format!("{name}.uncounted"), "count".to_owned()),
        }
    }
}

/// What a record says of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grown {
    number: u16,
    by: u64,
    /// Parts of 65,535 of the slice in which it was not counted.
    uncounted: u16,
}

impl Grown {
    /// What it grew by in the whole slice, if it grew as fast when it was not counted.
    fn whole(self) -> u64 {
        let counted = u128::from(UNCOUNTED - self.uncounted).max(1);
        let whole = u128::from(self.by) * u128::from(UNCOUNTED) / counted;
        u64::try_from(whole).unwrap_or(u64::MAX)
    }
}

/// The three counters of a record.
fn grown(record: &KernelRecord) -> [Grown; COUNTERS_A_RECORD] {
    let (mut number, values) = record.grown();
    values.map(|(by, uncounted)| {
        let grown = Grown { number, by, uncounted };
        number = number.saturating_add(1);
        grown
    })
}

impl Machine {
    /// What a slice that is about to end has counted.
    pub(super) fn counted(&mut self, host: usize, at: u64, record: &KernelRecord) -> Result<(), TimelineError> {
        let Some(thread) = self.thread_of(host, record.tid, record.pid, at)? else {
            return Ok(());
        };
        self.ensure_counters(host, Whose::Thread(thread), at)?;
        for grown in grown(record) {
            if self.slice_counters.0.contains_key(&(host, grown.number)) {
                self.count_slice(Whose::Thread(thread), at, grown)?;
            }
        }
        Ok(())
    }

    /// Counters that do not grow are counted, too: a record tells only of three that one of them grew of.
    fn ensure_counters(&mut self, host: usize, whose: Whose, at: u64) -> Result<(), TimelineError> {
        let numbers =
            (0..COUNTERS_MAX as u16).take_while(|number| self.slice_counters.0.contains_key(&(host, *number)));
        for number in numbers.collect::<Vec<_>>() {
            self.ensure_extra(whose, What::Slices(number, Part::Whole), at)?;
        }
        Ok(())
    }

    fn count_slice(&mut self, whose: Whose, at: u64, grown: Grown) -> Result<(), TimelineError> {
        let part = |part| What::Slices(grown.number, part);
        if grown.uncounted == UNCOUNTED {
            return self.grow(whose, part(Part::Uncounted), at, 1);
        }
        let whole = grown.whole();
        self.grow(whose, part(Part::Estimated), at, whole - grown.by)?;
        self.grow(whose, part(Part::Whole), at, whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_counted_is_estimated() {
        let grown = |by, uncounted| Grown {
            number: 0,
            by,
            uncounted,
        };
        assert_eq!(grown(1000, 0).whole(), 1000);
        assert_eq!(grown(1000, UNCOUNTED / 2).whole(), 1999);
        assert_eq!(grown(u64::MAX, UNCOUNTED - 1).whole(), u64::MAX);
        assert_eq!(grown(7, UNCOUNTED).whole(), 7 * 65_535, "no division by 0");
    }

    #[test]
    fn a_record_holds_three_counters() {
        let mut bytes = [0; 64];
        bytes[8] = 14;
        bytes[28..32].copy_from_slice(&(3u32 | 7 << 16).to_le_bytes());
        bytes[32..40].copy_from_slice(&10u64.to_le_bytes());
        bytes[40..48].copy_from_slice(&11u64.to_le_bytes());
        bytes[48..56].copy_from_slice(&(u64::MAX - 1).to_le_bytes());
        bytes[56..60].copy_from_slice(&[5, 0, 6, 0]);
        let record = KernelRecord::from_bytes(&bytes);
        let expected = [(3, 10, 5), (4, 11, 6), (5, u64::MAX - 1, 7)];
        assert_eq!(
            grown(&record).map(|grown| (grown.number, grown.by, grown.uncounted)),
            expected
        );
    }
}

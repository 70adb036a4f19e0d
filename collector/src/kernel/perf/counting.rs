//! Counters of perf events without BPF: of each slice, as `bpf/counters.h` tells them, in the same records.
//!
//! An event that counts switches leads a group of the counters on a CPU. At each switch it makes a sample, which has what all of the group have counted:
//!
//! ```text
//! members u64, the leader among them | ns enabled u64 | ns on the hardware u64 | what each has counted u64, the leader first
//! ```
//! What the hardware cannot count at one time is another group. A group that is not on the hardware at a switch (multiplexing) makes no sample, and what it counted of the slices before and
//! after is not known, which is told: else it would be taken for what whoever is on the CPU at its next sample has counted.

use super::event::u64_at;
use super::open::write_into;
use crate::kernel::counters::{COUNTERS_MAX, Counter};
use perf_event::events::Software;
use perf_event::{Builder, Clock, ReadFormat, SampleFlag};
use plumb_trace::record::{COUNTERS_A_RECORD, KernelKind, KernelRecord, UNCOUNTED};
use std::io;

/// What a group's events said at a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The group's place among those of its CPU.
    pub group: usize,
    enabled_ns: u64,
    running_ns: u64,
    /// How many values there are.
    count: usize,
    values: [u64; COUNTERS_MAX],
}

impl Reading {
    /// Reads what stands in a sample.
    pub(super) fn parse(group: usize, body: &[u8]) -> Option<Reading> {
        let mut reading = Reading {
            group,
            count: usize::try_from(u64_at(body, 0)?).ok()?.checked_sub(1)?,
            enabled_ns: u64_at(body, 8)?,
            running_ns: u64_at(body, 16)?,
            values: [0; COUNTERS_MAX],
        };
        for (place, value) in reading.values.get_mut(..reading.count)?.iter_mut().enumerate() {
            *value = u64_at(body, 32 + 8 * place)?;
        }
        Some(reading)
    }
}

/// Events of one CPU that count together.
pub(super) struct Group {
    leader: perf_event::Counter,
    members: Vec<perf_event::Counter>,
    /// Number of its first counter.
    first: usize,
}

impl Group {
    /// Number by which samples name it.
    pub fn id(&self) -> u64 {
        self.leader.id()
    }

    pub fn stop(&mut self) {
        let _ = self.leader.disable_group();
    }

    fn new(cpu: u32, first: usize, leader: &mut Builder<'_>) -> io::Result<Group> {
        leader.event(Software::CONTEXT_SWITCHES);
        leader.any_pid().one_cpu(cpu as usize).include_kernel().include_hv();
        leader.sample(SampleFlag::READ).sample_period(1);
        // The builder's own way would add a number to each value.
        let format = ReadFormat::GROUP | ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING;
        leader.attrs_mut().read_format = format.bits();
        Ok(Group {
            leader: leader.build()?,
            members: Vec::new(),
            first,
        })
    }

    fn add(&mut self, cpu: u32, counter: Counter) -> io::Result<()> {
        // A group has one clock.
        let member = counter
            .on_cpu(cpu)
            .clockid(Clock::MONOTONIC)
            .build_with_group(&mut self.leader)?;
        self.members.push(member);
        Ok(())
    }
}

/// Opens the counters of a CPU, in as few groups as the hardware takes; their samples go into that ring. `leader` has what all events have in common.
pub(super) fn open(cpu: u32, counters: &[Counter], leader: &Builder<'_>, ring: i32) -> io::Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, &counter) in counters.iter().enumerate() {
        if groups.last_mut().is_some_and(|group| group.add(cpu, counter).is_ok()) {
            continue;
        }
        let mut group = Group::new(cpu, place, &mut leader.clone())?;
        group.add(cpu, counter)?;
        groups.push(group);
    }
    for group in &mut groups {
        write_into(&group.leader, ring)?;
        group.leader.enable_group()?;
    }
    Ok(groups)
}

/// What the groups of a CPU said last.
#[derive(Debug, Default)]
pub(super) struct Counting {
    groups: Vec<Last>,
}

/// What a group said last.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// Number of its first counter.
    first: usize,
    /// How many counters it has.
    count: usize,
    /// Of the switch before; `None`: it said nothing then.
    reading: Option<Reading>,
    /// It has spoken since that switch.
    has_spoken: bool,
}

impl Last {
    fn of(group: &Group) -> Last {
        Last {
            first: group.first,
            count: group.members.len(),
            ..Last::default()
        }
    }

    /// Records of what its counters grew by, each with the part of the time in which it was not counted.
    fn records(&self, grown: impl Fn(usize) -> (u64, u16), blank: KernelRecord) -> Vec<KernelRecord> {
        let places: Vec<usize> = (0..self.count).collect();
        let three = |places: &[usize]| {
            // Those that the group does not have grow by nothing, and are counted.
            let mut by = [(0, 0); COUNTERS_A_RECORD];
            for (one, &place) in by.iter_mut().zip(places) {
                *one = grown(place);
            }
            (self.first + places[0], by)
        };
        let told = places.chunks(COUNTERS_A_RECORD).map(three);
        let told = told.filter(|(_, by)| by.iter().any(|one| *one != (0, 0)));
        told.filter_map(|(number, by)| {
            let mut record = blank;
            record.kind = KernelKind::Counted as u8;
            record.set_grown(u16::try_from(number).ok()?, by);
            Some(record)
        })
        .collect()
    }
}

impl Counting {
    pub fn new(groups: &[Group]) -> Counting {
        Counting {
            groups: groups.iter().map(Last::of).collect(),
        }
    }

    /// Something is missing.
    pub fn forget(&mut self) {
        for group in &mut self.groups {
            (group.reading, group.has_spoken) = (None, false);
        }
    }

    /// The records of a slice that ends with this reading, made of `blank`. `is_whole`: nobody else has had the CPU since the reading before.
    pub fn records(&mut self, reading: &Reading, is_whole: bool, blank: KernelRecord) -> Vec<KernelRecord> {
        let group = self.groups.get_mut(reading.group);
        // One of other counters is none of ours.
        let Some(group) = group.filter(|group| group.count == reading.count) else {
            return Vec::new();
        };
        group.has_spoken = true;
        let before = group.reading.replace(*reading).filter(|_| is_whole);
        let uncounted = before.map_or(UNCOUNTED, |before| uncounted(&before, reading));
        let grown = |place: usize| match before {
            Some(before) if uncounted < UNCOUNTED => reading.values[place].saturating_sub(before.values[place]),
            _ => 0,
        };
        group.records(|place| (grown(place), uncounted), blank)
    }

    /// A slice ends. The records, made of `blank`, of what groups that said nothing at its end should have counted in it.
    pub fn switch(&mut self, blank: KernelRecord) -> Vec<KernelRecord> {
        let mut records = Vec::new();
        for group in &mut self.groups {
            if !std::mem::take(&mut group.has_spoken) {
                group.reading = None;
                records.extend(group.records(|_| (0, UNCOUNTED), blank));
            }
        }
        records
    }
}

/// Parts of 65,535 of the time between two readings in which the group was not on the hardware.
fn uncounted(before: &Reading, now: &Reading) -> u16 {
    let enabled = now.enabled_ns.saturating_sub(before.enabled_ns);
    let running = now.running_ns.saturating_sub(before.running_ns);
    let missing = u128::from(enabled.saturating_sub(running)) * u128::from(UNCOUNTED);
    let parts = missing.checked_div(u128::from(enabled)).unwrap_or(0);
    u16::try_from(parts).unwrap_or(UNCOUNTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn reading(enabled_ns: u64, running_ns: u64, values: &[u64]) -> Reading {
        let mut words = vec![values.len() as u64 + 1, enabled_ns, running_ns, 99];
        words.extend(values);
        Reading::parse(0, &bytes(&words)).expect("a reading")
    }

    fn counting() -> Counting {
        counting_of(1)
    }

    /// One group of so many counters.
    fn counting_of(count: usize) -> Counting {
        Counting {
            groups: vec![Last {
                count,
                ..Last::default()
            }],
        }
    }

    #[test]
    fn a_reading_that_is_cut_off_or_too_long_is_none() {
        let whole = bytes(&[3, 10, 10, 99, 5, 6]);
        assert!(Reading::parse(0, &whole).is_some());
        assert!((0..whole.len()).all(|length| Reading::parse(0, &whole[..length]).is_none()));
        for members in [0, COUNTERS_MAX as u64 + 2, u64::MAX] {
            let mut words = vec![members, 10, 10];
            words.resize(64, 7);
            assert_eq!(Reading::parse(0, &bytes(&words)), None, "{members}");
        }
    }

    #[test]
    fn a_slice_counts_what_its_counters_grew_by() {
        let mut counting = counting_of(4);
        let mut step = |reading: &Reading| counting.records(reading, true, KernelRecord::default());
        let first = step(&reading(10, 10, &[100, 7, 0, 1]));
        let parts: Vec<_> = first.iter().map(KernelRecord::grown).collect();
        assert_eq!(parts, [(0, [(0, UNCOUNTED); 3]), (3, [(0, UNCOUNTED), (0, 0), (0, 0)])]);
        let second = step(&reading(30, 30, &[150, 7, 2, 1]));
        let parts: Vec<_> = second.iter().map(KernelRecord::grown).collect();
        assert_eq!(parts, [(0, [(50, 0), (0, 0), (2, 0)])], "the fourth did not grow");
    }

    #[test]
    fn what_was_not_on_the_hardware_is_told() {
        let mut counting = counting();
        let mut step = |reading: &Reading| counting.records(reading, true, KernelRecord::default());
        step(&reading(0, 0, &[0]));
        let half = step(&reading(100, 50, &[8]));
        assert_eq!(half[0].grown().1[0], (8, UNCOUNTED / 2));
        let never = step(&reading(200, 50, &[8]));
        assert_eq!(never[0].grown().1[0], (0, UNCOUNTED));
    }

    #[test]
    fn a_group_that_says_nothing_at_a_switch_has_counted_nobody() {
        let mut counting = counting();
        let told = |records: &[KernelRecord]| -> Vec<_> { records.iter().map(|record| record.grown().1[0]).collect() };
        let blank = KernelRecord::default();
        counting.records(&reading(0, 0, &[0]), true, blank);
        assert_eq!(told(&counting.switch(blank)), []);
        let whole = counting.records(&reading(100, 100, &[5]), true, blank);
        assert_eq!((told(&whole), told(&counting.switch(blank))), (vec![(5, 0)], vec![]));
        // Off the hardware at the end of this slice, and so at the begin of the next.
        assert_eq!(told(&counting.switch(blank)), [(0, UNCOUNTED)]);
        let next = counting.records(&reading(300, 150, &[9]), true, blank);
        assert_eq!(
            (told(&next), told(&counting.switch(blank))),
            (vec![(0, UNCOUNTED)], vec![])
        );
        let after = counting.records(&reading(400, 250, &[12]), true, blank);
        assert_eq!(told(&after), [(3, 0)]);
    }

    #[test]
    fn a_slice_that_somebody_unseen_had_a_part_of_is_not_counted() {
        let mut counting = counting();
        counting.records(&reading(0, 0, &[0]), true, KernelRecord::default());
        let mixed = counting.records(&reading(100, 100, &[8]), false, KernelRecord::default());
        assert_eq!(mixed[0].grown().1[0], (0, UNCOUNTED));
        let next = counting.records(&reading(200, 200, &[9]), true, KernelRecord::default());
        assert_eq!(next[0].grown().1[0], (1, 0));
        counting.forget();
        let lost = counting.records(&reading(300, 300, &[10]), true, KernelRecord::default());
        assert_eq!(lost[0].grown().1[0], (0, UNCOUNTED));
    }
}

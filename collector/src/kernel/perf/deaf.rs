//! CPUs of which the kernel tells nothing that happens while they idle. Linux 6.18 was seen to make no perf event there after the CPU had been offline: who is woken by its interrupts wakes untold.
//!
//! Such a CPU shows itself: sleepers come to it after its idle task, and no CPU has told their waking, again and again; and of all wakings that were told, none was by its
//! idle task. Nor do as many sleepers come there whose waking was told by others: some wakings are hidden on any CPU.

use super::books::THREADS_MAX;
use super::event::DEAD;
use plumb_trace::record::{KernelKind, KernelRecord};
use std::collections::HashMap;

/// Sleepers that woke untold on a CPU before it is believed: some wakings are hidden for other reasons.
const UNTOLD_MIN: u32 = 20;

/// What was told of a CPU.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// Wakings while it idled.
    by_idle: u32,
    /// Sleepers that came to it after its idle task, and whose waking somebody told.
    told: u32,
    /// Those whose waking nobody told.
    untold: u32,
}

/// What was told of all CPUs.
#[derive(Debug, Default)]
pub(super) struct Wakings {
    /// Who left a CPU to sleep, and whether it was told to be woken since then.
    sleepers: HashMap<u32, bool>,
    cpus: HashMap<u16, Told>,
    /// Wakings are told at all.
    is_told: bool,
}

impl Wakings {
    /// The next record of all CPUs, by time.
    pub fn see(&mut self, record: &KernelRecord) {
        match KernelKind::from_u8(record.kind) {
            Some(KernelKind::Waking) => {
                self.is_told = true;
                if let Some(is_woken) = self.sleepers.get_mut(&record.tid) {
                    *is_woken = true;
                }
                let told = self.cpus.entry(record.cpu).or_default();
                told.by_idle = told.by_idle.saturating_add(u32::from(record.other_tid == 0));
            }
            Some(KernelKind::Switch) => {
                let comer = self.sleepers.remove(&record.other_tid);
                if let Some(is_woken) = comer.filter(|_| record.tid == 0) {
                    let told = self.cpus.entry(record.cpu).or_default();
                    let count = if is_woken { &mut told.told } else { &mut told.untold };
                    *count = count.saturating_add(1);
                }
                if record.tid != 0 && ![0, DEAD].contains(&record.value) && self.sleepers.len() < THREADS_MAX {
                    self.sleepers.insert(record.tid, false);
                }
            }
            // Its number may be another's next.
            Some(KernelKind::Exit) => drop(self.sleepers.remove(&record.tid)),
            _ => {}
        }
    }

    /// Something was lost: it may have been wakings.
    pub fn forget(&mut self) {
        self.sleepers.clear();
    }

    /// What the user should know.
    pub fn note(&self) -> Option<String> {
        let deaf =
            |told: &Told| self.is_told && told.by_idle == 0 && told.untold >= UNTOLD_MIN && told.untold > told.told;
        let mut deaf: Vec<(u16, u32)> = self
            .cpus
            .iter()
            .filter(|(_, told)| deaf(told))
            .map(|(&cpu, told)| (cpu, told.untold))
            .collect();
        deaf.sort_unstable();
        let cpus: Vec<String> = deaf.iter().map(|(cpu, _)| cpu.to_string()).collect();
        let untold: u64 = deaf.iter().map(|(_, untold)| u64::from(*untold)).sum();
        (!deaf.is_empty()).then(|| {
            format!(
                "the kernel told no event of what happened while CPU {} idled: {untold} sleepers came there of whom nobody knows by what they were woken, nor how long they waited",
                cpus.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: KernelKind, cpu: u16, (tid, other_tid): (u32, u32), value: u32) -> KernelRecord {
        KernelRecord {
            kind: kind as u8,
            cpu,
            tid,
            other_tid,
            value,
            ..KernelRecord::default()
        }
    }

    /// So many times a thread sleeps on a CPU that idles then, and comes to it again.
    fn nap(wakings: &mut Wakings, times: u32, cpu: u16, waker: Option<u32>) {
        let tid = 100 + u32::from(cpu);
        for _ in 0..times {
            wakings.see(&record(KernelKind::Switch, cpu, (tid, 0), 1));
            if let Some(waker) = waker {
                wakings.see(&record(KernelKind::Waking, cpu, (tid, waker), 0));
            }
            wakings.see(&record(KernelKind::Switch, cpu, (0, tid), 0));
        }
    }

    #[test]
    fn a_cpu_whose_sleepers_wake_untold_is_told() {
        let mut wakings = Wakings::default();
        nap(&mut wakings, UNTOLD_MIN, 1, None);
        assert_eq!(wakings.note(), None, "no waking is told");
        nap(&mut wakings, 1, 0, Some(7));
        let note = wakings.note().expect("a note");
        assert!(note.contains("while CPU 1 idled: 20 sleepers"), "{note}");
        nap(&mut wakings, 1, 1, Some(0));
        assert_eq!(wakings.note(), None, "it tells");
    }

    #[test]
    fn who_is_woken_by_a_thread_is_evidence_of_the_opposite() {
        let mut wakings = Wakings::default();
        nap(&mut wakings, 1, 0, Some(0));
        nap(&mut wakings, 1000, 1, Some(7));
        nap(&mut wakings, 1000, 1, None);
        assert_eq!(wakings.note(), None, "as many are told");
        nap(&mut wakings, 1, 1, None);
        assert!(wakings.note().is_some());
    }

    #[test]
    fn who_was_not_asleep_or_may_be_told_is_no_evidence() {
        let mut wakings = Wakings::default();
        nap(&mut wakings, 1, 0, Some(0));
        nap(&mut wakings, UNTOLD_MIN - 1, 1, None);
        // Its waking may have been lost.
        wakings.see(&record(KernelKind::Switch, 1, (9, 0), 1));
        wakings.forget();
        wakings.see(&record(KernelKind::Switch, 1, (0, 9), 0));
        // Who was preempted was not asleep; who came after another thread may have been woken while that ran.
        wakings.see(&record(KernelKind::Switch, 1, (9, 0), 0));
        wakings.see(&record(KernelKind::Switch, 1, (0, 9), 0));
        wakings.see(&record(KernelKind::Switch, 1, (9, 8), 1));
        wakings.see(&record(KernelKind::Switch, 1, (8, 9), 1));
        assert_eq!(wakings.note(), None);
    }
}

//! What both directions know of threads and CPUs before the next row, and how they predict it.

use super::{KINDS, of_kind, pack_call};
use crate::record::{KernelKind, KernelRecord, flags};

/// What a segment has told of a thread so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) tid: u32,
    pub(super) pid: u32,
    pub(super) charged_ns: u64,
    /// When it last came to the CPU, and the lag then.
    came: Option<(u64, u32)>,
    /// What it had waited when it last came to the CPU, low 32 bits, and since when by the scheduler's clock it seems to wait again, if it does.
    waited: u32,
    waits_since: Option<u32>,
    /// Whether its charged time did not grow when it last left (the idle task's may not).
    stands_still: bool,
    pub(super) call: u64,
    /// Flags and value of the last switch by which it left, and of the last record of its waking.
    left: (u8, u32),
    woken: (u8, u32),
    kthread: bool,
    pub(super) nvcsw: u16,
    pub(super) nivcsw: u16,
    pub(super) prio: u8,
    /// The thread that it woke last.
    woke: usize,
}

/// What both directions know before the next record. Thread 0 is the idle task.
pub(super) struct Model {
    pub(super) threads: Vec<Known>,
    pub(super) time_ns: u64,
    pub(super) cpu: u16,
    /// Who has the CPU.
    current: usize,
    /// Who was woken last, and has not come yet.
    queued: usize,
    /// The last lag of a switch.
    pub(super) lag: u32,
    /// The last lag, by the kind's lowest bits.
    pub(super) lags: [u32; KINDS],
    /// The last record that is no switch, by the kind's lowest bits.
    pub(super) rests: [KernelRecord; KINDS],
}

impl Model {
    pub(super) fn new() -> Model {
        Model {
            threads: vec![Known::default()],
            time_ns: 0,
            cpu: 0,
            current: 0,
            queued: 0,
            lag: 0,
            lags: [0; KINDS],
            rests: [KernelRecord::default(); KINDS],
        }
    }

    /// The scheduler's clock, low 32 bits, as of the last switch.
    #[inline(always)]
    pub(super) fn accounted(&self, time_ns: u64) -> u32 {
        (time_ns as u32).wrapping_sub(self.lag)
    }

    pub(super) fn add(&mut self, tid: u32) -> usize {
        self.threads.push(Known {
            tid,
            pid: tid,
            ..Known::default()
        });
        self.threads.len() - 1
    }

    /// The `tid` and `other_tid` that a record of this kind probably has.
    #[inline(always)]
    pub(super) fn predict(&self, kind: u8) -> (usize, usize) {
        match KernelKind::from_u8(kind) {
            Some(KernelKind::Switch) => (self.current, self.queued),
            Some(KernelKind::Waking) => (self.threads[self.current].woke, self.current),
            Some(KernelKind::Wakeup) => (self.queued, 0),
            _ => (self.current, 0),
        }
    }

    /// The flags and the value that a record of this kind about these threads probably has.
    #[inline(always)]
    pub(super) fn predict_head(&self, kind: u8, who: usize, other: usize) -> (u8, u32) {
        match KernelKind::from_u8(kind) {
            Some(KernelKind::Switch) => {
                let (before, value) = self.threads[who].left;
                let kthread = self.threads[other].kthread;
                let comer = if kthread { flags::OTHER_KTHREAD } else { 0 };
                (before & !flags::OTHER_KTHREAD | comer, value)
            }
            Some(KernelKind::Waking) => self.threads[who].woken,
            _ => {
                let last = &self.rests[of_kind(kind)];
                (last.flags, last.value)
            }
        }
    }

    #[inline(always)]
    pub(super) fn learn(&mut self, record: &KernelRecord, who: usize, other: usize) {
        self.time_ns = record.time_ns;
        self.cpu = record.cpu;
        self.lags[of_kind(record.kind)] = record.lag;
        self.threads[who].pid = record.pid;
        self.threads[other].pid = record.other_pid;
        match KernelKind::from_u8(record.kind) {
            Some(KernelKind::Switch) => self.learn_switch(record, who, other),
            Some(KernelKind::Waking) => {
                self.threads[other].woke = who;
                self.threads[who].waits_since = Some(self.accounted(record.time_ns));
                self.threads[who].woken = (record.flags, record.value);
                self.queued = who;
            }
            Some(KernelKind::Wakeup) => self.queued = who,
            _ => {}
        }
        if record.kind != KernelKind::Switch as u8 {
            self.rests[of_kind(record.kind)] = *record;
        }
    }

    #[inline(always)]
    fn learn_switch(&mut self, record: &KernelRecord, who: usize, other: usize) {
        self.lag = record.lag;
        let since = self.accounted(record.time_ns);
        let leaver = &mut self.threads[who];
        leaver.stands_still = leaver.charged_ns == record.charged_ns;
        leaver.charged_ns = record.charged_ns;
        leaver.came = None;
        leaver.call = pack_call(record);
        leaver.left = (record.flags, record.value);
        leaver.waits_since = (!sleeps(record)).then_some(since);
        (leaver.nvcsw, leaver.nivcsw) = (record.nvcsw, record.nivcsw);
        let comer = &mut self.threads[other];
        comer.charged_ns = comer.charged_ns & !u64::from(u32::MAX) | u64::from(record.comer_charged());
        comer.waited = (record.other_charged_ns >> 32) as u32;
        comer.waits_since = None;
        comer.kthread = record.flags & flags::OTHER_KTHREAD != 0;
        comer.came = Some((record.time_ns, record.lag));
        comer.prio = record.prio;
        self.current = other;
        self.queued = 0;
    }
}

/// Whether a switch's leaver does not wait for a CPU again.
pub(super) fn sleeps(record: &KernelRecord) -> bool {
    record.value != 0 && record.flags & flags::PREEMPT == 0
}

impl Known {
    /// What it has probably waited when it comes at this instant of the scheduler's clock.
    #[inline(always)]
    pub(super) fn waited_at(&self, accounted: u32) -> u32 {
        let wait = self.waits_since.map_or(0, |since| accounted.wrapping_sub(since));
        self.waited.wrapping_add(wait)
    }

    /// The charged time that it probably has when it leaves its CPU at `time_ns`: what the scheduler's own clock went on since it came, if nothing was stolen.
    #[inline(always)]
    pub(super) fn charged_at(&self, time_ns: u64, lag: u32) -> u64 {
        match self.came {
            Some((came_ns, came_lag)) if !self.stands_still => {
                let more_lag = i64::from(lag.wrapping_sub(came_lag) as i32);
                let lasted = time_ns.wrapping_sub(came_ns).wrapping_sub(more_lag as u64);
                self.charged_ns.wrapping_add(lasted)
            }
            _ => self.charged_ns,
        }
    }
}

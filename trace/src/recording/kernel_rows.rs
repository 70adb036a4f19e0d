//! Rows of kernel records as columns.
//!
//! A record is told mostly by what is already known: who leaves a CPU is who came to it at the switch before; the time charged to a thread grew by the time since it
//! came; of the two counts of switches one grew by one. What is so predicted costs next to nothing, what is not stands as a difference or a literal.
//!
//! ```text
//! column         what
//! TIME           difference to the record before
//! KIND, FLAGS    one byte each
//! SURPRISE       one bit for each prediction that failed, see `bit`
//! TID, OTHER     0: as predicted | 1: a thread not seen in this segment, its tid in LITERAL | n + 2: the n-th thread seen in it
//! VALUE          as it is
//! CHARGED        switch: difference to the prediction from the thread's last switch on this CPU in this segment
//! OTHER_CHARGED  switch: difference to the thread's last value in this segment, low 32 bits of both
//! WAITED         switch: the upper 32 bits of that field: difference to the prediction from the thread's last one in this segment and since when it seems to wait
//! LITERAL        what was not as predicted
//! LAG            difference to the last record of its kind
//! REST           other kinds, where not as in the last record of its kind: bytes 32 to 60 of the record
//! ```

use crate::columns::{Coder, Decoder, Encoder};
use crate::record::{KernelKind, KernelRecord, flags};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

mod column {
    pub const TIME: usize = 0;
    pub const KIND: usize = 1;
    pub const FLAGS: usize = 2;
    pub const SURPRISE: usize = 3;
    pub const TID: usize = 4;
    pub const OTHER: usize = 5;
    pub const VALUE: usize = 6;
    pub const CHARGED: usize = 7;
    pub const OTHER_CHARGED: usize = 8;
    pub const LITERAL: usize = 9;
    pub const REST: usize = 10;
    pub const LAG: usize = 11;
    pub const WAITED: usize = 12;
    pub const COUNT: usize = 13;
}

/// Bits of the column SURPRISE.
mod bit {
    pub const CPU: u8 = 1;
    pub const PID: u8 = 2;
    pub const OTHER_PID: u8 = 4;
    pub const CALL: u8 = 8;
    pub const NVCSW: u8 = 16;
    pub const NIVCSW: u8 = 32;
    pub const PRIO: u8 = 64;
    pub const REST: u8 = 128;
}

/// What a record holds besides ids, value and lag.
const REST: std::ops::Range<usize> = 32..60;
/// Kinds that are told apart where the last of a kind predicts the next.
const KINDS: usize = 16;

fn of_kind(kind: u8) -> usize {
    usize::from(kind) % KINDS
}

/// Appends the columns of `records`.
pub(super) fn encode(records: &[KernelRecord], out: &mut Vec<u8>) {
    let mut coder = Threads::<Encoder> {
        coder: Encoder::new(column::COUNT),
        index: HashMap::default(),
    };
    coder.index.insert(0, 0);
    let mut model = Model::new();
    for record in records {
        row(&mut coder, &mut model, record);
    }
    coder.coder.finish(out);
}

/// Reads `count` records from exactly these columns.
pub(super) fn decode(bytes: &[u8], count: usize) -> Option<Vec<KernelRecord>> {
    let mut coder = Decoder::new(bytes, column::COUNT)?;
    let mut model = Model::new();
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        records.push(row(&mut coder, &mut model, &KernelRecord::default())?);
    }
    coder.is_done().then_some(records)
}

/// What a segment has told of a thread so far.
#[derive(Clone, Copy, Default)]
struct Known {
    tid: u32,
    pid: u32,
    charged_ns: u64,
    /// When it last came to the CPU, and the lag then.
    came: Option<(u64, u32)>,
    /// What it had waited when it last came to the CPU, low 32 bits, and since when by the scheduler's clock it seems to wait again, if it does.
    waited: u32,
    waits_since: Option<u32>,
    /// Whether its charged time did not grow when it last left (the idle task's may not).
    stands_still: bool,
    call: u64,
    nvcsw: u16,
    nivcsw: u16,
    prio: u8,
    /// The thread that it woke last.
    woke: usize,
}

/// What both directions know before the next record. Thread 0 is the idle task.
struct Model {
    threads: Vec<Known>,
    time_ns: u64,
    cpu: u16,
    /// Who has the CPU.
    current: usize,
    /// Who was woken last, and has not come yet.
    queued: usize,
    /// The last lag of a switch.
    lag: u32,
    /// The last lag, by the kind's lowest bits.
    lags: [u32; KINDS],
    /// The last record with a rest of its own, by the kind's lowest bits.
    rests: [KernelRecord; KINDS],
}

impl Model {
    fn new() -> Model {
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
    fn accounted(&self, time_ns: u64) -> u32 {
        (time_ns as u32).wrapping_sub(self.lag)
    }

    fn add(&mut self, tid: u32) -> usize {
        self.threads.push(Known {
            tid,
            pid: tid,
            ..Known::default()
        });
        self.threads.len() - 1
    }

    /// The `tid` and `other_tid` that a record of this kind probably has.
    fn predict(&self, kind: u8) -> (usize, usize) {
        match KernelKind::from_u8(kind) {
            Some(KernelKind::Switch) => (self.current, self.queued),
            Some(KernelKind::Waking) => (self.threads[self.current].woke, self.current),
            Some(KernelKind::Wakeup) => (self.queued, 0),
            _ => (self.current, 0),
        }
    }

    #[inline]
    fn learn(&mut self, record: &KernelRecord, who: usize, other: usize) {
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
                self.queued = who;
            }
            Some(KernelKind::Wakeup) => self.queued = who,
            _ => {}
        }
    }

    #[inline]
    fn learn_switch(&mut self, record: &KernelRecord, who: usize, other: usize) {
        self.lag = record.lag;
        let since = self.accounted(record.time_ns);
        let leaver = &mut self.threads[who];
        leaver.stands_still = leaver.charged_ns == record.charged_ns;
        leaver.charged_ns = record.charged_ns;
        leaver.came = None;
        leaver.call = pack_call(record);
        leaver.waits_since = (!sleeps(record)).then_some(since);
        (leaver.nvcsw, leaver.nivcsw) = (record.nvcsw, record.nivcsw);
        let comer = &mut self.threads[other];
        comer.charged_ns = comer.charged_ns & !u64::from(u32::MAX) | u64::from(record.comer_charged());
        comer.waited = (record.other_charged_ns >> 32) as u32;
        comer.waits_since = None;
        comer.came = Some((record.time_ns, record.lag));
        comer.prio = record.prio;
        self.current = other;
        self.queued = 0;
    }
}

/// Whether a switch's leaver does not wait for a CPU again.
fn sleeps(record: &KernelRecord) -> bool {
    record.value != 0 && record.flags & flags::PREEMPT == 0
}

impl Known {
    /// What it has probably waited when it comes at this instant of the scheduler's clock.
    fn waited_at(&self, accounted: u32) -> u32 {
        let wait = self.waits_since.map_or(0, |since| accounted.wrapping_sub(since));
        self.waited.wrapping_add(wait)
    }

    /// The charged time that it probably has when it leaves its CPU at `time_ns`: what the scheduler's own clock went on since it came, if nothing was stolen.
    fn charged_at(&self, time_ns: u64, lag: u32) -> u64 {
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

/// A [`Coder`] that also knows threads.
trait ThreadCoder: Coder {
    /// A thread: its place in the model.
    fn thread(&mut self, column: usize, model: &mut Model, tid: u32, predicted: usize) -> Option<usize>;
    /// Bytes [`REST`] of a record.
    fn rest(&mut self, actual: &[u8]) -> Option<[u8; REST.end - REST.start]>;
}

struct Threads<C> {
    coder: C,
    index: HashMap<u32, usize, BuildHasherDefault<TidHasher>>,
}

impl Coder for Threads<Encoder> {
    #[inline]
    fn byte(&mut self, column: usize, actual: u8) -> Option<u8> {
        self.coder.byte(column, actual)
    }
    #[inline]
    fn number(&mut self, column: usize, actual: u64) -> Option<u64> {
        self.coder.number(column, actual)
    }
    #[inline]
    fn delta(&mut self, column: usize, actual: u64, predicted: u64) -> Option<u64> {
        self.coder.delta(column, actual, predicted)
    }
    #[inline]
    fn flagged_row(&mut self, column: usize) -> Option<()> {
        self.coder.flagged_row(column)
    }
    #[inline]
    fn expect(&mut self, bit: u8, literals: usize, actual: u64, predicted: u64) -> Option<u64> {
        self.coder.expect(bit, literals, actual, predicted)
    }
}

impl ThreadCoder for Threads<Encoder> {
    fn thread(&mut self, column: usize, model: &mut Model, tid: u32, predicted: usize) -> Option<usize> {
        if model.threads[predicted].tid == tid {
            self.byte(column, 0)?;
            return Some(predicted);
        }
        if let Some(&index) = self.index.get(&tid) {
            self.number(column, index as u64 + 2)?;
            return Some(index);
        }
        self.byte(column, 1)?;
        self.number32(column::LITERAL, tid)?;
        let index = model.add(tid);
        self.index.insert(tid, index);
        Some(index)
    }

    fn rest(&mut self, actual: &[u8]) -> Option<[u8; REST.end - REST.start]> {
        for &byte in actual {
            self.byte(column::REST, byte)?;
        }
        actual.try_into().ok()
    }
}

impl ThreadCoder for Decoder<'_> {
    fn thread(&mut self, column: usize, model: &mut Model, _tid: u32, predicted: usize) -> Option<usize> {
        match self.number(column, 0)? {
            0 => Some(predicted),
            1 => Some(model.add(self.number32(column::LITERAL, 0)?)),
            code => usize::try_from(code - 2)
                .ok()
                .filter(|&index| index < model.threads.len()),
        }
    }

    fn rest(&mut self, _actual: &[u8]) -> Option<[u8; REST.end - REST.start]> {
        let mut rest = [0; REST.end - REST.start];
        for byte in &mut rest {
            *byte = self.byte(column::REST, 0)?;
        }
        Some(rest)
    }
}

#[inline]
fn row(coder: &mut impl ThreadCoder, model: &mut Model, actual: &KernelRecord) -> Option<KernelRecord> {
    coder.flagged_row(column::SURPRISE)?;
    let time_ns = coder.delta(column::TIME, actual.time_ns, model.time_ns)?;
    let kind = coder.byte(column::KIND, actual.kind)?;
    let flags = coder.byte(column::FLAGS, actual.flags)?;
    let cpu = coder.expect32(bit::CPU, column::LITERAL, u32::from(actual.cpu), u32::from(model.cpu))?;
    let (likely, likely_other) = model.predict(kind);
    let who = coder.thread(column::TID, model, actual.tid, likely)?;
    let pid = coder.expect32(bit::PID, column::LITERAL, actual.pid, model.threads[who].pid)?;
    let other = coder.thread(column::OTHER, model, actual.other_tid, likely_other)?;
    let other_pid = coder.expect32(
        bit::OTHER_PID,
        column::LITERAL,
        actual.other_pid,
        model.threads[other].pid,
    )?;
    let value = coder.number32(column::VALUE, actual.value)?;
    let (tid, other_tid) = (model.threads[who].tid, model.threads[other].tid);
    let cpu = cpu.try_into().ok()?;
    let lag = coder.delta(column::LAG, actual.lag.into(), model.lags[of_kind(kind)].into())?;
    let head = KernelRecord {
        time_ns,
        kind,
        flags,
        cpu,
        tid,
        pid,
        other_tid,
        other_pid,
        value,
        lag: lag.try_into().ok()?,
        ..KernelRecord::default()
    };
    let record = if kind == KernelKind::Switch as u8 {
        model.lag = head.lag;
        let accounted = model.accounted(time_ns);
        switch_fields(
            coder,
            &model.threads[who],
            (&model.threads[other], accounted),
            actual,
            head,
        )?
    } else {
        other_fields(coder, &mut model.rests[of_kind(kind)], actual, head)?
    };
    model.learn(&record, who, other);
    Some(record)
}

fn switch_fields(
    coder: &mut impl ThreadCoder,
    leaver: &Known,
    (comer, accounted): (&Known, u32),
    actual: &KernelRecord,
    head: KernelRecord,
) -> Option<KernelRecord> {
    let charged_ns = coder.delta(
        column::CHARGED,
        actual.charged_ns,
        leaver.charged_at(head.time_ns, head.lag),
    )?;
    let came = low_delta(
        coder,
        column::OTHER_CHARGED,
        actual.comer_charged(),
        comer.charged_ns as u32,
    )?;
    let waited = (actual.other_charged_ns >> 32) as u32;
    let waited = low_delta(coder, column::WAITED, waited, comer.waited_at(accounted))?;
    let other_charged_ns = u64::from(came) | u64::from(waited) << 32;
    let call = coder.expect(bit::CALL, column::LITERAL, pack_call(actual), leaver.call)?;
    let voluntary = sleeps(&head);
    let nvcsw = leaver.nvcsw.wrapping_add(u16::from(voluntary)).into();
    let nivcsw = leaver.nivcsw.wrapping_add(u16::from(!voluntary)).into();
    let nvcsw = coder.expect32(bit::NVCSW, column::LITERAL, actual.nvcsw.into(), nvcsw)?;
    let nivcsw = coder.expect32(bit::NIVCSW, column::LITERAL, actual.nivcsw.into(), nivcsw)?;
    let prio = coder.expect32(
        bit::PRIO,
        column::LITERAL,
        u32::from(actual.prio),
        u32::from(comer.prio),
    )?;
    let record = KernelRecord {
        charged_ns,
        other_charged_ns,
        nvcsw: nvcsw.try_into().ok()?,
        nivcsw: nivcsw.try_into().ok()?,
        prio: prio.try_into().ok()?,
        ..head
    };
    unpack_call(call, record)
}

/// Numbers modulo 2^32: the difference is small also where they wrapped.
fn low_delta(coder: &mut impl ThreadCoder, column: usize, actual: u32, predicted: u32) -> Option<u32> {
    let more = i64::from(actual.wrapping_sub(predicted) as i32);
    let more = coder.delta(column, more as u64, 0)? as i64;
    Some(predicted.wrapping_add(more as u32))
}

fn other_fields(
    coder: &mut impl ThreadCoder,
    last: &mut KernelRecord,
    actual: &KernelRecord,
    head: KernelRecord,
) -> Option<KernelRecord> {
    // Any value but 0 flags the row; what it is does not matter, so that the shortest is taken.
    let is_other = coder.expect(bit::REST, column::LITERAL, u64::from(!has_same_rest(actual, last)), 0)? != 0;
    if is_other {
        let mut whole = actual.to_bytes();
        let rest = coder.rest(&whole[REST])?;
        whole[REST].copy_from_slice(&rest);
        *last = KernelRecord::from_bytes(&whole);
    }
    Some(KernelRecord {
        time_ns: head.time_ns,
        kind: head.kind,
        flags: head.flags,
        cpu: head.cpu,
        tid: head.tid,
        pid: head.pid,
        other_tid: head.other_tid,
        other_pid: head.other_pid,
        value: head.value,
        lag: head.lag,
        ..*last
    })
}

/// Whether bytes [`REST`] are the same.
fn has_same_rest(one: &KernelRecord, other: &KernelRecord) -> bool {
    let rest = |record: &KernelRecord| {
        (
            (
                record.charged_ns,
                record.other_charged_ns,
                record.syscall,
                record.fd_kind,
            ),
            (record.prio, record.fd, record.nvcsw, record.nivcsw),
        )
    };
    rest(one) == rest(other)
}

/// File kind in the lowest byte, then system call and descriptor, both so that -1 stays small.
fn pack_call(record: &KernelRecord) -> u64 {
    let syscall = ((record.syscall << 1) ^ (record.syscall >> 15)) as u16;
    let fd = ((record.fd << 1) ^ (record.fd >> 31)) as u32;
    u64::from(record.fd_kind) | u64::from(syscall) << 8 | u64::from(fd) << 24
}

fn unpack_call(call: u64, record: KernelRecord) -> Option<KernelRecord> {
    let syscall = (call >> 8) as u16;
    let fd = u32::try_from(call >> 24).ok()?;
    Some(KernelRecord {
        fd_kind: call as u8,
        syscall: (syscall >> 1) as i16 ^ -((syscall & 1) as i16),
        fd: (fd >> 1) as i32 ^ -((fd & 1) as i32),
        ..record
    })
}

/// Hashes a tid by one multiplication: this runs in the recorder, for every record.
#[derive(Default)]
struct TidHasher(u64);

impl Hasher for TidHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }
    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(32) ^ u64::from(number))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(26);
    }
}

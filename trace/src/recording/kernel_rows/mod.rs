//! Rows of kernel records as columns.
//!
//! A record is told mostly by what is already known: who leaves a CPU is who came to it at the switch before; the time charged to a thread grew by the time since it
//! came; of the two counts of switches one grew by one. What is so predicted costs next to nothing, what is not stands as a difference or a literal.
//!
//! ```text
//! column         what
//! SURPRISE, KIND 16 bits: one for each prediction that failed, and the kind, see `bit`
//! TIME           difference to the record before
//! TID, OTHER     where not as predicted: 0: a thread not seen in this segment, its tid in LITERAL | n + 1: the n-th thread seen in it
//! CHARGED        switch, where not as predicted: difference to the prediction from the thread's last switch on this CPU in this segment
//! OTHER_CHARGED  switch, where not as predicted: difference to the thread's last value in this segment, low 32 bits of both
//! WAITED         switch: the upper 32 bits of that field: difference to the prediction from the thread's last one in this segment and since when it seems to wait
//! LITERAL        what was not as predicted
//! LAG            switch, wakeup: difference to the last record of its kind
//! REST           other kinds, where not as in the last record of its kind: bytes 32 to 64 of the record
//! ```

mod model;
mod threads;

use super::segment::wider;
use crate::columns::Decoder;
use crate::record::{KernelKind, KernelRecord};
use model::{Known, Model, sleeps};
use threads::{ThreadCoder, Threads};

mod column {
    pub const TIME: usize = 0;
    pub const KIND: usize = 1;
    pub const SURPRISE: usize = 2;
    pub const TID: usize = 3;
    pub const OTHER: usize = 4;
    pub const CHARGED: usize = 5;
    pub const OTHER_CHARGED: usize = 6;
    pub const LITERAL: usize = 7;
    pub const REST: usize = 8;
    pub const LAG: usize = 9;
    pub const WAITED: usize = 10;
    pub const COUNT: usize = 11;
}

/// Where the bits of a row stand, low ones first.
const BITS: [usize; 2] = [column::SURPRISE, column::KIND];

/// Bits of a row.
mod bit {
    pub const CPU: u16 = 1;
    pub const PID: u16 = 2;
    pub const OTHER_PID: u16 = 4;
    /// Flags or value.
    pub const HEAD: u16 = 8;
    /// Switch.
    pub const CALL: u16 = 0x10;
    /// Other kinds.
    pub const REST: u16 = 0x10;
    pub const NVCSW: u16 = 0x20;
    pub const NIVCSW: u16 = 0x40;
    pub const PRIO: u16 = 0x80;
    pub const TID: u16 = 0x100;
    pub const OTHER: u16 = 0x200;
    pub const CHARGED: u16 = 0x400;
    pub const OTHER_CHARGED: u16 = 0x800;
    /// The kind, four bits. All of them: it is in LITERAL.
    pub const KIND: u16 = 0xf000;
}

/// What a record holds besides ids, value and lag.
const REST: std::ops::Range<usize> = 32..64;
/// Kinds that are told apart where the last of a kind predicts the next.
const KINDS: usize = 16;

fn of_kind(kind: u8) -> usize {
    usize::from(kind) % KINDS
}

/// Appends the columns of `records`. Returns their first and last time, ns.
pub(super) fn encode(records: &[KernelRecord], out: &mut Vec<u8>) -> Option<(u64, u64)> {
    let mut coder = Threads::new();
    let mut model = Model::new();
    let mut times = None;
    for record in records {
        times = Some(wider(times, record.time_ns));
        row(&mut coder, &mut model, record);
    }
    coder.coder.finish(out);
    times
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

/// A thread: its place in the model.
#[inline(always)]
fn thread(
    coder: &mut impl ThreadCoder,
    (bit, column): (u16, usize),
    model: &mut Model,
    tid: u32,
    predicted: usize,
) -> Option<usize> {
    if coder.is_surprise(bit, model.threads[predicted].tid != tid) {
        coder.other_thread(column, model, tid)
    } else {
        Some(predicted)
    }
}

/// The kind, in the upper bits of the row that begins.
#[inline(always)]
fn begin(coder: &mut impl ThreadCoder, kind: u8) -> Option<u8> {
    let code = u16::from(kind) << bit::KIND.trailing_zeros();
    let is_long = u16::from(kind) >= bit::KIND >> bit::KIND.trailing_zeros();
    let bits = coder.begin_row(BITS, if is_long { bit::KIND } else { code })? & bit::KIND;
    if bits == bit::KIND {
        return coder.byte(column::LITERAL, kind);
    }
    Some((bits >> bit::KIND.trailing_zeros()) as u8)
}

/// Flags and value.
#[inline(always)]
fn head(coder: &mut impl ThreadCoder, actual: (u8, u32), predicted: (u8, u32)) -> Option<(u8, u32)> {
    if coder.is_surprise(bit::HEAD, actual != predicted) {
        let flags = coder.byte(column::LITERAL, actual.0)?;
        Some((flags, coder.number32(column::LITERAL, actual.1)?))
    } else {
        Some(predicted)
    }
}

#[inline(always)]
fn row(coder: &mut impl ThreadCoder, model: &mut Model, actual: &KernelRecord) -> Option<KernelRecord> {
    let kind = begin(coder, actual.kind)?;
    let time_ns = coder.delta(column::TIME, actual.time_ns, model.time_ns)?;
    let cpu = coder.expect32(bit::CPU, column::LITERAL, u32::from(actual.cpu), u32::from(model.cpu))?;
    let (likely, likely_other) = model.predict(kind);
    let who = thread(coder, (bit::TID, column::TID), model, actual.tid, likely)?;
    let pid = coder.expect32(bit::PID, column::LITERAL, actual.pid, model.threads[who].pid)?;
    let other = thread(
        coder,
        (bit::OTHER, column::OTHER),
        model,
        actual.other_tid,
        likely_other,
    )?;
    let other_pid = coder.expect32(
        bit::OTHER_PID,
        column::LITERAL,
        actual.other_pid,
        model.threads[other].pid,
    )?;
    let likely = model.predict_head(kind, who, other);
    let (flags, value) = head(coder, (actual.flags, actual.value), likely)?;
    let (tid, other_tid) = (model.threads[who].tid, model.threads[other].tid);
    let head = KernelRecord {
        time_ns,
        kind,
        flags,
        cpu: cpu.try_into().ok()?,
        tid,
        pid,
        other_tid,
        other_pid,
        value,
        lag: lag(coder, model, kind, actual.lag)?,
        ..KernelRecord::default()
    };
    let record = if kind == KernelKind::Switch as u8 {
        model.lag = head.lag;
        let accounted = model.accounted(time_ns);
        let comer = (&model.threads[other], accounted);
        switch_fields(coder, &model.threads[who], comer, actual, head)?
    } else {
        other_fields(coder, &model.rests[of_kind(kind)], actual, head)?
    };
    coder.end_row(BITS);
    let record = coder.settle(actual, record);
    model.learn(&record, who, other);
    Some(record)
}

/// The lag, of kinds that may have one.
#[inline(always)]
fn lag(coder: &mut impl ThreadCoder, model: &Model, kind: u8, actual: u32) -> Option<u32> {
    if kind == KernelKind::Switch as u8 || kind == KernelKind::Wakeup as u8 {
        low_delta(coder, column::LAG, actual, model.lags[of_kind(kind)])
    } else {
        Some(0)
    }
}

#[inline(always)]
fn switch_fields(
    coder: &mut impl ThreadCoder,
    leaver: &Known,
    (comer, accounted): (&Known, u32),
    actual: &KernelRecord,
    head: KernelRecord,
) -> Option<KernelRecord> {
    let charged_ns = coder.expect_near(
        bit::CHARGED,
        column::CHARGED,
        actual.charged_ns,
        leaver.charged_at(head.time_ns, head.lag),
    )?;
    let (came, likely) = (actual.comer_charged(), comer.charged_ns as u32);
    let came = match coder.is_surprise(bit::OTHER_CHARGED, came != likely) {
        true => low_delta(coder, column::OTHER_CHARGED, came, likely)?,
        false => likely,
    };
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
#[inline(always)]
fn low_delta(coder: &mut impl ThreadCoder, column: usize, actual: u32, predicted: u32) -> Option<u32> {
    let more = i64::from(actual.wrapping_sub(predicted) as i32);
    let more = coder.delta(column, more as u64, 0)? as i64;
    Some(predicted.wrapping_add(more as u32))
}

/// The rest is as in the last record of the kind, or whole. A wakeup's lag has a column of its own.
#[inline(always)]
fn other_fields(
    coder: &mut impl ThreadCoder,
    last: &KernelRecord,
    actual: &KernelRecord,
    head: KernelRecord,
) -> Option<KernelRecord> {
    let has_lag = head.kind == KernelKind::Wakeup as u8;
    let mut rest = *last;
    if coder.is_surprise(bit::REST, !has_same_rest(actual, last, has_lag)) {
        let mut bytes = actual.to_bytes();
        let coded = coder.rest(&bytes[REST])?;
        bytes[REST].copy_from_slice(&coded);
        rest = KernelRecord::from_bytes(&bytes);
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
        lag: if has_lag { head.lag } else { rest.lag },
        ..rest
    })
}

/// Whether bytes [`REST`] are the same, the lag aside where it has a column of its own.
fn has_same_rest(one: &KernelRecord, other: &KernelRecord, has_lag: bool) -> bool {
    let rest = |record: &KernelRecord| {
        (
            (
                record.charged_ns,
                record.other_charged_ns,
                record.syscall,
                record.fd_kind,
            ),
            (record.prio, record.fd, record.nvcsw, record.nivcsw),
            if has_lag { 0 } else { record.lag },
        )
    };
    rest(one) == rest(other)
}

/// File kind in the lowest byte, then system call and descriptor, both so that -1 stays small.
#[inline(always)]
fn pack_call(record: &KernelRecord) -> u64 {
    let syscall = ((record.syscall << 1) ^ (record.syscall >> 15)) as u16;
    let fd = ((record.fd << 1) ^ (record.fd >> 31)) as u32;
    u64::from(record.fd_kind) | u64::from(syscall) << 8 | u64::from(fd) << 24
}

#[inline(always)]
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

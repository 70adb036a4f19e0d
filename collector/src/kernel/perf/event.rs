//! What the kernel writes into a ring of perf events.
//!
//! ```text
//! every record but samples ends with what sample_id_all adds:  pid u32 | tid u32 | time u64 | cpu u32 | reserved u32 | event u64
//! SWITCH_CPU_WIDE (15)   next pid u32 | next tid u32                       misc: bit 13 out, bit 14 preempted
//! SWITCH (14)            nothing more: of an event that belongs to a thread; misc as above
//! FORK (7), EXIT (4)     pid u32 | parent pid u32 | tid u32 | parent tid u32 | time u64
//! COMM (3)               pid u32 | tid u32 | name, padded with zeros       misc: bit 13 by exec
//! LOST (2)               id u64 | count u64
//! THROTTLE (5)           of no use but that it comes: an event makes no records for a while
//! SAMPLE (9)             event u64 | pid u32 | tid u32 | time u64 | cpu u32 | reserved u32 | and of a tracepoint  size u32 | its record, see `tracepoints`
//!                                                                                          of counters      see `counting`
//! ```

use super::counting::Reading;
use super::tracepoints::{Told, Tracepoints};

/// Bytes of the end of every record, and of the beginning of a sample.
const STAMP_BYTES: usize = 32;
/// Bytes of an event's number, with which samples begin and the stamps of other records end.
const NUMBER_BYTES: usize = 8;
/// `prev_state` of who sleeps, and of who is dead.
pub(super) const SLEEPS: u32 = 1;
pub(super) const DEAD: u32 = 0x80;
/// What stands in place of the ids of a thread that is dead already.
pub(super) const NOBODY: u32 = plumb_trace::record::NOT_TOLD;

/// A record of the kernel, as far as it is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Who tells it leaves its CPU to somebody.
    Switch {
        /// As the scheduler has it; 0: it could go on.
        state: u32,
        /// It did not want to leave.
        is_preempted: bool,
        /// Process and thread of who comes.
        next: (u32, u32),
    },
    /// Who tells it leaves its CPU to whomever.
    Left {
        /// It did not want to leave.
        is_preempted: bool,
    },
    /// Who tells it comes to a CPU.
    Came,
    /// What the tracepoints of the scheduler say.
    Told(Told),
    /// A thread is born.
    Fork {
        /// Its process.
        pid: u32,
        /// The thread.
        tid: u32,
        /// Process and thread of its parent.
        parent: (u32, u32),
    },
    /// A thread ends.
    Exit {
        /// Its process.
        pid: u32,
        /// The thread.
        tid: u32,
    },
    /// A thread gets a name.
    Comm {
        /// Its process.
        pid: u32,
        /// The thread.
        tid: u32,
        /// The name.
        comm: String,
        /// For it executes another program.
        is_exec: bool,
    },
    /// Who tells it has come to a CPU that was idle.
    AfterIdle,
    /// What counters have counted when who tells it leaves its CPU.
    Counted(Box<Reading>),
    /// So many records were lost; 0: it is not known how many.
    Lost(u64),
}

/// An event and the stamp of its record: who ran, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    /// CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// Process of who ran.
    pub pid: u32,
    /// Who ran.
    pub tid: u32,
    /// What happened.
    pub event: Event,
}

impl Dated {
    /// An event of a thread goes before the thread leaves its CPU for the last time: that it ends is the last that is told.
    pub fn last_leaving(&self) -> Option<Dated> {
        let &Event::Exit { pid, tid } = &self.event else {
            return None;
        };
        Some(Dated {
            time_ns: self.time_ns,
            pid,
            tid,
            event: Event::Left { is_preempted: false },
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Reads a record. `None` for what is of no use, or is not as it should be. `groups`: the numbers of the CPU's groups of counters.
pub fn parse(kind: u32, misc: u16, bytes: &[u8], tracepoints: &Tracepoints, groups: &[u64]) -> Option<Dated> {
    let (body, stamp) = match kind {
        9 => (bytes.get(STAMP_BYTES..)?, bytes.get(NUMBER_BYTES..STAMP_BYTES)?),
        _ => bytes.split_at_checked(bytes.len().checked_sub(STAMP_BYTES)?)?,
    };
    let (pid, tid) = (u32_at(stamp, 0)?, u32_at(stamp, 4)?);
    let word = |number: usize| u32_at(body, 4 * number);
    let is_out = misc & 1 << 13 != 0;
    let is_preempted = misc & 1 << 14 != 0;
    let event = match kind {
        15 if is_out => Event::Switch {
            state: match tid {
                0 => 0,
                // Also in its end.
                _ if is_preempted => 0,
                NOBODY => DEAD,
                _ => SLEEPS,
            },
            is_preempted,
            next: (word(0)?, word(1)?),
        },
        // Who comes after the idle task: its own leaving is not told on every kernel.
        15 if word(1)? == 0 => Event::AfterIdle,
        14 if is_out => Event::Left { is_preempted },
        14 => Event::Came,
        9 => sample(u64_at(bytes, 0)?, body, tracepoints, groups)?,
        7 => Event::Fork {
            pid: word(0)?,
            tid: word(2)?,
            parent: (word(1)?, word(3)?),
        },
        4 => Event::Exit {
            pid: word(0)?,
            tid: word(2)?,
        },
        3 => {
            let name = body.get(8..)?;
            let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            Event::Comm {
                pid: word(0)?,
                tid: word(1)?,
                comm: String::from_utf8_lossy(&name[..length]).into_owned(),
                is_exec: is_out,
            }
        }
        2 => Event::Lost(u64_at(body, 8)?),
        5 => Event::Lost(0),
        _ => return None,
    };
    Some(Dated {
        time_ns: u64_at(stamp, 8)?,
        pid,
        tid,
        event,
    })
}

fn sample(number: u64, body: &[u8], tracepoints: &Tracepoints, groups: &[u64]) -> Option<Event> {
    match groups.iter().position(|&group| group == number) {
        Some(group) => Some(Event::Counted(Box::new(Reading::parse(group, body)?))),
        None => Some(Event::Told(tracepoints.parse(body.get(4..)?)?)),
    }
}

//! Blocks of states: the running account of a thread, then its intervals.
//!
//! ```text
//! account: 19 sums, voluntary, involuntary, migrations (varints) | how it was before (byte) | CPU before + 1 or 0 (varint)
//! columns: state and flags | length | CPU | stolen | difference of peer | cause | what the cause is about
//! ```
//! The account is what happened before the block: sums over a window need only the blocks that the window's two ends fall into.

use super::format::BLOCK_ROWS;
use super::model::{Cause, StateInterval, StringId, Totals, TrackId};
use super::rows::{self, Row};
use crate::columns::Coder;
use crate::{STATE_COUNT, State, varint};

const HEAD: usize = 0;
const LENGTH: usize = 1;
const CPU: usize = 2;
const STOLEN: usize = 3;
const PEER: usize = 4;
const CAUSE: usize = 5;
const ABOUT: usize = 6;

const STATE_MASK: u8 = 0x1f;
const INVOLUNTARY: u8 = 0x20;
const HAS_CPU: u8 = 0x40;
const HAS_PEER: u8 = 0x80;

/// What the interval before the next one was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum Before {
    #[default]
    Nothing,
    OffCpu,
    LeavesVoluntarily,
    LeavesInvoluntarily,
}

/// All that happened to a thread up to an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    totals: Totals,
    before: Before,
    /// CPU that it ran on last.
    cpu: Option<u16>,
}

impl Account {
    /// Takes an interval in, as far as it lies before `until_ns`, which is after its begin.
    pub(super) fn add(&mut self, interval: &StateInterval, until_ns: u64) {
        self.begin(interval);
        let length = interval.length_ns();
        let part = until_ns.min(interval.end_ns) - interval.start_ns;
        let stolen = prorate(interval.stolen_ns, part, length);
        self.totals.states.add(State::Stolen, stolen);
        self.totals.states.add(interval.state, part - stolen);
        self.totals.prorated = part < length && interval.stolen_ns > 0;
    }

    /// What happens at the instant at which an interval begins.
    fn begin(&mut self, interval: &StateInterval) {
        let runs = interval.state == State::Running;
        match self.before {
            // Two running intervals in a row are one stay on a CPU, told in two parts.
            Before::LeavesVoluntarily if !runs => self.totals.voluntary += 1,
            Before::LeavesInvoluntarily if !runs => self.totals.involuntary += 1,
            _ => {}
        }
        self.before = match (runs, interval.involuntary) {
            (false, _) => Before::OffCpu,
            (true, false) => Before::LeavesVoluntarily,
            (true, true) => Before::LeavesInvoluntarily,
        };
        if runs && let Some(cpu) = interval.cpu {
            self.totals.migrations += u64::from(self.cpu.is_some_and(|before| before != cpu));
            self.cpu = Some(cpu);
        }
    }

    /// What happened between an earlier account and this one.
    pub(super) fn since(&self, earlier: &Account) -> Totals {
        let (now, then) = (&self.totals, &earlier.totals);
        let mut totals = Totals {
            voluntary: now.voluntary.saturating_sub(then.voluntary),
            involuntary: now.involuntary.saturating_sub(then.involuntary),
            migrations: now.migrations.saturating_sub(then.migrations),
            prorated: now.prorated || then.prorated,
            ..Totals::default()
        };
        for (state, ns) in totals.states.ns.iter_mut().enumerate() {
            *ns = now.states.ns[state].saturating_sub(then.states.ns[state]);
        }
        totals
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let Self {
            totals:
                Totals {
                    states,
                    voluntary,
                    involuntary,
                    migrations,
                    prorated: _,
                },
            before,
            cpu,
        } = *self;
        for number in states.ns.into_iter().chain([voluntary, involuntary, migrations]) {
            varint::put(out, number);
        }
        out.push(before as u8);
        varint::put(out, cpu.map_or(0, |cpu| u64::from(cpu) + 1));
    }

    fn decode(bytes: &mut &[u8]) -> Option<Account> {
        let mut account = Account::default();
        for state in 0..STATE_COUNT {
            account.totals.states.ns[state] = take_sum(bytes)?;
        }
        let totals = &mut account.totals;
        for number in [&mut totals.voluntary, &mut totals.involuntary, &mut totals.migrations] {
            *number = take_sum(bytes)?;
        }
        let (&before, rest) = bytes.split_first()?;
        *bytes = rest;
        account.before = match before {
            0 => Before::Nothing,
            1 => Before::OffCpu,
            2 => Before::LeavesVoluntarily,
            3 => Before::LeavesInvoluntarily,
            _ => return None,
        };
        let cpu = varint::take(bytes)?.checked_sub(1);
        account.cpu = cpu.map(u16::try_from).transpose().ok()?;
        Some(account)
    }
}

/// A sum that cannot overflow when a block is added: no thread lives for 146 years.
fn take_sum(bytes: &mut &[u8]) -> Option<u64> {
    varint::take(bytes).filter(|&sum| sum < 1 << 62)
}

/// The stolen time of the first `part` ns of `length`. Rounding down makes sums over adjacent windows the sum over both.
fn prorate(stolen_ns: u64, part: u64, length: u64) -> u64 {
    if part == length {
        return stolen_ns;
    }
    (u128::from(stolen_ns) * u128::from(part) / u128::from(length)) as u64
}

/// Appends a block: the account at its begin, the intervals.
pub(super) fn encode(account: &Account, intervals: &[StateInterval], out: &mut Vec<u8>) {
    account.encode(out);
    // The first interval's begin: all others begin where the one before ended.
    varint::put(out, intervals.first().map_or(0, |interval| interval.start_ns));
    rows::encode(intervals, 0, out);
}

/// Reads a block.
pub(super) fn decode(mut bytes: &[u8], count: usize, track_count: u32) -> Option<(Account, Vec<StateInterval>)> {
    if count > BLOCK_ROWS {
        return None;
    }
    let account = Account::decode(&mut bytes)?;
    let mut begin_ns = varint::take(&mut bytes)?;
    let mut intervals: Vec<StateInterval> = rows::decode(bytes, 0, count, track_count)?;
    for interval in &mut intervals {
        interval.start_ns = begin_ns;
        interval.end_ns = begin_ns.checked_add(interval.end_ns).filter(|&end| end < 1 << 62)?;
        begin_ns = interval.end_ns;
    }
    Some((account, intervals))
}

/// Decoded rows begin at 0: [`decode`] chains them.
impl Row for StateInterval {
    const COLUMNS: usize = 7;
    const BLANK: StateInterval = StateInterval {
        start_ns: 0,
        end_ns: 0,
        state: State::Unknown,
        cpu: None,
        stolen_ns: 0,
        peer: None,
        cause: Cause::None,
        involuntary: false,
    };
    /// The last peer.
    type Model = u32;

    fn model(_level: u8) -> u32 {
        0
    }

    fn code(coder: &mut impl Coder, last_peer: &mut u32, actual: &StateInterval) -> Option<StateInterval> {
        let head = coder.byte(HEAD, head_byte(actual))?;
        let state = State::from_u8(head & STATE_MASK)?;
        let end_ns = coder.number(LENGTH, actual.end_ns.wrapping_sub(actual.start_ns))?;
        let cpu = if head & HAS_CPU == 0 {
            None
        } else {
            Some(code_cpu(coder, actual)?)
        };
        let stolen_ns = if state == State::Running {
            coder.number(STOLEN, actual.stolen_ns)?
        } else {
            0
        };
        let peer = if head & HAS_PEER == 0 {
            None
        } else {
            Some(code_peer(coder, last_peer, actual)?)
        };
        let cause = code_cause(coder, actual.cause)?;
        Some(StateInterval {
            start_ns: 0,
            end_ns,
            state,
            cpu,
            stolen_ns,
            peer,
            cause,
            involuntary: head & INVOLUNTARY != 0,
        })
    }

    fn span(&self) -> (u64, u64) {
        (self.start_ns, self.end_ns)
    }

    fn is_sound(&self, track_count: u32) -> bool {
        self.start_ns < self.end_ns
            && self.state != State::Stolen
            && self.stolen_ns <= self.length_ns()
            && self.peer.is_none_or(|peer| peer.0 < track_count)
    }
}

fn head_byte(interval: &StateInterval) -> u8 {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    interval.state as u8
        | flag(interval.involuntary, INVOLUNTARY)
        | flag(interval.cpu.is_some(), HAS_CPU)
        | flag(interval.peer.is_some(), HAS_PEER)
}

fn code_cpu(coder: &mut impl Coder, actual: &StateInterval) -> Option<u16> {
    coder
        .number(CPU, u64::from(actual.cpu.unwrap_or_default()))?
        .try_into()
        .ok()
}

fn code_peer(coder: &mut impl Coder, last: &mut u32, actual: &StateInterval) -> Option<TrackId> {
    let actual = actual.peer.unwrap_or(TrackId(0)).0;
    *last = u32::try_from(coder.delta(PEER, u64::from(actual), u64::from(*last))?).ok()?;
    Some(TrackId(*last))
}

fn code_cause(coder: &mut impl Coder, actual: Cause) -> Option<Cause> {
    let (number, about) = match actual {
        Cause::None => (0, 0),
        Cause::Woken => (1, 0),
        Cause::WokenByInterrupt => (2, 0),
        Cause::Preempted => (3, 0),
        Cause::Yielded => (4, 0),
        Cause::Born => (5, 0),
        Cause::Class(class) => (6, class.0),
        Cause::Syscall { number, fd_kind } => (7, u32::from(number) << 8 | u32::from(fd_kind)),
        Cause::ClassAgain(class) => (8, class.0),
    };
    Some(match coder.byte(CAUSE, number)? {
        0 => Cause::None,
        1 => Cause::Woken,
        2 => Cause::WokenByInterrupt,
        3 => Cause::Preempted,
        4 => Cause::Yielded,
        5 => Cause::Born,
        6 => Cause::Class(StringId(coder.number32(ABOUT, about)?)),
        7 => {
            let about = coder.number32(ABOUT, about)?;
            Cause::Syscall {
                number: u16::try_from(about >> 8).ok()?,
                fd_kind: about as u8,
            }
        }
        8 => Cause::ClassAgain(StringId(coder.number32(ABOUT, about)?)),
        _ => return None,
    })
}

const _: () = assert!(STATE_COUNT <= STATE_MASK as usize + 1);

//! How long threads wait for a CPU.
//!
//! The CPUs' records come one CPU's after the other's. Of the threads that concern a trigger the events are kept for a moment and then taken in the order of their times, so
//! that what is said of a wait is exact.

use super::{Limits, Passed};
use plumb_trace::record::{KernelKind, KernelRecord, flags};
use std::collections::HashMap;

/// After this time the records of all CPUs have come: drained every 30 ms at least, handed over every 50 (a flight recorder's drain keeps no parcel for longer).
const LAG_NS: u64 = 150_000_000;
/// Events that are kept at most; more are taken in the order in which they came.
const EVENTS_MAX: usize = 1 << 18;
/// Thread ids are below this (PID_MAX_LIMIT).
const TIDS: usize = 1 << 22;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// It is woken; if it runs, that means nothing.
    Woken,
    /// It has left its CPU and wants one again.
    Displaced,
    /// It has come to a CPU; what its book of waiting says (ns, low 32 bits), where there is one.
    In(Option<u32>),
    /// It has left its CPU and waits for something else.
    Out,
    /// It has ended: its id will be another's.
    Gone,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// It has a CPU.
    Runs,
    /// It waits for one since then; the triggers that concern it.
    Waits(u64, u64),
    /// Neither.
    Sleeps,
}

/// What is known of a thread.
#[derive(Clone, Copy, Debug)]
struct Known {
    doing: Doing,
    /// Its book when it last came.
    waited: Option<u32>,
}

impl Known {
    const NOTHING: Known = Known {
        doing: Doing::Sleeps,
        waited: None,
    };
}

#[derive(Clone, Copy, Debug)]
struct Event {
    time_ns: u64,
    tid: u32,
    what: What,
    /// Triggers that concern the thread, as of then: it may have ended since.
    triggers: u64,
}

/// All threads that concern a trigger.
#[derive(Debug)]
pub(super) struct Ready {
    /// Triggers of this kind.
    mine: u64,
    /// One bit for each thread id: whether `concerned` has it.
    marked: Vec<u64>,
    concerned: HashMap<u32, u64>,
    events: Vec<Event>,
    known: HashMap<u32, Known>,
}

impl Ready {
    pub fn new(mine: u64) -> Ready {
        Ready {
            mine,
            marked: if mine == 0 { Vec::new() } else { vec![0; TIDS / 64] },
            concerned: HashMap::new(),
            events: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// These triggers concern the thread, and no others.
    pub fn concern(&mut self, tid: u32, triggers: u64) {
        let triggers = triggers & self.mine;
        if triggers == 0 {
            if self.is_marked(tid) {
                self.events.retain(|event| event.tid != tid);
                self.known.remove(&tid);
            }
            self.unmark(tid);
        } else if let Some(word) = self.marked.get_mut(tid as usize / 64) {
            *word |= 1 << (tid % 64);
            self.concerned.insert(tid, triggers);
        }
    }

    /// A thread is born, with its parent's name. Records come CPU by CPU: a name that it was given since may have been seen already, and holds.
    pub fn born(&mut self, tid: u32, triggers: u64) {
        if triggers & self.mine != 0 && !self.is_marked(tid) {
            self.concern(tid, triggers);
        }
    }

    fn unmark(&mut self, tid: u32) {
        if let Some(word) = self.marked.get_mut(tid as usize / 64) {
            *word &= !(1 << (tid % 64));
            self.concerned.remove(&tid);
        }
    }

    fn is_marked(&self, tid: u32) -> bool {
        self.marked
            .get(tid as usize / 64)
            .is_some_and(|word| word & 1 << (tid % 64) != 0)
    }

    pub fn see(&mut self, record: &KernelRecord) {
        let time_ns = record.time_ns;
        if record.kind == KernelKind::Exit as u8 && self.is_marked(record.tid) {
            self.add(time_ns, record.tid, What::Gone);
            self.unmark(record.tid);
        }
        let is_switch = record.kind == KernelKind::Switch as u8;
        if is_switch && self.is_marked(record.other_tid) {
            self.add(time_ns, record.other_tid, What::In(record.comer_waited()));
        }
        if !self.is_marked(record.tid) {
            return;
        }
        if is_switch {
            let is_runnable = record.value == 0 || record.flags & flags::PREEMPT != 0;
            let what = if is_runnable { What::Displaced } else { What::Out };
            self.add(time_ns, record.tid, what);
        } else if [KernelKind::Waking as u8, KernelKind::Wakeup as u8].contains(&record.kind) {
            self.add(time_ns, record.tid, What::Woken);
        }
    }

    fn add(&mut self, time_ns: u64, tid: u32, what: What) {
        if self.events.len() < EVENTS_MAX {
            let triggers = self.concerned.get(&tid).copied().unwrap_or(0);
            self.events.push(Event {
                time_ns,
                tid,
                what,
                triggers,
            });
        }
    }

    /// Takes what is certain by now. Returns the first wait that passed a limit, with its thread.
    pub fn advance(&mut self, now_ns: u64, limits: &Limits) -> Option<(u32, Passed)> {
        if self.mine == 0 {
            return None;
        }
        let until_ns = now_ns.saturating_sub(LAG_NS);
        self.events.sort_by_key(|event| event.time_ns);
        let certain = self.events.partition_point(|event| event.time_ns < until_ns);
        let certain = if self.events.len() < EVENTS_MAX {
            certain
        } else {
            self.events.len()
        };
        let mut first = None;
        for event in self.events.drain(..certain) {
            let lasted_ns = step(&mut self.known, event);
            let passed = lasted_ns.and_then(|lasted_ns| limits.passed(event.triggers, lasted_ns));
            first = first.or(passed.map(|passed| (event.tid, passed)));
        }
        first.or_else(|| self.still_waiting(until_ns, limits))
    }

    /// A wait that has passed a limit and lasts.
    fn still_waiting(&self, until_ns: u64, limits: &Limits) -> Option<(u32, Passed)> {
        self.known.iter().find_map(|(tid, known)| {
            let Doing::Waits(since_ns, triggers) = known.doing else {
                return None;
            };
            let passed = limits.passed(triggers, until_ns.saturating_sub(since_ns))?;
            Some((*tid, passed))
        })
    }
}

/// Takes an event. Returns how long a wait lasted that it ends, ns.
fn step(known: &mut HashMap<u32, Known>, event: Event) -> Option<u64> {
    if event.what == What::Gone {
        known.remove(&event.tid);
        return None;
    }
    let thread = known.entry(event.tid).or_insert(Known::NOTHING);
    let before = thread.doing;
    match (event.what, before) {
        (What::Woken, Doing::Sleeps) | (What::Displaced, Doing::Sleeps | Doing::Runs) => {
            thread.doing = Doing::Waits(event.time_ns, event.triggers);
        }
        // Woken twice before it runs: it waits since the first time.
        (What::Woken | What::Displaced, _) => {}
        (What::In(waited), _) => {
            let by_book = thread.waited.zip(waited).map(|(before, now)| now.wrapping_sub(before));
            *thread = Known {
                doing: Doing::Runs,
                waited,
            };
            return match before {
                Doing::Waits(since_ns, _) => Some(event.time_ns.saturating_sub(since_ns)),
                // Its waking was told while it still seemed to run.
                Doing::Sleeps => by_book.map(u64::from),
                // That it left was not told: the book may hold other waits too.
                Doing::Runs => None,
            };
        }
        (What::Out | What::Gone, _) => thread.doing = Doing::Sleeps,
    }
    None
}

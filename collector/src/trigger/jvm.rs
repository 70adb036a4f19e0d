//! How long units of work take, and waits for Java monitors.

use super::{Limits, Passed};
use plumb_trace::arena::Clock;
use plumb_trace::record::{JvmKind, JvmRecord};
use plumb_trace::recording::ClockPair;
use std::collections::HashMap;

/// Units in one another that are followed.
const DEPTH_MAX: usize = 64;

/// What is under way on a stream.
#[derive(Debug, Default)]
struct Stream {
    /// Units by their method, with the ticks at their begin.
    units: Vec<(u32, u64)>,
    /// Ticks at which the wait for a monitor began.
    monitor: Option<u64>,
}

/// All JVMs. Nothing is kept where no trigger is about JVMs.
#[derive(Debug)]
pub(super) struct JvmWatch {
    /// Triggers about monitors.
    monitors: u64,
    /// Triggers about units, by unit.
    units: HashMap<String, u64>,
    /// Of each JVM the methods that are units, with their triggers.
    methods: HashMap<(usize, u32), u64>,
    threads: HashMap<(usize, u32), u64>,
    streams: HashMap<(usize, u32), Stream>,
    first: Option<ClockPair>,
    ns_per_tick: f64,
}

impl JvmWatch {
    /// `units` has for each trigger the unit that it is about.
    pub fn new(monitors: u64, units: impl Iterator<Item = Option<String>>) -> JvmWatch {
        let mut by_name: HashMap<String, u64> = HashMap::new();
        for (index, unit) in units.enumerate() {
            if let Some(unit) = unit {
                *by_name.entry(unit).or_default() |= 1 << index;
            }
        }
        JvmWatch {
            monitors,
            units: by_name,
            methods: HashMap::new(),
            threads: HashMap::new(),
            streams: HashMap::new(),
            first: None,
            ns_per_tick: 0.0,
        }
    }

    /// These triggers concern the thread, and no others.
    pub fn concern(&mut self, jvm: usize, tid: u32, triggers: u64) {
        match triggers & self.monitors {
            0 => drop(self.threads.remove(&(jvm, tid))),
            triggers => drop(self.threads.insert((jvm, tid), triggers)),
        }
    }

    pub fn method(&mut self, jvm: usize, id: u32, unit: &str) {
        if let Some(&triggers) = self.units.get(unit) {
            self.methods.insert((jvm, id), triggers);
        }
    }

    /// Learns how long a tick is: the longer it is watched, the better.
    pub fn clock(&mut self, pair: &ClockPair) {
        let first = *self.first.get_or_insert(*pair);
        let ticks = pair.tsc.saturating_sub(first.tsc);
        if ticks > 0 {
            self.ns_per_tick = pair.monotonic_ns.saturating_sub(first.monotonic_ns) as f64 / ticks as f64;
        }
    }

    /// The stream has ended.
    pub fn end(&mut self, stream: (usize, u32)) {
        self.streams.remove(&stream);
    }

    /// The next records of a stream. Returns the first wait or unit that passed a limit.
    pub fn see(
        &mut self,
        key: (usize, u32),
        tid: u32,
        clock: Clock,
        records: &[JvmRecord],
        limits: &Limits,
    ) -> Option<Passed> {
        let concerned = self.threads.get(&(key.0, tid)).copied().unwrap_or(0);
        if concerned == 0 && self.methods.is_empty() {
            return None;
        }
        let ns_per_tick = match clock {
            Clock::Monotonic => 1.0,
            Clock::Tsc => self.ns_per_tick,
        };
        let stream = self.streams.entry(key).or_default();
        let mut first = None;
        for record in records {
            let ended = stream.step(record, |method| self.methods.get(&(key.0, method)).copied(), concerned);
            let passed =
                ended.and_then(|(triggers, ticks)| limits.passed(triggers, (ticks as f64 * ns_per_tick) as u64));
            first = first.or(passed);
        }
        first
    }
}

impl Stream {
    /// Takes a record. Returns what it ends: its triggers, and how many ticks it lasted.
    fn step(&mut self, record: &JvmRecord, unit: impl Fn(u32) -> Option<u64>, concerned: u64) -> Option<(u64, u64)> {
        match record.kind()? {
            JvmKind::Enter => {
                if unit(record.value()).is_some() && self.units.len() < DEPTH_MAX {
                    self.units.push((record.value(), record.ticks));
                }
                None
            }
            JvmKind::Exit | JvmKind::Thrown => {
                let triggers = unit(record.value())?;
                // Calls within it whose end was lost are over, too.
                let at = self.units.iter().rposition(|(method, _)| *method == record.value())?;
                let (_, began) = self.units[at];
                self.units.truncate(at);
                Some((triggers, record.ticks.saturating_sub(began)))
            }
            JvmKind::MonitorEnter => {
                self.monitor = Some(record.ticks);
                None
            }
            JvmKind::MonitorEntered => Some((concerned, record.ticks.saturating_sub(self.monitor.take()?))),
            _ => None,
        }
    }
}

//! How long units of work take, and waits for Java monitors.

use super::{Limits, Passed};
use plumb_trace::arena::Clock;
use plumb_trace::record::{JvmKind, JvmRecord};
use plumb_trace::recording::ClockPair;
use std::collections::{HashMap, HashSet};

/// Units in one another that are followed.
const DEPTH_MAX: usize = 64;

/// What the threads are called that carry virtual threads.
const CARRIERS: &str = "ForkJoinPool-1-worker-";

/// After this time what a stream holds has been read: arenas are looked through every 200 ms, and what they held is handed over within 110.
const LAG_NS: u64 = 500_000_000;

/// Something that has begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    ticks: u64,
    /// The triggers to which it was told that it lasts too long: its end is no news to them.
    told: u64,
}

impl Begun {
    fn at(ticks: u64) -> Begun {
        Begun { ticks, told: 0 }
    }

    /// Those of `triggers` to which its end is news, and how many ticks it lasted.
    fn ends(self, triggers: u64, ticks: u64) -> (u64, u64) {
        (triggers & !self.told, ticks.saturating_sub(self.ticks))
    }
}

/// What is under way on a stream.
#[derive(Debug)]
struct Stream {
    tid: u32,
    clock: Clock,
    /// Units by their method.
    units: Vec<(u32, Begun)>,
    /// The wait for a monitor.
    monitor: Option<Begun>,
    /// It tells which virtual thread is mounted.
    tells_mounts: bool,
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
    /// Threads that have ended, and when that was noticed: definitions come at once, what the thread recorded last comes later.
    leaving: Vec<((usize, u32), Option<u64>)>,
    streams: HashMap<(usize, u32), Stream>,
    /// Threads that may carry virtual ones.
    carriers: HashSet<(usize, u32)>,
    ticks: Ticks,
}

/// How the TSC runs, by the clocks seen so far.
#[derive(Debug, Default)]
struct Ticks {
    first: Option<ClockPair>,
    ns_each: f64,
}

impl Ticks {
    /// The longer it is watched, the better it is known.
    fn learn(&mut self, pair: &ClockPair) {
        let first = *self.first.get_or_insert(*pair);
        let ticks = pair.tsc.saturating_sub(first.tsc);
        if ticks > 0 {
            self.ns_each = pair.monotonic_ns.saturating_sub(first.monotonic_ns) as f64 / ticks as f64;
        }
    }

    /// A length of time of this clock, ns.
    fn length_ns(&self, clock: Clock, ticks: u64) -> u64 {
        match clock {
            Clock::Monotonic => ticks,
            Clock::Tsc => (ticks as f64 * self.ns_each) as u64,
        }
    }

    /// How much before `now_ns` (CLOCK_MONOTONIC) this clock showed `ticks`, ns; 0 where that cannot be said.
    fn age_ns(&self, clock: Clock, ticks: u64, now_ns: u64) -> u64 {
        match (clock, self.first) {
            (Clock::Monotonic, _) => now_ns.saturating_sub(ticks),
            // Before the first pair nothing was watched: it is not younger than that.
            (Clock::Tsc, Some(first)) => now_ns
                .saturating_sub(first.monotonic_ns)
                .saturating_sub(self.length_ns(clock, ticks.saturating_sub(first.tsc))),
            (Clock::Tsc, None) => 0,
        }
    }
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
            leaving: Vec::new(),
            streams: HashMap::new(),
            carriers: HashSet::new(),
            ticks: Ticks::default(),
        }
    }

    /// These triggers concern the thread, and no others.
    pub fn concern(&mut self, jvm: usize, tid: u32, triggers: u64) {
        self.leaving.retain(|(key, _)| *key != (jvm, tid));
        match triggers & self.monitors {
            0 => drop(self.threads.remove(&(jvm, tid))),
            triggers => drop(self.threads.insert((jvm, tid), triggers)),
        }
    }

    /// A thread has this name.
    pub fn named(&mut self, jvm: usize, tid: u32, name: &str) {
        if name.starts_with(CARRIERS) {
            self.carriers.insert((jvm, tid));
        } else {
            self.carriers.remove(&(jvm, tid));
        }
    }

    /// A thread has ended; see [`JvmWatch::forget_ended`].
    pub fn ended(&mut self, jvm: usize, tid: u32) {
        if self.threads.contains_key(&(jvm, tid)) {
            self.leaving.push(((jvm, tid), None));
        }
        self.carriers.remove(&(jvm, tid));
    }

    /// Threads that ended so long ago that all that they recorded has been read are no concern any more.
    pub fn forget_ended(&mut self, now_ns: u64) {
        let threads = &mut self.threads;
        self.leaving.retain_mut(|(key, noticed_ns)| {
            let is_over = now_ns.saturating_sub(*noticed_ns.get_or_insert(now_ns)) >= LAG_NS;
            if is_over {
                threads.remove(key);
            }
            !is_over
        });
    }

    pub fn method(&mut self, jvm: usize, id: u32, unit: &str) {
        if let Some(&triggers) = self.units.get(unit) {
            self.methods.insert((jvm, id), triggers);
        }
    }

    pub fn clock(&mut self, pair: &ClockPair) {
        self.ticks.learn(pair);
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
        let stream = self.streams.entry(key).or_insert_with(|| Stream {
            tid,
            clock,
            units: Vec::new(),
            monitor: None,
            tells_mounts: false,
        });
        stream.tid = tid;
        let mut first = None;
        for record in records {
            let ended = stream.step(record, |method| self.methods.get(&(key.0, method)).copied(), concerned);
            let passed =
                ended.and_then(|(triggers, ticks)| limits.passed(triggers, self.ticks.length_ns(clock, ticks)));
            first = first.or(passed);
        }
        first
    }

    /// A wait or a unit that has passed a limit and lasts: who waits for a lock that nobody gives back must not be told of too late. Returns its thread, too.
    ///
    /// `is_alive` tells of a JVM: one that was killed ends nothing. Where nobody is told which virtual thread is mounted, what a carrier has begun may have gone on elsewhere.
    pub fn lasting(&mut self, now_ns: u64, limits: &Limits, is_alive: impl Fn(usize) -> bool) -> Option<(u32, Passed)> {
        let until_ns = now_ns.saturating_sub(LAG_NS);
        let carriers = &self.carriers;
        let may_lie =
            |key: &(usize, u32), stream: &Stream| !stream.tells_mounts && carriers.contains(&(key.0, stream.tid));
        for (key, stream) in self.streams.iter_mut().filter(|(key, stream)| !may_lie(key, stream)) {
            let (tid, clock) = (stream.tid, stream.clock);
            let concerned = self.threads.get(&(key.0, tid)).copied().unwrap_or(0);
            let monitor = stream.monitor.iter_mut().map(|begun| (concerned, begun));
            let units = stream.units.iter_mut().map(|(method, begun)| {
                let triggers = self.methods.get(&(key.0, *method)).copied();
                (triggers.unwrap_or(0), begun)
            });
            for (triggers, begun) in monitor.chain(units) {
                let age_ns = self.ticks.age_ns(clock, begun.ticks, until_ns);
                let Some(passed) = limits.passed(triggers & !begun.told, age_ns) else {
                    continue;
                };
                begun.told |= passed.triggers;
                if is_alive(key.0) {
                    return Some((tid, passed));
                }
            }
        }
        None
    }
}

impl Stream {
    /// Takes a record. Returns what it ends: its triggers, and how many ticks it lasted.
    fn step(&mut self, record: &JvmRecord, unit: impl Fn(u32) -> Option<u64>, concerned: u64) -> Option<(u64, u64)> {
        match record.kind()? {
            JvmKind::Enter => {
                if unit(record.value()).is_some() && self.units.len() < DEPTH_MAX {
                    self.units.push((record.value(), Begun::at(record.ticks)));
                }
                None
            }
            JvmKind::Exit | JvmKind::Thrown => {
                let triggers = unit(record.value())?;
                // Calls within it whose end was lost are over, too.
                let at = self.units.iter().rposition(|(method, _)| *method == record.value())?;
                let (_, began) = self.units[at];
                self.units.truncate(at);
                Some(began.ends(triggers, record.ticks))
            }
            JvmKind::MonitorEnter => {
                self.monitor = Some(Begun::at(record.ticks));
                None
            }
            JvmKind::MonitorEntered => Some(self.monitor.take()?.ends(concerned, record.ticks)),
            JvmKind::Mount | JvmKind::Unmount => {
                // What the virtual thread has begun here goes on wherever it is mounted next.
                self.tells_mounts = true;
                self.units.clear();
                self.monitor = None;
                None
            }
            _ => None,
        }
    }
}

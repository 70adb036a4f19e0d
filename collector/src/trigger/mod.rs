//! Conditions that a flight recorder watches for in what comes, record by record.
//!
//! What a condition is not about costs a bit's look-up a record. Conditions are met a moment after the fact, when the records of all CPUs have come (some 150 ms).

mod jvm;
mod names;
mod ready;

use crate::glob::Glob;
use crate::proc;
use jvm::JvmWatch;
use names::Names;
use plumb_trace::arena::Clock;
use plumb_trace::definition::Definition;
use plumb_trace::record::{JvmRecord, KernelKind, KernelRecord};
use plumb_trace::recording::ClockPair;
use ready::Ready;

/// Most triggers: each is a bit of a word.
pub const TRIGGERS_MAX: usize = 64;

/// When a flight recorder saves by itself, and what.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// The condition in words.
    pub text: String,
    /// The condition.
    pub when: Condition,
    /// What is saved from before it, ns.
    pub keep_ns: u64,
    /// What is saved from after it, ns.
    pub after_ns: u64,
}

/// What sets a trigger off. Threads are those whose name one of the globs matches.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A thread could run and had no CPU for longer.
    Ready {
        /// Globs over thread names.
        threads: Vec<String>,
        /// Longer than this, ns.
        over_ns: u64,
    },
    /// A thread waited longer for a Java monitor; known while it still waits.
    Monitor {
        /// Globs over thread names.
        threads: Vec<String>,
        /// Longer than this, ns.
        over_ns: u64,
    },
    /// A unit of work took longer; known while it is still under way.
    Unit {
        /// Its name.
        unit: String,
        /// Longer than this, ns.
        over_ns: u64,
    },
    /// More threads than this waited for a CPU at a time, by samples.
    RunQueue {
        /// More than this.
        over: u32,
    },
}

impl Condition {
    fn globs(&self) -> Vec<Glob> {
        match self {
            Condition::Ready { threads, .. } | Condition::Monitor { threads, .. } => {
                threads.iter().map(|glob| Glob::new(glob)).collect()
            }
            Condition::Unit { .. } | Condition::RunQueue { .. } => Vec::new(),
        }
    }

    /// The limit, ns.
    fn over_ns(&self) -> u64 {
        match self {
            Condition::Ready { over_ns, .. } | Condition::Monitor { over_ns, .. } | Condition::Unit { over_ns, .. } => {
                *over_ns
            }
            Condition::RunQueue { .. } => u64::MAX,
        }
    }
}

/// A condition that was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fired {
    /// Place of the trigger in its list.
    pub trigger: usize,
    /// What was seen.
    pub seen: String,
}

/// A wait or a call that passed the limit of the triggers whose bits are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Passed {
    triggers: u64,
    lasted_ns: u64,
}

/// Bits of the triggers that concern something, and their limits.
#[derive(Clone, Debug, Default)]
struct Limits(Vec<u64>);

impl Limits {
    /// Those of `triggers` whose limit is passed.
    fn passed(&self, triggers: u64, lasted_ns: u64) -> Option<Passed> {
        let limits = self.0.iter().enumerate();
        let passed = limits.filter(|&(index, &over_ns)| triggers & 1 << index != 0 && lasted_ns > over_ns);
        let triggers = passed.fold(0, |bits, (index, _)| bits | 1 << index);
        (triggers != 0).then_some(Passed { triggers, lasted_ns })
    }
}

/// All conditions, and what is known for them.
#[derive(Debug)]
pub(crate) struct Watcher {
    triggers: Vec<Trigger>,
    limits: Limits,
    names: Names,
    ready: Ready,
    jvms: JvmWatch,
    fired: Option<Fired>,
}

impl Watcher {
    /// Triggers beyond [`TRIGGERS_MAX`] are left out.
    pub fn new(mut triggers: Vec<Trigger>) -> Watcher {
        triggers.truncate(TRIGGERS_MAX);
        let bits = |wanted: &dyn Fn(&Condition) -> bool| {
            let wanted = triggers.iter().enumerate().filter(|(_, trigger)| wanted(&trigger.when));
            wanted.fold(0u64, |bits, (index, _)| bits | 1 << index)
        };
        Watcher {
            limits: Limits(triggers.iter().map(|trigger| trigger.when.over_ns()).collect()),
            names: Names::new(triggers.iter().map(|trigger| trigger.when.globs()).collect()),
            ready: Ready::new(bits(&|when| matches!(when, Condition::Ready { .. }))),
            jvms: JvmWatch::new(
                bits(&|when| matches!(when, Condition::Monitor { .. })),
                triggers.iter().map(|trigger| match &trigger.when {
                    Condition::Unit { unit, .. } => Some(unit.clone()),
                    _ => None,
                }),
            ),
            fired: None,
            triggers,
        }
    }

    /// The trigger at this place.
    pub fn trigger(&self, index: usize) -> Option<&Trigger> {
        self.triggers.get(index)
    }

    /// The next record of a CPU.
    pub fn see(&mut self, record: &KernelRecord) {
        match KernelKind::from_u8(record.kind) {
            Some(KernelKind::Exec | KernelKind::Rename) => self.comm(record.tid, &record.comm()),
            Some(KernelKind::Fork) => self.ready.born(record.tid, self.names.of_comm(&record.comm())),
            _ => self.ready.see(record),
        }
    }

    /// A thread has this name in the kernel, which may be cut.
    pub fn comm(&mut self, tid: u32, comm: &str) {
        self.ready.concern(tid, self.names.of_comm(comm));
    }

    /// A definition of a JVM; `tid` is the thread's in the initial namespace, where it is about one.
    pub fn define_in_jvm(&mut self, jvm: usize, definition: &Definition, tid: Option<u32>) {
        match definition {
            Definition::JavaThread { tid: own, name, .. } | Definition::JavaThreadName { tid: own, name } => {
                let triggers = self.names.of_name(name);
                self.jvms.concern(jvm, *own, triggers);
                self.jvms.named(jvm, *own, name);
                if let Some(tid) = tid {
                    self.ready.concern(tid, triggers);
                }
            }
            Definition::JavaThreadEnd { tid } => self.jvms.ended(jvm, *tid),
            Definition::Method { id, unit, .. } => self.jvms.method(jvm, *id, unit),
            _ => {}
        }
    }

    /// The clocks, for the lengths of what JVMs tell.
    pub fn clock(&mut self, pair: &ClockPair) {
        self.jvms.clock(pair);
    }

    /// Records of a stream of a JVM; `tid` is the thread's as the JVM sees it.
    pub fn see_jvm(&mut self, jvm: usize, stream: u32, tid: u32, clock: Clock, records: &[JvmRecord]) {
        if let Some(passed) = self.jvms.see((jvm, stream), tid, clock, records, &self.limits) {
            self.fire(passed, &format!("thread {tid} of the JVM"));
        }
    }

    /// A stream of a JVM has ended.
    pub fn end_stream(&mut self, jvm: usize, stream: u32) {
        self.jvms.end((jvm, stream));
    }

    /// Looks at what has become certain by now, and at the run queue. `may_fire`: somebody would listen; what lasts is told once, so not in vain. `is_alive` tells of a JVM.
    pub fn look(&mut self, now_ns: u64, may_fire: bool, is_alive: impl Fn(usize) -> bool) {
        if let Some((tid, passed)) = self.ready.advance(now_ns, &self.limits) {
            self.fire(passed, &format!("thread {tid}"));
        }
        self.jvms.forget_ended(now_ns);
        if may_fire
            && self.fired.is_none()
            && let Some((tid, passed)) = self.jvms.lasting(now_ns, &self.limits, is_alive)
        {
            self.fire(passed, &format!("thread {tid} of the JVM, still under way"));
        }
        let is_queue = |trigger: &Trigger| matches!(trigger.when, Condition::RunQueue { .. });
        if self.fired.is_none() && self.triggers.iter().any(is_queue) {
            let waiting = waiting();
            let passed = |trigger: &Trigger| matches!(trigger.when, Condition::RunQueue { over } if waiting > over);
            if let Some(trigger) = self.triggers.iter().position(passed) {
                let seen = format!("{waiting} threads waited for a CPU");
                self.fired = Some(Fired { trigger, seen });
            }
        }
    }

    fn fire(&mut self, passed: Passed, who: &str) {
        let seen = format!("{who}: {:.3} ms", passed.lasted_ns as f64 / 1e6);
        let trigger = passed.triggers.trailing_zeros() as usize;
        self.fired.get_or_insert(Fired { trigger, seen });
    }

    /// What was met since the last call.
    pub fn take_fired(&mut self) -> Option<Fired> {
        self.fired.take()
    }
}

/// Threads that wait for a CPU now: the kernel's count of those that want to run, without those that do.
fn waiting() -> u32 {
    let runnable = proc::read_trimmed("/proc/loadavg").and_then(|text| {
        let field = text.split(' ').nth(3)?;
        field.split('/').next()?.parse::<u32>().ok()
    });
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
    runnable.unwrap_or(0).saturating_sub(cpus)
}

#[cfg(test)]
mod tests;

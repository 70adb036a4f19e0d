//! Findings: what is overloaded, how much, on what evidence, who is to blame, what to do.
//!
//! | kind | of whom | share |
//! | --- | --- | --- |
//! | `cpu-starved` | a group | the part of the base in which its threads could run and had no CPU (`ready`) |
//! | `cpu-throttled` | a group | the part of the base in which they could run and the quota of their cgroup was spent |
//! | `lock-contended` | a group | the part of the base in which they waited for a Java monitor, or in `park` for a `ReentrantLock` |
//! | `gc-pauses` | a JVM | the part of the window in which the JVM was paused, at least half of it for its collector, or for causes that are not known |
//! | `safepoint-pauses` | a JVM | the same, more than half of it for other operations |
//! | `carriers-pinned` | a process | the part of its carriers' time in which virtual threads kept them while blocked |
//!
//! The base is the time in which a group had something to do. Where units of work are recorded, that is the time from each unit's start to its
//! end, whatever the thread did meanwhile; and only groups that do units are judged, for that is what the server is there for. Where none are, it is what
//! threads did and what kept them from doing more: running, stolen, ready, throttled, monitor, disk, fault, pause, and in a finding of locks the parks for these. Waiting for work, for time to pass or
//! for somebody else's answer (idle, wait, park, sleep, net, poll, futex, other system calls) does not count then: a healthy server
//! does hardly anything else.
//!
//! The base of starvation leaves out `monitor`, and without units everything but running, stolen, ready and throttled: where fifteen threads wait for
//! a lock, the one that has it starves all the same.
//!
//! Of groups that are longer in `park` or `net` than in any other state it is told what they wait for: see [`waits`].
//!
//! Only groups of the processes that the recording is about can be ill; in a JVM only their Java threads. Anybody can be a
//! culprit. Shares of culprits are of the time waited. Of `cpu-throttled` they are of the
//! CPU time that was spent. Thresholds stand in [`cpu`], [`throttled`], [`lock`], [`gc`] and [`pinned`].

mod cpu;
mod gc;
mod lock;
mod pinned;
mod places;
mod throttled;
mod waits;

use std::collections::HashMap;

use plumb_trace::{
    State, StateTotals,
    timeline::{Process, Query, TimelineError, Track, TrackId, Unit},
};

use crate::{
    Window,
    format::share,
    roles::{self, Role},
    stretches::{Stretches, UnitStretches},
    sweep,
    window::sum,
};

pub use waits::{Waited, Waits};

/// A group must have lost at least this part of the window, summed over its threads, for a finding to be worth telling.
const LOST_MIN: f64 = 0.05;
/// From this share on a finding is severe.
const SEVERE_MIN: f64 = 0.5;
/// How many culprits are named.
const CULPRITS_MAX: usize = 5;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// `cpu-starved`, `cpu-throttled`, `lock-contended`, `gc-pauses`, `safepoint-pauses`, `carriers-pinned`.
    pub kind: &'static str,
    /// Whose threads suffer; of pauses and pinned carriers, which process.
    pub group: String,
    /// How bad it is.
    pub severity: Severity,
    /// Of what it would be without, by kind: see the module.
    pub share: f64,
    /// What was measured, one line each.
    pub evidence: Vec<String>,
    /// Who is to blame, the worst first.
    pub culprits: Vec<Culprit>,
    /// What to do about it.
    pub remedy: String,
    /// What it cost, summed over threads, ns: findings are told in this order.
    pub lost_ns: u64,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Worth looking at.
    Warning,
    /// Half of the time or more is lost.
    Severe,
}

impl Severity {
    /// Name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Severe => "severe",
        }
    }

    fn of(share: f64) -> Self {
        if share >= SEVERE_MIN {
            Severity::Severe
        } else {
            Severity::Warning
        }
    }
}

/// Who is to blame.
#[derive(Clone, Debug, PartialEq)]
pub struct Culprit {
    /// Threads of which group and program.
    pub role: Role,
    /// Class of the lock, of `lock-contended`.
    pub class: Option<String>,
    /// Of the time waited.
    pub share: f64,
}

/// A group that can be ill.
struct Subject<'q> {
    group: &'q str,
    /// The processes that its threads belong to.
    processes: Vec<&'q Process>,
    threads: Vec<TrackId>,
    /// How many units of work they did.
    units: u64,
    /// What they did while they had something to do: within units, or all the time where none are recorded.
    states: StateTotals,
    /// When its threads were at work on units.
    stretches: UnitStretches,
}

impl Subject<'_> {
    /// Time in `state` and its share of the base, to which the states in `apart` do not belong; see the module.
    fn loss(&self, state: State, apart: &[State]) -> Loss {
        let no_units = [State::Running, State::Stolen, State::Ready, State::Throttled]
            .into_iter()
            .chain([State::Monitor, State::Disk, State::Fault, State::Pause]);
        let states: Vec<State> = if self.units > 0 {
            State::ALL.to_vec()
        } else {
            no_units.collect()
        };
        let base = states.into_iter().filter(|state| !apart.contains(state));
        let base_ns = sum(base.map(|state| self.states.get(state)));
        Loss::new(self.states.get(state), base_ns)
    }

    /// Time in which it waited for locks: that in `monitor`, and so much of that in `park`.
    fn loss_by_locks(&self, parked_ns: u64) -> Loss {
        let Loss { lost_ns, base_ns, .. } = self.loss(State::Monitor, &[]);
        // Units have all their time in the base already.
        let more_ns = if self.units > 0 { 0 } else { parked_ns };
        Loss::new(lost_ns.saturating_add(parked_ns), base_ns.saturating_add(more_ns))
    }

    /// What its threads did while they had something to do, as far as units tell.
    fn work(&self, window: Window) -> Stretches<'_> {
        let units = (self.units > 0).then_some(&self.stretches);
        Stretches::within(units, &self.threads, window)
    }

    /// ` within them` where units are meant.
    fn within(&self) -> &'static str {
        if self.units > 0 { " within them" } else { "" }
    }

    /// `12 threads of request`, `3400 units of request`.
    fn text(&self) -> String {
        match (self.units, self.threads.len()) {
            (0, 1) => format!("1 thread of {}", self.group),
            (0, count) => format!("{count} threads of {}", self.group),
            (count, _) => format!("{count} units of {}", self.group),
        }
    }
}

/// Time that a group lost.
struct Loss {
    lost_ns: u64,
    base_ns: u64,
    share: f64,
}

impl Loss {
    fn new(lost_ns: u64, base_ns: u64) -> Self {
        Self {
            lost_ns,
            base_ns,
            share: share(lost_ns, base_ns),
        }
    }
}

/// What is wrong, and what groups wait for that are longest in `park` or `net`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Diagnosis {
    /// The costliest first.
    pub findings: Vec<Finding>,
    /// The longest first.
    pub waits: Vec<Waits>,
}

/// Finds what is wrong in a window.
pub(crate) fn diagnosis(query: &dyn Query, window: Window) -> Result<Diagnosis, TimelineError> {
    let Diagnosis {
        mut findings,
        mut waits,
    } = Diagnosis::default();
    for subject in subjects(query, window)? {
        findings.extend(cpu::finding(query, &subject, window)?);
        findings.extend(throttled::finding(query, &subject, window)?);
        findings.extend(lock::finding(query, &subject, window)?);
        waits.extend(waits::waits(query, &subject, window)?);
    }
    findings.extend(gc::findings(query, window)?);
    findings.extend(pinned::findings(query, window)?);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.lost_ns));
    waits.sort_by_key(|waits| std::cmp::Reverse(waits.waited_ns));
    Ok(Diagnosis { findings, waits })
}

fn subjects<'q>(query: &'q dyn Query, window: Window) -> Result<Vec<Subject<'q>>, TimelineError> {
    let mut subjects = groups(query, window);
    judge_by_units(query, window, &mut subjects)?;
    if subjects.iter().any(|subject| subject.units > 0) {
        subjects.retain(|subject| subject.units > 0);
        return Ok(subjects);
    }
    for subject in &mut subjects {
        for thread in &subject.threads {
            subject
                .states
                .merge(&query.totals(*thread, window.from_ns, window.to_ns)?.states);
        }
    }
    Ok(subjects)
}

/// The groups that can be ill, with their threads.
fn groups(query: &dyn Query, window: Window) -> Vec<Subject<'_>> {
    let mut subjects: Vec<Subject<'_>> = Vec::new();
    let has_targets = query.processes().iter().any(|process| process.target);
    for (id, track) in roles::threads(query) {
        let (Some(group), Some(process)) = (roles::group(query, track), roles::process(query, track)) else {
            continue;
        };
        let is_alive = window.clip(track.start_ns, track.end_ns).is_some();
        if !is_alive || !can_be_ill(track, process, has_targets) {
            continue;
        }
        let found = subjects.iter().position(|subject| subject.group == group);
        let index = found.unwrap_or_else(|| {
            let (processes, threads, states) = (Vec::new(), Vec::new(), StateTotals::default());
            subjects.push(Subject {
                group,
                processes,
                threads,
                units: 0,
                states,
                stretches: UnitStretches::default(),
            });
            subjects.len() - 1
        });
        let subject = &mut subjects[index];
        subject.threads.push(id);
        if !subject.processes.contains(&process) {
            subject.processes.push(process);
        }
    }
    subjects
}

fn can_be_ill(track: &Track, process: &Process, has_targets: bool) -> bool {
    (process.target || !has_targets) && !process.plumb && (track.java || !process.jvm)
}

/// Sums what threads did within units. A unit inside of another one is part of it and not counted again.
fn judge_by_units(query: &dyn Query, window: Window, subjects: &mut [Subject<'_>]) -> Result<(), TimelineError> {
    let numbered = subjects.iter().enumerate();
    let subject_of: HashMap<TrackId, usize> = numbered
        .flat_map(|(index, subject)| subject.threads.iter().map(move |thread| (*thread, index)))
        .collect();
    let mut last: Option<sweep::Work> = None;
    let is_wanted = |unit: &Unit| subject_of.contains_key(&unit.track);
    sweep::each_unit_totals(query, window, window, is_wanted, |unit, totals| {
        let is_inside = last
            .is_some_and(|outer| outer.track == unit.track && (outer.start_ns..outer.end_ns).contains(&unit.start_ns));
        if let Some(subject) = subject_of.get(&unit.track).filter(|_| !is_inside) {
            let subject = &mut subjects[*subject];
            subject.units += 1;
            subject.states.merge(&totals.states);
            let stretch = window.clip(unit.start_ns, unit.end_ns);
            stretch.inspect(|stretch| subject.stretches.add(unit.track, *stretch));
            last = Some(*unit);
        }
    })?;
    subjects.iter_mut().for_each(|subject| subject.stretches.finish());
    Ok(())
}

/// Whether a loss of time is worth telling.
fn is_worth_telling(lost_ns: u64, window: Window) -> bool {
    share(lost_ns, window.length_ns()) >= LOST_MIN
}

#[cfg(test)]
mod tests;

//! Findings: what is overloaded, how much, on what evidence, who is to blame, what to do.
//!
//! | kind | of whom | share | told from |
//! | --- | --- | --- | --- |
//! | `cpu-starved` | a group | ready / (running + stolen + ready + throttled): of the time in which its threads could run, the part in which they had no CPU | [`cpu::SHARE_MIN`] |
//! | `lock-contended` | a group | monitor / busy: of the time in which its threads wanted to go on, the part in which they waited for a Java monitor | [`lock::SHARE_MIN`] |
//! | `gc-pauses` | a JVM | the part of the window in which the JVM was paused | [`gc::SHARE_MIN`] |
//!
//! *busy* is running + stolen + ready + throttled + monitor + disk + fault + pause: what threads did, and what kept them from doing more. Waiting
//! for work, for time to pass or for somebody else's answer (idle, wait, park, sleep, net, poll, futex, other system calls) is not: a healthy server does hardly anything
//! else. Starvation leaves locks out of its base: where fifteen threads wait for a lock, the one that has it starves all the same.
//!
//! Only groups of the processes that the recording is about can be ill; in a JVM only their Java threads. Anybody can be a
//! culprit. Shares of culprits are of the time waited.

mod cpu;
mod gc;
mod lock;

use plumb_trace::{
    State, StateTotals,
    timeline::{Process, Query, TimelineError, Track, TrackId},
};

use crate::{
    Window,
    format::share,
    roles::{self, Role},
    window::sum,
};

/// A group must have lost at least this part of the window, summed over its threads, for a finding to be worth telling.
const LOST_MIN: f64 = 0.05;
/// From this share on a finding is severe.
const SEVERE_MIN: f64 = 0.5;
/// How many culprits are named.
const CULPRITS_MAX: usize = 5;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// `cpu-starved`, `lock-contended`, `gc-pauses`.
    pub kind: &'static str,
    /// Whose threads suffer; of `gc-pauses`, which process.
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
    states: StateTotals,
}

/// Finds what is wrong in a window, the costliest first.
pub(crate) fn findings(query: &dyn Query, window: Window) -> Result<Vec<Finding>, TimelineError> {
    let mut findings = Vec::new();
    for subject in subjects(query, window)? {
        findings.extend(cpu::finding(query, &subject, window)?);
        findings.extend(lock::finding(query, &subject, window)?);
    }
    findings.extend(gc::findings(query, window)?);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.lost_ns));
    Ok(findings)
}

fn subjects<'q>(query: &'q dyn Query, window: Window) -> Result<Vec<Subject<'q>>, TimelineError> {
    let mut subjects: Vec<Subject<'q>> = Vec::new();
    let has_targets = query.processes().iter().any(|process| process.target);
    for (id, track) in roles::threads(query) {
        let (Some(group), Some(process)) = (roles::group(query, track), roles::process(query, track)) else {
            continue;
        };
        let Some(life) = window.clip(track.start_ns, track.end_ns) else {
            continue;
        };
        if !can_be_ill(track, process, has_targets) {
            continue;
        }
        let totals = query.totals(id, life.from_ns, life.to_ns)?;
        let found = subjects.iter().position(|subject| subject.group == group);
        let index = found.unwrap_or_else(|| {
            subjects.push(Subject {
                group,
                processes: Vec::new(),
                threads: Vec::new(),
                states: StateTotals::default(),
            });
            subjects.len() - 1
        });
        let subject = &mut subjects[index];
        subject.threads.push(id);
        subject.states.merge(&totals.states);
        if !subject.processes.contains(&process) {
            subject.processes.push(process);
        }
    }
    Ok(subjects)
}

fn can_be_ill(track: &Track, process: &Process, has_targets: bool) -> bool {
    (process.target || !has_targets) && !process.plumb && (track.java || !process.jvm)
}

/// The time in which threads could run.
fn runnable_ns(states: &StateTotals) -> u64 {
    let could_run = [State::Running, State::Stolen, State::Ready, State::Throttled];
    sum(could_run.map(|state| states.get(state)))
}

/// The time in which threads wanted to go on; see the module.
fn busy_ns(states: &StateTotals) -> u64 {
    let kept_from_it = [State::Monitor, State::Disk, State::Fault, State::Pause];
    sum(kept_from_it.map(|state| states.get(state))).saturating_add(runnable_ns(states))
}

/// Whether a loss of time is worth telling.
fn is_worth_telling(lost_ns: u64, window: Window) -> bool {
    share(lost_ns, window.length_ns()) >= LOST_MIN
}

#[cfg(test)]
mod tests;

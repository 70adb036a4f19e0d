//! `cpu-starved`: threads that could run and have no CPU.

use plumb_trace::{
    State,
    timeline::{Query, TimelineError},
};

use super::{CULPRITS_MAX, Culprit, Finding, Severity, Subject, is_worth_telling, runnable_ns};
use crate::{
    Window,
    format::{duration, percent, share},
    occupancy::{CpuWaits, who_had_the_cpu},
    roles::{IDLE, Role},
    window::sum,
};

/// From this share on a group starves. Short requests that wake often wait a tenth or two of their time on an idle machine; somebody who takes
/// the CPU from them makes it a half and more.
pub(super) const SHARE_MIN: f64 = 0.35;
/// Culprits with a smaller share are not named.
const CULPRIT_MIN: f64 = 0.02;

pub(super) fn finding(
    query: &dyn Query,
    subject: &Subject<'_>,
    window: Window,
) -> Result<Option<Finding>, TimelineError> {
    let runnable_ns = runnable_ns(&subject.states);
    let lost_ns = subject.states.get(State::Ready);
    let share = share(lost_ns, runnable_ns);
    if share < SHARE_MIN || !is_worth_telling(lost_ns, window) {
        return Ok(None);
    }
    let waits = who_had_the_cpu(query, &subject.threads, window)?;
    let culprits = culprits(&waits);
    Ok(Some(Finding {
        kind: "cpu-starved",
        group: subject.group.to_owned(),
        severity: Severity::of(share),
        share,
        evidence: evidence(subject, &waits, runnable_ns, &culprits),
        remedy: remedy(subject, culprits.first()),
        culprits,
        lost_ns,
    }))
}

fn culprits(waits: &CpuWaits) -> Vec<Culprit> {
    let held_ns = sum(waits.holders.iter().map(|(_, ns)| *ns));
    let nobody = (Role::named(IDLE), waits.ready_ns.saturating_sub(held_ns));
    let mut all: Vec<(Role, u64)> = waits.holders.clone();
    all.push(nobody);
    all.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    let culprits = all.into_iter().map(|(role, ns)| Culprit {
        role,
        class: None,
        share: share(ns, waits.ready_ns),
    });
    culprits
        .filter(|culprit| culprit.share >= CULPRIT_MIN)
        .take(CULPRITS_MAX)
        .collect()
}

fn evidence(subject: &Subject<'_>, waits: &CpuWaits, runnable_ns: u64, culprits: &[Culprit]) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{} threads of {} could run for {} and had no CPU for {} of it",
            subject.threads.len(),
            subject.group,
            duration(runnable_ns),
            duration(waits.ready_ns)
        ),
        format!(
            "{} waits, {} each on average, {} the longest",
            waits.waits,
            duration(waits.ready_ns / waits.waits.max(1)),
            duration(waits.longest_ns)
        ),
    ];
    let had = culprits.iter().filter(|culprit| culprit.role.process != IDLE);
    lines.extend(had.map(|culprit| {
        format!(
            "{} had the CPU that they waited for {} of that time",
            culprit.role.text(),
            percent(culprit.share)
        )
    }));
    lines
}

fn remedy(subject: &Subject<'_>, worst: Option<&Culprit>) -> String {
    let own = |culprit: &Culprit| {
        subject
            .processes
            .iter()
            .any(|process| process.name == culprit.role.process)
    };
    match worst.filter(|culprit| culprit.role.process != IDLE) {
        Some(culprit) if !own(culprit) => format!(
            "move {0} elsewhere or limit it (nice, a cpuset, a CPU quota of its cgroup), or give the server CPUs of its own",
            culprit.role.process
        ),
        Some(culprit) if culprit.role.group.as_deref() == Some(subject.group) => format!(
            "the threads of {0} wait for each other: more CPUs, less work in each unit, or fewer threads of {0} at once",
            subject.group
        ),
        Some(culprit) => format!("more CPUs, or less work for {}", culprit.role.text()),
        None => "more CPUs, or fewer threads at once".to_owned(),
    }
}

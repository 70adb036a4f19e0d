//! `cpu-throttled`: threads whose cgroup has spent its quota of CPU time.

use std::collections::BTreeMap;

use plumb_trace::{
    State,
    timeline::{Query, TimelineError},
};

use super::{CULPRITS_MAX, Culprit, Finding, Loss, Severity, Subject, is_worth_telling};
use crate::{
    Window,
    format::{duration, percent, share},
    roles::{self, Role},
    window::sum,
};

/// From this share of the base on it is told. A server that can do its work within its quota is throttled in none of its periods.
pub(super) const SHARE_MIN: f64 = 0.1;
/// Who spent a smaller share of the quota is not named.
const CULPRIT_MIN: f64 = 0.02;

/// What does not belong to the base: as of starvation.
const APART: [State; 4] = [State::Monitor, State::Disk, State::Fault, State::Pause];

pub(super) fn finding(
    query: &dyn Query,
    subject: &Subject<'_>,
    window: Window,
) -> Result<Option<Finding>, TimelineError> {
    let apart = if subject.units > 0 { &APART[..1] } else { &APART[..] };
    let loss = subject.loss(State::Throttled, apart);
    if loss.share < SHARE_MIN || !is_worth_telling(loss.lost_ns, window) {
        return Ok(None);
    }
    let cgroups = cgroups(subject);
    let culprits = spenders(query, &cgroups, window)?;
    Ok(Some(Finding {
        kind: "cpu-throttled",
        group: subject.group.to_owned(),
        severity: Severity::of(loss.share),
        share: loss.share,
        evidence: evidence(subject, &loss, &cgroups, &culprits),
        remedy: remedy(subject, &cgroups),
        culprits,
        lost_ns: loss.lost_ns,
    }))
}

/// The cgroups of a group's processes, each once.
fn cgroups<'q>(subject: &Subject<'q>) -> Vec<&'q str> {
    let mut cgroups: Vec<&str> = subject
        .processes
        .iter()
        .map(|process| process.cgroup.as_str())
        .collect();
    cgroups.retain(|cgroup| !cgroup.is_empty());
    cgroups.sort_unstable();
    cgroups.dedup();
    cgroups
}

/// Who ran in these cgroups: quotas are spent by running.
fn spenders(query: &dyn Query, cgroups: &[&str], window: Window) -> Result<Vec<Culprit>, TimelineError> {
    let mut ran: BTreeMap<Role, u64> = BTreeMap::new();
    for (id, track) in roles::threads(query) {
        let process = roles::process(query, track);
        // Virtual threads are told by their carriers.
        if track.tid.is_none() || !process.is_some_and(|process| cgroups.contains(&process.cgroup.as_str())) {
            continue;
        }
        let states = query.totals(id, window.from_ns, window.to_ns)?.states;
        *ran.entry(roles::role(query, id)).or_default() += states.get(State::Running);
    }
    let all_ns = sum(ran.values().copied());
    let mut ran: Vec<(Role, u64)> = ran.into_iter().collect();
    ran.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    let culprits = ran.into_iter().map(|(role, ns)| Culprit {
        role,
        class: None,
        share: share(ns, all_ns),
    });
    Ok(culprits
        .filter(|culprit| culprit.share >= CULPRIT_MIN)
        .take(CULPRITS_MAX)
        .collect())
}

fn evidence(subject: &Subject<'_>, loss: &Loss, cgroups: &[&str], culprits: &[Culprit]) -> Vec<String> {
    let base = if subject.units > 0 {
        "took (waiting for locks apart)"
    } else {
        "could run for"
    };
    let mut lines = vec![format!(
        "{} {base} {}, and for {} of it the CPU quota of {} was spent",
        subject.text(),
        duration(loss.base_ns),
        duration(loss.lost_ns),
        shown(cgroups)
    )];
    let spent = culprits.iter().map(|culprit| {
        format!(
            "{} had {} of the CPU time that was spent there",
            culprit.role.text(),
            percent(culprit.share)
        )
    });
    lines.extend(spent);
    lines
}

fn remedy(subject: &Subject<'_>, cgroups: &[&str]) -> String {
    format!(
        "a higher quota for {} (cpu.max, cpu.cfs_quota_us; of a container its CPU limit), less work in it beside {}, or fewer threads at once: \
         all that run at a time spend one quota",
        shown(cgroups),
        subject.group
    )
}

fn shown(cgroups: &[&str]) -> String {
    match cgroups {
        [] => "their cgroup".to_owned(),
        [cgroup] => format!("cgroup {cgroup}"),
        many => format!("one of the cgroups {}", many.join(", ")),
    }
}

//! `cpu-throttled`: threads whose cgroup, or one around it, has spent its quota of CPU time.
//!
//! Which cgroup that is the counters of those that have a quota tell, which are called `cgroup.throttled_time PATH`: the nearest that was throttled in the window. Where they do not tell, it is not
//! said who spent it.

use std::collections::BTreeMap;

use plumb_trace::{
    State,
    timeline::{Process, Query, TimelineError, Track, TrackId, TrackKind},
};

use super::{CULPRITS_MAX, Culprit, Finding, Loss, Severity, Subject, is_worth_telling};
use crate::{
    Window,
    counts::growth,
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
const COUNTER: &str = "cgroup.throttled_time ";

/// A cgroup of a host.
type Cgroup<'q> = (u32, &'q str);

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
    let limits = limits(query, subject, window)?;
    let culprits = spenders(query, &limits, window)?;
    let shown = shown(subject, &limits);
    Ok(Some(Finding {
        kind: "cpu-throttled",
        group: subject.group.to_owned(),
        severity: Severity::of(loss.share),
        share: loss.share,
        evidence: evidence(subject, &loss, &shown, &culprits),
        remedy: format!(
            "a higher quota for {shown} (cpu.max, cpu.cfs_quota_us; of a container its CPU limit), less work in it beside {}, or fewer threads at once: all \
             that run at a time spend one quota",
            subject.group
        ),
        culprits,
        lost_ns: loss.lost_ns,
    }))
}

/// What the cgroups around a group were throttled for, where threads are not told to be: kernels before 6.18 do not say of a thread that it is, and it seems to be ready.
pub(super) fn hint(query: &dyn Query, subject: &Subject<'_>, window: Window) -> Result<Option<String>, TimelineError> {
    if subject.states.get(State::Throttled) > 0 {
        return Ok(None);
    }
    let limits = limits(query, subject, window)?;
    Ok((!limits.is_empty()).then(|| {
        let shown = shown(subject, &limits);
        format!("the CPU quota of {shown} was spent meanwhile: a part of this may be that")
    }))
}

/// The cgroups whose quota was spent in the window.
fn throttled(query: &dyn Query, window: Window) -> Result<Vec<Cgroup<'_>>, TimelineError> {
    let mut throttled = Vec::new();
    for (track, number) in query.tracks().iter().zip(0..) {
        if let Some(cgroup) = counted(query, track)
            && growth(query, (TrackId(number), track), window)? > 0
        {
            throttled.push(cgroup);
        }
    }
    Ok(throttled)
}

fn counted<'q>(query: &'q dyn Query, track: &'q Track) -> Option<Cgroup<'q>> {
    let is_counter = matches!(track.kind, TrackKind::Counter { .. });
    let path = track.name.strip_prefix(COUNTER).filter(|_| is_counter)?;
    Some((roles::process(query, track)?.host, path))
}

/// Whether a process is in a cgroup, or in one within it.
fn is_in(process: &Process, (host, path): Cgroup<'_>) -> bool {
    let within = process.cgroup.strip_prefix(path.trim_end_matches('/'));
    process.host == host && within.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Of each of the group's processes the nearest cgroup whose quota was spent, each once.
fn limits<'q>(query: &'q dyn Query, subject: &Subject<'_>, window: Window) -> Result<Vec<Cgroup<'q>>, TimelineError> {
    let throttled = throttled(query, window)?;
    let nearest = subject.processes.iter().filter_map(|process| {
        let around = throttled.iter().copied().filter(|cgroup| is_in(process, *cgroup));
        around.max_by_key(|(_, path)| path.len())
    });
    let mut limits: Vec<Cgroup<'_>> = nearest.collect();
    limits.sort_unstable();
    limits.dedup();
    Ok(limits)
}

/// Who ran in these cgroups: quotas are spent by running.
fn spenders(query: &dyn Query, limits: &[Cgroup<'_>], window: Window) -> Result<Vec<Culprit>, TimelineError> {
    let mut ran: BTreeMap<Role, u64> = BTreeMap::new();
    for (id, track) in roles::threads(query) {
        let process = roles::process(query, track);
        let is_within = process.is_some_and(|process| limits.iter().any(|limit| is_in(process, *limit)));
        // Virtual threads are told by their carriers.
        if track.tid.is_none() || !is_within {
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

fn evidence(subject: &Subject<'_>, loss: &Loss, shown: &str, culprits: &[Culprit]) -> Vec<String> {
    let base = if subject.units > 0 {
        "took (waiting for locks apart)"
    } else {
        "could run for"
    };
    let mut lines = vec![format!(
        "{} {base} {}, and for {} of it the CPU quota of {shown} was spent",
        subject.text(),
        duration(loss.base_ns),
        duration(loss.lost_ns),
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

fn shown(subject: &Subject<'_>, limits: &[Cgroup<'_>]) -> String {
    let own = subject.processes.iter().find(|process| !process.cgroup.is_empty());
    match (limits, own) {
        ([(_, path)], _) => format!("cgroup {path}"),
        ([], Some(process)) => format!("cgroup {}, or of one around it,", process.cgroup),
        ([], None) => "their cgroup, or of one around it,".to_owned(),
        (many, _) => {
            let paths: Vec<&str> = many.iter().map(|(_, path)| *path).collect();
            format!("one of the cgroups {}", paths.join(", "))
        }
    }
}

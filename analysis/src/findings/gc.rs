//! `gc-pauses` and `safepoint-pauses`: a JVM that stands still too often, for its collector or for something else. A pause without a cause is a collection's: it is the JVM's own events that
//! tell of pauses then, and they tell of no other. The safepoint with which a JVM ends is nobody's illness.

use std::collections::BTreeMap;

use plumb_trace::{
    pauses::PauseName,
    timeline::{Query, Slice, TimelineError, Track, TrackId, TrackKind},
};

use super::{Culprit, Finding, Severity};
use crate::{
    Window,
    format::{duration, percent, share},
    roles::{self, Role},
    window::sum,
};

/// From this share of the window on pauses are told.
pub(super) const SHARE_MIN: f64 = 0.05;
/// How many causes are named.
const CAUSES_MAX: usize = 5;

pub(super) fn findings(query: &dyn Query, window: Window) -> Result<Vec<Finding>, TimelineError> {
    let mut findings = Vec::new();
    let jvms = query
        .tracks()
        .iter()
        .zip(0..)
        .filter(|(track, _)| track.kind == TrackKind::Jvm);
    for (track, number) in jvms {
        let pauses = query.slices(TrackId(number), window.from_ns, window.to_ns, 0)?;
        findings.extend(finding(query, track, &pauses, window));
    }
    Ok(findings)
}

fn finding(query: &dyn Query, jvm: &Track, pauses: &[Slice], window: Window) -> Option<Finding> {
    let parts = pauses.iter().filter(|pause| pause.depth == 0).filter_map(|pause| {
        let part = window.clip(pause.start_ns, pause.end_ns)?;
        let name = PauseName::parse(query.string(pause.name));
        (!name.is_end()).then(|| (name, part.length_ns()))
    });
    let parts: Vec<(PauseName<'_>, u64)> = parts.collect();
    let lost_ns = sum(parts.iter().map(|(_, ns)| *ns));
    let share = share(lost_ns, window.length_ns());
    if share < SHARE_MIN {
        return None;
    }
    let process = roles::process(query, jvm).map_or(roles::UNKNOWN, |process| process.name.as_str());
    let longest_ns = parts.iter().map(|(_, ns)| *ns).max().unwrap_or(0);
    let gc_ns = sum(parts
        .iter()
        .filter(|(name, _)| name.is_gc || name.operation.is_none())
        .map(|(_, ns)| *ns));
    let for_gc = gc_ns.saturating_mul(2) >= lost_ns;
    let pauses = format!(
        "{} pauses, {} together, {} the longest: meanwhile no Java thread runs",
        parts.len(),
        duration(lost_ns),
        duration(longest_ns)
    );
    Some(Finding {
        kind: if for_gc { "gc-pauses" } else { "safepoint-pauses" },
        group: process.to_owned(),
        severity: Severity::of(share),
        share,
        evidence: std::iter::once(pauses).chain(causes(&parts, lost_ns)).collect(),
        culprits: vec![Culprit {
            role: Role::named(process),
            class: None,
            share: 1.0,
        }],
        remedy: remedy(for_gc).to_owned(),
        lost_ns,
    })
}

fn remedy(for_gc: bool) -> &'static str {
    match for_gc {
        true => "allocate less, give the heap more room, or choose a collector with shorter pauses",
        false => {
            "find out who asks for these operations (thread dumps, class histograms and heap dumps come from monitoring; deoptimisation from code and agents that are loaded late) and have it done less often"
        }
    }
}

/// Which operations the time went to, where the probes of safepoints told them.
fn causes(parts: &[(PauseName<'_>, u64)], all_ns: u64) -> Option<String> {
    if parts.iter().all(|(name, _)| name.operation.is_none()) {
        return None;
    }
    let mut by_cause: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for (name, ns) in parts {
        let (of_cause, count) = by_cause.entry(name.cause()).or_default();
        *of_cause = of_cause.saturating_add(*ns);
        *count += 1;
    }
    let mut causes: Vec<_> = by_cause.into_iter().collect();
    causes.sort_by_key(|&(_, cost)| std::cmp::Reverse(cost));
    let more = causes.len().saturating_sub(CAUSES_MAX);
    let named = causes
        .iter()
        .take(CAUSES_MAX)
        .map(|(cause, (ns, count))| format!("{cause} {} ({count})", percent(share(*ns, all_ns))));
    let mut text = named.collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    Some(format!("by what the VM thread did: {text}"))
}

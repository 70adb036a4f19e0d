//! `gc-pauses`: a JVM that stands still too often.

use plumb_trace::timeline::{Query, Slice, TimelineError, Track, TrackId, TrackKind};

use super::{Culprit, Finding, Severity};
use crate::{
    Window,
    format::{duration, share},
    roles::{self, Role},
    window::sum,
};

/// From this share of the window on pauses are told.
pub(super) const SHARE_MIN: f64 = 0.05;

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
    let parts = pauses
        .iter()
        .filter(|pause| pause.depth == 0)
        .filter_map(|pause| window.clip(pause.start_ns, pause.end_ns));
    let lengths: Vec<u64> = parts.map(Window::length_ns).collect();
    let lost_ns = sum(lengths.iter().copied());
    let share = share(lost_ns, window.length_ns());
    if share < SHARE_MIN {
        return None;
    }
    let process = roles::process(query, jvm).map_or(roles::UNKNOWN, |process| process.name.as_str());
    let longest_ns = lengths.iter().max().copied().unwrap_or(0);
    Some(Finding {
        kind: "gc-pauses",
        group: process.to_owned(),
        severity: Severity::of(share),
        share,
        evidence: vec![format!(
            "{} pauses, {} together, {} the longest: meanwhile no Java thread runs",
            lengths.len(),
            duration(lost_ns),
            duration(longest_ns)
        )],
        culprits: vec![Culprit {
            role: Role::named(process),
            class: None,
            share: 1.0,
        }],
        remedy: "allocate less, give the heap more room, or choose a collector with shorter pauses".to_owned(),
        lost_ns,
    })
}

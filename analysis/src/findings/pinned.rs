//! `carriers-pinned`: virtual threads that block and keep their carriers, which others wait for.

use std::collections::{BTreeMap, BTreeSet};

use plumb_trace::{
    State,
    timeline::{Cause, Process, Query, StateInterval, StringId, TimelineError, Track, TrackId, TrackKind},
};

use super::{CULPRITS_MAX, Culprit, Finding, Severity, is_worth_telling};
use crate::{
    Window,
    format::{duration, percent, share},
    roles::{self, Role},
    sweep,
};

/// From this share of the carriers' time on it is told.
pub(super) const SHARE_MIN: f64 = 0.1;
/// How many reasons and threads evidence names.
const NAMED_MAX: usize = 3;

/// What the virtual threads of one process did to their carriers.
#[derive(Default)]
struct Pinned {
    carriers: BTreeSet<TrackId>,
    pinned_ns: u64,
    times: u64,
    longest_ns: u64,
    /// The wait that was added last, with the intervals that were of it before, ns.
    wait_ns: u64,
    /// By what they waited for.
    reasons: BTreeMap<(State, StringId), u64>,
    /// By thread, and by role.
    threads: BTreeMap<TrackId, u64>,
    roles: BTreeMap<Role, u64>,
}

impl Pinned {
    fn add(&mut self, query: &dyn Query, thread: TrackId, interval: &StateInterval, part: Window) {
        if !interval.is_pinned() {
            return;
        }
        let length_ns = part.length_ns();
        let class = interval.cause.class().unwrap_or_default();
        let goes_on = matches!(interval.cause, Cause::ClassAgain(_));
        self.wait_ns = if goes_on { self.wait_ns } else { 0 }.saturating_add(interval.length_ns());
        self.pinned_ns = self.pinned_ns.saturating_add(length_ns);
        self.times += u64::from(!goes_on);
        self.longest_ns = self.longest_ns.max(self.wait_ns);
        *self.reasons.entry((interval.state, class)).or_default() += length_ns;
        *self.threads.entry(thread).or_default() += length_ns;
        *self.roles.entry(roles::role(query, thread)).or_default() += length_ns;
    }
}

/// The costliest first.
fn ranked<K: Ord + Clone>(sums: &BTreeMap<K, u64>) -> Vec<(K, u64)> {
    let mut sums: Vec<(K, u64)> = sums.iter().map(|(key, ns)| (key.clone(), *ns)).collect();
    sums.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    sums
}

pub(super) fn findings(query: &dyn Query, window: Window) -> Result<Vec<Finding>, TimelineError> {
    let mut processes: BTreeMap<u32, Pinned> = BTreeMap::new();
    let is_virtual = |(_, track): &(TrackId, &Track)| track.kind == TrackKind::VirtualThread;
    for (id, track) in roles::threads(query).filter(is_virtual) {
        let info = query.info();
        let all = Window {
            from_ns: info.from_ns,
            to_ns: info.to_ns,
        };
        let Some(life) = all.clip(track.start_ns, track.end_ns) else {
            continue;
        };
        let pinned = processes.entry(track.process.0).or_default();
        sweep::each_state(query, id, life, |interval| {
            // Carriers that are pinned all the while show only outside the window.
            if let (State::Running, Some(carrier)) = (interval.state, interval.peer) {
                pinned.carriers.insert(carrier);
            }
            if let Some(part) = window.clip(interval.start_ns, interval.end_ns) {
                pinned.add(query, id, interval, part);
            }
            Ok(())
        })?;
    }
    let found = processes.into_iter().filter_map(|(process, pinned)| {
        let process = query.processes().get(process as usize)?;
        finding(query, process, &pinned, window)
    });
    Ok(found.collect())
}

fn finding(query: &dyn Query, process: &Process, pinned: &Pinned, window: Window) -> Option<Finding> {
    // Each keeps one, also where it was never seen to run.
    let carriers = pinned.carriers.len().max(usize::from(pinned.times > 0)) as u64;
    let share_of_carriers = share(pinned.pinned_ns, window.length_ns().saturating_mul(carriers));
    if share_of_carriers < SHARE_MIN || !is_worth_telling(pinned.pinned_ns, window) {
        return None;
    }
    let culprits = ranked(&pinned.roles).into_iter().take(CULPRITS_MAX);
    Some(Finding {
        kind: "carriers-pinned",
        group: process.name.clone(),
        severity: Severity::of(share_of_carriers),
        share: share_of_carriers,
        evidence: evidence(query, pinned),
        culprits: culprits
            .map(|(role, ns)| Culprit {
                role,
                class: None,
                share: share(ns, pinned.pinned_ns),
            })
            .collect(),
        remedy: "let virtual threads not block in class initialisers, native code or (before JDK 24) in synchronized blocks: a ReentrantLock gives the carrier away"
            .to_owned(),
        lost_ns: pinned.pinned_ns,
    })
}

fn evidence(query: &dyn Query, pinned: &Pinned) -> Vec<String> {
    let of_all = |ns: u64| percent(share(ns, pinned.pinned_ns));
    let reason = |((state, class), ns): ((State, StringId), u64)| match query.string(class) {
        "" => format!("{} {}", state.name(), of_all(ns)),
        class => format!("{} of {class} {}", state.name(), of_all(ns)),
    };
    let thread = |(id, ns): (TrackId, u64)| {
        let name = query
            .tracks()
            .get(id.0 as usize)
            .map_or(roles::UNKNOWN, |track| &track.name);
        format!("{name} {}", of_all(ns))
    };
    let reasons: Vec<String> = ranked(&pinned.reasons)
        .into_iter()
        .take(NAMED_MAX)
        .map(reason)
        .collect();
    let threads: Vec<String> = ranked(&pinned.threads)
        .into_iter()
        .take(NAMED_MAX)
        .map(thread)
        .collect();
    vec![
        format!(
            "{} virtual threads kept their carriers {} times while they were blocked, for {} in all, {} the longest; there are {} carriers",
            pinned.threads.len(),
            pinned.times,
            duration(pinned.pinned_ns),
            duration(pinned.longest_ns),
            pinned.carriers.len()
        ),
        format!("they did so in {}", reasons.join(", ")),
        format!("most of all {}", threads.join(", ")),
    ]
}

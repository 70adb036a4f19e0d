//! What a group waits for that is longer in `park` or `net` than in any other state: no illness by itself, but where to look next.

use std::{cmp::Reverse, collections::HashMap};

use plumb_trace::{
    State, syscalls,
    timeline::{Cause, Query, TimelineError, TrackId},
};

use super::{Subject, is_worth_telling, places};
use crate::{
    Window,
    format::{duration, percent, share},
    occupancy::by_role,
    sweep,
};

/// The states that say too little by themselves. Who is `idle` has nothing to do; of locks and CPUs there are findings.
const TOLD: [State; 2] = [State::Park, State::Net];
/// What has a smaller part of the time is not named.
const NAMED_SHARE_MIN: f64 = 0.02;
/// How many causes and roles are named.
const NAMED_MAX: usize = 3;

/// What a group waits for that is longest in `park` or `net`.
#[derive(Clone, Debug, PartialEq)]
pub struct Waits {
    /// Whose threads wait.
    pub group: String,
    /// `park` or `net`: the state that they are in longest, within units of work where these are recorded.
    pub state: State,
    /// Part of their time.
    pub share: f64,
    /// That part, summed over threads, ns.
    pub waited_ns: u64,
    /// How often, for what, where, and who ended it; one line each.
    pub evidence: Vec<String>,
}

/// What the threads of a group waited for in one state.
#[derive(Default)]
struct Sums {
    sum_ns: u64,
    times: u64,
    longest_ns: u64,
    causes: HashMap<Cause, u64>,
    peers: HashMap<TrackId, u64>,
}

/// Says it of a group; `None` where it is longer in another state, or nothing more is known.
pub(super) fn waits(query: &dyn Query, subject: &Subject<'_>, window: Window) -> Result<Option<Waits>, TimelineError> {
    let Some((state, waited_ns)) = longest(subject) else {
        return Ok(None);
    };
    if !TOLD.contains(&state) || !is_worth_telling(waited_ns, window) {
        return Ok(None);
    }
    let sums = gather(query, &subject.threads, state, window)?;
    let mut known = causes(query, &sums);
    known.extend(places::commonest(query, &subject.threads, state, window, sums.sum_ns)?);
    known.extend(enders(query, &sums.peers, sums.sum_ns));
    if known.is_empty() {
        return Ok(None);
    }
    let mut evidence = vec![
        format!(
            "{} took {}, and were in {} for {} of it",
            subject.text(),
            duration(subject.states.sum()),
            state.name(),
            duration(waited_ns)
        ),
        format!(
            "threads of {} did so {} times{}, {} on average, {} the longest",
            subject.group,
            sums.times,
            if subject.units > 0 {
                ", within units and between them"
            } else {
                ""
            },
            duration(sums.sum_ns / sums.times.max(1)),
            duration(sums.longest_ns)
        ),
    ];
    evidence.extend(known);
    Ok(Some(Waits {
        group: subject.group.to_owned(),
        state,
        share: share(waited_ns, subject.states.sum()),
        waited_ns,
        evidence,
    }))
}

/// The state with most of a group's time; of equal ones the first.
fn longest(subject: &Subject<'_>) -> Option<(State, u64)> {
    let times = State::ALL.map(|state| (state, subject.states.get(state)));
    times.into_iter().rev().max_by_key(|(_, ns)| *ns)
}

fn gather(query: &dyn Query, threads: &[TrackId], state: State, window: Window) -> Result<Sums, TimelineError> {
    let mut sums = Sums::default();
    for thread in threads {
        sweep::each_state(query, *thread, window, |interval| {
            let part = window.clip(interval.start_ns, interval.end_ns);
            if let Some(part) = part.filter(|_| interval.state == state) {
                let ns = part.length_ns();
                sums.sum_ns = sums.sum_ns.saturating_add(ns);
                sums.times += 1;
                sums.longest_ns = sums.longest_ns.max(ns);
                add(&mut sums.causes, interval.cause, ns);
                interval.peer.inspect(|peer| add(&mut sums.peers, *peer, ns));
            }
            Ok(())
        })?;
    }
    Ok(sums)
}

fn add<K: std::hash::Hash + Eq>(sums: &mut HashMap<K, u64>, key: K, ns: u64) {
    let sum = sums.entry(key).or_default();
    *sum = sum.saturating_add(ns);
}

/// The blockers of parks, the calls and descriptors of waits in the kernel.
fn causes(query: &dyn Query, sums: &Sums) -> Vec<String> {
    let text = |cause: Cause| match cause {
        Cause::Class(class) => Some(format!("for {}", query.string(class))),
        Cause::Syscall { number, fd_kind } => Some(format!("in {}", syscalls::told(number, fd_kind))),
        _ => None,
    };
    let told = sums.causes.iter().filter_map(|(cause, ns)| Some((text(*cause)?, *ns)));
    let mut told: Vec<(String, u64)> = told.collect();
    told.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    let parts = told.into_iter().map(|(text, ns)| (text, share(ns, sums.sum_ns)));
    let named = parts.filter(|(_, share)| *share >= NAMED_SHARE_MIN).take(NAMED_MAX);
    named
        .map(|(text, share)| format!("{} of that time {text}", percent(share)))
        .collect()
}

/// Who ended it, as far as somebody was seen to.
fn enders(query: &dyn Query, peers: &HashMap<TrackId, u64>, sum_ns: u64) -> Option<String> {
    let roles = by_role(query, peers);
    let parts = roles.iter().map(|(role, ns)| (role, share(*ns, sum_ns)));
    let named = parts.filter(|(_, share)| *share >= NAMED_SHARE_MIN).take(NAMED_MAX);
    let named: Vec<String> = named
        .map(|(role, share)| format!("{} {}", role.text(), percent(share)))
        .collect();
    (!named.is_empty()).then(|| format!("ended by {}", named.join(", ")))
}

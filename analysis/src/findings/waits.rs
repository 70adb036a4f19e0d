//! What a group waits for that is longer in `park` or `net` than in any other state: no illness by itself, but where to look next.
//!
//! Where units of work are recorded, what is asked about are the waits within them: between two requests a thread waits for work, which is no answer to why they are slow. How long
//! it does that is told apart.

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
    stretches::Stretches,
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
    /// The single waits of that part.
    pub waits: Waited,
    /// What they waited in that state between their units; `None` where none are recorded.
    pub between_units: Option<Waited>,
    /// How often, for what, where, and who ended it, within units of work where these are recorded; one line each.
    pub evidence: Vec<String>,
}

/// Waits in one state. One that begins in a unit and ends after it is two, each with its part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// All of them together, ns.
    pub sum_ns: u64,
    /// How many.
    pub times: u64,
    /// The longest, ns.
    pub longest_ns: u64,
}

impl Waited {
    /// One more; nothing is none.
    fn add(&mut self, ns: u64) {
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.times += u64::from(ns > 0);
        self.longest_ns = self.longest_ns.max(ns);
    }

    fn text(&self) -> String {
        format!(
            "{} times, {} on average, {} the longest",
            self.times,
            duration(self.sum_ns / self.times.max(1)),
            duration(self.longest_ns)
        )
    }
}

/// What the threads of a group waited for in one state.
#[derive(Default)]
struct Sums {
    waited: Waited,
    /// What lies between units.
    between: Waited,
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
    let stretches = subject.work(window);
    let sums = gather(query, &stretches, state)?;
    let mut known = causes(query, &sums);
    known.extend(places::commonest(
        query,
        &stretches,
        |interval| interval.state == state,
        sums.waited.sum_ns,
    )?);
    known.extend(enders(query, &sums));
    if known.is_empty() {
        return Ok(None);
    }
    let between_units = (subject.units > 0).then_some(sums.between);
    let mut evidence = how_long(subject, state, waited_ns, &sums.waited);
    evidence.extend(known);
    evidence.extend(between_text(between_units, state));
    Ok(Some(Waits {
        group: subject.group.to_owned(),
        state,
        share: share(waited_ns, subject.states.sum()),
        waited_ns,
        waits: sums.waited,
        between_units,
        evidence,
    }))
}

fn how_long(subject: &Subject<'_>, state: State, waited_ns: u64, waited: &Waited) -> Vec<String> {
    let within = subject.within();
    let (who, took) = (subject.text(), duration(subject.states.sum()));
    vec![
        format!(
            "{who} took {took}, and were in {} for {} of it",
            state.name(),
            duration(waited_ns)
        ),
        format!("threads of {} did so{within} {}", subject.group, waited.text()),
    ]
}

/// What is no part of the rest.
fn between_text(between: Option<Waited>, state: State) -> Option<String> {
    let between = between.filter(|between| between.times > 0)?;
    let (state, sum) = (state.name(), duration(between.sum_ns));
    Some(format!(
        "not counted: {sum} in {state} between units, {}",
        between.text()
    ))
}

/// The state with most of a group's time; of equal ones the first.
fn longest(subject: &Subject<'_>) -> Option<(State, u64)> {
    let times = State::ALL.map(|state| (state, subject.states.get(state)));
    times.into_iter().rev().max_by_key(|(_, ns)| *ns)
}

fn gather(query: &dyn Query, stretches: &Stretches<'_>, state: State) -> Result<Sums, TimelineError> {
    let mut sums = Sums::default();
    let all = Stretches::all(stretches.threads, stretches.window);
    for thread in stretches.threads {
        sweep::each_state(query, *thread, stretches.window, |interval| {
            if interval.state == state {
                let part_ns = |of: &Stretches<'_>| of.part_ns(*thread, interval.start_ns, interval.end_ns);
                let ns = part_ns(stretches);
                sums.waited.add(ns);
                sums.between.add(part_ns(&all) - ns);
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
        Cause::Class(class) | Cause::ClassAgain(class) => Some(format!("for {}", query.string(class))),
        Cause::Syscall { number, fd_kind } => Some(format!("in {}", syscalls::told(number, fd_kind))),
        _ => None,
    };
    let told = sums.causes.iter().filter_map(|(cause, ns)| Some((text(*cause)?, *ns)));
    let mut told: Vec<(String, u64)> = told.collect();
    told.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    let parts = told.into_iter().map(|(text, ns)| (text, share(ns, sums.waited.sum_ns)));
    let named = parts.filter(|(_, share)| *share >= NAMED_SHARE_MIN).take(NAMED_MAX);
    named
        .map(|(text, share)| format!("{} of that time {text}", percent(share)))
        .collect()
}

/// Who ended it, as far as somebody was seen to.
fn enders(query: &dyn Query, sums: &Sums) -> Option<String> {
    let roles = by_role(query, &sums.peers);
    let parts = roles.iter().map(|(role, ns)| (role, share(*ns, sums.waited.sum_ns)));
    let named = parts.filter(|(_, share)| *share >= NAMED_SHARE_MIN).take(NAMED_MAX);
    let named: Vec<String> = named
        .map(|(role, share)| format!("{} {}", role.text(), percent(share)))
        .collect();
    (!named.is_empty()).then(|| format!("ended by {}", named.join(", ")))
}

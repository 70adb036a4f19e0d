//! `lock-contended`: threads that wait for a Java monitor or a `ReentrantLock`.

use plumb_trace::{
    State,
    timeline::{Query, StateInterval, TimelineError, TrackId},
};

use super::{CULPRITS_MAX, Culprit, Finding, Loss, Severity, Subject, is_worth_telling, places};
use crate::{
    Window,
    format::{duration, percent, share},
    locks::{ClassWaits, LockWaits, is_for_a_lock, who_had_the_lock},
    roles::{Role, UNKNOWN},
    window::sum,
};

/// From this share of its units' time on a group's locks are told. Locks that do their work are waited for a per cent of the time.
pub(super) const UNITS_SHARE_MIN: f64 = 0.1;
/// The same where no units are recorded, of the time in which threads wanted to go on.
pub(super) const SHARE_MIN: f64 = 0.2;
/// Culprits with a smaller share are not named.
const CULPRIT_MIN: f64 = 0.02;
/// How many classes and owners evidence names.
const NAMED_MAX: usize = 3;

pub(super) fn finding(
    query: &dyn Query,
    subject: &Subject<'_>,
    window: Window,
) -> Result<Option<Finding>, TimelineError> {
    let share_min = if subject.units > 0 { UNITS_SHARE_MIN } else { SHARE_MIN };
    let is_told = |loss: &Loss| loss.share >= share_min && is_worth_telling(loss.lost_ns, window);
    // Most parks are for no lock: only where they could matter is each looked at.
    if !is_told(&subject.loss_by_locks(subject.states.get(State::Park))) {
        return Ok(None);
    }
    let waits = who_had_the_lock(query, &subject.work(window))?;
    let loss = subject.loss_by_locks(waits.parked_ns);
    if !is_told(&loss) {
        return Ok(None);
    }
    let class = waits.classes.first().map_or(UNKNOWN, class_name);
    let mut evidence = evidence(query, subject, &loss, &waits);
    let is_meant = |interval: &StateInterval| is_for_a_lock(query, interval);
    let place = places::commonest(query, &subject.work(window), is_meant, waits.waited_ns)?;
    // The class says nothing then: every lock has the same.
    let which = match (waits.parked_ns > 0, &place) {
        (true, None) => " (with a [[stack]] rule it is told where they wait)",
        _ => "",
    };
    let remedy = format!(
        "do less while holding the lock of {class} (no waiting, no I/O), or split it so that threads share it less{which}"
    );
    evidence.extend(place);
    Ok(Some(Finding {
        kind: "lock-contended",
        group: subject.group.to_owned(),
        severity: Severity::of(loss.share),
        share: loss.share,
        evidence,
        culprits: culprits(&waits),
        remedy,
        lost_ns: loss.lost_ns,
    }))
}

fn class_name(class: &ClassWaits) -> &str {
    if class.class.is_empty() { UNKNOWN } else { &class.class }
}

/// By class and by who had the lock.
fn culprits(waits: &LockWaits) -> Vec<Culprit> {
    let mut culprits = Vec::new();
    for class in &waits.classes {
        let culprit = |role: &Role, ns: u64| Culprit {
            role: role.clone(),
            class: Some(class_name(class).to_owned()),
            share: share(ns, waits.waited_ns),
        };
        let known_ns = sum(class.owner_roles.iter().map(|(_, ns)| *ns));
        culprits.extend(class.owner_roles.iter().map(|(role, ns)| culprit(role, *ns)));
        culprits.push(culprit(&Role::named(UNKNOWN), class.waited_ns.saturating_sub(known_ns)));
    }
    culprits.retain(|culprit| culprit.share >= CULPRIT_MIN);
    culprits.sort_by(|a, b| b.share.total_cmp(&a.share));
    culprits.truncate(CULPRITS_MAX);
    culprits
}

fn evidence(query: &dyn Query, subject: &Subject<'_>, loss: &Loss, waits: &LockWaits) -> Vec<String> {
    let base = if subject.units > 0 {
        "took"
    } else {
        "wanted to go on for"
    };
    let mut lines = vec![
        format!(
            "{} {base} {}, and waited for locks for {} of it",
            subject.text(),
            duration(loss.base_ns),
            duration(loss.lost_ns)
        ),
        format!(
            "threads of {} waited for a lock {} times{}, {} on average, {} the longest",
            subject.group,
            waits.waits,
            subject.within(),
            duration(waits.waited_ns / waits.waits.max(1)),
            duration(waits.longest_ns)
        ),
    ];
    for class in waits
        .classes
        .iter()
        .filter(|class| share(class.waited_ns, waits.waited_ns) >= CULPRIT_MIN)
        .take(NAMED_MAX)
    {
        let part = percent(share(class.waited_ns, waits.waited_ns));
        let owners = owners(query, class);
        lines.push(format!(
            "{part} of that time for a lock of class {}{owners}",
            class_name(class)
        ));
    }
    lines
}

/// Who had it most, by name of thread.
fn owners(query: &dyn Query, class: &ClassWaits) -> String {
    let name = |track: &TrackId| {
        query
            .tracks()
            .get(track.0 as usize)
            .map_or(UNKNOWN, |track| track.name.as_str())
    };
    let named: Vec<String> = class
        .owners
        .iter()
        .take(NAMED_MAX)
        .map(|(track, ns)| format!("{} {}", name(track), percent(share(*ns, class.waited_ns))))
        .collect();
    match class.owners.len() {
        0 => ", its owners were not seen".to_owned(),
        count if count > NAMED_MAX => format!(", held by {count} threads, most by {}", named.join(", ")),
        _ => format!(", held by {}", named.join(", ")),
    }
}

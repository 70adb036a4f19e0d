//! `cpu-starved`: threads that could run and have no CPU.

use plumb_trace::{
    State,
    timeline::{Query, TimelineError},
};

use super::{CULPRITS_MAX, Culprit, Finding, Loss, Severity, Subject, is_worth_telling, throttled};
use crate::{
    Window,
    format::{duration, percent, share},
    occupancy::{CpuWaits, who_had_the_cpu},
    roles::{IDLE, Role, UNKNOWN},
    window::sum,
};

/// From this share of its units' time on a group starves. Requests that wake several times wait a tenth of their time on a healthy
/// server with two CPUs; somebody who takes the CPU from them makes it a half and more.
pub(super) const UNITS_SHARE_MIN: f64 = 0.3;
/// The same where no units are recorded, of the time in which threads could run: threads that run for microseconds at a time, as a poller does, easily wait as long
/// as they run without anybody suffering from it.
pub(super) const SHARE_MIN: f64 = 0.5;
/// From this share on it is carriers that virtual threads lack.
const NO_CARRIER_MIN: f64 = 0.5;
/// Culprits with a smaller share are not named.
const CULPRIT_MIN: f64 = 0.02;
/// From this share on another program is what the remedy is about.
const OUTSIDER_MIN: f64 = 0.2;

/// What does not belong to the base.
const APART: [State; 4] = [State::Monitor, State::Disk, State::Fault, State::Pause];

pub(super) fn finding(
    query: &dyn Query,
    subject: &Subject<'_>,
    window: Window,
) -> Result<Option<Finding>, TimelineError> {
    let (apart, share_min) = if subject.units > 0 {
        (&APART[..1], UNITS_SHARE_MIN)
    } else {
        (&APART[..], SHARE_MIN)
    };
    let loss = subject.loss(State::Ready, apart);
    if loss.share < share_min || !is_worth_telling(loss.lost_ns, window) {
        return Ok(None);
    }
    let waits = who_had_the_cpu(query, &subject.work(window))?;
    let culprits = culprits(&waits);
    let mut evidence = evidence(subject, &loss, &waits, &culprits);
    evidence.extend(throttled::hint(query, subject, window)?);
    Ok(Some(Finding {
        kind: "cpu-starved",
        group: subject.group.to_owned(),
        severity: Severity::of(loss.share),
        share: loss.share,
        evidence,
        remedy: remedy(subject, &waits, &culprits),
        culprits,
        lost_ns: loss.lost_ns,
    }))
}

fn culprits(waits: &CpuWaits) -> Vec<Culprit> {
    let held_ns = sum(waits.holders.iter().map(|(_, ns)| *ns));
    let unknown_ns = waits.ready_ns.saturating_sub(held_ns).saturating_sub(waits.idle_ns);
    let mut all: Vec<(Role, u64)> = waits.holders.clone();
    all.push((Role::named(IDLE), waits.idle_ns));
    all.push((Role::named(UNKNOWN), unknown_ns));
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

fn evidence(subject: &Subject<'_>, loss: &Loss, waits: &CpuWaits, culprits: &[Culprit]) -> Vec<String> {
    let base = if subject.units > 0 {
        "took (waiting for locks apart)"
    } else {
        "could run for"
    };
    let mut lines = vec![
        format!(
            "{} {base} {}, and had no CPU for {} of it",
            subject.text(),
            duration(loss.base_ns),
            duration(loss.lost_ns)
        ),
        format!(
            "threads of {} waited for a CPU {} times{}, {} on average, {} the longest",
            subject.group,
            waits.waits,
            subject.within(),
            duration(waits.ready_ns / waits.waits.max(1)),
            duration(waits.longest_ns)
        ),
    ];
    let had = culprits.iter().filter(|culprit| is_somebody(culprit));
    lines.extend(had.map(|culprit| {
        format!(
            "{} had the CPU that they waited for {} of that time",
            culprit.role.text(),
            percent(culprit.share)
        )
    }));
    let no_carrier = share(waits.no_carrier_ns, waits.ready_ns);
    if no_carrier >= CULPRIT_MIN {
        lines.push(format!(
            "virtual threads had no carrier for {} of that time",
            percent(no_carrier)
        ));
    }
    lines
}

fn is_somebody(culprit: &Culprit) -> bool {
    ![IDLE, UNKNOWN].contains(&culprit.role.process.as_str())
}

/// Another program that takes much goes first: it can be moved, while a server's own threads wait for each other at every load.
fn remedy(subject: &Subject<'_>, waits: &CpuWaits, culprits: &[Culprit]) -> String {
    let is_own = |culprit: &&Culprit| {
        subject
            .processes
            .iter()
            .any(|process| process.name == culprit.role.process)
    };
    let is_outsider = |culprit: &&Culprit| !is_own(culprit) && is_somebody(culprit);
    if let Some(outsider) = culprits
        .iter()
        .find(is_outsider)
        .filter(|outsider| outsider.share >= OUTSIDER_MIN)
    {
        return format!(
            "move {} elsewhere or limit it (nice, a cpuset, a CPU quota of its cgroup), or give the server CPUs of its own",
            outsider.role.process
        );
    }
    if share(waits.no_carrier_ns, waits.ready_ns) >= NO_CARRIER_MIN {
        return "find out which virtual threads keep the carriers (long computations, or blocked ones that are pinned) and give them a pool of platform threads; where CPUs are idle, more carriers help (-Djdk.virtualThreadScheduler.parallelism)"
            .to_owned();
    }
    match culprits.iter().find(is_own) {
        Some(own) if own.role.group.as_deref() != Some(subject.group) => {
            format!("more CPUs, or less work for {}", own.role.text())
        }
        _ => format!(
            "more CPUs, less work in each unit, or fewer threads of {} at once",
            subject.group
        ),
    }
}

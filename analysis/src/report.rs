//! The report: what is overloaded, why, on what evidence; and how long the units of work take.

use std::fmt;

use plumb_trace::{
    State, StateTotals,
    timeline::{Loss, Query, TimelineError},
};
use serde_json::{Value, json};

use crate::{
    Window,
    findings::{self, Culprit, Finding},
    format::{duration, percent, printable, share},
    ledger::{json::states, losses_within, text::loss_note},
    units::{self, KeyReport, Latency, UnitReport},
};

/// How many states of an anatomy are named.
const NAMED_STATES: usize = 6;

/// A report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The stretch that it is of.
    pub window: Window,
    /// What is wrong, the costliest first.
    pub findings: Vec<Finding>,
    /// Units of work, by name.
    pub units: Vec<UnitReport>,
    /// What is missing in the window.
    pub losses: Vec<Loss>,
    /// How far the JVM's times may be off the kernel's, ns.
    pub clock_uncertainty_ns: u64,
    /// What the merger could not use or has doubts about.
    pub notes: Vec<String>,
}

/// Makes a report.
///
/// # Errors
/// If the timeline is damaged where it was read.
pub fn report(query: &dyn Query, window: Window) -> Result<Report, TimelineError> {
    Ok(Report {
        window,
        findings: findings::findings(query, window)?,
        units: units::units(query, window)?,
        losses: losses_within(query, window),
        clock_uncertainty_ns: query.info().clock_uncertainty_ns,
        notes: query.info().notes.clone(),
    })
}

impl Report {
    /// The report as `plumb report --json` prints it. The names of fields are fixed; more may be added.
    pub fn to_json(&self) -> Value {
        let Self {
            window,
            findings,
            units,
            losses,
            clock_uncertainty_ns,
            notes,
        } = self;
        json!({
            "from_ns": window.from_ns,
            "to_ns": window.to_ns,
            "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
            "units": units.iter().map(unit_json).collect::<Vec<_>>(),
            "losses": losses,
            "clock_uncertainty_ns": clock_uncertainty_ns,
            "notes": notes,
        })
    }
}

fn finding_json(finding: &Finding) -> Value {
    let Finding {
        kind,
        group,
        severity,
        share,
        evidence,
        culprits,
        remedy,
        lost_ns,
    } = finding;
    json!({
        "kind": kind, "group": group, "severity": severity.name(), "share": share, "evidence": evidence,
        "culprits": culprits.iter().map(culprit_json).collect::<Vec<_>>(), "remedy": remedy, "lost_ns": lost_ns,
    })
}

fn culprit_json(culprit: &Culprit) -> Value {
    let Culprit { role, class, share } = culprit;
    let mut fields = json!({ "group": role.group, "process": role.process, "share": share });
    if let Some(class) = class {
        fields["class"] = json!(class);
    }
    fields
}

fn unit_json(unit: &UnitReport) -> Value {
    let UnitReport {
        name,
        count,
        thrown,
        incomplete,
        latency,
        anatomy,
        keys,
    } = unit;
    json!({
        "name": name, "count": count, "thrown": thrown, "incomplete": incomplete,
        "latency_ns": latency_json(latency),
        "anatomy": { "p50": states(&anatomy.p50), "p99": states(&anatomy.p99) },
        "queue_ns": { "p50": anatomy.queue_ns_p50, "p99": anatomy.queue_ns_p99 },
        "keys": keys.iter().map(key_json).collect::<Vec<_>>(),
    })
}

fn key_json(key: &KeyReport) -> Value {
    let KeyReport {
        key,
        count,
        sum_ns,
        latency,
    } = key;
    json!({ "key": key, "count": count, "sum_ns": sum_ns, "latency_ns": latency_json(latency) })
}

fn latency_json(latency: &Latency) -> Value {
    let Latency {
        p50,
        p90,
        p99,
        p999,
        max,
    } = latency;
    json!({ "p50": p50, "p90": p90, "p99": p99, "p999": p999, "max": max })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            writeln!(f, "Nothing found wrong in {}.", duration(self.window.length_ns()))?;
        }
        for (number, finding) in self.findings.iter().enumerate() {
            write_finding(f, number + 1, finding)?;
        }
        for unit in &self.units {
            write_unit(f, unit)?;
        }
        for note in loss_note(&self.losses).iter().chain(&self.notes) {
            writeln!(f, "note: {}", printable(note))?;
        }
        Ok(())
    }
}

fn write_finding(f: &mut fmt::Formatter<'_>, number: usize, finding: &Finding) -> fmt::Result {
    let Finding {
        kind,
        group,
        severity,
        share,
        evidence,
        remedy,
        culprits,
        lost_ns: _,
    } = finding;
    writeln!(
        f,
        "{number}. {kind}: {} {} ({})",
        printable(group),
        percent(*share),
        severity.name()
    )?;
    for line in evidence {
        writeln!(f, "   - {}", printable(line))?;
    }
    if !culprits.is_empty() {
        let named = culprits.iter().map(culprit_text).collect::<Vec<_>>().join(", ");
        writeln!(f, "   who: {}", printable(&named))?;
    }
    writeln!(f, "   remedy: {}\n", printable(remedy))
}

fn culprit_text(culprit: &Culprit) -> String {
    let class = culprit
        .class
        .as_ref()
        .map_or(String::new(), |class| format!(" with {class}"));
    format!("{}{class} {}", culprit.role.text(), percent(culprit.share))
}

fn write_unit(f: &mut fmt::Formatter<'_>, unit: &UnitReport) -> fmt::Result {
    let UnitReport {
        name,
        count,
        thrown,
        incomplete,
        latency,
        anatomy,
        keys,
    } = unit;
    write!(f, "{}: {count} units", printable(name))?;
    if *thrown > 0 {
        write!(f, ", {thrown} left by an exception")?;
    }
    if *incomplete > 0 {
        write!(f, "; {incomplete} more not seen whole")?;
    }
    writeln!(f)?;
    if *count == 0 {
        return Ok(());
    }
    let percentiles = [
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("max", latency.max),
    ];
    let percentiles = percentiles.map(|(name, ns)| format!("{name} {}", duration(ns)));
    writeln!(f, "   latency  {}", percentiles.join("   "))?;
    writeln!(f, "   typical  {}", anatomy_text(&anatomy.p50, anatomy.queue_ns_p50))?;
    writeln!(f, "   slow     {}", anatomy_text(&anatomy.p99, anatomy.queue_ns_p99))?;
    for key in keys {
        let KeyReport {
            key,
            count,
            sum_ns,
            latency,
        } = key;
        let (sum, p50, p99) = (duration(*sum_ns), duration(latency.p50), duration(latency.p99));
        writeln!(
            f,
            "   {}  {count} units, together {sum}, p50 {p50}, p99 {p99}",
            printable(key)
        )?;
    }
    Ok(())
}

/// The longest states first, with their parts.
fn anatomy_text(states: &StateTotals, queue_ns: u64) -> String {
    let mut parts: Vec<(State, u64)> = State::ALL.into_iter().map(|state| (state, states.get(state))).collect();
    parts.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    let named = parts.iter().filter(|(_, ns)| *ns > 0).take(NAMED_STATES);
    let texts = named.map(|(state, ns)| {
        format!(
            "{} {} ({})",
            state.name(),
            duration(*ns),
            percent(share(*ns, states.sum()))
        )
    });
    // Beside what threads did, not a part of it.
    let queue = Some(queue_ns).filter(|ns| *ns > 0);
    let queue = queue.map(|ns| format!("handed over and waiting {}", duration(ns)));
    texts.chain(queue).collect::<Vec<_>>().join(", ")
}

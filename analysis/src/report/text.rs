//! A report for people.

use std::fmt;

use plumb_trace::{State, StateTotals};

use super::Report;
use crate::{
    findings::{Culprit, Finding, Waits},
    format::{duration, percent, printable, share},
    ledger::text::loss_note,
    units::{KeyReport, UnitReport},
};

/// How many states of an anatomy are named.
const NAMED_STATES: usize = 6;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            writeln!(f, "Nothing found wrong in {}.", duration(self.window.length_ns()))?;
        }
        for (number, finding) in self.findings.iter().enumerate() {
            write_finding(f, number + 1, finding)?;
        }
        for waits in &self.waits {
            write_waits(f, waits)?;
        }
        for unit in &self.units {
            write_unit(f, unit)?;
        }
        for efficiency in &self.efficiency {
            writeln!(f, "{}", printable(&efficiency.to_string()))?;
        }
        for places in &self.places {
            places
                .to_string()
                .lines()
                .try_for_each(|line| writeln!(f, "{}", printable(line)))?;
        }
        for note in loss_note(&self.losses).iter().chain(&self.notes) {
            writeln!(f, "note: {}", printable(note))?;
        }
        Ok(())
    }
}

fn write_finding(f: &mut fmt::Formatter<'_>, number: usize, finding: &Finding) -> fmt::Result {
    writeln!(
        f,
        "{number}. {}: {} {} ({})",
        finding.kind,
        printable(&finding.group),
        percent(finding.share),
        finding.severity.name()
    )?;
    write_evidence(f, &finding.evidence)?;
    if !finding.culprits.is_empty() {
        let named = finding.culprits.iter().map(culprit_text).collect::<Vec<_>>().join(", ");
        writeln!(f, "   who: {}", printable(&named))?;
    }
    writeln!(f, "   remedy: {}\n", printable(&finding.remedy))
}

fn write_evidence(f: &mut fmt::Formatter<'_>, evidence: &[String]) -> fmt::Result {
    evidence
        .iter()
        .try_for_each(|line| writeln!(f, "   - {}", printable(line)))
}

fn write_waits(f: &mut fmt::Formatter<'_>, waits: &Waits) -> fmt::Result {
    let (group, state) = (printable(&waits.group), waits.state.name());
    writeln!(f, "{group} is longest in {state}: {}", percent(waits.share))?;
    write_evidence(f, &waits.evidence)?;
    writeln!(f)
}

fn culprit_text(culprit: &Culprit) -> String {
    let class = culprit
        .class
        .as_ref()
        .map_or(String::new(), |class| format!(" with {class}"));
    format!("{}{class} {}", culprit.role.text(), percent(culprit.share))
}

fn write_unit(f: &mut fmt::Formatter<'_>, unit: &UnitReport) -> fmt::Result {
    write!(f, "{}: {} units", printable(&unit.name), unit.count)?;
    if unit.thrown > 0 {
        write!(f, ", {} left by an exception", unit.thrown)?;
    }
    if unit.incomplete > 0 {
        write!(f, "; {} more not seen whole", unit.incomplete)?;
    }
    writeln!(f)?;
    if unit.count == 0 {
        return Ok(());
    }
    let (latency, anatomy) = (&unit.latency, &unit.anatomy);
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
    unit.keys.iter().try_for_each(|key| write_key(f, key))
}

fn write_key(f: &mut fmt::Formatter<'_>, key: &KeyReport) -> fmt::Result {
    let (sum, p50, p99) = (key.sum_ns, key.latency.p50, key.latency.p99);
    let [sum, p50, p99] = [sum, p50, p99].map(duration);
    let (name, count) = (printable(&key.key), key.count);
    writeln!(f, "   {name}  {count} units, together {sum}, p50 {p50}, p99 {p99}")
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

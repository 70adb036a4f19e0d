//! A report as JSON. The names of fields are fixed; more may be added.

use serde_json::{Value, json};

use super::{Efficiency, Place, Places, Report};
use crate::{
    findings::{Culprit, Finding, Waited, Waits},
    ledger::json::states,
    units::{KeyReport, Latency, UnitReport},
};

impl Report {
    /// The report as `plumb report --json` prints it. The names of fields are fixed; more may be added.
    pub fn to_json(&self) -> Value {
        let Self {
            window,
            findings,
            waits,
            efficiency,
            places,
            units,
            losses,
            clock_uncertainty_ns,
            notes,
        } = self;
        json!({
            "from_ns": window.from_ns,
            "to_ns": window.to_ns,
            "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
            "waits": waits.iter().map(waits_json).collect::<Vec<_>>(),
            "efficiency": efficiency.iter().map(efficiency_json).collect::<Vec<_>>(),
            "places": places.iter().map(places_json).collect::<Vec<_>>(),
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

fn waits_json(waits: &Waits) -> Value {
    let Waits {
        group,
        state,
        share,
        waited_ns,
        waits: Waited { times, longest_ns, .. },
        between_units,
        evidence,
    } = waits;
    json!({
        "group": group, "state": state.name(), "share": share, "waited_ns": waited_ns, "times": times, "longest_ns": longest_ns,
        "between_units": between_units.as_ref().map(waited_json), "evidence": evidence,
    })
}

fn waited_json(waited: &Waited) -> Value {
    let Waited {
        sum_ns,
        times,
        longest_ns,
    } = waited;
    json!({ "waited_ns": sum_ns, "times": times, "longest_ns": longest_ns })
}

fn efficiency_json(efficiency: &Efficiency) -> Value {
    let Efficiency {
        group,
        counts,
        instructions_per_cycle,
    } = efficiency;
    json!({ "group": group, "counters": counts.to_json(), "instructions_per_cycle": instructions_per_cycle })
}

fn places_json(places: &Places) -> Value {
    let Places {
        what,
        unit,
        process: (process, pid),
        sum,
        places,
    } = places;
    let each = places
        .iter()
        .map(|Place { class, method, count }| json!({ "class": class, "method": method, "count": count }));
    json!({
        "what": what, "unit": unit, "process": process, "pid": pid, "sum": sum, "places": each.collect::<Vec<_>>(),
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

//! A ledger as JSON. The names of fields are fixed; more may be added.

use plumb_trace::{State, StateTotals};
use serde_json::{Map, Value, json};

use super::{Ledger, Row, RowKey, ThreadKey};

impl Ledger {
    /// The ledger as `plumb ledger --json` prints it.
    pub fn to_json(&self) -> Value {
        let Self {
            window,
            by,
            rows,
            losses,
            clock_uncertainty_ns,
        } = self;
        json!({
            "from_ns": window.from_ns,
            "to_ns": window.to_ns,
            "by": by.name(),
            "rows": rows.iter().map(row).collect::<Vec<_>>(),
            "losses": losses,
            "clock_uncertainty_ns": clock_uncertainty_ns,
        })
    }
}

fn row(row: &Row) -> Value {
    let mut fields = match &row.key {
        RowKey::Thread(key) => thread(key),
        RowKey::Sum { key, count } => json!({ "key": key, "count": count }),
        RowKey::Unit(key) => json!({
            "key": key.text(), "unit": key.unit, "unit_key": key.key, "count": key.count, "queue_ns": key.queue_ns,
        }),
    };
    fields["states_ns"] = states(&row.totals.states);
    fields["switches"] = json!({ "voluntary": row.totals.voluntary, "involuntary": row.totals.involuntary });
    fields["migrations"] = json!(row.totals.migrations);
    fields["prorated"] = json!(row.totals.prorated);
    fields["counters"] = row.counts.to_json();
    fields["instructions_per_cycle"] = json!(row.counts.instructions_per_cycle());
    fields
}

pub(super) fn thread(key: &ThreadKey) -> Value {
    let ThreadKey {
        host,
        pid,
        tid,
        ns_pid,
        vthread,
        process,
        name,
        group,
        start_ns,
        end_ns,
        cgroup,
        priority,
        cpus_allowed,
    } = key;
    json!({
        "host": host, "pid": pid, "tid": tid, "ns_pid": ns_pid, "vthread": vthread, "process": process, "name": name,
        "group": group, "start_ns": start_ns, "end_ns": end_ns, "cgroup": cgroup,
        "priority": priority, "cpus_allowed": cpus_allowed,
    })
}

/// Every state, also those that did not occur.
pub(crate) fn states(totals: &StateTotals) -> Value {
    let fields = State::ALL
        .into_iter()
        .map(|state| (state.name().to_owned(), json!(totals.get(state))));
    Value::Object(fields.collect::<Map<_, _>>())
}

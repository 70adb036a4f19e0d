//! A ledger as CSV (RFC 4180): one header, then one line a row; times in ns.

use plumb_trace::State;
use serde_json::Value;

use super::{By, Ledger, Row, RowKey, ThreadKey, json};

/// Fixed: what more there is of a thread, JSON has.
const THREAD_COLUMNS: &[&str] = &[
    "host", "pid", "tid", "ns_pid", "vthread", "process", "name", "group", "start_ns", "end_ns",
];

impl Ledger {
    /// The ledger as `plumb ledger --csv` prints it.
    pub fn to_csv(&self) -> String {
        let keys = match self.by {
            By::Thread => THREAD_COLUMNS,
            By::Unit => &["key", "count", "queue_ns"],
            By::Group | By::Process => &["key", "count"],
        };
        let states = State::ALL.map(|state| format!("{}_ns", state.name()));
        let counts = ["voluntary", "involuntary", "migrations", "prorated"];
        let header = keys
            .iter()
            .map(ToString::to_string)
            .chain(states)
            .chain(counts.map(str::to_owned))
            .chain(self.counted());
        let mut out = line(header);
        let counted = self.counted();
        for row in &self.rows {
            // Empty: not counted of this row.
            let counts = counted.iter().map(|name| row.counts.get(name));
            let counts = counts.map(|count| count.map_or(String::new(), |count| count.to_string()));
            out += &line(cells(row).chain(counts));
        }
        out
    }
}

fn cells(row: &Row) -> impl Iterator<Item = String> {
    let keys = match &row.key {
        RowKey::Thread(key) => thread(key),
        RowKey::Sum { key, count } => vec![key.clone(), count.to_string()],
        RowKey::Unit(key) => vec![key.text(), key.count.to_string(), key.queue_ns.to_string()],
    };
    let totals = row.totals;
    let states = State::ALL.map(|state| totals.states.get(state).to_string());
    let counts = [
        totals.voluntary,
        totals.involuntary,
        totals.migrations,
        u64::from(totals.prorated),
    ];
    keys.into_iter()
        .chain(states)
        .chain(counts.map(|count| count.to_string()))
}

/// The fields of JSON by the columns' names.
fn thread(key: &ThreadKey) -> Vec<String> {
    let fields = json::thread(key);
    let cell = |column: &&str| match &fields[*column] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    THREAD_COLUMNS.iter().map(cell).collect()
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

fn quoted(cell: String) -> String {
    match cell.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    }
}

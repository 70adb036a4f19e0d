//! A ledger as CSV (RFC 4180): one header, then one line a row; times in ns.

use plumb_trace::State;

use super::{By, Ledger, Row, RowKey, ThreadKey};

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
            .chain(self.counted().into_iter().map(|(name, _)| name));
        let mut out = line(header);
        let counted = self.counted();
        for row in &self.rows {
            // Empty: not counted of this row.
            let counts = counted.iter().map(|(name, _)| row.counts.get(name));
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

fn thread(key: &ThreadKey) -> Vec<String> {
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
        // Columns are fixed; these are in JSON.
        cgroup: _,
        priority: _,
        cpus_allowed: _,
    } = key;
    let optional = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
    vec![
        host.clone(),
        pid.to_string(),
        optional(tid.map(u64::from)),
        ns_pid.to_string(),
        optional(*vthread),
        process.clone(),
        name.clone(),
        group.clone().unwrap_or_default(),
        start_ns.to_string(),
        end_ns.to_string(),
    ]
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

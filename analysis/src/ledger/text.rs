//! A ledger as a table for people.

use std::{collections::BTreeSet, fmt};

use plumb_trace::State;

use super::{By, Ledger, Row, RowKey};
use crate::{
    counts::Counts,
    format::{duration, printable, table},
    window::sum,
};

/// See [`Ledger::counts_with_carriers`].
pub(crate) const CARRIERS_NOTE: &str =
    "counters of virtual threads stand with the threads that carried them: the kernel knows no others";

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = self.sum();
        let states: Vec<State> = State::ALL.into_iter().filter(|state| sum.get(*state) > 0).collect();
        let keys = key_titles(self.by);
        let counted = Counted::of(self);
        let mut rows = vec![titles(keys, self.has_queues(), &states)];
        rows[0].extend(counted.titles());
        rows.extend(self.rows.iter().map(|row| {
            let mut cells = cells(row, self.has_queues(), &states);
            cells.extend(counted.cells(&row.counts));
            cells
        }));
        f.write_str(&table(&rows, keys.len()))?;
        for note in self.notes() {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

fn key_titles(by: By) -> &'static [&'static str] {
    match by {
        By::Thread => &["process", "thread", "group"],
        By::Group => &["group"],
        By::Process => &["process"],
        By::Unit => &["unit"],
    }
}

fn titles(keys: &[&str], has_queues: bool, states: &[State]) -> Vec<String> {
    let queue = has_queues.then_some("queue");
    let count = if keys.len() == 1 { "count" } else { "tid" };
    let names = states.iter().map(|state| state.name());
    let titles = keys
        .iter()
        .copied()
        .chain([count])
        .chain(queue)
        .chain(["life"])
        .chain(names)
        .chain(["vol.", "invol.", "migr."]);
    titles.map(str::to_owned).collect()
}

fn cells(row: &Row, has_queues: bool, states: &[State]) -> Vec<String> {
    let mut cells = match &row.key {
        RowKey::Thread(key) => {
            let number = key
                .tid
                .map(|tid| tid.to_string())
                .or(key.vthread.map(|number| format!("v{number}")));
            let group = key.group.as_deref().unwrap_or("-");
            let process = format!("{}[{}]", key.process, key.pid);
            vec![
                printable(&process),
                printable(&key.name),
                printable(group),
                number.unwrap_or_default(),
            ]
        }
        RowKey::Sum { key, count } => vec![printable(key), count.to_string()],
        RowKey::Unit(key) => {
            let mut cells = vec![printable(&key.text()), key.count.to_string()];
            cells.extend(has_queues.then(|| duration(key.queue_ns)));
            cells
        }
    };
    let totals = &row.totals;
    cells.push(duration(totals.states.sum()));
    let is_prorated = |state: State| totals.prorated && matches!(state, State::Running | State::Stolen);
    cells.extend(states.iter().map(|state| {
        let mark = if is_prorated(*state) { "~" } else { "" };
        format!("{mark}{}", duration(totals.states.get(*state)))
    }));
    cells.extend([totals.voluntary, totals.involuntary, totals.migrations].map(|count| count.to_string()));
    cells
}

/// The columns of counters.
struct Counted {
    names: Vec<String>,
    has_ipc: bool,
}

impl Counted {
    fn of(ledger: &Ledger) -> Counted {
        Counted {
            names: ledger.counted(),
            has_ipc: ledger
                .rows
                .iter()
                .any(|row| row.counts.instructions_per_cycle().is_some()),
        }
    }

    fn titles(&self) -> impl Iterator<Item = String> {
        let names = self.names.iter().map(|name| printable(name));
        names.chain(self.has_ipc.then(|| "instr./cycle".to_owned()))
    }

    fn cells(&self, counts: &Counts) -> impl Iterator<Item = String> {
        let cell = |name: &String| {
            let told = counts.told(name, |count| count.to_string());
            told.unwrap_or_else(|| "-".to_owned())
        };
        let per_cycle = || {
            counts
                .instructions_per_cycle()
                .map_or("-".to_owned(), |ipc| format!("{ipc:.2}"))
        };
        let per_cycle = self.has_ipc.then(per_cycle);
        self.names.iter().map(cell).chain(per_cycle)
    }
}

impl Ledger {
    /// The counters that any row has.
    pub(super) fn counted(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.rows.iter().flat_map(|row| row.counts.names()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Whether units waited for a thread after they were handed over.
    fn has_queues(&self) -> bool {
        let waited = |row: &Row| matches!(&row.key, RowKey::Unit(key) if key.queue_ns > 0);
        self.rows.iter().any(waited)
    }

    /// How sure the numbers are.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.rows.iter().any(|row| row.totals.prorated) {
            notes.push("~ the window cuts running time of which the hypervisor took a part: its place is not known, it was prorated".into());
        }
        let is_estimated = |row: &Row| row.counts.names().any(|name| row.counts.is_estimated(name));
        if self.rows.iter().any(is_estimated) {
            notes.push("~ counters that share the hardware count a part of the time: the rest is estimated (.estimated: how much)".into());
        }
        if self.counts_with_carriers {
            notes.push(CARRIERS_NOTE.into());
        }
        notes.extend(loss_note(&self.losses));
        notes
    }
}

/// What to say of losses, if there are any.
pub(crate) fn loss_note(losses: &[plumb_trace::timeline::Loss]) -> Option<String> {
    if losses.is_empty() {
        return None;
    }
    let known = sum(losses.iter().filter_map(|loss| loss.events));
    let unknown = losses.iter().filter(|loss| loss.events.is_none()).count();
    let unknown = if unknown == 0 {
        String::new()
    } else {
        format!(" and {unknown} gaps of unknown size")
    };
    Some(format!(
        "losses in this window: {known} events{unknown}; time that they touch is `unknown`"
    ))
}

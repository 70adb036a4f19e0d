//! How much groups got done on their CPUs: instructions per cycle, where both were counted.

use std::fmt;

use plumb_trace::timeline::{Query, TimelineError};

use crate::{
    Window,
    counts::Counts,
    format::short,
    ledger::{By, RowKey, ledger, text::CARRIERS_NOTE},
};

/// What a group counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Efficiency {
    /// The group, as in a ledger by group.
    pub group: String,
    /// All that its threads counted.
    pub counts: Counts,
    /// Instructions for each cycle. Who waits for memory has few: below 1 is little, above 2 much.
    pub instructions_per_cycle: f64,
}

/// Of all groups that have it, in order of their names; and what one has to know of them.
pub(super) fn efficiency(
    query: &dyn Query,
    window: Window,
) -> Result<(Vec<Efficiency>, Option<&'static str>), TimelineError> {
    // Most timelines have no such counters: they are not asked for each thread's.
    if !query
        .tracks()
        .iter()
        .any(|track| track.name.starts_with("instructions "))
    {
        return Ok((Vec::new(), None));
    }
    let ledger = ledger(query, By::Group, window, None)?;
    let note = ledger.counts_with_carriers.then_some(CARRIERS_NOTE);
    let told = ledger.rows.into_iter().filter_map(|row| match row.key {
        RowKey::Sum { key, .. } => Some(Efficiency {
            group: key,
            instructions_per_cycle: row.counts.instructions_per_cycle()?,
            counts: row.counts,
        }),
        _ => None,
    });
    Ok((told.collect(), note))
}

impl fmt::Display for Efficiency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |name: &str| self.counts.told(name, short).unwrap_or_default();
        write!(
            f,
            "{}: {:.2} instructions per cycle ({} instructions in {} cycles)",
            self.group,
            self.instructions_per_cycle,
            told("instructions"),
            told(self.counts.cycles_name()),
        )
    }
}

//! The books of a recording, read through plumb's own commands: sums of ledger rows, units, losses.

use super::judge::Verdicts;
use crate::process;
use anyhow::{Context, Result};
use serde_json::Value;
use std::{collections::BTreeSet, fmt, path::Path, process::Command};

/// What a timeline says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Threads.
    pub rows: usize,
    /// Threads whose states do not sum to their lives.
    pub wrong_rows: usize,
    /// Records that were counted as lost.
    pub lost: u64,
    /// Gaps whose records nobody could count.
    pub uncounted: usize,
    /// Streams that lost something.
    pub losers: BTreeSet<String>,
    /// Units of work that were seen whole.
    pub units: u64,
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Books {
            rows,
            wrong_rows,
            lost,
            uncounted,
            losers,
            units,
        } = self;
        write!(
            f,
            "{units} units, {wrong_rows} of {rows} rows do not sum to the life of their thread, {lost} records lost and {uncounted} gaps without a count in {losers:?}"
        )
    }
}

/// Reads the books of a timeline.
///
/// # Errors
/// Where plumb fails on it.
pub fn read(plumb: &Path, timeline: &Path) -> Result<Books> {
    let json = |command: &str| -> Result<Value> {
        let text = process::output(Command::new(plumb).arg(command).arg(timeline).arg("--json"))?;
        serde_json::from_str(&text).with_context(|| format!("plumb {command} --json wrote no JSON"))
    };
    Ok(summed(&json("ledger")?, &json("report")?))
}

fn summed(ledger: &Value, report: &Value) -> Books {
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let rows = array(&ledger["rows"]);
    let losses = array(&ledger["losses"]);
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let is_wrong = |row: &&Value| {
        let states = row["states_ns"].as_object();
        let sum: u64 = states.into_iter().flat_map(|states| states.values()).map(number).sum();
        number(&row["end_ns"]).checked_sub(number(&row["start_ns"])) != Some(sum)
    };
    Books {
        rows: rows.len(),
        wrong_rows: rows.iter().filter(is_wrong).count(),
        lost: losses.iter().map(|loss| number(&loss["events"])).sum(),
        uncounted: losses.iter().filter(|loss| loss["events"].is_null()).count(),
        losers: losses
            .iter()
            .filter_map(|loss| loss["stream"].as_str().map(str::to_owned))
            .collect(),
        units: array(&report["units"]).iter().map(|unit| number(&unit["count"])).sum(),
    }
}

impl Books {
    /// Notes whether every row sums and nothing was lost.
    pub fn judge(&self, verdicts: &mut Verdicts) {
        let Books {
            rows,
            wrong_rows,
            lost,
            uncounted,
            losers,
            units: _,
        } = self;
        verdicts.note(
            *wrong_rows == 0 && *rows > 0,
            format!("ledger: {wrong_rows} of {rows} rows do not sum to the life of their thread"),
        );
        verdicts.note(
            *lost == 0 && *uncounted == 0,
            format!("losses: {lost} records counted as lost, {uncounted} gaps without a count {losers:?}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_that_do_not_sum_are_seen() {
        let ledger = json!({
            "rows": [
                {"start_ns": 10, "end_ns": 30, "states_ns": {"running": 5, "ready": 15}},
                {"start_ns": 10, "end_ns": 30, "states_ns": {"running": 5, "ready": 14}},
            ],
            "losses": [{"stream": "cpu-0", "events": 3}, {"stream": "cpu-0", "events": null}],
        });
        let books = summed(&ledger, &json!({"units": [{"count": 4}, {"count": 5}]}));
        let expected = Books {
            rows: 2,
            wrong_rows: 1,
            lost: 3,
            uncounted: 1,
            losers: BTreeSet::from(["cpu-0".to_owned()]),
            units: 9,
        };
        assert_eq!(books, expected);
    }
}

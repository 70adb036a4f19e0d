//! `[[trigger]]`: when the flight recorder saves what it holds.
//!
//! ```toml
//! [[trigger]]
//! when = "ready(request) > 100ms"   # a thread of the group had to wait that long for a CPU
//! keep = "30s"                      # how much before that is saved,
//! after = "5s"                      # and how much after it
//! ```
//!
//! | when | meaning |
//! | --- | --- |
//! | `ready(GROUP) > TIME` | a thread of the group could run and had no CPU for longer; `*` is any thread |
//! | `monitor(GROUP) > TIME` | a thread of the group waited longer for a Java monitor, or still does |
//! | `unit(UNIT) > TIME` | a call of the unit's method took longer, or is still under way after it. Tasks that it handed over to other threads are not waited for |
//! | `runqueue > N` | more threads than that were waiting for a CPU at a time |

use toml::de::DeTable;

use crate::{
    Diagnostic, Place, Rules,
    reader::{Reader, Value},
};

/// Kept before and after a trigger where the rule says nothing, ns.
const KEEP_NS: u64 = 30_000_000_000;
const AFTER_NS: u64 = 1_000_000_000;

const HELP: &str =
    "write \"ready(GROUP) > 100ms\", \"monitor(GROUP) > 50ms\", \"unit(UNIT) > 2s\" or \"runqueue > 20\"";
const TIME_HELP: &str = "write a number and ns, us, ms, s, m or h, as in \"100ms\"";

/// When the flight recorder saves what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The condition as written.
    pub text: String,
    /// The condition.
    pub when: Condition,
    /// What is saved from before it, ns.
    pub keep_ns: u64,
    /// What is saved from after it, ns.
    pub after_ns: u64,
    /// Where the condition stands.
    pub place: Place,
}

/// What sets a trigger off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A thread of the group waited longer for a CPU.
    Ready {
        /// Name of the group, or `*`.
        group: String,
        /// Longer than this, ns.
        over_ns: u64,
    },
    /// A thread of the group waited longer for a Java monitor.
    Monitor {
        /// Name of the group, or `*`.
        group: String,
        /// Longer than this, ns.
        over_ns: u64,
    },
    /// A unit of work took longer.
    Unit {
        /// Name of the unit.
        unit: String,
        /// Longer than this, ns.
        over_ns: u64,
    },
    /// More threads waited for a CPU at a time.
    RunQueue {
        /// More than this.
        over: u32,
    },
}

impl<'t> Reader<'t> {
    pub(crate) fn triggers(&mut self, value: &Value<'t>) -> Vec<Trigger> {
        let tables = self.tables("trigger", value);
        tables
            .into_iter()
            .filter_map(|(offset, table)| self.trigger(offset, table))
            .collect()
    }

    fn trigger(&mut self, offset: usize, table: &DeTable<'t>) -> Option<Trigger> {
        self.check_keys("[[trigger]]", table, &["when", "keep", "after"], &[]);
        let keep_ns = self.length("keep", table, KEEP_NS);
        let after_ns = self.length("after", table, AFTER_NS);
        let value = self.required("[[trigger]]", "when", offset, table)?;
        let text = self.string("when", value)?;
        match condition(text) {
            Some(when) => Some(Trigger {
                text: text.to_owned(),
                when,
                keep_ns: keep_ns?,
                after_ns: after_ns?,
                place: self.place(value.span().start),
            }),
            None => {
                let message = format!("`{}` is no condition", text.escape_debug());
                self.mistake(value.span().start, message, HELP);
                None
            }
        }
    }

    /// A length of time, ns.
    pub(crate) fn length(&mut self, key: &str, table: &DeTable<'t>, default_ns: u64) -> Option<u64> {
        let Some(value) = table.get(key) else {
            return Some(default_ns);
        };
        let text = self.string(key, value)?;
        let length_ns = length_ns(text);
        if length_ns.is_none() {
            let message = format!("`{}` is no length of time", text.escape_debug());
            self.mistake(value.span().start, message, TIME_HELP);
        }
        length_ns
    }
}

fn condition(text: &str) -> Option<Condition> {
    let (what, limit) = text.split_once('>')?;
    let (what, limit) = (what.trim(), limit.trim());
    if what == "runqueue" {
        return Some(Condition::RunQueue {
            over: limit.parse().ok()?,
        });
    }
    let (what, name) = what.strip_suffix(')')?.split_once('(')?;
    let (name, over_ns) = (name.trim().to_owned(), length_ns(limit)?);
    match what.trim_end() {
        _ if name.is_empty() => None,
        "ready" => Some(Condition::Ready { group: name, over_ns }),
        "monitor" => Some(Condition::Monitor { group: name, over_ns }),
        "unit" => Some(Condition::Unit { unit: name, over_ns }),
        _ => None,
    }
}

/// A whole number and a unit.
fn length_ns(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit_ns: u64 = match unit.trim() {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ns)
}

/// Conditions on groups and units that no rule makes.
pub(crate) fn mistakes(rules: &Rules) -> Vec<Diagnostic> {
    let units = rules.units();
    let unknown = |trigger: &Trigger| {
        let (kind, name, is_known) = match &trigger.when {
            Condition::Ready { group, .. } | Condition::Monitor { group, .. } => {
                let is_known = group == "*" || rules.groups.iter().any(|known| known.name == *group);
                ("group", group, is_known)
            }
            Condition::Unit { unit, .. } => ("unit", unit, units.contains(&unit.as_str())),
            Condition::RunQueue { .. } => return None,
        };
        let help = match kind {
            "group" => "add a [[group]] of that name, or write * for any thread",
            _ => "give a [[method]] unit = \"…\" of that name",
        };
        (!is_known).then(|| Diagnostic {
            place: Some(trigger.place.clone()),
            message: format!("no {kind} `{}` in these rules", name.escape_debug()),
            help: help.to_owned(),
        })
    };
    rules.triggers.iter().filter_map(unknown).collect()
}

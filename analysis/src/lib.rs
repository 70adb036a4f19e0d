//! What a timeline means: where threads' time went, who had what they waited for, and what to do about it.
//!
//! Design constraints:
//! - Everything reads a timeline through [`plumb_trace::timeline::Query`], and asks for bounded stretches at a time: memory does not grow with
//!   the timeline's length, but for three numbers a unit of work.
//! - Sums are exact: the states of a ledger's row add up to the row's life in the window, to the nanosecond.
//! - Every number says how sure it is: losses in the window and prorated stolen time are told beside it.
//!
//! Entry points: [`ledger()`] and [`report()`].

mod counts;
mod findings;
mod format;
mod ledger;
mod locks;
mod occupancy;
mod owners;
mod report;
mod roles;
mod states;
mod stretches;
mod sweep;
#[cfg(test)]
mod testing;
mod units;
mod window;

pub use self::{
    counts::{Counts, counts},
    findings::{Culprit, Finding, Severity, Waited, Waits},
    ledger::{By, Ledger, Row, RowKey, ThreadKey, UnitKey, ledger},
    report::{Efficiency, Place, Places, Report, report},
    roles::Role,
    units::{Anatomy, Latency, UnitReport},
    window::Window,
};

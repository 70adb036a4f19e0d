//! The report: what is overloaded, why, on what evidence; and how long the units of work take.

mod efficiency;
mod json;
mod places;
mod text;

use plumb_trace::timeline::{Loss, Query, TimelineError};

pub use self::{
    efficiency::Efficiency,
    places::{Place, Places},
};
use crate::{
    Window,
    findings::{self, Diagnosis, Finding, Waits},
    ledger::losses_within,
    units::{self, UnitReport},
};

/// A report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The stretch that it is of.
    pub window: Window,
    /// What is wrong, the costliest first.
    pub findings: Vec<Finding>,
    /// What groups wait for that are longest in `park` or `net`, the longest first.
    pub waits: Vec<Waits>,
    /// How much groups got done on their CPUs, where cycles and instructions were counted.
    pub efficiency: Vec<Efficiency>,
    /// Exceptions and allocations by place, where the rules asked for them.
    pub places: Vec<Places>,
    /// Units of work, by name.
    pub units: Vec<UnitReport>,
    /// What is missing in the window.
    pub losses: Vec<Loss>,
    /// How far the JVM's times may be off the kernel's, ns.
    pub clock_uncertainty_ns: u64,
    /// What the merger could not use or has doubts about.
    pub notes: Vec<String>,
}

/// Makes a report.
///
/// # Errors
/// If the timeline is damaged where it was read.
pub fn report(query: &dyn Query, window: Window) -> Result<Report, TimelineError> {
    let Diagnosis { findings, waits } = findings::diagnosis(query, window)?;
    let (efficiency, note) = efficiency::efficiency(query, window)?;
    let mut notes = query.info().notes.clone();
    notes.extend(note.map(str::to_owned));
    Ok(Report {
        window,
        findings,
        waits,
        efficiency,
        places: places::places(query, window)?,
        units: units::units(query, window)?,
        losses: losses_within(query, window),
        clock_uncertainty_ns: query.info().clock_uncertainty_ns,
        notes,
    })
}

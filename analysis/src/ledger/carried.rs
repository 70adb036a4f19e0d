//! CPU time that threads spend carrying virtual ones: it stands in both tracks, and may count in one row only.

use std::collections::BTreeMap;

use plumb_trace::{
    State, StateTotals,
    timeline::{Query, TimelineError, TrackId},
};

use crate::{Window, sweep};

/// Time on CPUs, ns.
#[derive(Clone, Copy, Default)]
pub(super) struct OnCpu {
    running_ns: u64,
    stolen_ns: u64,
}

/// What virtual threads had of each of their carriers' time on CPUs.
pub(super) type Carried = BTreeMap<TrackId, OnCpu>;

/// Adds what a virtual thread had.
pub(super) fn add(
    query: &dyn Query,
    virtual_thread: TrackId,
    window: Window,
    carried: &mut Carried,
) -> Result<(), TimelineError> {
    sweep::each_state(query, virtual_thread, window, |interval| {
        let part = window.clip(interval.start_ns, interval.end_ns);
        if let (State::Running, Some(carrier), Some(part)) = (interval.state, interval.peer, part) {
            let length_ns = part.length_ns();
            // In proportion, as everywhere.
            let share =
                u128::from(interval.stolen_ns) * u128::from(length_ns) / u128::from(interval.length_ns().max(1));
            let stolen_ns = u64::try_from(share).unwrap_or(length_ns).min(length_ns);
            let of_carrier = carried.entry(carrier).or_default();
            of_carrier.running_ns = of_carrier.running_ns.saturating_add(length_ns - stolen_ns);
            of_carrier.stolen_ns = of_carrier.stolen_ns.saturating_add(stolen_ns);
        }
        Ok(())
    })
}

/// Takes it off the sum that the carrier is in.
pub(super) fn take_off(sum: &mut StateTotals, OnCpu { running_ns, stolen_ns }: OnCpu) {
    let stolen_off = stolen_ns.min(sum.get(State::Stolen));
    // What the sums put down as stolen a little differently is time on a CPU all the same.
    let running_off = running_ns.saturating_add(stolen_ns - stolen_off);
    let mut left = StateTotals::default();
    for state in State::ALL {
        let off_ns = match state {
            State::Running => running_off,
            State::Stolen => stolen_off,
            _ => 0,
        };
        left.add(state, sum.get(state).saturating_sub(off_ns));
    }
    *sum = left;
}

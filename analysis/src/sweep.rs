//! Walking long stretches of a timeline in pieces, so that memory stays bounded.

use plumb_trace::timeline::{Occupancy, Query, StateInterval, TimelineError, Totals, TrackId, Unit};

use crate::{Window, states::ThreadStates};

/// Length of the first piece, ns; later ones adapt to what was found.
const PIECE_NS: u64 = 1_000_000_000;
/// A piece with fewer items makes the next one longer, one with more makes it shorter.
const ITEMS_FEW: usize = 2_000;
const ITEMS_MANY: usize = 50_000;

/// Units that are gathered before they are handed over.
const UNITS_GATHERED: usize = 1 << 18;

type Visited = Result<(), TimelineError>;

/// Visits each state interval that overlaps the window once, whole, in order.
pub(crate) fn each_state(
    query: &dyn Query,
    track: TrackId,
    window: Window,
    visit: impl FnMut(&StateInterval) -> Visited,
) -> Visited {
    each_piece(
        window,
        |from, to| query.states(track, from, to),
        |interval| interval.start_ns,
        visit,
    )
}

/// Visits each stretch of a CPU's occupancy that overlaps the window once, whole, in order.
pub(crate) fn each_occupancy(
    query: &dyn Query,
    cpu_track: TrackId,
    window: Window,
    visit: impl FnMut(&Occupancy) -> Visited,
) -> Visited {
    each_piece(
        window,
        |from, to| query.occupancy(cpu_track, from, to),
        |occupancy| occupancy.start_ns,
        visit,
    )
}

/// Visits each unit that overlaps the window once, whole.
pub(crate) fn each_unit(query: &dyn Query, window: Window, visit: impl FnMut(&Unit) -> Visited) -> Visited {
    each_piece(window, |from, to| query.units(from, to), |unit| unit.start_ns, visit)
}

/// Visits each wanted unit that overlaps the window once, together with what its thread did from its start to its end as far as that lies within
/// `clip`.
pub(crate) fn each_unit_totals(
    query: &dyn Query,
    window: Window,
    clip: Window,
    is_wanted: impl Fn(&Unit) -> bool,
    mut visit: impl FnMut(&Unit, &Totals),
) -> Visited {
    let mut gathered = Vec::new();
    each_unit(query, window, |unit| {
        if is_wanted(unit) {
            gathered.push(*unit);
        }
        if gathered.len() < UNITS_GATHERED {
            return Ok(());
        }
        visit_gathered(query, clip, &mut gathered, &mut visit)
    })?;
    visit_gathered(query, clip, &mut gathered, &mut visit)
}

/// Visits units thread by thread, so that each thread's states are read once.
fn visit_gathered(
    query: &dyn Query,
    clip: Window,
    units: &mut Vec<Unit>,
    visit: &mut impl FnMut(&Unit, &Totals),
) -> Visited {
    units.sort_by_key(|unit| (unit.track, unit.start_ns));
    for units in units.chunk_by(|a, b| a.track == b.track) {
        let Some(first) = units.first() else { continue };
        let mut states = ThreadStates::new(query, first.track);
        for unit in units {
            if let Some(part) = clip.clip(unit.start_ns, unit.end_ns) {
                visit(unit, &states.totals(part)?);
            }
        }
    }
    units.clear();
    Ok(())
}

/// Asks piece by piece; what began in an earlier piece was visited there.
fn each_piece<T>(
    window: Window,
    ask: impl Fn(u64, u64) -> Result<Vec<T>, TimelineError>,
    start_of: impl Fn(&T) -> u64,
    mut visit: impl FnMut(&T) -> Visited,
) -> Visited {
    let mut piece_ns = PIECE_NS;
    let mut from = window.from_ns;
    while from < window.to_ns {
        let to = from.saturating_add(piece_ns).min(window.to_ns);
        let items = ask(from, to)?;
        let is_new = |item: &&T| start_of(item) >= from || from == window.from_ns;
        items.iter().filter(is_new).try_for_each(&mut visit)?;
        piece_ns = match items.len() {
            ..ITEMS_FEW => piece_ns.saturating_mul(4),
            ITEMS_MANY.. => (piece_ns / 4).max(1_000_000),
            _ => piece_ns,
        };
        from = to;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use plumb_trace::State;

    use super::*;
    use crate::testing::Fake;

    #[test]
    fn every_interval_is_visited_once_however_the_pieces_fall() {
        let mut fake = Fake::new(0, 40_000_000_000);
        let thread = fake.thread("java", "worker");
        for start in (0..40_000_000_000_u64).step_by(700_000_000) {
            fake.state(thread, start, (start + 700_000_000).min(40_000_000_000), State::Running);
        }
        let window = Window {
            from_ns: 500,
            to_ns: 39_000_000_000,
        };
        let mut seen = Vec::new();
        each_state(&fake, thread, window, |interval| {
            seen.push(*interval);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, fake.states(thread, window.from_ns, window.to_ns).unwrap());
        assert!(seen.len() > 50);
    }
}

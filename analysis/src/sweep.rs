//! Walking long stretches of a timeline in pieces, so that memory stays bounded.

use plumb_trace::timeline::{Occupancy, Query, StateInterval, TimelineError, TrackId, Unit};

use crate::Window;

/// Length of the first piece, ns; later ones adapt to what was found.
const PIECE_NS: u64 = 1_000_000_000;
/// A piece with fewer items makes the next one longer, one with more makes it shorter.
const ITEMS_FEW: usize = 2_000;
const ITEMS_MANY: usize = 50_000;

/// Visits each state interval that overlaps the window once, whole, in order.
pub(crate) fn each_state(
    query: &dyn Query,
    track: TrackId,
    window: Window,
    visit: impl FnMut(&StateInterval),
) -> Result<(), TimelineError> {
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
    visit: impl FnMut(&Occupancy),
) -> Result<(), TimelineError> {
    each_piece(
        window,
        |from, to| query.occupancy(cpu_track, from, to),
        |occupancy| occupancy.start_ns,
        visit,
    )
}

/// Visits each unit that overlaps the window once, whole.
pub(crate) fn each_unit(query: &dyn Query, window: Window, visit: impl FnMut(&Unit)) -> Result<(), TimelineError> {
    each_piece(window, |from, to| query.units(from, to), |unit| unit.start_ns, visit)
}

/// Asks piece by piece; what began in an earlier piece was visited there.
fn each_piece<T>(
    window: Window,
    ask: impl Fn(u64, u64) -> Result<Vec<T>, TimelineError>,
    start_of: impl Fn(&T) -> u64,
    mut visit: impl FnMut(&T),
) -> Result<(), TimelineError> {
    let mut piece_ns = PIECE_NS;
    let mut from = window.from_ns;
    while from < window.to_ns {
        let to = from.saturating_add(piece_ns).min(window.to_ns);
        let items = ask(from, to)?;
        let is_new = |item: &&T| start_of(item) >= from || from == window.from_ns;
        items.iter().filter(is_new).for_each(&mut visit);
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
        each_state(&fake, thread, window, |interval| seen.push(*interval)).unwrap();
        assert_eq!(seen, fake.states(thread, window.from_ns, window.to_ns).unwrap());
        assert!(seen.len() > 50);
    }
}

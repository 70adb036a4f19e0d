//! Walking long stretches of a timeline in pieces, so that memory stays bounded.

use std::collections::HashMap;

use plumb_trace::timeline::{
    Occupancy, Query, Sleep, StateInterval, StringId, TimelineError, Totals, TrackId, Unit, UnitPart,
};

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

/// Visits each sleep of which there are stacks and that overlaps the window once, whole, in order.
pub(crate) fn each_sleep(
    query: &dyn Query,
    track: TrackId,
    window: Window,
    visit: impl FnMut(&Sleep) -> Visited,
) -> Visited {
    each_piece(
        window,
        |from, to| query.sleeps(track, from, to),
        |sleep| sleep.start_ns,
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

/// What one thread did for a unit: all of it, or a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub name: StringId,
    pub key: StringId,
    /// Length of the whole unit, ns.
    pub latency_ns: u64,
    pub track: TrackId,
    /// From here to its start it waited for the thread.
    pub handed_ns: u64,
    pub start_ns: u64,
    pub end_ns: u64,
}

impl From<&Unit> for Work {
    fn from(unit: &Unit) -> Work {
        Work {
            name: unit.name,
            key: unit.key,
            latency_ns: unit.end_ns.saturating_sub(unit.start_ns),
            track: unit.track,
            handed_ns: unit.start_ns,
            start_ns: unit.start_ns,
            end_ns: unit.end_ns,
        }
    }
}

impl Work {
    /// A part of a unit of this length.
    fn part(part: &UnitPart, latency_ns: u64) -> Work {
        Work {
            name: part.name,
            key: part.key,
            latency_ns,
            track: part.track,
            handed_ns: part.handed_ns,
            start_ns: part.start_ns,
            end_ns: part.end_ns,
        }
    }
}

/// Visits what threads did for each wanted unit that overlaps the window, together with what states they were in as far as that lies within `clip`.
pub(crate) fn each_unit_totals(
    query: &dyn Query,
    window: Window,
    clip: Window,
    mut is_wanted: impl FnMut(&Unit) -> bool,
    mut visit: impl FnMut(&Work, &Totals),
) -> Visited {
    let mut gathered = Vec::new();
    let mut in_parts = HashMap::new();
    let mut from_ns = u64::MAX;
    each_unit(query, window, |unit| {
        match (is_wanted(unit), unit.number) {
            (true, 0) => gathered.push(Work::from(unit)),
            (true, number) => {
                in_parts.insert(number, unit.end_ns.saturating_sub(unit.start_ns));
                from_ns = from_ns.min(unit.start_ns);
            }
            (false, _) => {}
        }
        visit_many(query, clip, &mut gathered, &mut visit)
    })?;
    let parts = Window {
        from_ns: from_ns.max(clip.from_ns),
        to_ns: window.to_ns.min(clip.to_ns),
    };
    let ask = |from_ns, to_ns| query.unit_parts(from_ns, to_ns);
    each_piece(
        parts,
        ask,
        |part| part.start_ns,
        |part| {
            if let Some(latency_ns) = in_parts.get(&part.number) {
                gathered.push(Work::part(part, *latency_ns));
            }
            visit_many(query, clip, &mut gathered, &mut visit)
        },
    )?;
    visit_gathered(query, clip, &mut gathered, &mut visit)
}

fn visit_many(
    query: &dyn Query,
    clip: Window,
    gathered: &mut Vec<Work>,
    visit: &mut impl FnMut(&Work, &Totals),
) -> Visited {
    if gathered.len() < UNITS_GATHERED {
        return Ok(());
    }
    visit_gathered(query, clip, gathered, visit)
}

/// Visits work thread by thread, so that each thread's states are read once.
fn visit_gathered(
    query: &dyn Query,
    clip: Window,
    gathered: &mut Vec<Work>,
    visit: &mut impl FnMut(&Work, &Totals),
) -> Visited {
    gathered.sort_by_key(|work| (work.track, work.start_ns));
    for of_thread in gathered.chunk_by(|a, b| a.track == b.track) {
        let Some(first) = of_thread.first() else { continue };
        let mut states = ThreadStates::new(query, first.track);
        for work in of_thread {
            if let Some(part) = clip.clip(work.start_ns, work.end_ns) {
                visit(work, &states.totals(part)?);
            }
        }
    }
    gathered.clear();
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

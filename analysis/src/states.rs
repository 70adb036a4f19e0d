//! Sums over intervals that are at hand: for many short windows of one thread, where asking the timeline for each would read
//! the same blocks again and again.

use plumb_trace::{
    State,
    timeline::{Query, StateInterval, TimelineError, Totals, TrackId},
};

use crate::Window;

/// How much of a thread is read at a time, ns.
const PIECE_NS: u64 = 1_000_000_000;

/// The states of one thread, read piece by piece. Fast where windows are asked for in order of their start.
pub(crate) struct ThreadStates<'q> {
    query: &'q dyn Query,
    track: TrackId,
    intervals: Vec<StateInterval>,
    read: Window,
}

impl<'q> ThreadStates<'q> {
    pub fn new(query: &'q dyn Query, track: TrackId) -> Self {
        Self {
            query,
            track,
            intervals: Vec::new(),
            read: Window { from_ns: 0, to_ns: 0 },
        }
    }

    /// What the thread did within the window.
    pub fn totals(&mut self, window: Window) -> Result<Totals, TimelineError> {
        if window.length_ns() > PIECE_NS {
            return self.query.totals(self.track, window.from_ns, window.to_ns);
        }
        if window.from_ns < self.read.from_ns || window.to_ns > self.read.to_ns {
            self.read = Window {
                from_ns: window.from_ns,
                to_ns: window.from_ns.saturating_add(2 * PIECE_NS),
            };
            self.intervals = self.query.states(self.track, self.read.from_ns, self.read.to_ns)?;
        }
        Ok(totals(&self.intervals, window))
    }
}

/// What ordered intervals hold within the window.
fn totals(intervals: &[StateInterval], window: Window) -> Totals {
    let first = intervals.partition_point(|interval| interval.end_ns <= window.from_ns);
    let mut totals = Totals::default();
    let mut last_cpu = None;
    for interval in intervals[first..]
        .iter()
        .take_while(|interval| interval.start_ns < window.to_ns)
    {
        add(&mut totals, interval, window);
        if interval.state == State::Running {
            totals.migrations += u64::from(last_cpu.is_some_and(|cpu| interval.cpu != cpu));
            last_cpu = Some(interval.cpu);
        }
    }
    totals
}

fn add(totals: &mut Totals, interval: &StateInterval, window: Window) {
    let Some(part) = window.clip(interval.start_ns, interval.end_ns) else {
        return;
    };
    if interval.state != State::Running {
        totals.states.add(interval.state, part.length_ns());
        return;
    }
    let stolen_ns = stolen_within(interval, part);
    totals.states.add(State::Stolen, stolen_ns);
    totals.states.add(State::Running, part.length_ns() - stolen_ns);
    totals.prorated |= interval.stolen_ns > 0 && part.length_ns() < interval.length_ns();
    if interval.end_ns <= window.to_ns {
        *(if interval.involuntary {
            &mut totals.involuntary
        } else {
            &mut totals.voluntary
        }) += 1;
    }
}

/// The stolen time of a part of an interval: where in the interval it lies is not known, so in proportion.
fn stolen_within(interval: &StateInterval, part: Window) -> u64 {
    let stolen_ns = interval.stolen_ns.min(interval.length_ns());
    let scaled = u128::from(stolen_ns) * u128::from(part.length_ns()) / u128::from(interval.length_ns().max(1));
    u64::try_from(scaled).unwrap_or(stolen_ns).min(part.length_ns())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn a_window_that_cuts_a_running_interval_takes_its_part_of_the_stolen_time() {
        let mut fake = Fake::new(0, 4_000);
        let thread = fake.thread("java", "worker");
        fake.running(thread, 1_000, 2_000, 0).stolen_ns = 100;
        fake.state(thread, 2_000, 3_000, State::Net);
        fake.running(thread, 3_000, 4_000, 1).involuntary = true;
        let mut states = ThreadStates::new(&fake, thread);

        let got = states
            .totals(Window {
                from_ns: 1_500,
                to_ns: 2_500,
            })
            .unwrap();
        assert_eq!(
            (got.states.get(State::Running), got.states.get(State::Stolen)),
            (450, 50)
        );
        assert_eq!((got.states.get(State::Net), got.states.sum()), (500, 1_000));
        assert_eq!((got.voluntary, got.prorated), (1, true));

        let got = states
            .totals(Window {
                from_ns: 1_000,
                to_ns: 4_000,
            })
            .unwrap();
        assert_eq!(
            (got.voluntary, got.involuntary, got.migrations, got.prorated),
            (1, 1, 1, false)
        );
        assert_eq!(got.states.get(State::Stolen), 100);
    }
}

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
            // With the interval before, whose end may be a switch at the window's first instant.
            self.intervals = self
                .query
                .states(self.track, self.read.from_ns.saturating_sub(1), self.read.to_ns)?;
        }
        Ok(totals(&self.intervals, window))
    }
}

/// What ordered intervals hold within the window. A switch is where a running interval is followed by one that is not, a migration
/// where a running interval has another CPU than the running interval before, as far as that one was read.
fn totals(intervals: &[StateInterval], window: Window) -> Totals {
    let mut totals = Totals::default();
    let first = intervals.partition_point(|interval| interval.end_ns <= window.from_ns);
    let mut before = first.checked_sub(1).and_then(|before| intervals.get(before));
    let mut last_cpu = before.and_then(cpu);
    for interval in intervals[first..]
        .iter()
        .take_while(|interval| interval.start_ns < window.to_ns)
    {
        add_time(&mut totals, interval, window);
        if interval.start_ns >= window.from_ns {
            count_switch(&mut totals, before, interval);
            totals.migrations += u64::from(cpu(interval).is_some() && last_cpu.is_some() && cpu(interval) != last_cpu);
        }
        last_cpu = cpu(interval).or(last_cpu);
        before = Some(interval);
    }
    totals
}

/// The CPU that it runs on.
fn cpu(interval: &StateInterval) -> Option<u16> {
    interval.cpu.filter(|_| interval.state == State::Running)
}

fn count_switch(totals: &mut Totals, before: Option<&StateInterval>, interval: &StateInterval) {
    let Some(before) = before.filter(|before| before.state == State::Running) else {
        return;
    };
    if interval.state != State::Running {
        *(if before.involuntary {
            &mut totals.involuntary
        } else {
            &mut totals.voluntary
        }) += 1;
    }
}

fn add_time(totals: &mut Totals, interval: &StateInterval, window: Window) {
    let Some(part) = window.clip(interval.start_ns, interval.end_ns) else {
        return;
    };
    let stolen_ns = stolen_before(interval, part.to_ns) - stolen_before(interval, part.from_ns);
    totals.states.add(State::Stolen, stolen_ns);
    totals.states.add(interval.state, part.length_ns() - stolen_ns);
    totals.prorated |= interval.stolen_ns > 0 && part.length_ns() < interval.length_ns();
}

/// The stolen time up to an instant of an interval: where in the interval it lies is not known, so in proportion. Rounded down from the
/// interval's begin, so that adjacent windows sum to the whole.
fn stolen_before(interval: &StateInterval, at_ns: u64) -> u64 {
    let length_ns = interval.length_ns().max(1);
    let part_ns = at_ns.saturating_sub(interval.start_ns).min(length_ns);
    let stolen_ns = interval.stolen_ns.min(length_ns);
    u64::try_from(u128::from(stolen_ns) * u128::from(part_ns) / u128::from(length_ns)).unwrap_or(stolen_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn a_window_that_cuts_a_running_interval_takes_its_part_of_the_stolen_time() {
        let mut fake = Fake::new(0, 5_000);
        let thread = fake.thread("java", "worker");
        fake.running(thread, 1_000, 2_000, 0).stolen_ns = 100;
        fake.state(thread, 2_000, 3_000, State::Net);
        fake.running(thread, 3_000, 4_000, 1).involuntary = true;
        fake.ready(thread, 4_000, 5_000, 1);
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
                to_ns: 4_001,
            })
            .unwrap();
        assert_eq!(
            (got.voluntary, got.involuntary, got.migrations, got.prorated),
            (1, 1, 1, false)
        );
        assert_eq!(got.states.get(State::Stolen), 100);
    }
}

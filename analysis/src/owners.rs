//! Who had a lock at each instant of a wait for it.
//!
//! Who lets a waiter in had the lock since it was let in itself, if it had to wait; until then whoever let that one in had it, and so on, back to where the wait began. Where several threads queue for
//! a lock, each so has the part of the wait in which it had the lock, not all of it who happened to be the last.
//!
//! A lock is known by its class alone: locks of one class that the same threads take in turn are taken for one here.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use plumb_trace::timeline::{Cause, Query, StringId, TimelineError, TrackId};

use crate::{Window, locks::is_for_a_lock, sweep};

/// So many owners of one wait are told apart; who had the lock before them is not known.
const OWNERS_MAX: usize = 1_000;

/// That a thread got a lock which it had waited for.
#[derive(Clone, Copy, Debug)]
struct Got {
    at_ns: u64,
    class: StringId,
    /// Who let it in.
    from: Option<TrackId>,
    /// Where it stands when that one had got it, once that was asked.
    before: Option<Before>,
}

/// A place in the list of [`Owners`]; `None`: it did not have to wait.
type Before = Option<usize>;

/// Who got which lock when, of the threads that were asked for.
pub(crate) struct Owners<'q> {
    query: &'q dyn Query,
    window: Window,
    /// Of each thread and class side by side, in order of time.
    got: Vec<Got>,
    /// Where these stand in the list.
    places: HashMap<(TrackId, StringId), Range<usize>>,
    asked: HashSet<TrackId>,
}

/// A stretch of a wait in which this thread had the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub owner: TrackId,
    pub from_ns: u64,
    pub to_ns: u64,
}

/// A wait for a lock, or a part of it, which somebody ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub waiter: TrackId,
    pub class: StringId,
    pub from_ns: u64,
    pub to_ns: u64,
    pub by: TrackId,
}

impl<'q> Owners<'q> {
    /// Nobody is known yet.
    pub fn new(query: &'q dyn Query, window: Window) -> Self {
        Self {
            query,
            window,
            got: Vec::new(),
            places: HashMap::new(),
            asked: HashSet::new(),
        }
    }

    /// Hands over who had the lock during this wait, the last first. Stretches of which that is not known are missing.
    pub fn each(&mut self, wait: &Ended, mut visit: impl FnMut(Held)) -> Result<(), TimelineError> {
        let (mut owner, mut until_ns) = (wait.by, wait.to_ns);
        let mut place = self.last(owner, wait.class, until_ns)?;
        for _ in 0..OWNERS_MAX {
            // Nobody keeps itself waiting: then it was another lock of the class.
            if owner == wait.waiter {
                break;
            }
            let got = place.map(|place| (place, self.got[place]));
            let got = got.filter(|(_, got)| got.at_ns > wait.from_ns);
            visit(Held {
                owner,
                from_ns: got.map_or(wait.from_ns, |(_, got)| got.at_ns),
                to_ns: until_ns,
            });
            let Some((
                at,
                Got {
                    at_ns,
                    from: Some(from),
                    ..
                },
            )) = got
            else {
                break;
            };
            (owner, until_ns) = (from, at_ns);
            place = self.before(at, from)?;
        }
        Ok(())
    }

    /// Where it stands that `from`, who let in whoever got it here, had got it.
    fn before(&mut self, at: usize, from: TrackId) -> Result<Before, TimelineError> {
        let got = self.got[at];
        if let Some(before) = got.before {
            return Ok(before);
        }
        let before = self.last(from, got.class, got.at_ns)?;
        self.got[at].before = Some(before);
        Ok(before)
    }

    /// The last time before `before_ns` that a thread got a lock of this class for which it had waited.
    fn last(&mut self, thread: TrackId, class: StringId, before_ns: u64) -> Result<Before, TimelineError> {
        if self.asked.insert(thread) {
            self.gather(thread)?;
        }
        let Some(places) = self.places.get(&(thread, class)) else {
            return Ok(None);
        };
        let earlier = self.got[places.clone()].partition_point(|got| got.at_ns < before_ns);
        Ok(earlier.checked_sub(1).map(|last| places.start + last))
    }

    fn gather(&mut self, thread: TrackId) -> Result<(), TimelineError> {
        let mut by_class: HashMap<StringId, Vec<Got>> = HashMap::new();
        let mut last_class = None;
        sweep::each_state(self.query, thread, self.window, |interval| {
            if !is_for_a_lock(self.query, interval) {
                return Ok(());
            }
            let class = interval.cause.class().unwrap_or_default();
            let of_class = by_class.entry(class).or_default();
            if matches!(interval.cause, Cause::ClassAgain(_)) && last_class == Some(class) {
                // The wait went on: it had not got it.
                of_class.pop();
            }
            of_class.push(Got {
                at_ns: interval.end_ns,
                class,
                from: interval.peer,
                before: None,
            });
            last_class = Some(class);
            Ok(())
        })?;
        for (class, mut got) in by_class {
            let start = self.got.len();
            self.got.append(&mut got);
            self.places.insert((thread, class), start..self.got.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;
    use plumb_trace::State;

    const WINDOW: Window = Window {
        from_ns: 0,
        to_ns: 10_000,
    };

    fn held(fake: &Fake, (from_ns, to_ns): (u64, u64), class: StringId, waiter: TrackId, by: TrackId) -> Vec<Held> {
        let wait = Ended {
            waiter,
            class,
            from_ns,
            to_ns,
            by,
        };
        let mut held = Vec::new();
        let mut owners = Owners::new(fake, WINDOW);
        // What was learnt the first time is the same the second time.
        for _ in 0..2 {
            held.clear();
            owners.each(&wait, |one| held.push(one)).expect("a timeline");
        }
        held
    }

    fn waits(fake: &mut Fake, thread: TrackId, (start, end): (u64, u64), cause: Cause, from: Option<TrackId>) {
        let interval = fake.state(thread, start, end, State::Monitor);
        (interval.cause, interval.peer) = (cause, from);
    }

    #[test]
    fn who_queues_waits_for_all_who_had_the_lock_meanwhile() {
        let mut fake = Fake::new(0, 10_000);
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| fake.thread("java", name));
        let (log, stock) = (fake.text("shop.Log"), fake.text("shop.Stock"));
        // a has it from before, then b from 3,000 on, then c from 4,000 on.
        waits(&mut fake, b, (1_000, 3_000), Cause::Class(log), Some(a));
        waits(&mut fake, b, (3_500, 3_600), Cause::Class(stock), Some(d));
        waits(&mut fake, c, (1_500, 2_000), Cause::Class(log), None);
        waits(&mut fake, c, (2_100, 4_000), Cause::ClassAgain(log), Some(b));
        waits(&mut fake, d, (500, 6_000), Cause::Class(log), Some(c));
        let held = held(&fake, (500, 6_000), log, d, c);
        let held: Vec<_> = held.iter().map(|held| (held.owner, held.from_ns, held.to_ns)).collect();
        assert_eq!(held, [(c, 4_000, 6_000), (b, 3_000, 4_000), (a, 500, 3_000)]);
    }

    #[test]
    fn what_was_before_one_whom_nobody_let_in_is_not_known() {
        let mut fake = Fake::new(0, 10_000);
        let [a, b] = ["a", "b"].map(|name| fake.thread("java", name));
        let log = fake.text("shop.Log");
        waits(&mut fake, a, (500, 2_000), Cause::Class(log), None);
        waits(&mut fake, b, (1_000, 5_000), Cause::Class(log), Some(a));
        let known = held(&fake, (1_000, 5_000), log, b, a);
        assert_eq!(known.len(), 1);
        assert_eq!((known[0].from_ns, known[0].to_ns), (2_000, 5_000));
        // Its own wait lies between: it was not the same lock.
        waits(&mut fake, a, (6_000, 6_500), Cause::Class(log), Some(b));
        waits(&mut fake, b, (5_900, 7_000), Cause::Class(log), Some(a));
        let held = held(&fake, (5_900, 7_000), log, b, a);
        let held: Vec<_> = held.iter().map(|held| (held.owner, held.from_ns, held.to_ns)).collect();
        assert_eq!(held, [(a, 6_500, 7_000)]);
    }
}

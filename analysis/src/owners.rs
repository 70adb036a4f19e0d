//! Who had a lock at each instant of a wait for it.
//!
//! Who lets a waiter in had the lock since it was let in itself, if it had to wait; until then whoever let that one in had it, and so on, back to where the wait began. Where several threads queue for
//! a lock, each so has the part of the wait in which it had the lock, not all of it who happened to be the last.
//!
//! A lock is known by its class alone: locks of one class that the same threads take in turn are taken for one here.

use std::collections::HashMap;

use plumb_trace::timeline::{Cause, Query, StringId, TimelineError, TrackId};

use crate::{Window, locks::is_for_a_lock, sweep};

/// So many owners of one wait are told apart; who had the lock before them is not known.
const OWNERS_MAX: usize = 1_000;

/// That a thread got a lock which it had waited for.
#[derive(Clone, Copy, Debug)]
struct Got {
    at_ns: u64,
    /// Who let it in.
    from: Option<TrackId>,
}

/// When a thread got locks, by their class, in order.
type OfThread = HashMap<StringId, Vec<Got>>;

/// Who got which lock when, of the threads that were asked for.
pub(crate) struct Owners<'q> {
    query: &'q dyn Query,
    window: Window,
    got: HashMap<TrackId, OfThread>,
}

/// A stretch of a wait in which this thread had the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub owner: TrackId,
    pub from_ns: u64,
    pub to_ns: u64,
}

impl<'q> Owners<'q> {
    /// Nobody is known yet.
    pub fn new(query: &'q dyn Query, window: Window) -> Self {
        let got = HashMap::new();
        Self { query, window, got }
    }

    /// Who had the lock while `waiter` waited for it from `from_ns` to `to_ns`, when `released_by` let it in: the last first. Stretches of which that is not known are missing.
    pub fn held(
        &mut self,
        waiter: TrackId,
        class: StringId,
        (from_ns, to_ns): (u64, u64),
        released_by: TrackId,
    ) -> Result<Vec<Held>, TimelineError> {
        let (mut owner, mut until_ns) = (released_by, to_ns);
        let mut held = Vec::new();
        // Nobody keeps itself waiting: then it was another lock of the class.
        while owner != waiter && held.len() < OWNERS_MAX {
            let got = self.last(owner, class, until_ns)?.filter(|got| got.at_ns > from_ns);
            let since_ns = got.map_or(from_ns, |got| got.at_ns);
            held.push(Held {
                owner,
                from_ns: since_ns,
                to_ns: until_ns,
            });
            until_ns = since_ns;
            match got.and_then(|got| got.from) {
                Some(before) => owner = before,
                None => break,
            }
        }
        Ok(held)
    }

    /// The last time before `before_ns` that a thread got a lock of this class for which it had waited.
    fn last(&mut self, thread: TrackId, class: StringId, before_ns: u64) -> Result<Option<Got>, TimelineError> {
        if !self.got.contains_key(&thread) {
            let got = gather(self.query, thread, self.window)?;
            self.got.insert(thread, got);
        }
        let of_class = self.got.get(&thread).and_then(|got| got.get(&class));
        let all = of_class.map_or(&[][..], Vec::as_slice);
        let before = all.partition_point(|got| got.at_ns < before_ns);
        Ok(all[..before].last().copied())
    }
}

fn gather(query: &dyn Query, thread: TrackId, window: Window) -> Result<OfThread, TimelineError> {
    let mut all = OfThread::new();
    let mut last_class = None;
    sweep::each_state(query, thread, window, |interval| {
        if !is_for_a_lock(query, interval) {
            return Ok(());
        }
        let class = interval.cause.class().unwrap_or_default();
        let of_class = all.entry(class).or_default();
        if matches!(interval.cause, Cause::ClassAgain(_)) && last_class == Some(class) {
            // The wait went on: it had not got it.
            of_class.pop();
        }
        of_class.push(Got {
            at_ns: interval.end_ns,
            from: interval.peer,
        });
        last_class = Some(class);
        Ok(())
    })?;
    Ok(all)
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
        let mut owners = Owners::new(&fake, WINDOW);
        let held = owners.held(d, log, (500, 6_000), c).expect("a timeline");
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
        let mut owners = Owners::new(&fake, WINDOW);
        let held = owners.held(b, log, (1_000, 5_000), a).expect("a timeline");
        assert_eq!(held.len(), 1);
        assert_eq!((held[0].from_ns, held[0].to_ns), (2_000, 5_000));
        // Its own wait lies between: it was not the same lock.
        waits(&mut fake, a, (6_000, 6_500), Cause::Class(log), Some(b));
        waits(&mut fake, b, (5_900, 7_000), Cause::Class(log), Some(a));
        let mut owners = Owners::new(&fake, WINDOW);
        let held = owners.held(b, log, (5_900, 7_000), a).expect("a timeline");
        let held: Vec<_> = held.iter().map(|held| (held.owner, held.from_ns, held.to_ns)).collect();
        assert_eq!(held, [(a, 6_500, 7_000)]);
    }
}

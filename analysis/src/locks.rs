//! Who had the lock while threads waited for it: a Java monitor, or a `ReentrantLock`, for which threads park.
//!
//! The owner of a lock is learnt from who released it and woke the one who waits; who had it before that one, where several queue for it, from who let that one in: see [`Owners`].
//!
//! HotSpot (before JDK 24) has one of those who wait for a monitor look again by itself, after 1 ms and ever more seldom, lest a wakeup be missed: what it slept until then was ended by a timer, not by an owner. That is one wait all the same. Who gets
//! the lock at such a look was woken by nobody: such a wait has no owner.

use std::{cmp::Reverse, collections::HashMap};

use plumb_trace::{
    State,
    timeline::{Cause, Query, StateInterval, StringId, TimelineError, TrackId},
};

use crate::{
    occupancy::by_role,
    owners::{Ended, Owners},
    roles::Role,
    stretches::Stretches,
    sweep,
};

/// What threads park for while somebody else has the lock. Only of locks that one thread has at a time, and that it gives on itself: of a `ReentrantReadWriteLock` a reader may let in the next
/// one, and has kept nobody waiting.
const OWNED: [&str; 2] = [
    "java.util.concurrent.locks.ReentrantLock$NonfairSync",
    "java.util.concurrent.locks.ReentrantLock$FairSync",
];

/// Whether a thread waits for a lock that somebody has.
pub(crate) fn is_for_a_lock(query: &dyn Query, interval: &StateInterval) -> bool {
    match interval.state {
        State::Monitor => true,
        State::Park => {
            let class = interval.cause.class();
            class.is_some_and(|class| OWNED.contains(&query.string(class)))
        }
        _ => false,
    }
}

/// What threads waited for locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockWaits {
    /// Time waited, ns.
    pub waited_ns: u64,
    /// How much of it in `park`, ns.
    pub parked_ns: u64,
    /// How many waits.
    pub waits: u64,
    /// The longest, as far as it counts, ns.
    pub longest_ns: u64,
    /// By class of the lock, the longest waited for first.
    pub classes: Vec<ClassWaits>,
}

/// What threads waited for locks of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassWaits {
    /// Name of the class, with dots; empty where it is not known.
    pub class: String,
    /// Time waited, ns.
    pub waited_ns: u64,
    /// How many waits.
    pub waits: u64,
    /// Who had the lock, the longest first.
    pub owners: Vec<(TrackId, u64)>,
    /// The same by role.
    pub owner_roles: Vec<(Role, u64)>,
}

#[derive(Default)]
struct Sum {
    waited_ns: u64,
    waits: u64,
    owners: HashMap<TrackId, u64>,
}

/// Says who had the locks that threads waited for.
///
/// # Errors
/// If the timeline is damaged where it was read.
pub fn who_had_the_lock(query: &dyn Query, stretches: &Stretches<'_>) -> Result<LockWaits, TimelineError> {
    let mut sums = Sums::default();
    let mut owners = Owners::new(query, stretches.window);
    for thread in stretches.threads {
        let mut wait = Wait::default();
        sweep::each_state(query, *thread, stretches.window, |interval| {
            if !is_for_a_lock(query, interval) {
                return Ok(());
            }
            let class = interval.cause.class().unwrap_or_default();
            if !matches!(interval.cause, Cause::ClassAgain(_)) || class != wait.class {
                sums.add(std::mem::take(&mut wait));
            }
            let waited_ns = stretches.part_ns(*thread, interval.start_ns, interval.end_ns);
            wait.goes_on(class, waited_ns, (interval.start_ns, interval.end_ns));
            if let Some(owner) = interval.peer {
                wait.is_let_go(owner, *thread, stretches, &mut owners)?;
            }
            if interval.state == State::Park {
                sums.waits.parked_ns = sums.waits.parked_ns.saturating_add(waited_ns);
            }
            Ok(())
        })?;
        sums.add(wait);
    }
    Ok(sums.settled(query))
}

/// One wait, of one interval or several.
#[derive(Default)]
struct Wait {
    class: StringId,
    /// As far as it counts.
    ns: u64,
    /// How much of it these had the lock, ns.
    owners: Vec<(TrackId, u64)>,
    /// Intervals since somebody let it go, whose owners are not known yet.
    unowned: Vec<(u64, u64)>,
}

impl Wait {
    /// For another interval.
    fn goes_on(&mut self, class: StringId, waited_ns: u64, interval: (u64, u64)) {
        self.class = class;
        self.ns = self.ns.saturating_add(waited_ns);
        self.unowned.push(interval);
    }

    /// Somebody who had the lock has ended its last interval.
    fn is_let_go(
        &mut self,
        by: TrackId,
        waiter: TrackId,
        stretches: &Stretches<'_>,
        owners: &mut Owners<'_>,
    ) -> Result<(), TimelineError> {
        let intervals = std::mem::take(&mut self.unowned);
        let (Some(&(from_ns, _)), Some(&(_, to_ns))) = (intervals.first(), intervals.last()) else {
            return Ok(());
        };
        let wait = Ended {
            waiter,
            class: self.class,
            from_ns,
            to_ns,
            by,
        };
        owners.each(&wait, |held| {
            let part = |&(start_ns, end_ns): &(u64, u64)| {
                let (from_ns, to_ns) = (held.from_ns.max(start_ns), held.to_ns.min(end_ns));
                if from_ns < to_ns {
                    stretches.part_ns(waiter, from_ns, to_ns)
                } else {
                    0
                }
            };
            self.owners.push((held.owner, intervals.iter().map(part).sum()));
        })?;
        Ok(())
    }
}

#[derive(Default)]
struct Sums {
    waits: LockWaits,
    by_class: HashMap<StringId, Sum>,
}

impl Sums {
    fn add(&mut self, wait: Wait) {
        let Wait { class, ns, owners, .. } = wait;
        if ns == 0 {
            return;
        }
        let waits = &mut self.waits;
        waits.waited_ns = waits.waited_ns.saturating_add(ns);
        waits.waits += 1;
        waits.longest_ns = waits.longest_ns.max(ns);
        let sum = self.by_class.entry(class).or_default();
        sum.waited_ns = sum.waited_ns.saturating_add(ns);
        sum.waits += 1;
        for (owner, owner_ns) in owners {
            let owned_ns = sum.owners.entry(owner).or_default();
            *owned_ns = owned_ns.saturating_add(owner_ns);
        }
    }

    fn settled(self, query: &dyn Query) -> LockWaits {
        let classes = self.by_class.into_iter();
        let mut classes: Vec<_> = classes.map(|(class, sum)| settled(query, class, sum)).collect();
        classes.sort_by(|a, b| (Reverse(a.waited_ns), &a.class).cmp(&(Reverse(b.waited_ns), &b.class)));
        LockWaits { classes, ..self.waits }
    }
}

fn settled(query: &dyn Query, class: StringId, sum: Sum) -> ClassWaits {
    let mut owners: Vec<_> = sum.owners.iter().map(|(track, ns)| (*track, *ns)).collect();
    owners.sort_by_key(|(track, ns)| (Reverse(*ns), *track));
    ClassWaits {
        class: query.string(class).to_owned(),
        waited_ns: sum.waited_ns,
        waits: sum.waits,
        owners,
        owner_roles: by_role(query, &sum.owners),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;
    use crate::{Window, stretches::UnitStretches};

    #[test]
    fn waits_are_summed_by_class_and_owner() {
        let mut fake = Fake::new(0, 10_000);
        let (a, b) = (fake.thread("java", "a"), fake.thread("java", "b"));
        fake.group(a, "request");
        let (stock, log) = (fake.text("shop.Stock"), fake.text("shop.Log"));
        for (start, end, class, owner) in [
            (0, 1_000, log, Some(b)),
            (1_000, 5_000, stock, Some(b)),
            (5_000, 6_000, stock, None),
        ] {
            let interval = fake.state(a, start, end, State::Monitor);
            interval.cause = Cause::Class(class);
            interval.peer = owner;
        }
        let (threads, window) = (
            [a, b],
            Window {
                from_ns: 500,
                to_ns: 5_500,
            },
        );
        let got = who_had_the_lock(&fake, &Stretches::all(&threads, window)).unwrap();
        assert_eq!((got.waited_ns, got.waits, got.longest_ns), (5_000, 3, 4_000));
        let classes: Vec<_> = got
            .classes
            .iter()
            .map(|class| (class.class.as_str(), class.waited_ns, class.waits))
            .collect();
        assert_eq!(classes, [("shop.Stock", 4_500, 2), ("shop.Log", 500, 1)]);
        assert_eq!(got.classes[0].owners, [(b, 4_000)]);
        assert_eq!(got.classes[0].owner_roles, [(Role::named("java"), 4_000)]);

        let mut units = UnitStretches::default();
        units.add(
            a,
            Window {
                from_ns: 4_500,
                to_ns: 5_200,
            },
        );
        let got = who_had_the_lock(&fake, &Stretches::within(Some(&units), &threads, window)).unwrap();
        assert_eq!(
            (got.waited_ns, got.waits),
            (700, 2),
            "what lies between units does not count"
        );
        let shares: Vec<_> = got
            .classes
            .iter()
            .map(|class| (class.class.as_str(), class.owners.clone()))
            .collect();
        assert_eq!(shares, [("shop.Stock", vec![(b, 500)])]);
    }

    #[test]
    fn who_parks_for_a_lock_waits_for_its_owner_and_who_parks_for_anything_else_does_not() {
        let mut fake = Fake::new(0, 10_000);
        let (a, b) = (fake.thread("java", "a"), fake.thread("java", "b"));
        for (start, class) in [
            (0, "java.util.concurrent.locks.ReentrantLock$NonfairSync"),
            (1_000, "java.util.concurrent.locks.ReentrantLock$FairSync"),
            (2_000, "java.util.concurrent.locks.ReentrantReadWriteLock$NonfairSync"),
            (
                3_000,
                "java.util.concurrent.locks.AbstractQueuedSynchronizer$ConditionObject",
            ),
            (4_000, "shop.Stock"),
        ] {
            let class = fake.text(class);
            let interval = fake.state(a, start, start + 500, State::Park);
            (interval.cause, interval.peer) = (Cause::Class(class), Some(b));
        }
        let stock = fake.text("shop.Stock");
        fake.state(a, 5_000, 5_100, State::Monitor).cause = Cause::Class(stock);
        let window = Window {
            from_ns: 0,
            to_ns: 10_000,
        };
        let got = who_had_the_lock(&fake, &Stretches::all(&[a], window)).unwrap();
        assert_eq!((got.waited_ns, got.parked_ns, got.waits), (1_100, 1_000, 3));
        let owners: Vec<_> = got.classes.iter().map(|class| class.owners.clone()).collect();
        assert_eq!(owners, [vec![(b, 500)], vec![(b, 500)], vec![]]);
    }

    #[test]
    fn a_wait_in_which_the_thread_looked_by_itself_is_one_and_its_owners_who_ended_it() {
        let mut fake = Fake::new(0, 10_000);
        let (a, b) = (fake.thread("java", "a"), fake.thread("java", "b"));
        let stock = fake.text("shop.Stock");
        for (start, end, cause, owner) in [
            (0, 1_000, Cause::Class(stock), None),
            (1_100, 3_000, Cause::ClassAgain(stock), None),
            (3_200, 5_000, Cause::ClassAgain(stock), Some(b)),
            (6_000, 7_000, Cause::Class(stock), None),
        ] {
            let interval = fake.state(a, start, end, State::Monitor);
            (interval.cause, interval.peer) = (cause, owner);
        }
        let (threads, window) = (
            [a],
            Window {
                from_ns: 500,
                to_ns: 10_000,
            },
        );
        let got = who_had_the_lock(&fake, &Stretches::all(&threads, window)).unwrap();
        assert_eq!((got.waited_ns, got.waits, got.longest_ns), (5_200, 2, 4_200));
        assert_eq!(
            got.classes[0].owners,
            [(b, 4_200)],
            "who got the lock at its own look was let in by nobody"
        );
    }
}

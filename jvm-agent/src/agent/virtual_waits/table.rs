//! Who is where: one of the tables of virtual threads. Nothing here asks the JVM or the kernel anything, so that its lock is held for moments.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jvmti_bindings::sys::jni::jobject;

/// Most ids of virtual threads that a table keeps as those to be passed by, and as those that were left out.
const PASSED_MAX: usize = 8192;

/// A virtual thread that a rule names.
pub struct Known {
    pub place: Place,
    /// The thread.
    pub thread: WeakReference,
    /// Its rule's time.
    pub after: Duration,
    /// The stack of this wait was taken.
    pub is_told: bool,
}

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On no carrier, since then.
    Unmounted(Instant),
    /// On this carrier; that one's processor time at the last look, and when that was first seen.
    Mounted(u32, Option<(u64, Instant)>),
}

/// A weak global reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakReference(pub jobject);

#[expect(unsafe_code, reason = "references that threads hand each other")]
// SAFETY: global references may be used by every thread.
unsafe impl Send for WeakReference {}

/// Virtual threads by their Java ids.
pub struct Table {
    known: BTreeMap<u64, Known>,
    /// Those that no rule names: they need not be asked for their names at each mount.
    passed: BTreeSet<u64>,
    /// Those that found no room: nor need they, as long as there is none.
    left_out: BTreeSet<u64>,
}

impl Table {
    pub const fn new() -> Table {
        Table {
            known: BTreeMap::new(),
            passed: BTreeSet::new(),
            left_out: BTreeSet::new(),
        }
    }

    /// The thread is there now. False: it has never been met.
    pub fn is_at(&mut self, id: u64, place: Place) -> bool {
        match self.known.get_mut(&id) {
            Some(known) => {
                (known.place, known.is_told) = (place, false);
                true
            }
            None => self.passed.contains(&id) || self.left_out.contains(&id),
        }
    }

    /// A rule names it. It was not met before.
    pub fn keep(&mut self, id: u64, known: Known) {
        self.known.insert(id, known);
    }

    /// Nothing is to be known of it. Where there are more such ones than have room all are forgotten, and judged again when they come again.
    pub fn pass(&mut self, id: u64) {
        insert(&mut self.passed, id);
    }

    /// A rule names it, but there is no room. As for those that are passed by there are no more than so many.
    pub fn leave_out(&mut self, id: u64) {
        insert(&mut self.left_out, id);
    }

    /// There is room again.
    pub fn meet_left_out(&mut self) {
        self.left_out.clear();
    }

    /// It has ended, or nobody asks for it any more; gives the reference to it, to be deleted.
    pub fn forget(&mut self, id: u64) -> Option<WeakReference> {
        self.passed.remove(&id);
        self.left_out.remove(&id);
        self.known.remove(&id).map(|known| known.thread)
    }

    /// Forgets all.
    pub fn clear(&mut self) -> Vec<WeakReference> {
        self.passed.clear();
        self.left_out.clear();
        std::mem::take(&mut self.known)
            .into_values()
            .map(|known| known.thread)
            .collect()
    }

    /// Those that rules name; who was passed by is judged again.
    pub fn judge_again(&mut self) -> Vec<(u64, WeakReference)> {
        self.passed.clear();
        self.left_out.clear();
        self.references()
    }

    pub fn references(&self) -> Vec<(u64, WeakReference)> {
        self.known.iter().map(|(id, known)| (*id, known.thread)).collect()
    }

    /// Its rule has this time now. How long it has waited already stays known.
    pub fn set_after(&mut self, id: u64, after: Duration) {
        if let Some(known) = self.known.get_mut(&id) {
            known.after = after;
        }
    }

    /// Tells those without a carrier that have waited long and are not told yet, if somebody wants them, and where the others are.
    pub fn look(&self, now: Instant, mut long: Option<&mut Vec<(Duration, u64)>>, mounted: &mut Vec<(u64, Place)>) {
        for (id, known) in &self.known {
            match known.place {
                Place::Unmounted(since) => {
                    let waited = known.is_long(now.saturating_duration_since(since));
                    if let Some(long) = &mut long {
                        long.extend(waited.map(|waited| (waited, *id)));
                    }
                }
                Place::Mounted(..) => mounted.push((*id, known.place)),
            }
        }
    }

    /// The carrier of one that was at `place` at the look has used so much; how long it has waited by then, where that is long and not told yet.
    /// One that has run since the look before begins anew; nothing is said of one that has gone elsewhere.
    pub fn has_used(&mut self, id: u64, place: Place, used_ns: u64, now: Instant) -> Option<Duration> {
        let known = self.known.get_mut(&id).filter(|known| known.place == place)?;
        let Place::Mounted(_, seen) = &mut known.place else {
            return None;
        };
        match *seen {
            Some((before, since)) if before == used_ns => known.is_long(now.saturating_duration_since(since)),
            _ => {
                *seen = Some((used_ns, now));
                known.is_told = false;
                None
            }
        }
    }

    /// Where it is. Its wait counts as told.
    pub fn tell(&mut self, id: u64) -> Option<(Place, WeakReference)> {
        let known = self.known.get_mut(&id)?;
        known.is_told = true;
        Some((known.place, known.thread))
    }

    /// Where it is.
    pub fn place(&self, id: u64) -> Option<Place> {
        self.known.get(&id).map(|known| known.place)
    }
}

fn insert(ids: &mut BTreeSet<u64>, id: u64) {
    if ids.len() >= PASSED_MAX {
        ids.clear();
    }
    ids.insert(id);
}

impl Known {
    fn is_long(&self, waited: Duration) -> Option<Duration> {
        (waited > self.after && !self.is_told).then_some(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_millis(5);

    fn known(place: Place) -> Known {
        Known {
            place,
            thread: WeakReference(std::ptr::null_mut()),
            after: AFTER,
            is_told: false,
        }
    }

    fn long(table: &Table, now: Instant) -> Vec<u64> {
        let (mut long, mut mounted) = (Vec::new(), Vec::new());
        table.look(now, Some(&mut long), &mut mounted);
        long.into_iter().map(|(_, id)| id).collect()
    }

    #[test]
    fn one_without_a_carrier_is_told_once_in_each_wait_and_over_changes_of_its_rule() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut table = Table::new();
        assert!(!table.is_at(7, Place::Unmounted(begin)));
        table.keep(7, known(Place::Unmounted(begin)));
        assert_eq!((long(&table, at(5)), long(&table, at(6))), (vec![], vec![7]));
        table.judge_again();
        table.set_after(7, 2 * AFTER);
        assert_eq!((long(&table, at(10)), long(&table, at(11))), (vec![], vec![7]));
        assert!(table.tell(7).is_some() && long(&table, at(12)).is_empty());
        assert!(table.is_at(7, Place::Unmounted(at(20))));
        assert_eq!(long(&table, at(31)), [7]);
        assert!(table.forget(7).is_some() && table.forget(7).is_none());
    }

    #[test]
    fn one_that_keeps_its_carrier_waits_while_that_does_not_run() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut table = Table::new();
        table.keep(7, known(Place::Mounted(1, None)));
        let look = |table: &mut Table, used_ns, ms| {
            let place = table.place(7).unwrap();
            table.has_used(7, place, used_ns, at(ms))
        };
        assert_eq!(look(&mut table, 100, 0), None);
        assert_eq!(look(&mut table, 100, 5), None);
        assert_eq!(look(&mut table, 100, 6), Some(Duration::from_millis(6)));
        table.tell(7);
        assert_eq!(look(&mut table, 100, 7), None, "it is told");
        assert_eq!(look(&mut table, 101, 8), None, "it has run");
        assert_eq!(look(&mut table, 101, 14), Some(Duration::from_millis(6)));
        let place = table.place(7).unwrap();
        assert!(table.is_at(7, Place::Mounted(1, None)));
        assert_eq!(
            table.has_used(7, place, 101, at(20)),
            None,
            "it has gone since the look"
        );
    }

    #[test]
    fn those_that_nobody_asks_for_take_bounded_room_and_are_met_again() {
        let mut table = Table::new();
        let place = Place::Mounted(1, None);
        table.keep(0, known(place));
        (1..=PASSED_MAX as u64).for_each(|id| table.pass(id));
        assert!(table.is_at(1, place) && table.is_at(PASSED_MAX as u64, place));
        table.pass(PASSED_MAX as u64 + 1);
        assert!(!table.is_at(1, place) && table.is_at(PASSED_MAX as u64 + 1, place));
        assert!(table.is_at(0, place), "who is known stays known");
        table.judge_again();
        assert!(!table.is_at(PASSED_MAX as u64 + 1, place) && table.is_at(0, place));
    }

    #[test]
    fn who_was_left_out_is_met_again_where_there_is_room() {
        let mut table = Table::new();
        let place = Place::Mounted(1, None);
        table.pass(1);
        table.leave_out(2);
        assert!(table.is_at(1, place) && table.is_at(2, place));
        table.meet_left_out();
        assert!(table.is_at(1, place) && !table.is_at(2, place));
    }
}

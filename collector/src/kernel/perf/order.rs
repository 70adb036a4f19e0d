//! Events of all CPUs in the order of their times: books of who is where go wrong where a thread is read to come to one CPU before it is read to leave another.
//!
//! Each ring is in order, and the rings are read one after the other: what comes meanwhile stands in those that are read later, and not in those that were read before. So an event waits until
//! no older one can come any more.

use super::event::Dated;

/// How long after its time an event is in its ring at the latest, ns: it gets its time before it is written, and the CPU of a virtual machine may be taken away in between. One that comes later
/// still is told later, and nothing else.
pub(super) const LATE_NS: u64 = 1_000_000;
/// When so many wait, none does any longer, whatever may come.
const WAITING_MAX: usize = 1 << 14;

/// Events that wait, each with the place of its CPU.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<(usize, Dated)>);

impl Waiting {
    pub fn add(&mut self, place: usize, dated: Dated) {
        self.0.push((place, dated));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many more may wait.
    pub fn room(&self) -> usize {
        WAITING_MAX.saturating_sub(self.0.len())
    }

    /// Takes those until `horizon_ns`, by time, at most so many.
    pub fn take(&mut self, horizon_ns: u64, most: usize) -> Vec<(usize, Dated)> {
        // Stable: what a CPU tells at one time stays in its order.
        self.0.sort_by_key(|(_, dated)| dated.time_ns);
        let ready = self.0.partition_point(|(_, dated)| dated.time_ns <= horizon_ns);
        // Else those of a ring that is not read for want of room could be waited for without end.
        let ready = if self.room() == 0 { self.0.len() } else { ready };
        let rest = self.0.split_off(ready.min(most));
        std::mem::replace(&mut self.0, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::*;

    fn at(time_ns: u64) -> Dated {
        Dated {
            time_ns,
            pid: 1,
            tid: 1,
            event: Event::Came,
        }
    }

    fn times(taken: Vec<(usize, Dated)>) -> Vec<(usize, u64)> {
        taken.into_iter().map(|(place, dated)| (place, dated.time_ns)).collect()
    }

    #[test]
    fn an_event_waits_for_older_ones_of_other_cpus() {
        let mut waiting = Waiting::default();
        [10, 30].into_iter().for_each(|time_ns| waiting.add(0, at(time_ns)));
        assert_eq!(times(waiting.take(20, 9)), [(0, 10)]);
        // Read after the other CPU's event of 30.
        waiting.add(1, at(25));
        assert_eq!(times(waiting.take(u64::MAX, 9)), [(1, 25), (0, 30)]);
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn no_more_are_taken_than_have_room_and_too_many_do_not_wait() {
        let mut waiting = Waiting::default();
        (0..3).for_each(|time_ns| waiting.add(0, at(time_ns)));
        assert_eq!(times(waiting.take(u64::MAX, 2)), [(0, 0), (0, 1)]);
        (0..WAITING_MAX - 2).for_each(|_| waiting.add(1, at(50)));
        assert_eq!(times(waiting.take(0, 2)), []);
        waiting.add(0, at(40));
        assert_eq!(waiting.room(), 0);
        assert_eq!(times(waiting.take(0, 2)), [(0, 2), (0, 40)]);
        assert_eq!((waiting.room(), times(waiting.take(0, 2))), (2, Vec::new()));
    }
}

//! How many JVMs a recorder listens to: whoever learns its socket's name may connect as often as he likes.
//!
//! A session holds descriptors, a mapping and a thread's attention; a JVM that was ever listened to has its place in the recording for good. Who connects and is no agent has a seat only
//! until that is seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most at once: each takes up to three descriptors, of which a process has 1,024 unless told otherwise.
const AT_ONCE_MAX: usize = 256;
/// Most in a recording: more JVMs than a long build starts.
const EVER_MAX: usize = 16_384;
/// Most of one process that have not given their arenas yet. A JVM has one.
const OPEN_MAX: usize = 4;

/// The seats of a listener. Only the thread that accepts takes any.
pub(super) struct Seats {
    at_once_max: usize,
    ever_max: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    taken: usize,
    /// Those who have their place for good, and those who may get it.
    ever: usize,
    /// Those who have not given their arenas yet, by process.
    open: HashMap<u32, usize>,
    refused: usize,
    /// Refused since their process had enough of them.
    crowding: usize,
}

/// One seat; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    /// The process, until it has its place in the recording.
    open: Option<u32>,
    counts: Arc<Mutex<Counts>>,
}

impl Default for Seats {
    fn default() -> Seats {
        Seats::new(AT_ONCE_MAX, EVER_MAX)
    }
}

impl Seats {
    /// So many at once, and so many in all.
    pub fn new(at_once_max: usize, ever_max: usize) -> Seats {
        Seats {
            at_once_max,
            ever_max,
            counts: Arc::default(),
        }
    }

    /// A seat for who connects from this process, if there is one left.
    pub fn take(&self, pid: u32) -> Option<Seat> {
        let mut counts = lock(&self.counts);
        if counts.open.get(&pid).is_some_and(|open| *open >= OPEN_MAX) {
            counts.crowding += 1;
            return None;
        }
        if counts.taken >= self.at_once_max || counts.ever >= self.ever_max {
            counts.refused += 1;
            return None;
        }
        counts.ever += 1;
        counts.taken += 1;
        *counts.open.entry(pid).or_default() += 1;
        Some(Seat {
            open: Some(pid),
            counts: Arc::clone(&self.counts),
        })
    }

    /// What to say of those that got none, if there were any.
    pub fn notes_of_refused(&self) -> Vec<String> {
        let Seats {
            at_once_max, ever_max, ..
        } = self;
        let counts = lock(&self.counts);
        let refused = format!(
            "{} JVMs that connected are not recorded: no more than {at_once_max} are at once, and {ever_max} in all",
            counts.refused
        );
        let crowding = format!(
            "{} connections were not listened to: their processes had {OPEN_MAX} already that came to nothing yet",
            counts.crowding
        );
        let notes = [(counts.refused, refused), (counts.crowding, crowding)];
        notes
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(_, note)| note)
            .collect()
    }
}

impl Seat {
    /// Who sits here has a place in the recording for good.
    pub fn keep(&mut self) {
        if let Some(pid) = self.open.take() {
            lock(&self.counts).close(pid);
        }
    }
}

impl Counts {
    fn close(&mut self, pid: u32) {
        if let Some(open) = self.open.get_mut(&pid) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&pid);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.taken -= 1;
        if let Some(pid) = self.open.take() {
            counts.ever -= 1;
            counts.close(pid);
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_free_again_but_those_of_jvms_not_for_ever() {
        let seats = Seats::new(2, 3);
        let take = |pid| {
            let mut seat = seats.take(pid)?;
            seat.keep();
            Some(seat)
        };
        let (first, second) = (take(1), take(2));
        assert!(first.is_some() && second.is_some() && seats.notes_of_refused().is_empty());
        assert!(take(3).is_none(), "two at once");
        drop(first);
        for _ in 0..100 {
            assert!(seats.take(4).is_some(), "who only connects has it for a moment");
        }
        let third = take(5);
        assert!(third.is_some(), "one has gone");
        drop((second, third));
        assert!(seats.take(6).is_none(), "three in all");
        let notes = seats.notes_of_refused();
        let [note] = notes.as_slice() else { panic!("{notes:?}") };
        assert!(
            note.starts_with("2 JVMs") && note.contains("2 are at once, and 3 in all"),
            "{note}"
        );
    }

    #[test]
    fn one_process_that_connects_again_and_again_leaves_room_for_others() {
        let seats = Seats::new(100, 100);
        let mut taken: Vec<Seat> = (0..10).filter_map(|_| seats.take(1)).collect();
        assert_eq!(taken.len(), OPEN_MAX);
        assert!(seats.take(2).is_some());
        taken[0].keep();
        assert!(seats.take(1).is_some(), "one of them was an agent");
        taken.pop();
        assert!(seats.take(1).is_some(), "one has gone");
        let notes = seats.notes_of_refused();
        assert!(notes.len() == 1 && notes[0].starts_with("6 connections"), "{notes:?}");
        drop(taken);
        assert!(lock(&seats.counts).open.is_empty());
    }
}

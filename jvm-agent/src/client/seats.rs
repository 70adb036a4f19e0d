//! How many JVMs a recorder listens to: whoever learns its socket's name may connect as often as he likes.
//!
//! A session holds descriptors, a mapping and a thread's attention; a JVM that was ever listened to has its place in the recording for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most at once: each takes up to three descriptors, of which a process has 1,024 unless told otherwise.
const AT_ONCE_MAX: usize = 256;
/// Most in a recording: more JVMs than a long build starts.
const EVER_MAX: usize = 16_384;

/// The seats of a listener. Only the thread that accepts takes any.
pub(super) struct Seats {
    at_once_max: usize,
    ever_max: usize,
    taken: Arc<AtomicUsize>,
    ever: AtomicUsize,
    refused: AtomicUsize,
}

/// One seat; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<AtomicUsize>);

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
            taken: Arc::default(),
            ever: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        }
    }

    /// A seat, if there is one left.
    pub fn take(&self) -> Option<Seat> {
        let is_full = self.taken.load(Ordering::Acquire) >= self.at_once_max;
        if is_full || self.ever.load(Ordering::Relaxed) >= self.ever_max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.ever.fetch_add(1, Ordering::Relaxed);
        self.taken.fetch_add(1, Ordering::AcqRel);
        Some(Seat(Arc::clone(&self.taken)))
    }

    /// What to say of those that got none, if there were any.
    pub fn note_of_refused(&self) -> Option<String> {
        let Seats {
            at_once_max, ever_max, ..
        } = self;
        match self.refused.load(Ordering::Relaxed) {
            0 => None,
            refused => Some(format!(
                "{refused} JVMs that connected are not recorded: no more than {at_once_max} are at once, and {ever_max} in all"
            )),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_free_again_but_not_for_ever() {
        let seats = Seats::new(2, 3);
        let (first, second) = (seats.take(), seats.take());
        assert!(first.is_some() && second.is_some() && seats.note_of_refused().is_none());
        assert!(seats.take().is_none(), "two at once");
        drop(first);
        assert!(seats.take().is_some(), "one has gone");
        assert!(seats.take().is_none(), "three in all");
        let note = seats.note_of_refused().expect("a note");
        assert!(
            note.starts_with("2 JVMs") && note.contains("2 are at once, and 3 in all"),
            "{note}"
        );
    }
}

//! Which threads are pools' workers that ask for work, for whoever looks at them from outside: they wait long by profession.
//!
//! A table of thread ids, in which each thread marks its own place. Two threads whose ids differ by a multiple of the table's size share a place: then one of them is not known to be idle, never one taken
//! for idle that is not.

use std::sync::atomic::{AtomicU32, Ordering};

const PLACES: usize = 8192;

static IDLE: [AtomicU32; PLACES] = [const { AtomicU32::new(0) }; PLACES];

fn place(tid: u32) -> &'static AtomicU32 {
    &IDLE[tid as usize % PLACES]
}

/// The calling thread, which has this id, asks for work from here on.
pub fn begins(tid: u32) {
    place(tid).store(tid, Ordering::Relaxed);
}

/// It has some.
pub fn ends(tid: u32) {
    // Where it fails, the place is another thread's by now.
    let _ = place(tid).compare_exchange(tid, 0, Ordering::Relaxed, Ordering::Relaxed);
}

/// Whether it is known that the thread asks for work.
pub fn is_idle(tid: u32) -> bool {
    tid != 0 && place(tid).load(Ordering::Relaxed) == tid
}

/// A session begins: who asked for work in an earlier one may have found some since, when nobody told.
pub fn forget() {
    IDLE.iter().for_each(|place| place.store(0, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_idle_who_did_not_say_so() {
        let (one, other) = (70_001, 70_001 + PLACES as u32);
        begins(one);
        assert!(is_idle(one) && !is_idle(other));
        begins(other);
        assert!(is_idle(other) && !is_idle(one));
        ends(one);
        assert!(is_idle(other), "a place that is another's is left alone");
        ends(other);
        assert!(!is_idle(other) && !is_idle(0));
    }
}

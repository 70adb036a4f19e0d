//! Virtual threads that may go on: when one is given to its scheduler, and by whom.
//!
//! Whoever unparks, starts or interrupts one, the timers that end its sleep, and the JVM's thread for those that have got a monitor: all come through methods of `VirtualThread` whose names JDK 21 and 25 share.
//! They run on threads of all kinds, in places where nothing may park or call Java: the probe reads one field and writes one record. Before the scheduler knows of the thread: nobody can have mounted it by then.
//!
//! Some of these methods call each other, and tell the same thing twice. The first counts.

use crate::rewrite::{Begin, Choice};

/// The probe id of these methods.
pub const ID: i32 = -6;

/// Of `java.lang.VirtualThread`, with any arguments.
pub const METHODS: [&str; 4] = [
    "submitRunContinuation",
    "lazySubmitRunContinuation",
    "externalSubmitRunContinuation",
    "externalSubmitRunContinuationOrThrow",
];

/// Their probes, which are given the thread.
pub fn choice() -> Choice {
    Choice {
        id: ID.cast_unsigned(),
        begin: Begin::Given(0),
    }
}

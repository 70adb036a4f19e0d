//! Virtual threads that may go on: when one is given to its scheduler, and by whom.
//!
//! Whoever unparks, starts or interrupts one, the timers that end its sleep, and the JVM's thread for those that have got a monitor: all come through methods of `VirtualThread` whose names JDK 21 and 25 share.
//! They run on threads of all kinds, in places where nothing may park or call Java: the probe reads one field and writes one record. Before the scheduler knows of the thread: nobody can have mounted it by then.
//!
//! Some of these methods call each other, and tell the same thing twice. The first counts. One of JDK 25's that only the others call has no probe.

use crate::rewrite::{Begin, Choice};

/// The probe id of these methods.
pub const ID: i32 = -6;

/// Of `java.lang.VirtualThread`.
pub const METHODS: [&str; 4] = [
    "submitRunContinuation",
    "lazySubmitRunContinuation",
    "externalSubmitRunContinuation",
    "externalSubmitRunContinuationOrThrow",
];

/// What the one of them is called with that only the others call.
const INNER: &str = "(Ljava/util/concurrent/Executor;Z)V";

/// The probes of one of them with this descriptor, which are given the thread.
pub fn choice(descriptor: &str) -> Option<Choice> {
    (descriptor != INNER).then_some(Choice {
        id: ID.cast_unsigned(),
        begin: Begin::Given(0),
    })
}

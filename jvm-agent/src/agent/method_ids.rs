//! One thread at a time asks the JVM for a stack, and so for ids of methods.
//!
//! HotSpot keeps the ids of a class in a table, and takes a larger one when a class that was redefined needs more. Before JDK 22 `InstanceKlass::get_jmethod_id` reads where the table is before it
//! takes the lock under which another thread may replace and free it, and then takes ids from freed memory: whoever uses such an id crashes the JVM. That was seen (JDK 17, exceptions made in four
//! threads while rules changed again and again). Threads that come here do not do it to each other; other agents may still.

use std::sync::{Mutex, TryLockError};

/// How often is tried, most of these after others were let go on: a stack takes some microseconds.
const TRIES: u32 = 64;
const TRIES_AT_ONCE: u32 = 16;

static ASKS: Mutex<()> = Mutex::new(());

/// What `ask` gives, which nobody else does meanwhile. `None`: others did all the while, and nobody waits for them for long.
pub fn alone<T>(ask: impl FnOnce() -> T) -> Option<T> {
    for turn in 0..TRIES {
        let _alone = match ASKS.try_lock() {
            Ok(guard) => guard,
            // It protects nothing of ours.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if turn < TRIES_AT_ONCE => {
                std::hint::spin_loop();
                continue;
            }
            Err(TryLockError::WouldBlock) => {
                std::thread::yield_now();
                continue;
            }
        };
        return Some(ask());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nobody_waits_for_ever() {
        let inner = alone(|| alone(|| 1));
        assert_eq!(inner, Some(None), "somebody asks already");
        assert_eq!(alone(|| 2), Some(2));
    }
}

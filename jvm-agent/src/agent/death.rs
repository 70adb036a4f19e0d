//! Whether the JVM ends: it waits, for 300 ms, for threads that are in native code then, so ours have to hear of it and end, too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::names::lock;

/// The JVM's end.
#[derive(Default)]
pub struct Death {
    has_come: AtomicBool,
    guard: Mutex<()>,
    comes: Condvar,
}

impl Death {
    /// It has come: wakes who waits here.
    pub fn comes(&self) {
        self.has_come.store(true, Ordering::Release);
        // Who looks and then waits does so under the lock.
        drop(lock(&self.guard));
        self.comes.notify_all();
    }

    /// Whether it has come.
    pub fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Acquire)
    }

    /// Waits for it, for this long at the most; whether it has come.
    pub fn wait(&self, limit: Duration) -> bool {
        let waited = self
            .comes
            .wait_timeout_while(lock(&self.guard), limit, |()| !self.has_come());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.has_come()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn who_waits_hears_of_it() {
        const LONG: Duration = Duration::from_secs(600);
        let death = Death::default();
        assert!(!death.wait(Duration::from_millis(1)) && !death.has_come());
        thread::scope(|scope| {
            let waits = scope.spawn(|| death.wait(LONG));
            death.comes();
            assert!(waits.join().expect("no panic"));
        });
        assert!(death.wait(LONG));
    }
}

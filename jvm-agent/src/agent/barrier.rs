//! The panic barrier: nothing of ours unwinds into the JVM.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

/// Panics that were caught; above a few the agent gives up (see `control`).
static CAUGHT: AtomicU32 = AtomicU32::new(0);

/// Runs `body`; if it panics, gives `otherwise`.
pub fn guard<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        CAUGHT.fetch_add(1, Ordering::Relaxed);
        otherwise
    })
}

/// Panics so far.
pub fn caught() -> u32 {
    CAUGHT.load(Ordering::Relaxed)
}

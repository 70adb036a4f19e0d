//! When no thread is inside a probe any more that it entered while the gate was open.
//!
//! A thread may lose its CPU between its look at the gate and its store, for as long as the kernel likes. Its chunk must not be handed over before, or the record would be
//! neither stored nor counted. Probes keep no mark of who is inside, which would cost every call something; the kernel is asked instead. A probe's writing part never
//! sleeps and takes some microseconds of a CPU, so that a thread has left it once it is seen asleep, or has had [`ENOUGH_NS`] of a CPU, since the gate was closed.

#![allow(unsafe_code, reason = "the processor time of other threads of this process")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Processor time in which any probe comes to its end, ns. The longest looks through the states of all chunks once.
const ENOUGH_NS: u64 = 1_000_000;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A thread that may be inside a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Suspect {
    tid: u32,
    /// Its processor time at the first look.
    used_ns: u64,
}

/// Waits until every thread but the calling one has left the probe that it may have been in at the call, at the longest `limit`; gives how many are not known to have.
///
/// The gate was closed before.
pub fn wait(limit: Duration) -> u64 {
    let deadline = Instant::now() + limit;
    let Some(mut suspects) = suspects() else {
        // It cannot be known who is inside: whoever was has surely left by then, but for one that got no CPU all the time.
        thread::sleep(limit);
        return 1;
    };
    while !suspects.is_empty() && Instant::now() < deadline {
        thread::sleep(LOOK_EVERY);
        suspects.retain(|suspect| !suspect.has_left(state(suspect.tid), used_ns(suspect.tid)));
    }
    suspects.len() as u64
}

impl Suspect {
    /// With the thread's state, where it can be read, and its processor time of now; none of a thread that has ended.
    fn has_left(self, state: Option<char>, used_ns: Option<u64>) -> bool {
        let Some(used_ns) = used_ns else {
            return true;
        };
        state.is_some_and(is_outside) || used_ns >= self.used_ns.saturating_add(ENOUGH_NS)
    }
}

/// Whether a thread in this state is in no probe. One that waits for a page (D), is stopped or traced (T, t) may be.
fn is_outside(state: char) -> bool {
    matches!(state, 'S' | 'Z' | 'X' | 'I')
}

/// `None` where the threads cannot be listed (no descriptor left).
fn suspects() -> Option<Vec<Suspect>> {
    // SAFETY: a system call without arguments.
    let own = unsafe { libc::gettid() } as u32;
    let tasks = fs::read_dir("/proc/self/task").ok()?;
    let tids = tasks
        .flatten()
        .filter_map(|task| task.file_name().to_str()?.parse().ok());
    let suspect = |tid| {
        // The time first: what is used between the two looks counts.
        let used_ns = used_ns(tid)?;
        // One whose state cannot be read is suspected, too; if it has ended, the next look finds no processor time.
        (!state(tid).is_some_and(is_outside)).then_some(Suspect { tid, used_ns })
    };
    Some(tids.filter(|tid| *tid != own).filter_map(suspect).collect())
}

/// The state letter of a thread of ours.
pub fn state(tid: u32) -> Option<char> {
    let text = fs::read(format!("/proc/self/task/{tid}/stat")).ok()?;
    state_in(&text)
}

/// Names may hold anything, parentheses too.
fn state_in(stat: &[u8]) -> Option<char> {
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end_of_name + 2).map(|letter| char::from(*letter))
}

/// Processor time that a thread of ours has used, ns; none of one that has ended.
pub fn used_ns(tid: u32) -> Option<u64> {
    /// The kernel's number for a thread's clock: its id, inverted, and which clock.
    const OF_THREAD: i32 = 4 | 2;
    let clock = !(tid.cast_signed()) << 3 | OF_THREAD;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours.
    let known = unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    known.then_some((time.tv_sec as u64).wrapping_mul(1_000_000_000) + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn one_that_got_no_processor_may_be_inside_still() {
        let suspect = Suspect { tid: 1, used_ns: 50 };
        let has_left = |state, used_ns| suspect.has_left(Some(state), Some(used_ns));
        assert!(!has_left('R', 50) && !has_left('R', ENOUGH_NS) && !has_left('D', 50) && !has_left('t', 50));
        assert!(has_left('S', 50) && has_left('R', 50 + ENOUGH_NS));
        assert!(suspect.has_left(None, None) && !suspect.has_left(None, Some(50)));
    }

    #[test]
    fn states_of_threads_with_any_name() {
        assert_eq!(state_in(b"7 (a) R (b) S 1 2 3"), Some('S'));
        assert_eq!((state_in(b"7 (a"), state_in(b"7 (a)")), (None, None));
    }

    #[test]
    fn threads_that_compute_and_threads_that_sleep_are_all_seen_to_be_out() {
        let is_over = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..4)
            .map(|_| {
                let is_over = is_over.clone();
                thread::spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        let left = wait(Duration::from_secs(60));
        is_over.store(true, Ordering::Relaxed);
        busy.into_iter().for_each(|thread| drop(thread.join()));
        assert_eq!(left, 0);
    }

    #[test]
    fn the_processor_time_of_a_thread_is_its_own() {
        // SAFETY: a system call without arguments.
        let own = unsafe { libc::gettid() } as u32;
        let before = used_ns(own);
        while used_ns(own) == before {}
        // Linux has no ids above 2^22.
        assert!(before.is_some() && used_ns((1 << 22) + 1).is_none());
    }
}

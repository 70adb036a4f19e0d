//! Clocks: the time base of a recording, and the pairs by which the merger aligns the others to it.

use plumb_trace::recording::ClockPair;

/// A pair that is not tighter than this is tried again.
const GOOD_NS: u64 = 300;
/// Tries for one pair; the tightest counts.
const TRIES: u32 = 16;

/// One clock of the kernel, ns.
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "clock_gettime")]
    // SAFETY: `time` is a valid timespec for the call; all clocks used here exist since Linux 2.6.39, and a failure leaves 0.
    unsafe {
        libc::clock_gettime(clock, &raw mut time);
    }
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// CLOCK_MONOTONIC, ns: the time base.
#[must_use]
pub fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// CLOCK_REALTIME, ns since 1970.
#[must_use]
pub fn realtime_ns() -> u64 {
    read(libc::CLOCK_REALTIME)
}

/// CLOCK_BOOTTIME, ns since boot, suspend included.
#[must_use]
pub fn boottime_ns() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

/// The time-stamp counter, not ordered against other instructions more than `rdtsc` is.
#[must_use]
pub fn tsc() -> u64 {
    #[expect(unsafe_code, reason = "rdtsc")]
    // SAFETY: every x86-64 has rdtsc; the kernel does not forbid it to user space unless asked to (prctl PR_SET_TSC).
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
}

/// Reads all clocks at one time: the TSC lies between two readings of CLOCK_MONOTONIC, half of whose distance is the uncertainty.
/// Of several tries the tightest counts, so that an interrupt in between does no harm.
#[must_use]
pub fn pair() -> ClockPair {
    let mut best = attempt();
    for _ in 1..TRIES {
        if best.uncertainty_ns <= GOOD_NS {
            break;
        }
        let next = attempt();
        if next.uncertainty_ns < best.uncertainty_ns {
            best = next;
        }
    }
    best
}

fn attempt() -> ClockPair {
    let before_ns = monotonic_ns();
    let tsc = tsc();
    let after_ns = monotonic_ns();
    let (realtime_ns, boottime_ns) = (realtime_ns(), boottime_ns());
    let again_ns = monotonic_ns();
    let monotonic_ns = before_ns + (after_ns - before_ns) / 2;
    // The other two were read a little later, between `after` and `again`: move them back to the instant of the pair.
    let later_ns = after_ns + (again_ns - after_ns) / 2 - monotonic_ns;
    ClockPair {
        tsc,
        monotonic_ns,
        realtime_ns: realtime_ns.saturating_sub(later_ns),
        boottime_ns: boottime_ns.saturating_sub(later_ns),
        uncertainty_ns: (after_ns - before_ns).div_ceil(2).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_lies_between_its_neighbours() {
        let (before, first, second, after) = (monotonic_ns(), pair(), pair(), monotonic_ns());
        assert!(
            before <= first.monotonic_ns && first.monotonic_ns < second.monotonic_ns && second.monotonic_ns <= after
        );
        assert!(first.tsc < second.tsc);
    }
}

//! Now, in the ticks of the records.

#![allow(unsafe_code, reason = "one instruction, one system call")]

/// Now.
#[inline(always)]
pub fn now(tsc: bool) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if tsc {
        // SAFETY: every x86-64 processor has the instruction; the recorder asks for it only where the kernel's clocksource is the TSC.
        return unsafe { core::arch::x86_64::_rdtsc() };
    }
    let _ = tsc;
    monotonic_ns()
}

/// How many ticks a nanosecond has, to some 1/1000: enough for a rule's minimum. Takes some milliseconds for the TSC.
pub fn ticks_per_ns(tsc: bool) -> f64 {
    if !tsc || !cfg!(target_arch = "x86_64") {
        return 1.0;
    }
    let (from, from_ns) = (now(true), monotonic_ns());
    std::thread::sleep(std::time::Duration::from_millis(5));
    let (to, to_ns) = (now(true), monotonic_ns());
    to.saturating_sub(from) as f64 / to_ns.saturating_sub(from_ns).max(1) as f64
}

fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours. CLOCK_MONOTONIC always exists, so that there is no error to look at.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

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

fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours. CLOCK_MONOTONIC always exists, so that there is no error to look at.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

//! Rights of the tests' threads. Who uses these is a program of its own: a process has one user, whatever its threads do.
#![allow(unsafe_code, reason = "capabilities and users have no safe form in std")]

use std::thread;

/// A user that owns nothing here.
const NOBODY: u64 = 65_534;
pub const DAC_READ_SEARCH: u64 = 1 << 2;
pub const SYS_NICE: u64 = 1 << 23;
pub const PERFMON: u64 = 1 << 38;
pub const BPF: u64 = 1 << 39;

/// Makes the calling thread one of a user who has these capabilities and no others.
pub fn become_nobody(capabilities: u64) {
    let (low, high) = (capabilities as u32, (capabilities >> 32) as u32);
    let halves = [low, low, 0, high, high, 0];
    let header = [0x2008_0522u32, 0];
    // SAFETY: system calls upon the calling thread alone; header and halves are as capset's third version has them.
    let done = unsafe {
        libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) == 0
            && libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY) == 0
            && libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) == 0
            && libc::syscall(libc::SYS_capset, header.as_ptr(), halves.as_ptr()) == 0
            // Else /proc/self is root's.
            && libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
}

/// Runs `body` in a thread, whose credentials may change.
pub fn apart(body: impl FnOnce() + Send + 'static) {
    let done = thread::spawn(body).join();
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

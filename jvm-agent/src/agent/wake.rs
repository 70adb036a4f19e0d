//! How callbacks and probes tell the control thread that there is work: definitions that wait for room, threads that were renamed.

#![allow(unsafe_code, reason = "system calls on an eventfd")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::arena::GATE;
use super::clock;

/// Made once, kept for the JVM's life.
static EVENT: OnceLock<OwnedFd> = OnceLock::new();
/// Tick of the first rename since the control thread looked; 0: none.
static RENAMED_AT: AtomicU64 = AtomicU64::new(0);

/// The descriptor to poll.
///
/// # Errors
/// What the kernel says (no descriptor left).
pub fn event() -> io::Result<i32> {
    if let Some(event) = EVENT.get() {
        return Ok(event.as_raw_fd());
    }
    // SAFETY: a system call without pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, ours alone.
    Ok(EVENT.get_or_init(|| unsafe { OwnedFd::from_raw_fd(fd) }).as_raw_fd())
}

/// Wakes the control thread.
pub fn wake() {
    if let Some(event) = EVENT.get() {
        let one = 1u64;
        // SAFETY: eight bytes of ours. A full counter (EAGAIN) is a wake-up that is on its way already.
        unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), 8) };
    }
}

/// Takes all wake-ups so far.
pub fn drain() {
    if let Some(event) = EVENT.get() {
        let mut count = 0u64;
        // SAFETY: eight bytes of ours. Nothing to read (EAGAIN) is fine.
        unsafe { libc::read(event.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

/// A thread, nobody knows which, has another name from now on.
#[cold]
pub fn renamed() {
    let now = clock::now(GATE.tsc.load(Ordering::Relaxed));
    if RENAMED_AT
        .compare_exchange(0, now, Ordering::AcqRel, Ordering::Relaxed)
        .is_ok()
    {
        wake();
    }
}

/// Whether threads were renamed and nobody looked yet.
pub fn is_rename_pending() -> bool {
    RENAMED_AT.load(Ordering::Acquire) != 0
}

/// Since when there are renames that nobody looked at; the caller looks now.
pub fn take_renamed_at() -> Option<u64> {
    match RENAMED_AT.swap(0, Ordering::AcqRel) {
        0 => None,
        at => Some(at),
    }
}

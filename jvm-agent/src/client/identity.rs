//! Acting as the target's user: a thread of its own, whose credentials alone change.
//!
//! A JVM takes files and connections of its own user only, and in a user namespace not even root's.

#![allow(
    unsafe_code,
    reason = "per-thread credentials: libc's wrappers change those of all threads"
)]

use std::io;
use std::thread;

use super::AttachError;

/// Runs `body` in a thread whose effective user and group are these. Descriptors that need more rights are to be opened before.
pub(super) fn as_user<T: Send>(
    uid: u32,
    gid: u32,
    body: impl FnOnce() -> Result<T, AttachError> + Send,
) -> Result<T, AttachError> {
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            become_user(uid, gid).map_err(AttachError::system(format!("cannot act as user {uid}")))?;
            body()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    const SAME: u32 = u32::MAX;
    // SAFETY: reads our own credentials.
    let (own_uid, own_gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    if (own_uid, own_gid) == (uid, gid) {
        return Ok(());
    }
    // SAFETY: system calls that change the calling thread's credentials only; no memory is involved (no groups: a null list of length 0).
    let changed = unsafe {
        (own_uid != 0 || libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) == 0)
            && libc::syscall(libc::SYS_setresgid, SAME, gid, SAME) == 0
            && libc::syscall(libc::SYS_setresuid, SAME, uid, SAME) == 0
    };
    if changed {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

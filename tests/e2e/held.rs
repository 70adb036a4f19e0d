//! A JVM that does not answer, although it runs: the thread that signals go to is held.

#![allow(unsafe_code, reason = "ptrace")]

use crate::support::wait_for;
use std::{fs, io, ptr};

/// The thread that answers a request to attach, as the kernel names it: 15 bytes.
const ANSWERS: &str = "Signal Dispatch";

/// Holds that thread until this is dropped, or the thread that holds it ends. Only the thread that holds may let go.
pub struct Held(libc::pid_t);

impl Held {
    /// Of the JVM `pid`.
    pub fn hold(pid: u32) -> Held {
        let tid = wait_for("the thread that answers", || answers(pid));
        for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
            ptrace(request, tid);
        }
        let is_held = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
            stat.rsplit_once(") ")
                .filter(|(_, state)| state.starts_with('t'))
                .map(drop)
        };
        wait_for("the thread to stop", is_held);
        Held(tid)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let null = ptr::null_mut::<u8>;
        // SAFETY: no pointer of ours.
        let is_let_go = unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, null(), null()) } == 0;
        if !is_let_go {
            // It was killed: its process is not gone before who holds it has seen that.
            // SAFETY: no status is asked for.
            unsafe { libc::waitpid(self.0, ptr::null_mut(), libc::__WALL) };
        }
    }
}

fn answers(pid: u32) -> Option<libc::pid_t> {
    let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let found = tasks.find(|task| {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.trim_end() == ANSWERS
    })?;
    found.file_name().to_str()?.parse().ok()
}

fn ptrace(request: libc::c_uint, tid: libc::pid_t) {
    // SAFETY: neither request takes a pointer.
    let done = unsafe { libc::ptrace(request, tid, ptr::null_mut::<u8>(), ptr::null_mut::<u8>()) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

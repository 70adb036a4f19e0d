//! Asking the flight recorder that another process is to save.

use crate::CollectorError;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The thread that every flight recorder has, and no other process: who is asked must know what SIGUSR1 means, since it ends whoever does not.
pub(crate) const THREAD: &str = "plumb-flight";

/// Has the flight recorder that runs as process `pid` save what it holds. It is asked, not waited for: what it saves, and where, it says itself.
///
/// # Errors
/// [`CollectorError::NoFlight`] where that process is none, or another user's.
pub fn ask_to_save(pid: u32) -> Result<(), CollectorError> {
    let no_flight = |cause: String| CollectorError::NoFlight { pid, cause };
    let process = open(pid).map_err(|error| no_flight(error.to_string()))?;
    // Looked at after the descriptor is held: from here on the pid cannot become another's unseen.
    if !has_thread(pid) {
        return Err(no_flight("it keeps no window in memory".into()));
    }
    signal(&process).map_err(|error| no_flight(error.to_string()))
}

fn has_thread(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let mut names = threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names.any(|name| name.trim_end() == THREAD)
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    #[expect(unsafe_code, reason = "pidfd_open has no wrapper")]
    // SAFETY: the call takes no pointer; a descriptor that it returns is ours alone.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

fn signal(process: &OwnedFd) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    #[expect(unsafe_code, reason = "pidfd_send_signal has no wrapper")]
    // SAFETY: our descriptor; without a siginfo the kernel makes its own.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), libc::SIGUSR1, none, 0) };
    if sent == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_no_flight_recorder_is_left_alone() {
        // The signal would end this process.
        let refused = ask_to_save(std::process::id()).map_err(|error| error.to_string());
        assert!(refused.is_err_and(|why| why.contains("no window") && why.lines().count() == 2));
        let nobody = ask_to_save(u32::MAX >> 2).map_err(|error| error.to_string());
        assert!(nobody.is_err_and(|why| why.contains("No such process")));
    }
}

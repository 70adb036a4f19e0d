//! What /proc says of the process to attach to.

#![allow(unsafe_code, reason = "pidfd has no safe form in std")]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use plumb_trace::perfdata;

use super::AttachError;

const LIBRARY_NAME: &str = "/libplumb_agent.so";

/// A process that is a JVM.
pub(super) struct Target {
    /// Process id as we see it.
    pub pid: u32,
    /// Process id as it sees it itself.
    pub ns_pid: u32,
    /// Start time, clock ticks since boot.
    pub start_ticks: u64,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// The process itself, whatever happens to its number.
    pidfd: OwnedFd,
    /// The agent's library if it is mapped already, under the name it was loaded by.
    pub loaded_library: Option<PathBuf>,
    /// The file of its performance counters, as it sees it itself.
    pub perfdata: Option<String>,
}

impl Target {
    /// Looks at a process.
    pub fn find(pid: u32) -> Result<Target, AttachError> {
        let pidfd = open_pidfd(pid)?;
        let status = read(pid, "status")?;
        let ids = |key| status_numbers(&status, key);
        let (uid, gid) = (
            ids("Uid:").get(1).copied().unwrap_or(0),
            ids("Gid:").get(1).copied().unwrap_or(0),
        );
        let ns_pid = ids("NSpid:").last().copied().unwrap_or(pid);
        let maps = match fs::read(format!("/proc/{pid}/maps")) {
            Ok(maps) => String::from_utf8_lossy(&maps).into_owned(),
            // What anybody may see of it are the names of its threads.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !has_jvms_threads(pid) => {
                return Err(AttachError::NoJvm(pid));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_ours(uid) => {
                return Err(AttachError::Hidden(pid));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(AttachError::OtherUser { pid, uid });
            }
            Err(_) => return Err(AttachError::NoSuchProcess(pid)),
        };
        if !maps.lines().any(|line| line.ends_with("/libjvm.so")) {
            return Err(AttachError::NoJvm(pid));
        }
        let loaded_library = maps.lines().find_map(library_of);
        let perfdata = maps.lines().find_map(perfdata::path_in).map(str::to_owned);
        Ok(Target {
            pid,
            ns_pid,
            start_ticks: start_ticks(pid)?,
            uid,
            gid,
            pidfd,
            loaded_library,
            perfdata,
        })
    }

    /// Whether a signal or a debugger has stopped it. A SIGQUIT that waits for it would have it print all its stacks later, when nobody asks any more.
    pub fn is_stopped(&self) -> bool {
        let status = read(self.pid, "status").unwrap_or_default();
        let state = status.lines().find_map(|line| line.strip_prefix("State:"));
        state.is_some_and(|state| state.trim_start().starts_with(['T', 't']))
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        self.signal(0).is_ok()
    }

    /// Sends a signal to this very process.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: a system call on our descriptor, without pointers.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if sent == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Whether the process catches SIGQUIT: a JVM that does takes it as a request, any other process would die of it.
    pub fn catches_sigquit(&self) -> bool {
        let status = read(self.pid, "status").unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0);
        caught & (1 << (libc::SIGQUIT - 1)) != 0
    }
}

/// The process's ids and start, without asking whether it is a JVM.
pub(super) fn ns_pid_and_start(pid: u32) -> Result<(u32, u64), AttachError> {
    let status = read(pid, "status")?;
    let ns_pid = status_numbers(&status, "NSpid:").last().copied().unwrap_or(pid);
    Ok((ns_pid, start_ticks(pid)?))
}

/// Whether it has the thread that every HotSpot JVM has.
fn has_jvms_threads(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let mut names = threads.filter_map(|thread| fs::read(thread.path().join("comm")).ok());
    names.any(|name| name == b"VM Thread\n")
}

/// Whether we are this user, or root.
fn is_ours(uid: u32) -> bool {
    // SAFETY: reads our own credentials.
    let own = unsafe { libc::geteuid() };
    own == 0 || own == uid
}

fn open_pidfd(pid: u32) -> Result<OwnedFd, AttachError> {
    // SAFETY: a system call without pointers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    match i32::try_from(fd) {
        // SAFETY: just made, ours alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(AttachError::NoSuchProcess(pid)),
    }
}

fn read(pid: u32, file: &str) -> Result<String, AttachError> {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).map_err(|_| AttachError::NoSuchProcess(pid))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn status_numbers(status: &str, key: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("");
    line.split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// Field 22 of /proc/PID/stat. The name in field 2 may hold anything, blanks and parentheses too.
pub(super) fn start_ticks(pid: u32) -> Result<u64, AttachError> {
    let stat = read(pid, "stat")?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name
        .split_whitespace()
        .nth(19)
        .and_then(|field| field.parse().ok());
    ticks.ok_or(AttachError::NoSuchProcess(pid))
}

/// The path of a line of /proc/PID/maps, if it is our library; also one whose file is gone: the dynamic loader knows it by that name still.
fn library_of(line: &str) -> Option<PathBuf> {
    let path = &line[line.find('/')?..];
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.ends_with(LIBRARY_NAME).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_library_is_known_by_its_name() {
        let line = "7f00-7f01 r-xp 00000000 fd:00 12   /tmp/.plumb-1/libplumb_agent.so (deleted)";
        assert_eq!(library_of(line), Some(PathBuf::from("/tmp/.plumb-1/libplumb_agent.so")));
        assert_eq!(
            library_of("7f00-7f01 r-xp 00000000 fd:00 12   /usr/lib/libc.so.6"),
            None
        );
        assert_eq!(library_of("7f00-7f01 rw-p 00000000 00:00 0"), None);
    }

    #[test]
    fn this_process_is_no_jvm_and_has_a_start() {
        assert!(matches!(Target::find(std::process::id()), Err(AttachError::NoJvm(_))));
        assert!(matches!(
            Target::find(u32::MAX >> 2),
            Err(AttachError::NoSuchProcess(_))
        ));
        assert!(start_ticks(std::process::id()).is_ok_and(|ticks| ticks > 0));
    }
}

//! Directories in /tmp that a recorder left behind because it was killed.
//!
//! Whoever has such a directory holds a lock on it as long as he lives, which the kernel takes away with him: that is known in every pid namespace, and no reused number is
//! mistaken for him. A directory is removed by its own user only, with the files that plumb puts there and no others.

#![allow(
    unsafe_code,
    reason = "system calls relative to a directory, and locks, which have no form in std"
)]

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use super::place::{LIBRARY, PREFIX, check, is_socket, own, remove};

/// Younger directories are left alone: their owner may not have come to lock them yet.
const AGE_MIN: Duration = Duration::from_secs(10);

/// Claims a directory for this process, until it ends or closes the descriptor. False: somebody else has it.
pub(super) fn claim(directory: &OwnedFd) -> bool {
    // SAFETY: a system call on our descriptor, without pointers.
    unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// Removes what killed recorders of the calling thread's user have left in `tmp`. What cannot be removed stays: this is never a reason to fail.
pub(super) fn clean(tmp: &OwnedFd) {
    // Opened anew by its path: the descriptor itself may only name the directory.
    let entries = fs::read_dir(format!("/proc/self/fd/{}", tmp.as_raw_fd()));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        if is_ours(name.as_bytes())
            && let Ok(name) = CString::new(name.as_bytes())
        {
            let _ = clean_one(tmp, &name);
        }
    }
}

fn is_ours(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX.as_bytes())
        .is_some_and(|rest| rest.len() == 16 && rest.iter().all(u8::is_ascii_hexdigit))
}

fn clean_one(tmp: &OwnedFd, name: &CStr) -> io::Result<()> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: our descriptor and a C string; the new descriptor is ours.
    let directory = unsafe { own(libc::openat(tmp.as_raw_fd(), name.as_ptr(), flags))? };
    // SAFETY: all zero is a valid `stat`, which the call fills in; the descriptor is ours.
    let stat = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(directory.as_raw_fd(), &raw mut stat))?;
        stat
    };
    let age = age_of(&stat);
    // SAFETY: reads the calling thread's credentials.
    let is_own = stat.st_uid == unsafe { libc::geteuid() };
    if !is_own || age < AGE_MIN || !claim(&directory) {
        return Ok(());
    }
    let is_shared = stat.st_mode & 0o001 != 0;
    if is_shared && is_named_by_somebody(name, age) {
        return Ok(());
    }
    remove_sockets(&directory);
    remove(&directory, LIBRARY, 0);
    remove(tmp, name, libc::AT_REMOVEDIR);
    Ok(())
}

fn remove_sockets(directory: &OwnedFd) {
    let entries = fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
    let sockets = names
        .filter_map(|name| CString::new(name.as_bytes()).ok())
        .filter(|name| is_socket(name));
    sockets.for_each(|name| remove(directory, &name, 0));
}

fn age_of(stat: &libc::stat) -> Duration {
    let changed = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(u64::MAX));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().saturating_sub(changed)
}

/// Whether a JVM that some process starts would look for a library in the directory `name`, which was made so long ago: then it would not start without it.
///
/// A process whose environment we may not read is taken for one, unless it is older than the directory.
pub(super) fn is_named_by_somebody(name: &CStr, age: Duration) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.any(|pid| match fs::read(format!("/proc/{pid}/environ")) {
        Ok(environment) => contains(&environment, name.to_bytes()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            age_of_process(pid).is_some_and(|process| process <= age.saturating_add(Duration::from_secs(1)))
        }
        // It has ended.
        Err(_) => false,
    })
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fn age_of_process(pid: u32) -> Option<Duration> {
    let uptime: f64 = fs::read_to_string("/proc/uptime")
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    let ticks = super::target::start_ticks(pid).ok()?;
    // SAFETY: a call without pointers.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1);
    Some(Duration::from_secs_f64(
        (uptime - ticks as f64 / per_second as f64).max(0.0),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::place::{Place, open_tmp};
    use super::*;
    use std::fs::{File, FileTimes};
    use std::path::{Path, PathBuf};

    /// Older than needed, and younger than the machine: process 1, whose environment not even root may read everywhere, must not look as if it came after the directory.
    fn grow_old(directory: &Path) -> io::Result<()> {
        let long_ago = SystemTime::now() - 3 * AGE_MIN;
        File::open(directory)?.set_times(FileTimes::new().set_modified(long_ago))
    }

    fn made_by_hand(tmp: &Path, name: &str) -> io::Result<PathBuf> {
        let directory = tmp.join(name);
        fs::create_dir(&directory)?;
        fs::write(directory.join("agent.sock"), "")?;
        grow_old(&directory)?;
        Ok(directory)
    }

    #[test]
    fn what_nobody_has_any_more_is_removed_and_nothing_else() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        let tmp = home.path().join("tmp");
        fs::create_dir(&tmp)?;
        let left = made_by_hand(&tmp, ".plumb-0123456789abcdef")?;
        let fresh = made_by_hand(&tmp, ".plumb-00000000000000ff")?;
        File::open(&fresh)?.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
        let other = made_by_hand(&tmp, ".plumb-of-somebody-else")?;
        let of_all = made_by_hand(&tmp, ".plumb-00000000000000cc")?;
        fs::rename(of_all.join("agent.sock"), of_all.join("agent-0123456789abcdef.sock"))?;
        grow_old(&of_all)?;
        let strange = made_by_hand(&tmp, ".plumb-00000000000000aa")?;
        fs::write(strange.join("precious"), "data")?;
        grow_old(&strange)?;
        let link = tmp.join(".plumb-00000000000000bb");
        std::os::unix::fs::symlink(&other, &link)?;
        let living = Place::create(open_tmp(home.path())?)?;
        let of_living = tmp.join(living.name());
        grow_old(&of_living)?;

        let _next = Place::create(open_tmp(home.path())?)?;
        assert!(!left.exists() && !of_all.exists(), "their owners are dead");
        assert!(of_living.exists(), "its owner lives");
        assert!(fresh.exists() && other.join("agent.sock").exists() && link.is_symlink());
        assert!(strange.join("precious").exists(), "plumb puts no such file there");
        drop(living);
        assert!(!of_living.exists());
        Ok(())
    }

    #[test]
    fn a_library_that_some_environment_names_stays() -> io::Result<()> {
        let name = c".plumb-0123456789abcdee";
        assert!(!is_named_by_somebody(name, Duration::ZERO));
        let mut child = std::process::Command::new("cat")
            .env("JAVA_TOOL_OPTIONS", "-agentpath:/tmp/.plumb-0123456789abcdee/x.so")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()?;
        // The kernel shows a new program's environment a little after the program has begun.
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while !is_named_by_somebody(name, Duration::ZERO) {
            assert!(std::time::Instant::now() < until, "its environment names the directory");
            std::thread::yield_now();
        }
        drop(child.stdin.take());
        child.wait()?;
        assert!(!is_named_by_somebody(name, Duration::ZERO));
        Ok(())
    }
}

//! HotSpot's attach protocol.
//!
//! A JVM opens its socket `/tmp/.java_pidN` when it is asked to: by a file `/tmp/.attach_pidN` of its own user and a SIGQUIT. Over the socket
//! goes one command, and back comes a status line and text:
//! ```text
//! → "1\0" "load\0" path "\0" "true\0" options "\0"          (true: the path is absolute)
//! ← "0\n" "return code: 0\n"
//! ```
//! N is the process id as the JVM sees it itself, /tmp is the JVM's own.

#![allow(
    unsafe_code,
    reason = "system calls relative to a directory, which have no form in std"
)]

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::AttachError;
use super::patience::Patience;
use super::place::{check, own};
use super::target::Target;
use crate::protocol::Limit;

/// How often we look whether the socket is there.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a JVM that starts may take until it catches SIGQUIT.
const START_TIMEOUT: Duration = Duration::from_secs(2);
/// Of an answer no more is read than this and one piece, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Has the JVM load the library at `path` (in its own view) and run `Agent_OnAttach` with `options`; gives what that returned.
/// Called as the JVM's user; `tmp` is the JVM's /tmp.
pub(super) fn load(
    target: &Target,
    tmp: &OwnedFd,
    path: &Path,
    options: &str,
    patience: Patience<'_>,
) -> Result<i32, AttachError> {
    let stream = connect(target, tmp, patience)?;
    let path = path
        .to_str()
        .ok_or_else(|| load_failed(target, "the library's path is not UTF-8".to_owned()))?;
    let request = format!("1\0load\0{path}\0true\0{options}\0");
    let answer = ask(&stream, &request, patience).map_err(|error| {
        match patience.explain(target.pid, &error, "loading the agent's library") {
            Some(explained) => explained,
            None if !target.is_alive() => AttachError::Ended(target.pid),
            None => AttachError::System {
                what: format!("attach socket of JVM {}", target.pid),
                error,
            },
        }
    })?;
    read_answer(target, &answer)
}

fn load_failed(target: &Target, answer: String) -> AttachError {
    AttachError::Load {
        pid: target.pid,
        answer,
    }
}

fn read_answer(target: &Target, answer: &str) -> Result<i32, AttachError> {
    let text = answer.split_once('\n').map_or("", |(_, text)| text).trim();
    if answer.contains("Dynamic agent loading is not enabled") {
        return Err(AttachError::AgentsDisabled(target.pid));
    }
    // JDK 17 gives the agent's own status in the text; any JDK gives "0" before it where the command was understood.
    match text
        .strip_prefix("return code:")
        .and_then(|code| code.trim().parse().ok())
    {
        Some(status) => Ok(status),
        None if text.is_empty() => Err(load_failed(target, format!("status {}", answer.trim()))),
        None => Err(load_failed(target, text.replace('\n', "; "))),
    }
}

fn ask(mut stream: &UnixStream, request: &str, patience: Patience<'_>) -> io::Result<String> {
    // A few hundred bytes, which any socket takes at once.
    stream.set_write_timeout(Some(patience.left()?))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while answer.len() < ANSWER_BYTES_MAX {
        // The time is for the whole answer, however slowly it comes.
        stream.set_read_timeout(Some(patience.left()?))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The JVM's attach socket, opened by the JVM if it is not open yet.
fn connect(target: &Target, tmp: &OwnedFd, patience: Patience<'_>) -> Result<UnixStream, AttachError> {
    if let Some(stream) = connect_now(target, tmp) {
        return Ok(stream);
    }
    let request =
        AttachFile::create(target, tmp).map_err(AttachError::system(format!("/tmp of JVM {}", target.pid)))?;
    wait_until_sigquit_is_caught(target, patience)?;
    target
        .signal(libc::SIGQUIT)
        .map_err(|_| AttachError::Ended(target.pid))?;
    loop {
        if let Some(stream) = connect_now(target, tmp) {
            drop(request);
            return Ok(stream);
        }
        if !target.is_alive() {
            return Err(AttachError::Ended(target.pid));
        }
        patience.check(target.pid, "its attach socket (.java_pid in /tmp), which it never opens if some file of options has -XX:+DisableAttachMechanism")?;
        thread::sleep(LOOK_EVERY);
    }
}

fn wait_until_sigquit_is_caught(target: &Target, patience: Patience<'_>) -> Result<(), AttachError> {
    let deadline = Instant::now() + START_TIMEOUT;
    while !target.catches_sigquit() {
        if !target.is_alive() {
            return Err(AttachError::Ended(target.pid));
        }
        if Instant::now() >= deadline {
            return Err(AttachError::NoSigquit(target.pid));
        }
        patience.check(target.pid, "its start")?;
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Connects if the socket is there and belongs to the JVM's user: anybody may make files in /tmp.
fn connect_now(target: &Target, tmp: &OwnedFd) -> Option<UnixStream> {
    let name = format!(".java_pid{}", target.ns_pid);
    let c_name = CString::new(name.as_str()).ok()?;
    // SAFETY: all zero is a valid `stat`, which the call fills in; our descriptor and a C string.
    let stat = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        let result = libc::fstatat(
            tmp.as_raw_fd(),
            c_name.as_ptr(),
            &raw mut stat,
            libc::AT_SYMLINK_NOFOLLOW,
        );
        check(result).ok()?;
        stat
    };
    let is_jvms = stat.st_mode & libc::S_IFMT == libc::S_IFSOCK && (stat.st_uid == target.uid || stat.st_uid == 0);
    is_jvms.then(|| UnixStream::connect(format!("/proc/self/fd/{}/{name}", tmp.as_raw_fd())).ok())?
}

/// The file that tells a JVM that a SIGQUIT means "open your socket"; removed when dropped.
struct AttachFile<'a> {
    tmp: &'a OwnedFd,
    name: CString,
}

impl<'a> AttachFile<'a> {
    fn create(target: &Target, tmp: &'a OwnedFd) -> io::Result<AttachFile<'a>> {
        let name = CString::new(format!(".attach_pid{}", target.ns_pid)).map_err(io::Error::other)?;
        let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: our descriptor and a C string; the new descriptor is ours.
        unsafe { own(libc::openat(tmp.as_raw_fd(), name.as_ptr(), flags, 0o600))? };
        Ok(AttachFile { tmp, name })
    }
}

impl Drop for AttachFile<'_> {
    fn drop(&mut self) {
        // SAFETY: our descriptor and a C string. A JVM may have removed the file itself.
        unsafe { libc::unlinkat(self.tmp.as_raw_fd(), self.name.as_ptr(), 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_drips_is_not_waited_for_longer_than_one_that_does_not_come() -> io::Result<()> {
        let (ours, mut theirs) = UnixStream::pair()?;
        let dripping = thread::spawn(move || {
            while theirs.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        let asked = ask(&ours, "1\0", Patience::new(Duration::from_millis(50), None));
        assert_eq!(asked.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        drop(ours);
        dripping.join().map_err(|_| io::ErrorKind::Other.into())
    }
}

//! How long a JVM is waited for.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::AttachError;
use crate::protocol::Limit;

/// How often is looked whether somebody still wants to wait.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Until a deadline, and as long as nobody asks to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience<'a> {
    deadline: Instant,
    timeout: Duration,
    stop: Option<&'a AtomicBool>,
}

impl<'a> Patience<'a> {
    /// From now on, for `timeout`; ends earlier when `stop` is raised.
    pub fn new(timeout: Duration, stop: Option<&'a AtomicBool>) -> Patience<'a> {
        Patience {
            deadline: Instant::now() + timeout,
            timeout,
            stop,
        }
    }

    /// What an error of waiting for `pid` means; `waiting_for` is what did not come.
    pub fn explain(&self, pid: u32, error: &io::Error, waiting_for: &'static str) -> Option<AttachError> {
        match error.kind() {
            io::ErrorKind::Interrupted => Some(AttachError::Interrupted(pid)),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Some(AttachError::Timeout {
                pid,
                seconds: self.timeout.as_secs(),
                waiting_for,
            }),
            _ => None,
        }
    }

    /// As [`Limit::left`], as an error of waiting for `pid`.
    pub fn check(&self, pid: u32, waiting_for: &'static str) -> Result<Duration, AttachError> {
        self.left().map_err(|error| {
            self.explain(pid, &error, waiting_for)
                .unwrap_or(AttachError::Interrupted(pid))
        })
    }
}

impl Limit for Patience<'_> {
    fn left(&self) -> io::Result<Duration> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let left = self.deadline.left()?;
        Ok(self.stop.map_or(left, |_| left.min(LOOK_EVERY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    #[test]
    fn who_is_asked_to_stop_does_not_wait_for_a_message() -> io::Result<()> {
        let (ours, _silent) = UnixStream::pair()?;
        let stop = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&stop);
        let waiting = std::thread::spawn(move || {
            let patience = Patience::new(Duration::from_secs(3600), Some(&*raised));
            crate::protocol::receive(&ours, 64, patience).map_err(|error| error.kind())
        });
        stop.store(true, Ordering::Relaxed);
        let ended = waiting.join().map_err(|_| io::ErrorKind::Other)?;
        assert_eq!(ended, Err(io::ErrorKind::Interrupted));
        Ok(())
    }

    #[test]
    fn a_timeout_says_how_long_it_was() {
        let patience = Patience::new(Duration::ZERO, None);
        assert!(matches!(
            patience.check(7, "x"),
            Err(AttachError::Timeout { pid: 7, seconds: 0, .. })
        ));
    }
}

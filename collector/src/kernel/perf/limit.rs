//! Open files: each event takes one.

use crate::CollectorError;
use std::io;
use std::os::fd::RawFd;

/// Descriptors that events leave to everything else: files of the recording, /proc, agents.
pub(super) const SPARE: u64 = 256;

/// How many files may be open.
pub(super) struct Limit {
    pub most: u64,
    /// There are no more to be had.
    pub is_raised: bool,
}

impl Limit {
    pub fn of_this_process() -> Limit {
        Limit {
            most: open_files(false),
            is_raised: false,
        }
    }

    /// Whether this one leaves enough to others. As many as this process may have are asked for only where they are needed: who is started here inherits the limit.
    pub fn has_room(&mut self, fd: RawFd) -> bool {
        // A descriptor has the lowest number that is free.
        let wanted = u64::try_from(fd).unwrap_or(u64::MAX).saturating_add(SPARE);
        if wanted >= self.most && !self.is_raised {
            *self = Limit {
                most: open_files(true),
                is_raised: true,
            };
        }
        wanted < self.most
    }
}

/// How many files this process may have open, after it has asked for more where it shall.
pub(super) fn open_files(raise: bool) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    #[expect(unsafe_code, reason = "getrlimit, setrlimit")]
    // SAFETY: `limit` is a valid rlimit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 0;
        }
        let more = libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        };
        if raise && libc::setrlimit(libc::RLIMIT_NOFILE, &raw const more) == 0 {
            limit = more;
        }
    }
    limit.rlim_cur
}

/// Whether there are no more descriptors, of this process or of all.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Asks for as many open files as may be had, if these events need more than there are.
pub(super) fn make_room(events: u64) {
    if events.saturating_add(SPARE) > open_files(false) {
        open_files(true);
    }
}

/// The error where so many events, or a few less, have no room: see [`is_full`].
pub(super) fn no_room(events: u64, error: &io::Error) -> CollectorError {
    let room = match error.raw_os_error() {
        Some(libc::ENFILE) => "all processes together have as many open as there may be (fs.file-max)".to_owned(),
        _ => format!("only {} may be open (ulimit -n)", open_files(false)),
    };
    let cause = format!("they take up to {events} open files, and {room}");
    CollectorError::System {
        what: "perf events of all CPUs",
        cause: io::Error::other(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_when_it_is_reached_and_leaves_some_to_others() {
        let mut limit = Limit {
            most: 300,
            is_raised: false,
        };
        assert!(limit.has_room(43));
        assert!(!limit.is_raised, "there was room");
        limit.has_room(44);
        assert!(limit.is_raised && limit.most == open_files(false));
        limit.most = 300;
        assert!(limit.has_room(43) && !limit.has_room(44), "asked for once");
    }

    #[test]
    fn as_many_as_may_be_had_are_asked_for_where_they_are_needed() {
        make_room(0);
        let before = open_files(false);
        make_room(before);
        assert!(open_files(false) >= before && open_files(false) == open_files(true));
    }

    #[test]
    fn whose_limit_is_reached_is_told() {
        let error = |number| no_room(9999, &io::Error::from_raw_os_error(number)).to_string();
        let (own, of_all) = (error(libc::EMFILE), error(libc::ENFILE));
        assert!(
            own.contains("up to 9999 open files, and only ") && own.contains("\nraise the limits"),
            "{own}"
        );
        assert!(of_all.contains("fs.file-max") && !of_all.contains("ulimit"), "{of_all}");
    }
}

//! Files of tracefs, mounted or not: many machines mount it only when somebody looks for it. Who may mount it does so without a place, so that nobody else sees it and nothing has to be taken
//! away again.
#![allow(unsafe_code, reason = "mounts without a place have no form in std")]

use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

/// Where it is mounted, if it is.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

// Of linux/mount.h.
const FSOPEN_CLOEXEC: c_int = 1;
const FSCONFIG_CMD_CREATE: c_int = 6;
const FSMOUNT_CLOEXEC: c_int = 1;
const MOUNT_ATTR_RDONLY_NOSUID_NODEV_NOEXEC: c_int = 0xf;

/// A tracefs that is there as long as this is.
pub(super) enum Tracefs {
    At(&'static str),
    Detached(OwnedFd),
}

impl Tracefs {
    /// That of this machine; `None` where it cannot be read.
    pub fn find() -> Option<Tracefs> {
        let can_be_read = |place: &&str| std::fs::read_dir(format!("{place}/events/sched")).is_ok();
        match PLACES.into_iter().find(can_be_read) {
            Some(place) => Some(Tracefs::At(place)),
            None => detached(c"tracefs").ok().map(Tracefs::Detached),
        }
    }

    /// Where one of its files can be opened.
    pub fn path(&self, file: &str) -> PathBuf {
        match self {
            Tracefs::At(place) => [place, file].iter().collect(),
            Tracefs::Detached(mount) => format!("/proc/self/fd/{}/{file}", mount.as_raw_fd()).into(),
        }
    }
}

/// A mount of a kind of filesystem that is nowhere in the tree. Needs CAP_SYS_ADMIN, and Linux 5.2.
fn detached(kind: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the pointer is to a C string; the other calls have none. Each new descriptor is ours alone.
    unsafe {
        let context = own(libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC))?;
        let fd = context.as_raw_fd();
        let none = std::ptr::null::<u8>();
        if libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, none, none, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        own(libc::syscall(
            libc::SYS_fsmount,
            fd,
            FSMOUNT_CLOEXEC,
            MOUNT_ATTR_RDONLY_NOSUID_NODEV_NOEXEC,
        ))
    }
}

/// Takes over a descriptor that a system call gave.
///
/// # Safety
/// It is new, and nobody else's.
unsafe fn own(fd: libc::c_long) -> io::Result<OwnedFd> {
    match c_int::try_from(fd) {
        // SAFETY: as the caller promises.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_without_a_place_can_be_read() {
        match detached(c"tracefs").map(Tracefs::Detached) {
            Ok(tracefs) => {
                let id = std::fs::read_to_string(tracefs.path("events/sched/sched_switch/id"));
                let id = id.expect("its number").trim().parse::<u16>();
                assert!(id.is_ok_and(|id| id > 0));
                let written = std::fs::write(tracefs.path("events/sched/sched_switch/enable"), "0");
                assert!(written.is_err(), "for reading only");
            }
            Err(error) => println!("cannot run here: tracefs cannot be mounted: {error}"),
        }
        assert!(detached(c"no-such-filesystem").is_err());
    }
}

//! A private directory in the target's own /tmp: where the agent finds the recorder's socket, and the library if the target cannot read ours.

#![allow(
    unsafe_code,
    reason = "system calls relative to a directory, which have no form in std"
)]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

const SOCKET: &CStr = c"agent.sock";
const LIBRARY: &CStr = c"libplumb_agent.so";

/// The directory; removed with what we put into it when dropped.
pub(super) struct Place {
    /// The target's /tmp.
    tmp: OwnedFd,
    name: CString,
    directory: OwnedFd,
}

impl Place {
    /// Makes a directory with a random name in `tmp`, for this user alone.
    pub fn create(tmp: &Path, uid: u32, gid: u32) -> io::Result<Place> {
        let tmp = open_directory(tmp)?;
        let name = CString::new(format!(".plumb-{}", random_hex()?)).map_err(io::Error::other)?;
        // SAFETY: our descriptor and a C string.
        check(unsafe { libc::mkdirat(tmp.as_raw_fd(), name.as_ptr(), 0o700) })?;
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: as above; the descriptor is new and ours.
        let directory = unsafe { own(libc::openat(tmp.as_raw_fd(), name.as_ptr(), flags)) };
        let directory = directory.inspect_err(|_| remove(&tmp, &name, libc::AT_REMOVEDIR))?;
        let place = Place { tmp, name, directory };
        // SAFETY: our descriptor.
        check(unsafe { libc::fchown(place.directory.as_raw_fd(), uid, gid) })?;
        Ok(place)
    }

    /// Where the target sees it.
    fn seen_from_inside(&self) -> PathBuf {
        Path::new("/tmp").join(std::ffi::OsStr::from_bytes(self.name.as_bytes()))
    }

    /// The socket's path for the target.
    pub fn socket_path(&self) -> PathBuf {
        self.seen_from_inside().join("agent.sock")
    }

    /// The library's path for the target, once it is copied.
    pub fn library_path(&self) -> PathBuf {
        self.seen_from_inside().join("libplumb_agent.so")
    }

    /// Listens on a socket that this user may connect to.
    pub fn listen(&self, uid: u32, gid: u32) -> io::Result<UnixListener> {
        // Through the descriptor: the path cannot be changed under us, and it is short.
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/agent.sock", self.directory.as_raw_fd()))?;
        // SAFETY: our descriptor and a C string.
        check(unsafe {
            libc::fchownat(
                self.directory.as_raw_fd(),
                SOCKET.as_ptr(),
                uid,
                gid,
                libc::AT_SYMLINK_NOFOLLOW,
            )
        })?;
        Ok(listener)
    }

    /// Copies the library into the directory. Called as the target's user.
    pub fn copy_library(&self, mut library: &File) -> io::Result<()> {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: our descriptor and a C string; the new descriptor is ours.
        let copy = unsafe { own(libc::openat(self.directory.as_raw_fd(), LIBRARY.as_ptr(), flags, 0o755))? };
        io::copy(&mut library, &mut File::from(copy)).map(drop)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove(&self.directory, SOCKET, 0);
        remove(&self.directory, LIBRARY, 0);
        remove(&self.tmp, &self.name, libc::AT_REMOVEDIR);
    }
}

/// A directory, as a descriptor that other calls are relative to.
pub(super) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    // SAFETY: a C string; the new descriptor is ours.
    unsafe {
        own(libc::open(
            path.as_ptr(),
            libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC,
        ))
    }
}

/// Removes a file or directory of ours; what is not there (any more) is fine.
fn remove(directory: &OwnedFd, name: &CStr, flags: i32) {
    // SAFETY: our descriptor and a C string.
    unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), flags) };
}

/// # Safety
/// `fd` is an error (negative) or a new descriptor that nobody else owns.
pub(super) unsafe fn own(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: by contract.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn check(result: i32) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_place_can_be_connected_to_and_leaves_nothing() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        // SAFETY: reads our own credentials.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        let place = Place::create(home.path(), uid, gid)?;
        let _listener = place.listen(uid, gid)?;
        let directory = home.path().join(std::ffi::OsStr::from_bytes(place.name.as_bytes()));
        UnixStream::connect(directory.join("agent.sock"))?;
        place.copy_library(&File::open("/proc/self/exe")?)?;
        drop(place);
        assert_eq!(std::fs::read_dir(home.path())?.count(), 0);
        Ok(())
    }
}

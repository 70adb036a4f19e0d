//! A private directory in the target's own /tmp: where the agent finds the recorder's socket, and the library if the target cannot read ours.
//!
//! Recorders that were killed leave such directories behind; the next one removes them ([`super::stale`]).
//!
//! All of it is made as the target's user, never as root: in its own namespaces a user may have put anything in /tmp's place, and may mount over a name just made.

#![allow(
    unsafe_code,
    reason = "system calls relative to a directory, which have no form in std"
)]

use std::ffi::{CStr, CString};
use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::stale;

/// What the directory's name begins with; 16 hexadecimal digits follow.
pub(super) const PREFIX: &str = ".plumb-";
pub(super) const SOCKET: &CStr = c"agent.sock";
/// A socket that every user may connect to who knows its name: 16 hexadecimal digits follow, and then [`SHARED_SOCKET_END`].
const SHARED_SOCKET: &str = "agent-";
const SHARED_SOCKET_END: &str = ".sock";
pub(super) const LIBRARY: &CStr = c"libplumb_agent.so";

/// The directory; removed with what we put into it when dropped.
pub(super) struct Place {
    /// The target's /tmp.
    tmp: OwnedFd,
    name: CString,
    directory: OwnedFd,
    /// The socket's name in it.
    socket: CString,
    /// Not removed at the end.
    stays: bool,
}

impl Place {
    /// Makes a directory with a random name in `tmp`, for the calling thread's user alone, and removes what his killed recorders have left there.
    pub fn create(tmp: OwnedFd) -> io::Result<Place> {
        stale::clean(&tmp);
        let name = CString::new(format!("{PREFIX}{}", random_hex()?)).map_err(io::Error::other)?;
        // SAFETY: our descriptor and a C string.
        check(unsafe { libc::mkdirat(tmp.as_raw_fd(), name.as_ptr(), 0o700) })?;
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: as above; the descriptor is new and ours.
        let directory = unsafe { own(libc::openat(tmp.as_raw_fd(), name.as_ptr(), flags)) };
        let directory = directory.inspect_err(|_| remove(&tmp, &name, libc::AT_REMOVEDIR))?;
        // A filesystem without locks has it look stale a while from now, at the worst.
        stale::claim(&directory);
        Ok(Place {
            tmp,
            name,
            directory,
            socket: SOCKET.to_owned(),
            stays: false,
        })
    }

    /// Its name in /tmp.
    #[cfg(test)]
    pub fn name(&self) -> &std::ffi::OsStr {
        std::ffi::OsStr::from_bytes(self.name.as_bytes())
    }

    /// Where the target sees it.
    fn seen_from_inside(&self) -> PathBuf {
        Path::new("/tmp").join(std::ffi::OsStr::from_bytes(self.name.as_bytes()))
    }

    /// The socket's path for the target.
    pub fn socket_path(&self) -> PathBuf {
        self.seen_from_inside()
            .join(std::ffi::OsStr::from_bytes(self.socket.as_bytes()))
    }

    /// The library's path for the target, once it is copied.
    pub fn library_path(&self) -> PathBuf {
        self.seen_from_inside().join("libplumb_agent.so")
    }

    /// Listens on a socket that the calling thread's user may connect to.
    pub fn listen(&self) -> io::Result<UnixListener> {
        // Through the descriptor: the path cannot be changed under us, and it is short.
        UnixListener::bind(self.inside("agent.sock"))
    }

    /// Listens on a socket that any user may connect to whom its path is told: the directory can be entered by all and listed by none of them, and the socket's name
    /// cannot be guessed. The kernel tells everybody under which name a socket was bound (/proc/net/unix), so it gets its own only afterwards.
    pub fn listen_to_everybody(&mut self) -> io::Result<UnixListener> {
        let listener = self.listen()?;
        let name = format!("{SHARED_SOCKET}{}{SHARED_SOCKET_END}", random_hex()?);
        let set = |path: &str, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
        set(&self.inside("agent.sock"), 0o666)?;
        std::fs::rename(self.inside("agent.sock"), self.inside(&name))?;
        self.socket = CString::new(name).map_err(io::Error::other)?;
        set(&self.inside("."), 0o711)?;
        Ok(listener)
    }

    fn inside(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", self.directory.as_raw_fd())
    }

    /// Copies the library into the directory. Called as the target's user.
    pub fn copy_library(&self, mut library: &File) -> io::Result<()> {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: our descriptor and a C string; the new descriptor is ours.
        let copy = unsafe { own(libc::openat(self.directory.as_raw_fd(), LIBRARY.as_ptr(), flags, 0o755))? };
        io::copy(&mut library, &mut File::from(copy)).map(drop)
    }
}

/// A copy of the library that every user's JVMs can read, for as long as some process may start one with it.
pub(super) struct SharedLibrary {
    place: Place,
    made: Instant,
}

impl SharedLibrary {
    /// Copies the library into a directory of its own in `tmp`, which all may enter and only we may write.
    pub fn copy(tmp: OwnedFd, library: &File) -> io::Result<SharedLibrary> {
        let place = Place::create(tmp)?;
        if is_without_programs(&place.directory)? {
            return Err(io::Error::other("the file system is mounted noexec"));
        }
        place.copy_library(library)?;
        // Whatever our umask is; and the directory only now, when the copy is whole.
        let open_to_all = |file: File| file.set_permissions(Permissions::from_mode(0o755));
        open_to_all(File::open(place.inside("libplumb_agent.so"))?)?;
        open_to_all(File::from(place.directory.try_clone()?))?;
        let made = Instant::now();
        Ok(SharedLibrary { place, made })
    }

    /// Where the copy is.
    pub fn path(&self) -> PathBuf {
        self.place.library_path()
    }
}

impl Drop for SharedLibrary {
    fn drop(&mut self) {
        // What our command has started may start a JVM yet, which would not start without it. Then it stays until a later recorder finds it unused.
        self.place.stays = stale::is_named_by_somebody(&self.place.name, self.made.elapsed());
    }
}

fn is_without_programs(directory: &OwnedFd) -> io::Result<bool> {
    // SAFETY: all zero is a valid `statvfs`, which the call fills in; the descriptor is ours.
    unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        check(libc::fstatvfs(directory.as_raw_fd(), &raw mut stat))?;
        Ok(stat.f_flag & libc::ST_NOEXEC != 0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        remove(&self.directory, &self.socket, 0);
        remove(&self.directory, LIBRARY, 0);
        remove(&self.tmp, &self.name, libc::AT_REMOVEDIR);
    }
}

/// /tmp of the process whose root directory `root` is (`/proc/PID/root`), as a descriptor that other calls are relative to.
///
/// A link in its place leads where it leads for that process, never out of its root.
pub(super) fn open_tmp(root: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let path = CString::new(root.as_os_str().as_bytes()).map_err(io::Error::other)?;
    // SAFETY: a C string; the new descriptor is ours.
    let root = unsafe { own(libc::open(path.as_ptr(), flags))? };
    // SAFETY: all zero is a valid `open_how`.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = flags as u64;
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    let (how, size) = (&raw const how, size_of::<libc::open_how>());
    // SAFETY: our descriptor, a C string, and a structure of this size.
    let opened = unsafe { libc::syscall(libc::SYS_openat2, root.as_raw_fd(), c"tmp".as_ptr(), how, size) };
    if opened < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        // Before Linux 5.6: then no link at all.
        // SAFETY: our descriptor and a C string; the new descriptor is ours.
        return unsafe {
            own(libc::openat(
                root.as_raw_fd(),
                c"tmp".as_ptr(),
                flags | libc::O_NOFOLLOW,
            ))
        };
    }
    // SAFETY: an error, or a new descriptor that is ours.
    unsafe { own(opened as i32) }
}

/// Whether a file in such a directory is the socket of one.
pub(super) fn is_socket(name: &CStr) -> bool {
    let shared = || {
        let rest = name.to_str().ok()?.strip_prefix(SHARED_SOCKET)?;
        let digits = rest.strip_suffix(SHARED_SOCKET_END)?;
        Some(digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    name == SOCKET || shared() == Some(true)
}

/// Removes a file or directory of ours; what is not there (any more) is fine.
pub(super) fn remove(directory: &OwnedFd, name: &CStr, flags: i32) {
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
        let tmp = home.path().join("tmp");
        std::fs::create_dir(&tmp)?;
        let place = Place::create(open_tmp(home.path())?)?;
        let _listener = place.listen()?;
        let directory = tmp.join(std::ffi::OsStr::from_bytes(place.name.as_bytes()));
        UnixStream::connect(directory.join("agent.sock"))?;
        place.copy_library(&File::open("/proc/self/exe")?)?;
        drop(place);
        assert_eq!(std::fs::read_dir(tmp)?.count(), 0);
        Ok(())
    }

    #[test]
    fn a_socket_for_everybody_has_a_name_that_nobody_is_told() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        let tmp = home.path().join("tmp");
        std::fs::create_dir(&tmp)?;
        let mut place = Place::create(open_tmp(home.path())?)?;
        let _listener = place.listen_to_everybody()?;
        let directory = tmp.join(place.name());
        let mode = |path: &Path| Ok::<_, io::Error>(path.metadata()?.permissions().mode() & 0o777);
        assert_eq!(mode(&directory)?, 0o711, "nobody else may list it");
        let name = place.socket_path().file_name().expect("a name").to_owned();
        let socket = directory.join(&name);
        assert_eq!(mode(&socket)?, 0o666);
        UnixStream::connect(&socket)?;
        let told = std::fs::read_to_string("/proc/net/unix")?;
        assert!(!told.contains(&*name.to_string_lossy()));
        assert!(is_socket(&CString::new(name.as_bytes())?) && !is_socket(c"agent-1.sock"));
        drop(place);
        assert_eq!(std::fs::read_dir(tmp)?.count(), 0);
        Ok(())
    }

    #[test]
    fn a_link_in_the_place_of_tmp_does_not_lead_out_of_the_root() -> io::Result<()> {
        let (root, outside) = (tempfile::tempdir()?, tempfile::tempdir_in("/var/tmp")?);
        std::os::unix::fs::symlink(outside.path(), root.path().join("tmp"))?;
        // Within the root there is no such directory, outside of it there is.
        assert!(open_tmp(root.path()).is_err());
        let inside = root
            .path()
            .join(outside.path().strip_prefix("/").map_err(io::Error::other)?);
        std::fs::create_dir_all(&inside)?;
        let place = Place::create(open_tmp(root.path())?)?;
        assert_eq!(std::fs::read_dir(inside)?.count(), 1);
        assert_eq!(std::fs::read_dir(outside.path())?.count(), 0);
        drop(place);
        Ok(())
    }
}

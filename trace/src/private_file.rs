//! Files that plumb writes: they hold names and paths of production, so only their owner reads them, and no symbolic link is followed to them.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a file that is not there yet, to be written and read.
///
/// # Errors
/// Something of this name is there, a dangling link too, or the file cannot be made.
pub fn create(path: &Path) -> io::Result<File> {
    options().read(true).create_new(true).open(path)
}

/// Makes a file, or empties the one that is there, which nobody else may read from then on. A device or a pipe keeps its rights, and so does what standard output is (`/dev/stdout`): who started plumb chose it.
///
/// # Errors
/// A symbolic link or somebody else's file has this name, or the file cannot be made or written.
pub fn create_or_empty(path: &Path) -> io::Result<File> {
    if path == Path::new("/dev/stdout") {
        return Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?));
    }
    match options().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => empty(options().open(path)?),
        made => made,
    }
}

fn empty(file: File) -> io::Result<File> {
    let there = file.metadata()?;
    if !there.is_file() {
        return Ok(file);
    }
    if there.uid() != own_user() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is somebody else's file",
        ));
    }
    if there.mode() & 0o777 != 0o600 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    file.set_len(0)?;
    Ok(file)
}

fn own_user() -> u32 {
    #[expect(unsafe_code, reason = "geteuid")]
    // SAFETY: it cannot fail.
    unsafe {
        libc::geteuid()
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{chown, symlink};

    #[test]
    fn only_the_owner_reads_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        create(&path("new")).unwrap();
        create_or_empty(&path("other")).unwrap();
        assert_eq!((mode("new"), mode("other")), (0o600, 0o600));

        fs::write(path("there"), "much").unwrap();
        fs::set_permissions(path("there"), Permissions::from_mode(0o640)).unwrap();
        assert!(create(&path("there")).is_err());
        create_or_empty(&path("there")).unwrap();
        assert_eq!((mode("there"), fs::read(path("there")).unwrap().len()), (0o600, 0));
        assert!(create_or_empty(Path::new("/dev/null")).is_ok() && create_or_empty(Path::new("/dev/stdout")).is_ok());

        fs::write(path("precious"), "data").unwrap();
        symlink(path("precious"), path("link")).unwrap();
        assert!(create(&path("link")).is_err() && create_or_empty(&path("link")).is_err());
        assert_eq!(fs::read(path("precious")).unwrap(), b"data");

        // Only root can give files away.
        if chown(path("precious"), Some(own_user() + 1), None).is_ok() {
            let error = create_or_empty(&path("precious")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(fs::read(path("precious")).unwrap(), b"data");
        }
    }
}

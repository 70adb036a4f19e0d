//! Files that plumb writes: they hold names and paths of production, so only their owner reads them, and no symbolic link is followed to them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes a file that is not there yet, to be written and read.
///
/// # Errors
/// Something of this name is there, a dangling link too, or the file cannot be made.
pub fn create(path: &Path) -> io::Result<File> {
    options().read(true).create_new(true).open(path)
}

/// Makes a file, or empties the one that is there: that one keeps the rights that somebody gave it, as a device must.
///
/// # Errors
/// A symbolic link has this name, or the file cannot be made or written.
pub fn create_or_empty(path: &Path) -> io::Result<File> {
    options().create(true).truncate(true).open(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

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
        assert_eq!((mode("there"), fs::read(path("there")).unwrap().len()), (0o640, 0));

        fs::write(path("precious"), "data").unwrap();
        symlink(path("precious"), path("link")).unwrap();
        assert!(create(&path("link")).is_err() && create_or_empty(&path("link")).is_err());
        assert_eq!(fs::read(path("precious")).unwrap(), b"data");
    }
}

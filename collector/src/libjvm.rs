//! Which libjvm a JVM runs, or will run.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest list of mappings that is looked through, bytes.
const MAPS_BYTES_MAX: u64 = 32 << 20;
/// Most JDKs that are looked for.
const JDKS_MAX: usize = 64;
/// Where a JDK has its libjvm, from its home: since 9, and before.
const PLACES: [&str; 2] = ["lib/server/libjvm.so", "jre/lib/amd64/server/libjvm.so"];

/// A libjvm, open.
#[derive(Debug)]
pub(crate) struct Libjvm {
    pub file: File,
    /// As who has it mapped calls it, for people.
    pub path: PathBuf,
    /// Device and inode.
    pub identity: (u64, u64),
}

impl Libjvm {
    /// The file at this path of ours.
    pub fn open(path: &Path) -> io::Result<Libjvm> {
        Libjvm::open_as(path, path)
    }

    /// What a process has mapped; `None` where it is no JVM.
    pub fn of_process(pid: u32) -> io::Result<Option<Libjvm>> {
        let maps = File::open(format!("/proc/{pid}/maps"))?.take(MAPS_BYTES_MAX);
        for line in BufReader::new(maps).split(b'\n') {
            let line = line?;
            if let Some((range, path)) = mapping(&line) {
                // The mapping itself is the file for certain, but only CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE open it.
                let mapped = PathBuf::from(format!("/proc/{pid}/map_files/{range}"));
                let in_its_root = Path::new(&format!("/proc/{pid}/root")).join(path.strip_prefix("/").unwrap_or(path));
                let found = Libjvm::open_as(&mapped, path).or_else(|_| Libjvm::open_as(&in_its_root, path));
                return found.map(Some);
            }
        }
        Ok(None)
    }

    fn open_as(path: &Path, shown: &Path) -> io::Result<Libjvm> {
        // What stands there may be anything by now: nothing is waited for.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        Ok(Libjvm {
            file,
            path: shown.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// A path by which the kernel finds this very file.
    pub fn own_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// The range and the path of a line of /proc/PID/maps that maps a libjvm.
fn mapping(line: &[u8]) -> Option<(&str, &Path)> {
    let line = line.strip_suffix(b" (deleted)").unwrap_or(line);
    let path = &line[line.iter().position(|&byte| byte == b'/')?..];
    let range = line.split(|&byte| byte == b' ').next()?;
    let is_range = range.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let path = Path::new(OsStr::from_bytes(path));
    let is_libjvm = path.file_name().is_some_and(|name| name == "libjvm.so");
    (is_range && is_libjvm).then_some((std::str::from_utf8(range).ok()?, path))
}

/// The libjvm that JVMs of this command run, if it is a `java`.
pub(crate) fn of_command(program: &str) -> Option<PathBuf> {
    let is_java = Path::new(program).file_name() == Some(OsStr::new("java"));
    of_java(&is_java.then(|| in_path(program)).flatten()?)
}

/// The libjvms that anybody would run: of JAVA_HOME, of the `java` in PATH, and of the JDKs where distributions put them.
pub(crate) fn installed() -> BTreeSet<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").and_then(|home| of_home(Path::new(&home)));
    let directories = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let distributed = directories.take(JDKS_MAX).filter_map(|entry| of_home(&entry.path()));
    home.into_iter().chain(of_command("java")).chain(distributed).collect()
}

/// The libjvm that a `java` starts: that of the JDK that it lies in.
fn of_java(java: &Path) -> Option<PathBuf> {
    of_home(java.canonicalize().ok()?.parent()?.parent()?)
}

fn of_home(home: &Path) -> Option<PathBuf> {
    // java of JDK 8 may be that of its jre.
    let homes = [Some(home), home.parent()];
    let places = homes
        .into_iter()
        .flatten()
        .flat_map(|home| PLACES.map(|place| home.join(place)));
    places
        .filter_map(|path| path.canonicalize().ok())
        .find(|path| path.is_file())
}

/// The program that a name stands for.
fn in_path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(program.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_told_by_its_file_s_name() {
        let line = b"7f0a1000-7f0a2000 r-xp 00001000 fe:01 77      /opt/my jdk/lib/server/libjvm.so";
        let expected = Some(("7f0a1000-7f0a2000", Path::new("/opt/my jdk/lib/server/libjvm.so")));
        assert_eq!(mapping(line), expected);
        assert_eq!(mapping(&[line.as_slice(), b" (deleted)"].concat()), expected);
        for other in [
            "",
            "7f00-7f01 r-xp 0 0:0 0",
            "7f00-7f01 r-xp 0 0:0 0 [heap]",
            "../x-y r-xp 0 0:0 1 /libjvm.so",
            "0-1 r 0 0 1 /libjvm.so.txt",
        ] {
            assert_eq!(mapping(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn this_process_is_no_jvm() {
        assert!(
            Libjvm::of_process(std::process::id())
                .expect("it may be read")
                .is_none()
        );
        assert!(Libjvm::of_process(u32::MAX).is_err());
    }

    #[test]
    fn a_directory_or_a_pipe_is_no_libjvm() {
        assert!(Libjvm::open(Path::new("/proc")).is_err());
        assert!(Libjvm::open(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn the_jdk_of_a_java_is_known_beforehand() {
        let base = tempfile::tempdir().expect("a directory");
        let libjvm = base.path().join("lib/server/libjvm.so");
        for directory in ["lib/server", "bin"] {
            std::fs::create_dir_all(base.path().join(directory)).expect("a directory");
        }
        std::fs::write(&libjvm, "").expect("a file");
        let java = base.path().join("bin/java");
        std::fs::write(&java, "").expect("a file");
        let link = base.path().join("java");
        std::os::unix::fs::symlink(&java, &link).expect("a link");
        let expected = libjvm.canonicalize().ok();
        assert_eq!(of_command(&java.to_string_lossy()), expected);
        assert_eq!(of_command(&link.to_string_lossy()), expected);
        assert_eq!(of_command("catalina.sh"), None);
    }
}

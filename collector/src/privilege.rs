//! Least privilege: once all is set up, the recorder's threads give their capabilities away for good.
//!
//! Draining needs none: rings and arenas are mapped, programs attached, descriptors open. What else a recording may still have to do is tried beforehand, in a
//! thread that has given all away; only for what failed there a capability is kept:
//!
//! | kept | where |
//! | --- | --- |
//! | CAP_DAC_OVERRIDE | the recording or its timeline goes into a directory that only this right opens to us (root in a user's home) |
//! | CAP_SYS_PTRACE | /proc hides other users' processes (hidepid); and, with CAP_DAC_READ_SEARCH, for JVMs that are still to come, or have no counters yet, in the watch thread alone, which reads these; and, where stacks are recorded, in the thread that reads what processes have mapped |
//! | CAP_BPF | the scope's maps change during the recording, and the kernel (before 5.19) asks for this right each time |
//!
//! JVMs are attached to before that. Those that a command starts later connect by themselves, so that nobody needs the rights to attach any more. Capabilities belong
//! to threads: each of the recorder's gives its own away, and forbids itself to get any by a later exec.

#![allow(unsafe_code, reason = "capabilities have no safe form in std")]

use crate::live::Live;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Right over files of others.
const DAC_OVERRIDE: u32 = 1;
/// Right to read files of others.
const DAC_READ_SEARCH: u32 = 2;
/// Right to look into other processes.
const SYS_PTRACE: u32 = 19;
/// Right to use maps and programs.
const BPF: u32 = 39;

/// Capabilities, bit by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

const HELD: [(u32, &str); 4] = [
    (DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
    (DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"),
    (SYS_PTRACE, "CAP_SYS_PTRACE"),
    (BPF, "CAP_BPF"),
];

impl Capabilities {
    /// None.
    pub(crate) const NONE: Capabilities = Capabilities(0);

    fn with(self, number: u32, wanted: bool) -> Capabilities {
        Capabilities(self.0 | u64::from(wanted) << number)
    }

    /// And those by which a process of somebody else is read from outside: what it has mapped, a JVM's file of counters.
    pub(crate) fn with_later_jvms(self, wanted: bool) -> Capabilities {
        self.with(SYS_PTRACE, wanted).with(DAC_READ_SEARCH, wanted)
    }

    /// Names, for people.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let held = HELD.iter().filter(|(number, _)| self.0 & (1 << number) != 0);
        held.map(|&(_, name)| name).collect()
    }
}

/// What must be kept to record into `dir`, which exists, and to leave the timeline beside it. `maps_change`: the scope's maps are written to meanwhile.
pub(crate) fn needed(dir: &Path, maps_change: bool) -> Capabilities {
    let beside = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let places = [dir, beside.unwrap_or(Path::new("."))].map(|path| CString::new(path.as_os_str().as_bytes()));
    let tried = std::thread::spawn(move || {
        if give_up(Capabilities::NONE).is_err() {
            return Capabilities::NONE;
        }
        let is_shut = places.iter().flatten().any(|place| !can_write(place));
        Capabilities::NONE
            .with(DAC_OVERRIDE, is_shut)
            .with(SYS_PTRACE, std::fs::read("/proc/1/stat").is_err())
            .with(BPF, maps_change && !can_change_maps())
    });
    tried.join().unwrap_or_default()
}

/// Gives up all capabilities of this thread but those `kept`, as far as it has them, and whatever an exec could bring. Returns those that it has still.
///
/// # Errors
/// The kernel refuses, which it does nowhere known.
pub(crate) fn give_up(kept: Capabilities) -> io::Result<Capabilities> {
    // SAFETY: takes plain numbers.
    let closed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: as above. Before 4.3 there are none.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    if closed != 0 {
        return Err(io::Error::last_os_error());
    }
    let permitted = held()? & kept.0;
    let half = |shift: u32| Half {
        effective: (permitted >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: 0,
    };
    let (header, halves) = (HEADER, [half(0), half(32)]);
    // SAFETY: version 3 takes a header and two halves, which are ours; 0 is this thread.
    match unsafe { libc::syscall(libc::SYS_capset, &raw const header, halves.as_ptr()) } {
        0 => Ok(Capabilities(permitted)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// As [`give_up`]; where it is refused, the recording goes on and says so.
pub(crate) fn give_up_or_tell(kept: Capabilities, live: &Live) {
    if let Err(error) = give_up(kept) {
        live.note(format!("the recorder keeps rights that it does not need: {error}"));
    }
}

/// What capset and capget take (linux/capability.h).
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

const HEADER: Header = Header {
    version: 0x2008_0522,
    pid: 0,
};

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The permitted ones of this thread.
fn held() -> io::Result<u64> {
    let mut halves = [Half::default(); 2];
    let header = HEADER;
    // SAFETY: version 3 takes a header and room for two halves, which are ours; 0 is this thread.
    match unsafe { libc::syscall(libc::SYS_capget, &raw const header, halves.as_mut_ptr()) } {
        0 => Ok(u64::from(halves[0].permitted) | u64::from(halves[1].permitted) << 32),
        _ => Err(io::Error::last_os_error()),
    }
}

fn can_write(directory: &CString) -> bool {
    // The kernel's own check, by the real ids, which are the effective ones unless somebody made plumb setuid: older C libraries imitate AT_EACCESS, and know no capabilities.
    // SAFETY: a string with its NUL.
    unsafe { libc::faccessat(libc::AT_FDCWD, directory.as_ptr(), libc::W_OK | libc::X_OK, 0) == 0 }
}

/// Whether bpf(2) lets who has no capability change a map: on one that is not there, it says so then.
fn can_change_maps() -> bool {
    const MAP_UPDATE_ELEM: i32 = 2;
    // map_fd: -1, no key, no value.
    let attributes: [u64; 4] = [u64::from(u32::MAX), 0, 0, 0];
    // SAFETY: attributes of the length that is told, with a descriptor that nobody has.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            MAP_UPDATE_ELEM,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    fn effective() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        u64::from_str_radix(line.unwrap_or("x").trim(), 16).unwrap_or(u64::MAX)
    }

    #[test]
    fn only_the_thread_that_gives_up_has_none() {
        let before = effective();
        let after = std::thread::spawn(|| {
            give_up(Capabilities::NONE).expect("capset");
            effective()
        });
        assert_eq!(after.join().expect("no panic"), 0);
        assert_eq!(effective(), before);
    }

    #[test]
    fn a_place_of_ours_needs_nothing_and_a_strangers_needs_a_right_over_files() {
        let base = tempfile::tempdir().expect("a directory");
        let dir = base.path().join("recording");
        std::fs::create_dir(&dir).expect("a directory");
        assert_eq!(needed(&dir, true).names(), Vec::<&str>::new());
        if chown(base.path(), Some(65_534), None).is_err() {
            println!("left out: a stranger's directory: only root can give one away");
            return;
        }
        for mode in [0o755, 0o700] {
            std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(mode)).expect("a mode");
            assert_eq!(needed(&dir, true).names(), ["CAP_DAC_OVERRIDE"], "{mode:o}");
        }
    }
}

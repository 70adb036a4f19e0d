//! /proc: who the processes and threads are. Everything here may vanish while it is read; that is `None`, not an error.

use std::fs;
use std::path::Path;

/// Longest command line that is kept, bytes.
const CMDLINE_MAX: usize = 4096;
/// USER_HZ, the unit of start times in /proc: part of the kernel's ABI on every architecture that plumb runs on.
pub const TICKS_PER_SECOND: u64 = 100;

/// /proc/sys/kernel/random/boot_id
#[must_use]
pub fn boot_id() -> String {
    read_trimmed("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// The file's text without blanks at its ends.
#[must_use]
pub fn read_trimmed(path: impl AsRef<Path>) -> Option<String> {
    fs::read(path)
        .ok()
        .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// What stat says of a process or a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its name, up to 15 bytes.
    pub comm: String,
    /// State letter.
    pub state: u8,
    /// Parent process.
    pub ppid: u32,
    /// PF_* flags.
    pub flags: u32,
    /// Start, clock ticks since boot.
    pub start_ticks: u64,
}

impl Stat {
    /// Of a process: /proc/PID/stat.
    #[must_use]
    pub fn of_process(pid: u32) -> Option<Stat> {
        Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Of a thread: /proc/PID/task/TID/stat.
    #[must_use]
    pub fn of_thread(pid: u32, tid: u32) -> Option<Stat> {
        Stat::parse(&fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?)
    }

    /// The name stands in parentheses and may hold any character, parentheses too: the last one ends it.
    fn parse(bytes: &[u8]) -> Option<Stat> {
        let open = bytes.iter().position(|&byte| byte == b'(')?;
        let close = bytes.iter().rposition(|&byte| byte == b')')?;
        let comm = String::from_utf8_lossy(bytes.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Field numbers of proc(5) start at 1, and the first one after the name is 3.
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Stat {
            comm,
            state: *field(3)?.as_bytes().first()?,
            ppid: field(4)?.parse().ok()?,
            flags: field(9)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
        })
    }

    /// Start, ns after boot: coarse, to a tick.
    #[must_use]
    pub fn start_ns(&self) -> u64 {
        self.start_ticks.saturating_mul(1_000_000_000 / TICKS_PER_SECOND)
    }

    /// Whether it is a kernel thread (PF_KTHREAD).
    #[must_use]
    pub fn kthread(&self) -> bool {
        self.flags & 0x0020_0000 != 0
    }
}

/// Start time of a process, clock ticks since boot: with its pid and the boot id, the instance.
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    Stat::of_process(pid).map(|stat| stat.start_ticks)
}

/// What status says beyond stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Effective user id.
    pub uid: u32,
    /// Process (or thread) id in its own pid namespace: the last of NSpid.
    pub ns_pid: u32,
    /// Process that the thread belongs to.
    pub tgid: u32,
}

impl Status {
    /// /proc/PID/status; of a thread by its tid, too.
    #[must_use]
    pub fn of(pid: u32) -> Option<Status> {
        Status::parse(&fs::read(format!("/proc/{pid}/status")).ok()?)
    }

    fn parse(bytes: &[u8]) -> Option<Status> {
        let text = String::from_utf8_lossy(bytes);
        let field = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))?;
            Some(line[name.len() + 1..].split_ascii_whitespace())
        };
        let tgid = field("Tgid")?.next()?.parse().ok()?;
        let uid = field("Uid")?.nth(1)?.parse().ok()?;
        // Kernels without pid namespaces have no NSpid.
        let ns_pid = match field("NSpid") {
            Some(ids) => ids.last()?.parse().ok()?,
            None => field("Pid")?.next()?.parse().ok()?,
        };
        Some(Status { uid, ns_pid, tgid })
    }
}

/// Command line, with blanks between arguments; empty for kernel threads.
#[must_use]
pub fn cmdline(pid: u32) -> Option<String> {
    let mut bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    bytes.truncate(CMDLINE_MAX);
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
        .iter_mut()
        .filter(|byte| **byte == 0)
        .for_each(|byte| *byte = b' ');
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The process's cgroup: the unified hierarchy's path, or the cpu controller's where that lies in version 1.
#[must_use]
pub fn cgroup(pid: u32) -> String {
    let text = read_trimmed(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let path_of = |wanted: &dyn Fn(&str) -> bool| {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            wanted(controllers).then(|| parts.next().unwrap_or_default().to_owned())
        })
    };
    let cpu = |controllers: &str| controllers.split(',').any(|name| name == "cpu");
    path_of(&cpu).or_else(|| path_of(&str::is_empty)).unwrap_or_default()
}

/// The CPUs that a thread may run on; `None` when it has ended.
#[must_use]
pub fn allowed_cpus(tid: u32) -> Option<Vec<u32>> {
    // For 8192 CPUs, which is as many as any kernel is built for.
    let mut mask = [0_u64; 128];
    let tid = i32::try_from(tid).ok()?;
    #[expect(unsafe_code, reason = "sched_getaffinity for any number of CPUs")]
    // SAFETY: the mask has as many bytes as is said, and whatever the kernel writes into it are numbers.
    let bytes = unsafe { libc::syscall(libc::SYS_sched_getaffinity, tid, size_of_val(&mask), mask.as_mut_ptr()) };
    let is_allowed = |cpu: &u32| mask[*cpu as usize / 64] >> (cpu % 64) & 1 == 1;
    // As many bytes as the kernel's own masks have.
    let cpus = u32::try_from(bytes)
        .ok()
        .filter(|bytes| (1..=size_of_val(&mask) as u32).contains(bytes))?
        * 8;
    Some((0..cpus).filter(is_allowed).collect())
}

/// A list of CPUs, ascending, as the kernel writes it: `0-3,8`.
#[must_use]
pub fn cpu_list(cpus: &[u32]) -> String {
    let runs = cpus.chunk_by(|one, next| one + 1 == *next);
    let text = runs.map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    text.collect::<Vec<_>>().join(",")
}

/// All processes, in the order of /proc.
#[must_use]
pub fn pids() -> Vec<u32> {
    numbers("/proc")
}

/// All threads of a process; none when it has ended.
#[must_use]
pub fn tids(pid: u32) -> Vec<u32> {
    numbers(format!("/proc/{pid}/task"))
}

/// The thread of a process, by its id in the process's own pid namespace.
#[must_use]
pub fn tid_of_ns(pid: u32, ns_tid: u32) -> Option<u32> {
    // The youngest first: it is mostly they who are asked for.
    tids(pid)
        .into_iter()
        .rev()
        .find(|&tid| Status::of(tid).is_some_and(|status| status.ns_pid == ns_tid))
}

/// The id of a user, by name or as a number.
#[must_use]
pub fn user_id(name: &str) -> Option<u32> {
    if let Ok(id) = name.parse() {
        return Some(id);
    }
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split(':').nth(1)?.parse().ok()
}

fn numbers(directory: impl AsRef<Path>) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_blanks() {
        let text = b"42 (a) R (b ) S 1 42 42 0 -1 2097216 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        let stat = Stat::parse(text);
        let expected = Stat {
            comm: "a) R (b ".into(),
            state: b'S',
            ppid: 1,
            flags: 2_097_216,
            start_ticks: 777,
        };
        assert_eq!(stat, Some(expected.clone()));
        assert!(expected.kthread());
        for length in 0..60 {
            assert_eq!(Stat::parse(&text[..length]), None, "{length}");
        }
    }

    #[test]
    fn the_last_ns_pid_is_the_container_s_own() {
        let text = b"Name:\tx\nTgid:\t900\nPid:\t900\nUid:\t0\t7\t0\t0\nNSpid:\t900\t12\t3\n";
        assert_eq!(
            Status::parse(text),
            Some(Status {
                uid: 7,
                ns_pid: 3,
                tgid: 900
            })
        );
        let old = b"Name:\tx\nTgid:\t900\nPid:\t901\nUid:\t0\t7\t0\t0\n";
        assert_eq!(
            Status::parse(old),
            Some(Status {
                uid: 7,
                ns_pid: 901,
                tgid: 900
            })
        );
    }

    #[test]
    fn a_thread_may_run_somewhere() {
        let cpus = allowed_cpus(std::process::id()).expect("it is there");
        let status = read_trimmed("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        assert_eq!(Some(cpu_list(&cpus).as_str()), line.map(str::trim));
        assert_eq!(cpu_list(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!((cpu_list(&[]), allowed_cpus(u32::MAX)), (String::new(), None));
    }

    #[test]
    fn this_process_is_there() {
        let pid = std::process::id();
        assert!(pids().contains(&pid) && tids(pid).contains(&pid));
        assert_eq!(start_ticks(pid), Stat::of_thread(pid, pid).map(|stat| stat.start_ticks));
        assert_eq!(Status::of(pid).map(|status| status.tgid), Some(pid));
        assert!(cmdline(pid).is_some_and(|line| !line.is_empty()));
        assert!(!boot_id().is_empty());
        assert_eq!(
            tid_of_ns(pid, Status::of(pid).map_or(0, |status| status.ns_pid)),
            Some(pid)
        );
        assert_eq!(
            (user_id("root"), user_id("1234"), user_id("no such user")),
            (Some(0), Some(1234), None)
        );
    }
}

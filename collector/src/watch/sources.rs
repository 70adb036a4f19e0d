//! Where counters come from: files of /proc and /sys, and what their texts say.
//!
//! | counter | unit | from |
//! | --- | --- | --- |
//! | `psi.RESOURCE.some`, `psi.RESOURCE.full` | ns, cumulative | `total` of /proc/pressure/RESOURCE, or of a cgroup's RESOURCE.pressure: time in which some, or all, tasks waited |
//! | `cpu.steal` | ns, cumulative, of a CPU | /proc/stat: what the hypervisor gave to others |
//! | `cpu.online` | state, of a CPU | /sys/devices/system/cpu/online: 1 or 0; sampled when it changes |
//! | `cgroup.periods`, `cgroup.throttled` | count, cumulative | cpu.stat: periods of the quota, and those in which it was spent |
//! | `cgroup.throttled_time` | ns, cumulative | cpu.stat: time that its CPUs were held for it |

use crate::proc::TICKS_PER_SECOND;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Resources that have a pressure.
pub(super) const RESOURCES: [&str; 3] = ["cpu", "io", "memory"];

/// A file that is read again and again.
#[derive(Debug)]
pub(super) struct Text {
    file: File,
    buffer: Vec<u8>,
}

impl Text {
    /// Opens a file of at most `bytes_max` bytes; more is not read.
    pub fn open(path: impl AsRef<Path>, bytes_max: usize) -> Option<Text> {
        let file = File::open(path).ok()?;
        Some(Text {
            file,
            buffer: vec![0; bytes_max],
        })
    }

    /// What it says now; `None` when it is gone.
    pub fn read(&mut self) -> Option<&str> {
        let mut length = 0;
        // Some files of /proc give one page a read.
        while length < self.buffer.len() {
            match self.file.read_at(&mut self.buffer[length..], length as u64).ok()? {
                0 => break,
                more => length += more,
            }
        }
        std::str::from_utf8(&self.buffer[..length]).ok()
    }
}

/// `total` of the lines `some` and `full`, ns.
pub(super) fn pressure(text: &str) -> [Option<u64>; 2] {
    ["some", "full"].map(|which| {
        let line = text.lines().find(|line| line.split(' ').next() == Some(which))?;
        let total = line.split(' ').find_map(|field| field.strip_prefix("total="))?;
        Some(total.parse::<u64>().ok()?.saturating_mul(1000))
    })
}

/// Stolen time of each CPU, ns.
pub(super) fn steal(text: &str) -> impl Iterator<Item = (u32, u64)> {
    // The CPUs' lines come first; the long line of interrupts after them need not be looked at.
    let lines = text.lines().take_while(|line| line.starts_with("cpu"));
    lines.filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let cpu = fields.next()?.strip_prefix("cpu")?.parse().ok()?;
        let ticks: u64 = fields.nth(7)?.parse().ok()?;
        Some((cpu, ticks.saturating_mul(1_000_000_000 / TICKS_PER_SECOND)))
    })
}

/// Periods, throttled periods and throttled time (ns) of a cgroup's cpu.stat, in version 1 or 2.
pub(super) fn quota(text: &str) -> [Option<u64>; 3] {
    let field = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse::<u64>().ok()
    };
    let throttled = field("throttled_time").or_else(|| Some(field("throttled_usec")?.saturating_mul(1000)));
    [field("nr_periods"), field("nr_throttled"), throttled]
}

/// A list of CPUs as the kernel writes it: `0-3,8`.
pub(crate) fn cpu_list(text: &str, cpus_max: u32) -> BTreeSet<u32> {
    let mut cpus = BTreeSet::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cpus.extend(first..=last.min(cpus_max.saturating_sub(1)));
        }
    }
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_in_ns() {
        let text =
            "some avg10=1.00 avg60=0.10 avg300=0.01 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(pressure(text), [Some(1_234_000), Some(7_000)]);
        assert_eq!(pressure("some avg10=1 total=x"), [None, None]);
    }

    #[test]
    fn steal_is_the_eighth_time_of_a_cpu() {
        let text = "cpu  1 2 3 4 5 6 7 99 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu3 0 0 0 0 0 0 0 2 0 0\nintr 1 2\ncpu9 1 1 1 1 1 1 1 1";
        assert_eq!(steal(text).collect::<Vec<_>>(), [(0, 80_000_000), (3, 20_000_000)]);
    }

    #[test]
    fn quotas_of_both_versions() {
        let v1 = "nr_periods 5\nnr_throttled 2\nthrottled_time 300\n";
        let v2 = "usage_usec 9\nnr_periods 5\nnr_throttled 2\nthrottled_usec 3\n";
        assert_eq!(quota(v1), [Some(5), Some(2), Some(300)]);
        assert_eq!(quota(v2), [Some(5), Some(2), Some(3000)]);
        assert_eq!(quota("usage_usec 9\n"), [None; 3]);
    }

    #[test]
    fn lists_of_cpus() {
        let list = |text| cpu_list(text, 16).into_iter().collect::<Vec<_>>();
        assert_eq!(list("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(list("3"), [3]);
        assert_eq!(list("x,4-4294967295").len(), 12);
        assert!(list("").is_empty());
    }

    #[test]
    fn a_file_is_read_as_it_is_now() {
        let mut text = Text::open("/proc/stat", 1 << 20).expect("/proc/stat");
        assert!(text.read().is_some_and(|stat| stat.starts_with("cpu ")));
        assert!(text.read().is_some_and(|stat| stat.starts_with("cpu ")));
        assert!(Text::open("/nowhere", 10).is_none());
    }
}

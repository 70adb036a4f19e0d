//! How much memory a flight recorder may take from the machine that it watches.

use crate::cgroup::Hierarchy;
use std::fs;
use std::path::{Path, PathBuf};

/// What of the available memory encoded segments may take, at most: one part of so many. The load goes on meanwhile, and what is available is in part its page cache. Where a window is
/// saved to a slow disk there may be another as large beside it: a quarter, then.
const PARTS: u64 = 8;

/// Bytes that segments may take, where `held` are taken already; `None`: the system does not say.
pub(crate) fn most(held: u64) -> Option<u64> {
    Some(share(available()?, held))
}

fn share(available: u64, held: u64) -> u64 {
    available.saturating_add(held) / PARTS
}

/// Bytes that can be had without swapping, in the cgroups of this process, too.
fn available() -> Option<u64> {
    let machine = field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?.checked_mul(1024);
    let of_cgroups = || {
        let hierarchy = Hierarchy::find("memory")?;
        let path = own_path(&fs::read_to_string("/proc/self/cgroup").ok()?, hierarchy.unified)?;
        room(&hierarchy, &path)
    };
    machine.into_iter().chain(of_cgroups()).min()
}

/// Where this process is in the hierarchy with the memory controller.
fn own_path(cgroups: &str, unified: bool) -> Option<PathBuf> {
    let path = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let is_it = match unified {
            true => controllers.is_empty(),
            false => controllers.split(',').any(|controller| controller == "memory"),
        };
        is_it.then(|| PathBuf::from(path.trim_start_matches('/')))
    };
    cgroups.lines().find_map(path)
}

/// What the limits of a cgroup and of those around it leave. In a container the path may be one that only the host sees: what is there of it counts.
fn room(hierarchy: &Hierarchy, path: &Path) -> Option<u64> {
    let directory = hierarchy.root.join(path);
    let around = directory.ancestors();
    let around = around.take_while(|directory| directory.starts_with(&hierarchy.root));
    around
        .filter_map(|directory| room_within(directory, hierarchy.unified))
        .min()
}

fn room_within(directory: &Path, unified: bool) -> Option<u64> {
    let [limit, used, cache] = match unified {
        true => ["memory.max", "memory.current", "inactive_file"],
        false => ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
    };
    let read = |file: &str| fs::read_to_string(directory.join(file)).ok();
    // `max`: there is none.
    let limit: u64 = read(limit)?.trim().parse().ok()?;
    let used: u64 = read(used)?.trim().parse().ok()?;
    let cache = read("memory.stat").and_then(|stat| field(&stat, cache)).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cache)))
}

/// The number behind a name at the begin of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let mut line = lines.find(|fields| fields.clone().next() == Some(name))?;
    line.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_already_was_available_before() {
        assert_eq!(
            (share(800, 0), share(700, 100), share(u64::MAX, 1)),
            (100, 100, u64::MAX / 8)
        );
        assert!(most(0).is_some_and(|most| most > 0), "Linux says");
    }

    #[test]
    fn the_own_cgroup_is_found_in_both_versions() {
        let text = "4:cpu,memory:/a/b\n0::/c:d\n";
        assert_eq!(own_path(text, false), Some("a/b".into()));
        assert_eq!(own_path(text, true), Some("c:d".into()));
        assert_eq!(own_path("0::/\n", false), None);
    }

    #[test]
    fn the_narrowest_limit_around_counts() {
        let base = tempfile::tempdir().expect("a directory");
        let inner = base.path().join("outer/inner");
        fs::create_dir_all(&inner).expect("a directory");
        let write = |file: &str, text: &str| fs::write(base.path().join(file), text).expect("a file");
        let hierarchy = Hierarchy {
            root: base.path().to_owned(),
            unified: true,
        };
        let room = |path: &str| room(&hierarchy, Path::new(path));
        assert_eq!(room("outer/inner"), None, "nothing is limited");
        write("outer/inner/memory.max", "max\n");
        write("outer/inner/memory.current", "100\n");
        write("outer/memory.max", "1000\n");
        write("outer/memory.current", "700\n");
        assert_eq!(room("outer/inner"), Some(300));
        // The page cache makes room.
        write("outer/memory.stat", "anon 500\ninactive_file 200\n");
        assert_eq!(room("outer/inner"), Some(500));
        write("outer/inner/memory.max", "150\n");
        assert_eq!(room("outer/inner"), Some(50));
        assert_eq!(room("seen/by/the/host"), None);
    }
}

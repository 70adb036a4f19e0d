//! How much memory the JVM's control groups still allow: an arena that does not fit would have the kernel kill the JVM.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that may still be used under the tightest limit; none where there is no limit, or none that we can read.
pub fn bytes_left() -> Option<u64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    left_under(Path::new("/sys/fs/cgroup"), &membership)
}

fn left_under(root: &Path, membership: &str) -> Option<u64> {
    let unified = membership.lines().find_map(|line| line.strip_prefix("0::"));
    let legacy = membership.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let controllers = fields.nth(1)?;
        controllers
            .split(',')
            .any(|controller| controller == "memory")
            .then(|| fields.next())?
    });
    let unified = unified.and_then(|path| {
        tightest(root, path, |group| {
            left(group, "memory.max", "memory.current", "inactive_file")
        })
    });
    let legacy = legacy.and_then(|path| {
        let root = root.join("memory");
        tightest(&root, path, |group| {
            left(
                group,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        })
    });
    unified.into_iter().chain(legacy).min()
}

/// The least of a group's and its ancestors'. In a container the path may be that of the host, of which only the root is to be seen here.
fn tightest(root: &Path, path: &str, left: impl Fn(&Path) -> Option<u64>) -> Option<u64> {
    let relative = PathBuf::from(path.trim_start_matches('/'));
    relative.ancestors().filter_map(|group| left(&root.join(group))).min()
}

fn left(group: &Path, limit: &str, usage: &str, reclaimable: &str) -> Option<u64> {
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    // "max" is no number: no limit.
    let (limit, usage) = (number(limit)?, number(usage)?);
    let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let line = statistics
        .lines()
        .find_map(|line| line.strip_prefix(reclaimable)?.strip_prefix(' '));
    let cache = line.and_then(|bytes| bytes.trim().parse::<u64>().ok()).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(cache)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(directory: &Path, files: &[(&str, &str)]) -> std::io::Result<()> {
        fs::create_dir_all(directory)?;
        files
            .iter()
            .try_for_each(|(name, text)| fs::write(directory.join(name), text))
    }

    #[test]
    fn the_tightest_limit_counts_and_file_cache_does_not() -> std::io::Result<()> {
        let root = tempfile::tempdir()?;
        let used = [
            ("memory.max", "1000\n"),
            ("memory.current", "700\n"),
            ("memory.stat", "anon 1\ninactive_file 200\n"),
        ];
        group(&root.path().join("a"), &used)?;
        group(
            &root.path().join("a/b"),
            &[("memory.max", "max\n"), ("memory.current", "600\n")],
        )?;
        assert_eq!(left_under(root.path(), "0::/a/b\n"), Some(500));
        assert_eq!(left_under(root.path(), "0::/c\n"), None);
        Ok(())
    }

    #[test]
    fn groups_of_the_first_version() -> std::io::Result<()> {
        let root = tempfile::tempdir()?;
        let used = [("memory.limit_in_bytes", "1000\n"), ("memory.usage_in_bytes", "400\n")];
        group(&root.path().join("memory"), &used)?;
        assert_eq!(
            left_under(root.path(), "5:cpu,cpuacct:/x\n4:memory:/docker/1\n"),
            Some(600)
        );
        Ok(())
    }
}

//! Cgroups: the hierarchy that shares out CPU time, in version 1 or 2.

use crate::glob::Glob;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Cgroups that are looked at, at most.
const CGROUPS_MAX: usize = 16_384;

/// The hierarchy with a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Where it is mounted.
    pub root: PathBuf,
    /// Version 2, the unified hierarchy.
    pub unified: bool,
}

impl Hierarchy {
    /// The one of this machine that shares out `cpu` or `memory`.
    pub fn find(controller: &str) -> Option<Hierarchy> {
        Hierarchy::parse(&fs::read_to_string("/proc/self/mounts").ok()?, controller)
    }

    /// Version 1's controller where there is one: the unified hierarchy beside it has nothing of the kind to share out.
    fn parse(mounts: &str, controller: &str) -> Option<Hierarchy> {
        let mount = |line: &str| {
            let mut fields = line.split(' ').skip(1);
            let (root, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
            let unified = kind == "cgroup2";
            let has_it = kind == "cgroup" && options.split(',').any(|option| option == controller);
            (unified || has_it).then(|| Hierarchy {
                root: PathBuf::from(root),
                unified,
            })
        };
        let mut found: Vec<Hierarchy> = mounts.lines().filter_map(mount).collect();
        found.sort_by_key(|hierarchy| hierarchy.unified);
        found.into_iter().next()
    }

    /// Ids of all cgroups whose path matches, and of all within these.
    pub fn matching(&self, globs: &[Glob]) -> Vec<u64> {
        let mut inside: Vec<String> = Vec::new();
        let mut ids = Vec::new();
        self.walk(|directory, path| {
            // A parent comes before its children.
            let is_inside = globs.iter().any(|glob| glob.matches(path))
                || inside.iter().any(|outer| {
                    path.strip_prefix(outer.as_str())
                        .is_some_and(|rest| rest.starts_with('/'))
                });
            if is_inside && let Ok(metadata) = fs::metadata(directory) {
                ids.push(metadata.ino());
                inside.push(path.trim_end_matches('/').to_owned());
            }
        });
        ids
    }

    /// Directories and paths of all cgroups that have a quota of CPU time.
    pub fn limited(&self) -> Vec<(PathBuf, String)> {
        let file = if self.unified { "cpu.max" } else { "cpu.cfs_quota_us" };
        let mut found = Vec::new();
        self.walk(|directory, path| {
            // `max 100000` or `-1`: no limit. The root of the unified hierarchy has no such file.
            let quota = fs::read_to_string(directory.join(file)).unwrap_or_default();
            if quota.starts_with(|first: char| first.is_ascii_digit()) {
                found.push((directory.to_owned(), path.to_owned()));
            }
        });
        found
    }

    /// All cgroups, each before those within it.
    fn walk(&self, mut each: impl FnMut(&Path, &str)) {
        let mut next = vec![(self.root.clone(), "/".to_owned())];
        let mut seen = 0;
        while let Some((directory, path)) = next.pop() {
            seen += 1;
            each(&directory, &path);
            if seen + next.len() < CGROUPS_MAX {
                next.extend(children(&directory, &path));
            }
        }
    }
}

fn children(directory: &Path, path: &str) -> impl Iterator<Item = (PathBuf, String)> {
    let base = path.trim_end_matches('/').to_owned();
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(move |entry| (entry.path(), format!("{base}/{}", entry.file_name().to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_is_where_it_is_mounted() {
        let v2 = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let v1 = "cgroup /c/cpuset cgroup rw,cpuset 0 0\ncgroup2 /c/unified cgroup2 rw 0 0\ncgroup /c/cpu cgroup rw,cpu,cpuacct 0 0\n";
        let found =
            |mounts| Hierarchy::parse(mounts, "cpu").map(|found| (found.root.display().to_string(), found.unified));
        assert_eq!(found(v2), Some(("/sys/fs/cgroup".into(), true)));
        assert_eq!(found(v1), Some(("/c/cpu".into(), false)));
        assert_eq!(found("garbage\n\n"), None);
    }

    #[test]
    fn a_cgroup_is_in_scope_with_all_within_it() {
        let base = tempfile::tempdir().expect("a directory");
        let make = |path: &str| fs::create_dir_all(base.path().join(path)).expect("a directory");
        for path in ["shop/web/a", "shop/db", "other"] {
            make(path);
        }
        let hierarchy = Hierarchy {
            root: base.path().to_owned(),
            unified: true,
        };
        let count = |glob: &str| hierarchy.matching(&[Glob::new(glob)]).len();
        assert_eq!(
            (count("/shop"), count("/shop/w*"), count("/none"), count("/")),
            (4, 2, 0, 6)
        );
        let id = fs::metadata(base.path().join("other")).expect("it is there").ino();
        assert_eq!(hierarchy.matching(&[Glob::new("/oth*")]), [id]);
    }
}

//! Who is in scope, where no program in the kernel can look it up: what perf events tell of others is left out before it is stored. Their switches are kept.

use super::books::THREADS_MAX;
use crate::glob::Glob;
use crate::kernel::scope::{COMM_BYTES, Scope, Selectors};
use crate::proc;
use plumb_trace::record::{KernelKind, KernelRecord};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// What a scope says of threads.
#[derive(Debug)]
pub(super) struct Filter {
    scope: Scope,
    threads: Vec<Glob>,
    cgroups: Vec<Glob>,
    users: Vec<u32>,
    /// Processes of the traced tree.
    tree: HashSet<u32>,
    /// Whether name, user or cgroup of a thread are asked for.
    selected: HashMap<u32, bool>,
}

impl Filter {
    pub fn new(scope: Scope, selectors: &Selectors) -> Filter {
        let globs = |texts: &[String]| texts.iter().map(|text| Glob::new(text)).collect();
        Filter {
            scope,
            threads: globs(&selectors.threads),
            cgroups: globs(&selectors.cgroups),
            users: selectors.users.clone(),
            tree: HashSet::new(),
            selected: HashMap::new(),
        }
    }

    /// A process is part of the traced tree from now on.
    pub fn trace(&mut self, pid: u32) {
        self.tree.insert(pid);
    }

    /// Whether a record is stored; it may change who is in scope.
    pub fn wants(&mut self, record: &KernelRecord, name_of: impl FnOnce(u32) -> String) -> bool {
        if self.scope == Scope::System {
            return true;
        }
        match KernelKind::from_u8(record.kind) {
            Some(KernelKind::Waking | KernelKind::Wakeup | KernelKind::Counted) => {
                self.is_in_scope(record.pid, record.tid, name_of)
            }
            Some(KernelKind::Fork) => {
                self.fork(record);
                true
            }
            Some(KernelKind::Exec | KernelKind::Rename | KernelKind::Exit) => {
                self.selected.remove(&record.tid);
                true
            }
            _ => true,
        }
    }

    fn is_in_scope(&mut self, pid: u32, tid: u32, name_of: impl FnOnce(u32) -> String) -> bool {
        if self.scope == Scope::Tree && self.tree.contains(&pid) {
            return true;
        }
        if let Some(&selected) = self.selected.get(&tid) {
            return selected;
        }
        let selected = self.is_selected(pid, tid, name_of);
        if self.selected.len() > THREADS_MAX {
            self.selected.clear();
        }
        self.selected.insert(tid, selected);
        selected
    }

    fn is_selected(&self, pid: u32, tid: u32, name_of: impl FnOnce(u32) -> String) -> bool {
        let by_name = || {
            let name = name_of(tid);
            // One of this length may have been cut.
            let matches =
                |glob: &Glob| glob.matches(&name) || name.len() >= COMM_BYTES && glob.matches_beginning(&name);
            self.threads.iter().any(matches)
        };
        let by_user = || proc::Status::of(tid).is_some_and(|status| self.users.contains(&status.uid));
        let by_cgroup = || {
            let path = proc::cgroup(pid);
            // What lies within a cgroup that is asked for is, too.
            let mut outer = Path::new(&path).ancestors().filter_map(Path::to_str);
            outer.any(|path| self.cgroups.iter().any(|glob| glob.matches(path)))
        };
        !self.threads.is_empty() && by_name()
            || !self.users.is_empty() && by_user()
            || !self.cgroups.is_empty() && by_cgroup()
    }

    /// A child is in the tree of its parent, whoever had its id before.
    fn fork(&mut self, record: &KernelRecord) {
        self.selected.remove(&record.tid);
        if record.tid != record.pid {
            return;
        }
        if self.tree.contains(&record.other_pid) {
            if self.tree.len() > THREADS_MAX {
                self.tree.retain(|pid| Path::new(&format!("/proc/{pid}")).exists());
            }
            self.tree.insert(record.pid);
        } else {
            self.tree.remove(&record.pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: KernelKind, pid: u32, tid: u32, other_pid: u32) -> KernelRecord {
        KernelRecord {
            kind: kind as u8,
            pid,
            tid,
            other_pid,
            ..KernelRecord::default()
        }
    }

    #[test]
    fn children_are_in_the_tree_and_switches_are_kept_of_everybody() {
        let mut filter = Filter::new(Scope::Tree, &Selectors::default());
        filter.trace(10);
        let mut wants = |kind, pid, tid, other| filter.wants(&record(kind, pid, tid, other), |_| String::new());
        assert!(wants(KernelKind::Counted, 10, 11, 0) && !wants(KernelKind::Counted, 20, 20, 0));
        assert!(wants(KernelKind::Waking, 10, 11, 1) && !wants(KernelKind::Waking, 20, 20, 10));
        assert!(wants(KernelKind::Fork, 20, 20, 10) && wants(KernelKind::Wakeup, 20, 21, 0));
        assert!(
            wants(KernelKind::Fork, 20, 20, 1) && !wants(KernelKind::Wakeup, 20, 21, 0),
            "another one of that id"
        );
        assert!(wants(KernelKind::Switch, 99, 99, 98));
    }

    #[test]
    fn names_users_and_cgroups_are_looked_at() {
        let own = std::process::id();
        let user = proc::Status::of(own).map(|status| status.uid);
        let wants = |selectors: Selectors| {
            let mut filter = Filter::new(Scope::Selected, &selectors);
            filter.wants(&record(KernelKind::Waking, own, own, 0), |_| {
                "http-nio-8080-e".to_owned()
            })
        };
        let by_name = |glob: &str| Selectors {
            threads: vec![glob.to_owned()],
            ..Selectors::default()
        };
        assert!(wants(by_name("http-nio-*-exec-1")) && !wants(by_name("ajp-*")));
        let by_user = |user| Selectors {
            users: vec![user],
            ..Selectors::default()
        };
        assert!(user.is_some_and(|user| wants(by_user(user)) && !wants(by_user(user + 1))));
        let by_cgroup = |glob: &str| Selectors {
            cgroups: vec![glob.to_owned()],
            ..Selectors::default()
        };
        assert!(wants(by_cgroup("/")) && !wants(by_cgroup("/no such group")));
    }

    #[test]
    fn a_new_name_counts() {
        let selectors = Selectors {
            threads: vec!["worker".to_owned()],
            ..Selectors::default()
        };
        let mut filter = Filter::new(Scope::Selected, &selectors);
        let named = |name: &'static str| move |_| name.to_owned();
        assert!(!filter.wants(&record(KernelKind::Waking, 5, 5, 0), named("sh")));
        assert!(filter.wants(&record(KernelKind::Rename, 5, 5, 0), named("worker")));
        assert!(filter.wants(&record(KernelKind::Waking, 5, 5, 0), named("worker")));
    }
}

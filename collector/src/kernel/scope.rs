//! Whose wakeups and blocking calls are recorded, and the maps in which the programs look this up (`bpf/scope.h`).

use super::object::bpf_error;
use crate::CollectorError;
use crate::cgroup::Hierarchy;
use crate::glob::Glob;
use aya::Ebpf;
use aya::Pod;
use aya::maps::{HashMap, MapData};
use plumb_trace::record::{KernelKind, KernelRecord};
use std::collections::HashSet;

/// Bytes of a thread's name in the kernel; a name of this length may have been cut.
pub(super) const COMM_BYTES: usize = 15;

/// Which threads' wakeups and blocking calls are recorded.
///
/// Switches, forks, execs, exits and renames are recorded of every thread in any scope: they say who had the CPU meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    #[default]
    System,
    /// Of the targets and their descendants, and of whom [`Selectors`] name.
    Tree,
    /// Of whom [`Selectors`] name.
    Selected,
}

impl Scope {
    /// As rules and manifests call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::System => "system",
            Scope::Tree => "tree",
            Scope::Selected => "selected",
        }
    }
}

/// Threads that are in scope beside the targets' tree: whoever one of these names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    /// Globs over paths of cgroups in the hierarchy with the cpu controller; what lies within one that matches is in scope as well.
    pub cgroups: Vec<String>,
    /// Effective user ids.
    pub users: Vec<u32>,
    /// Globs over thread names.
    pub threads: Vec<String>,
}

impl Selectors {
    /// Whether who is in scope changes during a recording, by what user space finds out.
    pub(crate) fn change(&self) -> bool {
        !self.threads.is_empty() || !self.cgroups.is_empty()
    }
}

/// The version of the cgroups to be looked up, as `by_cgroup` of the programs has it.
pub(super) fn cgroup_version(scope: Scope, selectors: &Selectors) -> Result<u8, CollectorError> {
    if scope == Scope::System || selectors.cgroups.is_empty() {
        return Ok(0);
    }
    match Hierarchy::find("cpu") {
        Some(hierarchy) => Ok(if hierarchy.unified { 1 } else { 2 }),
        None => Err(bpf_error(
            "a scope by cgroup",
            &"no cgroup hierarchy with the cpu controller is mounted",
        )),
    }
}

/// Values of the map of processes, as the programs have them: it is in scope, or its children are and it is not.
const IN_SCOPE: u8 = 1;
pub(super) const CHILDREN_IN_SCOPE: u8 = 2;

/// A map of the programs, by whose keys they know who is in scope.
pub(super) struct Set<K: Pod>(HashMap<MapData, K, u8>);

impl<K: Pod> Set<K> {
    pub fn take(bpf: &mut Ebpf, name: &str) -> Result<Set<K>, CollectorError> {
        let map = bpf
            .take_map(name)
            .ok_or_else(|| bpf_error(name, &"the object has no such map"))?;
        HashMap::try_from(map).map(Set).map_err(|error| bpf_error(name, &error))
    }

    pub fn insert(&mut self, key: K) -> Result<(), CollectorError> {
        self.insert_as(key, IN_SCOPE)
    }

    /// Puts a key in with a value of its own.
    pub fn insert_as(&mut self, key: K, value: u8) -> Result<(), CollectorError> {
        let inserted = self.0.insert(key, value, 0);
        inserted.map_err(|error| bpf_error("adding to what is in scope", &error))
    }

    pub fn remove(&mut self, key: &K) {
        // Not there is as good as removed.
        let _ = self.0.remove(key);
    }
}

/// Keeps the map of threads in scope by their names. The kernel hands names down at a fork and drops who ends; names that are given are matched here.
pub(crate) struct NamedThreads {
    globs: Vec<Glob>,
    set: Set<u32>,
    is_full: bool,
}

impl NamedThreads {
    pub(super) fn new(selectors: &Selectors, set: Set<u32>) -> Option<NamedThreads> {
        let globs: Vec<Glob> = selectors.threads.iter().map(|glob| Glob::new(glob)).collect();
        (!globs.is_empty()).then_some(NamedThreads {
            globs,
            set,
            is_full: false,
        })
    }

    /// Takes a new name from a record. Records of one drain come CPU by CPU: a birth that is seen after a renaming on another CPU must not undo it, so births only add.
    pub fn see(&mut self, record: &KernelRecord) {
        match KernelKind::from_u8(record.kind) {
            Some(KernelKind::Exec | KernelKind::Rename) => self.comm(record.tid, &record.comm()),
            Some(KernelKind::Fork) if self.is_wanted(&record.comm()) => self.set(record.tid, true),
            _ => {}
        }
    }

    /// A thread has this name in the kernel, which may be cut.
    pub fn comm(&mut self, tid: u32, comm: &str) {
        self.set(tid, self.is_wanted(comm));
    }

    fn is_wanted(&self, comm: &str) -> bool {
        let matches = |glob: &Glob| glob.matches(comm) || comm.len() >= COMM_BYTES && glob.matches_beginning(comm);
        self.globs.iter().any(matches)
    }

    /// A thread has this name, whole.
    pub fn name(&mut self, tid: u32, name: &str) {
        self.set(tid, self.globs.iter().any(|glob| glob.matches(name)));
    }

    fn set(&mut self, tid: u32, wanted: bool) {
        if wanted {
            self.is_full |= self.set.insert(tid).is_err();
        } else {
            self.set.remove(&tid);
        }
    }

    /// What the user should know.
    pub fn note(&self) -> Option<&'static str> {
        self.is_full.then_some(
            "more threads have a name that is in scope than the kernel's map holds: wakeups of some are not recorded",
        )
    }
}

/// Keeps the map of cgroups in scope: cgroups come and go.
pub(crate) struct Cgroups {
    globs: Vec<Glob>,
    set: Set<u64>,
    hierarchy: Hierarchy,
    known: HashSet<u64>,
}

impl Cgroups {
    pub(super) fn new(selectors: &Selectors, set: Set<u64>) -> Option<Cgroups> {
        let mut cgroups = Cgroups {
            globs: selectors.cgroups.iter().map(|glob| Glob::new(glob)).collect(),
            set,
            hierarchy: Hierarchy::find("cpu")?,
            known: HashSet::new(),
        };
        cgroups.look();
        (!cgroups.globs.is_empty()).then_some(cgroups)
    }

    /// Looks which there are now.
    pub fn look(&mut self) {
        let found: HashSet<u64> = self.hierarchy.matching(&self.globs).into_iter().collect();
        for &id in found.difference(&self.known) {
            // A map that is full holds 65,536 cgroups, more than are looked at.
            let _ = self.set.insert(id);
        }
        for id in self.known.difference(&found) {
            self.set.remove(id);
        }
        self.known = found;
    }
}

//! What is known of everybody when a window begins: the definitions of segments that were forgotten, as far as they still hold.

use super::stacks::Stacks;
use crate::proc;
use plumb_trace::definition::{Dated, Definition};
use plumb_trace::record::{KernelKind, KernelRecord, flags};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Names of what was left alone that are kept, of each JVM.
const LEFT_ALONE_MAX: usize = 10_000;
/// Names of virtual threads that are kept, of each JVM: nobody tells their ends.
const VIRTUAL_THREADS_MAX: usize = 65_536;
/// Keys of units that are kept, of each JVM: more than an agent tells apart.
const KEYS_MAX: usize = 65_536;
/// Frames and stacks of Java that are kept, of each JVM: more than an agent tells.
const FRAMES_MAX: usize = 262_144;
const STACKS_MAX: usize = 32_768;
/// Threads that may be known before it is looked whether they are still there: their ends may have been lost.
const PRUNE_AT: usize = 4096;

/// Definitions that hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Base {
    processes: HashMap<u32, Dated>,
    traced: HashMap<u32, Dated>,
    threads: HashMap<u32, Dated>,
    counters: BTreeMap<u32, Dated>,
    /// What slices count, by place.
    slice_counters: BTreeMap<u32, Dated>,
    /// Threads that may not run on all CPUs, by tid.
    affinities: HashMap<u32, Dated>,
    devices: BTreeMap<u32, Dated>,
    pub stacks: Stacks,
    jvms: HashMap<(u32, u64), JvmBase>,
    /// Threads at which the next pruning is due.
    prune_at: usize,
}

/// What was before the window is nobody's business.
fn as_first(mut dated: Dated) -> Dated {
    if let Definition::Affinity { before, .. } = &mut dated.definition {
        *before = 0;
    }
    dated
}

/// Definitions of one JVM that hold.
#[derive(Clone, Debug, Default)]
struct JvmBase {
    jvm: Option<Dated>,
    methods: BTreeMap<u32, Dated>,
    /// Methods whose units go on in tasks that they hand over.
    hand_over: BTreeMap<u32, Dated>,
    keys: BTreeMap<u32, Dated>,
    classes: BTreeMap<u32, Dated>,
    places: BTreeMap<u32, Dated>,
    frames: BTreeMap<u32, Dated>,
    stacks: BTreeMap<u32, Dated>,
    threads: HashMap<u32, Dated>,
    left_alone: Vec<Dated>,
    virtual_threads: BTreeMap<u64, Dated>,
}

impl Base {
    /// Takes in a definition of the recorder.
    pub fn define(&mut self, dated: Dated) {
        match dated.definition {
            Definition::Process { pid, .. } => drop(self.processes.insert(pid, dated)),
            Definition::Traced { pid, .. } => drop(self.traced.insert(pid, dated)),
            Definition::Thread { tid, .. } => self.define_thread(tid, dated),
            Definition::Counter { id, .. } | Definition::JvmCounter { id, .. } => {
                drop(self.counters.insert(id, dated));
            }
            Definition::SliceCounter { number, .. } => drop(self.slice_counters.insert(number, dated)),
            Definition::Affinity { tid, .. } => drop(self.affinities.insert(tid, as_first(dated))),
            Definition::Device { number, .. } => drop(self.devices.insert(number, dated)),
            Definition::Frame { .. } | Definition::Stack { .. } => self.stacks.define(dated),
            _ => {}
        }
    }

    /// What was read of it before its last record is older than that: it had another name.
    fn define_thread(&mut self, tid: u32, dated: Dated) {
        if self.threads.get(&tid).is_none_or(|known| known.at <= dated.at) {
            self.threads.insert(tid, dated);
        }
    }

    /// Takes in a record that changes who is there.
    pub fn see(&mut self, record: &KernelRecord) {
        match KernelKind::from_u8(record.kind) {
            Some(KernelKind::Fork) => {
                // Whose number it was before, if its end was lost.
                self.lose_affinity(record.tid, record);
                self.define(born(record));
                self.prune();
            }
            Some(KernelKind::Exec) => {
                if record.other_tid != record.tid {
                    self.threads.remove(&record.other_tid);
                    // The number is another thread's from now on.
                    self.lose_affinity(record.tid, record);
                    self.lose_affinity(record.other_tid, record);
                }
                self.rename(record);
            }
            Some(KernelKind::Rename) => self.rename(record),
            Some(KernelKind::Exit) => {
                self.threads.remove(&record.tid);
                self.lose_affinity(record.tid, record);
                if record.tid == record.pid {
                    self.processes.remove(&record.pid);
                    self.traced.remove(&record.pid);
                }
            }
            _ => {}
        }
    }

    fn rename(&mut self, record: &KernelRecord) {
        if let Some(Dated {
            definition: Definition::Thread { comm, .. },
            at,
        }) = self.threads.get_mut(&record.tid)
        {
            *comm = record.comm();
            *at = (*at).max(record.time_ns);
        }
    }

    /// What was said of this thread before the record holds no more; what was said later may have been taken in already.
    fn lose_affinity(&mut self, tid: u32, record: &KernelRecord) {
        if self
            .affinities
            .get(&tid)
            .is_some_and(|dated| dated.at <= record.time_ns)
        {
            self.affinities.remove(&tid);
        }
    }

    /// Forgets who is not there any more, though no end of theirs was seen.
    fn prune(&mut self) {
        if self.threads.len().max(self.affinities.len()) < self.prune_at.max(PRUNE_AT) {
            return;
        }
        let is_there = |id: &u32| Path::new("/proc").join(id.to_string()).exists();
        self.threads.retain(|tid, _| is_there(tid));
        self.processes.retain(|pid, _| is_there(pid));
        self.traced.retain(|pid, _| is_there(pid));
        self.affinities.retain(|tid, _| is_there(tid));
        self.prune_at = self.threads.len().max(self.affinities.len()) * 2;
    }

    /// Takes in a definition of a JVM.
    pub fn define_in_jvm(&mut self, jvm: (u32, u64), mut dated: Dated) {
        let base = self.jvms.entry(jvm).or_default();
        match &mut dated.definition {
            Definition::Jvm { .. } => base.jvm = Some(dated),
            Definition::Method { id, .. } => drop(base.methods.insert(*id, dated)),
            Definition::HandsOver { id } => drop(base.hand_over.insert(*id, dated)),
            Definition::UnitKey { id, .. } if base.keys.len() < KEYS_MAX => drop(base.keys.insert(*id, dated)),
            Definition::Class { id, .. } => drop(base.classes.insert(*id, dated)),
            Definition::Place { id, .. } => drop(base.places.insert(*id, dated)),
            Definition::JavaFrame { id, .. } if base.frames.len() < FRAMES_MAX => {
                drop(base.frames.insert(*id, dated));
            }
            Definition::JavaStack { id, .. } if base.stacks.len() < STACKS_MAX => {
                drop(base.stacks.insert(*id, dated));
            }
            Definition::JavaThread { tid, started, .. } => {
                // Not within the window.
                *started = false;
                base.threads.insert(*tid, dated);
            }
            Definition::JavaThreadName { tid, name: new } => {
                if let Some(Dated {
                    definition: Definition::JavaThread { name, .. },
                    ..
                }) = base.threads.get_mut(tid)
                {
                    name.clone_from(new);
                }
            }
            Definition::JavaThreadEnd { tid } => drop(base.threads.remove(tid)),
            Definition::VirtualThread { java_id, .. } => {
                base.virtual_threads.insert(*java_id, dated);
                if base.virtual_threads.len() > VIRTUAL_THREADS_MAX {
                    // Numbers only grow: the oldest.
                    base.virtual_threads.pop_first();
                }
            }
            Definition::LeftAlone { .. } if base.left_alone.len() < LEFT_ALONE_MAX => base.left_alone.push(dated),
            _ => {}
        }
    }

    /// Whether something is known of a JVM.
    pub fn has_jvm(&self, jvm: (u32, u64)) -> bool {
        self.jvms.contains_key(&jvm)
    }

    /// Forgets a JVM.
    pub fn forget_jvm(&mut self, jvm: (u32, u64)) {
        self.jvms.remove(&jvm);
    }

    /// The recorder's definitions, as of `at_ns`, processes before their threads. States of threads are those of now: they matter for those only of which no record tells.
    pub fn of_host(&self, at_ns: u64) -> Vec<Dated> {
        let (processes, traced) = (self.processes.values(), self.traced.values());
        let counted = self.counters.values().chain(self.slice_counters.values());
        let counted = counted.chain(self.devices.values());
        let counted = counted.chain(self.stacks.all());
        let mut all: Vec<Dated> = processes.chain(traced).chain(counted).cloned().collect();
        all.extend(self.threads.values().cloned().map(with_state));
        all.extend(self.affinities.values().cloned());
        all.iter_mut().for_each(|dated| dated.at = dated.at.min(at_ns));
        all
    }

    /// Definitions of a JVM.
    pub fn of_jvm(&self, jvm: (u32, u64)) -> Vec<Dated> {
        let Some(base) = self.jvms.get(&jvm) else {
            return Vec::new();
        };
        let all = base
            .jvm
            .iter()
            .chain(base.methods.values())
            .chain(base.hand_over.values())
            .chain(base.keys.values())
            .chain(base.classes.values())
            .chain(base.places.values())
            .chain(base.frames.values())
            .chain(base.stacks.values())
            .chain(base.virtual_threads.values());
        all.chain(base.threads.values())
            .chain(&base.left_alone)
            .cloned()
            .collect()
    }
}

/// The definition of a thread that begins with this record.
fn born(record: &KernelRecord) -> Dated {
    Dated {
        at: record.time_ns,
        definition: Definition::Thread {
            tid: record.tid,
            pid: record.pid,
            ns_tid: record.value,
            start_ns: record.time_ns,
            comm: record.comm(),
            state: 0,
            kthread: record.flags & flags::KTHREAD != 0,
        },
    }
}

fn with_state(mut dated: Dated) -> Dated {
    if let Definition::Thread { tid, pid, state, .. } = &mut dated.definition {
        *state = proc::Stat::of_thread(*pid, *tid).map_or(0, |stat| u32::from(stat.state));
    }
    dated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: KernelKind, tid: u32, pid: u32, comm: &str) -> KernelRecord {
        let mut record = KernelRecord {
            time_ns: 5,
            kind: kind as u8,
            tid,
            pid,
            other_tid: tid,
            ..KernelRecord::default()
        };
        record.set_comm(comm);
        record
    }

    fn names(base: &Base) -> Vec<(u32, String)> {
        let thread = |dated: Dated| match dated.definition {
            Definition::Thread { tid, comm, .. } => Some((tid, comm)),
            _ => None,
        };
        let mut names: Vec<_> = base.of_host(9).into_iter().filter_map(thread).collect();
        names.sort();
        names
    }

    #[test]
    fn who_comes_is_renamed_and_goes() {
        let mut base = Base::default();
        base.see(&record(KernelKind::Fork, 10, 10, "sh"));
        base.see(&record(KernelKind::Fork, 11, 10, "sh"));
        base.see(&record(KernelKind::Rename, 11, 10, "worker"));
        assert_eq!(names(&base), [(10, "sh".into()), (11, "worker".into())]);
        base.see(&record(KernelKind::Exit, 11, 10, "worker"));
        let exec = KernelRecord {
            other_tid: 12,
            ..record(KernelKind::Exec, 10, 10, "java")
        };
        base.see(&record(KernelKind::Fork, 12, 10, "sh"));
        base.see(&exec);
        assert_eq!(names(&base), [(10, "java".into())]);
        base.see(&record(KernelKind::Exit, 10, 10, "java"));
        assert!(base.of_host(9).is_empty());
    }

    #[test]
    fn whose_end_was_lost_is_forgotten_all_the_same() {
        let mut base = Base::default();
        // No such pids: pid_max is 4,194,304 at most.
        (0..20_000).for_each(|n| base.see(&record(KernelKind::Fork, 5_000_000 + n, 5_000_000 + n, "x")));
        assert!(base.threads.len() < 2 * PRUNE_AT, "{}", base.threads.len());
    }

    #[test]
    fn counters_of_slices_and_affinities_are_kept_until_their_thread_ends() {
        let mut base = Base::default();
        base.see(&record(KernelKind::Fork, 10, 10, "sh"));
        let counter = Definition::SliceCounter {
            number: 0,
            name: "instructions".into(),
            unit: "count".into(),
        };
        let affinity = Definition::Affinity {
            tid: 10,
            pid: 10,
            cpus: 1,
            list: "0".into(),
            before: 0,
        };
        for definition in [affinity.clone(), counter.clone()] {
            base.define(Dated { at: 1, definition });
        }
        let all = |base: &Base| -> Vec<Definition> {
            let definitions = base.of_host(9).into_iter().map(|dated| dated.definition);
            definitions
                .filter(|one| !matches!(one, Definition::Thread { .. }))
                .collect()
        };
        assert_eq!(all(&base), [counter.clone(), affinity.clone()]);
        base.see(&record(KernelKind::Exec, 10, 10, "java"));
        assert_eq!(all(&base), [counter.clone(), affinity]);
        base.see(&record(KernelKind::Exit, 10, 10, "java"));
        assert_eq!(all(&base), [counter]);
    }

    #[test]
    fn threads_of_a_jvm_keep_their_last_name() {
        let mut base = Base::default();
        let define = |base: &mut Base, definition| base.define_in_jvm((1, 2), Dated { at: 1, definition });
        let thread = |tid, name: &str| Definition::JavaThread {
            tid,
            java_id: 7,
            name: name.into(),
            group: String::new(),
            daemon: false,
            priority: 5,
            started: true,
        };
        define(&mut base, thread(3, "a"));
        define(&mut base, thread(4, "b"));
        define(
            &mut base,
            Definition::JavaThreadName {
                tid: 3,
                name: "c".into(),
            },
        );
        define(&mut base, Definition::JavaThreadEnd { tid: 4 });
        let all = base.of_jvm((1, 2));
        let [
            Dated {
                definition: Definition::JavaThread { name, started, .. },
                ..
            },
        ] = &all[..]
        else {
            panic!("{all:?}")
        };
        assert_eq!((name.as_str(), *started), ("c", false));
        base.forget_jvm((1, 2));
        assert!(base.of_jvm((1, 2)).is_empty());
    }

    #[test]
    fn what_units_are_about_is_known_to_windows_that_begin_later() {
        let mut base = Base::default();
        let method = Definition::Method {
            id: 1,
            class: "Shop".into(),
            name: "serve".into(),
            descriptor: "()V".into(),
            unit: "request".into(),
        };
        let key = Definition::UnitKey {
            id: 7,
            key: "/cart".into(),
        };
        let definitions = [Definition::HandsOver { id: 1 }, key.clone(), method.clone()];
        for definition in definitions {
            base.define_in_jvm((1, 2), Dated { at: 1, definition });
        }
        let all: Vec<Definition> = base.of_jvm((1, 2)).into_iter().map(|dated| dated.definition).collect();
        assert_eq!(
            all,
            [method, Definition::HandsOver { id: 1 }, key],
            "a method before what is said of it"
        );
    }
}

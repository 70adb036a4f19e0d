//! One recording of this JVM: its rules, its arena, and what was changed for it.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use plumb_trace::arena::Clock;
use plumb_trace::definition::Definition;

use super::arena::{Arena, DISARMED, GATE};
use super::clock;
use super::definitions::Definitions;
use super::headroom;
use super::kin::Families;
use super::late::Late;
use super::names::{Names, dotted, internal_of, lock, readable};
use super::places::Places;
use super::rules::RuleSet;
use super::seen::{PassedNames, Passing};
use super::threads::Threads;
use super::{handover, idlers, keys, shadow, sites};
use crate::protocol::{Armed, Config};

/// Most classes and methods left alone that are told by name.
const LEFT_ALONE_NAMED_MAX: usize = 65_536;
/// Most that are counted.
const LEFT_ALONE_MAX: usize = 1 << 19;

/// What must be left of the JVM's memory limit beside the arena, bytes.
const HEADROOM_BYTES: u64 = 16 << 20;

/// A session: from the recorder's configuration to its stop.
pub struct Session {
    epoch: u64,
    arena: Arena,
    is_tsc: bool,
    rules: RwLock<Arc<RuleSet>>,
    /// Names for numbers.
    pub definitions: Definitions,
    /// Who extends and implements whom, where the rules ask for it.
    pub families: Families,
    /// Where exceptions and allocations are counted.
    pub places: Places,
    /// The threads defined so far.
    pub threads: Threads,
    changes: Mutex<Changes>,
    /// Classes that may have been on their way when the rules changed.
    pub late: Mutex<Option<Late>>,
    passing: Mutex<Passing>,
}

#[derive(Default)]
struct Changes {
    /// By the internal names of the classes that got probes.
    probed: HashMap<String, Probed>,
    /// Classes that the JVM would not take with probes.
    refused: HashSet<String>,
    /// Hashes of the names of classes, or classes and methods, left alone.
    left_alone: HashSet<u64>,
    /// Probe ids that have a name in this session.
    methods: HashSet<u32>,
    /// Class numbers that have a name in this session.
    classes: HashSet<u32>,
}

/// What was done to the classes of one name.
#[derive(Clone, Copy, Default)]
struct Probed {
    /// Methods that have probes now.
    methods: u32,
    /// How often a class of this name was given probes as it was loaded.
    loads: u32,
    /// How often one went through the hook at all, since the first that was given probes.
    passes: u32,
}

impl Session {
    /// Makes the arena; nothing is recorded yet. The descriptor is for the recorder.
    ///
    /// # Errors
    /// Rules that this agent cannot read, or no memory: one line of reason.
    pub fn create(epoch: u64, config: &Config) -> Result<(Session, OwnedFd), String> {
        let rules = RuleSet::first(&config.matcher)?;
        let clock = if cfg!(target_arch = "x86_64") {
            config.clock
        } else {
            Clock::Monotonic
        };
        let bytes = usize::try_from(config.arena_bytes).unwrap_or(usize::MAX);
        check_headroom(config.arena_bytes)?;
        let explain = |error: io::Error| format!("no arena of {bytes} bytes: {error}");
        let (arena, memory) = Arena::create(epoch, bytes, clock).map_err(explain)?;
        keys::reset();
        idlers::forget();
        let session = Session {
            epoch,
            arena,
            is_tsc: clock == Clock::Tsc,
            rules: RwLock::new(Arc::new(rules)),
            definitions: Definitions::new(arena),
            families: Families::default(),
            places: Places::default(),
            threads: Threads::default(),
            changes: Mutex::default(),
            late: Mutex::default(),
            passing: Mutex::default(),
        };
        Ok((session, memory))
    }

    /// The number that records of this session are known by.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Probes and events that are called write records from now on.
    pub fn open_gate(&self) {
        GATE.tsc.store(self.is_tsc, Ordering::Relaxed);
        self.tell_probes(&self.rules());
        GATE.epoch.store(self.epoch, Ordering::Release);
    }

    /// What probes and events look at themselves.
    fn tell_probes(&self, rules: &RuleSet) {
        let RuleSet { features, minimums, .. } = rules;
        if !minimums.is_empty() {
            let per_ns = clock::ticks_per_ns(self.is_tsc);
            shadow::set_minimums(minimums.iter().map(|min_ns| (*min_ns as f64 * per_ns) as u64));
        }
        GATE.virtual_threads.store(features.virtual_threads, Ordering::Relaxed);
    }

    /// The rules of now.
    pub fn rules(&self) -> Arc<RuleSet> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes by other rules from now on; classes that are loaded keep their probes until they are looked at again.
    pub fn set_rules(&self, rules: RuleSet) {
        self.tell_probes(&rules);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Probes that are still called do nothing from now on.
    pub fn close_gate(&self) {
        GATE.epoch.store(DISARMED, Ordering::Release);
    }

    /// The recorder has everything from now on, and nobody here writes any more, but for so many threads of which that is not known: each may
    /// have had one record to write, which counts as lost.
    pub fn give_up_arena(&self, unsure: u64) {
        self.definitions.flush();
        self.definitions.give_up();
        self.arena.header().lost_unslotted.fetch_add(unsure, Ordering::Relaxed);
        self.arena.hand_over();
    }

    /// Takes the arena out of this process. What fails is mapped over by a later session.
    pub fn unmap(&self) {
        let _ = self.arena.retire();
    }

    /// Now, in this session's ticks.
    pub fn now(&self) -> u64 {
        clock::now(self.is_tsc)
    }

    /// Whether the class may get probes.
    ///
    /// Where the rules ask for kin, what is known of it so far counts.
    pub fn wants(&self, class: &str) -> bool {
        let rules = self.rules();
        if rules.matcher.needs_kin() {
            return self.wants_with(&rules, class, &self.families.supertypes(class));
        }
        self.wants_with(&rules, class, &[])
    }

    /// As [`Session::wants`], of a class with these supertypes, by these rules.
    pub fn wants_with(&self, rules: &RuleSet, class: &str, supertypes: &[String]) -> bool {
        sites::is_site_class(rules.features, class)
            || (rules.hands_over && handover::is_site_class(class))
            || (rules.matcher.class_may_match_with(class, supertypes) && !lock(&self.changes).refused.contains(class))
    }

    /// Whether any class may get probes.
    pub fn wants_any(&self) -> bool {
        let rules = self.rules();
        sites::classes(rules.features).next().is_some() || !rules.matcher.is_empty_of_methods()
    }

    /// A class of this name is being loaded.
    pub fn note_passing(&self, class: &str) {
        lock(&self.passing).add(class);
    }

    /// The names of classes that were being loaded last.
    pub fn passed(&self) -> PassedNames {
        lock(&self.passing).names()
    }

    /// The class got this many probed methods, as it was loaded or later.
    pub fn note_probed(&self, class: &str, methods: usize, is_load: bool) {
        let mut changes = lock(&self.changes);
        let probed = changes.probed.entry(class.to_owned()).or_default();
        probed.methods = methods as u32;
        probed.loads = probed.loads.saturating_add(u32::from(is_load));
        probed.passes = probed.passes.saturating_add(1);
    }

    /// Classes of these names are loaded, have gone through the hook as they were, and are put through it again: that counts once.
    pub fn note_seen<'a>(&self, classes: impl Iterator<Item = &'a str>) {
        let mut changes = lock(&self.changes);
        for class in classes {
            if let Some(probed) = changes.probed.get_mut(class) {
                probed.passes = probed.passes.saturating_sub(1);
            }
        }
    }

    /// Names of classes that were given probes as they were loaded, and how many classes they may have among those that have been seen: as many as went through the hook, at the most.
    ///
    /// Not the loads alone: classes that were there before the session would be taken for those that are still on their way. One that went through twice is counted twice, and looked for in vain.
    pub fn loads(&self) -> HashMap<String, u32> {
        let changes = lock(&self.changes);
        let loads = changes.probed.iter().filter(|(_, probed)| probed.loads > 0);
        loads.map(|(class, probed)| (class.clone(), probed.passes)).collect()
    }

    /// The class has its own bytecode again, though rules chose it before. It is looked at once more at the end: another class of that name may have probes.
    pub fn note_unprobed(&self, class: &str) {
        if let Some(probed) = lock(&self.changes).probed.get_mut(class) {
            probed.methods = 0;
            probed.passes = probed.passes.saturating_add(1);
        }
    }

    /// The JVM would not take the class with its probes.
    pub fn note_refused(&self, class: &str, reason: &str) {
        {
            let mut changes = lock(&self.changes);
            // It may have those of earlier rules still.
            changes.probed.entry(class.to_owned()).or_default().methods = 0;
            changes.refused.insert(class.to_owned());
        }
        self.note_left_alone(class, "", reason);
    }

    /// A class (or a method of it) was chosen and left alone.
    pub fn note_left_alone(&self, class: &str, method: &str, reason: &str) {
        let is_to_be_named = {
            let left_alone = &mut lock(&self.changes).left_alone;
            let is_new = left_alone.len() < LEFT_ALONE_MAX && left_alone.insert(hash_of(class, method));
            is_new && left_alone.len() <= LEFT_ALONE_NAMED_MAX
        };
        if is_to_be_named {
            let (method, reason) = (method.to_owned(), reason.to_owned());
            self.definitions.write(
                self.now(),
                Definition::LeftAlone {
                    class: dotted(class),
                    method,
                    reason,
                },
            );
        }
    }

    /// Whether the class has probes.
    pub fn has_probed(&self, class: &str) -> bool {
        lock(&self.changes).probed.contains_key(class)
    }

    /// Gives a probe id its name, once. `class` is an internal name.
    pub fn define_method(&self, id: u32, class: &str, name: &str, descriptor: &str, unit: &str, hands_over: bool) {
        if lock(&self.changes).methods.insert(id) {
            let (name, descriptor, unit) = (name.to_owned(), descriptor.to_owned(), unit.to_owned());
            self.definitions.write(
                self.now(),
                Definition::Method {
                    id,
                    class: dotted(class),
                    name,
                    descriptor,
                    unit,
                },
            );
            if hands_over {
                self.definitions.write(self.now(), Definition::HandsOver { id });
            }
        }
    }

    /// The number of a class, which has its name in this session from now on; 0: there is none left.
    pub fn class_number(&self, names: &Names, signature: &str) -> u32 {
        let Some(id) = names.class(signature) else {
            self.note_left_alone(
                internal_of(signature),
                "",
                "threads block on more classes than can have names",
            );
            return 0;
        };
        if lock(&self.changes).classes.insert(id) {
            self.definitions.write(
                self.now(),
                Definition::Class {
                    id,
                    name: readable(signature),
                },
            );
        }
        id
    }

    /// What was armed so far.
    pub fn armed(&self) -> Armed {
        let rules = self.rules();
        let changes = lock(&self.changes);
        let of_rules = |class: &&String| {
            rules
                .matcher
                .class_may_match_with(class, &self.families.supertypes(class))
        };
        let probed = || changes.probed.iter().filter(|(_, probed)| probed.methods > 0);
        let classes = probed().filter(|(class, _)| of_rules(class)).count() as u32;
        let methods = probed().filter(|(class, _)| of_rules(class));
        let methods = methods.map(|(_, probed)| probed.methods).sum();
        Armed {
            classes,
            methods,
            left_alone: changes.left_alone.len() as u32,
        }
    }
}

fn hash_of(class: &str, method: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (class, method).hash(&mut hasher);
    hasher.finish()
}

/// An arena that the JVM's control group has no room for would have the kernel kill the JVM.
fn check_headroom(bytes: u64) -> Result<(), String> {
    match headroom::bytes_left() {
        Some(left) if left < bytes.saturating_add(HEADROOM_BYTES) => {
            let mebibytes = |bytes: u64| bytes >> 20;
            Err(format!(
                "{} MiB are left of its memory limit, too few for an arena of {} MiB",
                mebibytes(left),
                mebibytes(bytes)
            ))
        }
        _ => Ok(()),
    }
}

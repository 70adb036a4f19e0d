//! Rules, read and found to be right.

use wildmatch::WildMatch;

use crate::{Place, StackRule, Trigger, matcher::Pattern};

/// A rule file or preset that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file as the user named it, or `preset NAME`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// All rules that were asked for. The order of every list is that of precedence: the first that matches wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What was read, the nearest first.
    pub sources: Vec<Source>,
    /// Names are unique.
    pub groups: Vec<Group>,
    /// Methods that get a probe.
    pub methods: Vec<MethodRule>,
    /// Methods that get none, whatever `methods` says.
    pub excludes: Vec<ExcludeRule>,
    /// Which of the JVM's own events are wanted.
    pub jvm: JvmRules,
    /// Which kernel events are wanted; `None` for none.
    pub kernel: Option<KernelRules>,
    /// Of whose long waits the Java stack is taken.
    pub stacks: Vec<StackRule>,
    /// When the flight recorder saves what it holds.
    pub triggers: Vec<Trigger>,
}

impl Rules {
    /// The group of a thread, by its name.
    pub fn group_of(&self, thread_name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.has(thread_name))
    }

    /// Whether anything inside the JVM is to be recorded.
    pub fn want_jvm(&self) -> bool {
        self.jvm != JvmRules::default() || !self.methods.is_empty() || !self.stacks.is_empty()
    }
}

/// Threads that play one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Globs over thread names: `*` any characters, `?` one.
    pub threads: Vec<String>,
    /// Where the rule stands.
    pub place: Place,
}

impl Group {
    /// Whether a thread of that name belongs to the group.
    pub fn has(&self, thread_name: &str) -> bool {
        self.threads
            .iter()
            .any(|glob| WildMatch::new(glob).matches(thread_name))
    }
}

/// Methods whose calls are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodRule {
    /// The pattern as written.
    pub text: String,
    /// Each call is one unit of work of this name.
    pub unit: Option<String>,
    /// Which argument says what a unit is about, from 1.
    pub key: Option<u8>,
    /// The unit goes on in tasks that are handed over to other threads.
    pub handover: bool,
    /// A thread in such a method is a pool's worker with nothing to do.
    pub idle: bool,
    /// Shorter calls leave no record, ns.
    pub min_ns: u64,
    /// Methods with fewer bytes of code get no probe; [`MethodRule::SMALL_CODE_BYTES`] where a rule with a `*` says nothing else.
    pub code_bytes_min: u32,
    /// Where the pattern stands.
    pub place: Place,
    pub(crate) pattern: Pattern,
}

impl MethodRule {
    /// Less code than this has what only gives a field or a constant, or does nothing: called most, and a probe costs a multiple of the call. A rule with a `*` did not mean it. One that names methods or an
    /// annotation did, so did one of units or idle stretches, which all count, and one with `min` leaves short calls out by itself.
    pub const SMALL_CODE_BYTES: u32 = 6;
}

/// Methods whose calls are not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExcludeRule {
    /// The pattern as written.
    pub text: String,
    /// Where the pattern stands.
    pub place: Place,
    pub(crate) pattern: Pattern,
}

/// The JVM's own events; nothing is on by itself.
pub type JvmRules = crate::matcher::JvmFeatures;

/// Kernel events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelRules {
    /// Whose.
    pub scope: KernelScope,
    /// Globs over paths of cgroups: who is in one, or in one within it, is in scope as well.
    pub cgroups: Vec<String>,
    /// Names or numbers of users whose threads are in scope as well, with where they stand.
    pub users: Vec<(String, Place)>,
    /// Globs over names of threads that are in scope as well.
    pub threads: Vec<String>,
    /// Time in interrupt handlers and soft interrupts.
    pub interrupts: bool,
    /// Page faults.
    pub faults: bool,
    /// Requests to block devices.
    pub disk: bool,
    /// What JVMs stop their threads for, by probes of libjvm.
    pub safepoints: bool,
    /// Parks of JVMs' threads, by probes of libjvm.
    pub parks: bool,
    /// Names of system calls of which every one is recorded, of whoever is in scope, with where they stand; `*`: all.
    pub calls: Vec<(String, Place)>,
    /// Names of counters of perf events that are read for each slice of whoever is in scope, with where they stand.
    pub counters: Vec<(String, Place)>,
    /// Of whom kernel and user stacks are recorded, of whoever is in scope.
    pub stacks: KernelStacks,
}

/// When stacks are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelStacks {
    /// Never.
    #[default]
    None,
    /// When a thread blocks: its own.
    Block,
    /// When a thread is woken: its waker's.
    Wakeup,
    /// At both.
    Both,
}

/// Whose kernel events are recorded. Of those who are not in scope it is recorded that they held a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelScope {
    /// Every thread's.
    #[default]
    System,
    /// The traced process's and its children's, and of those that are named.
    Tree,
    /// Of those that are named by cgroup, user or thread name.
    Selected,
}

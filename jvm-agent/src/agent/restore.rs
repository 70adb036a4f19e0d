//! The end of a session: all classes with probes get their own bytecode back.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jvmti_bindings::sys::jni::jclass;

use super::Agent;
use super::jni::Jni;
use super::seen::SeenClasses;
use super::session::Session;
use super::transform::{loaded, retransform};
use crate::protocol::Stopped;

/// How often is looked for classes to restore, at the most.
const LOOKS: u32 = 4;
/// From the end, or the look before, to each look for those that come to be only after it.
const LATE_LOOKS: [Duration; 6] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(8),
    Duration::from_secs(30),
];
/// Classes that are restored by these looks together. Where class loaders come and go most of the missing ones are gone, and what comes under their names is new and has no probes: that is not to be gone through for long.
const LATE_MAX: usize = 256;

/// Gives all probed classes their own bytecode back. The class-file hook is off.
///
/// A class whose file had gone through the hook before that may come to be only while the others are restored: so this looks again, until there is no more of them. Where
/// class loaders come and go there are thousands of one name: those that were restored are not restored again.
pub fn restore(agent: &Agent, session: &Session, jni: Jni) -> (Stopped, Unseen) {
    let mut stopped = Stopped::default();
    let mut unseen = Unseen::default();
    // One frame for all looks: what was seen is known by its reference.
    jni.with_frame(|| {
        let mut seen = Seen::default();
        for _ in 0..LOOKS {
            let mut classes = loaded(agent.jvmti, jni, |class| session.has_probed(class));
            classes.retain(|(class, _)| seen.is_new(agent, jni, *class));
            if classes.is_empty() {
                break;
            }
            for (class, name) in &classes {
                unseen.is_new(agent, *class, name);
            }
            let failed = retransform(agent.jvmti, &classes, true, &|| false).len();
            stopped.restored += (classes.len() - failed) as u32;
            stopped.failed += failed as u32;
        }
    });
    // Only now: a class that was going through the hook as it was turned off is noted by then.
    unseen.loads = session.loads();
    (stopped, unseen)
}

/// Classes that were given probes as they were loaded, and that nobody has seen: while a class's superclass is being found, which is its loader's business and may take seconds, it is not
/// among the loaded ones. Or it never came to be, or is gone already.
#[derive(Default)]
pub struct Unseen {
    /// How many of a name went through the hook.
    loads: HashMap<String, u32>,
    /// Those that were restored.
    seen: SeenClasses,
    /// How many were restored late.
    restored: usize,
}

impl Unseen {
    /// Looks for them now and then, for some time, and restores those that have come. There may be another session meanwhile, whose hook would give them probes, perhaps when it has
    /// looked for its own already: then there is no look.
    pub fn restore(mut self, agent: &Agent, jni: Jni) {
        for pause in LATE_LOOKS {
            if self.loads.is_empty() || self.restored >= LATE_MAX {
                return;
            }
            if agent.death.wait(pause) {
                return;
            }
            if agent.is_busy.load(Ordering::Acquire) {
                continue;
            }
            jni.with_frame(|| self.look(agent, jni));
        }
    }

    fn look(&mut self, agent: &Agent, jni: Jni) {
        let mut classes = loaded(agent.jvmti, jni, |class| self.loads.contains_key(class));
        self.keep_unseen(&classes);
        classes.retain(|(class, name)| self.is_new(agent, *class, name));
        classes.truncate(LATE_MAX - self.restored.min(LATE_MAX));
        self.restored += classes.len();
        retransform(agent.jvmti, &classes, true, &|| false);
    }

    fn is_new(&mut self, agent: &Agent, class: jclass, name: &str) -> bool {
        self.seen.is_new(agent.jvmti, class, name)
    }

    /// Of names with as many loaded classes as went through the hook none is missing.
    fn keep_unseen(&mut self, loaded: &[(jclass, String)]) {
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for (_, name) in loaded {
            *counts.entry(name).or_default() += 1;
        }
        self.loads
            .retain(|name, loads| counts.get(name.as_str()).is_none_or(|count| *count < *loads));
    }
}

/// Classes that were restored, by their identity hashes: a class has no number of its own.
#[derive(Default)]
struct Seen(HashMap<u32, Vec<jclass>>);

impl Seen {
    /// Whether the class was not asked about before.
    fn is_new(&mut self, agent: &Agent, jni: Jni, class: jclass) -> bool {
        let alike = self.0.entry(agent.jvmti.identity_hash(class).unwrap_or(0)).or_default();
        let is_new = !alike.iter().any(|known| jni.is_same(*known, class));
        if is_new {
            alike.push(class);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_name_with_fewer_classes_than_went_through_the_hook_some_are_missing() {
        let loads = [("a/One", 1), ("a/Two", 2), ("a/Gone", 1)];
        let mut unseen = Unseen {
            loads: loads.map(|(name, loads)| (name.to_owned(), loads)).into(),
            seen: SeenClasses::default(),
            restored: 0,
        };
        let class = |name: &str| (std::ptr::null_mut(), name.to_owned());
        unseen.keep_unseen(&[class("a/One"), class("a/Two"), class("b/Other")]);
        let mut names: Vec<&str> = unseen.loads.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["a/Gone", "a/Two"]);
        unseen.keep_unseen(&[class("a/Gone"), class("a/Two"), class("a/Two")]);
        assert!(unseen.loads.is_empty());
    }
}

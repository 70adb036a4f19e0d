//! When to look for classes that were being loaded while the rules changed.
//!
//! The class-file hook may have chosen such a class's probes by the old rules, and the class may not have been among the loaded ones yet when these were looked at again. How long that takes is the JVM's
//! affair, and the scheduler's: so there are several looks, each later than the one before. They are for those alone whose names went through the hook before the change, and whose objects are new since:
//! what came to the hook later went by the new rules at once. Where the hook was off before, since those rules had no methods, nobody knows what passed: then every name may be one of them.

use std::time::{Duration, Instant};

use jvmti_bindings::sys::jni::jclass;

use super::jvmti::Jvmti;
use super::seen::{PassedNames, SeenClasses};

/// From the change, or the look before, to each look.
const LOOKS: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// What is to be looked for after a change.
pub struct Late {
    /// Classes that were looked at before.
    seen: SeenClasses,
    /// What went through the hook before the change; none: that is not known.
    passed: Option<PassedNames>,
    looks: usize,
    next: Instant,
}

impl Late {
    /// The rules have just changed; `passed`: by then, so that it has everything that went by the old ones. None: any class may have.
    pub fn new(passed: Option<PassedNames>) -> Late {
        Late {
            seen: SeenClasses::default(),
            passed,
            looks: 0,
            next: Instant::now() + LOOKS[0],
        }
    }

    /// Whether a class of this name may have gone by the old rules unseen.
    pub fn may_be(&self, name: &str) -> bool {
        self.passed.as_ref().is_none_or(|passed| passed.has(name))
    }

    /// Whether it is for classes of every name.
    pub fn is_for_all(&self) -> bool {
        self.passed.is_none()
    }

    /// Whether nobody has looked at the class since the change; somebody does now.
    pub fn is_new(&mut self, jvmti: Jvmti, class: jclass, name: &str) -> bool {
        self.seen.is_new(jvmti, class, name)
    }

    /// How long until the next look.
    pub fn patience(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// After a look: what is to be looked for next, if anything.
    pub fn again(mut self) -> Option<Late> {
        self.looks += 1;
        self.next = Instant::now() + *LOOKS.get(self.looks)?;
        Some(self)
    }
}

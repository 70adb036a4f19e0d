//! The end of a session: all classes with probes get their own bytecode back.

use std::collections::HashMap;

use jvmti_bindings::sys::jni::jclass;

use super::Agent;
use super::jni::Jni;
use super::session::Session;
use super::transform::{loaded, retransform};
use crate::protocol::Stopped;

/// How often is looked for classes to restore, at the most.
const LOOKS: u32 = 4;

/// Gives all probed classes their own bytecode back. The class-file hook is off.
///
/// A class whose file had gone through the hook before that may come to be only while the others are restored: so this looks again, until there is no more of them. Where
/// class loaders come and go there are thousands of one name: those that were restored are not restored again.
pub fn restore(agent: &Agent, session: &Session, jni: Jni) -> Stopped {
    let mut stopped = Stopped::default();
    // One frame for all looks: what was seen is known by its reference.
    jni.with_frame(|| {
        let mut seen = Seen::default();
        for _ in 0..LOOKS {
            let mut classes = loaded(agent.jvmti, jni, |class| session.has_probed(class));
            classes.retain(|(class, _)| seen.is_new(agent, jni, *class));
            if classes.is_empty() {
                break;
            }
            let failed = retransform(agent.jvmti, &classes, true, &|| false).len();
            stopped.restored += (classes.len() - failed) as u32;
            stopped.failed += failed as u32;
        }
    });
    stopped
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

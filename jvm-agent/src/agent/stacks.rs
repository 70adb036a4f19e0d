//! Stacks of other threads: taken, and told once each.
//!
//! Since JDK 16 the JVM gives the stack of one thread without stopping any other: one that waits need not even wake up. (Before, it would stop all of them for it.)

use std::collections::HashMap;

use jvmti_bindings::sys::jni::jthread;
use plumb_trace::definition::Definition;
use plumb_trace::record::JvmRecord;

use super::jni::Jni;
use super::jvmti::{Frame, Jvmti};
use super::names::internal_of;
use super::release::is_at_least;
use super::rules::RuleSet;
use super::session::Session;
use super::sites;

/// Frames of a stack that are taken, from the innermost on.
const FRAMES_MAX: usize = 128;
/// Room for the names of frames, bytes.
const NAMES_BYTES_MAX: usize = 4 << 20;
/// Most stacks of a session.
const STACKS_MAX: usize = 16_384;

const _: () = assert!(STACKS_MAX < JvmRecord::DETAIL_MAX as usize && FRAMES_MAX <= plumb_trace::definition::LIST_MAX);

/// The stacks of a session that have numbers.
#[derive(Default)]
pub struct Stacks {
    frames: HashMap<String, u32>,
    names_bytes: usize,
    stacks: HashMap<Vec<u32>, u32>,
}

/// What a stack tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The stack of this number.
    Stack(u32),
    /// The thread is a pool's worker that has nothing to do.
    Idle,
    /// The thread has no Java stack, or has ended.
    None,
    /// There are more different stacks than can be told.
    Full,
}

/// Whether this JVM gives one thread's stack without stopping all of them: since JDK 16.
pub fn can_be_taken(jvmti: Jvmti) -> bool {
    is_at_least(jvmti, 16)
}

/// The same of a virtual thread that has no carrier: JDK 21 stops all threads for it, at a safepoint. Later ones that are supported do not.
pub fn can_be_taken_unmounted(jvmti: Jvmti) -> bool {
    is_at_least(jvmti, 24)
}

impl Stacks {
    /// Takes the stack of a thread that waits, and defines what is new of it.
    pub fn take(&mut self, jvmti: Jvmti, jni: Jni, session: &Session, rules: &RuleSet, thread: jthread) -> Taken {
        let frames = jvmti.stack_of(thread, FRAMES_MAX).unwrap_or_default();
        let mut numbers = Vec::with_capacity(frames.len());
        for frame in &frames {
            let Some(method) = Method::of(jvmti, jni, frame) else {
                // Its class was unloaded meanwhile: the thread has gone on.
                return Taken::None;
            };
            if method.is_idle(rules) {
                return Taken::Idle;
            }
            match self.frame(session, method.name()) {
                Some(number) => numbers.push(number),
                None => return Taken::Full,
            }
        }
        match numbers.is_empty() {
            true => Taken::None,
            false => self.stack(session, numbers).map_or(Taken::Full, Taken::Stack),
        }
    }

    fn frame(&mut self, session: &Session, name: String) -> Option<u32> {
        if let Some(number) = self.frames.get(&name) {
            return Some(*number);
        }
        let id = self.frames.len() as u32 + 1;
        self.names_bytes += name.len();
        (self.names_bytes <= NAMES_BYTES_MAX).then_some(())?;
        self.frames.insert(name.clone(), id);
        session
            .definitions
            .write(session.now(), Definition::JavaFrame { id, name });
        Some(id)
    }

    fn stack(&mut self, session: &Session, frames: Vec<u32>) -> Option<u32> {
        if let Some(number) = self.stacks.get(&frames) {
            return Some(*number);
        }
        let id = self.stacks.len() as u32 + 1;
        (self.stacks.len() < STACKS_MAX).then_some(())?;
        self.stacks.insert(frames.clone(), id);
        session
            .definitions
            .write(session.now(), Definition::JavaStack { id, frames });
        Some(id)
    }
}

/// A method on a stack.
struct Method {
    /// Internal name.
    class: String,
    name: String,
    descriptor: String,
}

impl Method {
    /// The method's id was just given: where its class has been unloaded since, the JVM says so.
    fn of(jvmti: Jvmti, jni: Jni, frame: &Frame) -> Option<Method> {
        let (name, descriptor) = jvmti.method_signature(frame.method).ok()?;
        let class = jvmti.declaring_class(frame.method).ok()?;
        let signature = jvmti.class_signature(class);
        jni.delete_local(class);
        Some(Method {
            class: internal_of(&signature.ok()?).to_owned(),
            name,
            descriptor,
        })
    }

    /// Entered before the method had its probes, perhaps: then nobody else tells.
    fn is_idle(&self, rules: &RuleSet) -> bool {
        let Method {
            class,
            name,
            descriptor,
        } = self;
        let action = || rules.matcher.method(class, name, descriptor, usize::MAX);
        sites::is_idle_method(class, name) || action().is_some_and(|action| action.idle)
    }

    /// Hidden classes (lambdas) have a number in their names that tells nothing.
    fn name(&self) -> String {
        let class = self
            .class
            .split_once("$$Lambda")
            .map_or(&*self.class, |(outer, _)| outer);
        let lambda = if class.len() < self.class.len() { "$$Lambda" } else { "" };
        format!("{}{lambda}.{}", class.replace('/', "."), self.name)
    }
}

//! `PlumbProbe.parks(Object)`: a thread is about to park, and this is its blocker.
//!
//! Unlike the other probes this one asks the JVM for something, the blocker's class. None of it runs Java, waits, or takes a lock of ours that
//! another thread could hold for long; and the thread is about to sleep.

#![allow(unsafe_code, reason = "the JVM calls in here")]

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use jvmti_bindings::sys::jni::{JNIEnv, jclass, jobject};
use plumb_trace::record::{JvmKind, JvmRecord};

use super::Agent;
use super::arena::{DISARMED, GATE};
use super::barrier::guard;
use super::jni::Jni;
use super::probe::record;

/// Classes that a thread remembers the numbers of. Most park for one or two.
const REMEMBERED: usize = 4;

/// `PlumbProbe.parks(Object)`
///
/// # Safety
/// Only the JVM calls this.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_java_lang_PlumbProbe_parks(env: *mut JNIEnv, _class: jclass, blocker: jobject) {
    let epoch = GATE.epoch.load(Ordering::Relaxed);
    if epoch == DISARMED {
        return;
    }
    guard((), || {
        // SAFETY: the JVM gave `env` to the calling thread for this call.
        let class = match (Agent::get(), unsafe { Jni::new(env) }) {
            (Some(agent), Some(jni)) => blocker_class(agent, jni, blocker, epoch),
            _ => 0,
        };
        record(JvmRecord::pack(JvmKind::Park, class, 0));
    });
}

/// Number of the blocker's class; where none was given, of what the thread has set as its blocker before; 0 for none.
fn blocker_class(agent: &'static Agent, jni: Jni, given: jobject, epoch: u64) -> u32 {
    let blocker = if given.is_null() {
        own_blocker(agent, jni)
    } else {
        given
    };
    if blocker.is_null() {
        return 0;
    }
    let class = jni.class_of(blocker);
    let signature = agent.jvmti.class_signature(class).unwrap_or_default();
    jni.delete_local(class);
    if blocker != given {
        jni.delete_local(blocker);
    }
    NUMBERS
        .try_with(|numbers| numbers.borrow_mut().of(agent, epoch, signature))
        .unwrap_or(0)
}

fn own_blocker(agent: &Agent, jni: Jni) -> jobject {
    let (Some(fields), Ok(thread)) = (agent.thread_fields.get(), agent.jvmti.current_thread()) else {
        return std::ptr::null_mut();
    };
    let blocker = fields.park_blocker(jni, thread);
    jni.delete_local(thread);
    blocker
}

/// Numbers of the classes that a thread parked for last: the shared tables have locks.
struct Numbers {
    epoch: u64,
    known: Vec<(String, u32)>,
    next: usize,
}

thread_local! {
    static NUMBERS: RefCell<Numbers> = const {
        RefCell::new(Numbers { epoch: 0, known: Vec::new(), next: 0 })
    };
}

impl Numbers {
    fn of(&mut self, agent: &Agent, epoch: u64, signature: String) -> u32 {
        if self.epoch != epoch {
            *self = Numbers {
                epoch,
                known: Vec::with_capacity(REMEMBERED),
                next: 0,
            };
        }
        if let Some((_, number)) = self.known.iter().find(|(known, _)| *known == signature) {
            return *number;
        }
        let Some(session) = agent.session().filter(|_| !signature.is_empty()) else {
            return 0;
        };
        let number = agent.names.class(&signature);
        session.define_class(number, &signature);
        if self.known.len() < REMEMBERED {
            self.known.push((signature, number));
        } else {
            self.known[self.next] = (signature, number);
            self.next = (self.next + 1) % REMEMBERED;
        }
        number
    }
}

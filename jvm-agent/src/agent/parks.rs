//! `PlumbProbe.parks(Object)`: a thread is about to park, and this is its blocker.
//!
//! Unlike the other probes this one asks the JVM for something, the blocker's class. None of it runs Java, waits, or takes a lock of ours that
//! another thread could hold for long; and the thread is about to sleep.

#![allow(unsafe_code, reason = "the JVM calls in here")]

use std::sync::atomic::Ordering;

use jvmti_bindings::sys::jni::{JNIEnv, jclass, jobject};
use plumb_trace::record::{JvmKind, JvmRecord};

use super::arena::{DISARMED, GATE};
use super::barrier::guard;
use super::jni::Jni;
use super::probe::record;
use super::{Agent, class_numbers};

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
    let number = class_numbers::number_of(agent, jni, epoch, blocker);
    if blocker != given {
        jni.delete_local(blocker);
    }
    number
}

fn own_blocker(agent: &Agent, jni: Jni) -> jobject {
    let (Some(fields), Ok(thread)) = (agent.thread_fields.get(), agent.jvmti.current_thread()) else {
        return std::ptr::null_mut();
    };
    let blocker = fields.park_blocker(jni, thread);
    jni.delete_local(thread);
    blocker
}

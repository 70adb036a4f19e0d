//! What the JVM calls: thin shells over functions that cannot unwind into it.
//!
//! No lock of ours is held across a call into the JVM here, and the garbage collector's callbacks take none at all: they run while every Java thread is stopped,
//! one that holds a lock included.

#![allow(unsafe_code, reason = "callbacks of the JVM")]

use std::ffi::{CStr, c_char};
use std::slice;

use jvmti_bindings::mutf8;
use jvmti_bindings::sys::jni::{JNIEnv, jclass, jint, jobject, jthread};
use jvmti_bindings::sys::jvmti::{
    JVMTI_EVENT_GARBAGE_COLLECTION_FINISH, JVMTI_EVENT_GARBAGE_COLLECTION_START, JVMTI_EVENT_MONITOR_CONTENDED_ENTER,
    JVMTI_EVENT_MONITOR_CONTENDED_ENTERED, JVMTI_EVENT_MONITOR_WAIT, JVMTI_EVENT_MONITOR_WAITED,
    JVMTI_EVENT_THREAD_END, JVMTI_EVENT_THREAD_START, jvmtiEnv, jvmtiEvent, jvmtiEventCallbacks,
};
use plumb_filters::matcher::JvmFeatures;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::barrier::guard;
use super::jni::Jni;
use super::probe::record;
use super::{Agent, allocations, control, monitors, transform, virtual_threads};

/// All callbacks; which of them are called is [`set_events`]'s business.
pub fn callbacks() -> jvmtiEventCallbacks {
    let mut callbacks = jvmtiEventCallbacks::default();
    callbacks.VMStart = Some(vm_start);
    callbacks.VMInit = Some(vm_init);
    callbacks.VMDeath = Some(vm_death);
    callbacks.ClassFileLoadHook = Some(class_file_load_hook);
    callbacks.ThreadStart = Some(thread_start);
    callbacks.ThreadEnd = Some(thread_end);
    monitors::add_callbacks(&mut callbacks);
    callbacks.GarbageCollectionStart = Some(garbage_collection_start);
    callbacks.GarbageCollectionFinish = Some(garbage_collection_finish);
    allocations::add_callbacks(&mut callbacks);
    virtual_threads::add_callbacks(&mut callbacks);
    callbacks
}

/// Turns the events of these features on or off. What the JVM does not give stays off.
pub fn set_events(agent: &Agent, jni: Jni, features: JvmFeatures, on: bool) {
    let jvmti = agent.jvmti;
    let of = |wanted: bool, events: [jvmtiEvent; 2]| {
        if wanted {
            for event in events {
                let _ = jvmti.set_event(event, on);
            }
        }
    };
    of(features.threads, [JVMTI_EVENT_THREAD_START, JVMTI_EVENT_THREAD_END]);
    of(
        features.monitors,
        [
            JVMTI_EVENT_MONITOR_CONTENDED_ENTER,
            JVMTI_EVENT_MONITOR_CONTENDED_ENTERED,
        ],
    );
    of(features.waits, [JVMTI_EVENT_MONITOR_WAIT, JVMTI_EVENT_MONITOR_WAITED]);
    of(
        features.gc,
        [
            JVMTI_EVENT_GARBAGE_COLLECTION_START,
            JVMTI_EVENT_GARBAGE_COLLECTION_FINISH,
        ],
    );
    if features.virtual_threads {
        virtual_threads::set_events(agent, jni, on);
    }
}

/// Runs `body` with the agent and the calling thread's environment, behind the panic barrier.
pub(super) fn with_agent(env: *mut JNIEnv, body: impl FnOnce(&'static Agent, Jni)) {
    guard((), || {
        // SAFETY: the JVM gave `env` to the calling thread for this callback, which `body` does not outlive.
        if let (Some(agent), Some(jni)) = (Agent::get(), unsafe { Jni::new(env) }) {
            body(agent, jni);
        }
    });
}

unsafe extern "system" fn vm_start(_jvmti: *mut jvmtiEnv, env: *mut JNIEnv) {
    with_agent(env, control::at_vm_start);
}

unsafe extern "system" fn vm_init(_jvmti: *mut jvmtiEnv, env: *mut JNIEnv, _thread: jthread) {
    with_agent(env, control::at_vm_init);
}

unsafe extern "system" fn vm_death(_jvmti: *mut jvmtiEnv, env: *mut JNIEnv) {
    with_agent(env, |agent, _| control::at_vm_death(agent));
}

unsafe extern "system" fn class_file_load_hook(
    _jvmti: *mut jvmtiEnv,
    _env: *mut JNIEnv,
    redefined: jclass,
    _loader: jobject,
    name: *const c_char,
    _protection_domain: jobject,
    length: jint,
    bytes: *const u8,
    new_length: *mut jint,
    new_bytes: *mut *mut u8,
) {
    guard((), || {
        let (Some(agent), false, Ok(length)) =
            (Agent::get(), name.is_null() || bytes.is_null(), usize::try_from(length))
        else {
            return;
        };
        // SAFETY: the JVM gives a C string and `length` bytes, both valid for this callback.
        let (name, bytes) = unsafe { (CStr::from_ptr(name), slice::from_raw_parts(bytes, length)) };
        let (Some(session), Ok(class)) = (agent.session(), mutf8::decode_cstr(name)) else {
            return;
        };
        let Some(changed) = transform::with_probes(agent, &session, &class, bytes, redefined.is_null()) else {
            return;
        };
        if let (Ok(changed_length), Ok(memory)) = (jint::try_from(changed.len()), agent.jvmti.copy_of(&changed)) {
            // SAFETY: where the JVM wants its answer, by JVMTI's specification.
            unsafe {
                *new_length = changed_length;
                *new_bytes = memory;
            }
        }
    });
}

unsafe extern "system" fn thread_start(_jvmti: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread) {
    with_agent(env, |agent, jni| {
        if let Some(session) = agent.session() {
            session
                .threads
                .started(agent.thread_context(&session, jni), thread, gettid());
        }
    });
}

unsafe extern "system" fn thread_end(_jvmti: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread) {
    with_agent(env, |agent, jni| {
        if let Some(session) = agent.session() {
            session
                .threads
                .ended(agent.thread_context(&session, jni), thread, gettid());
        }
    });
}

pub fn gettid() -> u32 {
    // SAFETY: a system call without arguments.
    unsafe { libc::gettid() as u32 }
}

unsafe extern "system" fn garbage_collection_start(_jvmti: *mut jvmtiEnv) {
    guard((), || record(JvmRecord::pack(JvmKind::GcStart, 0, 0)));
}

unsafe extern "system" fn garbage_collection_finish(_jvmti: *mut jvmtiEnv) {
    guard((), || record(JvmRecord::pack(JvmKind::GcFinish, 0, 0)));
}

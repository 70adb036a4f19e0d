//! What the JVM calls: thin shells over functions that cannot unwind into it.
//!
//! No lock of ours is held across a call into the JVM here, and the garbage collector's callbacks take none at all: they run while every Java thread is stopped,
//! one that holds a lock included.

#![allow(unsafe_code, reason = "callbacks of the JVM")]

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::slice;
use std::thread::LocalKey;

use jvmti_bindings::mutf8;
use jvmti_bindings::sys::jni::{JNIEnv, jboolean, jclass, jint, jlong, jobject, jthread};
use jvmti_bindings::sys::jvmti::{
    JVMTI_EVENT_GARBAGE_COLLECTION_FINISH, JVMTI_EVENT_GARBAGE_COLLECTION_START, JVMTI_EVENT_MONITOR_CONTENDED_ENTER,
    JVMTI_EVENT_MONITOR_CONTENDED_ENTERED, JVMTI_EVENT_MONITOR_WAIT, JVMTI_EVENT_MONITOR_WAITED,
    JVMTI_EVENT_THREAD_END, JVMTI_EVENT_THREAD_START, jvmtiEnv, jvmtiEvent, jvmtiEventCallbacks,
};
use plumb_filters::matcher::JvmFeatures;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::barrier::guard;
use super::jni::Jni;
use super::jvmti::Jvmti;
use super::probe::record;
use super::session::Session;
use super::{Agent, control, transform, virtual_threads};

/// All callbacks; which of them are called is [`set_events`]'s business.
pub fn callbacks() -> jvmtiEventCallbacks {
    let mut callbacks = jvmtiEventCallbacks::default();
    callbacks.VMStart = Some(vm_start);
    callbacks.VMInit = Some(vm_init);
    callbacks.VMDeath = Some(vm_death);
    callbacks.ClassFileLoadHook = Some(class_file_load_hook);
    callbacks.ThreadStart = Some(thread_start);
    callbacks.ThreadEnd = Some(thread_end);
    callbacks.MonitorContendedEnter = Some(monitor_contended_enter);
    callbacks.MonitorContendedEntered = Some(monitor_contended_entered);
    callbacks.MonitorWait = Some(monitor_wait);
    callbacks.MonitorWaited = Some(monitor_waited);
    callbacks.GarbageCollectionStart = Some(garbage_collection_start);
    callbacks.GarbageCollectionFinish = Some(garbage_collection_finish);
    virtual_threads::add_callbacks(&mut callbacks);
    callbacks
}

/// Turns the events of these features on or off. What the JVM does not give stays off.
pub fn set_events(jvmti: Jvmti, features: JvmFeatures, on: bool) {
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
        virtual_threads::set_events(jvmti, on);
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
    _redefined: jclass,
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
        let Some(changed) = transform::with_probes(agent, &session, &class, bytes) else {
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

fn gettid() -> u32 {
    // SAFETY: a system call without arguments.
    unsafe { libc::gettid() as u32 }
}

/// Class number and identity hash of a monitor's object.
#[derive(Clone, Copy)]
struct Monitor {
    class: u32,
    hash: u32,
}

thread_local! {
    /// The monitor whose contended enter this thread is in. The end of it needs no second look at the object.
    static ENTERING: Cell<Option<Monitor>> = const { Cell::new(None) };
    /// The monitor that this thread waits on.
    static WAITING: Cell<Option<Monitor>> = const { Cell::new(None) };
}

fn monitor_of(agent: &Agent, session: &Session, jni: Jni, object: jobject) -> Monitor {
    let class = jni.class_of(object);
    let signature = agent.jvmti.class_signature(class).unwrap_or_default();
    jni.delete_local(class);
    let number = if signature.is_empty() {
        0
    } else {
        agent.names.class(&signature)
    };
    session.define_class(number, &signature);
    Monitor {
        class: number,
        hash: agent.jvmti.identity_hash(object).unwrap_or(0),
    }
}

/// The monitor of a wait that ends now. A virtual thread may end it on another carrier than it began on.
fn begun(
    of_thread: &'static LocalKey<Cell<Option<Monitor>>>,
    agent: &Agent,
    jni: Jni,
    thread: jthread,
    object: jobject,
) -> Option<Monitor> {
    if !jni.is_virtual(thread) {
        return of_thread.take();
    }
    let session = agent.session().filter(|session| session.sees(jni, thread))?;
    Some(monitor_of(agent, &session, jni, object))
}

unsafe extern "system" fn monitor_contended_enter(
    _: *mut jvmtiEnv,
    env: *mut JNIEnv,
    thread: jthread,
    object: jobject,
) {
    with_agent(env, |agent, jni| {
        let Some(session) = agent.session().filter(|session| session.sees(jni, thread)) else {
            return;
        };
        let monitor = monitor_of(agent, &session, jni, object);
        ENTERING.set(Some(monitor));
        record(JvmRecord::pack(JvmKind::MonitorEnter, monitor.class, monitor.hash));
    });
}

unsafe extern "system" fn monitor_contended_entered(
    _: *mut jvmtiEnv,
    env: *mut JNIEnv,
    thread: jthread,
    object: jobject,
) {
    with_agent(env, |agent, jni| {
        if let Some(monitor) = begun(&ENTERING, agent, jni, thread, object) {
            record(JvmRecord::pack(JvmKind::MonitorEntered, monitor.class, monitor.hash));
        }
    });
}

unsafe extern "system" fn monitor_wait(
    _: *mut jvmtiEnv,
    env: *mut JNIEnv,
    thread: jthread,
    object: jobject,
    _timeout: jlong,
) {
    with_agent(env, |agent, jni| {
        let Some(session) = agent.session().filter(|session| session.sees(jni, thread)) else {
            return;
        };
        let monitor = monitor_of(agent, &session, jni, object);
        WAITING.set(Some(monitor));
        record(JvmRecord::pack(JvmKind::Wait, monitor.class, monitor.hash));
    });
}

unsafe extern "system" fn monitor_waited(
    _: *mut jvmtiEnv,
    env: *mut JNIEnv,
    thread: jthread,
    object: jobject,
    timed_out: jboolean,
) {
    with_agent(env, |agent, jni| {
        if let Some(monitor) = begun(&WAITING, agent, jni, thread, object) {
            record(JvmRecord::pack(
                JvmKind::Waited,
                u32::from(timed_out != 0),
                monitor.hash,
            ));
        }
    });
}

unsafe extern "system" fn garbage_collection_start(_jvmti: *mut jvmtiEnv) {
    guard((), || record(JvmRecord::pack(JvmKind::GcStart, 0, 0)));
}

unsafe extern "system" fn garbage_collection_finish(_jvmti: *mut jvmtiEnv) {
    guard((), || record(JvmRecord::pack(JvmKind::GcFinish, 0, 0)));
}

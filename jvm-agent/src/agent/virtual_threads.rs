//! Virtual threads: when they begin and end, and which carrier runs them when.
//!
//! Probes write into the ring of the carrier, and never look at which thread they run in: records of mounts and unmounts in the same ring tell it. So a method's
//! call costs the same as in any thread, and a hand-off between virtual threads costs two events of the JVM more.
//!
//! The capability is asked for when a session wants it and given back at its end: a JVM without it does not even look whether somebody listens.

#![allow(unsafe_code, reason = "callbacks of the JVM")]

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use jvmti_bindings::sys::jni::{JNIEnv, jthread};
use jvmti_bindings::sys::jvmti::{
    JVMTI_EVENT_VIRTUAL_THREAD_END, JVMTI_EVENT_VIRTUAL_THREAD_START, jvmtiCapabilities, jvmtiEnv, jvmtiEventCallbacks,
    jvmtiExtensionEvent,
};
use plumb_trace::record::{JvmKind, JvmRecord};

use super::Agent;
use super::events::with_agent;
use super::jni::Jni;
use super::probe::record;
use super::{shadow, virtual_names, virtual_waits};

const MOUNT: &CStr = c"com.sun.hotspot.events.VirtualThreadMount";
const UNMOUNT: &CStr = c"com.sun.hotspot.events.VirtualThreadUnmount";

/// The JVM has virtual threads.
static ARE_THERE: AtomicBool = AtomicBool::new(false);

/// Finds out whether the JVM has virtual threads.
pub fn look(jni: Jni) {
    ARE_THERE.store(jni.has_virtual_threads(), Ordering::Release);
}

/// Whether it has; not, before somebody has looked.
pub fn are_there() -> bool {
    ARE_THERE.load(Ordering::Acquire)
}

/// What both of HotSpot's own events give.
type MountEvent = unsafe extern "C" fn(*mut jvmtiEnv, *mut JNIEnv, jthread);

/// Adds the callbacks of JVMTI's own events.
pub fn add_callbacks(callbacks: &mut jvmtiEventCallbacks) {
    callbacks.VirtualThreadStart = Some(started);
    callbacks.VirtualThreadEnd = Some(ended);
}

/// Turns the events on, if the JVM has virtual threads, or off.
pub fn set_events(agent: &Agent, jni: Jni, on: bool) {
    let jvmti = agent.jvmti;
    if on && jvmti.add_capabilities(want).is_err() {
        return;
    }
    if on {
        virtual_names::begin();
    }
    for event in [JVMTI_EVENT_VIRTUAL_THREAD_START, JVMTI_EVENT_VIRTUAL_THREAD_END] {
        let _ = jvmti.set_event(event, on);
    }
    for (id, event) in [(MOUNT, mounted as MountEvent), (UNMOUNT, unmounted)] {
        jvmti.set_extension_event(id, on.then(|| extension(event)));
    }
    if on {
        virtual_names::births_are_told(agent, jni);
    } else {
        let mut capabilities = jvmtiCapabilities::default();
        capabilities.set_can_support_virtual_threads(true);
        let _ = jvmti.relinquish_capabilities(&capabilities);
    }
}

fn want(wanted: &mut jvmtiCapabilities, potential: &jvmtiCapabilities) {
    wanted.set_can_support_virtual_threads(potential.can_support_virtual_threads());
}

/// The JVM keeps such callbacks as functions of any arguments, and calls them with those of the event.
fn extension(event: MountEvent) -> jvmtiExtensionEvent {
    // SAFETY: the three arguments are pointers, which callers pass to a function of any arguments in the same registers on all machines that plumb is built for;
    // HotSpot's own agents define such callbacks the same way.
    unsafe { std::mem::transmute::<MountEvent, jvmtiExtensionEvent>(event) }
}

/// 0: it is not known.
fn java_id(agent: &Agent, jni: Jni, thread: jthread) -> u64 {
    let fields = agent.thread_fields.get();
    fields.map_or(0, |fields| fields.java_id(jni, thread))
}

/// Writes a record of this kind with the virtual thread's id, which is given back.
pub fn tell(agent: &Agent, jni: Jni, kind: JvmKind, thread: jthread) -> u64 {
    let id = java_id(agent, jni, thread);
    if id != 0 {
        record(JvmRecord::pack_id(kind, id));
    }
    id
}

unsafe extern "C" fn mounted(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread) {
    with_agent(env, |agent, jni| {
        let id = tell(agent, jni, JvmKind::Mount, thread);
        virtual_names::mounted(agent, jni, id, thread);
        shadow::mounted(id);
        virtual_waits::mounted(agent, jni, id, thread);
    });
}

unsafe extern "C" fn unmounted(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread) {
    with_agent(env, |agent, jni| {
        let id = tell(agent, jni, JvmKind::Unmount, thread);
        if virtual_names::leaves(agent, jni, id, thread, false) {
            virtual_waits::renamed(id);
        }
        shadow::unmounted(id);
        virtual_waits::unmounted(agent, jni, id, thread);
    });
}

unsafe extern "system" fn started(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread) {
    with_agent(env, |agent, jni| {
        let id = tell(agent, jni, JvmKind::VthreadStart, thread);
        virtual_names::born(agent, jni, id, thread);
    });
}

unsafe extern "system" fn ended(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread) {
    with_agent(env, |agent, jni| {
        // Before its end: who has ended gets no name.
        virtual_names::leaves(agent, jni, java_id(agent, jni, thread), thread, true);
        virtual_waits::ended(tell(agent, jni, JvmKind::VthreadEnd, thread));
    });
}

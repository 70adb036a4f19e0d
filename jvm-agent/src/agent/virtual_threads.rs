//! Virtual threads: when they begin and end, and which carrier runs them when.
//!
//! Probes write into the ring of the carrier, and never look at which thread they run in: records of mounts and unmounts in the same ring tell it. So a method's
//! call costs the same as in any thread, and a hand-off between virtual threads costs two events of the JVM more.
//!
//! The capability is asked for when a session wants it and given back at its end: a JVM without it does not even look whether somebody listens.

#![allow(unsafe_code, reason = "callbacks of the JVM")]

use std::ffi::CStr;

use jvmti_bindings::sys::jni::{JNIEnv, jthread};
use jvmti_bindings::sys::jvmti::{
    JVMTI_EVENT_VIRTUAL_THREAD_END, JVMTI_EVENT_VIRTUAL_THREAD_START, jvmtiCapabilities, jvmtiEnv, jvmtiEventCallbacks,
    jvmtiExtensionEvent,
};
use plumb_trace::definition::Definition;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::Agent;
use super::events::with_agent;
use super::jni::Jni;
use super::jvmti::Jvmti;
use super::probe::record;
use super::{shadow, virtual_waits};

const MOUNT: &CStr = c"com.sun.hotspot.events.VirtualThreadMount";
const UNMOUNT: &CStr = c"com.sun.hotspot.events.VirtualThreadUnmount";

/// What both of HotSpot's own events give.
type MountEvent = unsafe extern "C" fn(*mut jvmtiEnv, *mut JNIEnv, jthread);

/// Adds the callbacks of JVMTI's own events.
pub fn add_callbacks(callbacks: &mut jvmtiEventCallbacks) {
    callbacks.VirtualThreadStart = Some(started);
    callbacks.VirtualThreadEnd = Some(ended);
}

/// Turns the events on, if the JVM has virtual threads, or off.
pub fn set_events(jvmti: Jvmti, on: bool) {
    if on && jvmti.add_capabilities(want).is_err() {
        return;
    }
    for event in [JVMTI_EVENT_VIRTUAL_THREAD_START, JVMTI_EVENT_VIRTUAL_THREAD_END] {
        let _ = jvmti.set_event(event, on);
    }
    for (id, event) in [(MOUNT, mounted as MountEvent), (UNMOUNT, unmounted)] {
        jvmti.set_extension_event(id, on.then(|| extension(event)));
    }
    if !on {
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

fn tell(agent: &Agent, jni: Jni, kind: JvmKind, thread: jthread) -> u64 {
    let id = agent
        .thread_fields
        .get()
        .map_or(0, |fields| fields.java_id(jni, thread));
    if id != 0 {
        record(JvmRecord::pack_id(kind, id));
    }
    id
}

unsafe extern "C" fn mounted(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread) {
    with_agent(env, |agent, jni| {
        let id = tell(agent, jni, JvmKind::Mount, thread);
        shadow::mounted(id);
        virtual_waits::mounted(agent, jni, id, thread);
    });
}

unsafe extern "C" fn unmounted(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread) {
    with_agent(env, |agent, jni| {
        let id = tell(agent, jni, JvmKind::Unmount, thread);
        shadow::unmounted(id);
        virtual_waits::unmounted(agent, jni, id, thread);
    });
}

unsafe extern "system" fn started(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread) {
    with_agent(env, |agent, jni| {
        let id = tell(agent, jni, JvmKind::VthreadStart, thread);
        let info = agent.jvmti.thread_info(jni, thread);
        // Most have no name: spare them the definition.
        if let (Some(session), Ok(info)) = (agent.session(), info)
            && id != 0
            && !info.name.is_empty()
        {
            session.definitions.write(
                session.now(),
                Definition::VirtualThread {
                    java_id: id,
                    name: info.name,
                },
            );
        }
    });
}

unsafe extern "system" fn ended(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread) {
    with_agent(env, |agent, jni| {
        virtual_waits::ended(tell(agent, jni, JvmKind::VthreadEnd, thread));
    });
}

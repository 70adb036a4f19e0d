//! Contended monitors and `Object.wait`: what a thread wants, and that it has it.
//!
//! Threads that contend for a monitor of Java's should not contend for locks of ours as well: a class that the thread met before needs none ([`class_numbers`]).

#![allow(unsafe_code, reason = "callbacks of the JVM")]

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::thread::LocalKey;

use jvmti_bindings::sys::jni::{JNIEnv, jboolean, jlong, jobject, jthread};
use jvmti_bindings::sys::jvmti::{jvmtiEnv, jvmtiEventCallbacks};
use plumb_trace::record::{JvmKind, JvmRecord};

use super::arena::{DISARMED, GATE};
use super::events::with_agent;
use super::jni::Jni;
use super::probe::record;
use super::{Agent, class_numbers};

/// Adds the callbacks.
pub fn add_callbacks(callbacks: &mut jvmtiEventCallbacks) {
    callbacks.MonitorContendedEnter = Some(contended_enter);
    callbacks.MonitorContendedEntered = Some(contended_entered);
    callbacks.MonitorWait = Some(wait);
    callbacks.MonitorWaited = Some(waited);
}

/// Class number and identity hash of a monitor's object.
#[derive(Clone, Copy)]
struct Monitor {
    class: u32,
    hash: u32,
}

/// A monitor that a thread has begun to want in session `epoch`.
#[derive(Clone, Copy)]
struct Begun {
    epoch: u64,
    monitor: Monitor,
}

thread_local! {
    /// The monitor whose contended enter this thread is in. The end of it needs no second look at the object.
    static ENTERING: Cell<Option<Begun>> = const { Cell::new(None) };
    /// The monitor that this thread waits on.
    static WAITING: Cell<Option<Begun>> = const { Cell::new(None) };
}

/// The session that is on; none: nothing is to be told.
fn epoch() -> Option<u64> {
    let epoch = GATE.epoch.load(Ordering::Acquire);
    (epoch != DISARMED).then_some(epoch)
}

fn monitor_of(agent: &'static Agent, jni: Jni, epoch: u64, object: jobject) -> Monitor {
    Monitor {
        class: class_numbers::number_of(agent, jni, epoch, object),
        hash: agent.jvmti.identity_hash(object).unwrap_or(0),
    }
}

/// A thread begins to want a monitor.
fn begin(
    of_thread: &'static LocalKey<Cell<Option<Begun>>>,
    agent: &'static Agent,
    jni: Jni,
    thread: jthread,
    object: jobject,
) -> Option<Monitor> {
    let epoch = epoch()?;
    if jni.is_virtual(thread) {
        return sees_virtual().then(|| monitor_of(agent, jni, epoch, object));
    }
    let monitor = monitor_of(agent, jni, epoch, object);
    of_thread.set(Some(Begun { epoch, monitor }));
    Some(monitor)
}

/// The monitor of a wait that ends now; none if it began in no session, or in an earlier one. A virtual thread may end it on another carrier than it began on.
fn end(
    of_thread: &'static LocalKey<Cell<Option<Begun>>>,
    agent: &'static Agent,
    jni: Jni,
    thread: jthread,
    object: jobject,
) -> Option<Monitor> {
    let epoch = epoch()?;
    if jni.is_virtual(thread) {
        return sees_virtual().then(|| monitor_of(agent, jni, epoch, object));
    }
    let begun = of_thread.take()?;
    (begun.epoch == epoch).then_some(begun.monitor)
}

fn sees_virtual() -> bool {
    GATE.virtual_threads.load(Ordering::Relaxed)
}

unsafe extern "system" fn contended_enter(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread, object: jobject) {
    with_agent(env, |agent, jni| {
        if let Some(Monitor { class, hash }) = begin(&ENTERING, agent, jni, thread, object) {
            record(JvmRecord::pack(JvmKind::MonitorEnter, class, hash));
        }
    });
}

unsafe extern "system" fn contended_entered(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread, object: jobject) {
    with_agent(env, |agent, jni| {
        if let Some(Monitor { class, hash }) = end(&ENTERING, agent, jni, thread, object) {
            record(JvmRecord::pack(JvmKind::MonitorEntered, class, hash));
        }
    });
}

unsafe extern "system" fn wait(_: *mut jvmtiEnv, env: *mut JNIEnv, thread: jthread, object: jobject, _timeout: jlong) {
    with_agent(env, |agent, jni| {
        if let Some(Monitor { class, hash }) = begin(&WAITING, agent, jni, thread, object) {
            record(JvmRecord::pack(JvmKind::Wait, class, hash));
        }
    });
}

unsafe extern "system" fn waited(
    _: *mut jvmtiEnv,
    env: *mut JNIEnv,
    thread: jthread,
    object: jobject,
    timed_out: jboolean,
) {
    with_agent(env, |agent, jni| {
        if let Some(Monitor { hash, .. }) = end(&WAITING, agent, jni, thread, object) {
            record(JvmRecord::pack(JvmKind::Waited, u32::from(timed_out != 0), hash));
        }
    });
}

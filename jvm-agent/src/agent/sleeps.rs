//! `Thread.sleep` where it is a native method (before JDK 19): bytecode cannot be put into it, but JNI may give it another function, at any time and for all its callers.
//!
//! Ours tells of the sleep and calls libjvm's `JVM_Sleep`, which is what `java.lang.Thread` itself has registered. Whoever sleeps when the session ends returns through our function
//! later: the library stays mapped.
//!
//! The JVM warns of a platform's native that code from elsewhere registers again: so it is done in a native that a class of the boot loader calls ([`helper::relay`]).

#![allow(unsafe_code, reason = "gives a native method another function")]

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::{mem, ptr};

use jvmti_bindings::sys::jni::{JNIEnv, jclass, jlong};
use plumb_trace::record::{JvmKind, JvmRecord};

use super::jni::Jni;
use super::probe::record;
use super::vmstructs::Library;
use super::{Agent, helper, sites};

const THREAD: &std::ffi::CStr = c"java/lang/Thread";
const NAME: &std::ffi::CStr = c"sleep";
const DESCRIPTOR: &std::ffi::CStr = c"(J)V";

type Sleep = unsafe extern "system" fn(*mut JNIEnv, jclass, jlong);

/// libjvm's `JVM_Sleep`, once it was needed.
static ORIGINAL: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
/// Ours is registered.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// Has sleeps told from now on, if `Thread.sleep` is a native method. What cannot be had leaves it as it is.
pub fn watch(agent: &Agent, jni: Jni) {
    if IS_OURS.load(Ordering::Acquire) || !is_native(agent, jni) {
        return;
    }
    let original = Library::of(agent.libjvm as *const c_void).and_then(|library| library.symbol(c"JVM_Sleep"));
    if let Some(original) = original {
        ORIGINAL.store(original as *mut c_void, Ordering::Release);
        helper::relay(jni, sites::WATCH_SLEEPS);
    }
}

/// Gives `Thread.sleep` its own function back.
pub fn leave(jni: Jni) {
    if IS_OURS.load(Ordering::Acquire) {
        helper::relay(jni, sites::LEAVE_SLEEPS);
    }
}

fn is_native(agent: &Agent, jni: Jni) -> bool {
    let Some(class) = jni.find_class(THREAD) else {
        return false;
    };
    let method = jni.static_method(class, NAME, DESCRIPTOR);
    jni.delete_local(class);
    method.is_some_and(|method| agent.jvmti.is_native(method))
}

/// Registers ours or the JVM's own. To be called by a native that a class of the boot loader calls.
///
/// # Safety
/// `env` is what the JVM gave the calling thread.
pub unsafe fn register(env: *mut JNIEnv, ours: bool) {
    let original = ORIGINAL.load(Ordering::Acquire);
    // SAFETY: by contract; used in this call only.
    let (Some(jni), false) = (unsafe { Jni::new(env) }, original.is_null()) else {
        return;
    };
    let Some(class) = jni.find_class(THREAD) else { return };
    let function = if ours { sleep as *mut c_void } else { original };
    // SAFETY: both functions take what the JVM passes to a static native method of this descriptor, and stay mapped for the process's life.
    if unsafe { jni.register_native(class, NAME, DESCRIPTOR, function) } {
        IS_OURS.store(ours, Ordering::Release);
    }
    jni.delete_local(class);
}

unsafe extern "system" fn sleep(env: *mut JNIEnv, class: jclass, milliseconds: jlong) {
    // SAFETY: the function that `watch` found under the name of what the JVM declares so, not null before ours was registered.
    let original = unsafe { mem::transmute::<*mut c_void, Sleep>(ORIGINAL.load(Ordering::Acquire)) };
    record(JvmRecord::pack(JvmKind::Sleep, 0, 0));
    // SAFETY: the JVM's own arguments. It may leave an exception pending, which the caller throws when we return.
    unsafe { original(env, class, milliseconds) };
    record(JvmRecord::pack(JvmKind::Slept, 0, 0));
}

//! `java.lang.PlumbProbe`: the class whose natives the probes call. Defined once, in the boot loader, where every loader sees it.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use jvmti_bindings::sys::jni::{jclass, jvalue};

use super::jni::Jni;
use crate::rewrite::{Probes, RELAY, helper_class};

/// The class is ours, from this library.
static IS_DEFINED: AtomicBool = AtomicBool::new(false);
/// Its natives have been found: for good, since the boot loader's classes stay.
static IS_BOUND: AtomicBool = AtomicBool::new(false);

const NAME: &CStr = c"java/lang/PlumbProbe";
/// How often binding is tried: the JVM looks into our library only after `Agent_OnAttach` has returned.
const ATTEMPTS: u32 = 500;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(10);
/// An id that no method has; the natives are called with it once, while nothing is recorded.
const NO_METHOD: i32 = -1;

/// Defines the class and calls each native once, so that no probe is the first to look for it.
///
/// # Errors
/// One line of reason.
pub fn bind(jni: Jni) -> Result<(), String> {
    try_bind(jni, ATTEMPTS)
}

/// As [`bind`], without patience: for the JVM's start, where the library is known already.
///
/// # Errors
/// One line of reason.
pub fn bind_now(jni: Jni) -> Result<(), String> {
    try_bind(jni, 1)
}

fn try_bind(jni: Jni, attempts: u32) -> Result<(), String> {
    if IS_BOUND.load(Ordering::Acquire) {
        // Not called again: at a JVM's start the gate may be open by now, and what natives are called for would be recorded.
        return Ok(());
    }
    let class = find_or_define(jni).ok_or(
        "the JVM does not take the class java.lang.PlumbProbe: perhaps it has it from another copy of plumb's agent",
    )?;
    let bound = is_bound(jni, class)
        || (1..attempts).any(|_| {
            thread::sleep(BETWEEN_ATTEMPTS);
            is_bound(jni, class)
        });
    jni.delete_local(class);
    IS_BOUND.store(bound, Ordering::Release);
    if bound {
        Ok(())
    } else {
        Err("the JVM does not find the probes' natives in the agent's library".to_owned())
    }
}

/// Has the helper class call `enter` with this id: for what only a native may do that is called by a class of the boot loader.
pub fn relay(jni: Jni, id: i32) {
    let (Some(class), Ok(name)) = (jni.find_class(NAME), CString::new(RELAY)) else {
        return;
    };
    jni.call_static(class, &name, c"(I)V", &[jvalue { i: id }]);
    jni.delete_local(class);
}

fn find_or_define(jni: Jni) -> Option<jclass> {
    let define = || jni.define_boot_class(NAME, &helper_class(&Probes::PLUMB)?);
    if IS_DEFINED.load(Ordering::Acquire) {
        return jni.find_class(NAME);
    }
    let class = define();
    IS_DEFINED.store(class.is_some(), Ordering::Release);
    class
}

fn is_bound(jni: Jni, class: jclass) -> bool {
    let id = jvalue { i: NO_METHOD };
    let null = jvalue {
        l: std::ptr::null_mut(),
    };
    let natives: [(&CStr, &CStr, &[jvalue]); 7] = [
        (c"enter", c"(I)V", &[id]),
        (c"exit", c"(I)V", &[id]),
        (c"thrown", c"(I)V", &[id]),
        (c"parks", c"(Ljava/lang/Object;)V", &[null]),
        (c"text", c"(Ljava/lang/String;I)V", &[null, id]),
        (c"number", c"(JI)V", &[jvalue { j: 0 }, id]),
        (c"given", c"(Ljava/lang/Object;I)V", &[null, id]),
    ];
    natives
        .iter()
        .all(|(name, signature, arguments)| jni.call_static(class, name, signature, arguments))
}

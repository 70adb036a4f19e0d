//! Samples of what is allocated, counted by class and place: JVMTI gives one object of each half megabyte or so.
//!
//! The JVM takes a sample every [`INTERVAL_BYTES`] in the mean, at places that nobody can foretell. An object is one with a probability that grows with its size, `1 - exp(-size / interval)`, and so
//! stands for its size divided by that: a small object for the interval, a very large one for itself.
//! Only one agent of a JVM can have these events.

#![allow(unsafe_code, reason = "callback of the JVM")]

use jvmti_bindings::sys::jni::{JNIEnv, jclass, jlong, jobject, jthread};
use jvmti_bindings::sys::jvmti::{JVMTI_EVENT_SAMPLED_OBJECT_ALLOC, jvmtiCapabilities, jvmtiEnv, jvmtiEventCallbacks};
use plumb_trace::record::{JvmKind, JvmRecord};

use super::events::with_agent;
use super::jvmti::Jvmti;
use super::names::readable;
use super::places::{ALLOCATION_UNIT_BYTES, Origin, What};
use super::probe::record;
use super::session::Session;

/// Bytes between two samples in the mean, JVMTI's default.
const INTERVAL_BYTES: u64 = 512 << 10;
/// Frames that are looked at.
const FRAMES: usize = 32;

/// Adds the callback.
pub fn add_callbacks(callbacks: &mut jvmtiEventCallbacks) {
    callbacks.SampledObjectAlloc = Some(sampled);
}

/// Asks for the samples. Where they cannot be had, that is told.
pub fn watch(jvmti: Jvmti, session: &Session) {
    let has_all = jvmti.add_capabilities(want).is_ok()
        && jvmti.set_sampling_interval(INTERVAL_BYTES).is_ok()
        && jvmti.set_event(JVMTI_EVENT_SAMPLED_OBJECT_ALLOC, true).is_ok();
    if !has_all {
        session.note_left_alone(
            "(allocations)",
            "",
            "the JVM gives no samples of them: it is too old, or another agent has them",
        );
    }
}

/// Gives them up.
pub fn leave(jvmti: Jvmti) {
    let _ = jvmti.set_event(JVMTI_EVENT_SAMPLED_OBJECT_ALLOC, false);
    let mut capabilities = jvmtiCapabilities::default();
    capabilities.set_can_generate_sampled_object_alloc_events(true);
    let _ = jvmti.relinquish_capabilities(&capabilities);
}

fn want(wanted: &mut jvmtiCapabilities, potential: &jvmtiCapabilities) {
    let can = potential.can_generate_sampled_object_alloc_events();
    wanted.set_can_generate_sampled_object_alloc_events(can);
}

unsafe extern "system" fn sampled(
    _: *mut jvmtiEnv,
    env: *mut JNIEnv,
    _thread: jthread,
    _object: jobject,
    class: jclass,
    bytes: jlong,
) {
    with_agent(env, |agent, jni| {
        let (Some(session), Ok(signature)) = (agent.session(), agent.jvmti.class_signature(class)) else {
            return;
        };
        let frames = agent.jvmti.own_stack(FRAMES).unwrap_or_default();
        let method = Origin::of(agent.jvmti, jni, &frames).method;
        let (definitions, at) = (&session.definitions, session.now());
        let place = session
            .places
            .number(definitions, at, What::Allocations, readable(&signature), method);
        record(JvmRecord::pack(JvmKind::Counted, units(bytes), place));
    });
}

/// What a sampled object of so many bytes stands for.
fn units(bytes: jlong) -> u32 {
    let bytes = bytes.max(1) as f64;
    let probability = -(-bytes / INTERVAL_BYTES as f64).exp_m1();
    // A cast of what is too large gives the largest number.
    let units = (bytes / probability / ALLOCATION_UNIT_BYTES as f64).round() as u32;
    units.min(JvmRecord::DETAIL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_stands_for_the_interval_or_for_itself() {
        assert_eq!((units(24), units(0), units(-1)), (512, 512, 512));
        // 1 / (1 - 1/e) of them.
        assert_eq!(units(512 << 10), 810);
        assert_eq!((units(10 << 20), units(100 << 20)), (10 << 10, 100 << 10));
        assert_eq!(units(i64::MAX), JvmRecord::DETAIL_MAX);
    }
}

//! Samples of what is allocated, counted by class and place: JVMTI gives one object of each half megabyte or so.
//!
//! A sample stands for the bytes between it and the one before it, [`INTERVAL_BYTES`] in the mean; a larger object for itself.
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
    let bytes = u64::try_from(bytes).unwrap_or(0).max(INTERVAL_BYTES);
    let units = bytes.div_ceil(ALLOCATION_UNIT_BYTES);
    u32::try_from(units).unwrap_or(u32::MAX).min(JvmRecord::DETAIL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_stands_for_the_interval_or_for_itself() {
        assert_eq!((units(24), units(512 << 10)), (512, 512));
        assert_eq!((units((10 << 20) + 1), units(-1)), (10 * 1024 + 1, 512));
        assert_eq!(units(i64::MAX), JvmRecord::DETAIL_MAX);
    }
}

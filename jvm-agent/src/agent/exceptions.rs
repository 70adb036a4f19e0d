//! Exceptions that are made, counted by class and place: by a probe in `Throwable.fillInStackTrace`, which constructors of exceptions call.
//!
//! Those without a stack trace (made so, or thrown by compiled code that the JVM spares it) are not seen. The JVM's own event of exceptions cannot be had by an agent that attaches, and
//! slows compiled code.

#![allow(unsafe_code, reason = "the JVM's environment comes as a pointer")]

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;

use jvmti_bindings::sys::jni::JNIEnv;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::Agent;
use super::arena::{DISARMED, GATE};
use super::jni::Jni;
use super::jvmti::Frame;
use super::names::readable;
use super::places::{Origin, What};
use super::probe::record;

/// Frames that are looked at first: each costs a third of a microsecond, and these nearly always tell.
const FIRST_FRAMES: usize = 8;
/// Frames that are looked at where the first do not reach out of the JDK.
const FRAMES: usize = 24;
/// In the place of a place's number: the stack goes on in the JDK.
const UNDECIDED: u32 = u32::MAX;
/// The probe itself and `fillInStackTrace`.
const OWN_FRAMES: usize = 2;
/// Stacks that a thread remembers the place of.
const REMEMBERED: usize = 16;

thread_local! {
    /// Hashes of the stacks (with the session) that exceptions were made on last, and their places.
    static RECENT: [Cell<(u64, u32)>; REMEMBERED] = const { [const { Cell::new((0, 0)) }; REMEMBERED] };
}

/// The calling thread makes an exception.
///
/// # Safety
/// `env` is what the JVM gave the probe that calls us.
pub unsafe fn made(env: *mut JNIEnv) {
    let epoch = GATE.epoch.load(Ordering::Acquire);
    // SAFETY: by contract; used in this call only.
    let (Some(agent), Some(jni)) = (Agent::get(), unsafe { Jni::new(env) }) else {
        return;
    };
    if epoch == DISARMED {
        return;
    }
    let mut place = place_of_stack(agent, jni, epoch, FIRST_FRAMES);
    if place == UNDECIDED {
        place = place_of_stack(agent, jni, epoch, FRAMES);
    }
    if place != 0 {
        record(JvmRecord::pack(JvmKind::Counted, 1, place));
    }
}

/// Where the calling thread's exception comes from, as its so many topmost frames tell.
fn place_of_stack(agent: &'static Agent, jni: Jni, epoch: u64, frames_max: usize) -> u32 {
    let frames = agent.jvmti.own_stack(frames_max).unwrap_or_default();
    let goes_on = frames.len() == frames_max && frames_max < FRAMES;
    let hash = hash_of(epoch, &frames);
    RECENT.with(|recent| {
        let recent = &recent[hash as usize % REMEMBERED];
        if recent.get().0 != hash {
            let frames = frames.get(OWN_FRAMES..).unwrap_or_default();
            recent.set((hash, place(agent, jni, frames, goes_on)));
        }
        recent.get().1
    })
}

/// Methods are told apart by their ids, which are compared and never used again.
fn hash_of(epoch: u64, frames: &[Frame]) -> u64 {
    let mut hasher = DefaultHasher::new();
    epoch.hash(&mut hasher);
    for Frame { method, location } in frames {
        (*method as usize, *location).hash(&mut hasher);
    }
    // 0 is nobody's.
    hasher.finish() | 1
}

/// The frames begin with the exception's constructors, from the farthest superclass's on, and before them with `fillInStackTrace` where a subclass has its own, as `NullPointerException` has. `goes_on`: there are more below these.
fn place(agent: &'static Agent, jni: Jni, frames: &[Frame], goes_on: bool) -> u32 {
    let Some(session) = agent.session() else { return 0 };
    let mut class = String::new();
    let mut own = 0;
    for frame in frames {
        let Some(signature) = exception_made_by(agent, jni, frame) else {
            break;
        };
        class = signature;
        own += 1;
    }
    let origin = Origin::of(agent.jvmti, jni, &frames[own..]);
    if goes_on && !origin.is_outside_the_jdk {
        return UNDECIDED;
    }
    let class = if class.is_empty() { class } else { readable(&class) };
    session.places.number(
        &session.definitions,
        session.now(),
        What::Exceptions,
        class,
        origin.method,
    )
}

/// Signature of the class whose constructor or `fillInStackTrace` the frame is in, if it is one of exceptions.
fn exception_made_by(agent: &Agent, jni: Jni, frame: &Frame) -> Option<String> {
    let jvmti = agent.jvmti;
    let name = jvmti.method_name(frame.method).ok()?;
    if name != "<init>" && name != "fillInStackTrace" {
        return None;
    }
    let class = jvmti.declaring_class(frame.method).ok()?;
    let throwable = jni.find_class(c"java/lang/Throwable")?;
    let is_exception = jni.is_subclass(class, throwable);
    let signature = is_exception.then(|| jvmti.class_signature(class).ok()).flatten();
    jni.delete_local(class);
    jni.delete_local(throwable);
    signature
}

//! Native methods of `java.lang.Thread` that get functions of ours: what they are called for is told without a change to the class.
//!
//! | method | until | feature | what is told |
//! | --- | --- | --- | --- |
//! | `sleep`, `sleep0`, `sleepNanos0` | JDK 18, 22, today | sleeps | sleep, slept |
//! | `setNativeName` | today | threads | a thread has another name (since JDK 19: the calling one, see [`hears_all_renames`]) |
//!
//! JNI may give a native method another function, at any time and for all its callers. Ours calls the function of libjvm's that `java.lang.Thread` itself has registered. Whoever sleeps when the session ends
//! returns through our function later: the library stays mapped.
//!
//! A changed `java.lang.Thread` would stay in the JVM's memory: HotSpot frees no version of a class whose native methods have compiled wrappers. Bytecode
//! probes stand there only where virtual threads are recorded, whose sleeps and renames come to no native method ([`super::sites`]).
//!
//! The JVM warns of a platform's native that code from elsewhere registers again: so it is done in a native that a class of the boot loader calls ([`helper::relay`]).

#![allow(unsafe_code, reason = "gives native methods other functions")]

use std::ffi::{CStr, c_void};
use std::mem;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use jvmti_bindings::sys::jni::{JNIEnv, jclass, jlong, jobject};
use plumb_filters::matcher::JvmFeatures;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::jni::Jni;
use super::jvmti::Jvmti;
use super::probe::record;
use super::release::is_at_least;
use super::vmstructs::Library;
use super::{Agent, helper, sites, wake};

const THREAD: &CStr = c"java/lang/Thread";
/// The helper class is asked by two ids for each method, this one and those above: the first has our function registered, the second the JVM's. No probe has such an id.
const IDS_FROM: i32 = -64;

type Sleep = unsafe extern "system" fn(*mut JNIEnv, jclass, jlong);
type SetNativeName = unsafe extern "system" fn(*mut JNIEnv, jobject, jobject);

/// A native method, by the names that it had in the course of time, with libjvm's function of each.
struct Native {
    names: &'static [(&'static CStr, &'static CStr)],
    descriptor: &'static CStr,
    is_wanted: fn(JvmFeatures) -> bool,
    /// Looked for once in the JVM's life.
    found: OnceLock<Option<Found>>,
    /// Ours is registered.
    is_ours: AtomicBool,
}

/// Under which name this JVM has it.
struct Found {
    name: &'static CStr,
    /// libjvm's function.
    original: usize,
}

const SLEEP: usize = 0;
const RENAME: usize = 1;

static NATIVES: [Native; 2] = [
    Native {
        names: &[
            (c"sleep", c"JVM_Sleep"),
            (c"sleep0", c"JVM_Sleep"),
            (c"sleepNanos0", c"JVM_SleepNanos"),
        ],
        descriptor: c"(J)V",
        is_wanted: |features| features.sleeps,
        found: OnceLock::new(),
        is_ours: AtomicBool::new(false),
    },
    Native {
        names: &[(c"setNativeName", c"JVM_SetNativeThreadName")],
        descriptor: c"(Ljava/lang/String;)V",
        is_wanted: |features| features.threads,
        found: OnceLock::new(),
        is_ours: AtomicBool::new(false),
    },
];

/// Has told from now on what these features want and no bytecode probe tells, and nothing else. What cannot be had leaves the method as it is.
pub fn go_by(agent: &Agent, jni: Jni, features: JvmFeatures) {
    for (id, native) in (IDS_FROM..).step_by(2).zip(&NATIVES) {
        let is_wanted = (native.is_wanted)(features) && !sites::tells_of_threads(features);
        if is_wanted == native.is_ours.load(Ordering::Acquire) {
            continue;
        }
        if !is_wanted {
            helper::relay(jni, id + 1);
        } else if native.found.get_or_init(|| native.find(agent, jni)).is_some() {
            helper::relay(jni, id);
        }
    }
}

/// Whether each rename of a platform thread is heard of: `Thread.setName` tells the JVM of every thread's before JDK 19, and of the calling thread's own since.
pub fn hears_all_renames(jvmti: Jvmti) -> bool {
    NATIVES[RENAME].is_ours.load(Ordering::Acquire) && !is_at_least(jvmti, 19)
}

/// Whether the helper class is asked for us.
pub fn is_id(id: i32) -> bool {
    native_of(id).is_some()
}

fn native_of(id: i32) -> Option<&'static Native> {
    let index = usize::try_from(id.checked_sub(IDS_FROM)?).ok()? / 2;
    NATIVES.get(index)
}

/// Registers ours or the JVM's own, as the id says. To be called by a native that a class of the boot loader calls.
///
/// # Safety
/// `env` is what the JVM gave the calling thread.
pub unsafe fn register(env: *mut JNIEnv, id: i32) {
    // SAFETY: by contract; used in this call only.
    let (Some(jni), Some(native)) = (unsafe { Jni::new(env) }, native_of(id)) else {
        return;
    };
    let (Some(found), Some(class)) = (native.found.get().and_then(Option::as_ref), jni.find_class(THREAD)) else {
        return;
    };
    let ours = (id - IDS_FROM) % 2 == 0;
    let function = if ours {
        native.ours()
    } else {
        found.original as *mut c_void
    };
    // SAFETY: both functions take what the JVM passes to a native method of this descriptor, and stay mapped for the process's life.
    if unsafe { jni.register_native(class, found.name, native.descriptor, function) } {
        native.is_ours.store(ours, Ordering::Release);
    }
    jni.delete_local(class);
}

impl Native {
    fn find(&self, agent: &Agent, jni: Jni) -> Option<Found> {
        let library = Library::of(agent.libjvm as *const c_void)?;
        let (name, symbol) = self.name_in(agent, jni)?;
        let original = library.symbol(symbol)? as usize;
        Some(Found { name, original })
    }

    fn name_in(&self, agent: &Agent, jni: Jni) -> Option<(&'static CStr, &'static CStr)> {
        let class = jni.find_class(THREAD)?;
        let methods = agent.jvmti.class_methods(class).unwrap_or_default();
        let natives: Vec<_> = methods
            .into_iter()
            .filter(|method| agent.jvmti.is_native(*method))
            .filter_map(|method| agent.jvmti.method_signature(method).ok())
            .collect();
        jni.delete_local(class);
        let is_there = |name: &CStr| {
            natives.iter().any(|(own, descriptor)| {
                own.as_bytes() == name.to_bytes() && descriptor.as_bytes() == self.descriptor.to_bytes()
            })
        };
        self.names.iter().find(|(name, _)| is_there(name)).copied()
    }

    fn ours(&self) -> *mut c_void {
        if std::ptr::eq(self, &raw const NATIVES[SLEEP]) {
            sleep as *mut c_void
        } else {
            set_native_name as *mut c_void
        }
    }

    /// libjvm's function; to be asked only in ours, which is registered after it was found.
    fn original(&self) -> Option<usize> {
        let found = self.found.get()?.as_ref()?;
        Some(found.original)
    }
}

unsafe extern "system" fn sleep(env: *mut JNIEnv, class: jclass, time: jlong) {
    let Some(original) = NATIVES[SLEEP].original() else {
        return;
    };
    // SAFETY: the function that libjvm has under the name of what the JVM declares so.
    let original = unsafe { mem::transmute::<usize, Sleep>(original) };
    record(JvmRecord::pack(JvmKind::Sleep, 0, 0));
    // SAFETY: the JVM's own arguments. It may leave an exception pending, which the caller throws when we return.
    unsafe { original(env, class, time) };
    record(JvmRecord::pack(JvmKind::Slept, 0, 0));
}

unsafe extern "system" fn set_native_name(env: *mut JNIEnv, thread: jobject, name: jobject) {
    let Some(original) = NATIVES[RENAME].original() else {
        return;
    };
    // SAFETY: as above.
    let original = unsafe { mem::transmute::<usize, SetNativeName>(original) };
    // SAFETY: the JVM's own arguments.
    unsafe { original(env, thread, name) };
    wake::renamed();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_two_ids_and_nobody_else_has_them() {
        let of = |id| native_of(id).map(|native| native.descriptor);
        let [sleep, rename] = [Some(c"(J)V"), Some(c"(Ljava/lang/String;)V")];
        assert_eq!(
            [0, 1, 2, 3, 4].map(|more| of(IDS_FROM + more)),
            [sleep, sleep, rename, rename, None]
        );
        assert!(
            [-1, 0, 1, IDS_FROM - 1, i32::MIN, i32::MAX]
                .iter()
                .all(|id| !is_id(*id))
        );
    }
}

//! Methods of the JDK whose calls are no calls but states of a thread, and the probe ids that tell so.
//!
//! | method | feature | what its probes tell |
//! | --- | --- | --- |
//! | `Thread.setName` | threads with virtual_threads | a thread has another name |
//! | `Thread.sleep` (where it is not native: since JDK 19) | sleeps with virtual_threads | sleep, slept |
//! | `LockSupport.park`, `parkNanos`, `parkUntil` | parks | park with the blocker's class, unparked |
//! | `VirtualThread.submitRunContinuation` and the like | virtual_threads | one may go on, see [`virtual_ready`] |
//! | `Throwable.fillInStackTrace` | exceptions | an exception is made, see [`exceptions`] |
//! | `ThreadPoolExecutor.getTask`, `ForkJoinPool.awaitWork` | parks | idle, busy |
//!
//! All of them are loaded and probed at the session's begin, so that none needs the class-file hook. Sleeps and renames where virtual threads are not recorded: [`natives`].

#![allow(unsafe_code, reason = "hands the JVM's environment on")]

use std::ffi::CStr;

use jvmti_bindings::sys::jni::JNIEnv;
use plumb_filters::matcher::JvmFeatures;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::barrier::guard;
use super::probe::{own_tid, record};
use super::{exceptions, handover, idlers, natives, virtual_names, virtual_ready, virtual_threads, wake};
use crate::rewrite::{Begin, Choice};

const RENAME: i32 = 0;
// -1 is nobody's (`helper`).
const PARK: i32 = -2;
const SLEEP: i32 = -3;
const IDLE: i32 = -4;
const EXCEPTION: i32 = -5;

struct Site {
    /// With dots, as the JVM's `Class.forName` wants it.
    class: &'static CStr,
    is_wanted: fn(JvmFeatures) -> bool,
    methods: &'static [&'static str],
    id: i32,
}

const SITES: [Site; 7] = [
    Site {
        class: c"java.lang.Thread",
        is_wanted: hears_renames,
        methods: &["setName"],
        id: RENAME,
    },
    Site {
        class: c"java.lang.Thread",
        is_wanted: |features| features.sleeps && tells_of_threads(features),
        methods: &["sleep"],
        id: SLEEP,
    },
    Site {
        class: c"java.util.concurrent.locks.LockSupport",
        is_wanted: |features| features.parks,
        methods: &["park", "parkNanos", "parkUntil"],
        id: PARK,
    },
    Site {
        class: c"java.util.concurrent.ThreadPoolExecutor",
        is_wanted: |features| features.parks,
        methods: &["getTask"],
        id: IDLE,
    },
    Site {
        class: c"java.util.concurrent.ForkJoinPool",
        is_wanted: |features| features.parks,
        methods: &["awaitWork"],
        id: IDLE,
    },
    Site {
        class: c"java.lang.Throwable",
        is_wanted: |features| features.exceptions,
        methods: &["fillInStackTrace"],
        id: EXCEPTION,
    },
    Site {
        class: c"java.lang.VirtualThread",
        is_wanted: |features| features.virtual_threads,
        methods: &virtual_ready::METHODS,
        id: virtual_ready::ID,
    },
];

impl Site {
    fn is_of(&self, class: &str) -> bool {
        let bytes = self.class.to_bytes();
        let same = |(one, other): (&u8, u8)| *one == other || (*one == b'.' && other == b'/');
        bytes.len() == class.len() && bytes.iter().zip(class.bytes()).all(same)
    }
}

/// Whether sleeps and renames are told by probes in `Thread`, not by [`natives`]: only virtual threads need them, where there are any.
pub fn tells_of_threads(features: JvmFeatures) -> bool {
    features.virtual_threads && virtual_threads::are_there()
}

/// Whether `Thread.setName` has probes for these features.
pub fn hears_renames(features: JvmFeatures) -> bool {
    features.threads && tells_of_threads(features)
}

/// The classes that get probes for these features, with dots; one may come twice.
pub fn classes(features: JvmFeatures) -> impl Iterator<Item = &'static CStr> {
    SITES
        .iter()
        .filter(move |site| (site.is_wanted)(features))
        .map(|site| site.class)
}

/// Whether the class (internal name) is one of them.
pub fn is_site_class(features: JvmFeatures, class: &str) -> bool {
    SITES.iter().any(|site| (site.is_wanted)(features) && site.is_of(class))
}

/// The probes of a method that is one of these.
pub fn choice(features: JvmFeatures, class: &str, method: &str, descriptor: &str) -> Option<Choice> {
    let is_it = |site: &&Site| (site.is_wanted)(features) && site.is_of(class) && site.methods.contains(&method);
    let site = SITES.iter().find(is_it)?;
    match site.id {
        RENAME if descriptor != "(Ljava/lang/String;)V" => None,
        PARK => Some(Choice {
            id: PARK.cast_unsigned(),
            begin: Begin::Object,
        }),
        virtual_ready::ID => virtual_ready::choice(descriptor),
        id => Some(id.cast_unsigned().into()),
    }
}

/// Whether a thread in this method of the JDK's has nothing to do.
pub fn is_idle_method(class: &str, method: &str) -> bool {
    let is_it = |site: &Site| site.id == IDLE && site.is_of(class) && site.methods.contains(&method);
    SITES.iter().any(is_it)
}

/// The probes of a method in which a thread has nothing to do.
pub fn idle() -> Choice {
    IDLE.cast_unsigned().into()
}

/// Such a method begins. `env` is what the JVM gave the probe.
#[cold]
pub fn begin(env: *mut JNIEnv, id: i32) {
    match id {
        SLEEP => record(JvmRecord::pack(JvmKind::Sleep, 0, 0)),
        IDLE => {
            record(JvmRecord::pack(JvmKind::Idle, 0, 0));
            idlers::begins(own_tid());
        }
        // SAFETY: the JVM gave `env` to the probe that calls us.
        EXCEPTION => guard((), || unsafe { exceptions::made(env) }),
        // SAFETY: the JVM gave `env` to the probe that calls us.
        _ if natives::is_id(id) => guard((), || unsafe { natives::register(env, id) }),
        // A rename counts at its end, a park begins in `parks`.
        _ => {}
    }
}

/// Such a method ends, one way or the other.
#[cold]
pub fn end(id: i32) {
    match id {
        RENAME => {
            wake::renamed();
            virtual_names::renamed();
        }
        PARK => record(JvmRecord::pack(JvmKind::Unparked, 0, 0)),
        SLEEP => record(JvmRecord::pack(JvmKind::Slept, 0, 0)),
        IDLE => {
            record(JvmRecord::pack(JvmKind::Busy, 0, 0));
            idlers::ends(own_tid());
        }
        _ => handover::end(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_methods_tell_what() {
        let parks = JvmFeatures {
            parks: true,
            ..JvmFeatures::default()
        };
        let park = choice(parks, "java/util/concurrent/locks/LockSupport", "parkNanos", "(J)V");
        assert_eq!(
            park.map(|choice| (choice.id, choice.begin)),
            Some((PARK.cast_unsigned(), Begin::Object))
        );
        let task = choice(
            parks,
            "java/util/concurrent/ThreadPoolExecutor",
            "getTask",
            "()Ljava/lang/Runnable;",
        );
        assert_eq!(task, Some(idle()));
        assert_eq!(choice(parks, "java/lang/Thread", "sleep", "(J)V"), None);
        assert!(!is_site_class(parks, "java/lang/Thread") && !is_site_class(parks, "java/util/concurrent/ForkJoinPoo"));
        assert_eq!(classes(JvmFeatures::default()).count(), 0);
        let virtual_threads = JvmFeatures {
            virtual_threads: true,
            ..JvmFeatures::default()
        };
        let given = |features, method| choice(features, "java/lang/VirtualThread", method, "()V");
        assert!(
            given(virtual_threads, "lazySubmitRunContinuation").is_some_and(|choice| choice.begin == Begin::Given(0))
        );
        assert_eq!(given(virtual_threads, "runContinuation"), None);
        assert_eq!(given(parks, "lazySubmitRunContinuation"), None);
    }
}

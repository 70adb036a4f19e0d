//! Where tasks are handed from one thread to another: methods of the JDK's pools, and of Tomcat's, that get probes where a rule's units are to be followed through them.
//!
//! | method | what its probes tell |
//! | --- | --- |
//! | `ThreadPoolExecutor.execute` | its task is handed over |
//! | `ThreadPoolExecutor.beforeExecute`, `afterExecute` | that task runs, it has run |
//! | `ThreadPoolExecutor.reject` | that task will not run |
//! | `ThreadPoolExecutor.getTask` | whatever ran there has run (idle, busy) |
//! | `ForkJoinPool.WorkQueue.push`, `lockedPush`, `ForkJoinTask.invoke`, `quietlyInvoke`, `invokeAll` of two | its task is handed over (be it to the same thread) |
//! | `ForkJoinTask.doExec` | that task runs, it has run |
//! | `VirtualThread.start` | that thread is started by this one |
//!
//! `CompletableFuture`'s tasks go through these. Which unit a thread works for is not known here: every hand-over is told, and the merger matches them. A task is known by its identity
//! hash, which costs the JVM some tens of nanoseconds, lasts as long as the object, and is the same for two objects that live at once about once in 2^31.
//!
//! A pool that overrides `beforeExecute` without calling `super` tells nothing of its tasks, and they are not linked. Tasks with a delay are not followed.

#![allow(unsafe_code, reason = "the JVM calls in here")]

use std::ffi::CStr;
use std::sync::atomic::Ordering;

use jvmti_bindings::sys::jni::{JNIEnv, jclass, jint, jobject};
use plumb_trace::record::{JvmKind, JvmRecord};

use super::Agent;
use super::arena::{DISARMED, GATE};
use super::barrier::guard;
use super::jni::Jni;
use super::probe::record;
use super::{sites, virtual_ready, virtual_threads};
use crate::rewrite::{Begin, Choice};

const HAND_OVER: i32 = -101;
const RUN: i32 = -102;
const RAN: i32 = -103;
const TAKEN_BACK: i32 = -104;
const NESTED: i32 = -105;
const START: i32 = -106;
const IDLE: i32 = -107;

/// Detail of records of tasks that run within whatever runs: those of fork-join pools.
const WITHIN: u32 = 1;

/// Class with dots, method, first letters of the descriptor, id, local variable of the task.
type Site = (&'static CStr, &'static str, &'static str, i32, u16);

const POOL: &CStr = c"java.util.concurrent.ThreadPoolExecutor";
const TOMCAT_POOL: &CStr = c"org.apache.tomcat.util.threads.ThreadPoolExecutor";
const QUEUE: &CStr = c"java.util.concurrent.ForkJoinPool$WorkQueue";
const TASK: &CStr = c"java.util.concurrent.ForkJoinTask";
const VIRTUAL: &CStr = c"java.lang.VirtualThread";

const SITES: [Site; 17] = [
    (POOL, "execute", "(Ljava/lang/Runnable;)", HAND_OVER, 1),
    (
        POOL,
        "beforeExecute",
        "(Ljava/lang/Thread;Ljava/lang/Runnable;)",
        RUN,
        2,
    ),
    (POOL, "afterExecute", "(Ljava/lang/Runnable;", RAN, 1),
    (POOL, "reject", "(Ljava/lang/Runnable;)", TAKEN_BACK, 1),
    (POOL, "getTask", "()", IDLE, 0),
    (TOMCAT_POOL, "execute", "(Ljava/lang/Runnable;)", HAND_OVER, 1),
    (
        TOMCAT_POOL,
        "beforeExecute",
        "(Ljava/lang/Thread;Ljava/lang/Runnable;)",
        RUN,
        2,
    ),
    (TOMCAT_POOL, "afterExecute", "(Ljava/lang/Runnable;", RAN, 1),
    (TOMCAT_POOL, "reject", "(Ljava/lang/Runnable;)", TAKEN_BACK, 1),
    (TOMCAT_POOL, "getTask", "()", IDLE, 0),
    (QUEUE, "push", "(Ljava/util/concurrent/ForkJoinTask;", HAND_OVER, 1),
    (
        QUEUE,
        "lockedPush",
        "(Ljava/util/concurrent/ForkJoinTask;",
        HAND_OVER,
        1,
    ),
    (TASK, "invoke", "()", HAND_OVER, 0),
    (TASK, "quietlyInvoke", "()", HAND_OVER, 0),
    (
        TASK,
        "invokeAll",
        "(Ljava/util/concurrent/ForkJoinTask;Ljava/util/concurrent/ForkJoinTask;)",
        HAND_OVER,
        0,
    ),
    (TASK, "doExec", "()", NESTED, 0),
    (VIRTUAL, "start", "(Ljdk/internal/vm/ThreadContainer;)", START, 0),
];

fn is_of(site: &Site, class: &str) -> bool {
    let bytes = site.0.to_bytes();
    let same = |(one, other): (&u8, u8)| *one == other || (*one == b'.' && other == b'/');
    bytes.len() == class.len() && bytes.iter().zip(class.bytes()).all(same)
}

/// The classes of the JDK among them, with dots, to be loaded at a session's begin; one comes several times.
pub fn classes() -> impl Iterator<Item = &'static CStr> {
    SITES.iter().map(|site| site.0).filter(|class| *class != TOMCAT_POOL)
}

/// Whether the class (internal name) is one of them.
pub fn is_site_class(class: &str) -> bool {
    SITES.iter().any(|site| is_of(site, class))
}

/// The probes of a method that is one of these.
pub fn choice(class: &str, method: &str, descriptor: &str) -> Option<Choice> {
    let is_it = |site: &&Site| site.1 == method && descriptor.starts_with(site.2) && is_of(site, class);
    let &(.., id, variable) = SITES.iter().find(is_it)?;
    if id == IDLE {
        return Some(sites::idle());
    }
    Some(Choice {
        id: id.cast_unsigned(),
        begin: Begin::Given(variable),
    })
}

/// `PlumbProbe.given(Object, int)`: one of these methods begins, and this is its task; or a virtual thread is given to its scheduler.
///
/// # Safety
/// Only the JVM calls this.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_java_lang_PlumbProbe_given(
    env: *mut JNIEnv,
    _class: jclass,
    task: jobject,
    id: jint,
) {
    if task.is_null() || GATE.epoch.load(Ordering::Relaxed) == DISARMED {
        return;
    }
    guard((), || {
        // SAFETY: the JVM gave `env` to the calling thread for this call.
        if let (Some(agent), Some(jni)) = (Agent::get(), unsafe { Jni::new(env) }) {
            begin(agent, jni, task, id);
        }
    });
}

fn begin(agent: &Agent, jni: Jni, task: jobject, id: i32) {
    let (kind, detail) = match id {
        HAND_OVER => (JvmKind::HandOver, 0),
        RUN => (JvmKind::Run, 0),
        NESTED => (JvmKind::Run, WITHIN),
        RAN => (JvmKind::Ran, 0),
        TAKEN_BACK => (JvmKind::TakenBack, 0),
        START => {
            virtual_threads::tell(agent, jni, JvmKind::Starts, task);
            return;
        }
        virtual_ready::ID => {
            virtual_threads::tell(agent, jni, JvmKind::VthreadReady, task);
            return;
        }
        _ => return,
    };
    if let Ok(hash) = agent.jvmti.identity_hash(task) {
        record(JvmRecord::pack(kind, detail, hash));
    }
}

/// One of these methods ends, one way or the other.
#[cold]
pub fn end(id: i32) {
    if id == NESTED {
        record(JvmRecord::pack(JvmKind::Ran, WITHIN, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_methods_hand_over() {
        let found = |class: &str, method: &str, descriptor: &str| {
            choice(class, method, descriptor).map(|choice| (choice.id.cast_signed(), choice.begin))
        };
        let pool = "java/util/concurrent/ThreadPoolExecutor";
        assert_eq!(
            found(pool, "execute", "(Ljava/lang/Runnable;)V"),
            Some((HAND_OVER, Begin::Given(1)))
        );
        assert_eq!(
            found(pool, "beforeExecute", "(Ljava/lang/Thread;Ljava/lang/Runnable;)V"),
            Some((RUN, Begin::Given(2)))
        );
        assert_eq!(choice(pool, "getTask", "()Ljava/lang/Runnable;"), Some(sites::idle()));
        let task = "java/util/concurrent/ForkJoinTask";
        let tasks = "([Ljava/util/concurrent/ForkJoinTask;)V";
        assert_eq!(found(task, "invokeAll", tasks), None, "only that of two");
        assert_eq!(
            found(task, "doExec", "()I"),
            found(task, "doExec", "()V"),
            "JDK 17 and 25"
        );
        assert!(is_site_class("java/lang/VirtualThread") && !is_site_class("java/lang/Thread"));
    }
}

//! Java threads: their Linux thread ids, names, starts, ends and renames.
//!
//! Platform threads only: a virtual thread has no Linux thread of its own (see `virtual_threads`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, OnceLock};

use jvmti_bindings::sys::jni::{jfieldID, jobject, jthread};
use plumb_trace::definition::Definition;

use super::definitions::Definitions;
use super::jni::Jni;
use super::jvmti::{Jvmti, ThreadInfo};
use super::names::lock;
use super::vmstructs::VmStructs;

/// Fields of `java.lang.Thread` and the way from them to a Linux thread id.
pub struct ThreadFields {
    tid: Option<Field>,
    eetop: Option<Field>,
    park_blocker: Option<Field>,
    structs: Option<VmStructs>,
}

/// A field's id: `java.lang.Thread` is never unloaded, so that it stays valid.
#[derive(Clone, Copy)]
struct Field(usize);

impl Field {
    fn id(self) -> jfieldID {
        self.0 as jfieldID
    }
}

impl ThreadFields {
    /// Looks for them. `in_libjvm` is any address in that library.
    pub fn find(jni: Jni, in_libjvm: *const std::ffi::c_void) -> ThreadFields {
        let class = jni.find_class(c"java/lang/Thread");
        let field = |name| Some(Field(jni.long_field(class?, name)? as usize));
        let found = ThreadFields {
            tid: field(c"tid"),
            eetop: field(c"eetop"),
            park_blocker: class.and_then(|class| Some(Field(jni.object_field(class, c"parkBlocker")? as usize))),
            structs: VmStructs::find(in_libjvm),
        };
        jni.delete_local(class.unwrap_or(std::ptr::null_mut()));
        found
    }

    /// What the thread has said that it will park for, or null.
    pub fn park_blocker(&self, jni: Jni, thread: jthread) -> jobject {
        self.park_blocker
            .map_or(std::ptr::null_mut(), |field| jni.get_object(thread, field.id()))
    }

    /// `Thread.threadId()`, 0 where unknown.
    pub fn java_id(&self, jni: Jni, thread: jthread) -> u64 {
        self.tid.map_or(0, |field| jni.get_long(thread, field.id()) as u64)
    }

    fn linux_tid(&self, jni: Jni, thread: jthread) -> Option<u32> {
        let eetop = jni.get_long(thread, self.eetop?.id());
        self.structs.as_ref()?.tid(eetop)
    }
}

/// Threads that ended whose ids are kept.
const ENDED_MAX: usize = 16_384;

/// The threads that a session has defined.
#[derive(Default)]
pub struct Threads {
    table: Mutex<Table>,
}

/// Definitions are written while it is locked, so that a thread's end is never followed by word of its life.
#[derive(Default)]
struct Table {
    /// By Java id.
    known: HashMap<u64, Known>,
    /// Java ids of the threads that ended last: the JVM may have listed them a moment before, or even after.
    ended: VecDeque<u64>,
    /// Grows with each thread that comes, goes or is renamed.
    generation: u64,
}

struct Known {
    tid: u32,
    name: String,
}

/// What it takes to describe a thread.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The environment.
    pub jvmti: Jvmti,
    /// The calling thread's.
    pub jni: Jni,
    /// Set when the JVM is live.
    pub fields: &'a OnceLock<ThreadFields>,
    /// Where definitions go.
    pub definitions: &'a Definitions,
    /// Now.
    pub at: u64,
}

impl Context<'_> {
    /// The thread's number in Java; 0 before the JVM is live.
    fn java_id(&self, thread: jthread) -> u64 {
        let fields = self.fields.get();
        fields.map_or(0, |fields| fields.java_id(self.jni, thread))
    }
}

impl Threads {
    /// Defines all threads that are there and not defined yet, and all new names. `renamed_at` dates the names.
    pub fn scan(&self, context: Context<'_>, renamed_at: u64) {
        let Context { jvmti, jni, .. } = context;
        jni.with_frame(|| {
            let threads = jvmti.all_threads().unwrap_or_default();
            jni.ensure_locals(threads.len() + 16);
            for thread in threads {
                self.look_at(context, thread, renamed_at);
            }
        });
    }

    fn look_at(&self, context: Context<'_>, thread: jthread, renamed_at: u64) {
        let Context { jvmti, jni, .. } = context;
        let Some(fields) = context.fields.get() else { return };
        let Ok(info) = jvmti.thread_info(jni, thread) else {
            return;
        };
        let java_id = fields.java_id(jni, thread);
        let is_known = lock(&self.table).known.contains_key(&java_id);
        let tid = if is_known { None } else { fields.linux_tid(jni, thread) };
        lock(&self.table).see(context, java_id, tid.unwrap_or(0), info, renamed_at);
    }

    /// Another number than at an earlier call: threads have come, gone or been renamed since.
    pub fn generation(&self) -> u64 {
        lock(&self.table).generation
    }

    /// Calls `body` with Java id, Linux id and name of each thread that lives. Nobody starts or ends meanwhile: it should be short.
    pub fn each(&self, mut body: impl FnMut(u64, u32, &str)) {
        let table = lock(&self.table);
        table
            .known
            .iter()
            .for_each(|(java_id, Known { tid, name })| body(*java_id, *tid, name));
    }

    /// The calling thread has started.
    pub fn started(&self, context: Context<'_>, thread: jthread, tid: u32) {
        if context.jni.is_virtual(thread) {
            return;
        }
        let java_id = context.java_id(thread);
        if let Ok(info) = context.jvmti.thread_info(context.jni, thread) {
            lock(&self.table).define(context, java_id, tid, info, true);
        }
    }

    /// The calling thread ends.
    pub fn ended(&self, context: Context<'_>, thread: jthread, tid: u32) {
        if context.jni.is_virtual(thread) {
            return;
        }
        let java_id = context.java_id(thread);
        lock(&self.table).end(context, java_id, tid);
    }
}

impl Table {
    /// A thread that was there a moment ago, with this name.
    fn see(&mut self, context: Context<'_>, java_id: u64, tid: u32, info: ThreadInfo, renamed_at: u64) {
        match self.known.get_mut(&java_id) {
            Some(known) if known.name == info.name => {}
            Some(known) => {
                known.name.clone_from(&info.name);
                self.generation += 1;
                let (tid, name) = (known.tid, info.name);
                let renamed = Definition::JavaThreadName { tid, name };
                context.definitions.write(renamed_at, renamed);
            }
            None if self.ended.contains(&java_id) => {}
            None => self.define(context, java_id, tid, info, false),
        }
    }

    fn define(&mut self, context: Context<'_>, java_id: u64, tid: u32, info: ThreadInfo, started: bool) {
        let ThreadInfo {
            name,
            group,
            daemon,
            priority,
        } = info;
        let known = Known {
            tid,
            name: name.clone(),
        };
        self.known.insert(java_id, known);
        self.generation += 1;
        let thread = Definition::JavaThread {
            tid,
            java_id,
            name,
            group,
            daemon,
            priority,
            started,
        };
        context.definitions.write(context.at, thread);
    }

    fn end(&mut self, context: Context<'_>, java_id: u64, tid: u32) {
        self.note_end(java_id);
        context.definitions.write(context.at, Definition::JavaThreadEnd { tid });
    }

    fn note_end(&mut self, java_id: u64) {
        self.known.remove(&java_id);
        self.generation += 1;
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(java_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_ended_is_not_heard_of_again() {
        let mut table = Table::default();
        let has_ended = |table: &Table, java_id| table.ended.contains(&java_id);
        (1..=ENDED_MAX as u64 + 1).for_each(|java_id| table.note_end(java_id));
        assert!(has_ended(&table, 2) && has_ended(&table, ENDED_MAX as u64 + 1));
        assert!(!has_ended(&table, 1) && table.ended.len() == ENDED_MAX);
    }
}

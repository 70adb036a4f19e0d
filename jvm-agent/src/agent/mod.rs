//! What lives in the JVM.
//!
//! `Agent_OnLoad` (`-agentpath`) and `Agent_OnAttach` are the two ways in; both take `socket=PATH`, where the recorder listens. Without it the agent
//! asks for its capabilities and sleeps: no event, no probe, no thread, until somebody attaches.
//!
//! What virtual threads do stands in the stream of the carrier that runs them; which one that is, and their lives and monitors, is recorded only where
//! the rules ask for it ([`virtual_threads`]), since it slows every hand-off between them.

#![allow(unsafe_code, reason = "the JVM calls in here")]

mod allocations;
mod arena;
mod barrier;
mod change;
mod class_numbers;
mod clock;
mod control;
mod death;
mod definitions;
mod events;
mod exceptions;
mod handover;
mod headroom;
mod helper;
mod idlers;
mod jni;
mod jvmti;
mod keys;
mod kin;
mod late;
mod look;
mod method_ids;
mod monitors;
mod names;
mod natives;
mod parks;
mod places;
mod probe;
mod quiet;
mod release;
mod renames;
mod restore;
mod rules;
mod seen;
mod send_fd;
mod session;
mod shadow;
mod sites;
mod stacks;
mod threads;
mod tls;
mod transform;
mod virtual_names;
mod virtual_ready;
mod virtual_threads;
mod virtual_waits;
mod vmstructs;
mod waits;
mod wake;

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use jvmti_bindings::mutf8;
use jvmti_bindings::sys::jni::{JNI_OK, JNI_VERSION_1_8, JavaVM, jint};
use jvmti_bindings::sys::jvmti::jvmtiCapabilities;

use arena::Epochs;
use barrier::guard;
use control::Conversation;
use death::Death;
use jni::Jni;
use jvmti::Jvmti;
use names::{Names, lock};
use session::Session;
use threads::ThreadFields;

/// `Agent_OnAttach`'s answer: the options are not the agent's.
pub const STATUS_OPTIONS: i32 = 11;
/// `Agent_OnAttach`'s answer: nobody listens on the socket.
pub const STATUS_CONNECT: i32 = 12;
/// `Agent_OnAttach`'s answer: the JVM gives no JVMTI environment, or no thread.
pub const STATUS_JVM: i32 = 13;
/// `Agent_OnAttach`'s answer to `detach`: there is a session, and it is about to end.
pub const STATUS_DETACHING: i32 = 14;

/// The agent of this JVM: made at the first way in, kept for the JVM's life.
struct Agent {
    jvmti: Jvmti,
    /// An address in libjvm.
    libjvm: usize,
    names: Names,
    /// The session that records, if any.
    session: RwLock<Option<Arc<Session>>>,
    /// A recorder that waits for the control thread.
    conversation: Mutex<Option<Conversation>>,
    thread_fields: OnceLock<ThreadFields>,
    epochs: Epochs,
    /// There is a session, or one begins.
    is_busy: AtomicBool,
    /// The session is to end, although its recorder did not ask for it.
    is_detaching: AtomicBool,
    /// The JVM ends.
    death: Death,
}

static AGENT: OnceLock<Agent> = OnceLock::new();

impl Agent {
    fn get() -> Option<&'static Agent> {
        AGENT.get()
    }

    /// The agent, made if this is the first way in.
    ///
    /// # Safety
    /// `vm` is the JVM that called us.
    unsafe fn get_or_make(vm: *mut JavaVM) -> Option<&'static Agent> {
        if let Some(agent) = AGENT.get() {
            return Some(agent);
        }
        // SAFETY: by contract.
        let (jvmti, libjvm) = unsafe { (Jvmti::new(vm)?, (**vm).GetEnv as usize) };
        jvmti.add_capabilities(want).ok()?;
        jvmti.set_callbacks(&events::callbacks()).ok()?;
        Some(AGENT.get_or_init(|| Agent {
            jvmti,
            libjvm,
            names: Names::default(),
            session: RwLock::new(None),
            conversation: Mutex::new(None),
            thread_fields: OnceLock::new(),
            epochs: Epochs::default(),
            is_busy: AtomicBool::new(false),
            is_detaching: AtomicBool::new(false),
            death: Death::default(),
        }))
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_session(&self, session: Option<Arc<Session>>) {
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = session;
    }

    /// Probes and events record for this session from now on.
    fn begin(&self, session: &Arc<Session>) {
        self.set_session(Some(session.clone()));
        self.epochs.began(session.epoch());
        session.open_gate();
    }

    fn ask_to_detach(&self) {
        self.is_detaching.store(true, Ordering::Release);
        wake::wake();
    }

    fn find_thread_fields(&self, jni: Jni) {
        self.thread_fields
            .get_or_init(|| ThreadFields::find(jni, self.libjvm as *const c_void));
    }

    fn thread_context<'a>(&'a self, session: &'a Session, jni: Jni) -> threads::Context<'a> {
        let Agent {
            jvmti, thread_fields, ..
        } = self;
        threads::Context {
            jvmti: *jvmti,
            jni,
            fields: thread_fields,
            definitions: &session.definitions,
            at: session.now(),
        }
    }
}

/// All that a session may need. Asked for at once, since retransformation that is asked for late makes the JVM throw its compiled code away.
fn want(wanted: &mut jvmtiCapabilities, potential: &jvmtiCapabilities) {
    wanted.set_can_retransform_classes(potential.can_retransform_classes());
    wanted.set_can_retransform_any_class(potential.can_retransform_any_class());
    wanted.set_can_generate_all_class_hook_events(potential.can_generate_all_class_hook_events());
    wanted.set_can_generate_monitor_events(potential.can_generate_monitor_events());
    wanted.set_can_generate_garbage_collection_events(potential.can_generate_garbage_collection_events());
}

/// What the agent's options ask for.
#[derive(Debug, PartialEq, Eq)]
enum Request<'a> {
    /// Nothing now: somebody may attach later.
    Sleep,
    /// Record for who listens there.
    Record(&'a str),
    /// Tell who listens there what his rules would match.
    Look(&'a str),
    /// End the session that there is, whoever began it.
    Detach,
}

fn request_of(options: &str) -> Option<Request<'_>> {
    match options.split_once('=') {
        None if options.is_empty() => Some(Request::Sleep),
        None if options == "detach" => Some(Request::Detach),
        Some(("socket", path)) if !path.is_empty() => Some(Request::Record(path)),
        Some(("look", path)) if !path.is_empty() => Some(Request::Look(path)),
        _ => None,
    }
}

/// # Safety
/// `options` is null or a C string.
unsafe fn text_of(options: *const c_char) -> String {
    if options.is_null() {
        return String::new();
    }
    // SAFETY: by contract.
    mutf8::decode_cstr_lossy(unsafe { CStr::from_ptr(options) })
}

/// The JVM starts with `-agentpath`. Whatever goes wrong, it starts: without plumb then.
///
/// # Safety
/// Only the JVM calls this.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Agent_OnLoad(vm: *mut JavaVM, options: *mut c_char, _reserved: *mut c_void) -> jint {
    guard((), || {
        // SAFETY: the JVM's own arguments.
        let (agent, options) = unsafe { (Agent::get_or_make(vm), text_of(options)) };
        let (agent, socket) = match (agent, request_of(&options)) {
            (Some(agent), Some(Request::Record(socket))) => (agent, socket),
            (_, Some(Request::Sleep)) | (None, _) => return,
            // Nobody else would tell whoever wrote it.
            _ => return eprintln!("plumb: the agent has no option {options:?}, and sleeps until somebody attaches"),
        };
        let Ok(mut conversation) = Conversation::connect_to_trusted(socket) else {
            return;
        };
        if conversation.open(agent).is_ok() {
            agent.is_busy.store(true, Ordering::Release);
            *lock(&agent.conversation) = Some(conversation);
            control::expect_start(agent);
        }
    });
    JNI_OK
}

/// Somebody attaches.
///
/// # Safety
/// Only the JVM calls this.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Agent_OnAttach(vm: *mut JavaVM, options: *mut c_char, _reserved: *mut c_void) -> jint {
    guard(STATUS_JVM, || {
        // SAFETY: the JVM's own arguments.
        let (agent, options) = unsafe { (Agent::get_or_make(vm), text_of(options)) };
        let Some(agent) = agent else { return STATUS_JVM };
        match request_of(&options) {
            // SAFETY: the JVM that called us.
            Some(Request::Record(socket)) => unsafe { record_for(agent, vm, socket) },
            // SAFETY: the JVM that called us.
            Some(Request::Look(socket)) => match unsafe { jni_of(vm) } {
                Some(jni) if look::look_for(agent, jni, socket).is_ok() => JNI_OK,
                Some(_) => STATUS_CONNECT,
                None => STATUS_JVM,
            },
            Some(Request::Detach) if agent.is_busy.load(Ordering::Acquire) => {
                agent.ask_to_detach();
                STATUS_DETACHING
            }
            Some(Request::Detach | Request::Sleep) => JNI_OK,
            None => STATUS_OPTIONS,
        }
    })
}

/// # Safety
/// `vm` is the JVM that called us.
unsafe fn record_for(agent: &'static Agent, vm: *mut JavaVM, socket: &str) -> jint {
    let Ok(conversation) = Conversation::connect(socket) else {
        return STATUS_CONNECT;
    };
    if agent.is_busy.swap(true, Ordering::AcqRel) {
        conversation.refuse("another plumb records this JVM; end that recording first");
        return JNI_OK;
    }
    *lock(&agent.conversation) = Some(conversation);
    // SAFETY: by contract; the environment is used in this call only.
    let started = unsafe { jni_of(vm) }.is_some_and(|jni| control::start_thread(agent, jni).is_ok());
    if !started {
        *lock(&agent.conversation) = None;
        agent.is_busy.store(false, Ordering::Release);
        return STATUS_JVM;
    }
    JNI_OK
}

/// The calling thread's JNI environment.
///
/// # Safety
/// `vm` is the JVM that called us.
unsafe fn jni_of(vm: *mut JavaVM) -> Option<Jni> {
    let mut env: *mut c_void = ptr::null_mut();
    // SAFETY: by contract; `env` is ours and belongs to the calling thread.
    unsafe {
        let status = ((**vm).GetEnv)(vm, &raw mut env, JNI_VERSION_1_8);
        if status == JNI_OK { Jni::new(env.cast()) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        assert_eq!(request_of(""), Some(Request::Sleep));
        assert_eq!(request_of("detach"), Some(Request::Detach));
        assert_eq!(request_of("socket=/tmp/a=b"), Some(Request::Record("/tmp/a=b")));
        assert_eq!(request_of("look=/tmp/a"), Some(Request::Look("/tmp/a")));
        assert_eq!(request_of("socket="), None);
        assert_eq!(request_of("sock=/tmp/a"), None);
    }
}

//! The conversation with the recorder, and what it makes the agent do.
//!
//! ```text
//! asleep → (connect, hello, config, arena) → armed → (other rules → armed)… → (stop, or the socket's end) → asleep
//! ```
//! After an attach all of it happens in one thread of ours, `plumb-agent`, which lives as long as the session. When the agent is given a socket at the JVM's start,
//! the first half happens in the JVM's own start-up, so that no class escapes.

#![allow(
    unsafe_code,
    reason = "the control thread's entry, poll, and the descriptor that goes with a message"
)]

use std::ffi::c_void;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use jvmti_bindings::sys::jni::JNIEnv;
use jvmti_bindings::sys::jvmti::{
    JVMTI_EVENT_CLASS_FILE_LOAD_HOOK, JVMTI_EVENT_VM_DEATH, JVMTI_EVENT_VM_INIT, JVMTI_EVENT_VM_START, jvmtiEnv,
};
use plumb_filters::matcher::JvmFeatures;
use plumb_trace::definition::Definition;

use super::barrier::{self, guard};
use super::jni::Jni;
use super::late::Late;
use super::names::lock;
use super::renames::Renames;
use super::restore::Unseen;
use super::session::Session;
use super::waits::Waits;
use super::{Agent, change, helper, natives, quiet, restore, send_fd, transform, virtual_threads, virtual_waits, wake};
use crate::credentials;
use crate::look::Told;
use crate::protocol::{self, Armed, Config, FRAME_MAX, PROTOCOL, Stopped, ToAgent, ToRecorder};

/// How long the recorder may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often definitions that found no room are offered again.
const DEFINITIONS_EVERY: Duration = Duration::from_millis(20);
/// How often they are offered when the JVM ends.
const LAST_WORDS_TRIES: u32 = 15;
/// Time for a class that was put aside to be linked, and for others to come.
const ASIDE_AFTER: Duration = Duration::from_millis(10);
/// How long threads that are inside a probe when the session ends may take to leave it: they are, if at all, because they get no CPU.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Panics of ours after which the agent gives the JVM up.
const PANICS_MAX: u32 = 8;

/// A recorder that has been reached, and how far things have come with it.
pub struct Conversation {
    stream: UnixStream,
    session: Option<Arc<Session>>,
}

/// Whether a recorder of this user may be believed without more. In a user namespace of its own a process sees root outside as the user of whom nothing is known.
fn may_record_us(uid: u32) -> bool {
    /// The whole range of users, mapped to itself.
    const INITIAL: [&str; 3] = ["0", "0", "4294967295"];
    /// What users without a number in this namespace look like, unless the system says otherwise.
    const OVERFLOW: u32 = 65534;
    #[expect(unsafe_code, reason = "geteuid")]
    // SAFETY: it cannot fail.
    let own = unsafe { libc::geteuid() };
    let is_apart = || {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        !map.is_empty() && !map.split_whitespace().eq(INITIAL)
    };
    uid == 0 || uid == own || (uid == OVERFLOW && is_apart())
}

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The recorder asked for it and waits for an answer.
    Asked,
    /// The socket is closed.
    Gone,
    /// Somebody else asked for it.
    Detached,
    /// We do not trust ourselves any more.
    Failed,
    /// The JVM ends.
    Dying,
}

impl Conversation {
    /// Reaches the recorder.
    ///
    /// # Errors
    /// Nobody listens at `path`, or does not read.
    pub fn connect(path: &str) -> io::Result<Conversation> {
        Conversation::begin(UnixStream::connect(path)?)
    }

    fn begin(stream: UnixStream) -> io::Result<Conversation> {
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let conversation = Conversation { stream, session: None };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        conversation.say(&ToRecorder::Hello {
            protocol: PROTOCOL,
            version,
            pid: std::process::id(),
        })?;
        Ok(conversation)
    }

    /// Reaches the recorder that the environment or the command line names: it is believed only if root or this process's own user listens there. A recorder's environment outlives it, and
    /// anybody may take its place in a directory that all may write.
    ///
    /// # Errors
    /// As [`Conversation::connect`]; `PermissionDenied` where somebody else listens.
    pub fn connect_to_trusted(path: &str) -> io::Result<Conversation> {
        let stream = UnixStream::connect(path)?;
        if !may_record_us(credentials::of_peer(&stream)?.uid) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Conversation::begin(stream)
    }

    fn say(&self, message: &ToRecorder) -> io::Result<()> {
        protocol::send(&self.stream, &message.to_frame())
    }

    /// Tells of the JVM's classes.
    ///
    /// # Errors
    /// The recorder does not read.
    pub fn tell(&self, told: &Told) -> io::Result<()> {
        protocol::send(&self.stream, &told.to_frame())
    }

    /// Says why not. A recorder that does not hear it sees the socket's end.
    pub fn refuse(&self, reason: &str) {
        let _ = self.say(&ToRecorder::Refused {
            reason: reason.to_owned(),
        });
    }

    /// What the recorder wants.
    ///
    /// # Errors
    /// It says something else, or nothing.
    pub fn configuration(&self) -> io::Result<Config> {
        let content = protocol::receive(&self.stream, FRAME_MAX, Instant::now() + ANSWER_TIMEOUT)?;
        match ToAgent::parse(&content.ok_or(io::ErrorKind::UnexpectedEof)?)? {
            ToAgent::Config(config) => Ok(config),
            ToAgent::Stop | ToAgent::Rules(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Leaves the life line open for as long as the process lives: until then threads may record. Who asks something hears at once that nobody listens any more.
    fn keep_line(&self) {
        let _ = self.stream.shutdown(Shutdown::Read);
        std::mem::forget(self.stream.try_clone());
    }

    /// What the recorder wants now; none: it is gone, or not to be understood.
    fn order(&self) -> Option<ToAgent> {
        let content = protocol::receive(&self.stream, FRAME_MAX, Instant::now() + ANSWER_TIMEOUT);
        ToAgent::parse(&content.ok()??).ok()
    }

    /// Takes the configuration and gives the arena; nothing is recorded yet.
    pub fn open(&mut self, agent: &Agent) -> io::Result<()> {
        let config = self.configuration()?;
        match Session::create(agent.epochs.next(), &config) {
            Ok((session, memory)) => {
                let given = self.give_arena(config.arena_bytes, &memory);
                match given {
                    Ok(()) => self.session = Some(Arc::new(session)),
                    // The recorder is gone: the arena would stay in the JVM's memory for nobody.
                    Err(_) => session.unmap(),
                }
                given
            }
            Err(reason) => {
                self.refuse(&reason);
                Err(io::Error::other(reason))
            }
        }
    }

    fn give_arena(&self, bytes: u64, memory: &OwnedFd) -> io::Result<()> {
        send_fd::send_with_fd(
            &self.stream,
            &ToRecorder::Arena { bytes }.to_frame(),
            memory.as_raw_fd(),
        )
    }
}

/// The JVM can run Java: the probes' class can be defined, and classes that are loaded from now on get probes at once.
pub fn at_vm_start(agent: &'static Agent, jni: Jni) {
    let session = lock(&agent.conversation)
        .as_ref()
        .and_then(|conversation| conversation.session.clone());
    let Some(session) = session else { return };
    virtual_threads::look(jni);
    if helper::bind_now(jni).is_ok() && !session.rules().matcher.is_empty_of_methods() {
        agent.begin(&session);
        let _ = agent.jvmti.set_event(JVMTI_EVENT_CLASS_FILE_LOAD_HOOK, true);
    }
}

/// The JVM is up: the rest gets probes, and the conversation goes to its thread.
pub fn at_vm_init(agent: &'static Agent, jni: Jni) {
    let conversation = lock(&agent.conversation).take();
    let Some(conversation) = conversation else { return };
    if let Some(session) = &conversation.session {
        match arm(agent, session, jni, false, &|| false) {
            Ok(armed) => drop(conversation.say(&ToRecorder::Armed(armed))),
            Err(reason) => return call_off(agent, &conversation, jni, &reason),
        }
    }
    *lock(&agent.conversation) = Some(conversation);
    if start_thread(agent, jni).is_err()
        && let Some(conversation) = lock(&agent.conversation).take()
    {
        call_off(
            agent,
            &conversation,
            jni,
            "the JVM does not start the thread plumb-agent",
        );
    }
}

fn call_off(agent: &'static Agent, conversation: &Conversation, jni: Jni, reason: &str) {
    if let Some(session) = &conversation.session {
        disarm(agent, session, jni);
        session.unmap();
    }
    conversation.refuse(reason);
    agent.is_busy.store(false, Ordering::Release);
}

/// The JVM ends. Its rings stay readable for the recorder; what the control thread does now is of no use to anybody, and it ends: a JVM waits for threads
/// in native code for 300 ms before it leaves them behind.
pub fn at_vm_death(agent: &Agent) {
    agent.death.comes();
    wake::wake();
    if let Some(session) = agent.session() {
        session.definitions.flush();
    }
}

/// Asks for the events of the JVM's own start.
pub fn expect_start(agent: &Agent) {
    for event in [JVMTI_EVENT_VM_START, JVMTI_EVENT_VM_INIT, JVMTI_EVENT_VM_DEATH] {
        let _ = agent.jvmti.set_event(event, true);
    }
}

/// Starts the control thread, which takes the conversation.
///
/// # Errors
/// The JVM cannot start a thread.
pub fn start_thread(agent: &'static Agent, jni: Jni) -> Result<(), String> {
    let groups = agent.jvmti.top_thread_groups().map_err(|error| error.to_string())?;
    let group = *groups.first().ok_or("the JVM has no thread group")?;
    let thread = jni
        .new_thread(group, c"plumb-agent")
        .ok_or("the JVM makes no thread object")?;
    let started = agent
        .jvmti
        .run_agent_thread(thread, run)
        .map_err(|error| error.to_string());
    jni.delete_local(thread);
    groups.into_iter().for_each(|group| jni.delete_local(group));
    started
}

/// The control thread.
unsafe extern "system" fn run(_jvmti: *mut jvmtiEnv, env: *mut JNIEnv, _argument: *mut c_void) {
    guard((), || {
        // SAFETY: the environment is the control thread's, which we are.
        let (Some(agent), Some(jni)) = (Agent::get(), unsafe { Jni::new(env) }) else {
            return;
        };
        let conversation = lock(&agent.conversation).take();
        agent.is_detaching.store(false, Ordering::Release);
        // Once it has ended somebody else may be recording already.
        let unseen = conversation.and_then(|mut conversation| converse(agent, &mut conversation, jni));
        if let Some(unseen) = unseen {
            unseen.restore(agent, jni);
        }
    });
}

/// To its end, after which the agent is free for another. Gives what is to be looked for later.
fn converse(agent: &'static Agent, conversation: &mut Conversation, jni: Jni) -> Option<Unseen> {
    let session = match &conversation.session {
        Some(session) => Some(session.clone()),
        None => open_and_arm(agent, conversation, jni),
    };
    let Some(session) = session else {
        agent.is_busy.store(false, Ordering::Release);
        return None;
    };
    let end = serve(agent, conversation, &session, jni);
    if end == End::Dying || agent.death.has_come() {
        conversation.keep_line();
        return None;
    }
    let (stopped, unseen) = disarm(agent, &session, jni);
    session.unmap();
    // Before the answer: who hears it may attach again at once.
    agent.is_busy.store(false, Ordering::Release);
    match end {
        End::Asked => drop(conversation.say(&ToRecorder::Stopped(stopped))),
        End::Detached => conversation.refuse("somebody took plumb out of the JVM (plumb detach)"),
        End::Failed => conversation.refuse("too many faults inside the agent: the JVM has its own bytecode again"),
        End::Gone | End::Dying => {}
    }
    Some(unseen)
}

fn open_and_arm(agent: &'static Agent, conversation: &mut Conversation, jni: Jni) -> Option<Arc<Session>> {
    // Where this fails the recorder is gone, or has been told.
    conversation.open(agent).ok()?;
    let session = conversation.session.clone()?;
    // A stop, or the socket's end, need not wait for the last of many classes.
    let is_over = || has_said(&conversation.stream);
    match arm(agent, &session, jni, true, &is_over) {
        Ok(armed) => drop(conversation.say(&ToRecorder::Armed(armed))),
        Err(reason) => {
            conversation.refuse(&reason);
            session.unmap();
            return None;
        }
    }
    Some(session)
}

/// Turns everything on. `pause`: the JVM is at work, leave it some time between batches of classes. `is_over`: somebody has asked for the end meanwhile.
fn arm(
    agent: &'static Agent,
    session: &Arc<Session>,
    jni: Jni,
    pause: bool,
    is_over: &dyn Fn() -> bool,
) -> Result<Armed, String> {
    helper::bind(jni)?;
    wake::event().map_err(|error| format!("no eventfd: {error}"))?;
    agent.find_thread_fields(jni);
    virtual_threads::look(jni);
    agent.begin(session);
    let jvmti = agent.jvmti;
    let property = |name| jvmti.system_property(name).unwrap_or_default();
    let (vm_name, vm_version) = (property(c"java.vm.name"), property(c"java.vm.version"));
    let agent_version = env!("CARGO_PKG_VERSION").to_owned();
    session.definitions.write(
        session.now(),
        Definition::Jvm {
            vm_name,
            vm_version,
            agent_version,
        },
    );
    let _ = jvmti.set_event(JVMTI_EVENT_VM_DEATH, true);
    natives::go_by(agent, jni, session.rules().features);
    virtual_waits::go_by(agent, jni, Some(&session.rules()));
    change::turn_on(agent, session, jni, session.rules().features);
    if session.wants_any() {
        transform::probe_loaded(agent, session, jni, pause, is_over);
    }
    Ok(session.armed())
}

/// Turns everything off.
fn disarm(agent: &'static Agent, session: &Arc<Session>, jni: Jni) -> (Stopped, Unseen) {
    session.close_gate();
    change::turn_off(agent, jni, session.rules().features);
    natives::go_by(agent, jni, JvmFeatures::default());
    virtual_waits::tell_left_out(session, true);
    virtual_waits::go_by(agent, jni, None);
    // The JVM's death stays enabled: it costs nothing until it comes, and late looks must hear of it.
    // Before the others are restored: no class gets probes from now on.
    let _ = agent.jvmti.set_event(JVMTI_EVENT_CLASS_FILE_LOAD_HOOK, false);
    agent.set_session(None);
    session.give_up_arena(quiet::wait(LEAVE_TIMEOUT));
    restore::restore(agent, session, jni)
}

/// Until the recorder asks for the end, or is gone.
fn serve(agent: &'static Agent, conversation: &Conversation, session: &Arc<Session>, jni: Jni) -> End {
    let mut renames = Renames::new();
    let mut waits = Waits::new();
    loop {
        let wait = [
            patience(session),
            renames.patience(agent, session),
            late_patience(session),
            waits.patience(session),
        ];
        // What came before this loop has used up its wake-up.
        let is_ending = agent.death.has_come() || agent.is_detaching.load(Ordering::Acquire);
        let at_once = is_ending.then_some(Duration::ZERO);
        let wait = wait.into_iter().chain([at_once]).flatten().min();
        if wait_for(&conversation.stream, wait) {
            match conversation.order() {
                Some(ToAgent::Rules(compiled)) if !agent.death.has_come() => {
                    let is_over = || has_said(&conversation.stream);
                    let answer = match change::change(agent, session, jni, &compiled, &is_over) {
                        Ok(armed) => ToRecorder::Armed(armed),
                        Err(reason) => ToRecorder::Unchanged { reason },
                    };
                    if conversation.say(&answer).is_err() {
                        return End::Gone;
                    }
                }
                Some(ToAgent::Stop) => return End::Asked,
                _ => return End::Gone,
            }
        }
        if agent.is_detaching.swap(false, Ordering::AcqRel) {
            return End::Detached;
        }
        if barrier::caught() > PANICS_MAX {
            return End::Failed;
        }
        if agent.death.has_come() {
            last_words(session);
            return End::Dying;
        }
        if session.families.has_aside() {
            thread::sleep(ASIDE_AFTER);
            transform::probe_aside(agent, session, jni);
        }
        renames.look(agent, session, jni);
        if late_patience(session) == Some(Duration::ZERO) {
            transform::probe_late(agent, session, jni);
        }
        waits.look(agent, session, jni);
    }
}

/// The JVM ends: what is defined and found no room is offered again, for as long as the JVM waits for us.
fn last_words(session: &Session) {
    for _ in 0..LAST_WORDS_TRIES {
        if session.definitions.flush() {
            return;
        }
        thread::sleep(DEFINITIONS_EVERY);
    }
    session.definitions.give_up();
}

/// How long until classes that were being loaded while the rules changed are looked for; none: there was no change.
fn late_patience(session: &Session) -> Option<Duration> {
    lock(&session.late).as_ref().map(Late::patience)
}

/// How long nothing need be done for the session, if nobody calls; none: as long as nobody does.
fn patience(session: &Session) -> Option<Duration> {
    if !session.definitions.flush() {
        Some(DEFINITIONS_EVERY)
    } else if session.families.has_aside() {
        Some(ASIDE_AFTER)
    } else {
        None
    }
}

/// Whether the recorder has said something, or is gone.
fn has_said(stream: &UnixStream) -> bool {
    let mut watched = libc::pollfd {
        fd: stream.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one element of ours.
    unsafe { libc::poll(&raw mut watched, 1, 0) };
    watched.revents != 0
}

/// Waits for the recorder, a wake-up or the time; true: the recorder has said something, or is gone.
fn wait_for(stream: &UnixStream, time: Option<Duration>) -> bool {
    let mut watched = [
        libc::pollfd {
            fd: stream.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        },
        libc::pollfd {
            fd: wake::event().unwrap_or(-1),
            events: libc::POLLIN,
            revents: 0,
        },
    ];
    // Rounded up, so that a wait does not end just before its time over and over.
    let milliseconds = time.map_or(-1, |time| {
        i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
    });
    // SAFETY: two elements of ours.
    unsafe { libc::poll(watched.as_mut_ptr(), 2, milliseconds) };
    if watched[1].revents != 0 {
        wake::drain();
    }
    watched[0].revents != 0
}

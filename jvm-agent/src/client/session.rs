//! A session with the agent of one JVM.

#![allow(unsafe_code, reason = "socket credentials and seals have no safe form in std")]

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use plumb_trace::arena;

use super::patience::Patience;
use super::receive_fd::receive_length_and_fd;
use super::seats::Seat;
use super::target::ns_pid_and_start;
use super::{AttachError, SessionConfig};
use crate::credentials;
use crate::protocol::{self, Armed, Config, PROTOCOL, Stopped, ToAgent, ToRecorder};

/// Largest message that an agent sends, bytes.
const MESSAGE_MAX: usize = 64 << 10;

/// How long an agent may take to read what it is told.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long what an agent said before it went may take to be read: it is there already.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(100);

/// What an agent says to rules: that it goes by them, or why not.
type Answer = Result<Armed, AttachError>;

/// A JVM that is recorded. Dropping it closes the socket, upon which the agent gives the JVM its own bytecode back.
#[derive(Debug)]
pub struct JvmSession {
    /// Process id as we see it.
    pub pid: u32,
    /// Process id as the JVM sees it itself.
    pub ns_pid: u32,
    /// Start time, clock ticks since boot: with the pid, the process instance.
    pub start_ticks: u64,
    stream: UnixStream,
    arena: OwnedFd,
    armed: Option<Armed>,
    /// Answers that are to come, in the order of what was asked: the first is that the probes are in.
    unanswered: u32,
    /// When other rules were sent last, until they are answered; whether somebody was told that this takes long.
    asked: Option<(Instant, bool)>,
    /// Hash of the compiled rules that were sent last.
    rules: u64,
    /// Its place among those of a listener.
    seat: Option<Seat>,
}

impl JvmSession {
    /// Greets the agent that has connected, configures it, and takes its arena. `hello`: how long it may take to speak at all.
    pub(super) fn begin(
        stream: UnixStream,
        config: &SessionConfig,
        hello: Patience<'_>,
        patience: Patience<'_>,
    ) -> Result<JvmSession, AttachError> {
        let pid = peer_pid(&stream).map_err(AttachError::system("credentials of the agent's socket"))?;
        let (ns_pid, start_ticks) = ns_pid_and_start(pid)?;
        stream
            .set_nonblocking(false)
            .map_err(|error| explain(pid, patience, error))?;
        stream
            .set_write_timeout(Some(SEND_TIMEOUT))
            .map_err(|error| explain(pid, patience, error))?;
        greet(&stream, pid, hello)?;
        let SessionConfig {
            matcher,
            arena_bytes,
            clock,
        } = config;
        let rules = hash_of(matcher);
        let config = Config {
            matcher: matcher.clone(),
            arena_bytes: *arena_bytes as u64,
            clock: *clock,
        };
        // An agent that refuses closes without reading this: what it said is heard next.
        let _ = protocol::send(&stream, &ToAgent::Config(config).to_frame());
        let arena = receive_arena(&stream, pid, patience)?;
        Ok(JvmSession {
            pid,
            ns_pid,
            start_ticks,
            stream,
            arena,
            armed: None,
            unanswered: 1,
            asked: None,
            rules,
            seat: None,
        })
    }

    /// The seat is free again when the session ends.
    pub(super) fn sits_on(mut self, seat: Seat) -> JvmSession {
        self.seat = Some(seat);
        self
    }

    /// The JVM's arena, for the recorder: it may be drained from now on.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn arena(&self) -> io::Result<OwnedFd> {
        self.arena.try_clone()
    }

    /// Waits until the probes are in. The arena is to be drained meanwhile: the first probes write before the last class has them.
    ///
    /// # Errors
    /// The agent refuses, the JVM ends, or it takes longer than `timeout`.
    pub fn wait_until_armed(&mut self, timeout: Duration) -> Result<Armed, AttachError> {
        self.wait_until_armed_unless(&AtomicBool::new(false), timeout)
    }

    /// As [`JvmSession::wait_until_armed`], but only as long as `stop` is not raised.
    ///
    /// # Errors
    /// As [`JvmSession::wait_until_armed`]; [`AttachError::Interrupted`], after which the session can still be stopped.
    pub fn wait_until_armed_unless(&mut self, stop: &AtomicBool, timeout: Duration) -> Result<Armed, AttachError> {
        if let Some(armed) = self.armed {
            return Ok(armed);
        }
        self.answer(Patience::new(timeout, Some(stop)))
    }

    /// The answer to what was asked last. Those to what was asked before, and was not waited for to the end, come first.
    fn answer(&mut self, patience: Patience<'_>) -> Answer {
        loop {
            let answer = self.next_answer(patience)?;
            if self.unanswered == 0 {
                return answer;
            }
        }
    }

    /// The next answer, whatever it is to.
    fn next_answer(&mut self, patience: Patience<'_>) -> Result<Answer, AttachError> {
        let answer = match receive(&self.stream, self.pid, patience)? {
            ToRecorder::Armed(armed) => {
                self.armed = Some(armed);
                Ok(armed)
            }
            ToRecorder::Unchanged { reason } => Err(AttachError::Unchanged { pid: self.pid, reason }),
            other => return Err(unexpected(self.pid, other)),
        };
        self.unanswered = self.unanswered.saturating_sub(1);
        if self.unanswered == 0 {
            self.asked = None;
        }
        Ok(answer)
    }

    /// Has the agent go by other compiled rules from now on, and waits until it does, as long as `stop` is not raised.
    ///
    /// # Errors
    /// [`AttachError::Unchanged`], after which the session goes on as before; the JVM ends, it takes longer than `timeout`, or [`AttachError::Interrupted`].
    pub fn change_rules(
        &mut self,
        matcher: Vec<u8>,
        stop: &AtomicBool,
        timeout: Duration,
    ) -> Result<Armed, AttachError> {
        self.wait_until_armed_unless(stop, timeout)?;
        self.ask_rules(matcher)?;
        self.answer(Patience::new(timeout, Some(stop)))
    }

    /// Has the agent go by other compiled rules, and does not wait for it: see [`JvmSession::answered`].
    ///
    /// # Errors
    /// The JVM ends, or does not read.
    pub fn ask_rules(&mut self, matcher: Vec<u8>) -> Result<(), AttachError> {
        let rules = hash_of(&matcher);
        let patience = Patience::new(SEND_TIMEOUT, None);
        if let Err(error) = protocol::send(&self.stream, &ToAgent::Rules(matcher).to_frame()) {
            // Half a frame may be under way, in the midst of which nothing else can be said.
            let _ = self.stream.shutdown(Shutdown::Both);
            return Err(explain(self.pid, patience, error));
        }
        self.rules = rules;
        self.unanswered += 1;
        self.asked = Some((Instant::now(), false));
        Ok(())
    }

    /// The answer to the rules that were asked for, if it is there by now; at once.
    ///
    /// # Errors
    /// As [`JvmSession::change_rules`].
    pub fn answered(&mut self) -> Option<Result<Armed, AttachError>> {
        while self.asked.is_some() && self.has_said_something() {
            // An agent writes each message at once.
            match self.next_answer(Patience::new(LAST_WORDS_TIMEOUT, None)) {
                Ok(answer) if self.unanswered == 0 => return Some(answer),
                Ok(_) => {}
                Err(error) => {
                    self.asked = None;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// Whether rules that were asked for `after` or longer ago are not answered yet; told once.
    pub fn is_overdue(&mut self, after: Duration) -> bool {
        match &mut self.asked {
            Some((since, is_told)) if since.elapsed() >= after => !std::mem::replace(is_told, true),
            _ => false,
        }
    }

    /// Whether these are the compiled rules that it was given last.
    #[must_use]
    pub fn goes_by(&self, matcher: &[u8]) -> bool {
        self.rules == hash_of(matcher)
    }

    fn has_said_something(&self) -> bool {
        self.poll(libc::POLLIN) & libc::POLLIN != 0
    }

    fn poll(&self, events: i16) -> i16 {
        let mut watched = libc::pollfd {
            fd: self.stream.as_raw_fd(),
            events,
            revents: 0,
        };
        // SAFETY: one element of ours.
        let ready = unsafe { libc::poll(&raw mut watched, 1, 0) };
        if ready > 0 { watched.revents } else { 0 }
    }

    /// Whether the agent is still there: false when the JVM has ended, or somebody else took the agent out.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.poll(libc::POLLRDHUP) & (libc::POLLHUP | libc::POLLERR | libc::POLLRDHUP) == 0
    }

    /// Why the agent has ended the session, if it said so before it went: to be asked when it is no longer alive.
    #[must_use]
    pub fn last_words(self) -> Option<String> {
        let patience = Patience::new(LAST_WORDS_TIMEOUT, None);
        loop {
            match receive(&self.stream, self.pid, patience) {
                Ok(ToRecorder::Refused { reason }) => return Some(reason),
                // Nobody has asked for it yet, or waits for it any more.
                Ok(ToRecorder::Armed(_) | ToRecorder::Unchanged { .. }) => {}
                _ => return None,
            }
        }
    }

    /// Has the agent give the JVM its own bytecode back, and waits for it. Afterwards nobody writes into the arena.
    ///
    /// # Errors
    /// The JVM has ended (then nobody writes either), or it takes longer than `timeout`.
    pub fn stop(self, timeout: Duration) -> Result<Stopped, AttachError> {
        let patience = Patience::new(timeout, None);
        protocol::send(&self.stream, &ToAgent::Stop.to_frame()).map_err(|error| explain(self.pid, patience, error))?;
        loop {
            match receive(&self.stream, self.pid, patience)? {
                ToRecorder::Stopped(stopped) => return Ok(stopped),
                // Was on its way when we asked.
                ToRecorder::Armed(_) | ToRecorder::Unchanged { .. } => {}
                other => return Err(unexpected(self.pid, other)),
            }
        }
    }
}

/// Only compared with others of this process.
fn hash_of(matcher: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    matcher.hash(&mut hasher);
    hasher.finish()
}

pub(super) fn greet(stream: &UnixStream, pid: u32, patience: Patience<'_>) -> Result<(), AttachError> {
    match receive(stream, pid, patience)? {
        ToRecorder::Hello { protocol: PROTOCOL, .. } => Ok(()),
        ToRecorder::Hello { protocol, version, .. } => Err(AttachError::OtherVersion { pid, version, protocol }),
        other => Err(unexpected(pid, other)),
    }
}

fn receive(stream: &UnixStream, pid: u32, patience: Patience<'_>) -> Result<ToRecorder, AttachError> {
    let explain = |error| explain(pid, patience, error);
    let content = protocol::receive(stream, MESSAGE_MAX, patience).map_err(explain)?;
    ToRecorder::parse(&content.ok_or(AttachError::Ended(pid))?).map_err(explain)
}

fn receive_arena(stream: &UnixStream, pid: u32, patience: Patience<'_>) -> Result<OwnedFd, AttachError> {
    let explain = |error| explain(pid, patience, error);
    let (length, arena) = receive_length_and_fd(stream, patience).map_err(explain)?;
    let content = protocol::receive_rest(stream, length, MESSAGE_MAX, patience).map_err(explain)?;
    match (ToRecorder::parse(&content).map_err(explain)?, arena) {
        (ToRecorder::Arena { .. }, Some(arena)) => {
            check_arena(arena).map_err(|reason| AttachError::Protocol { pid, reason })
        }
        (ToRecorder::Arena { .. }, None) => Err(AttachError::Protocol {
            pid,
            reason: "no arena came with the message".into(),
        }),
        (other, _) => Err(unexpected(pid, other)),
    }
}

/// An arena that can shrink would be a SIGBUS for the recorder.
fn check_arena(arena: OwnedFd) -> Result<OwnedFd, String> {
    const NEEDED: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    // SAFETY: a system call on our descriptor, without pointers.
    let seals = unsafe { libc::fcntl(arena.as_raw_fd(), libc::F_GET_SEALS) };
    if seals < 0 || seals & NEEDED != NEEDED {
        return Err("its arena is not sealed".to_owned());
    }
    let file = File::from(arena);
    let bytes = file.metadata().map_err(|error| error.to_string())?.len();
    if !(arena::MIN_BYTES as u64..=arena::MAX_BYTES as u64).contains(&bytes) {
        return Err(format!("its arena has {bytes} bytes"));
    }
    Ok(file.into())
}

fn unexpected(pid: u32, message: ToRecorder) -> AttachError {
    match message {
        ToRecorder::Refused { reason } => AttachError::Refused { pid, reason },
        other => AttachError::Protocol {
            pid,
            reason: format!("unexpected message {other:?}"),
        },
    }
}

pub(super) fn explain(pid: u32, patience: Patience<'_>, error: io::Error) -> AttachError {
    match patience.explain(pid, &error, "a message of the agent's") {
        Some(explained) => explained,
        None if error.kind() == io::ErrorKind::InvalidData => AttachError::Protocol {
            pid,
            reason: error.to_string(),
        },
        None => AttachError::Ended(pid),
    }
}

pub(super) fn peer_pid(stream: &UnixStream) -> io::Result<u32> {
    match u32::try_from(credentials::of_peer(stream)?.pid) {
        Ok(pid) if pid != 0 => Ok(pid),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(30);

    fn session() -> (JvmSession, UnixStream) {
        let (stream, agent) = UnixStream::pair().expect("a pair of sockets");
        let session = JvmSession {
            pid: 1,
            ns_pid: 1,
            start_ticks: 1,
            stream,
            arena: File::open("/dev/null").expect("a descriptor").into(),
            armed: None,
            unanswered: 1,
            asked: None,
            rules: 0,
            seat: None,
        };
        (session, agent)
    }

    fn armed(methods: u32) -> Armed {
        Armed {
            methods,
            ..Armed::default()
        }
    }

    fn says(agent: &UnixStream, message: &ToRecorder) {
        protocol::send(agent, &message.to_frame()).expect("sent");
    }

    #[test]
    fn an_answer_that_comes_too_late_is_not_taken_for_the_next_one() {
        let (mut session, agent) = session();
        let go_on = AtomicBool::new(false);
        says(&agent, &ToRecorder::Armed(armed(1)));
        let timed_out = session.change_rules(vec![2], &go_on, SHORT);
        assert!(matches!(timed_out, Err(AttachError::Timeout { .. })), "{timed_out:?}");
        says(&agent, &ToRecorder::Armed(armed(2)));
        says(&agent, &ToRecorder::Armed(armed(3)));
        let changed = session.change_rules(vec![3], &go_on, LONG);
        assert_eq!(changed.ok(), Some(armed(3)));
        assert!(session.goes_by(&[3]) && !session.goes_by(&[2]));
    }

    #[test]
    fn nobody_waits_for_what_is_asked_by_the_way() {
        let (mut session, agent) = session();
        assert!(session.answered().is_none());
        session.ask_rules(vec![2]).expect("sent");
        session.ask_rules(vec![3]).expect("sent");
        assert!(
            session.is_overdue(Duration::ZERO) && !session.is_overdue(Duration::ZERO),
            "told once"
        );
        // That the first probes are in, and the answer to the first rules.
        says(&agent, &ToRecorder::Armed(armed(1)));
        says(&agent, &ToRecorder::Armed(armed(2)));
        assert!(session.answered().is_none());
        let reason = "no such rules".to_owned();
        says(&agent, &ToRecorder::Unchanged { reason: reason.clone() });
        let unchanged = session.answered();
        assert!(matches!(&unchanged, Some(Err(AttachError::Unchanged { reason: told, .. })) if *told == reason));
        assert!(session.answered().is_none() && !session.is_overdue(Duration::ZERO));
        session.ask_rules(vec![4]).expect("sent");
        drop(agent);
        assert!(matches!(session.answered(), Some(Err(AttachError::Ended(1)))));
    }
}

//! Where JVMs that are started with the agent find the recorder.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::patience::Patience;
use super::place::{Place, SharedLibrary, open_tmp};
use super::seats::Seats;
use super::session::peer_pid;
use super::{AttachError, JvmSession, SessionConfig};

/// How long an agent that has connected may take to say who it is and to give its arena.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to say anything: an agent does so at once, unless it gets no CPU.
const HELLO_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections that came to nothing of which the caller is told, so that nobody fills its log.
const FAILED_TOLD_MAX: usize = 64;
/// Most agents that are greeted at a time; more wait in the socket's queue.
const HANDSHAKES_MAX: usize = 64;
/// How often is looked for further connections while agents are being greeted.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Whose JVMs may connect to a [`Listener`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// Our own user's.
    Own,
    /// Everybody's who is told the path of the socket: of root's commands some start JVMs as another user.
    All,
}

type Greeted = Result<JvmSession, AttachError>;

/// Listens for agents. Dropping it removes the socket: JVMs that start later start without plumb.
///
/// Each agent is greeted in a thread of its own, so that one that says nothing keeps nobody waiting. Those that come when there are too many are sent away at once, and counted.
pub struct Listener {
    place: Place,
    listener: UnixListener,
    config: Arc<SessionConfig>,
    greeted: (Sender<Greeted>, Receiver<Greeted>),
    seats: Seats,
    /// Connections that came to nothing.
    failed: AtomicUsize,
    /// Agents that are being greeted.
    open: Arc<AtomicUsize>,
    /// Raised at the end: nobody is waited for any more.
    stop: Arc<AtomicBool>,
    shared: Option<SharedLibrary>,
}

impl Listener {
    /// Listens, for JVMs of these users.
    ///
    /// # Errors
    /// Nothing can be made in /tmp.
    pub fn bind(config: SessionConfig, users: Users) -> Result<Listener, AttachError> {
        let create = || Place::create(open_tmp(Path::new("/"))?);
        let mut place = create().map_err(AttachError::system("a directory in /tmp"))?;
        let mut bind = || {
            let listener = match users {
                Users::Own => place.listen()?,
                Users::All => place.listen_to_everybody()?,
            };
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = bind().map_err(AttachError::system("a socket in /tmp"))?;
        Ok(Listener {
            place,
            listener,
            config: Arc::new(config),
            greeted: channel(),
            seats: Seats::default(),
            failed: AtomicUsize::new(0),
            open: Arc::default(),
            stop: Arc::default(),
            shared: None,
        })
    }

    /// Copies the library to where JVMs of every user can read it: one that cannot read its agent does not start. Gives the copy's path. It stays as long as the
    /// listener, and longer where a process has it in its environment.
    ///
    /// # Errors
    /// Nothing can be made in /tmp, or no library may be loaded from there.
    pub fn share_library(&mut self, library: &Path) -> Result<PathBuf, AttachError> {
        let copy = || SharedLibrary::copy(open_tmp(Path::new("/"))?, &File::open(library)?);
        let shared = copy().map_err(AttachError::system("a copy of the agent in /tmp"))?;
        Ok(self.shared.insert(shared).path())
    }

    /// Agents that connect from now on are given these compiled rules.
    pub fn change_rules(&mut self, matcher: Vec<u8>) {
        let earlier = SessionConfig::clone(&self.config);
        self.config = Arc::new(SessionConfig { matcher, ..earlier });
    }

    /// The JVM's argument that loads the agent: `-agentpath:…=socket=…`.
    #[must_use]
    pub fn jvm_argument(&self, library: &Path) -> OsString {
        let mut argument = OsString::from("-agentpath:");
        argument.push(library);
        argument.push("=socket=");
        argument.push(self.place.socket_path());
        argument
    }

    /// The value of `JAVA_TOOL_OPTIONS` that has every JVM of a process tree load the agent; what was there before stays.
    #[must_use]
    pub fn java_tool_options(&self, library: &Path) -> OsString {
        let mut options = std::env::var_os("JAVA_TOOL_OPTIONS").unwrap_or_default();
        if !options.is_empty() {
            options.push(" ");
        }
        // Quoted: JVMs split the variable at blanks.
        options.push("\"");
        options.push(self.jvm_argument(library));
        options.push("\"");
        options
    }

    /// The next JVM that has connected and was greeted, within `timeout`. Its start waits for us: call this often.
    ///
    /// # Errors
    /// What went wrong with one JVM, which starts without plumb then. The listener stays good. The first ones are told here, all others at the end.
    pub fn accept(&self, timeout: Duration) -> Result<Option<JvmSession>, AttachError> {
        let deadline = Instant::now() + timeout;
        loop {
            // Before the look at who has been greeted: what it no longer counts has been sent.
            let open = self.open.load(Ordering::Acquire);
            if let Ok(greeted) = self.greeted.1.try_recv() {
                match greeted {
                    Err(_) if self.failed.fetch_add(1, Ordering::Relaxed) >= FAILED_TOLD_MAX => continue,
                    greeted => return greeted.map(Some),
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let look = if open == 0 { left } else { left.min(LOOK_EVERY) };
            if open >= HANDSHAKES_MAX {
                thread::sleep(look);
            } else if let Some(stream) = accept_within(&self.listener, look) {
                self.greet(stream)?;
            }
            // However many there are: the caller has other things to do.
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// What to say of those that were sent away, and of those that came to nothing and were not told by [`Listener::accept`], if there were any.
    #[must_use]
    pub fn notes_of_refused(&self) -> Vec<String> {
        let mut notes = self.seats.notes_of_refused();
        let untold = self.failed.load(Ordering::Relaxed).saturating_sub(FAILED_TOLD_MAX);
        if untold > 0 {
            notes.push(format!(
                "{untold} more connections came to nothing: no agent spoke as it should"
            ));
        }
        notes
    }

    fn greet(&self, stream: UnixStream) -> Result<(), AttachError> {
        let pid = match peer_pid(&stream) {
            Ok(pid) => pid,
            Err(error) => {
                let what = "credentials of the agent's socket".into();
                let _ = self.greeted.0.send(Err(AttachError::System { what, error }));
                return Ok(());
            }
        };
        let Some(mut seat) = self.seats.take(pid) else {
            // The agent sees the socket's end, and its JVM goes on without plumb.
            return Ok(());
        };
        let (config, greeted) = (Arc::clone(&self.config), self.greeted.0.clone());
        let (open, stop) = (Arc::clone(&self.open), Arc::clone(&self.stop));
        open.fetch_add(1, Ordering::Release);
        let greet = move || {
            let patience = |time| Patience::new(time, Some(&stop));
            let session = JvmSession::begin(stream, &config, patience(HELLO_TIMEOUT), patience(HANDSHAKE_TIMEOUT));
            let session = session.map(|session| {
                seat.keep();
                session.sits_on(seat)
            });
            // Where nobody listens any more the session ends here, and the agent goes back to sleep.
            let _ = greeted.send(session);
            open.fetch_sub(1, Ordering::Release);
        };
        match thread::Builder::new().name("greeting".into()).spawn(greet) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.open.fetch_sub(1, Ordering::Release);
                Err(AttachError::System {
                    what: "a thread to greet an agent".into(),
                    error,
                })
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Accepts one connection within `time`.
pub(super) fn accept_within(listener: &UnixListener, time: Duration) -> Option<UnixStream> {
    if !wait_for(listener, time) {
        return None;
    }
    listener.accept().ok().map(|(stream, _)| stream)
}

#[expect(unsafe_code, reason = "poll has no safe form in std")]
fn wait_for(listener: &UnixListener, time: Duration) -> bool {
    let mut watched = libc::pollfd {
        fd: listener.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one element of ours.
    unsafe { libc::poll(&raw mut watched, 1, milliseconds) > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumb_trace::arena::Clock;

    fn listener() -> Listener {
        let config = SessionConfig {
            matcher: Vec::new(),
            arena_bytes: 1 << 20,
            clock: Clock::Monotonic,
        };
        Listener::bind(config, Users::Own).expect("a socket in /tmp")
    }

    #[test]
    fn who_connects_and_says_nothing_keeps_nobody_waiting() {
        let listener = listener();
        let _silent = UnixStream::connect(listener.place.socket_path()).expect("connects");
        while listener.open.load(Ordering::Acquire) == 0 {
            assert!(listener.accept(Duration::ZERO).is_ok_and(|none| none.is_none()));
        }
        // Another that is wrong at once is told while the first is still silent.
        let wrong = UnixStream::connect(listener.place.socket_path()).expect("connects");
        drop(wrong);
        assert!(matches!(
            listener.accept(Duration::from_secs(5)),
            Err(AttachError::Ended(_))
        ));
        // Ends at once, not after the handshake's timeout.
        while listener.open.load(Ordering::Acquire) > 1 {
            thread::yield_now();
        }
        assert!(listener.greeted.1.try_recv().is_err(), "the first is still silent");
    }

    #[test]
    fn who_connects_when_there_are_too_many_is_sent_away_at_once() {
        let mut listener = listener();
        listener.seats = Seats::new(1, 3);
        let connect = || UnixStream::connect(listener.place.socket_path()).expect("connects");
        let silent = connect();
        while listener.open.load(Ordering::Acquire) == 0 {
            assert!(listener.accept(Duration::ZERO).is_ok_and(|none| none.is_none()));
        }
        let mut refused = connect();
        let said = thread::scope(|scope| {
            let heard = scope.spawn(move || std::io::copy(&mut refused, &mut std::io::sink()));
            while !heard.is_finished() {
                assert!(listener.accept(Duration::ZERO).is_ok_and(|none| none.is_none()));
            }
            heard.join().expect("hears")
        });
        assert_eq!(said.ok(), Some(0), "the end, and nothing before it");
        assert!(
            listener
                .notes_of_refused()
                .iter()
                .any(|note| note.starts_with("1 JVMs"))
        );
        // The silent one goes, and others have its place, however many come: none of them is a JVM.
        drop(silent);
        for _ in 0..10 {
            assert!(matches!(
                listener.accept(Duration::from_secs(5)),
                Err(AttachError::Ended(_))
            ));
            drop(connect());
        }
    }

    #[test]
    fn who_connects_for_nothing_again_and_again_is_counted_and_not_told_for_ever() {
        let listener = listener();
        let more = 6;
        for number in 0..FAILED_TOLD_MAX + more {
            drop(UnixStream::connect(listener.place.socket_path()).expect("connects"));
            if number < FAILED_TOLD_MAX {
                assert!(matches!(
                    listener.accept(Duration::from_secs(60)),
                    Err(AttachError::Ended(_))
                ));
                continue;
            }
            while listener.failed.load(Ordering::Relaxed) <= number {
                assert!(listener.accept(Duration::ZERO).is_ok_and(|none| none.is_none()));
            }
        }
        let notes = listener.notes_of_refused();
        assert!(
            notes.len() == 1 && notes[0].starts_with("6 more connections"),
            "{notes:?}"
        );
    }

    #[test]
    fn who_says_nothing_is_waited_for_for_seconds_and_gives_its_seat_back() {
        let mut listener = listener();
        listener.seats = Seats::new(1, 1);
        let _silent = UnixStream::connect(listener.place.socket_path()).expect("connects");
        let given_up = listener.accept(Duration::from_secs(60));
        assert!(
            matches!(given_up, Err(AttachError::Timeout { seconds, .. }) if seconds == HELLO_TIMEOUT.as_secs()),
            "it still connects, and is not waited for as one that has begun to speak"
        );
        assert!(listener.seats.take(1).is_some());
    }
}

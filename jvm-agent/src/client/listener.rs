//! Where JVMs that are started with the agent find the recorder.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::place::{Place, open_tmp};
use super::{AttachError, JvmSession, SessionConfig};

/// How long an agent that has connected may take to say who it is and to give its arena.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Listens for agents. Dropping it removes the socket: JVMs that start later start without plumb.
pub struct Listener {
    place: Place,
    listener: UnixListener,
    config: SessionConfig,
}

impl Listener {
    /// Listens, for JVMs of our own user.
    ///
    /// # Errors
    /// Nothing can be made in /tmp.
    pub fn bind(config: SessionConfig) -> Result<Listener, AttachError> {
        let create = || Place::create(open_tmp(Path::new("/"))?);
        let place = create().map_err(AttachError::system("a directory in /tmp"))?;
        let bind = || {
            let listener = place.listen()?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = bind().map_err(AttachError::system("a socket in /tmp"))?;
        Ok(Listener {
            place,
            listener,
            config,
        })
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

    /// The next JVM that connects within `timeout`. Its start waits for us: call this often.
    ///
    /// # Errors
    /// What went wrong with one JVM, which starts without plumb then. The listener stays good.
    pub fn accept(&self, timeout: Duration) -> Result<Option<JvmSession>, AttachError> {
        if !wait_for(&self.listener, timeout) {
            return Ok(None);
        }
        match self.listener.accept() {
            Ok((stream, _)) => JvmSession::begin(stream, &self.config, Instant::now() + HANDSHAKE_TIMEOUT).map(Some),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(AttachError::System {
                what: "accepting an agent's connection".into(),
                error,
            }),
        }
    }
}

/// Accepts one connection until `deadline`.
pub(super) fn accept_until(listener: &UnixListener, deadline: Instant) -> Option<UnixStream> {
    let left = deadline.saturating_duration_since(Instant::now());
    if !wait_for(listener, left) {
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

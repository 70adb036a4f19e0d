//! Asking a JVM that runs what rules would match in it. Nothing in it is changed.

use std::fs::File;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use super::attach::{Approach, check_status};
use super::identity::as_user;
use super::listener::accept_within;
use super::patience::Patience;
use super::session::{explain, greet, peer_pid};
use super::{AttachError, AttachOptions};
use crate::look::{LoadedClass, Told};
use crate::protocol::{self, Config, FRAME_MAX, ToAgent, ToRecorder};

/// Most classes that are taken of a JVM; more has none.
const CLASSES_MAX: usize = 1 << 20;
/// Most bytes that are taken of a JVM.
const BYTES_MAX: usize = 512 << 20;

/// What a JVM has loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Classes in it that may get probes.
    pub classes: u32,
    /// Those that the rules name.
    pub named: Vec<LoadedClass>,
}

/// Asks for the loaded classes that the rules in `options` name.
///
/// # Errors
/// As [`super::attach`].
pub fn look(pid: u32, options: &AttachOptions) -> Result<Loaded, AttachError> {
    let approach = Approach::to(pid, options.timeout, &options.stop)?;
    let library = File::open(&options.agent_library).map_err(AttachError::system(format!(
        "cannot read {}",
        options.agent_library.display()
    )))?;
    let (uid, gid) = (approach.target.uid, approach.target.gid);
    let (place, listener) = as_user(uid, gid, || approach.listen())?;
    let request = format!("look={}", place.socket_path().display());
    thread::scope(|scope| {
        // The JVM answers when it has told all: it is listened to meanwhile.
        let loading = scope.spawn(|| {
            as_user(uid, gid, || {
                let path = approach.library_path(&options.agent_library, &library, &place)?;
                approach.load(&path, &request)
            })
        });
        let told = accept(&listener, &approach, || loading.is_finished());
        let told =
            told.map(|stream| stream.map(|stream| listen(&stream, pid, &options.config.matcher, approach.patience())));
        let status = loading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match told? {
            Some(Err(error)) => Err(error),
            Some(told) => check_status(pid, status?).and(told),
            None => check_status(pid, status?).and(Ok(Loaded::default())),
        }
    })
}

/// The agent's connection; none if the JVM has answered without one.
fn accept(
    listener: &UnixListener,
    approach: &Approach<'_>,
    has_answered: impl Fn() -> bool,
) -> Result<Option<UnixStream>, AttachError> {
    let pid = approach.target.pid;
    let patience = approach.patience();
    loop {
        let is_over = has_answered();
        let left = patience.check(pid, "its agent's connection")?;
        if let Some(stream) = accept_within(listener, left)
            && peer_pid(&stream).is_ok_and(|peer| peer == pid)
        {
            return Ok(Some(stream));
        }
        if is_over {
            return Ok(None);
        }
    }
}

fn listen(stream: &UnixStream, pid: u32, matcher: &[u8], patience: Patience<'_>) -> Result<Loaded, AttachError> {
    greet(stream, pid, patience)?;
    let config = Config {
        matcher: matcher.to_vec(),
        arena_bytes: 0,
        clock: super::host_clock(),
    };
    protocol::send(stream, &ToAgent::Config(config).to_frame()).map_err(|error| explain(pid, patience, error))?;
    let (mut named, mut bytes) = (Vec::new(), 0);
    loop {
        let content = protocol::receive(stream, FRAME_MAX, patience).map_err(|error| explain(pid, patience, error))?;
        let content = content.ok_or(AttachError::Ended(pid))?;
        bytes += content.len();
        match Told::parse(&content) {
            Ok(Told::Classes(more)) if bytes <= BYTES_MAX && named.len() + more.len() <= CLASSES_MAX => {
                named.extend(more);
            }
            Ok(Told::End { loaded }) => {
                return Ok(Loaded { classes: loaded, named });
            }
            Ok(Told::Classes(_)) => {
                let reason = "more classes than any JVM has".to_owned();
                return Err(AttachError::Protocol { pid, reason });
            }
            Err(error) => {
                return Err(match ToRecorder::parse(&content) {
                    Ok(ToRecorder::Refused { reason }) => AttachError::Refused { pid, reason },
                    _ => explain(pid, patience, error),
                });
            }
        }
    }
}

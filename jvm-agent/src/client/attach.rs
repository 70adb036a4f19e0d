//! Attaching to a JVM that runs, and taking plumb out of one.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use super::identity::as_user;
use super::listener::accept_within;
use super::patience::Patience;
use super::place::{Place, open_tmp};
use super::target::Target;
use super::{AttachError, JvmSession, SessionConfig, hotspot, options};
use crate::agent::{STATUS_CONNECT, STATUS_DETACHING, STATUS_JVM, STATUS_OPTIONS};

/// How to attach.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// The library to load: see [`super::agent_library`].
    pub agent_library: PathBuf,
    /// What to record.
    pub config: SessionConfig,
    /// How long each step may take.
    pub timeout: Duration,
    /// Raised when nobody wants to wait any more: attaching ends then, at once.
    pub stop: Arc<AtomicBool>,
}

impl AttachOptions {
    /// With a timeout of ten seconds, and nobody who asks to stop.
    #[must_use]
    pub fn new(agent_library: PathBuf, config: SessionConfig) -> AttachOptions {
        AttachOptions {
            agent_library,
            config,
            timeout: Duration::from_secs(10),
            stop: Arc::default(),
        }
    }
}

/// Attaches to a JVM. The agent puts its probes in while the caller begins to drain the arena; see [`JvmSession::wait_until_armed`].
///
/// # Errors
/// Why the JVM cannot be recorded, with a remedy. The JVM then runs as before.
pub fn attach(pid: u32, options: &AttachOptions) -> Result<JvmSession, AttachError> {
    let approach = Approach::to(pid, options.timeout, &options.stop)?;
    let library = File::open(&options.agent_library).map_err(AttachError::system(format!(
        "cannot read {}",
        options.agent_library.display()
    )))?;
    let Target { uid, gid, .. } = approach.target;
    let (place, listener) = as_user(uid, gid, || approach.listen())?;
    let socket = format!("socket={}", place.socket_path().display());
    let status = as_user(uid, gid, || {
        let path = approach.library_path(&options.agent_library, &library, &place)?;
        approach.load(&path, &socket)
    })?;
    check_status(pid, status)?;
    receive_agent(&listener, &approach, &options.config)
}

/// Takes plumb out of a JVM: ends whatever session its agent has. True if there was one.
///
/// # Errors
/// As [`attach`]; [`AttachError::Timeout`] if the session does not end.
pub fn detach(pid: u32) -> Result<bool, AttachError> {
    const TIMEOUT: Duration = Duration::from_secs(10);
    const ASK_EVERY: Duration = Duration::from_millis(100);
    let never = AtomicBool::new(false);
    let approach = Approach::to(pid, TIMEOUT, &never)?;
    let Some(library) = approach.target.loaded_library.clone() else {
        return Ok(false);
    };
    let Target { uid, gid, .. } = approach.target;
    let deadline = Instant::now() + TIMEOUT;
    let mut had_session = false;
    while as_user(uid, gid, || approach.load(&library, "detach"))? == STATUS_DETACHING {
        had_session = true;
        if Instant::now() >= deadline {
            return Err(AttachError::Timeout {
                pid,
                seconds: TIMEOUT.as_secs(),
                waiting_for: "the end of its session",
            });
        }
        thread::sleep(ASK_EVERY);
    }
    Ok(had_session)
}

/// A JVM that can be asked to load a library.
pub(super) struct Approach<'a> {
    pub(super) target: Target,
    tmp: OwnedFd,
    timeout: Duration,
    stop: &'a AtomicBool,
}

impl<'a> Approach<'a> {
    pub(super) fn to(pid: u32, timeout: Duration, stop: &'a AtomicBool) -> Result<Approach<'a>, AttachError> {
        let target = Target::find(pid)?;
        if options::forbid_attaching(&target) {
            return Err(AttachError::AttachDisabled(pid));
        }
        if target.is_stopped() {
            return Err(AttachError::Stopped(pid));
        }
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let tmp = open_tmp(&root).map_err(AttachError::system(format!("/tmp of JVM {pid}")))?;
        Ok(Approach {
            target,
            tmp,
            timeout,
            stop,
        })
    }

    /// For one step, from now on.
    pub(super) fn patience(&self) -> Patience<'a> {
        Patience::new(self.timeout, Some(self.stop))
    }

    /// Where the agent will find us. Called as the JVM's user.
    pub(super) fn listen(&self) -> Result<(Place, UnixListener), AttachError> {
        let make = || {
            let place = Place::create(self.tmp.try_clone()?)?;
            let listener = place.listen()?;
            Ok((place, listener))
        };
        make().map_err(AttachError::system(format!("/tmp of JVM {}", self.target.pid)))
    }

    pub(super) fn load(&self, library: &Path, options: &str) -> Result<i32, AttachError> {
        hotspot::load(&self.target, &self.tmp, library, options, self.patience())
    }

    /// The library's path for the JVM: the one it has loaded already (a second copy would not be the one that its probes call), ours if it can
    /// read that, else a copy in `place`. Called as the JVM's user.
    pub(super) fn library_path(&self, ours: &Path, library: &File, place: &Place) -> Result<PathBuf, AttachError> {
        if let Some(loaded) = &self.target.loaded_library {
            return Ok(loaded.clone());
        }
        if self.sees_our_files() && File::open(ours).is_ok() {
            return Ok(ours.to_owned());
        }
        let pid = self.target.pid;
        place
            .copy_library(library)
            .map_err(AttachError::system(format!("copying the agent to /tmp of JVM {pid}")))?;
        Ok(place.library_path())
    }

    /// Whether the JVM's files are ours: the same mount namespace, the same root directory.
    fn sees_our_files(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let root = |process: &str| {
            fs::metadata(format!("/proc/{process}/root/"))
                .map(|root| (root.dev(), root.ino()))
                .ok()
        };
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
        let pid = self.target.pid.to_string();
        root(&pid).is_some() && root(&pid) == root("self") && namespace(&pid) == namespace("self")
    }
}

pub(super) fn check_status(pid: u32, status: i32) -> Result<(), AttachError> {
    let failed = |answer: &str| {
        Err(AttachError::Load {
            pid,
            answer: answer.to_owned(),
        })
    };
    match status {
        0 => Ok(()),
        STATUS_CONNECT => failed("it does not reach the recorder's socket in its /tmp"),
        STATUS_JVM => failed("it gives no JVMTI environment"),
        STATUS_OPTIONS => {
            failed("the agent that it has loaded is of another plumb and does not know what it was asked")
        }
        status => failed(&format!("status {status}")),
    }
}

/// The agent's connection; others' are not listened to.
fn receive_agent(
    listener: &UnixListener,
    approach: &Approach<'_>,
    config: &SessionConfig,
) -> Result<JvmSession, AttachError> {
    let Target { pid, start_ticks, .. } = approach.target;
    let patience = approach.patience();
    loop {
        let left = patience.check(pid, "its agent's connection")?;
        let Some(stream) = accept_within(listener, left) else {
            continue;
        };
        let session = JvmSession::begin(stream, config, patience, patience)?;
        if (session.pid, session.start_ticks) == (pid, start_ticks) {
            return Ok(session);
        }
    }
}

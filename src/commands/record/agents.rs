//! The agents in the JVMs of a recording.

use anyhow::{Result, anyhow};
use plumb_agent::client::{Armed, AttachError, AttachOptions, JvmSession, SessionConfig, agent_library, attach};
use plumb_collector::{JvmSource, Recorder};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long putting probes into a JVM, or taking them out, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long taking them out is waited for where somebody does not want to wait. A JVM does the rest without us.
const HASTE: Duration = Duration::from_millis(500);

/// The sessions that are open.
#[derive(Default)]
pub struct Agents {
    sessions: Vec<JvmSession>,
    /// Compiled rules that took the place of the first.
    changed: Option<Vec<u8>>,
    /// Somebody asked to stop before all was in place.
    is_in_haste: bool,
}

/// An error of the client as a line of cause and one of remedy.
pub fn with_remedy(error: &AttachError) -> anyhow::Error {
    anyhow!("{error}\n{}", error.remedy())
}

impl Agents {
    /// Attaches to running JVMs and waits until their probes are in, or until `stop` is raised.
    pub fn attach(
        &mut self,
        pids: &[u32],
        matcher: &[u8],
        recorder: &mut Recorder,
        stop: &Arc<AtomicBool>,
    ) -> Result<()> {
        let attached = self.attach_all(pids, matcher, recorder, stop);
        self.is_in_haste = stop.load(Ordering::Relaxed);
        match attached {
            // What was recorded so far is kept.
            Err(_) if self.is_in_haste => Ok(()),
            attached => attached,
        }
    }

    fn attach_all(
        &mut self,
        pids: &[u32],
        matcher: &[u8],
        recorder: &mut Recorder,
        stop: &Arc<AtomicBool>,
    ) -> Result<()> {
        let library = agent_library().map_err(|error| with_remedy(&error))?;
        let mut options = AttachOptions::new(library, SessionConfig::new(matcher.to_vec()));
        options.stop = Arc::clone(stop);
        for &pid in pids {
            let session = attach(pid, &options).map_err(|error| with_remedy(&error))?;
            self.add(session, recorder)?;
        }
        for session in &mut self.sessions {
            let armed = session.wait_until_armed_unless(stop, PATIENCE);
            tell_armed(session.pid, armed.map_err(|error| with_remedy(&error))?);
        }
        Ok(())
    }

    /// Has the recorder drain the JVM's arena.
    pub fn add(&mut self, mut session: JvmSession, recorder: &mut Recorder) -> Result<()> {
        let JvmSession {
            pid,
            ns_pid,
            start_ticks,
            ..
        } = session;
        recorder.add_jvm(JvmSource {
            pid,
            ns_pid,
            start_ticks,
            arena: session.arena()?,
        })?;
        // One that was being greeted while the rules changed.
        if let Some(matcher) = self.changed.as_ref().filter(|matcher| !session.goes_by(matcher)) {
            ask(&mut session, matcher);
        }
        self.sessions.push(session);
        Ok(())
    }

    /// Has every JVM go by these compiled rules from now on. Nobody is waited for: [`Agents::hear`] tells when they do.
    pub fn change_rules(&mut self, matcher: &[u8]) {
        self.sessions.iter_mut().for_each(|session| ask(session, matcher));
        self.changed = Some(matcher.to_vec());
    }

    /// Tells what JVMs have answered to other rules since the last call.
    pub fn hear(&mut self) {
        for session in &mut self.sessions {
            match session.answered() {
                Some(Ok(armed)) => tell_armed(session.pid, armed),
                // That is told, or no wonder, when its session is forgotten.
                Some(Err(AttachError::Ended(_))) => {}
                Some(Err(error)) => eprintln!("warning: {error}\nremedy: {}", error.remedy()),
                None if session.is_overdue(PATIENCE) => {
                    let (pid, seconds) = (session.pid, PATIENCE.as_secs());
                    eprintln!(
                        "warning: JVM {pid} has not taken the new rules within {seconds} s\nremedy: see whether it gets any CPU; it goes by them as soon as it can"
                    );
                }
                None => {}
            }
        }
    }

    /// Drops the sessions of JVMs that have ended, and tells which go on without plumb.
    pub fn forget_ended(&mut self) {
        for session in self.sessions.extract_if(.., |session| !session.is_alive()) {
            let pid = session.pid;
            if let Some(reason) = session.last_words() {
                eprintln!("warning: JVM {pid} is not recorded any more: {reason}");
            }
        }
    }

    /// Whether no JVM is recorded (any more).
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Has every JVM get its own bytecode back, so that its last records are there to be taken.
    pub fn stop(&mut self) {
        let patience = if self.is_in_haste { HASTE } else { PATIENCE };
        for session in self.sessions.drain(..) {
            let pid = session.pid;
            match session.stop(patience) {
                // A JVM that ended by itself has nothing left to take back.
                Ok(_) | Err(AttachError::Ended(_)) => {}
                Err(AttachError::Timeout { .. }) if self.is_in_haste => {
                    eprintln!("note: JVM {pid} is not waited for: it takes its own bytecode back by itself");
                }
                Err(error) => eprintln!("warning: {error}\nremedy: {} (JVM {pid})", error.remedy()),
            }
        }
    }
}

fn ask(session: &mut JvmSession, matcher: &[u8]) {
    match session.ask_rules(matcher.to_vec()) {
        Ok(()) | Err(AttachError::Ended(_)) => {}
        Err(error) => eprintln!("warning: {error}\nremedy: {}", error.remedy()),
    }
}

fn tell_armed(pid: u32, armed: Armed) {
    let Armed {
        classes,
        methods,
        left_alone,
    } = armed;
    let left = if left_alone == 0 {
        String::new()
    } else {
        format!("; {left_alone} that the rules name are left alone")
    };
    let (methods, classes) = (
        number_of(methods, "method", "methods"),
        number_of(classes, "loaded class", "loaded classes"),
    );
    eprintln!("JVM {pid}: probes in {methods} of {classes}{left}");
}

fn number_of(count: impl Into<u64>, one: &str, many: &str) -> String {
    match count.into() {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

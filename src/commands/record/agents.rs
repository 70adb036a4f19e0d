//! The agents in the JVMs of a recording.

use anyhow::{Result, anyhow};
use plumb_agent::client::{Armed, AttachError, AttachOptions, JvmSession, SessionConfig, agent_library, attach};
use plumb_collector::{JvmSource, Recorder};
use std::time::Duration;

/// How long putting probes into a JVM, or taking them out, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sessions that are open.
#[derive(Default)]
pub struct Agents {
    sessions: Vec<JvmSession>,
}

/// An error of the client as a line of cause and one of remedy.
pub fn with_remedy(error: &AttachError) -> anyhow::Error {
    anyhow!("{error}\n{}", error.remedy())
}

impl Agents {
    /// Attaches to running JVMs and waits until their probes are in.
    pub fn attach(&mut self, pids: &[u32], matcher: &[u8], recorder: &mut Recorder) -> Result<()> {
        let library = agent_library().map_err(|error| with_remedy(&error))?;
        let options = AttachOptions::new(library, SessionConfig::new(matcher.to_vec()));
        for &pid in pids {
            let session = attach(pid, &options).map_err(|error| with_remedy(&error))?;
            self.add(session, recorder)?;
        }
        for session in &mut self.sessions {
            let armed = session
                .wait_until_armed(PATIENCE)
                .map_err(|error| with_remedy(&error))?;
            tell_armed(session.pid, armed);
        }
        Ok(())
    }

    /// Has the recorder drain the JVM's arena.
    pub fn add(&mut self, session: JvmSession, recorder: &mut Recorder) -> Result<()> {
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
        self.sessions.push(session);
        Ok(())
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

    /// Has every JVM get its own bytecode back, so that its last records are there to be taken.
    pub fn stop(&mut self) {
        for session in self.sessions.drain(..) {
            let pid = session.pid;
            match session.stop(PATIENCE) {
                // A JVM that ended by itself has nothing left to take back.
                Ok(_) | Err(AttachError::Ended(_)) => {}
                Err(error) => eprintln!("warning: {error}\nremedy: {} (JVM {pid})", error.remedy()),
            }
        }
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
    eprintln!("JVM {pid}: probes in {methods} methods of {classes} loaded classes{left}");
}

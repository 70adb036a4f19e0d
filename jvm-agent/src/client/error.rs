//! Why a JVM cannot be reached: one line of cause ([`std::fmt::Display`]), one of remedy ([`AttachError::remedy`]).

use std::io;
use std::path::PathBuf;

/// Why a JVM cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such process.
    #[error("there is no process {0}")]
    NoSuchProcess(u32),
    /// The process has no libjvm.
    #[error("process {0} is no JVM")]
    NoJvm(u32),
    /// The JVM belongs to somebody else.
    #[error("process {pid} belongs to another user (uid {uid})")]
    OtherUser {
        /// The process.
        pid: u32,
        /// Its user.
        uid: u32,
    },
    /// The system shows nothing of the JVM, although it is ours or we are root.
    #[error("JVM {0} may not be looked at: the system denies /proc/{0}/maps")]
    Hidden(u32),
    /// `-XX:+DisableAttachMechanism`
    #[error("JVM {0} was started with -XX:+DisableAttachMechanism")]
    AttachDisabled(u32),
    /// `-XX:-EnableDynamicAgentLoading`
    #[error("JVM {0} was started with -XX:-EnableDynamicAgentLoading")]
    AgentsDisabled(u32),
    /// Nobody in the process catches SIGQUIT, which would kill it.
    #[error("JVM {0} does not catch SIGQUIT: it has not finished starting, or has -Xrs and lost its socket in /tmp")]
    NoSigquit(u32),
    /// The JVM is stopped by a signal or a debugger.
    #[error("JVM {0} is stopped (a signal, a debugger)")]
    Stopped(u32),
    /// The JVM did not answer.
    #[error("JVM {pid} did not answer within {seconds} s: {waiting_for}")]
    Timeout {
        /// The process.
        pid: u32,
        /// How long we waited.
        seconds: u64,
        /// For what.
        waiting_for: &'static str,
    },
    /// Somebody asked us to stop while we waited for the JVM.
    #[error("interrupted while JVM {0} was waited for")]
    Interrupted(u32),
    /// The JVM ended meanwhile.
    #[error("JVM {0} has ended")]
    Ended(u32),
    /// The JVM would not load the library.
    #[error("JVM {pid} did not load the agent: {answer}")]
    Load {
        /// The process.
        pid: u32,
        /// What the JVM said.
        answer: String,
    },
    /// The agent said no.
    #[error("the agent in JVM {pid} refuses: {reason}")]
    Refused {
        /// The process.
        pid: u32,
        /// What the agent said.
        reason: String,
    },
    /// The agent does not take other rules, and goes on by those that it has.
    #[error("JVM {pid} goes on by the rules that it has: {reason}")]
    Unchanged {
        /// The process.
        pid: u32,
        /// What the agent said.
        reason: String,
    },
    /// An agent of another version.
    #[error("JVM {pid} has an agent of plumb {version} loaded, which speaks protocol {protocol}")]
    OtherVersion {
        /// The process.
        pid: u32,
        /// Its agent's version.
        version: String,
        /// Its agent's protocol.
        protocol: u32,
    },
    /// What came over the socket is no agent's.
    #[error("JVM {pid} answers what is not the agent's protocol: {reason}")]
    Protocol {
        /// The process.
        pid: u32,
        /// What is wrong.
        reason: String,
    },
    /// The library is nowhere.
    #[error("libplumb_agent.so is not there: looked at {}", looked_at(.0))]
    NoLibrary(Vec<PathBuf>),
    /// The system said no.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        error: io::Error,
    },
}

impl AttachError {
    /// What to do about it, in one line.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoSuchProcess(_) | Self::Ended(_) => "list the JVMs that run with `plumb doctor`",
            Self::NoJvm(_) => "give the pid of the java process itself, not of a script that started it",
            Self::OtherUser { .. } => "run plumb as root or as the JVM's user",
            Self::Interrupted(_) => "the JVM runs as before; try again",
            Self::Hidden(_) => {
                "run plumb as root with the capability SYS_PTRACE, outside of a container that has it taken away"
            }
            Self::AttachDisabled(_) => {
                "start the JVM without that option, or with -agentpath:…/libplumb_agent.so, or under `plumb record -- java …`"
            }
            Self::AgentsDisabled(_) => {
                "start the JVM with -XX:+EnableDynamicAgentLoading, or under `plumb record -- java …`"
            }
            Self::NoSigquit(_) => {
                "try again when it has started; otherwise record it from its start: `plumb record -- java …`"
            }
            Self::Stopped(_) => "let it go on (`kill -CONT PID`, or in the debugger), then try again",
            Self::Timeout { .. } => {
                "the JVM may be stopped, in a long pause, or short of CPU: try again when it answers `jcmd PID VM.version`"
            }
            Self::Load { .. } => {
                "the library must fit the JVM: Linux with glibc, the same processor, readable for the JVM's user"
            }
            Self::Refused { .. } => "if another recording is left over, end it with `plumb detach --pid PID`",
            Self::Unchanged { .. } => "correct the rules, or begin a new recording with them",
            Self::OtherVersion { .. } => {
                "record with that version of plumb, or restart the JVM: a loaded library cannot be replaced"
            }
            Self::Protocol { .. } => "restart the JVM; if it happens again, please report it",
            Self::NoLibrary(_) => {
                "build it with `cargo build -p plumb-agent`, or name it in the environment variable PLUMB_AGENT"
            }
            Self::System { .. } => "see what the system said; `plumb doctor` tells what this machine allows",
        }
    }

    /// A `System` error's maker, for `map_err`.
    pub(super) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> AttachError {
        let what = what.into();
        move |error| AttachError::System { what, error }
    }
}

fn looked_at(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

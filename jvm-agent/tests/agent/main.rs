//! The agent in real JVMs, and the client that puts it there, against a recorder of the test's own.

#![allow(unsafe_code, reason = "maps arenas")]

mod change;
mod counted;
mod embedded;
mod events;
#[path = "../support/jdks.rs"]
mod jdks;
mod jvm;
mod kin;
mod life;
mod limits;
mod minimum;
mod recorder;
mod refusals;
mod stacks;
mod start;
mod units;

use std::time::Duration;

use jvm::Subject;
use plumb_agent::client::{AttachError, AttachOptions, JvmSession, SessionConfig, agent_library, attach};
use recorder::Recorder;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Rules for the methods of `Subject.java`, with all of the JVM's events.
const RULES: &str = r#"
use = ["jvm"]
[[method]]
match = "Probed.*"
unit = "request"
[[method]]
match = "Late.*"
"#;

fn config(rules: &str) -> SessionConfig {
    let directory = tempfile::tempdir().expect("a directory for rules");
    let file = directory.path().join("rules.toml");
    std::fs::write(&file, rules).expect("rules are written");
    let rules = plumb_filters::load(&[file.display().to_string()]).expect("good rules");
    SessionConfig::new(rules.compile())
}

fn options(rules: &str) -> AttachOptions {
    AttachOptions::new(agent_library().expect("the library is built"), config(rules))
}

fn try_attach(subject: &Subject) -> Result<JvmSession, AttachError> {
    attach(subject.pid(), &options(RULES))
}

/// Attached and armed.
fn attached(subject: &Subject) -> (JvmSession, Recorder) {
    let mut session = try_attach(subject).expect("attaches");
    session.wait_until_armed(TIMEOUT).expect("is armed");
    let recorder = Recorder::new(session.arena().expect("a descriptor"));
    (session, recorder)
}

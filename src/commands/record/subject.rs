//! Who is recorded: a command that is started, processes that run, or the whole system.

use super::{
    Arguments,
    agents::{Agents, with_remedy},
};
use crate::failure::{OrRemedy, whole};
use anyhow::{Context, Result, anyhow};
use plumb_agent::client::{Listener, SessionConfig, Users, agent_library};
use plumb_collector::{Recorder, proc};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

/// Who is recorded.
pub enum Subject {
    /// Everybody.
    System,
    /// These processes, with their start times: a pid alone may be reused.
    Processes(Vec<(u32, u64)>),
    /// A command of ours, and the place where JVMs that it starts find us.
    Started {
        /// Its first process.
        child: Child,
        /// Its program.
        name: String,
        /// `None` where nothing inside JVMs is recorded.
        listener: Option<Box<Listener>>,
    },
}

impl Subject {
    /// Finds the processes, or starts the command.
    pub fn begin(arguments: &Arguments, matcher: Option<&Vec<u8>>) -> Result<Subject> {
        if let [program, rest @ ..] = arguments.command.as_slice() {
            return start(program, rest, matcher);
        }
        if arguments.all {
            return Ok(Subject::System);
        }
        let process = |pid: &u32| match proc::start_ticks(*pid) {
            Some(start_ticks) => Ok((*pid, start_ticks)),
            None => Err(anyhow!("there is no process {pid}")).remedy("list the JVMs that run with `plumb doctor`"),
        };
        Ok(Subject::Processes(
            arguments.pid.iter().map(process).collect::<Result<_>>()?,
        ))
    }

    /// In words.
    pub fn shown(&self) -> String {
        match self {
            Subject::System => "the whole system".to_owned(),
            Subject::Processes(processes) => {
                let pids: Vec<String> = processes.iter().map(|(pid, _)| pid.to_string()).collect();
                format!("process {}", pids.join(", "))
            }
            Subject::Started { child, name, .. } => format!("{name} (process {})", child.id()),
        }
    }

    /// The process that was started here.
    pub fn started_pid(&self) -> Option<u32> {
        match self {
            Subject::Started { child, .. } => Some(child.id()),
            Subject::System | Subject::Processes(_) => None,
        }
    }

    /// Whether nobody of it is left.
    pub fn has_ended(&mut self) -> bool {
        match self {
            Subject::System => false,
            Subject::Processes(processes) => processes
                .iter()
                .all(|(pid, start_ticks)| proc::start_ticks(*pid) != Some(*start_ticks)),
            Subject::Started { child, .. } => !matches!(child.try_wait(), Ok(None)),
        }
    }

    /// Lets `time` pass; JVMs that start meanwhile join the recording.
    pub fn wait(&mut self, time: Duration, recorder: &mut Recorder, agents: &mut Agents) {
        let Subject::Started {
            listener: Some(listener),
            ..
        } = self
        else {
            return std::thread::sleep(time);
        };
        let joined = match listener.accept(time) {
            Ok(None) => return,
            Ok(Some(session)) => agents.add(session, recorder),
            Err(error) => Err(with_remedy(&error)),
        };
        if let Err(error) = joined {
            eprintln!("warning: a JVM is not recorded: {}", whole(&error));
        }
    }

    /// Notes how many JVMs were not listened to.
    pub fn note_refused(&self, recorder: &Recorder) {
        if let Subject::Started {
            listener: Some(listener),
            ..
        } = self
        {
            listener
                .notes_of_refused()
                .into_iter()
                .for_each(|note| recorder.note(note));
        }
    }

    /// JVMs that start from now on go by these compiled rules.
    pub fn change_rules(&mut self, matcher: &[u8]) {
        if let Subject::Started {
            listener: Some(listener),
            ..
        } = self
        {
            listener.change_rules(matcher.to_vec());
        }
    }

    /// Says what the user would not expect of how the command ended, or that it has not.
    pub fn tell_end(&mut self) {
        let Subject::Started { child, name, .. } = self else {
            return;
        };
        match child.try_wait() {
            Ok(Some(status)) if !status.success() => eprintln!("note: {name} failed: {status}"),
            Ok(None) => eprintln!("note: {name} (process {}) goes on without plumb", child.id()),
            Ok(Some(_)) | Err(_) => {}
        }
    }
}

fn start(program: &str, rest: &[String], matcher: Option<&Vec<u8>>) -> Result<Subject> {
    let is_java = Path::new(program).file_name().is_some_and(|name| name == "java");
    let users = if !is_java && is_root() { Users::All } else { Users::Own };
    let listener = matcher
        .map(|matcher| Listener::bind(SessionConfig::new(matcher.clone()), users))
        .transpose();
    let mut listener = listener.map_err(|error| with_remedy(&error))?.map(Box::new);
    let mut command = Command::new(program);
    if let Some(listener) = &mut listener {
        let library = agent_library().map_err(|error| with_remedy(&error))?;
        // Other programs (scripts, build tools) hand the variable down to the JVMs that they start.
        if is_java {
            command.arg(listener.jvm_argument(&library));
        } else {
            let library = readable_library(library, listener);
            command.env("JAVA_TOOL_OPTIONS", listener.java_tool_options(&library));
        }
    }
    let spawned = command
        .args(rest)
        .spawn()
        .with_context(|| format!("cannot start {program}"));
    let child = spawned.or_remedy("check the command after --, its path and its permissions")?;
    Ok(Subject::Started {
        child,
        name: program.to_owned(),
        listener,
    })
}

/// A JVM that cannot read an agent's library does not start. Of root's commands some start JVMs as another user: for these a copy is made, if need be.
fn readable_library(library: PathBuf, listener: &mut Listener) -> PathBuf {
    if !is_root() || is_for_everybody(&library) {
        return library;
    }
    listener.share_library(&library).unwrap_or_else(|error| {
        eprintln!(
            "warning: only root can read {}: a JVM that the command starts as another user will not start ({error})\n\
             remedy: install plumb where everybody can read it, or start the JVM first and record it with --pid",
            library.display()
        );
        library
    })
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn is_for_everybody(file: &Path) -> bool {
    let allows = |path: &Path, bits| path.metadata().is_ok_and(|found| found.mode() & bits == bits);
    allows(file, 0o004) && file.ancestors().skip(1).all(|directory| allows(directory, 0o001))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    #[test]
    fn a_library_in_a_private_directory_is_not_for_everybody() -> std::io::Result<()> {
        let directory = tempfile::tempdir()?;
        let library = directory.path().join("library.so");
        std::fs::write(&library, "")?;
        let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
        set(&library, 0o755)?;
        set(directory.path(), 0o755)?;
        assert!(is_for_everybody(&library));
        set(directory.path(), 0o700)?;
        assert!(!is_for_everybody(&library));
        set(directory.path(), 0o711)?;
        set(&library, 0o640)?;
        assert!(!is_for_everybody(&library));
        Ok(())
    }
}

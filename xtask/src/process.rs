//! Child processes: none outlives the task, however it ends.

use anyhow::{Context, Result, bail};
use std::process::{Child, Command, Stdio};

/// Runs a command to its end with its output on ours, saying what runs.
pub fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", program(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

fn run_quietly(command: &mut Command) -> Result<()> {
    output(command).map(|_| ())
}

/// Runs a command to its end; what it wrote to its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", program(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} did not write UTF-8", program(command)))
}

/// A command that the kernel kills when this process dies, in whatever way. setpriv execs, so the pid is the program's own.
pub fn bound(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]).stdin(Stdio::null());
    command
}

/// A child in the background: killed when this is dropped.
pub struct Background {
    child: Child,
    name: String,
}

impl Background {
    /// Starts a command made by [`bound`].
    pub fn start(name: &str, command: &mut Command) -> Result<Background> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Background {
            child,
            name: name.to_owned(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGINT) and waits until it has.
    pub fn interrupt(&mut self) -> Result<()> {
        self.still_runs()?;
        // The shell's own: the program of that name is not on every machine.
        run_quietly(Command::new("sh").args(["-c", &format!("kill -INT {}", self.pid())]))?;
        self.child
            .wait()
            .with_context(|| format!("cannot wait for {}", self.name))?;
        Ok(())
    }

    /// An error if it has ended by itself.
    pub fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended early: {status}", self.name),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail only where the child is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

//! plumb recording a server, in the background.

use crate::process::{Background, bound};
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

/// What plumb says when all is set up.
const IS_RECORDING: &str = "Ctrl-C ends it";
const PATIENCE: Duration = Duration::from_secs(60);

/// A recording that goes on.
pub struct Recording {
    plumb: Background,
    log: PathBuf,
}

impl Recording {
    /// Starts it, into `dir`/`name`, and waits until it records.
    pub fn start(plumb: &Path, rules: &str, pid: u32, dir: &Path, name: &str) -> Result<Recording> {
        let log = dir.join(format!("{name}.log"));
        let mut command = bound(&plumb.to_string_lossy());
        command
            .args(["record", "--no-merge", "-f", rules, "--pid", &pid.to_string(), "-o"])
            .arg(dir.join(name));
        let said = File::create(&log).context("cannot write the recorder's log")?;
        let mut recording = Recording {
            plumb: Background::start("plumb", command.stdout(Stdio::null()).stderr(said))?,
            log,
        };
        let began = Instant::now();
        while !recording.said()?.contains(IS_RECORDING) {
            recording
                .plumb
                .still_runs()
                .with_context(|| recording.log.display().to_string())?;
            if began.elapsed() > PATIENCE {
                bail!("plumb does not come to record, see {}", recording.log.display());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(recording)
    }

    fn said(&self) -> Result<String> {
        fs::read_to_string(&self.log).context("cannot read the recorder's log")
    }

    /// Ends it, and waits until it has left the JVM. Says so where records were lost: what loses them is cheaper than what keeps them.
    pub fn stop(mut self) -> Result<()> {
        self.plumb.interrupt()?;
        let said = self.said()?;
        match lost(&said) {
            Some(0) => Ok(()),
            Some(lost) => {
                println!("note: {lost} records were lost: see {}", self.log.display());
                Ok(())
            }
            None => bail!("plumb did not end well: {said}"),
        }
    }
}

/// How many records were lost, as plumb says at its end: `recorded 1.2 s into DIR: 7 records of the kernel, 8 of JVMs, 0 lost, 0.1 MB`.
pub fn lost(said: &str) -> Option<u64> {
    let line = said.lines().rev().find(|line| line.starts_with("recorded "))?;
    let part = line.rsplit(", ").find_map(|part| part.strip_suffix(" lost"))?;
    part.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn losses_are_understood() {
        let said = "JVM 7: probes\nrecorded 1.2 s into /tmp/a, b: 7 records of the kernel, 8 of JVMs, 3 lost, 0.1 MB\nnote: x\n";
        assert_eq!(super::lost(said), Some(3));
        assert_eq!(super::lost("nothing"), None);
    }
}
